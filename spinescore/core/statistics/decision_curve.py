"""Net benefit: what acting above a threshold of risk gains, in true positives per subject."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spinescore.core.statistics.estimate import BoolArray, FloatArray, IntArray
from spinescore.core.statistics.times import FollowUp

LARGEST_TABLE = 500_000  # thresholds times event times counted at once


@dataclass(frozen=True, slots=True)
class DecisionCurve:
    """Net benefits over thresholds; NaN where follow-up of those above a threshold ends before the horizon.

    Parameters
    ----------
    thresholds, model, treat_all : arrays of shape (k,)
        Treating nobody has a net benefit of 0.
    """

    thresholds: FloatArray
    model: FloatArray
    treat_all: FloatArray


def _weigh(share: FloatArray, risk: FloatArray, thresholds: FloatArray) -> FloatArray:
    """Net benefit of acting in a share of subjects whose risk is known."""
    return np.asarray(share * (risk - (1 - risk) * thresholds / (1 - thresholds)))


def trace_net_benefit(
    follow_up: FollowUp, predicted: FloatArray, horizon_years: float, thresholds: FloatArray
) -> DecisionCurve:
    """Return the net benefit of acting where the predicted risk is at or above each threshold.

    Estimand: P(above) [F - (1 - F) t / (1 - t)], F the risk by the horizon among those above. Estimator of
    F: Aalen-Johansen among them, 1 - Kaplan-Meier if nothing competes; left truncation through risk sets.
    Nobody above: 0. The subjects are looked at once, then each threshold costs the event times.

    Parameters
    ----------
    follow_up : FollowUp of n subjects
    predicted : array of shape (n,)
    horizon_years : float
    thresholds : array of shape (k,), ascending, in (0, 1)

    Source: Vickers et al. 2008, BMC Med Inform Decis Mak 8:53; equal to ``dcurves::dca`` and its formulas.
    """
    n, k = len(predicted), len(thresholds)
    above: IntArray = np.searchsorted(thresholds, predicted, side="right")
    size, risk = _incidence_above(follow_up, above, k, horizon_years)
    share = size / max(n, 1)
    model = np.where(share[1:] > 0, _weigh(share[1:], risk[1:], thresholds), 0.0)
    return DecisionCurve(thresholds, model, _weigh(np.ones(k), np.full(k, risk[0]), thresholds))


def _incidence_above(
    follow_up: FollowUp, above: IntArray, k: int, horizon_years: float
) -> tuple[FloatArray, FloatArray]:
    """Return size and cumulative incidence of those at or above each threshold; shape (k + 1,), all first.

    Counts by threshold and event time are summed from the highest threshold down, a few thresholds at once.
    """
    early = (follow_up.status != 0) & (follow_up.exit <= horizon_years)
    times = np.unique(follow_up.exit[early])
    m = len(times)
    until = np.searchsorted(times, follow_up.exit, side="right")
    entered = (
        np.searchsorted(times, follow_up.entry, side="right")
        if follow_up.truncated
        else np.zeros(len(until), dtype=np.int64)
    )
    own = early & (follow_up.status == 1)
    last_exit = np.full(k + 1, -np.inf)
    np.maximum.at(last_exit, above, follow_up.exit)
    last_exit = np.maximum.accumulate(last_exit[::-1])[::-1]
    order = np.argsort(above, kind="stable")
    starts = np.searchsorted(above[order], np.arange(k + 2))
    risk, carried = np.full(k + 1, np.nan), np.zeros((3, m + 1))
    step = max(1, LARGEST_TABLE // (m + 1))
    for stop in range(k + 1, 0, -step):
        start = max(stop - step, 0)
        rows = order[starts[start] : starts[stop]]
        cell = (above[rows] - start) * (m + 1)
        counts = [
            np.bincount(cell + entered[rows], minlength=(stop - start) * (m + 1))
            - np.bincount(cell + until[rows], minlength=(stop - start) * (m + 1)),
            *(
                np.bincount((cell + until[rows] - 1)[kind[rows]], minlength=(stop - start) * (m + 1))
                for kind in (own, early)
            ),
        ]
        tables = np.reshape(counts, (3, stop - start, m + 1))[:, ::-1].astype(np.float64)
        tables[:, 0] += carried
        tables = np.cumsum(tables, axis=1)
        carried = tables[:, -1]
        risk[start:stop] = _read_off(tables[:, ::-1], last_exit[start:stop] < horizon_years)
    return np.cumsum(np.diff(starts)[::-1])[::-1].astype(np.float64), risk


def _read_off(tables: FloatArray, too_short: BoolArray) -> FloatArray:
    """Return each group's cumulative incidence from its counts; NaN if its follow-up is too short."""
    came_and_left, own, events = tables
    at_risk = np.maximum(np.cumsum(came_and_left, axis=1)[:, :-1], 1.0)
    survival = np.cumprod(1 - events[:, :-1] / at_risk, axis=1)
    before = np.hstack([np.ones((len(survival), 1)), survival])
    incidence = np.sum(before[:, :-1] * own[:, :-1] / at_risk, axis=1)
    return np.where(too_short & (before[:, -1] > 0), np.nan, incidence)


def trace_binary_net_benefit(case: BoolArray, predicted: FloatArray, thresholds: FloatArray) -> DecisionCurve:
    """Return the net benefit for an outcome known of everybody: (TP - FP t / (1 - t)) / n.

    Source: Vickers and Elkin 2006, Med Decis Making 26:565.
    """
    n, k = len(case), len(thresholds)
    above = np.searchsorted(thresholds, predicted, side="right")
    counts = [np.bincount(above[who], minlength=k + 1)[::-1].cumsum()[::-1] for who in (case, ~case)]
    odds = thresholds / (1 - thresholds)
    model = (counts[0][1:] - counts[1][1:] * odds) / n
    return DecisionCurve(thresholds, model, (counts[0][0] - counts[1][0] * odds) / n)

"""Net benefit: what acting above a threshold of risk gains, in true positives per subject."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spinescore.core.statistics.estimate import BoolArray, FloatArray, IntArray
from spinescore.core.statistics.times import FollowUp


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
    Nobody above: 0. Time: the subjects are looked at once, then each threshold costs the event times.

    Parameters
    ----------
    follow_up : FollowUp of n subjects
    predicted : array of shape (n,)
    horizon_years : float
    thresholds : array of shape (k,), ascending, in (0, 1)

    Source: Vickers et al. 2008, BMC Med Inform Decis Mak 8:53; equal to ``dcurves::dca`` and its formulas.
    """
    n, k = len(predicted), len(thresholds)
    times = np.unique(follow_up.exit[(follow_up.status != 0) & (follow_up.exit <= horizon_years)])
    above: IntArray = np.searchsorted(thresholds, predicted, side="right")
    order = np.argsort(above, kind="stable")
    starts = np.searchsorted(above[order], np.arange(k + 2))
    counter = _RiskSets(follow_up, times, horizon_years)
    risk, share = np.full(k + 1, np.nan), np.zeros(k + 1)
    for group in range(k, -1, -1):
        counter.add(order[starts[group] : starts[group + 1]])
        share[group] = counter.size / max(n, 1)
        risk[group] = counter.incidence()
    model = np.where(share[1:] > 0, _weigh(share[1:], risk[1:], thresholds), 0.0)
    return DecisionCurve(thresholds, model, _weigh(np.ones(k), np.full(k, risk[0]), thresholds))


class _RiskSets:
    """Counts at each event time of a group that grows, highest risk first."""

    def __init__(self, follow_up: FollowUp, times: FloatArray, horizon_years: float) -> None:
        m = len(times)
        self.size, self.horizon, self.last_exit = 0, horizon_years, -np.inf
        self.exit, self.status = follow_up.exit, follow_up.status
        self.until = np.searchsorted(times, follow_up.exit, side="right")
        self.entered = np.searchsorted(times, follow_up.entry, side="right")
        self.came, self.left = np.zeros(m + 1), np.zeros(m + 1)
        self.own, self.all_events = np.zeros(m), np.zeros(m)

    def add(self, rows: IntArray) -> None:
        """Add subjects to the group."""
        if len(rows) == 0:
            return
        m = len(self.own)
        self.size += len(rows)
        self.last_exit = max(self.last_exit, float(self.exit[rows].max()))
        self.came += np.bincount(self.entered[rows], minlength=m + 1)
        self.left += np.bincount(self.until[rows], minlength=m + 1)
        early = self.exit[rows] <= self.horizon
        for total, kind in ((self.own, self.status[rows] == 1), (self.all_events, self.status[rows] != 0)):
            total += np.bincount(self.until[rows[early & kind]] - 1, minlength=m)[:m]

    def incidence(self) -> float:
        """Return the group's cumulative incidence by the horizon; NaN if its follow-up ends before."""
        at_risk = np.maximum(np.cumsum(self.came - self.left)[:-1], 1.0)
        survival = np.cumprod(1 - self.all_events / at_risk)
        if self.last_exit < self.horizon and not (len(survival) and survival[-1] <= 0):
            return float("nan")
        before = np.concatenate([[1.0], survival[:-1]]) if len(survival) else survival
        return float(np.sum(before * self.own / at_risk))


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

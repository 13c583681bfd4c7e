"""Harrell's C with its standard error, and the difference of two, in O(n log n)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from spinescore.core.statistics.censoring import estimate_censoring
from spinescore.core.statistics.estimate import (
    BoolArray,
    Estimate,
    FloatArray,
    IntArray,
    clip_to_unit,
    normal_interval,
)
from spinescore.core.statistics.times import FollowUp

Number = TypeVar("Number", np.float64, np.int32)


@dataclass(frozen=True, slots=True)
class Concordance:
    """C and each subject's influence on it (dfbeta; they sum to 0, their squares to the variance)."""

    c: float
    influence: FloatArray
    pairs: float


class RankCounter:
    """Sums weights, over slices of a fixed sequence of ranks, of those below a value: a wavelet matrix.

    Building and each batch of queries take one vectorised pass per bit of the largest rank.

    Parameters
    ----------
    ranks : integer array of shape (n,)
    weights : array of shape (n,), optional
        One each without it: the sums are counts.
    """

    def __init__(self, ranks: IntArray, weights: FloatArray | None = None) -> None:
        self.bits = max(int(ranks.max(initial=0)), 1).bit_length()
        ranks = ranks.astype(np.int32)
        self.zeros: list[npt.NDArray[np.int32]] = []
        self.sums: list[FloatArray | IntArray] = []
        self.total: FloatArray | IntArray = (
            np.arange(len(ranks) + 1) if weights is None else _padded_sums(weights)
        )
        level = ranks
        for bit in reversed(range(self.bits)):
            is_zero = (level >> bit) & 1 == 0
            self.zeros.append(_padded_sums(is_zero.astype(np.int32)))
            if weights is not None:
                self.sums.append(_padded_sums(np.where(is_zero, weights, 0.0)))
                weights = np.concatenate([weights[is_zero], weights[~is_zero]])
            level = np.concatenate([level[is_zero], level[~is_zero]])

    def sum_below(self, start: IntArray, stop: IntArray, value: IntArray) -> FloatArray | IntArray:
        """Sum weights of ranks < value in [start, stop), for arrays of slices; values up to 2^bits."""
        inside = value < 1 << self.bits
        below = np.where(inside, 0, self.total[stop] - self.total[start])
        start, stop = start.copy(), stop.copy()
        for level, bit in enumerate(reversed(range(self.bits))):
            zeros = self.zeros[level]
            z_start, z_stop = zeros[start], zeros[stop]
            one = (value >> bit) & 1 == 1
            here = self.sums[level][stop] - self.sums[level][start] if self.sums else z_stop - z_start
            below = below + np.where(one & inside, here, 0)
            start = np.where(one, zeros[-1] + start - z_start, z_start)
            stop = np.where(one, zeros[-1] + stop - z_stop, z_stop)
        return np.asarray(below)


def _padded_sums(values: npt.NDArray[Number]) -> npt.NDArray[Number]:
    padded = np.zeros(len(values) + 1, dtype=values.dtype)
    np.cumsum(values, out=padded[1:])
    return padded


def measure_concordance(
    follow_up: FollowUp, event: BoolArray, score: FloatArray, weights: FloatArray | None = None
) -> Concordance:
    """Harrell's C: does the higher score have the earlier event?

    Estimand: P(score_i > score_j | i's event comes first and is seen), which depends on the censoring;
    other causes censor. Estimator: pairs (i event at t; j at risk at t and outliving it; a j censored at t
    outlives), ties of the score count half, pairs of simultaneous events do not count. Influence: the
    derivative with respect to each subject's weight. Limits: at least one pair, else C is NaN.

    Parameters
    ----------
    follow_up : FollowUp of n subjects
    event : boolean array of shape (n,)
    score : array of shape (n,)
    weights : array of shape (n,), optional
        Of each event's pairs, taken as known; one without it.

    Source: Harrell 1996, Stat Med 15:361; Therneau and Watson 2017; R's ``survival::concordance``.
    """
    distinct, ranks = np.unique(score, return_inverse=True)
    tied = len(distinct) < len(score)
    order = np.lexsort((~event, follow_up.exit))
    sorted_follow_up, event, ranks = follow_up.take(order), event[order], ranks[order].astype(np.int64)
    of_event = np.ones(int(event.sum())) if weights is None else weights[order][event]
    agree, total = _as_first(sorted_follow_up, event, ranks, of_event, tied=tied)
    pairs = float(total.sum())
    if pairs == 0:
        return Concordance(np.nan, np.zeros(len(score)), 0.0)
    c = float(agree.sum()) / pairs
    agree_later, total_later = _as_later(
        sorted_follow_up, event, ranks, None if weights is None else of_event, tied=tied
    )
    influence = np.empty(len(score))
    influence[order] = (agree + agree_later - c * (total + total_later)) / pairs
    return Concordance(c, influence, pairs)


def measure_uno_concordance(
    follow_up: FollowUp, event: BoolArray, score: FloatArray, until_years: float
) -> Concordance:
    """Uno's C: Harrell's with each event's pairs weighted by 1 / G(t-)^2, events until ``until_years`` alone.

    Estimand: P(score_i > score_j | i's event comes first, by then), whatever the censoring, if that does not
    depend on the score; other causes censor. Limits: the weights are taken as known in the standard error,
    as survival has it; left truncation is refused by the caller.

    Source: Uno et al. 2011, Stat Med 30:1105; ``survival::concordance`` (timewt = "n/G2").
    """
    curve = estimate_censoring(FollowUp(follow_up.entry, follow_up.exit, event.astype(np.int64)))
    counted = event & (follow_up.exit <= until_years)
    uncensored = curve.uncensored[curve.inverse]
    weights = np.divide(1.0, uncensored**2, out=np.zeros(len(score)), where=counted)
    return measure_concordance(follow_up, event, score, weights)


def _as_first(
    follow_up: FollowUp, event: BoolArray, ranks: IntArray, weights: FloatArray, *, tied: bool
) -> tuple[FloatArray, FloatArray]:
    """Count, for each event, its agreeing (ties half) and comparable pairs with those who outlive it."""
    n, rows = len(ranks), np.flatnonzero(event)
    # sorted by exit, events before censorings at a tie: the outliving begin after the last event at t
    last_event = np.searchsorted(follow_up.exit[rows], follow_up.exit[rows], side="right") - 1
    start, stop = rows[last_event] + 1, np.full(len(rows), n)
    agree, total = (
        _count_lower(RankCounter(ranks), start, stop, ranks[rows], tied=tied),
        (stop - start).astype(np.float64),
    )
    if follow_up.truncated:
        entry_order = np.argsort(follow_up.entry, kind="stable")
        later = np.searchsorted(follow_up.entry[entry_order], follow_up.exit[rows], side="left")
        agree = agree - _count_lower(RankCounter(ranks[entry_order]), later, stop, ranks[rows], tied=tied)
        total = total - (n - later)
    return _scatter(n, rows, weights * agree), _scatter(n, rows, weights * total)


def _as_later(
    follow_up: FollowUp, event: BoolArray, ranks: IntArray, weights: FloatArray | None, *, tied: bool
) -> tuple[FloatArray, FloatArray]:
    """Count, for each subject, its pairs with events that came while it was under observation."""
    event_times, event_ranks = follow_up.exit[event], ranks[event]
    start = np.searchsorted(event_times, follow_up.entry, side="right")
    stop = np.where(
        event,
        np.searchsorted(event_times, follow_up.exit, side="left"),
        np.searchsorted(event_times, follow_up.exit, side="right"),
    )
    counter = RankCounter(event_ranks, weights)
    total = (counter.total[stop] - counter.total[start]).astype(np.float64)
    return total - _count_lower(counter, start, stop, ranks, tied=tied), total


def _count_lower(
    counter: RankCounter, start: IntArray, stop: IntArray, ranks: IntArray, *, tied: bool
) -> FloatArray:
    """Count ranks lower than ``ranks`` in each slice, which does not hold its own; equal ones half."""
    below = counter.sum_below(start, stop, ranks)
    if not tied:
        return below.astype(np.float64)
    through = counter.sum_below(start, stop, ranks + 1)
    return np.asarray((below + through) / 2)


def _scatter(n: int, rows: IntArray, values: FloatArray) -> FloatArray:
    out = np.zeros(n)
    out[rows] = values
    return out


def estimate_concordance(concordance: Concordance, conf_level: float) -> Estimate:
    """Return C with its standard error (infinitesimal jackknife) and normal interval."""
    if concordance.pairs == 0:
        return Estimate(problem="no comparable pairs")
    se = float(np.sqrt(np.sum(concordance.influence**2)))
    return clip_to_unit(normal_interval(concordance.c, se, conf_level))


def compare_concordance(larger: Concordance, smaller: Concordance, conf_level: float) -> Estimate:
    """Return the difference of two C of the same subjects, from their joint influence; without p.

    Limits: for nested fitted models the difference is not normal under H0 (Demler 2012): no p is given.
    """
    if larger.pairs == 0 or smaller.pairs == 0:
        return Estimate(problem="no comparable pairs")
    se = float(np.sqrt(np.sum((larger.influence - smaller.influence) ** 2)))
    return normal_interval(larger.c - smaller.c, se, conf_level)

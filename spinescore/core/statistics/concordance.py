"""Harrell's C with its standard error, and the difference of two, in O(n log n)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spinescore.core.statistics.estimate import (
    BoolArray,
    Estimate,
    FloatArray,
    IntArray,
    clip_to_unit,
    normal_interval,
)
from spinescore.core.statistics.times import FollowUp


@dataclass(frozen=True, slots=True)
class Concordance:
    """C and each subject's influence on it (dfbeta; they sum to 0, their squares to the variance)."""

    c: float
    influence: FloatArray
    pairs: float


class RankCounter:
    """Counts, over slices of a fixed sequence of ranks, how many lie below a value: a wavelet matrix.

    Building and each batch of queries take one vectorised pass per bit of the largest rank.
    """

    def __init__(self, ranks: IntArray) -> None:
        self.bits = max(int(ranks.max(initial=0)), 1).bit_length()
        self.zeros: list[IntArray] = []
        level = ranks
        for bit in reversed(range(self.bits)):
            is_zero = (level >> bit) & 1 == 0
            self.zeros.append(np.concatenate([[0], np.cumsum(is_zero)]))
            level = np.concatenate([level[is_zero], level[~is_zero]])

    def count_below(self, start: IntArray, stop: IntArray, value: IntArray) -> IntArray:
        """Count ranks < value in [start, stop), for arrays of slices; values up to 2^bits."""
        count = np.where(value >= 1 << self.bits, stop - start, 0)
        start, stop = start.copy(), stop.copy()
        inside = value < 1 << self.bits
        for level, bit in enumerate(reversed(range(self.bits))):
            zeros = self.zeros[level]
            z_start, z_stop = zeros[start], zeros[stop]
            one = (value >> bit) & 1 == 1
            count = count + np.where(one & inside, z_stop - z_start, 0)
            start = np.where(one, zeros[-1] + start - z_start, z_start)
            stop = np.where(one, zeros[-1] + stop - z_stop, z_stop)
        return np.asarray(count, dtype=np.int64)


def measure_concordance(follow_up: FollowUp, event: BoolArray, score: FloatArray) -> Concordance:
    """Harrell's C: does the higher score have the earlier event?

    Estimand: P(score_i > score_j | i's event comes first and is seen), which depends on the censoring;
    other causes censor. Estimator: pairs (i event at t; j at risk at t and outliving it; a j censored at t
    outlives), ties of the score count half, pairs of simultaneous events do not count. Influence: the
    derivative with respect to each subject's weight. Limits: at least one pair, else C is NaN.

    Source: Harrell 1996, Stat Med 15:361; Therneau and Watson 2017; R's ``survival::concordance``.
    """
    _, ranks = np.unique(score, return_inverse=True)
    order = np.lexsort((~event, follow_up.exit))
    sorted_follow_up, event, ranks = follow_up.take(order), event[order], ranks[order].astype(np.int64)
    agree, total = _as_first(sorted_follow_up, event, ranks)
    pairs = float(total.sum())
    if pairs == 0:
        return Concordance(np.nan, np.zeros(len(score)), 0.0)
    c = float(agree.sum()) / pairs
    agree_later, total_later = _as_later(sorted_follow_up, event, ranks)
    influence = np.empty(len(score))
    influence[order] = (agree + agree_later - c * (total + total_later)) / pairs
    return Concordance(c, influence, pairs)


def _as_first(follow_up: FollowUp, event: BoolArray, ranks: IntArray) -> tuple[FloatArray, FloatArray]:
    """Count, for each event, its agreeing (ties half) and comparable pairs with those who outlive it."""
    n, rows = len(ranks), np.flatnonzero(event)
    # sorted by exit, events before censorings at a tie: the outliving begin after the last event at t
    last_event = np.searchsorted(follow_up.exit[rows], follow_up.exit[rows], side="right") - 1
    start, stop = rows[last_event] + 1, np.full(len(rows), n)
    agree, total = (
        _count_lower(RankCounter(ranks), start, stop, ranks[rows]),
        (stop - start).astype(np.float64),
    )
    if follow_up.truncated:
        entry_order = np.argsort(follow_up.entry, kind="stable")
        later = np.searchsorted(follow_up.entry[entry_order], follow_up.exit[rows], side="left")
        agree = agree - _count_lower(RankCounter(ranks[entry_order]), later, stop, ranks[rows])
        total = total - (n - later)
    return _scatter(n, rows, agree), _scatter(n, rows, total)


def _as_later(follow_up: FollowUp, event: BoolArray, ranks: IntArray) -> tuple[FloatArray, FloatArray]:
    """Count, for each subject, its pairs with events that came while it was under observation."""
    event_times, event_ranks = follow_up.exit[event], ranks[event]
    start = np.searchsorted(event_times, follow_up.entry, side="right")
    stop = np.where(
        event,
        np.searchsorted(event_times, follow_up.exit, side="left"),
        np.searchsorted(event_times, follow_up.exit, side="right"),
    )
    total = (stop - start).astype(np.float64)
    return total - _count_lower(RankCounter(event_ranks), start, stop, ranks), total


def _count_lower(counter: RankCounter, start: IntArray, stop: IntArray, ranks: IntArray) -> FloatArray:
    """Count ranks lower than ``ranks`` in each slice, equal ones half."""
    below = counter.count_below(start, stop, ranks)
    through = counter.count_below(start, stop, ranks + 1)
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

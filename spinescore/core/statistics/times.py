"""Follow-up times: near-ties made ties, left truncation, one sort shared by every estimator."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spinescore.core.statistics.estimate import BoolArray, FloatArray, IntArray
from spinescore.errors import AnalysisError

TIE_TOLERANCE = 1e-9


@dataclass(frozen=True, slots=True)
class FollowUp:
    """Who was watched from when to when, and how it ended.

    Parameters
    ----------
    entry, exit : arrays of shape (n,), years
        At risk on (entry, exit]. An entry at or before 0 is minus infinity: watched from the start.
    status : integer array of shape (n,)
        0 censored, 1 event, 2 competing event.
    """

    entry: FloatArray
    exit: FloatArray
    status: IntArray

    def take(self, rows: BoolArray | IntArray) -> FollowUp:
        """Return the follow-up of some rows."""
        return FollowUp(self.entry[rows], self.exit[rows], self.status[rows])

    @property
    def truncated(self) -> bool:
        """Whether anyone comes under observation after the start."""
        return bool(np.isfinite(self.entry).any())

    @property
    def person_years(self) -> float:
        """Years watched, summed."""
        return float(np.sum(self.exit - np.where(np.isfinite(self.entry), self.entry, 0.0)))


def make_follow_up(entry: FloatArray, exit: FloatArray, status: IntArray) -> FollowUp:
    """Check times and codes and merge near-ties.

    Times nearer than 1e-9 of the mean time are one time (R's ``timefix``, with a tighter tolerance).

    Raises
    ------
    AnalysisError
        Negative or missing times, entry not before exit, or a status other than 0, 1, 2.
    """
    entry = np.asarray(entry, dtype=np.float64)
    exit = np.asarray(exit, dtype=np.float64)
    status = np.asarray(status, dtype=np.int64)
    if not (np.isfinite(entry).all() and np.isfinite(exit).all()) or (exit < 0).any():
        raise AnalysisError("Follow-up holds a missing or negative time.", "Mend the outcome table.")
    if not np.isin(status, (0, 1, 2)).all():
        raise AnalysisError("Follow-up holds a status other than 0, 1 or 2.", "Map the event codes by name.")
    late = entry > 0
    if (entry[late] >= exit[late]).any():
        raise AnalysisError("Follow-up ends before it begins for some subject.", "Mend entry or end dates.")
    n = len(exit)
    merged = merge_near_ties(np.concatenate([exit, entry[late]]))
    start = np.full(n, -np.inf)
    start[late] = merged[n:]
    return FollowUp(start, merged[:n], status)


def stratify(follow_up: FollowUp, strata: IntArray) -> FollowUp:
    """Lay strata end to end in time, so that nobody is at risk with a subject of another stratum.

    Times become ranks, shifted by stratum, and everyone enters where its stratum begins: whatever compares
    subjects at risk together (partial likelihood, residuals, concordance) is stratified then. Not for what
    reads times as years.

    Parameters
    ----------
    follow_up : FollowUp of n subjects
    strata : integer array of shape (n,)
        Numbered from 0.
    """
    late = np.isfinite(follow_up.entry)
    times = np.unique(np.concatenate([follow_up.exit, follow_up.entry[late]]))
    start = np.asarray(strata * (len(times) + 2), dtype=np.float64)
    entry = start.copy()
    entry[late] += np.searchsorted(times, follow_up.entry[late]) + 1.0
    exit = np.asarray(start + np.searchsorted(times, follow_up.exit) + 1, dtype=np.float64)
    return FollowUp(entry, exit, follow_up.status)


def merge_near_ties(times: FloatArray) -> FloatArray:
    """Replace each run of times that differ by less than 1e-9 of the mean time by its first."""
    if len(times) == 0:
        return times
    distinct, inverse = np.unique(times, return_inverse=True)
    starts = np.concatenate([[True], np.diff(distinct) > TIE_TOLERANCE * np.mean(np.abs(distinct))])
    if starts.all():
        return times
    return np.asarray(distinct[starts][np.cumsum(starts) - 1][inverse], dtype=np.float64)


@dataclass(frozen=True, slots=True)
class RiskTable:
    """Counts at each distinct time at which somebody leaves.

    Parameters
    ----------
    times : array of shape (m,)
    at_risk, censored : integer arrays of shape (m,)
        At risk just before the time; censored at it.
    events : integer array of shape (2, m)
        Status 1 and status 2 at the time.
    """

    times: FloatArray
    at_risk: IntArray
    events: IntArray
    censored: IntArray


def count_at_risk(follow_up: FollowUp, times: FloatArray) -> IntArray:
    """Count who is under observation just before each time: entry < t <= exit."""
    exits = np.sort(follow_up.exit)
    staying = len(exits) - np.searchsorted(exits, times, side="left")
    if follow_up.truncated:
        entries = np.sort(follow_up.entry)
        staying = staying - (len(entries) - np.searchsorted(entries, times, side="left"))
    return np.asarray(staying, dtype=np.int64)


def tabulate_risk(follow_up: FollowUp) -> RiskTable:
    """Count events, censorings and those at risk at each distinct exit time."""
    times, inverse = np.unique(follow_up.exit, return_inverse=True)
    counts = [np.bincount(inverse[follow_up.status == code], minlength=len(times)) for code in (0, 1, 2)]
    return RiskTable(
        times,
        count_at_risk(follow_up, times),
        np.stack(counts[1:]).astype(np.int64),
        counts[0].astype(np.int64),
    )

"""Cumulative incidence where events compete: Aalen-Johansen, and Gray's test."""

from __future__ import annotations

import numpy as np
from scipy.stats import chi2

from spinescore.core.statistics.estimate import Estimate, FloatArray, IntArray
from spinescore.core.statistics.kaplan_meier import StepCurve, log_log_interval
from spinescore.core.statistics.times import FollowUp, RiskTable, tabulate_risk


def estimate_cumulative_incidence(follow_up: FollowUp, cause: int, conf_level: float) -> StepCurve:
    """Aalen-Johansen's estimate of the probability of ``cause`` (1 or 2) by t.

    Estimand: P(T <= t, cause), in a world where the other cause happens too (1 - KM would be larger).
    Variance: infinitesimal jackknife, as ``survival::survfit`` has it; interval log-log.
    Every subject's influence at t is alpha + beta F(t) or P(t) + alpha' - H(entry) F(t) for functions
    of its own times alone, so the sums of squares are cumulative sums: O(n log n).

    Source: Aalen and Johansen 1978; Therneau, survival vignette "compete" and "methods".
    """
    table = tabulate_risk(follow_up)
    all_events = table.events.sum(axis=0)
    at_risk = table.at_risk.astype(np.float64)
    survival_before = np.concatenate([[1.0], np.cumprod(1 - all_events / at_risk)[:-1]])
    incidence = np.cumsum(survival_before * table.events[cause - 1] / at_risk)
    variance = _jackknife_variance(follow_up, table, cause, survival_before, incidence)
    se = np.sqrt(np.maximum(variance, 0.0))
    lower, upper = log_log_interval(incidence, se, conf_level)
    return StepCurve(table.times, incidence, se, lower, upper, table)


def _jackknife_variance(
    follow_up: FollowUp, table: RiskTable, cause: int, survival_before: FloatArray, incidence: FloatArray
) -> FloatArray:
    at_risk = table.at_risk.astype(np.float64)
    events = table.events.sum(axis=0)
    left = at_risk - events
    per_event = np.divide(1.0, left, out=np.zeros(len(left)), where=left > 0)
    H = np.concatenate([[0.0], np.cumsum(events / at_risk * per_event)])
    F = np.concatenate([[0.0], incidence])
    P = np.concatenate([[0.0], np.cumsum(np.diff(F) * (H[:-1] - 1 / at_risk))])

    # indices into H, F, P: the last time at or before exit, and at or before entry
    out = np.searchsorted(table.times, follow_up.exit)
    came_in = np.searchsorted(table.times, follow_up.entry, side="right")
    slope_in = -H[came_in]
    constant_in = -P[came_in] + H[came_in] * F[came_in]
    own = np.where(follow_up.status == cause, survival_before[out] / at_risk[out], 0.0)
    slope_out = H[out + 1] + slope_in - np.where(follow_up.status != 0, per_event[out], 0.0)
    constant_out = P[out + 1] + constant_in + slope_in * F[out + 1] + own - slope_out * F[out + 1]

    gone = _moments(constant_out, slope_out, out + 1, len(F))
    inside = _moments(constant_in, slope_in, came_in, len(F)) - _moments(
        constant_in, slope_in, out + 1, len(F)
    )
    square = gone[2] + 2 * gone[4] * F + gone[3] * F**2
    square += inside[2] + 2 * inside[4] * F + inside[3] * F**2
    square += 2 * P * (inside[0] + inside[1] * F)
    arrivals = np.bincount(came_in, minlength=len(F)) - np.bincount(out + 1, minlength=len(F))
    square += P**2 * np.cumsum(arrivals)
    return np.asarray(square[1:])


def _moments(constant: FloatArray, slope: FloatArray, index: IntArray, length: int) -> FloatArray:
    """Cumulative sums over time of a, b, a^2, b^2, ab of those whose index has come; shape (5, length)."""
    parts = (constant, slope, constant**2, slope**2, constant * slope)
    return np.cumsum([np.bincount(index, weights=part, minlength=length) for part in parts], axis=1)


def gray_test(follow_up: FollowUp, groups: IntArray, n_groups: int, cause: int) -> Estimate:
    """Test whether the cumulative incidence of ``cause`` is equal in all groups (rho = 0).

    H0: equal subdistribution hazards. Estimator: Gray's weighted score with his variance, in the notation
    of the paper: h_r = Y_r / S_r(t-), R_r = h_r (1 - F_r(t-)); ties as cmprsk has them.
    Limits: refuses left truncation, as ``cmprsk::cuminc`` does.

    Source: Gray 1988, Ann Stat 16:1141.
    """
    if follow_up.truncated:
        return Estimate(problem="left truncation: Gray's test is not defined for it here")
    present = [g for g in range(n_groups) if (groups == g).any()]
    if len(present) < 2:
        return Estimate(problem="one group")
    if not (follow_up.status == cause).any():
        return Estimate(problem="0 events")
    score, variance = _gray_score(*_group_tables(follow_up, groups, present, cause))
    part, kept = score[:-1], variance[:-1, :-1]
    if np.linalg.matrix_rank(kept) < len(part):
        return Estimate(problem="groups do not overlap in time")
    statistic = float(part @ np.linalg.solve(kept, part))
    return Estimate(value=statistic, df=float(len(part)), p_value=float(chi2.sf(statistic, len(part))))


def _group_tables(
    follow_up: FollowUp, groups: IntArray, present: list[int], cause: int
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return at risk, events of the cause and of the other, by group, at each event time; shape (K, m)."""
    times = np.unique(follow_up.exit[follow_up.status != 0])
    tables = []
    for group in present:
        part = follow_up.take(groups == group)
        exits = np.sort(part.exit)
        rows = [len(exits) - np.searchsorted(exits, times, side="left")]
        for code in (cause, 3 - cause):
            at = np.searchsorted(times, part.exit[part.status == code])
            rows.append(np.bincount(at, minlength=len(times)))
        tables.append(rows)
    at_risk, own, other = np.array(tables, dtype=np.float64).transpose(1, 0, 2)
    return at_risk, own, other


def _gray_score(at_risk: FloatArray, own: FloatArray, other: FloatArray) -> tuple[FloatArray, FloatArray]:
    some = at_risk > 0
    risk = np.where(some, at_risk, 1.0)
    survival = np.cumprod(1 - np.where(some, own + other, 0.0) / risk, axis=1)
    before = np.hstack([np.ones((len(risk), 1)), survival[:, :-1]])
    safe = np.where(some, before, 1.0)
    h = np.where(some, at_risk / safe, 0.0)
    incidence = np.cumsum(before * own / risk, axis=1)
    incidence_before = np.hstack([np.zeros((len(risk), 1)), incidence[:, :-1]])
    at_risk_subdistribution = h * (1 - incidence_before)
    n_own = own.sum(axis=0)
    expected = n_own * at_risk_subdistribution / at_risk_subdistribution.sum(axis=0)
    score = (own - np.where(some, expected, 0.0)).sum(axis=1)

    h_sum = h.sum(axis=0)
    pooled = np.cumsum(n_own / h_sum)
    pooled_before = np.concatenate([[0.0], pooled[:-1]])
    share = h / h_sum
    # d[i, r]: the weight of group r's hazard in the score of group i, at each time
    d = h[:, None] * (np.eye(len(h))[:, :, None] - share[None])
    c = np.cumsum(d * (n_own / (h_sum * (1 - pooled_before))), axis=2)
    remaining = c[:, :, -1:] - c
    ratio = (1 - pooled) / np.where(survival > 0, survival, 1.0)
    # the last cumulative-incidence term drops out of a group whose survival has reached 0
    b_own = np.where(survival > 0, 1 - ratio, 1.0)
    spread_own = _tie_factor(n_own, h_sum * safe) * safe * n_own / (h_sum * risk)
    total = _outer(d + b_own * remaining, np.where(some & (n_own > 0), spread_own, 0.0))
    use = (survival > 0) & (other > 0)
    spread_other = _tie_factor(other, risk) * safe**2 * other / risk**2
    return score, total + _outer(ratio * remaining, np.where(use, spread_other, 0.0))


def _tie_factor(deaths: FloatArray, size: FloatArray) -> FloatArray:
    shape = np.broadcast(deaths, size).shape
    tied = np.broadcast_to(deaths > 1, shape)
    return 1 - np.divide(deaths - 1.0, size - 1.0, out=np.zeros(shape), where=tied)


def _outer(effects: FloatArray, weights: FloatArray) -> FloatArray:
    """Sum over groups r and times of effects[i, r] effects[j, r] weights[r]; shape (K, K)."""
    return np.asarray(np.einsum("irt,jrt,rt->ij", effects, effects, weights, optimize=True))

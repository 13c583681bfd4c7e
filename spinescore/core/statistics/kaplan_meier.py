"""Survival curves, their medians, and the log-rank test."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import chi2

from spinescore.core.statistics.estimate import Estimate, FloatArray, IntArray, normal_quantile
from spinescore.core.statistics.times import FollowUp, RiskTable, count_at_risk, tabulate_risk

ROUNDING = 1e-12  # an incidence summed to 1 may miss it by as much


@dataclass(frozen=True, slots=True)
class StepCurve:
    """A right-continuous step function with a pointwise interval (NaN where there is none) and counts."""

    times: FloatArray
    values: FloatArray
    se: FloatArray
    lower: FloatArray
    upper: FloatArray
    table: RiskTable

    def at(self, time: float) -> int:
        """Return the index of the last step at or before ``time``; -1 before the first."""
        return int(np.searchsorted(self.times, time, side="right")) - 1


def log_log_interval(values: FloatArray, se: FloatArray, conf_level: float) -> tuple[FloatArray, FloatArray]:
    """Return exp(-exp(log(-log p) -+ z se / (p log p))): within (0, 1), NaN at 0 and 1."""
    inside = (values > 0) & (values < 1 - ROUNDING) & np.isfinite(se)
    p = np.where(inside, values, 0.5)
    theta = np.log(-np.log(p))
    half = normal_quantile(conf_level) * np.where(inside, se, 0.0) / np.abs(p * np.log(p))
    lower, upper = np.exp(-np.exp(theta + half)), np.exp(-np.exp(theta - half))
    return np.where(inside, lower, np.nan), np.where(inside, upper, np.nan)


def estimate_survival(follow_up: FollowUp, conf_level: float) -> StepCurve:
    """Kaplan-Meier's estimate of surviving status 1, with Greenwood's variance and log-log interval.

    Estimand: P(T > t). Limits: any other status censors, which is right only where nothing competes;
    where S = 0 there is no interval, nor for one subject alone.

    Source: Kaplan and Meier 1958; Kalbfleisch and Prentice; R's ``survfit(conf.type = "log-log")``.
    """
    from lifelines import KaplanMeierFitter  # 1.4 s to import: only where a curve is asked for

    table = tabulate_risk(follow_up)
    if len(follow_up.exit) < 2:
        alone = np.cumprod(1 - table.events[0] / table.at_risk)
        nothing = np.full(len(alone), np.nan)
        return StepCurve(table.times, alone, nothing, nothing, nothing, table)
    entry = follow_up.entry if follow_up.entry.any() else None
    fitter = KaplanMeierFitter(alpha=1 - conf_level).fit(
        follow_up.exit, follow_up.status == 1, timeline=table.times, entry=entry
    )
    survival = fitter.survival_function_at_times(table.times).to_numpy()
    bounds = fitter.confidence_interval_survival_function_.reindex(table.times).to_numpy()
    estimable = ((survival > 0) & (survival < 1))[:, None]
    lower, upper = np.where(estimable, bounds, np.nan).T
    return StepCurve(table.times, survival, _greenwood_se(table, survival), lower, upper, table)


def _greenwood_se(table: RiskTable, survival: FloatArray) -> FloatArray:
    deaths, at_risk = table.events[0], table.at_risk
    left = at_risk - deaths
    variance = np.cumsum(np.divide(deaths, at_risk * left, out=np.zeros(len(left)), where=left > 0))
    return np.where(survival > 0, survival * np.sqrt(variance), np.nan)


def find_median(curve: StepCurve) -> Estimate:
    """Return the time at which survival falls below one half, and the interval of Brookmeyer and Crowley.

    Where the curve is flat at exactly one half the median is the middle of that stretch (as in R).
    """
    value = _crossing(curve.times, curve.values)
    if value is None:
        return Estimate(lower=_crossing(curve.times, curve.lower), problem="not reached")
    return Estimate(
        value=value, lower=_crossing(curve.times, curve.lower), upper=_crossing(curve.times, curve.upper)
    )


def _crossing(times: FloatArray, values: FloatArray) -> float | None:
    known = np.where(np.isnan(values) & (np.arange(len(values)) < _first_known(values)), 1.0, values)
    below = np.flatnonzero(known < 0.5 - 1e-9)
    half = np.flatnonzero(np.abs(known - 0.5) <= 1e-9)
    if len(half) and (not len(below) or half[0] < below[0]):
        return float(times[half[0]] + times[below[0]]) / 2 if len(below) else float(times[half[0]])
    return float(times[below[0]]) if len(below) else None


def _first_known(values: FloatArray) -> int:
    known = np.flatnonzero(np.isfinite(values))
    return int(known[0]) if len(known) else len(values)


def reverse_follow_up(follow_up: FollowUp) -> FollowUp:
    """Swap the roles: being censored is the event, any event ends the watch (Schemper and Smith 1996)."""
    return FollowUp(follow_up.entry, follow_up.exit, (follow_up.status == 0).astype(np.int64))


def log_rank(follow_up: FollowUp, groups: IntArray, n_groups: int) -> Estimate:
    """Test whether the hazards of status 1 are equal in all groups.

    Estimator: observed minus expected events with the hypergeometric variance. Groups without subjects
    drop out. Source: Mantel 1966; R's ``survdiff``; left truncation through the risk sets.
    """
    present = [g for g in range(n_groups) if (groups == g).any()]
    if len(present) < 2:
        return Estimate(problem="one group")
    times = np.unique(follow_up.exit[follow_up.status == 1])
    if len(times) == 0:
        return Estimate(problem="0 events")
    at_risk, deaths = count_by_group(follow_up, groups, present, times)
    total, dead = at_risk.sum(axis=0), deaths.sum(axis=0)
    share = at_risk / total
    difference = (deaths - dead * share).sum(axis=1)
    weight = dead * np.divide(total - dead, total - 1, out=np.zeros(len(total)), where=total > 1)
    variance = np.diag((share * weight).sum(axis=1)) - (share * weight) @ share.T
    part, kept = difference[:-1], variance[:-1, :-1]
    if np.linalg.matrix_rank(kept) < len(part):
        return Estimate(problem="groups do not overlap in time")
    statistic = float(part @ np.linalg.solve(kept, part))
    df = len(part)
    return Estimate(value=statistic, df=float(df), p_value=float(chi2.sf(statistic, df)))


def count_by_group(
    follow_up: FollowUp, groups: IntArray, present: list[int], times: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Count those at risk and the events of status 1 at each time; shape (groups, m) each."""
    at_risk, deaths = [], []
    for group in present:
        part = follow_up.take(groups == group)
        at_risk.append(count_at_risk(part, times))
        where = np.searchsorted(times, part.exit[part.status == 1])
        deaths.append(np.bincount(where, minlength=len(times)))
    return np.array(at_risk, dtype=np.float64), np.array(deaths, dtype=np.float64)

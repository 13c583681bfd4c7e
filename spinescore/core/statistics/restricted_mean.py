"""Mean time until an event, or lost to it, within a horizon; differences between groups."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spinescore.core.statistics.estimate import Estimate, FloatArray, normal_interval
from spinescore.core.statistics.times import FollowUp, RiskTable, tabulate_risk


@dataclass(frozen=True, slots=True)
class _Lost:
    """Time lost to a cause, and what a unit of each cause's hazard at each time adds to it; shape (2, m)."""

    years: float
    times: FloatArray
    at_risk: FloatArray
    shares: FloatArray
    effects: FloatArray


def _integrate(table: RiskTable, cause: int, until_years: float) -> _Lost:
    use = table.times < until_years
    at_risk = table.at_risk[use].astype(np.float64)
    shares = table.events[:, use] / at_risk
    every = shares.sum(axis=0)
    before = np.concatenate([[1.0], np.cumprod(1 - every)])[: len(every)]
    own = before * (until_years - table.times[use])
    parts = own * shares[cause - 1]
    later = parts.sum() - np.cumsum(parts)
    through_survival = np.divide(later, 1 - every, out=np.zeros(len(every)), where=every < 1)
    effects = np.stack([own * (code == cause) - through_survival for code in (1, 2)])
    return _Lost(float(parts.sum()), table.times[use], at_risk, shares, effects)


def _problem(table: RiskTable, until_years: float) -> str | None:
    if len(table.times) == 0:
        return "no subjects"
    return "beyond follow-up" if until_years > table.times[-1] else None


def estimate_time_lost(follow_up: FollowUp, cause: int, until_years: float, conf_level: float) -> Estimate:
    """Return the years of the first ``until_years`` that are lost to a cause, on average.

    Estimand: the area under the cumulative incidence of ``cause`` until ``until_years``. Estimator: that
    under Aalen-Johansen's curve; variance by the infinitesimal jackknife. Limits: null beyond the last time
    under observation.

    Parameters
    ----------
    follow_up : FollowUp
    cause : int
        1 or 2; the other one competes.
    until_years, conf_level : float

    Source: Andersen 2013, Stat Med 32:5278; ``residuals.survfit(type = "sojourn")``.
    """
    table = tabulate_risk(follow_up)
    if problem := _problem(table, until_years):
        return Estimate(problem=problem)
    lost = _integrate(table, cause, until_years)
    drift = np.concatenate([[0.0], np.cumsum((lost.effects * lost.shares).sum(axis=0) / lost.at_risk)])
    out = np.searchsorted(lost.times, follow_up.exit, side="right")
    influence = drift[np.searchsorted(lost.times, follow_up.entry, side="right")] - drift[out]
    seen = (follow_up.status != 0) & (follow_up.exit < until_years)
    at = out[seen] - 1
    influence[seen] += lost.effects[follow_up.status[seen] - 1, at] / lost.at_risk[at]
    return normal_interval(lost.years, float(np.sqrt(np.sum(influence**2))), conf_level)


def estimate_restricted_mean(follow_up: FollowUp, until_years: float, conf_level: float) -> Estimate:
    """Return the mean years without the event within ``until_years``: the area under Kaplan-Meier's curve.

    Variance: Greenwood's. Limits: any other status censors, which is right only where nothing competes.

    Source: Royston and Parmar 2013, BMC Med Res Methodol 13:152; ``print(survfit, rmean = )``.
    """
    table = tabulate_risk(FollowUp(follow_up.entry, follow_up.exit, (follow_up.status == 1).astype(np.int64)))
    if problem := _problem(table, until_years):
        return Estimate(problem=problem)
    lost = _integrate(table, 1, until_years)
    share = lost.shares[0]
    variance = float(np.sum(lost.effects[0] ** 2 * share * (1 - share) / lost.at_risk))
    return normal_interval(until_years - lost.years, float(np.sqrt(variance)), conf_level)


def subtract_estimates(first: Estimate, second: Estimate, conf_level: float) -> Estimate:
    """Return first minus second of two independent groups, with its test."""
    for estimate in (first, second):
        if estimate.value is None or estimate.se is None:
            return Estimate(problem=estimate.problem)
    assert first.value is not None
    assert second.value is not None
    assert first.se is not None
    assert second.se is not None
    return normal_interval(
        first.value - second.value, float(np.hypot(first.se, second.se)), conf_level, test=True
    )

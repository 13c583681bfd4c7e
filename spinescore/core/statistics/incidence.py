"""Incidence rates."""

from __future__ import annotations

from scipy.stats import chi2

from spinescore.core.statistics.estimate import Estimate


def estimate_rate(events: int, person_years: float, conf_level: float) -> Estimate:
    """Return events per 1,000 person-years with the exact Poisson interval.

    Estimand: the mean rate over the follow-up seen. Limits: assumes events independent of each other.

    Source: Garwood 1936; R's ``poisson.test``.

    >>> round(estimate_rate(0, 1000.0, 0.95).upper, 3)
    3.689
    """
    if person_years <= 0:
        return Estimate(problem="no subjects")
    alpha, factor = 1 - conf_level, 1000 / person_years
    lower = chi2.ppf(alpha / 2, 2 * events) / 2 if events else 0.0
    upper = chi2.ppf(1 - alpha / 2, 2 * events + 2) / 2
    return Estimate(value=events * factor, lower=float(lower) * factor, upper=float(upper) * factor)

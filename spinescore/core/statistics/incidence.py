"""Incidence rates."""

from __future__ import annotations

import numpy as np
from scipy.stats import chi2

from spinescore.core.statistics.estimate import Estimate, FloatArray


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


def standardise_rate(
    events: FloatArray, person_years: FloatArray, standard: FloatArray, conf_level: float
) -> Estimate:
    """Return the directly standardised rate per 1,000 person-years with Fay and Feuer's gamma interval.

    Estimand: the rate if the strata had the standard's shares. Estimator: the strata's rates, weighted.
    Limits: every stratum with a weight needs person-years; conservative in small samples.

    Parameters
    ----------
    events, person_years : arrays of shape (k,)
        By stratum.
    standard : array of shape (k,)
        Weights, e.g. the person-years of a standard; scaled to sum to 1.

    Source: Fay and Feuer 1997, Stat Med 16:791.
    """
    weighted = standard > 0
    events, person_years, standard = events[weighted], person_years[weighted], standard[weighted]
    if len(standard) == 0 or (person_years <= 0).any():
        return Estimate(problem="no subjects")
    weights = standard / standard.sum() / person_years
    rate, variance = float(weights @ events), float(weights**2 @ events)
    alpha, largest = 1 - conf_level, float(weights.max())
    lower = 0.0 if rate == 0 else variance / (2 * rate) * float(chi2.ppf(alpha / 2, 2 * rate**2 / variance))
    above, spread = rate + largest, variance + largest**2
    upper = spread / (2 * above) * float(chi2.ppf(1 - alpha / 2, 2 * above**2 / spread))
    return Estimate(
        value=1000 * rate, se=1000 * float(np.sqrt(variance)), lower=1000 * lower, upper=1000 * upper
    )

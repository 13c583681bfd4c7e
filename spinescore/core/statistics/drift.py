"""Whether what comes in looks like the reference: PSI, shift at fixed age, agreement of two scores."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.stats import chi2

from spinescore.core.statistics.estimate import Estimate, FloatArray, normal_quantile

BINS = 10
ADDED_PER_BIN = 0.5  # so that an empty bin has a logarithm
CHANCE_LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class AgeLine:
    """PAD expected at an age in the reference set: ``intercept + slope * age``, years."""

    intercept: float
    slope: float

    def residuals(self, pad: FloatArray, age: FloatArray) -> FloatArray:
        """Return PAD at fixed age: what it is above or below the line, years."""
        return pad - (self.intercept + self.slope * age)


@dataclass(frozen=True, slots=True)
class StabilityIndex:
    """A PSI, and what it stays below in 95 of 100 pairs of samples of one distribution."""

    value: float
    by_chance: float


@dataclass(frozen=True, slots=True)
class Agreement:
    """Two scores of the same images: mean and SD of the differences, and 95% limits of agreement, years."""

    n: int
    mean: float
    sd: float
    lower: float
    upper: float


def fit_age_line(pad: FloatArray, age: FloatArray) -> AgeLine | None:
    """Fit PAD on age by least squares in the reference set; None where ages do not differ.

    Parameters
    ----------
    pad, age : arrays of shape (n,), years, finite

    The residuals of raw spine age on age by the same rows' line are the same numbers (Beheshti et al. 2019).
    """
    if len(age) < 2 or np.ptp(age) == 0:
        return None
    slope, intercept = np.polyfit(age, pad, 1)
    return AgeLine(float(intercept), float(slope))


def population_stability_index(
    reference: FloatArray, current: FloatArray, bins: int = BINS
) -> StabilityIndex | None:
    """Measure how far a distribution has moved from a reference: sum of (q - p) ln(q / p) over bins.

    Parameters
    ----------
    reference, current : arrays of shape (m,) and (n,), finite
    bins : int
        Cut at the reference's quantiles (type 7); equal quantiles make one bin.

    Returns
    -------
    StabilityIndex or None
        None where either is empty or the reference does not vary.

    Notes
    -----
    p and q are (count + 0.5) / (n + 0.5 bins): a bin without images has a share, and small samples are drawn
    towards each other. Without drift the index is about (1/m + 1/n) times a chi-squared of bins - 1 degrees
    of freedom, so it is large by chance where images are few; ``by_chance`` is that one's 95% quantile.

    Source: Siddiqi 2006, Credit Risk Scorecards (the index and its customary 0.1 and 0.25); Yurdakul and
    Naranjo 2020, J Risk Model Validation 14(4):89 (its distribution).

    >>> same = np.arange(100.0)
    >>> population_stability_index(same, same).value
    0.0
    """
    if len(reference) == 0 or len(current) == 0:
        return None
    edges = np.unique(np.quantile(reference, np.linspace(0, 1, bins + 1)))
    if len(edges) < 2:
        return None
    inner = edges[1:-1]
    k = len(inner) + 1
    p, q = (_shares(np.bincount(np.searchsorted(inner, x), minlength=k)) for x in (reference, current))
    value = float(np.sum((q - p) * np.log(q / p)))
    spread = 1 / len(reference) + 1 / len(current)
    return StabilityIndex(value, float(chi2.ppf(CHANCE_LEVEL, k - 1)) * spread if k > 1 else 0.0)


def mean_shift(reference: FloatArray, current: FloatArray, conf_level: float = 0.95) -> Estimate:
    """Return the mean of ``current`` less that of ``reference``; Welch's standard error, normal interval.

    Source: Welch 1947, Biometrika 34:28.
    """
    if min(len(reference), len(current)) < 2:
        return Estimate(problem="fewer than 2 images")
    value = float(current.mean() - reference.mean())
    se = math.sqrt(current.var(ddof=1) / len(current) + reference.var(ddof=1) / len(reference))
    half = normal_quantile(conf_level) * se
    return Estimate(value=value, se=se, lower=value - half, upper=value + half)


def measure_agreement(old: FloatArray, new: FloatArray) -> Agreement | None:
    """Return how two scores of the same images differ (new less old); None for fewer than two images.

    Limits of agreement are mean +- 1.96 SD (ddof 1): some 95 of 100 images lie between them.

    Parameters
    ----------
    old, new : arrays of shape (n,), years, finite

    Source: Bland and Altman 1986, Lancet 1:307.

    >>> measure_agreement(np.array([60.0, 70.0]), np.array([61.0, 73.0])).mean
    2.0
    """
    if len(old) < 2:
        return None
    difference = new - old
    mean, sd = float(difference.mean()), float(difference.std(ddof=1))
    half = normal_quantile(0.95) * sd
    return Agreement(len(difference), mean, sd, mean - half, mean + half)


def _shares(counts: np.ndarray) -> FloatArray:
    smoothed: FloatArray = (counts + ADDED_PER_BIN) / (counts.sum() + ADDED_PER_BIN * len(counts))
    return smoothed

"""Is an age distribution as wide as its errors? Coverage of its intervals, and one temperature to mend it.

A class of one year is spread evenly over the half year on either side of it, so that the mean of what is
spread is the spine age m that is stored (sum_j j p_j).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from spinescore.core.statistics.classification import estimate_share
from spinescore.core.statistics.estimate import Estimate
from spinescore.errors import RecalibrationError

Array = NDArray[np.float64]
LEVELS = (0.5, 0.8, 0.9, 0.95)
MIN_IMAGES = 50
LOWEST, HIGHEST = 0.05, 20.0
AT_THE_EDGE = 1.001
SMALLEST = 1e-30  # a probability stored as float32 may be 0: its logarithm is not


@dataclass(frozen=True, slots=True, kw_only=True)
class Temperature:
    """A fitted temperature, and the mean negative log likelihood (nats per image) without and with it."""

    temperature: float
    n: int
    nll_before: float
    nll_after: float


@dataclass(frozen=True, slots=True, kw_only=True)
class IntervalCoverage:
    """How often the central interval of a nominal ``level`` holds the age, and how wide it is, years."""

    level: float
    n: int
    n_covered: int
    coverage: Estimate
    mean_width_years: float


def temper(distribution: NDArray[Any], temperature: float) -> NDArray[np.float32]:
    """Return p^(1/T), normalised: the same as softmax(logits / T).

    Parameters
    ----------
    distribution : ndarray, shape (N, K)
        Probabilities.
    temperature : float
        T; above 1 widens, below 1 narrows, 1 changes nothing.

    Examples
    --------
    >>> temper(np.array([[0.8, 0.2]]), 2.0).round(3).tolist()
    [[0.6669999957084656, 0.3330000042915344]]
    """
    if temperature == 1.0:
        return np.asarray(distribution, np.float32)
    log_p = _log(distribution) / temperature
    p = np.exp(log_p - log_p.max(axis=-1, keepdims=True))
    return np.asarray(p / p.sum(axis=-1, keepdims=True), np.float32)


def fit_temperature(distribution: NDArray[Any], ages: NDArray[Any], first_age: int) -> Temperature:
    """Fit the temperature of maximum likelihood on images the network was not trained on.

    Parameters
    ----------
    distribution : ndarray, shape (N, K)
        Probabilities at temperature 1.
    ages : ndarray, shape (N,)
        Chronological ages, years.
    first_age : int
        Age of the first class, years.

    Raises
    ------
    RecalibrationError
        If there are fewer than 50 images, or the likelihood still rises at 0.05 or 20.

    Notes
    -----
    Guo et al., ICML 2017. One image counts one, also where a subject has several.
    """
    ages = np.asarray(ages, np.float64)
    if ages.size < MIN_IMAGES:
        raise RecalibrationError(
            f"A temperature needs {MIN_IMAGES} images or more; there are {ages.size}.",
            "Widen the condition, or do without recalibration.",
        )
    log_p = _log(distribution)
    own = np.clip(np.floor(ages + 0.5).astype(int) - first_age, 0, log_p.shape[1] - 1)
    rows = np.arange(ages.size)

    def loss(log_temperature: float) -> float:
        scaled = log_p / np.exp(log_temperature)
        peak = scaled.max(axis=1)
        total = peak + np.log(np.exp(scaled - peak[:, None]).sum(axis=1))
        return float((total - scaled[rows, own]).mean())

    bounds = (float(np.log(LOWEST)), float(np.log(HIGHEST)))
    found = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-8})
    temperature = float(np.exp(found.x))
    if not LOWEST * AT_THE_EDGE < temperature < HIGHEST / AT_THE_EDGE:
        raise RecalibrationError(
            f"No temperature between {LOWEST:g} and {HIGHEST:g} fits these images best.",
            "The distributions say nothing of the ages' errors; look at the accuracy first.",
        )
    return Temperature(
        temperature=temperature, n=int(ages.size), nll_before=loss(0.0), nll_after=float(found.fun)
    )


def cumulative_share(distribution: NDArray[Any], ages: NDArray[Any], first_age: int) -> Array:
    """Return each distribution's mass below the age (the probability integral transform), shape (N,).

    Uniform on 0..1 where the distributions are what they should be.

    >>> cumulative_share(np.array([[0.5, 0.5]]), np.array([40.5]), 40)
    array([0.5])
    """
    p = np.asarray(distribution, np.float64)
    p = p / p.sum(axis=1, keepdims=True)
    position = np.clip(np.asarray(ages, np.float64) - first_age + 0.5, 0.0, p.shape[1])
    whole = np.minimum(position.astype(int), p.shape[1] - 1)
    rows = np.arange(len(p))
    below = np.concatenate([np.zeros((len(p), 1)), np.cumsum(p, axis=1)], axis=1)
    return np.asarray(below[rows, whole] + (position - whole) * p[rows, whole])


def age_quantile(distribution: NDArray[Any], first_age: int, share: float) -> Array:
    """Return the age below which ``share`` of each distribution lies, years, shape (N,).

    >>> age_quantile(np.array([[0.5, 0.5]]), 40, 0.75)
    array([41.])
    """
    p = np.asarray(distribution, np.float64)
    p = p / p.sum(axis=1, keepdims=True)
    reached = np.cumsum(p, axis=1)
    index = np.minimum((reached < share).sum(axis=1), p.shape[1] - 1)
    rows = np.arange(len(p))
    before = reached[rows, index] - p[rows, index]
    within = np.clip((share - before) / np.maximum(p[rows, index], SMALLEST), 0.0, 1.0)
    return np.asarray(first_age - 0.5 + index + within)


def interval_coverage(
    distribution: NDArray[Any],
    ages: NDArray[Any],
    first_age: int,
    levels: Sequence[float] = LEVELS,
    *,
    conf_level: float = 0.95,
) -> list[IntervalCoverage]:
    """Return, per nominal level, how often the central interval holds the chronological age.

    Parameters
    ----------
    distribution, ages, first_age
        As in :func:`fit_temperature`.
    levels : sequence of float
        Nominal coverages, between 0 and 1.
    conf_level : float
        Of the share's interval (Wilson).
    """
    o = np.asarray(ages, np.float64)
    found = []
    for level in levels:
        lower = age_quantile(distribution, first_age, 0.5 - level / 2)
        upper = age_quantile(distribution, first_age, 0.5 + level / 2)
        covered = int(((lower <= o) & (o <= upper)).sum())
        found.append(
            IntervalCoverage(
                level=level,
                n=int(o.size),
                n_covered=covered,
                coverage=estimate_share(covered, int(o.size), conf_level),
                mean_width_years=float((upper - lower).mean()),
            )
        )
    return found


def _log(distribution: NDArray[Any]) -> Array:
    return np.asarray(np.log(np.maximum(np.asarray(distribution, np.float64), SMALLEST)))

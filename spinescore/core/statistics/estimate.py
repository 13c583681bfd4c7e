"""What an estimator returns: a number, its uncertainty, or the reason there is none."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A number with its uncertainty; ``problem`` says why ``value`` is None where it is."""

    value: float | None = None
    se: float | None = None
    lower: float | None = None
    upper: float | None = None
    p_value: float | None = None
    df: float | None = None
    problem: str | None = None


def normal_quantile(conf_level: float) -> float:
    """Return z for a two-sided interval.

    >>> round(normal_quantile(0.95), 4)
    1.96
    """
    return float(ndtri(0.5 + conf_level / 2))


def two_sided_p(z: float) -> float:
    """Return the two-sided normal p of a z value, without underflow before 1e-300."""
    return math.erfc(abs(z) / math.sqrt(2))


def normal_interval(value: float, se: float, conf_level: float, *, test: bool = False) -> Estimate:
    """Wald's interval on the scale of ``value``; ``test`` adds the p against 0."""
    z = normal_quantile(conf_level)
    p = two_sided_p(value / se) if test and se > 0 else None
    return Estimate(value=value, se=se, lower=value - z * se, upper=value + z * se, p_value=p)


def log_ratio_interval(coefficient: float, se: float, conf_level: float) -> Estimate:
    """Return a ratio with Wald's interval; ``se`` stays on the log scale.

    >>> log_ratio_interval(0.0, 0.1, 0.95).value
    1.0
    """
    z = normal_quantile(conf_level)
    with np.errstate(over="ignore"):  # a bound beyond all numbers is infinite, and null in the results
        value, lower, upper = (float(np.exp(coefficient + k * se)) for k in (0, -z, z))
    return Estimate(
        value=value,
        se=se,
        lower=lower,
        upper=upper,
        p_value=two_sided_p(coefficient / se) if se > 0 else None,
    )


def clip_to_unit(estimate: Estimate) -> Estimate:
    """Keep the interval of a probability within [0, 1]."""
    lower, upper = estimate.lower, estimate.upper
    if lower is None or upper is None:
        return estimate
    return replace(estimate, lower=max(lower, 0.0), upper=min(upper, 1.0))

"""How far apart devices read spines of the same age: shifts of raw PAD at fixed age and sex."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.stats import f as fisher
from scipy.stats import t as student

from spinescore.core.statistics.estimate import Estimate, FloatArray, IntArray
from spinescore.core.statistics.splines import SMALLEST_COUNT, place_knots, restricted_cubic_spline

AGE_KNOTS = 4
FEWEST_SUBJECTS = 10


@dataclass(frozen=True, slots=True)
class DeviceShift:
    """Shifts of each level against the reference, in years, and the test of all levels together.

    ``shifts`` holds the levels but the reference, ``counts`` all; ``differ`` has the F value, its numerator
    ``df`` and p; ``residual_df`` is the denominator.
    """

    reference: int
    shifts: Mapping[int, Estimate]
    counts: Mapping[int, int]
    differ: Estimate
    residual_df: int
    n: int


def measure_device_shift(
    pad: FloatArray, age: FloatArray, male: FloatArray, levels: IntArray, conf_level: float
) -> DeviceShift | None:
    """Regress PAD on age (restricted cubic spline, 4 knots), sex and device; None where there is one device.

    Least squares with HC3 standard errors (devices differ in spread as well as in level), t intervals with
    n - p degrees of freedom, Wald's F for all devices together. The reference is the most frequent level, the
    lower number among equals. Levels of fewer than 10 subjects have no shift and are left out of the fit.

    Parameters
    ----------
    pad, age : arrays of shape (n,), years, finite
    male : array of shape (n,), 0 or 1
        Left out of the fit where it has one value, as is age.
    levels : array of shape (n,), from 0
    conf_level : float

    Source: MacKinnon and White 1985 (HC3); equal to R's ``lm`` with ``sandwich::vcovHC(type = "HC3")``.
    """
    counts = {int(level): int((levels == level).sum()) for level in np.unique(levels)}
    if len(counts) < 2:
        return None
    shown = [level for level, count in counts.items() if count >= FEWEST_SUBJECTS]
    reference = max(counts, key=lambda level: (counts[level], -level))
    compared = [level for level in shown if level != reference]
    few = {level: Estimate(problem=f"{count} subjects") for level, count in counts.items()}
    few.pop(reference)
    use = np.isin(levels, shown)
    if not compared:
        nothing = Estimate(problem="one device")
        return DeviceShift(reference, few, counts, nothing, 0, int(use.sum()))
    indicators = np.column_stack([levels[use] == level for level in compared]).astype(np.float64)
    fit = _fit(pad[use], np.column_stack([indicators, _adjustment(age[use], male[use])]))
    if fit is None:
        alike = Estimate(problem="devices cannot be told from age and sex")
        return DeviceShift(reference, few | dict.fromkeys(compared, alike), counts, alike, 0, int(use.sum()))
    coefficients, covariance, df = fit
    own = {
        level: _shift(coefficients[i], covariance[i, i], df, conf_level) for i, level in enumerate(compared)
    }
    differ = _wald(coefficients[: len(compared)], covariance[: len(compared), : len(compared)], df)
    return DeviceShift(reference, few | own, counts, differ, df, int(use.sum()))


def _adjustment(age: FloatArray, male: FloatArray) -> FloatArray:
    knots = place_knots(age, AGE_KNOTS)
    curve = restricted_cubic_spline(age, knots) if len(knots) >= SMALLEST_COUNT else age[:, None]
    columns = [np.ones((len(age), 1))]
    columns += [curve - curve.mean(axis=0)] if np.ptp(age) > 0 else []
    columns += [male[:, None]] if np.ptp(male) > 0 else []
    return np.hstack(columns)


def _fit(y: FloatArray, x: FloatArray) -> tuple[FloatArray, FloatArray, int] | None:
    """Return coefficients, their HC3 covariance and n - p; None where columns depend on one another."""
    n, p = x.shape
    if n <= p or np.linalg.matrix_rank(x) < p:
        return None
    q, r = np.linalg.qr(x)
    leverage = np.sum(q**2, axis=1)
    if leverage.max() > 1 - 1e-9:
        return None
    coefficients = np.linalg.solve(r, q.T @ y)
    weighted = q * ((y - x @ coefficients) / (1 - leverage))[:, None]
    inverse = np.linalg.inv(r)
    return coefficients, inverse @ (weighted.T @ weighted) @ inverse.T, n - p


def _shift(value: float, variance: float, df: int, conf_level: float) -> Estimate:
    se = float(np.sqrt(variance))
    half = float(student.ppf(0.5 + conf_level / 2, df)) * se
    p = 2 * float(student.sf(abs(value) / se, df)) if se > 0 else None
    return Estimate(
        value=float(value), se=se, lower=float(value) - half, upper=float(value) + half, p_value=p, df=df
    )


def _wald(coefficients: FloatArray, covariance: FloatArray, df: int) -> Estimate:
    k = len(coefficients)
    statistic = float(coefficients @ np.linalg.solve(covariance, coefficients)) / k
    return Estimate(value=statistic, p_value=float(fisher.sf(statistic, k, df)), df=k)

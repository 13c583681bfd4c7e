"""Rubin's rules: one estimate, interval and joint test from the fits to several imputed copies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import f as fisher
from scipy.stats import t as student

from spinescore.core.statistics.estimate import Estimate, FloatArray

LEAST_SHARE = 1e-4  # of the variance that is due to missing values, as mice has it: df stay finite
NOTHING_MISSING = 1e-12  # rounding alone lies between imputations that agree


@dataclass(frozen=True, slots=True)
class Pooled:
    """Coefficients averaged over m imputations, with their variance within and between them.

    Parameters
    ----------
    coefficients : array of shape (p,)
    within, between : arrays of shape (p, p)
    m : int
    df_complete : float
        Degrees of freedom if nothing were missing: events - p.
    """

    coefficients: FloatArray
    within: FloatArray
    between: FloatArray
    m: int
    df_complete: float

    def variance(self, column: int) -> float:
        """Return the total variance of a coefficient."""
        return float(self.within[column, column] + self._due_to_missing(column))

    def _due_to_missing(self, column: int) -> float:
        return float((1 + 1 / self.m) * self.between[column, column])

    def df(self, column: int) -> float:
        """Return Barnard and Rubin's degrees of freedom of a coefficient.

        Source: Barnard and Rubin 1999, Biometrika 86:948.
        """
        share = max(self._due_to_missing(column) / self.variance(column), LEAST_SHARE)
        old = (self.m - 1) / share**2
        if not np.isfinite(self.df_complete):
            return old
        observed = (self.df_complete + 1) / (self.df_complete + 3) * self.df_complete * (1 - share)
        return old * observed / (old + observed)

    def missing_information(self, column: int) -> float:
        """Return the fraction of missing information of a coefficient; 0 where the imputations agree.

        Source: Rubin 1987, (3.1.10), with Barnard and Rubin's degrees of freedom.
        """
        increase = self._due_to_missing(column) / float(self.within[column, column])
        if increase < NOTHING_MISSING:
            return 0.0
        return (increase + 2 / (self.df(column) + 3)) / (1 + increase)


def pool_fits(
    coefficients: Sequence[FloatArray], covariances: Sequence[FloatArray], df_complete: float
) -> Pooled:
    """Average the fits of m >= 2 imputed copies.

    Parameters
    ----------
    coefficients : sequence of m arrays of shape (p,)
        On the log scale for ratios.
    covariances : sequence of m arrays of shape (p, p)
    df_complete : float

    Source: Rubin 1987, Multiple Imputation for Nonresponse in Surveys, ch. 3.
    """
    stacked = np.stack(coefficients)
    between = np.atleast_2d(np.cov(stacked, rowvar=False, ddof=1))
    within = np.mean(np.stack(covariances), axis=0)
    return Pooled(stacked.mean(axis=0), within, between, len(stacked), df_complete)


def estimate_pooled_ratio(pooled: Pooled, column: int, scale: float, conf_level: float) -> Estimate:
    """Return the ratio per ``scale`` of a column, with the t interval and p of the log scale."""
    value = float(pooled.coefficients[column]) * scale
    se = float(np.sqrt(pooled.variance(column))) * scale
    df = pooled.df(column)
    half = float(student.ppf(0.5 + conf_level / 2, df)) * se
    with np.errstate(over="ignore"):  # a bound beyond all numbers is infinite, and null in the results
        ratio, lower, upper = (float(np.exp(value + k * half)) for k in (0, -1, 1))
    p = float(2 * student.sf(abs(value) / se, df)) if se > 0 else None
    return Estimate(value=ratio, se=se, lower=lower, upper=upper, p_value=p, df=df)


@dataclass(frozen=True, slots=True)
class JointTest:
    """An F test: its value, numerator df and p as an ``Estimate``, and the denominator df."""

    estimate: Estimate
    denominator_df: float


def joint_test(pooled: Pooled, columns: Sequence[int]) -> JointTest:
    """Test whether some coefficients are all 0 (D1).

    The between-imputation covariance is taken as proportional to that within, its factor from the trace.
    Denominator df: Reiter's, which know ``df_complete``; for one coefficient Barnard and Rubin's, so that
    the test is that of its interval.

    Source: Li, Raghunathan and Rubin 1991, JASA 86:1065; Reiter 2007, Biometrika 94:502.
    """
    chosen = np.ix_(list(columns), list(columns))
    k, m = len(columns), pooled.m
    part, within = pooled.coefficients[list(columns)], pooled.within[chosen]
    increase = (1 + 1 / m) * float(np.trace(np.linalg.solve(within, pooled.between[chosen]))) / k
    statistic = float(part @ np.linalg.solve(within, part)) / (k * (1 + increase))
    df = pooled.df(columns[0]) if k == 1 else _joint_df(pooled, columns, increase)
    p = float(fisher.sf(statistic, k, df))
    return JointTest(Estimate(value=statistic, df=float(k), p_value=p), df)


def _joint_df(pooled: Pooled, columns: Sequence[int], increase: float) -> float:
    increase = max(increase, LEAST_SHARE)
    t = len(columns) * (pooled.m - 1)
    if np.isfinite(pooled.df_complete):
        return _reiter_df(pooled, columns, t, increase * t / (t - 2))
    if t > 4:
        return float(4 + (t - 4) * (1 + (1 - 2 / t) / increase) ** 2)
    return float(t * (1 + 1 / len(columns)) * (1 + 1 / increase) ** 2 / 2)


def _reiter_df(pooled: Pooled, columns: Sequence[int], t: int, a: float) -> float:
    complete = (pooled.df_complete + 1) / (pooled.df_complete + 3) * pooled.df_complete
    two, four = complete - 2 * (1 + a), complete - 4 * (1 + a)
    if four < 1 or t <= 4:  # the expansion is undefined: the least of the coefficients' own
        return min(pooled.df(column) for column in columns)
    series = (
        two / ((1 + a) ** 2 * four)
        + 8 * two / ((1 + a) * four**2)
        + 4 / ((1 + a) * four)
        + 4 / (four * two)
        + 16 * two / four**3
        + 8 / four**2
    )
    return 4 + 1 / (1 / four + a**2 * series / (t - 4))

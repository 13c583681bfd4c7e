"""How a value changes between a subject's imaging days: a line per subject, and how those lines spread.

A change is a least-squares slope of daily means on time, years per year. The mean of the slopes is the
estimand (every subject counts once, whatever their span); ``random_slopes`` weighs them. What measurement
error alone would do to the slopes is worked out from the within-subject SD and each subject's own days
(after Bland & Altman 1999, Stat Methods Med Res 8:135, and Schlesselman 1973, J Chronic Dis 26:561).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr
from scipy.stats import beta, chi2
from scipy.stats import t as student

from spinescore.core.statistics.estimate import Estimate, FloatArray, IntArray, normal_quantile
from spinescore.core.statistics.repeated_images import Days
from spinescore.domain import DAYS_PER_YEAR

QUANTILES = {
    "change_p05": 0.05,
    "change_q1": 0.25,
    "change_median": 0.5,
    "change_q3": 0.75,
    "change_p95": 0.95,
}
NO_SPREAD = "constant predictor"
DENSITY_LEVELS = 256


@dataclass(frozen=True, slots=True)
class Slopes:
    """One line per subject: ``change`` in years per year from ``n_days`` days over ``span_years``.

    ``intercept`` is the line's value on the first day. ``a11, a12, a22`` are the inverse of the line's
    cross-product matrix (intercept, slope; time from the first day) and ``residual`` its sum of squares.
    ``error`` is the SD of ``change`` that an error of SD 1 in each single image gives.
    """

    subject: IntArray
    n_days: IntArray
    first_day: IntArray
    span_years: FloatArray
    intercept: FloatArray
    change: FloatArray
    residual: FloatArray
    a11: FloatArray
    a12: FloatArray
    a22: FloatArray
    error: FloatArray


@dataclass(frozen=True, slots=True)
class Followed:
    """Who is followed over time: the slopes, and how many subjects have none and why."""

    slopes: Slopes
    n_one_day: int
    n_span_too_short: int


def fit_slopes(days: Days, least_years: float) -> Followed:
    """Fit a least-squares line to the daily means of every subject with two days ``least_years`` apart.

    >>> days = Days(*map(np.array, ([1, 1], [0, 1461], [60.0, 62.0], [1, 1], [0.0, 0.0])))
    >>> fit_slopes(days, 0.5).slopes.change.tolist()
    [0.5]
    """
    starts = np.unique(days.subject, return_index=True)[1]
    n = np.diff(np.append(starts, len(days.subject)))
    first = days.day[starts]
    span = (days.day[starts + n - 1] - first) / DAYS_PER_YEAR if len(n) else np.empty(0)
    chosen = (n >= 2) & (span >= least_years * (1 - 1e-12))
    kept = days.take(np.repeat(chosen, n))
    slopes = _fit_lines(kept, n[chosen], first[chosen], np.asarray(span)[chosen])
    return Followed(slopes, int((n == 1).sum()), int((~chosen & (n >= 2)).sum()))


def _fit_lines(days: Days, n: IntArray, first: IntArray, span: FloatArray) -> Slopes:
    if len(n) == 0:
        none = np.empty(0)
        return Slopes(n, n, first, span, *([none] * 7))
    starts = np.concatenate([[0], np.cumsum(n)[:-1]])

    def per_subject(values: FloatArray) -> FloatArray:
        return np.add.reduceat(values, starts)

    time = (days.day - np.repeat(first, n)) / DAYS_PER_YEAR
    time_mean, mean = per_subject(time) / n, per_subject(days.mean) / n
    time_off, off = time - np.repeat(time_mean, n), days.mean - np.repeat(mean, n)
    squares = per_subject(time_off**2)
    change = per_subject(time_off * off) / squares
    return Slopes(
        subject=days.subject[starts],
        n_days=n,
        first_day=first,
        span_years=span,
        intercept=mean - change * time_mean,
        change=change,
        residual=per_subject((off - np.repeat(change, n) * time_off) ** 2),
        a11=1 / n + time_mean**2 / squares,
        a12=-time_mean / squares,
        a22=1 / squares,
        error=np.sqrt(per_subject(time_off**2 / days.n_images)) / squares,
    )


def average_change(slopes: Slopes, conf_level: float) -> Estimate:
    """Return the mean of the subjects' changes with its t interval; p against 0."""
    n = len(slopes.change)
    if n < 2:
        return Estimate(problem=_few(n))
    mean, se = float(slopes.change.mean()), float(slopes.change.std(ddof=1)) / math.sqrt(n)
    half = float(student.ppf(0.5 + conf_level / 2, n - 1)) * se
    p = float(2 * student.sf(abs(mean) / se, n - 1)) if se > 0 else None
    return Estimate(value=mean, se=se, lower=mean - half, upper=mean + half, p_value=p, df=float(n - 1))


def spread_of_change(slopes: Slopes, conf_level: float) -> Estimate:
    """Return the SD of the changes (ddof 1) with its chi-square interval: true spread and error together."""
    n = len(slopes.change)
    if n < 2:
        return Estimate(problem=_few(n))
    sd = float(slopes.change.std(ddof=1))
    if not sd > 0:
        return Estimate(problem=NO_SPREAD)
    quantiles = chi2.ppf([0.5 + conf_level / 2, 0.5 - conf_level / 2], n - 1)
    lower, upper = (sd * math.sqrt((n - 1) / q) for q in quantiles)
    return Estimate(value=sd, lower=lower, upper=upper, df=float(n - 1))


def spread_from_error(slopes: Slopes, within_subject_sd: Estimate) -> Estimate:
    """Return the SD of the changes that measurement error alone would give over these days and images."""
    if within_subject_sd.value is None or len(slopes.change) == 0:
        return Estimate(problem=within_subject_sd.problem or _few(len(slopes.change)))
    factor = math.sqrt(float(np.mean(slopes.error**2)))
    names = ("value", "se", "lower", "upper")
    scaled = {n: None if (v := getattr(within_subject_sd, n)) is None else factor * v for n in names}
    return Estimate(**scaled, df=within_subject_sd.df)


def describe_change(slopes: Slopes) -> dict[str, Estimate]:
    """Return quantiles (type 7) of the changes by name."""
    if len(slopes.change) == 0:
        return {name: Estimate(problem=_few(0)) for name in QUANTILES}
    values = np.quantile(slopes.change, list(QUANTILES.values()))
    return {name: Estimate(value=float(v)) for name, v in zip(QUANTILES, values, strict=True)}


def share_beyond_error(
    slopes: Slopes, within_subject_sd: Estimate, conf_level: float
) -> tuple[Estimate, int]:
    """Return the share of subjects whose change exceeds the smallest detectable over their own days, and n.

    Error alone leads to a share of 1 - ``conf_level``. Exact binomial interval (Clopper & Pearson 1934,
    Biometrika 26:404), which takes the within-subject SD as known.
    """
    n = len(slopes.change)
    if within_subject_sd.value is None or n == 0:
        return Estimate(problem=within_subject_sd.problem or _few(n)), 0
    limit = normal_quantile(conf_level) * within_subject_sd.value * slopes.error
    beyond = int((np.abs(slopes.change) > limit).sum())
    tail = 0.5 - conf_level / 2
    lower = float(beta.ppf(tail, beyond, n - beyond + 1)) if beyond else 0.0
    upper = float(beta.ppf(1 - tail, beyond + 1, n - beyond)) if beyond < n else 1.0
    return Estimate(value=beyond / n, lower=lower, upper=upper), beyond


def error_distribution(slopes: Slopes, within_subject_sd: float, at: FloatArray) -> FloatArray:
    """Return the distribution function of change if there were measurement error alone, about no change.

    A mixture of normals with each subject's own SD; more than ``DENSITY_LEVELS`` subjects are taken by as
    many quantiles of that SD.
    """
    error = slopes.error
    if len(error) > DENSITY_LEVELS:
        error = np.quantile(error, (np.arange(DENSITY_LEVELS) + 0.5) / DENSITY_LEVELS)
    return np.asarray(ndtr(at[:, None] / (within_subject_sd * error[None, :])).mean(axis=1))


def detect_per_year(slopes: Slopes, within_subject_sd: Estimate, conf_level: float) -> Estimate:
    """Return the median over subjects of the smallest detectable change per year, over their own days."""
    if within_subject_sd.value is None or len(slopes.change) == 0:
        return Estimate(problem=within_subject_sd.problem or _few(len(slopes.change)))
    factor = normal_quantile(conf_level) * float(np.median(slopes.error))
    names = ("value", "se", "lower", "upper")
    scaled = {n: None if (v := getattr(within_subject_sd, n)) is None else factor * v for n in names}
    return Estimate(**scaled, df=within_subject_sd.df)


def _few(n: int) -> str:
    return f"{n} subjects" if n else "no subjects"

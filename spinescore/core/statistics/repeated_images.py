"""How far two images of one person on one day disagree: measurement error, its ICC, the change it hides.

Every function takes the images of one kind, as arrays sorted by subject and day (``average_days``).
Sources: Bland & Altman 1996, BMJ 313:744 (within-subject SD); Shrout & Fleiss 1979, Psychol Bull 86:420 and
McGraw & Wong 1996, Psychol Methods 1:30 (ICC(1,1)); de Vet et al. 2006, J Clin Epidemiol 59:1033 (smallest
detectable change). Assumed throughout: errors of one SD whatever the age, independent, about normal. Images
of one day leave out what differs between days, so all of this is a lower limit of the error between visits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.stats import chi2
from scipy.stats import f as fisher
from scipy.stats import t as student

from spinescore.core.statistics.estimate import BoolArray, Estimate, FloatArray, IntArray, normal_quantile

NO_REPEATS = "no same-day repeats"
NO_VARIANCE = "no variance within days"
MOST_ICC = 1 - 1e-12


@dataclass(frozen=True, slots=True)
class Days:
    """The days on which subjects have images, sorted by subject and day.

    ``subject`` and ``day`` are whole numbers (a day is counted from any fixed date), ``mean`` the mean of the
    day's ``n_images`` values in years, ``squares`` their sum of squares about it.
    """

    subject: IntArray
    day: IntArray
    mean: FloatArray
    n_images: IntArray
    squares: FloatArray

    def take(self, rows: IntArray | BoolArray) -> Days:
        """Return some of the days."""
        parts = (self.subject, self.day, self.mean, self.n_images, self.squares)
        return Days(*(part[rows] for part in parts))  # type: ignore[arg-type]


def average_days(subject: IntArray, day: IntArray, value: FloatArray) -> Days:
    """Average the known values of each subject's day; the rows must be sorted by subject, then day.

    >>> days = average_days(np.array([1, 1, 1]), np.array([5, 5, 9]), np.array([60.0, 62.0, 63.0]))
    >>> days.mean.tolist(), days.squares.tolist()
    ([61.0, 63.0], [2.0, 0.0])
    """
    known = np.isfinite(value)
    subject, day, value = subject[known], day[known], value[known]
    if len(value) == 0:
        return Days(subject, day, value, subject, value)
    starts = _starts((subject[1:] != subject[:-1]) | (day[1:] != day[:-1]))
    n = np.diff(np.append(starts, len(value)))
    mean = np.add.reduceat(value, starts) / n
    squares = np.add.reduceat((value - np.repeat(mean, n)) ** 2, starts)
    return Days(subject[starts], day[starts], mean, n, squares)


def _starts(changes: BoolArray) -> IntArray:
    return np.concatenate([[0], np.flatnonzero(changes) + 1])


def repeated_days(days: Days) -> Days:
    """Return the days with two images or more."""
    return days.take(days.n_images >= 2)


def first_repeated_days(days: Days) -> Days:
    """Return each subject's first day with two images or more: one group a subject."""
    repeated = repeated_days(days)
    return repeated.take(np.unique(repeated.subject, return_index=True)[1])


def estimate_within_subject_sd(days: Days, conf_level: float) -> Estimate:
    """Return the SD of a single image's value about its subject's mean of that day, years.

    Estimator: square root of the pooled variance within all days that have repeats; exact chi-square
    interval; ``se`` is s / sqrt(2 df). Of no use where the values were rounded to whole years.
    """
    repeated = repeated_days(days)
    df = int((repeated.n_images - 1).sum())
    if df == 0:
        return Estimate(problem=NO_REPEATS)
    squares = float(repeated.squares.sum())
    if not squares > 0:
        return Estimate(problem=NO_VARIANCE)
    lower, upper = (
        math.sqrt(squares / q) for q in chi2.ppf([0.5 + conf_level / 2, 0.5 - conf_level / 2], df)
    )
    sd = math.sqrt(squares / df)
    return Estimate(value=sd, se=sd / math.sqrt(2 * df), lower=lower, upper=upper, df=float(df))


def detect_change(within_subject_sd: Estimate, conf_level: float) -> Estimate:
    """Return the smallest detectable change between two single images, z sqrt(2) SD, with the SD's interval.

    A change beyond it is one that measurement error alone brings about in 1 - ``conf_level`` of subjects.
    """
    factor = normal_quantile(conf_level) * math.sqrt(2)
    names = ("value", "se", "lower", "upper")
    scaled = {n: None if (v := getattr(within_subject_sd, n)) is None else factor * v for n in names}
    return Estimate(**scaled, df=within_subject_sd.df, problem=within_subject_sd.problem)


def pair_up(subject: IntArray, day: IntArray, value: FloatArray) -> tuple[IntArray, IntArray]:
    """Return the rows of the first and second known image of each subject's first day with repeats.

    The rows must be sorted by subject, day and order within the day.

    >>> pair_up(np.array([1, 1, 1, 2]), np.array([5, 9, 9, 5]), np.array([60.0, 62.0, 63.0, 50.0]))
    (array([1]), array([2]))
    """
    known = np.flatnonzero(np.isfinite(value))
    before, after = known[:-1], known[1:]
    same = np.flatnonzero((subject[before] == subject[after]) & (day[before] == day[after]))
    first = same[np.unique(subject[before][same], return_index=True)[1]]
    return before[first], after[first]


def compare_in_order(first: FloatArray, second: FloatArray, conf_level: float) -> Estimate:
    """Return the mean of second minus first image of a day, years: a paired t test of no drift."""
    difference = second - first
    n = len(difference)
    if n < 2:
        return Estimate(problem=f"{n} subjects" if n else NO_REPEATS)
    mean, se = float(difference.mean()), float(difference.std(ddof=1)) / math.sqrt(n)
    half = float(student.ppf(0.5 + conf_level / 2, n - 1)) * se
    p = float(2 * student.sf(abs(mean) / se, n - 1)) if se > 0 else None
    return Estimate(value=mean, se=se, lower=mean - half, upper=mean + half, p_value=p, df=float(n - 1))


def estimate_icc(days: Days, conf_level: float) -> Estimate:
    """Return ICC(1,1): the share of the variance of a single image's value that lies between subjects.

    Estimator: one-way random-effects analysis of variance over each subject's first day with repeats, with
    n0 = (N - sum n^2 / N) / (k - 1) images a subject (Searle, Casella & McCulloch 1992, Variance Components,
    section 3.6); it can be negative. Interval: Wald's, exact for unequal n (Wald 1940, Ann Math Stat 11:96),
    which is McGraw & Wong's F interval where n is equal.
    Limits: it speaks of subjects with repeats; a wider range of ages raises it (of spine age, not of PAD).
    """
    groups = first_repeated_days(days)
    k = len(groups.mean)
    if k < 2:
        return Estimate(problem=f"{k} subjects with same-day repeats" if k else NO_REPEATS)
    within = float(groups.squares.sum()) / int((groups.n_images - 1).sum())
    if not within > 0:
        return Estimate(problem=NO_VARIANCE)
    n = groups.n_images
    total = int(n.sum())
    between = _weighted_square(_Sizes.of(groups), n_ratio=0.0) / (k - 1)
    typical = (total - float((n.astype(float) ** 2).sum()) / total) / (k - 1)
    value = (between - within) / (between + (typical - 1) * within)
    lower, upper = _exact_interval(_Sizes.of(groups), within, total - k, conf_level)
    return Estimate(value=value, lower=lower, upper=upper)


@dataclass(frozen=True, slots=True)
class _Sizes:
    """Groups of one size taken together: their size, number, sum and sum of squares of means."""

    size: FloatArray
    number: FloatArray
    total: FloatArray
    squares: FloatArray

    @staticmethod
    def of(groups: Days) -> _Sizes:
        size, code = np.unique(groups.n_images, return_inverse=True)
        mean = groups.mean - groups.mean.mean()
        number, total, squares = (
            np.bincount(code, weights).astype(float) for weights in (np.ones_like(mean), mean, mean**2)
        )
        return _Sizes(size.astype(float), number, total, squares)


def _weighted_square(sizes: _Sizes, n_ratio: float) -> float:
    """Return the sum of squares of group means about theirs, weighted by n / (1 + n_ratio n)."""
    weight = sizes.size / (1 + n_ratio * sizes.size)
    mean = float(weight @ sizes.total) / float(weight @ sizes.number)
    return float(weight @ (sizes.squares - 2 * mean * sizes.total + mean**2 * sizes.number))


def _exact_interval(sizes: _Sizes, within: float, df_within: int, conf_level: float) -> tuple[float, float]:
    """Invert F(k - 1, N - k), which the weighted mean square over the one within has at the true ratio."""
    df_between = float(sizes.number.sum()) - 1
    least = -1 / (float(sizes.size.max()) - 1) + 1e-12

    def excess(icc: float, quantile: float) -> float:
        ratio = icc / (1 - icc)
        return _weighted_square(sizes, ratio) / (df_between * within) / quantile - 1

    bounds = []
    for probability in (0.5 + conf_level / 2, 0.5 - conf_level / 2):
        quantile = float(fisher.ppf(probability, df_between, df_within))
        if excess(least, quantile) <= 0:  # no ICC is small enough: the limit of what it can be
            bounds.append(least)
        elif excess(MOST_ICC, quantile) >= 0:
            bounds.append(1.0)
        else:
            bounds.append(float(brentq(excess, least, MOST_ICC, args=(quantile,), xtol=1e-15, rtol=1e-14)))
    return bounds[0], bounds[1]

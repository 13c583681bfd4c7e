"""Restricted cubic splines: where the knots go, and the columns."""

from __future__ import annotations

import numpy as np

from spinescore.core.statistics.estimate import FloatArray

SMALLEST_COUNT = 3
SMALL_SAMPLE = 100  # below it the outer knots are the fifth values from either end
FIFTH = 4
PILE = 0.05  # share of subjects at an extreme value from which the extreme is passed over


def place_knots(values: FloatArray, count: int) -> FloatArray:
    """Return knots at Harrell's quantiles of the values, ascending and distinct.

    Equally spaced probabilities between 0.1 and 0.9 (3 knots), 0.05 and 0.95 (4 to 6) or 0.025 and 0.975
    (7 and more), quantiles of type 7; below 100 values the outer knots are the fifth smallest and largest.
    Where 5% or more share the smallest (largest) value and no other value has so many, the outer knot is the
    next value. Where quantiles coincide there are fewer knots than asked for.

    Parameters
    ----------
    values : array of shape (n,), finite
    count : int
        At least 3. Fewer than 3 returned means that no spline can be made of these values.

    Source: Harrell 2015, Regression Modeling Strategies, 2.4.6; equal to ``Hmisc::rcspline.eval``.
    """
    distinct, counts = np.unique(values, return_counts=True)
    if len(distinct) - 2 <= count:
        return distinct[1:-1]
    inner, first, last = values, np.empty(0), np.empty(0)
    share = counts / len(values)
    if share[1:-1].max() < PILE:
        if share[0] >= PILE:
            first = distinct[1:2]
            inner = inner[inner > first]
        if share[-1] >= PILE:
            last = distinct[-2:-1]
            inner = inner[inner < last]
    wanted = count - len(first) - len(last)
    middle = _quantile_knots(inner, wanted, outer=_outer_probability(count))
    if FIFTH < len(inner) < SMALL_SAMPLE and wanted > 1:
        ordered = np.sort(inner)
        if not len(first):
            middle[0] = ordered[FIFTH]
        if not len(last):
            middle[-1] = ordered[-1 - FIFTH]
    return np.unique(np.concatenate([first, middle, last]))


def _outer_probability(count: int) -> float:
    if count == SMALLEST_COUNT:
        return 0.1
    return 0.05 if count <= 6 else 0.025


def _quantile_knots(values: FloatArray, count: int, outer: float) -> FloatArray:
    if count == 1:
        return np.array([np.median(values)])
    lowest = 0.5 if count == 2 else outer
    knots = np.quantile(values, np.linspace(lowest, 1 - outer, count))
    if len(np.unique(knots)) < min(count, SMALLEST_COUNT):
        knots = np.quantile(values, np.linspace(outer, 1 - outer, 2 * count))
    return np.asarray(knots, dtype=np.float64)


def restricted_cubic_spline(values: FloatArray, knots: FloatArray) -> FloatArray:
    """Return the columns of a cubic spline that is linear beyond the outer knots; shape (n, k - 1).

    The first column is the value itself, so that a test of the others is one of non-linearity. The others
    are divided by the squared distance of the outer knots, which brings them to the value's own scale.

    Parameters
    ----------
    values : array of shape (n,)
    knots : array of shape (k,), ascending, distinct, k >= 3

    Source: Stone and Koo 1985; Harrell 2015, 2.4.5; equal to ``Hmisc::rcspline.eval`` with ``norm = 2``.
    """
    beyond = np.maximum(values[:, None] - knots, 0.0) ** 3
    last_gap = knots[-1] - knots[-2]
    columns = np.empty((len(values), len(knots) - 1))
    columns[:, 0] = values
    for j, knot in enumerate(knots[:-2]):
        tail = (knots[-2] - knot) * beyond[:, -1] - (knots[-1] - knot) * beyond[:, -2]
        columns[:, j + 1] = (beyond[:, j] + tail / last_gap) / (knots[-1] - knots[0]) ** 2
    return columns

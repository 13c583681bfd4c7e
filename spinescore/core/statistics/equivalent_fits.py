"""One fit for all who ask: the same columns twice, or columns that are lines in those fitted before."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Generic, TypeVar

import numpy as np

from spinescore.core.statistics.cox import CoxFit
from spinescore.core.statistics.estimate import FloatArray, IntArray
from spinescore.core.statistics.logistic import LogisticFit

LINE_TOLERANCE = 1e-10  # of the column's SD: what rounding leaves of an exact line
Fit = TypeVar("Fit", CoxFit, LogisticFit)


@dataclass(frozen=True, slots=True)
class Line:
    """A column as ``slope`` times another plus ``along`` times the covariates plus a constant."""

    slope: float
    along: FloatArray


def find_line(column: FloatArray, other: FloatArray, covariates: FloatArray) -> Line | None:
    """Return how a column is an exact line in another and the covariates; None where it is not.

    Spine age, its difference from age and Beheshti's correction of either are such lines in each other
    once age is a covariate.

    Parameters
    ----------
    column, other : arrays of shape (n,)
    covariates : array of shape (n, p)
    """
    given = np.vstack([other, covariates.T])
    given = given - given.mean(axis=1, keepdims=True)
    wanted = column - column.mean()
    size, spread = np.sqrt(np.mean(wanted**2)), np.sqrt(np.einsum("ij,ij->i", given, given) / len(column))
    if size == 0 or (spread == 0).any():
        return None
    given /= spread[:, None]
    gram, found = given @ given.T, np.zeros(len(given))
    try:
        for _ in range(2):  # the second time takes out what the normal equations' rounding left
            found += np.linalg.solve(gram, given @ (wanted - found @ given))
    except np.linalg.LinAlgError:
        return None
    rest = np.sqrt(np.mean((wanted - found @ given) ** 2))
    if not rest <= LINE_TOLERANCE * size or abs(found[0]) <= np.sqrt(LINE_TOLERANCE) * size:
        return None
    found = found / spread
    return Line(float(found[0]), found[1:])


def transform_fit(fit: Fit, line: Line) -> Fit:
    """Return the fit of the model whose first column is a line in that of ``fit``.

    The linear predictors are the same; with column = slope other + covariates @ along, the coefficient of
    the column is that of the other over the slope, and the covariates' give back what it took along.
    """
    p = len(fit.coefficients)
    change = np.eye(p)
    change[0, 0] = 1 / line.slope
    change[1:, 0] = -line.along / line.slope
    return replace(fit, coefficients=change @ fit.coefficients, covariance=change @ fit.covariance @ change.T)


@dataclass(frozen=True, slots=True)
class Fits(Generic[Fit]):
    """Fits remembered by what they were fitted to."""

    exact: dict[tuple[object, ...], Fit] = field(default_factory=dict)
    lines: dict[tuple[object, ...], list[tuple[FloatArray, Fit]]] = field(default_factory=dict)

    def get(
        self,
        kind: str,
        rows: IntArray,
        predictors: FloatArray,
        covariates: FloatArray,
        make: Callable[[FloatArray], Fit],
    ) -> Fit:
        """Return the fit of predictors and covariates to some rows, made only if none tells it.

        Parameters
        ----------
        kind : str
            Model and outcome: fits of different kinds have nothing to do with each other.
        rows : integer array of shape (n,)
        predictors, covariates : arrays of shape (n, q) and (n, p)
        make : callable
            From all columns, predictors first, to their fit.
        """
        matrix = np.vstack([predictors.T, covariates.T]).T
        key = _recognise(kind, rows, matrix)
        if key not in self.exact:
            if predictors.shape[1] == 1 and len(rows):
                known = self.lines.setdefault(_recognise(kind, rows, covariates), [])
                self.exact[key] = _fit_by_line(known, predictors[:, 0], covariates) or make(matrix)
                known.append((predictors[:, 0], self.exact[key]))
            else:
                self.exact[key] = make(matrix)
        return self.exact[key]


def _fit_by_line(
    known: Sequence[tuple[FloatArray, Fit]], column: FloatArray, covariates: FloatArray
) -> Fit | None:
    for other, fit in known:
        line = None if fit.problem else find_line(column, other, covariates)
        if line is not None:
            return transform_fit(fit, line)
    return None


def _recognise(kind: str, rows: IntArray, matrix: FloatArray) -> tuple[object, ...]:
    """Return a key that other rows or columns do not share: projections on two random directions.

    Two data sets of one key would have to agree in every column's inner product with both directions to the
    last bit, which nobody who is not trying to can bring about.
    """
    directions = _directions(len(rows))
    seen = (rows @ directions, matrix.T @ directions)
    return kind, matrix.shape, *(projection.tobytes() for projection in seen)


@lru_cache(maxsize=4)
def _directions(n: int) -> FloatArray:
    return np.random.default_rng(n).standard_normal((n, 2))

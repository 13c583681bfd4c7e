"""What a parity case is: a statistic by its convention, R's call, and our number beside R's."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from spinescore.core.statistics.cox import CoxFit
from spinescore.core.statistics.estimate import Estimate, FloatArray
from spinescore.errors import SpineScoreError

CLOSED_FORM = 1e-9
ITERATED = 1e-6
FLOOR = 1e-13  # of the largest number of a grid: rounding of those of its numbers that are zero


@dataclass(frozen=True, slots=True)
class Comparison:
    """One statistic: our numbers beside R's, NaN where there is none.

    Parameters
    ----------
    statistic : str
    ours, reference : arrays of shape (k,)
        One number, or those of one grid (horizons, thresholds, subjects).
    tolerance : float
        Largest relative difference that counts as agreement.
    of_one_scale : bool
        Whether differences are relative to the largest number of the grid: for numbers near zero that are
        differences of larger ones.
    """

    statistic: str
    ours: FloatArray
    reference: FloatArray
    tolerance: float
    of_one_scale: bool = False

    @property
    def differences(self) -> FloatArray:
        """Return the absolute differences; infinite where only one side has a number."""
        both = np.isfinite(self.ours) & np.isfinite(self.reference)
        neither = np.isnan(self.ours) & np.isnan(self.reference)
        with np.errstate(invalid="ignore"):  # infinity less infinity, which the mask leaves out
            return np.where(both, np.abs(self.ours - self.reference), np.where(neither, 0.0, np.inf))

    @property
    def relative_differences(self) -> FloatArray:
        """Return them relative to R's numbers; where R's is zero, to the largest of the grid."""
        size = np.abs(np.nan_to_num(self.reference))
        largest = float(size.max()) or 1.0
        own = (size > FLOOR * largest) & (not self.of_one_scale)
        return np.asarray(self.differences / np.where(own, size, largest))

    @property
    def furthest(self) -> int:
        """Return the position of the number that is relatively furthest from R's."""
        return int(np.argmax(self.relative_differences))

    @property
    def agrees(self) -> bool:
        """Whether every number lies within the tolerance."""
        return bool((self.relative_differences <= self.tolerance).all())


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One call of R and what is compared with it.

    Parameters
    ----------
    key : str
        Unique.
    title : str
        What is estimated.
    convention : str
        By which convention, where there is a choice.
    call : str
        The call of R that gave the reference.
    source : str
        The file of reference numbers, without its suffix.
    compare : callable
        Computes our numbers and returns the comparisons.
    """

    key: str
    title: str
    convention: str
    call: str
    source: str
    compare: Callable[[], Iterable[Comparison]]


@dataclass(frozen=True, slots=True)
class Family:
    """Cases that belong together in the document."""

    key: str
    title: str
    cases: tuple[Case, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """A case that was run; ``problem`` says why nothing could be compared."""

    case: Case
    comparisons: tuple[Comparison, ...]
    problem: str | None = None

    @property
    def agrees(self) -> bool:
        """Whether everything was computed and agrees."""
        return self.problem is None and all(c.agrees for c in self.comparisons)


def run_case(case: Case) -> Outcome:
    """Compute our numbers of a case and hold them against R's; what fails to compute does not agree."""
    try:
        return Outcome(case, tuple(case.compare()))
    except (ArithmeticError, ValueError, SpineScoreError) as error:
        return Outcome(case, (), f"{type(error).__name__}: {error}")


def compare(statistic: str, ours: Any, reference: Any, tolerance: float = CLOSED_FORM) -> Comparison:
    """Return a comparison of numbers of any shape; None is no number.

    Raises
    ------
    ValueError
        If there are more numbers on one side than on the other.
    """
    first, second = (np.atleast_1d(np.array(side, dtype=np.float64)).ravel() for side in (ours, reference))
    if len(first) != len(second) or not len(first):
        raise ValueError(f"{statistic}: {len(first)} numbers beside {len(second)} of R's.")
    return Comparison(statistic, first, second, tolerance)


def compare_each(
    statistic: str, names: Sequence[str], ours: Any, reference: Any, tolerance: float = CLOSED_FORM
) -> Iterator[Comparison]:
    """Yield a comparison for each named number of a vector."""
    sides = zip(names, np.ravel(ours), np.ravel(np.array(reference, dtype=np.float64)), strict=True)
    for name, mine, theirs in sides:
        yield compare(f"{statistic}: {name}", mine, theirs, tolerance)


def compare_coefficients(
    names: Sequence[str],
    coefficients: FloatArray,
    covariance: FloatArray,
    reference: Mapping[str, Any],
    label: str = "log hazard ratio",
    of: str = "",
) -> Iterator[Comparison]:
    """Yield comparisons of each coefficient of a fit, and of its standard error."""
    errors = np.sqrt(np.diag(covariance))
    yield from compare_each(f"{label}{of}", names, coefficients, reference["coef"], ITERATED)
    yield from compare_each(f"SE{of}", names, errors, reference["se"], ITERATED)


def compare_likelihoods(fit: CoxFit, reference: Any, of: str = "") -> Comparison:
    """Return the comparison of a fit's log likelihoods."""
    ours = [fit.log_likelihood_null, fit.log_likelihood]
    return compare(f"log likelihoods, null and fitted{of}", ours, reference)


def compare_estimate(
    estimate: Estimate, reference: dict[str, Any], tolerance: float = CLOSED_FORM, name: str = ""
) -> Iterator[Comparison]:
    """Yield comparisons of those attributes of an estimate that the reference has.

    ``reference`` maps attributes of ``Estimate`` (``value``, ``se``, ``lower`` ...) to R's numbers.
    """
    labels = {
        "value": "estimate",
        "se": "SE",
        "lower": "lower bound",
        "upper": "upper bound",
        "p_value": "p",
        "df": "degrees of freedom",
    }
    for attribute, theirs in reference.items():
        label = f"{name}: {labels[attribute]}" if name else labels[attribute]
        yield compare(label, getattr(estimate, attribute), theirs, tolerance)

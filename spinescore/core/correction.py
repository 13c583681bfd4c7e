"""Bias corrections: fitted once on a reference set, applied to others; the raw age is always kept.

Sources: Beheshti et al., NeuroImage: Clinical 24:102063 (2019); Cole et al., Molecular Psychiatry
23:1385 (2018); Zhang et al., NeuroImage: Clinical 37:103319 (2023), whose PAD has the opposite sign.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spinescore.core.correction_artefact import identify_correction
from spinescore.domain import AgeCell, AgeLevel, Correction, CorrectionMethod, FoldFit, Kind
from spinescore.errors import CorrectionError

Array = NDArray[np.float64]
MIN_COLE_SLOPE = 0.1
MIN_REFERENCE = 20
MIN_CASES_PER_LEVEL = 20
SMALLEST_CELL = 5  # subjects; fewer are pooled with their neighbours before anything leaves the house
OTHER = "other"
HEX_DIGITS_OF_FOLD = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """Whom a correction is fitted on, one row per subject.

    Parameters
    ----------
    cohort : str
        The study file's name of them.
    sha256 : str
        Hash of the rows.
    kind : {"radiograph", "vfa"}
        Of their images.
    ages, spine_ages : ndarray of shape (n,)
        Chronological ages O and raw spine ages y, years.
    manufacturers : sequence of str or None
        Of their images; left out if not known of anybody.
    subjects : sequence of str
        Fingerprints of all their ids; a subject may have several.
    subject_folds : sequence of int
        The fold of each of ``subjects``, with cross-fitting.
    cross_fit : int, optional
        How many folds; asks for cross-fitting.
    folds : ndarray of shape (n,), optional
        The fold of each row, from 0.
    fold_seed : int, optional
        Of :func:`fold_of`.
    same_cohort : bool
        Whether those it corrects are meant to be among them.
    n_trained_on : int
        How many of them the network was trained on.
    synthetic : bool
        Whether some of them are made up.
    """

    cohort: str
    sha256: str
    kind: Kind
    ages: NDArray[Any]
    spine_ages: NDArray[Any]
    manufacturers: Sequence[str | None] = ()
    subjects: Sequence[str] = ()
    subject_folds: Sequence[int] = ()
    cross_fit: int | None = None
    folds: NDArray[Any] | None = None
    fold_seed: int | None = None
    same_cohort: bool = False
    n_trained_on: int = 0
    synthetic: bool = False


@dataclass(frozen=True, slots=True)
class _Line:
    """What one fit gives: a line or levels, and the ages it is from."""

    slope: float | None
    intercept: float | None
    levels: tuple[AgeLevel, ...]
    n_reference: int
    age_range: tuple[float, float]


def fit_correction(
    method: CorrectionMethod,
    reference: Reference,
    *,
    kind: Kind,
    model_id: str,
    preprocessing_id: str,
    fitted_on: str = "",
    made_by: str = "",
) -> Correction:
    """Fit a bias correction on a reference set; with folds, also without each of them in turn.

    Parameters
    ----------
    method : {"beheshti", "cole", "age-level"}
        Beheshti: PAD = a O + b. Cole: y = a' O + b'. Age-level: mean and SD of PAD per age level.
    reference : Reference
        Whom it is fitted on.
    kind, model_id, preprocessing_id
        What it corrects.
    fitted_on, made_by : str
        Day and program; kept, and no part of the id.

    Returns
    -------
    Correction
        Its id is the SHA-256 of its content.

    Raises
    ------
    CorrectionError
        If an age is not finite, there are too few reference cases, all of one age, or Cole's slope is
        below 0.1; in the whole set or without one fold.
    """
    o, y = np.asarray(reference.ages, np.float64), np.asarray(reference.spine_ages, np.float64)
    whole = _fit(method, o, y, reference.cohort, kind)
    folds = _fit_folds(method, o, y, reference, kind)
    fitted = Correction(
        correction_id="",
        method=method,
        kind=kind,
        fitted_kind=reference.kind,
        model_id=model_id,
        preprocessing_id=preprocessing_id,
        slope=whole.slope,
        intercept=whole.intercept,
        levels=whole.levels,
        n_reference=whole.n_reference,
        age_range=whole.age_range,
        reference_cohort=reference.cohort,
        reference_sha256=reference.sha256,
        manufacturers=count_manufacturers(reference.manufacturers),
        cross_fit=reference.cross_fit,
        fold_seed=reference.fold_seed,
        folds=folds,
        same_cohort=reference.same_cohort,
        n_trained_on=reference.n_trained_on,
        synthetic=reference.synthetic,
        fitted_on=fitted_on,
        made_by=made_by,
        **_sorted_subjects(reference),
    )
    after = apply_correction(fitted, o, y, reference.folds if folds else None) - o
    return identify_correction(replace(fitted, profile=profile_by_age(o, y - o, after)))


def apply_correction(
    correction: Correction,
    ages: NDArray[Any],
    spine_ages: NDArray[Any],
    folds: NDArray[Any] | None = None,
) -> Array:
    """Return corrected spine ages, years.

    Parameters
    ----------
    correction : Correction
        A fitted one.
    ages, spine_ages : ndarray of shape (n,)
        Chronological and raw spine ages, years.
    folds : ndarray of shape (n,), optional
        Whose fold's fit corrects each; below 0 (and if left out): the fit on everybody.
    """
    o, y = np.asarray(ages, np.float64), np.asarray(spine_ages, np.float64)
    corrected = _apply(correction.method, correction, o, y)
    for fit in correction.folds if folds is not None else ():
        own = np.asarray(folds) == fit.fold
        corrected[own] = _apply(correction.method, fit, o[own], y[own])
    return corrected


def is_outside(
    correction: Correction, ages: NDArray[Any], folds: NDArray[Any] | None = None
) -> NDArray[np.bool_]:
    """Tell which ages lie outside those that the fit which corrects them was made on."""
    o = np.asarray(ages, np.float64)
    outside = _beyond(o, correction.age_range)
    for fit in correction.folds if folds is not None else ():
        own = np.asarray(folds) == fit.fold
        outside[own] = _beyond(o[own], fit.age_range)
    return outside


def fold_of(subject_id: str, *, seed: int, n_folds: int) -> int:
    """Return the fold of a subject, from 0: a seeded hash of the subject alone.

    >>> fold_of("a", seed=1, n_folds=5) == fold_of("a", seed=1, n_folds=5) < 5
    True
    """
    digest = hashlib.sha256(f"correction fold|{seed}|{subject_id}".encode()).hexdigest()
    return int(digest[:HEX_DIGITS_OF_FOLD], 16) % n_folds


def use_across_kinds(correction: Correction, kind: Kind) -> Correction:
    """Return a correction that takes another's fit to images of another kind; its id is another."""
    return identify_correction(replace(correction, kind=kind))


def count_manufacturers(manufacturers: Sequence[str | None]) -> tuple[tuple[str, int], ...]:
    """Count manufacturers, most first; those of fewer than five subjects are ``other``.

    >>> count_manufacturers(["GE"] * 6 + ["Rare", None])
    (('GE', 6), ('other', 2))
    """
    counts = Counter(name or "not stated" for name in manufacturers)
    shown = {name: n for name, n in counts.items() if n >= SMALLEST_CELL and name != OTHER}
    rest = counts.total() - sum(shown.values())
    ordered = sorted(shown.items(), key=lambda item: (-item[1], item[0]))
    return (*ordered, *([(OTHER, rest)] if rest else []))


def profile_by_age(ages: NDArray[Any], before: NDArray[Any], after: NDArray[Any]) -> tuple[AgeCell, ...]:
    """Return n, mean and SD of PAD per year of age, before and after correction.

    A year of fewer than five subjects is pooled with the years that follow it, the last with those before.

    Parameters
    ----------
    ages, before, after : ndarray of shape (n,)
        Chronological age, raw and corrected PAD, years.
    """
    years = np.floor(np.asarray(ages)).astype(int)
    starts: list[int] = []
    pooled = SMALLEST_CELL
    for year, n in zip(*np.unique(years, return_counts=True), strict=True):
        if pooled >= SMALLEST_CELL:
            starts.append(int(year))
            pooled = 0
        pooled += int(n)
    if pooled < SMALLEST_CELL and len(starts) > 1:
        starts.pop()
    cells = []
    for first, following in zip(starts, [*starts[1:], int(years.max()) + 1], strict=True):
        own = (years >= first) & (years < following)
        spreads = [float(pad[own].std(ddof=1)) if own.sum() > 1 else 0.0 for pad in (before, after)]
        means = [float(pad[own].mean()) for pad in (before, after)]
        last = int(years[own].max())
        cells.append(AgeCell(first, last, int(own.sum()), means[0], spreads[0], means[1], spreads[1]))
    return tuple(cells)


def _fit(method: CorrectionMethod, o: Array, y: Array, cohort: str, kind: Kind) -> _Line:
    if not (np.isfinite(o).all() and np.isfinite(y).all()):
        n = int((~(np.isfinite(o) & np.isfinite(y))).sum())
        raise CorrectionError(
            f"{n} reference subject(s) of `{cohort}` have an age or spine age that is no finite number.",
            "Import or score them again; the correction in force stays as it is.",
        )
    if o.size < MIN_REFERENCE:
        raise CorrectionError(
            f"Only {o.size} reference subjects of kind {kind} in `{cohort}`; "
            f"at least {MIN_REFERENCE} are needed.",
            "Widen the reference cohort's condition or its fraction ([split] reference_fraction).",
        )
    if np.ptp(o) == 0:
        raise CorrectionError(f"All reference subjects of `{cohort}` have one age.", "Widen the cohort.")
    slope, intercept, levels = _FITS[method](o, y)
    return _Line(slope, intercept, levels, int(o.size), (float(o.min()), float(o.max())))


def _fit_folds(
    method: CorrectionMethod, o: Array, y: Array, reference: Reference, kind: Kind
) -> tuple[FoldFit, ...]:
    if reference.cross_fit is None or reference.folds is None:
        return ()
    fits = []
    for fold in range(reference.cross_fit):
        rest = reference.folds != fold
        name = f"{reference.cohort} without fold {fold}"
        line = _fit(method, o[rest], y[rest], name, kind)
        fits.append(
            FoldFit(
                fold=fold,
                slope=line.slope,
                intercept=line.intercept,
                levels=line.levels,
                n_reference=line.n_reference,
                age_range=line.age_range,
            )
        )
    return tuple(fits)


def _sorted_subjects(reference: Reference) -> dict[str, Any]:
    folds = reference.subject_folds or [-1] * len(reference.subjects)
    pairs = sorted(set(zip(reference.subjects, folds, strict=True)))
    subject_folds = tuple(fold for _, fold in pairs) if reference.subject_folds else ()
    return {"subjects": tuple(subject for subject, _ in pairs), "subject_folds": subject_folds}


def _apply(method: CorrectionMethod, fit: Correction | FoldFit, o: Array, y: Array) -> Array:
    if method == "age-level":
        return y - _mean_pad_of_level(fit.levels, o)
    assert fit.slope is not None
    assert fit.intercept is not None
    if method == "cole":
        return (y - fit.intercept) / fit.slope
    return y - (fit.slope * o + fit.intercept)


def _beyond(o: Array, age_range: tuple[float, float]) -> NDArray[np.bool_]:
    return np.asarray((o < age_range[0]) | (o > age_range[1]))


def _fit_beheshti(o: Array, y: Array) -> tuple[float, float, tuple[()]]:
    slope, intercept = _regress(y - o, o)
    return slope, intercept, ()


def _fit_cole(o: Array, y: Array) -> tuple[float, float, tuple[()]]:
    slope, intercept = _regress(y, o)
    if slope < MIN_COLE_SLOPE:
        raise CorrectionError(
            f"Cole's correction divides by the slope of spine age on age, which is {slope:.3f} here.",
            'The model hardly reads age; use method = "beheshti", and look at the accuracy first.',
        )
    return slope, intercept, ()


def _fit_levels(o: Array, y: Array) -> tuple[None, None, tuple[AgeLevel, ...]]:
    """Mean and SD of PAD per year of age; a level short of cases widens its window to both sides."""
    pad, years = y - o, np.floor(o).astype(int)
    levels = []
    for year in range(int(years.min()), int(years.max()) + 1):
        half_width = 0
        near = years == year
        while near.sum() < MIN_CASES_PER_LEVEL:
            half_width += 1
            near = np.abs(years - year) <= half_width
        levels.append(AgeLevel(year, float(pad[near].mean()), float(pad[near].std(ddof=1)), int(near.sum())))
    return None, None, tuple(levels)


def _mean_pad_of_level(levels: Sequence[AgeLevel], o: Array) -> Array:
    """Return the mean PAD at each age; ages beyond the levels take the nearest one."""
    first, last = levels[0].age, levels[-1].age
    means = np.array([level.mean for level in levels])
    return np.asarray(means[np.clip(np.floor(o).astype(int), first, last) - first])


def _regress(values: Array, o: Array) -> tuple[float, float]:
    """Return slope and intercept of values on age by least squares."""
    centred = o - o.mean()
    slope = float(centred @ (values - values.mean()) / (centred @ centred))
    return slope, float(values.mean() - slope * o.mean())


_FITS = {"beheshti": _fit_beheshti, "cole": _fit_cole, "age-level": _fit_levels}

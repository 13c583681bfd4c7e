"""Bias corrections: fitted once on a reference set, applied to others; the raw age is always kept.

Sources: Beheshti et al., NeuroImage: Clinical 24:102063 (2019); Cole et al., Molecular Psychiatry
23:1385 (2018); Zhang et al., NeuroImage: Clinical 37:103319 (2023), whose PAD has the opposite sign.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spinescore.domain import Correction, CorrectionMethod, Kind
from spinescore.errors import CorrectionError

Array = NDArray[np.float64]
MIN_COLE_SLOPE = 0.1
MIN_REFERENCE = 20
MIN_CASES_PER_LEVEL = 20


def fit_correction(
    method: CorrectionMethod,
    ages: NDArray[Any],
    spine_ages: NDArray[Any],
    *,
    kind: Kind,
    model_id: str,
    preprocessing_id: str,
    reference_cohort: str,
    reference_sha256: str,
) -> Correction:
    """Fit a bias correction on a reference set.

    Parameters
    ----------
    method : {"beheshti", "cole", "age-level"}
        Beheshti: PAD = a O + b. Cole: y = a' O + b'. Age-level: mean and SD of PAD per age level.
    ages : ndarray of shape (n,)
        Chronological ages O, years.
    spine_ages : ndarray of shape (n,)
        Raw spine ages y, years.
    kind, model_id, preprocessing_id, reference_cohort, reference_sha256
        What it is fitted for and on; kept with it.

    Returns
    -------
    Correction
        Its id is the SHA-256 of all of it.

    Raises
    ------
    CorrectionError
        If there are too few reference cases, all of one age, or Cole's slope is below 0.1.
    """
    o, y = np.asarray(ages, np.float64), np.asarray(spine_ages, np.float64)
    if o.size < MIN_REFERENCE:
        raise CorrectionError(
            f"Only {o.size} reference subjects of kind {kind} in `{reference_cohort}`; "
            f"at least {MIN_REFERENCE} are needed.",
            "Widen the reference cohort's condition or its fraction ([split] reference_fraction).",
        )
    if np.ptp(o) == 0:
        raise CorrectionError(
            f"All reference subjects of `{reference_cohort}` have one age.", "Widen the cohort."
        )
    slope, intercept, levels = _FITS[method](o, y)
    fitted: dict[str, Any] = {
        "method": method,
        "kind": kind,
        "model_id": model_id,
        "preprocessing_id": preprocessing_id,
        "slope": slope,
        "intercept": intercept,
        "levels": levels,
        "n_reference": int(o.size),
        "reference_cohort": reference_cohort,
        "reference_sha256": reference_sha256,
        "age_range": (float(o.min()), float(o.max())),
    }
    canonical = json.dumps(fitted, sort_keys=True)
    return Correction(correction_id=hashlib.sha256(canonical.encode()).hexdigest()[:16], **fitted)


def apply_correction(correction: Correction, ages: NDArray[Any], spine_ages: NDArray[Any]) -> Array:
    """Return corrected spine ages, years.

    Parameters
    ----------
    correction : Correction
        A fitted one.
    ages, spine_ages : ndarray of shape (n,)
        Chronological and raw spine ages, years.
    """
    o, y = np.asarray(ages, np.float64), np.asarray(spine_ages, np.float64)
    if correction.method == "age-level":
        return y - _mean_pad_of_level(correction, o)
    assert correction.slope is not None
    assert correction.intercept is not None
    if correction.method == "cole":
        return (y - correction.intercept) / correction.slope
    return y - (correction.slope * o + correction.intercept)


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


def _fit_levels(o: Array, y: Array) -> tuple[None, None, tuple[tuple[int, float, float, int], ...]]:
    """Mean and SD of PAD per year of age; a level short of cases widens its window to both sides."""
    pad, years = y - o, np.floor(o).astype(int)
    levels = []
    for year in range(int(years.min()), int(years.max()) + 1):
        half_width = 0
        near = years == year
        while near.sum() < MIN_CASES_PER_LEVEL:
            half_width += 1
            near = np.abs(years - year) <= half_width
        levels.append((year, float(pad[near].mean()), float(pad[near].std(ddof=1)), int(near.sum())))
    return None, None, tuple(levels)


def _mean_pad_of_level(correction: Correction, o: Array) -> Array:
    """Return the mean PAD at each age; ages beyond the levels take the nearest one."""
    first, last = correction.levels[0][0], correction.levels[-1][0]
    means = np.array([mean for _, mean, _, _ in correction.levels])
    return np.asarray(means[np.clip(np.floor(o).astype(int), first, last) - first])


def _regress(values: Array, o: Array) -> tuple[float, float]:
    """Return slope and intercept of values on age by least squares."""
    centred = o - o.mean()
    slope = float(centred @ (values - values.mean()) / (centred @ centred))
    return slope, float(values.mean() - slope * o.mean())


_FITS = {"beheshti": _fit_beheshti, "cole": _fit_cole, "age-level": _fit_levels}

"""How near spine ages come to ages: over all images, by kind, and by groups of subjects."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

Array = NDArray[np.float64]
Measured = dict[str, float]
BAND_YEARS = 10
SMALLEST_GROUP = 5  # images
UNKNOWN = "not known"


def measure_by_kind(table: pl.DataFrame, spine_age: Array) -> dict[str, Measured]:
    """Return n, MAE, bias, r and slope of spine age on age, over all images and by kind.

    Parameters
    ----------
    table : polars.DataFrame
        One row per image, with ``kind`` and ``age_years``.
    spine_age : ndarray, shape (N,)
        Years, raw or corrected.

    Returns
    -------
    dict
        ``all`` and each kind; r and slope are missing where fewer than three ages, or all the same, leave
        them undefined.
    """
    measured = {"all": measure_errors(table["age_years"].to_numpy(), spine_age)}
    for kind in sorted(table["kind"].unique()):
        of_kind = (table["kind"] == kind).to_numpy()
        measured[kind] = measure_errors(table["age_years"].to_numpy()[of_kind], spine_age[of_kind])
    return measured


def measure_groups(table: pl.DataFrame, raw: Array, corrected: Array) -> list[dict[str, Any]]:
    """Return the errors by sex, ten-year age band and manufacturer, for all images and by kind.

    Parameters
    ----------
    table : polars.DataFrame
        One row per image, with ``kind, age_years, sex, manufacturer``.
    raw, corrected : ndarray, shape (N,)
        Spine ages, years; a corrected one may be NaN.

    Returns
    -------
    list of dict
        ``kind, by, group``, then what is measured of raw ages, and ``corrected`` with the same of
        corrected ones, or None where an image of the group has none. Of groups of fewer than five
        images nothing is said but ``n``: bundles travel.
    """
    ages = table["age_years"].to_numpy()
    groups = {
        "sex": _name(table["sex"]),
        "age": _name_bands(ages),
        "manufacturer": _name(table["manufacturer"]),
    }
    rows = []
    for kind in ["all", *sorted(table["kind"].unique())]:
        of_kind = (
            np.full(table.height, fill_value=True) if kind == "all" else (table["kind"] == kind).to_numpy()
        )
        for by, names in groups.items():
            for group in sorted(set(names[of_kind])):
                chosen = of_kind & (names == group)
                rows.append(
                    {"kind": kind, "by": by, "group": str(group)}
                    | _measure_group(ages[chosen], raw[chosen], corrected[chosen])
                )
    return rows


def _measure_group(ages: Array, raw: Array, corrected: Array) -> dict[str, Any]:
    if ages.size < SMALLEST_GROUP:
        return {"n": float(ages.size), "corrected": None}
    return measure_errors(ages, raw) | {"corrected": measure_corrected(ages, corrected)}


def measure_corrected(age: Array, corrected: Array) -> Measured | None:
    """Return :func:`measure_errors` of corrected ages, or None if one of them is missing."""
    return measure_errors(age, corrected) if bool(np.isfinite(corrected).all()) else None


def measure_errors(age: Array, spine_age: Array) -> Measured:
    """Return n, mean absolute error, bias (mean of spine age - age), r and slope.

    >>> measure_errors(np.array([50.0, 60, 70]), np.array([52.0, 61, 70]))["bias_years"]
    1.0
    """
    error = spine_age - age
    measured = {
        "n": float(age.size),
        "mae_years": float(np.abs(error).mean()),
        "bias_years": float(error.mean()),
    }
    if age.size > 2 and np.ptp(age) > 0 and np.ptp(spine_age) > 0:
        measured["r"] = float(np.corrcoef(age, spine_age)[0, 1])
        measured["slope"] = float(np.polyfit(age, spine_age, 1)[0])
    return {key: round(value, 4) for key, value in measured.items()}


def _name(column: pl.Series) -> NDArray[Any]:
    return column.cast(pl.String).fill_null(UNKNOWN).to_numpy().astype(object)


def _name_bands(ages: Array) -> NDArray[Any]:
    first = (np.floor(ages / BAND_YEARS) * BAND_YEARS).astype(int)
    return np.array([f"{low} to {low + BAND_YEARS - 1}" for low in first], dtype=object)

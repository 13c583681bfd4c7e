"""Accuracy: raw first, corrected beside it, overall and by subgroup; the fitted lines and the scatter."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import polars as pl

from spinescore.core.statistics.accuracy import draw_line, fit_line, measure_accuracy
from spinescore.core.statistics.assembly.design import read_levels
from spinescore.core.statistics.assembly.rows import make_row
from spinescore.core.statistics.assembly.setting import Predictor, Setting
from spinescore.core.statistics.classification import estimate_share
from spinescore.core.statistics.estimate import BoolArray, Estimate
from spinescore.domain import CurvePoint, Result

LINE_POINTS = 61
INTERVALS_PERCENT = (50, 80, 90, 95)


def accuracy_rows(setting: Setting) -> Iterator[Result]:
    """Yield every statistic of agreement, subgroup by subgroup, raw before corrected."""
    age = setting.predictors["chronological_age"].values
    for subgroup, members in _subgroups(setting):
        for predictor in _spine_ages(setting):
            use = members & np.isfinite(predictor.values) & np.isfinite(age)
            found = measure_accuracy(age[use], predictor.values[use], setting.conf_level)
            if predictor.name == "spine_age_raw":
                found |= _interval_coverage(setting, use)
            for statistic, estimate in found.items():
                yield make_row(
                    estimate,
                    setting.conf_level,
                    cohort=setting.cohort.name,
                    analysis="accuracy",
                    statistic=statistic,
                    predictor=predictor.name,
                    correction=predictor.correction,
                    subgroup=subgroup,
                    method=_method(statistic),
                    n=int(use.sum()),
                    flags=predictor.flags,
                )


def _method(statistic: str) -> str | None:
    if statistic.startswith("interval_coverage_"):
        return "wilson"
    return "bland_altman" if statistic.startswith("loa_") else None


def _interval_coverage(setting: Setting, use: BoolArray) -> dict[str, Estimate]:
    """Return how often the central intervals of the age distributions hold the age, where there are any."""
    subjects = setting.cohort.subjects
    if "age_share" not in subjects.columns:
        return {}
    share = subjects["age_share"].cast(pl.Float64).fill_null(np.nan).to_numpy()
    if not np.isfinite(share).any() or setting.study.analysis.use_rounded:
        return {}
    off_centre = np.abs(share[use & np.isfinite(share)] - 0.5)
    return {
        f"interval_coverage_{percent}": estimate_share(
            int((off_centre <= percent / 200).sum()), off_centre.size, setting.conf_level
        )
        for percent in INTERVALS_PERCENT
    }


def _spine_ages(setting: Setting) -> list[Predictor]:
    names = ("spine_age_raw", "spine_age_corrected")
    return [setting.predictors[name] for name in names if name in setting.predictors]


def _subgroups(setting: Setting) -> Iterator[tuple[str | None, BoolArray]]:
    yield None, setting.members(None)
    age = setting.predictors["chronological_age"].values
    for name in ("sex", "manufacturer"):
        levels, text = read_levels(setting.cohort.subjects, name)
        for level in levels:
            yield f"{name}={level}", (text == level).fill_null(False).to_numpy()
    bands = setting.study.analysis.age_bands
    for low, high in itertools.pairwise(bands):
        members = (age >= low) & (age < high)
        if members.any():
            yield f"age_band={low:g}-{high:g}", members


def fitted_lines(setting: Setting) -> Iterator[CurvePoint]:
    """Yield the least-squares line of spine age on age with the interval of its mean."""
    age = setting.predictors["chronological_age"].values
    for predictor in _spine_ages(setting):
        use = np.isfinite(predictor.values) & np.isfinite(age)
        if use.sum() < 3 or np.ptp(age[use]) == 0:
            continue
        x = np.linspace(age[use].min(), age[use].max(), LINE_POINTS)
        drawn = draw_line(fit_line(age[use], predictor.values[use]), x, setting.conf_level)
        for at, y, lower, upper in zip(x, *drawn, strict=True):
            yield CurvePoint(
                cohort=setting.cohort.name,
                analysis="fit",
                x_name="age_years",
                x=float(at),
                y=float(y),
                lower=float(lower),
                upper=float(upper),
                predictor=predictor.name,
                correction=predictor.correction,
            )


def scatter_points(setting: Setting) -> pl.DataFrame:
    """Return one row per subject with a known age and raw spine age; never shareable."""
    numbers = [pl.col(c).cast(pl.Float64) for c in ("age_years", "spine_age_raw", "spine_age_corrected")]
    return (
        setting.cohort.subjects.select(
            pl.lit(setting.cohort.name).alias("cohort"), *numbers, pl.col("sex").cast(pl.String)
        )
        .with_columns(pl.col("age_years", "spine_age_raw", "spine_age_corrected").fill_nan(None))
        .drop_nulls(["age_years", "spine_age_raw"])
    )

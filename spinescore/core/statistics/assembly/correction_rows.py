"""How many subjects have a corrected age, and of how many something must be said."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from spinescore.core.statistics.assembly.setting import Setting
from spinescore.domain import Result

PREDICTOR = "pad_corrected"
COUNTED = (
    ("n_outside_fitted_ages", "outside_fitted_ages"),
    ("n_fitted_on", "same_cohort_correction"),
    ("n_cross_fitted", "cross_fit_correction"),
)


def correction_rows(setting: Setting) -> Iterator[Result]:
    """Yield counts of corrected subjects: outside the fitted ages, fitted on, corrected out of fold."""
    subjects = setting.cohort.subjects
    if PREDICTOR not in setting.predictors or "correction_flags" not in subjects.columns:
        return
    flags = subjects.filter(pl.col(PREDICTOR).is_not_null())["correction_flags"].fill_null("")
    predictor = setting.predictors[PREDICTOR]
    for statistic, flag in COUNTED:
        yield Result(
            cohort=setting.cohort.name,
            analysis="correction",
            statistic=statistic,
            predictor=PREDICTOR,
            correction=predictor.correction,
            value=float(flags.str.contains(flag).sum()),
            n=len(flags),
            flags=predictor.flags,
        )

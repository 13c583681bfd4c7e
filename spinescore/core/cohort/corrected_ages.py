"""Whose corrected age a study may use: ages a correction was fitted on, people it was not fitted on."""

from __future__ import annotations

import polars as pl

from spinescore.core.cohort.index_image import name_subjects
from spinescore.errors import AnalysisError
from spinescore.study import Study

OUTSIDE = "outside the ages its correction was fitted on"


def keep_correctable(subjects: pl.DataFrame, study: Study) -> pl.DataFrame:
    """Return whom the study lets its correction be used on, by what is flagged of each corrected age.

    Parameters
    ----------
    subjects : polars.DataFrame
        With ``subject_id`` and ``correction_flags``, codes with blanks between; null where not corrected.
    study : Study
        Its [correction].

    Raises
    ------
    AnalysisError
        If ages outside the fitted ones are to be refused, or someone would be corrected by a fit on
        himself, unasked.
    """
    flags = pl.col("correction_flags").fill_null("")
    own = subjects.filter(flags.str.contains("same_cohort_correction"))["subject_id"]
    if len(own) and not study.correction.same_cohort:
        raise AnalysisError(
            f"{len(own):,} subject(s) would be corrected by a fit on themselves ({name_subjects(own)}).",
            "Leave them out, or say `cross_fit = 10` or `same_cohort = true` under [correction].",
        )
    outside = flags.str.contains("outside_fitted_ages")
    n_outside = subjects.filter(outside).height
    if n_outside and study.correction.outside == "refuse":
        raise AnalysisError(
            f"{n_outside:,} subject(s) are of ages that their bias correction was not fitted on "
            '(correction.outside = "refuse").',
            'Narrow min_age and max_age, widen the reference cohort, or say outside = "flag" or "exclude".',
        )
    return subjects.filter(~outside) if study.correction.outside == "exclude" else subjects

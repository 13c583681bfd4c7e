"""The cohorts that corrections are fitted on, and what they must not share with those that are analysed."""

from __future__ import annotations

import polars as pl

from spinescore.core.cohort.index_image import leave_by_age, name_subjects, pick_index_images
from spinescore.domain import Correction
from spinescore.errors import AnalysisError
from spinescore.shell.cohorts import qualifying
from spinescore.shell.sandbox import Sandbox
from spinescore.study import Study


def reference_rows(images: pl.DataFrame, study: Study, kind: str) -> pl.DataFrame:
    """Return the reference cohort of a kind: one index image per subject, with age and spine age.

    Raises
    ------
    AnalysisError
        If a subject of it is also in a cohort that is analysed, or the model was trained on one, and neither
        cross-fitting nor the same cohort was asked for; if its images are of another kind, unasked.
    """
    name = study.correction.reference[kind]  # type: ignore[index]
    sandbox = Sandbox(images)
    section = study.cohorts[name]
    chosen = qualifying(sandbox.select(section.where, named=f"cohorts.{name}"))
    chosen = chosen.filter(pl.col("kind") == _fitted_kind(chosen, study, kind, name))
    trained = chosen.filter(pl.col("split") == "train")["subject_id"].n_unique()
    overlap_asked_for = study.correction.same_cohort or study.correction.cross_fit is not None
    if trained and not overlap_asked_for:
        raise AnalysisError(
            f"{trained} subject(s) of the reference cohort `{name}` were used to train the model.",
            "Add `and split = 'reference'` to its condition: it needs subjects the model never saw.",
        )
    reference, _ = leave_by_age(pick_index_images(chosen, study.images.index_image), section)
    if not overlap_asked_for:
        named = f"`{name}`, which its correction is fitted on"
        _refuse_overlap(sandbox, study, reference["subject_id"], named)
    return reference


def refuse_fit_set(images: pl.DataFrame, study: Study, correction: Correction, subjects: pl.Series) -> None:
    """Refuse a correction that others fitted, if it would correct whom it was fitted on, unasked.

    Parameters
    ----------
    images : polars.DataFrame
        What ``subject_images`` returns.
    study : Study
        Whose cohorts.
    correction : Correction
        Out-of-fold corrections are let pass: they were asked for where it was fitted, and are flagged.
    subjects : polars.Series
        Ids of those it was fitted on, as far as they are here.

    Raises
    ------
    AnalysisError
        If some of them are analysed, or the model was trained on some.
    """
    if study.correction.same_cohort or subjects.is_empty():
        return
    name = f"the fit set of {study.correction.file}"
    known = images.filter(pl.col("kind") == correction.kind)
    trained = known.filter((pl.col("split") == "train") & pl.col("subject_id").is_in(subjects.implode()))
    if trained.height and not correction.n_trained_on:
        raise AnalysisError(
            f"{trained['subject_id'].n_unique()} subject(s) of {name} were used to train the model.",
            "Fit on subjects the model never saw; or say `same_cohort = true`, which is flagged.",
        )
    if correction.cross_fit is None:
        _refuse_overlap(Sandbox(images), study, subjects, name)


def evaluated_kinds(images: pl.DataFrame, study: Study) -> list[str]:
    """Return the kinds of image that are analysed; all there are where no cohort is."""
    cohorts, sandbox = study.analysis_cohorts(), Sandbox(images)
    found = [sandbox.select(c.where, named=f"cohorts.{name}")["kind"] for name, c in cohorts.items()]
    kinds = pl.concat(found) if found else images["kind"]
    return sorted(kinds.unique().to_list())


def _refuse_overlap(sandbox: Sandbox, study: Study, fitted_on: pl.Series, named: str) -> None:
    for cohort, section in study.analysis_cohorts().items():
        rows = sandbox.select(section.where, named=f"cohorts.{cohort}")["subject_id"].unique()
        shared = rows.filter(rows.is_in(fitted_on.implode())).sort()
        if len(shared):
            raise AnalysisError(
                f"{len(shared)} subject(s) of cohort `{cohort}` are also in {named} "
                f"({name_subjects(shared)}).",
                "Make the two disjoint, e.g. split = 'reference' and split = 'test'; or ask for what will be "
                "flagged: `cross_fit = 10` or `same_cohort = true` under [correction] (docs/calibration.md).",
            )


def _fitted_kind(chosen: pl.DataFrame, study: Study, kind: str, name: str) -> str:
    """Return the kind of image a correction is fitted on: its own, or the other if that is asked for."""
    kinds = chosen["kind"].unique().to_list()
    if kind in kinds or not kinds:
        return kind
    if study.correction.across_kinds:
        return str(kinds[0])
    raise AnalysisError(
        f"The reference cohort `{name}` has images of kind {kinds[0]} alone: a correction fitted on them "
        f"does not unbias {kind}.",
        f"Name a cohort of kind {kind}; `across_kinds = true` under [correction] does it all the same, "
        "flagged.",
    )

"""Scored images, splits and subjects in the database -> the cohorts a study file names."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import polars as pl

from spinescore.core.cohort.attrition import Attrition, Unit
from spinescore.core.cohort.conflicts import FLAGS, add_subject_flags, count_flags
from spinescore.core.cohort.corrected_ages import OUTSIDE, keep_correctable
from spinescore.core.cohort.follow_up import follow_up
from spinescore.core.cohort.index_image import (
    add_predicted_age_difference,
    binary_column,
    count_mixed_days,
    leave_by_age,
    pick_index_images,
    refuse_ambiguous_origin,
    use_rounded_ages,
)
from spinescore.core.cohort.splits import add_split
from spinescore.domain import Cohort
from spinescore.errors import AnalysisError
from spinescore.shell.corrections import correction_method
from spinescore.shell.sandbox import Sandbox
from spinescore.shell.warehouse import Warehouse
from spinescore.study import Study
from spinescore.study.sections import CohortSection
from spinescore.study.toml_text import toml_key


def trained_on_nobody(_: Iterable[str]) -> set[str]:
    """Return the subjects a model of unknown training was trained on, as far as is known: none."""
    return set()


MODEL_ID_LENGTH = 16
IMAGE_COLUMNS = (
    "sop_instance_uid",
    "subject_id",
    "study_date",
    "study_time",
    "kind",
    "sex",
    "age_years",
    "spine_age_raw",
    "spine_age_sd",
    "spine_age_corrected",
    "pad_raw",
    "pad_corrected",
    "pixel_sha256",
)
IMPORTED = "imported"  # stands for a preprocessing where ages were computed elsewhere
UNKNOWN_CONDITION = "condition unknown (missing values)"


@dataclass(frozen=True, slots=True)
class ModelKey:
    """Which scores: the model, its preprocessing, which subjects it has seen, its own correction."""

    model_id: str
    preprocessing_id: str
    trained_on: Callable[[Iterable[str]], set[str]] = trained_on_nobody
    read_correction: Callable[[], bytes] | None = None
    validated_on: Callable[[Iterable[str]], set[str]] = trained_on_nobody

    @property
    def imported(self) -> bool:
        """Whether the ages came in a table."""
        return self.preprocessing_id == IMPORTED


def imported_key(name: str) -> ModelKey:
    """Return the key of the ages imported under a name: the same name, the same model."""
    digest = hashlib.sha256(json.dumps([name, IMPORTED]).encode())
    return ModelKey(digest.hexdigest()[:MODEL_ID_LENGTH], IMPORTED)


def subject_images(warehouse: Warehouse, study: Study, key: ModelKey) -> pl.DataFrame:
    """Return one row per scored image with its subject's split, flags and covariates, as far as known.

    A subject of several patient ids was trained on if one of them was, and is in one part with all of them.
    """
    images = warehouse.fetch(
        "cohort/scored_images",
        model_id=key.model_id,
        preprocessing_id=key.preprocessing_id,
        method=correction_method(study, key),
    )
    images = use_rounded_ages(images) if study.analysis.use_rounded else images
    images = images.drop("corrected_per_year")
    if study.images.kind != "auto":
        images = images.filter(pl.col("kind") == study.images.kind)
    images = add_split(
        images,
        _seen_subjects(warehouse, images, key.trained_on),
        _seen_subjects(warehouse, images, key.validated_on),
        seed=study.split.seed,
        reference_fraction=study.split.reference_fraction,
    )
    images = add_subject_flags(images, study.images.index_image)
    if not warehouse.has_table("subjects"):
        return images.with_columns(pl.lit(value=False).alias("linked"))
    subjects = warehouse.table("subjects").with_columns(pl.lit(value=True).alias("linked"))
    own = set(images.columns) - {"subject_id"}
    clash = {name: f"table_{name}" for name in subjects.columns if name in own}
    joined = images.join(subjects.rename(clash), on="subject_id", how="left", maintain_order="left")
    return joined.with_columns(pl.col("linked").fill_null(value=False))


def _seen_subjects(
    warehouse: Warehouse, images: pl.DataFrame, seen_by: Callable[[Iterable[str]], set[str]]
) -> pl.Series:
    """Return the subjects one of whose patient ids the model has seen, scored here or not."""
    links = warehouse.table("subject_links").select("image_subject_id", "subject_id")
    ids = pl.concat([images.select("image_subject_id", "subject_id"), links]).drop_nulls().unique()
    seen = pl.Series(list(seen_by(ids["image_subject_id"])), dtype=pl.String).implode()
    return ids.filter(pl.col("image_subject_id").is_in(seen))["subject_id"]


def build_cohorts(warehouse: Warehouse, study: Study, key: ModelKey) -> list[Cohort]:
    """Build every cohort that is analysed, in the study file's order.

    Raises
    ------
    AnalysisError
        As :func:`build_cohort`, with what is wrong in all of them.
    """
    images = subject_images(warehouse, study, key)
    sandbox = Sandbox(images)
    cohorts, problems = [], []
    for name in study.analysis_cohorts():
        try:
            cohorts.append(build_cohort(warehouse, images, study, name, key, sandbox=sandbox))
        except AnalysisError as error:
            problems.append(error)
    if problems:
        found = "\n".join(problem.message for problem in problems)
        steps = dict.fromkeys(problem.next_step for problem in problems)
        raise AnalysisError(found, " ".join(steps))
    return cohorts


def build_cohort(
    warehouse: Warehouse,
    images: pl.DataFrame,
    study: Study,
    name: str,
    key: ModelKey,
    *,
    sandbox: Sandbox | None = None,
) -> Cohort:
    """Build one analysis cohort: condition, linkage, index image, age, endpoints, attrition.

    Parameters
    ----------
    warehouse : Warehouse
        Files, scores and outcomes.
    images : polars.DataFrame
        What :func:`subject_images` returns.
    study : Study
    name : str
        The cohort's name.
    key : ModelKey
        Which scores.
    sandbox : Sandbox, optional
        One that holds ``images`` already.

    Raises
    ------
    AnalysisError
        If nobody is left, or follow-up contradicts the images: every endpoint's contradiction at once.
    """
    attrition = Attrition()
    section = study.cohorts[name]
    n_scored = _count_files(warehouse, attrition, key)
    holds = (sandbox or Sandbox(images)).judge(section.where, named=f"cohorts.{name}")
    linked = _linked_images(images, holds, study, n_scored, attrition, _unit(key))
    refuse_ambiguous_origin(linked, study.survival_endpoints(), name)
    subjects = _index_images(linked, study, section, attrition, _unit(key))
    if subjects.is_empty():
        raise AnalysisError(
            f"Cohort `{name}` is empty: {attrition.last_exit()}.",
            "Check its `where`, and that the follow-up table's ids are the DICOM files' PatientIDs.",
        )
    of_subjects = linked.join(subjects.select("subject_id"), on="subject_id", how="semi")
    _note_facts(attrition, study, of_subjects, subjects)
    subjects, sets = _with_endpoints(warehouse, study, name, subjects, attrition)
    if study.subjects:
        _count_table(warehouse, study, key, attrition, linked["subject_id"].n_unique())
    repeated = add_predicted_age_difference(of_subjects).select(IMAGE_COLUMNS)
    return Cohort(name, subjects, sets, attrition.frame(), repeated, attrition.fact_frame())


def _unit(key: ModelKey) -> Unit:
    return "ages" if key.imported else "images"


def _linked_images(
    images: pl.DataFrame, holds: pl.Series, study: Study, n_scored: int, attrition: Attrition, unit: Unit
) -> pl.DataFrame:
    """Return the images of the cohort whose subject is in the follow-up table, and count the others."""
    chosen = images.filter(holds)
    unknown = int(holds.null_count())
    reasons = {
        f"not of kind {study.images.kind}": n_scored - images.height,
        UNKNOWN_CONDITION: unknown,
        "not in this cohort": images.height - chosen.height - unknown,
    }
    attrition.leave("in the cohort", reasons, n_scored, unit=unit)
    known = qualifying(chosen)
    no_subject = int(chosen["subject_id"].null_count())
    reasons = {"no patient id": no_subject, "age unknown": chosen.height - no_subject - known.height}
    attrition.leave("subject and age known", reasons, chosen.height, unit=unit)
    linked = known.filter(pl.col("linked")) if study.subjects else known
    unlinked = {"not in the follow-up table": known.height - linked.height}
    attrition.leave("linked to follow-up", unlinked, known.height, unit=unit)
    return linked


def _index_images(
    linked: pl.DataFrame, study: Study, section: CohortSection, attrition: Attrition, unit: Unit
) -> pl.DataFrame:
    """Return one row per subject of the right age, with PAD, and count the rest."""
    index = pick_index_images(linked, study.images.index_image)
    further = {f"further {unit}": linked.height - index.height}
    attrition.leave(f"one index {unit[:-1]} per subject", further, linked.height, unit=unit)
    subjects, reasons = leave_by_age(index, section)
    kept = keep_correctable(subjects, study)
    if kept.height < subjects.height:
        reasons[OUTSIDE] = subjects.height - kept.height
    if reasons:
        attrition.leave("right age", reasons, index.height)
    return add_predicted_age_difference(kept)


def _with_endpoints(
    warehouse: Warehouse, study: Study, name: str, subjects: pl.DataFrame, attrition: Attrition
) -> tuple[pl.DataFrame, dict[str, pl.DataFrame]]:
    for endpoint in study.binary_endpoints():
        if endpoint not in subjects.columns:
            outcomes = warehouse.fetch("cohort/outcomes", endpoint=endpoint, competing=None)
            subjects = binary_column(subjects, outcomes, endpoint)
        missing = int(subjects[endpoint].null_count())
        attrition.leave("outcome known", {"missing": missing}, subjects.height, endpoint=endpoint)
    sandbox = Sandbox(subjects) if any(e.exclude_where for e in study.endpoints.values()) else None
    sets, problems = {}, []
    for endpoint, section in study.survival_endpoints().items():
        excluded = None
        if sandbox is not None and section.exclude_where:
            excluded = sandbox.judge(
                section.exclude_where, named=f"endpoints.{toml_key(endpoint)}.exclude_where"
            )
        outcomes = warehouse.fetch("cohort/outcomes", endpoint=endpoint, competing=section.competing)
        try:
            sets[endpoint] = follow_up(subjects, outcomes, endpoint, section, excluded, attrition)
        except AnalysisError as error:
            problems.append(error)
    if problems:
        found = " ".join(problem.message for problem in problems)
        raise AnalysisError(f"Cohort `{name}`: {found}", problems[0].next_step)
    return subjects, sets


def _note_facts(attrition: Attrition, study: Study, images: pl.DataFrame, subjects: pl.DataFrame) -> None:
    for flag, n in count_flags(subjects).items():
        if flag not in _not_compared(study):
            attrition.note(flag, n, FLAGS[flag])
    days = images.group_by("subject_id").agg(pl.col("study_date").n_unique())
    several = days.filter(pl.col("study_date") > 1).height
    rule = study.images.index_image
    detail = "have qualifying images on several days; `index_image` picks one day"
    if rule == "last":
        detail += ": the last, so follow-up begins only after everything that led to another image"
    attrition.note("several_days", several, detail)
    corrected = subjects["correction_flags"].drop_nulls()
    if len(corrected):
        n = int(corrected.str.contains("outside_fitted_ages").sum())
        attrition.note("outside_fitted_ages", n, "are of ages that their bias correction was not fitted on")
    kinds = "have images of both kinds on the index day; the index image is of one kind"
    attrition.note("both_kinds_on_index_day", count_mixed_days(images, subjects), kinds)


def _not_compared(study: Study) -> set[str]:
    """Return the flags that nobody can have, since the study names no such column of its table."""
    section = study.subjects
    flags = set()
    if section is None or section.sex is None:
        flags |= {"sex_conflict", "sex_from_table"}
    if section is None or (section.birth_date is None and section.age is None):
        flags |= {"age_conflict", "age_from_table"}
    return flags


def _count_files(warehouse: Warehouse, attrition: Attrition, key: ModelKey) -> int:
    of_model = {"model_id": key.model_id, "preprocessing_id": key.preprocessing_id}
    if key.imported:
        n_rows = int(warehouse.fetch("score/counts", **of_model)["scored"].item())
        attrition.start("rows imported", n_rows, unit="ages")
        return n_rows
    counts = warehouse.fetch("cohort/file_counts", **of_model)
    found = counts.filter(pl.col("step") == "found")
    n_files = int(found["n"].sum())
    attrition.start("files found", n_files, unit="files")
    left: dict[str, dict[str, int]] = {"readable": {}, "eligible images": {}}
    for state, reason, n in found.filter(~pl.col("remains")).select("state", "reason", "n").iter_rows():
        step = "readable" if state in ("rejected", "missing") else "eligible images"
        left[step][f"{state}: {reason}" if reason else state] = int(n)
    remaining = n_files
    for step, reasons in left.items():
        remaining = attrition.leave(step, reasons, remaining, unit="files")
    unscored = counts.filter((pl.col("step") == "scored") & ~pl.col("remains"))
    failures = {f"not scored: {reason}": int(n) for reason, n in unscored.select("reason", "n").iter_rows()}
    return attrition.leave("scored", failures, remaining, unit="images")


def _count_table(
    warehouse: Warehouse, study: Study, key: ModelKey, attrition: Attrition, n_linked: int
) -> None:
    """Count the same way from the other side: from the rows of the follow-up table to the subjects."""
    counts = warehouse.fetch(
        "cohort/table_counts",
        model_id=key.model_id,
        preprocessing_id=key.preprocessing_id,
        kind=study.images.kind,
    ).row(0, named=True)
    unit: Unit = "table rows"
    attrition.start("in the follow-up table", counts["in_table"], unit=unit)
    remaining = counts["in_table"]
    for step, reason, n in (
        ("with an image", "no image of the subject", counts["with_image"]),
        ("with a scored image", "no image scored", counts["with_score"]),
        ("with an image of the cohort", "no scored image in the cohort, of known age", n_linked),
    ):
        remaining = attrition.leave(step, {reason: remaining - n}, remaining, unit=unit)


def unmatched_rows(warehouse: Warehouse) -> pl.DataFrame:
    """Return who is on one side of the linkage alone: ``side, subject_id, row_number, n_images, reason``.

    ``side`` is ``table`` (a row of the follow-up table without an image) or ``images`` (a subject of the
    images without a row); subjects go by their ids in the database, rows by their number in the table.
    """
    return warehouse.fetch("cohort/unmatched")


def qualifying(images: pl.DataFrame) -> pl.DataFrame:
    """Return the images whose subject and age are known."""
    return images.filter(pl.col("subject_id").is_not_null() & pl.col("age_years").is_not_null())

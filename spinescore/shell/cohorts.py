"""Scored images, splits and subjects in the database -> the cohorts a study file names."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import polars as pl

from spinescore.core.cohort import (
    Attrition,
    add_predicted_age_difference,
    assign_split,
    binary_column,
    follow_up,
    pick_index_images,
    refuse_ambiguous_origin,
)
from spinescore.domain import Cohort
from spinescore.errors import AnalysisError
from spinescore.shell.warehouse import Sandbox, Warehouse
from spinescore.study import Study


def trained_on_nobody(_: Iterable[str]) -> set[str]:
    """Return the subjects a model of unknown training was trained on, as far as is known: none."""
    return set()


MODEL_ID_LENGTH = 16
IMPORTED = "imported"  # stands for a preprocessing where ages were computed elsewhere


@dataclass(frozen=True, slots=True)
class ModelKey:
    """Which scores: the model, its preprocessing, and which subjects it was trained on."""

    model_id: str
    preprocessing_id: str
    trained_on: Callable[[Iterable[str]], set[str]] = trained_on_nobody

    @property
    def imported(self) -> bool:
        """Whether the ages came in a table."""
        return self.preprocessing_id == IMPORTED


def imported_key(name: str) -> ModelKey:
    """Return the key of the ages imported under a name: the same name, the same model."""
    digest = hashlib.sha256(json.dumps([name, IMPORTED]).encode())
    return ModelKey(digest.hexdigest()[:MODEL_ID_LENGTH], IMPORTED)


def subject_images(warehouse: Warehouse, study: Study, key: ModelKey) -> pl.DataFrame:
    """Return one row per scored image with its subject's split and covariates, where those are known."""
    images = warehouse.fetch(
        "cohort/scored_images",
        model_id=key.model_id,
        preprocessing_id=key.preprocessing_id,
        method=study.correction.method,
    )
    if study.images.kind != "auto":
        images = images.filter(pl.col("kind") == study.images.kind)
    trained = key.trained_on(images["subject_id"].drop_nulls().unique())
    parts = [
        _part(subject, kind, study, trained) for subject, kind in images.select("subject_id", "kind").rows()
    ]
    images = images.with_columns(pl.Series("split", parts, dtype=pl.String))
    if not warehouse.has_table("subjects"):
        return images.with_columns(pl.lit(value=False).alias("linked"))
    subjects = warehouse.table("subjects").with_columns(pl.lit(value=True).alias("linked"))
    own = set(images.columns) - {"subject_id"}
    clash = {name: f"table_{name}" for name in subjects.columns if name in own}
    joined = images.join(subjects.rename(clash), on="subject_id", how="left", maintain_order="left")
    return joined.with_columns(pl.col("linked").fill_null(value=False))


def _part(subject_id: str | None, kind: str, study: Study, trained: set[str]) -> str | None:
    if subject_id is None:
        return None
    if subject_id in trained:
        return "train"
    return assign_split(
        subject_id, kind, seed=study.split.seed, reference_fraction=study.split.reference_fraction
    )


def reference_rows(images: pl.DataFrame, study: Study, kind: str) -> pl.DataFrame:
    """Return the reference cohort of a kind: one index image per subject, with age and spine age.

    Raises
    ------
    AnalysisError
        If a subject of it is also in a cohort that is analysed, or the model was trained on one.
    """
    name = study.correction.reference[kind]  # type: ignore[index]
    sandbox = Sandbox(images)
    chosen = _qualifying(sandbox.select(study.cohorts[name].where, named=f"cohorts.{name}"))
    chosen = chosen.filter(pl.col("kind") == kind)
    trained = chosen.filter(pl.col("split") == "train")["subject_id"].n_unique()
    if trained:
        raise AnalysisError(
            f"{trained} subject(s) of the reference cohort `{name}` were used to train the model.",
            "Add `and split = 'reference'` to its condition: it needs subjects the model never saw.",
        )
    reference = set(chosen["subject_id"])
    for cohort, section in study.analysis_cohorts().items():
        rows = sandbox.select(section.where, named=f"cohorts.{cohort}")
        shared = reference & set(rows["subject_id"].drop_nulls())
        if shared:
            raise AnalysisError(
                f"{len(shared)} subject(s) of cohort `{cohort}` are also in `{name}`, "
                "which its correction is fitted on.",
                "Make the two conditions disjoint, e.g. split = 'reference' and split = 'test'.",
            )
    return pick_index_images(chosen, study.images.index_image)


def build_cohort(
    warehouse: Warehouse, images: pl.DataFrame, study: Study, name: str, key: ModelKey
) -> Cohort:
    """Build one analysis cohort: condition, index image, linkage, endpoints, attrition."""
    attrition = Attrition()
    n_scored = _count_files(warehouse, attrition, key)
    section = study.cohorts[name]
    sandbox = Sandbox(images)
    chosen = sandbox.select(section.where, named=f"cohorts.{name}")
    other = n_scored - chosen.height
    attrition.leave("in the cohort", {"not in this cohort": other}, n_scored)
    known = _qualifying(chosen)
    no_subject = chosen["subject_id"].is_null().sum()
    reasons = {
        "no patient id": int(no_subject),
        "age unknown": chosen.height - int(no_subject) - known.height,
    }
    attrition.leave("subject and age known", _nonzero(reasons), chosen.height)
    refuse_ambiguous_origin(known, study.survival_endpoints(), name)
    index = pick_index_images(known, study.images.index_image)
    unit = "age" if key.imported else "image"
    further = {f"further {unit}s": known.height - index.height}
    attrition.leave(f"one index {unit} per subject", _nonzero(further), known.height)
    linked = index.filter(pl.col("linked")) if study.subjects else index
    unmatched = {"not in the follow-up table": index.height - linked.height}
    attrition.leave("linked to follow-up", _nonzero(unmatched), index.height)
    if linked.is_empty():
        raise AnalysisError(
            f"Cohort `{name}` is empty: {_last_exit(attrition)}.",
            "Check its `where`, and that the follow-up table's ids are the DICOM files' PatientIDs.",
        )
    return _with_endpoints(warehouse, study, name, linked, attrition)


def _with_endpoints(
    warehouse: Warehouse, study: Study, name: str, linked: pl.DataFrame, attrition: Attrition
) -> Cohort:
    subjects = add_predicted_age_difference(linked)
    outcomes = warehouse.table("outcomes")
    for endpoint in study.binary_endpoints():
        if endpoint not in subjects.columns:
            subjects = binary_column(subjects, outcomes, endpoint)
        missing = int(subjects[endpoint].is_null().sum())
        attrition.leave("outcome known", _nonzero({"missing": missing}), subjects.height, endpoint=endpoint)
    sets = {}
    for endpoint, section in study.survival_endpoints().items():
        excluded: frozenset[str] = frozenset()
        if section.exclude_where:
            rows = Sandbox(subjects).select(
                section.exclude_where, named=f"endpoints.{endpoint}.exclude_where"
            )
            excluded = frozenset(rows["subject_id"])
        sets[endpoint] = follow_up(subjects, outcomes, endpoint, section, excluded, attrition)
    return Cohort(name, subjects, sets, attrition.frame())


def _count_files(warehouse: Warehouse, attrition: Attrition, key: ModelKey) -> int:
    of_model = {"model_id": key.model_id, "preprocessing_id": key.preprocessing_id}
    if key.imported:
        n_rows = int(warehouse.fetch("score/counts", **of_model)["scored"].item())
        attrition.start("rows imported", n_rows)
        return n_rows
    counts = warehouse.fetch("cohort/file_counts", **of_model)
    found = counts.filter(pl.col("step") == "found")
    n_files = int(found["n"].sum())
    attrition.start("files found", n_files)
    left_out = {
        f"{state}: {reason}": int(n)
        for state, reason, n in found.select("state", "reason", "n").iter_rows()
        if state != "indexed"
    }
    n_indexed = attrition.leave("eligible images", left_out, n_files)
    failed = counts.filter(pl.col("step") == "scored")
    failures = {f"not scored: {reason}": int(n) for reason, n in failed.select("reason", "n").iter_rows()}
    return attrition.leave("scored", failures, n_indexed)


def _qualifying(images: pl.DataFrame) -> pl.DataFrame:
    return images.filter(pl.col("subject_id").is_not_null() & pl.col("age_years").is_not_null())


def _nonzero(reasons: dict[str, int]) -> dict[str, int]:
    return {reason: n for reason, n in reasons.items() if n}


def _last_exit(attrition: Attrition) -> str:
    counts = attrition.frame().filter(pl.col("n_excluded") > 0)
    if counts.is_empty():
        return "no image was scored"
    last = counts.row(-1, named=True)
    return f"{last['n_excluded']} left at `{last['step']}` ({last['reason']})"

"""Scores that came last, against the reference set -> what has drifted, and what is beyond its threshold."""

from __future__ import annotations

from dataclasses import asdict

import polars as pl

from spinescore.core.cohort.index_image import add_predicted_age_difference
from spinescore.core.drift import DriftRow, compare_kind, compare_scores, count_failures
from spinescore.domain import StageSummary
from spinescore.shell.cohorts import ModelKey, subject_images
from spinescore.shell.corrections import correction_method, corrections_in_force, reference_folds
from spinescore.shell.reference_cohorts import reference_rows
from spinescore.shell.warehouse import Warehouse
from spinescore.study import Study
from spinescore.study.drift_section import DriftSection

COLUMNS = {
    "measure": pl.String,
    "kind": pl.String,
    "group": pl.String,
    "against": pl.String,
    "value": pl.Float64,
    "lower": pl.Float64,
    "upper": pl.Float64,
    "sd": pl.Float64,
    "threshold": pl.Float64,
    "n": pl.Int64,
    "n_reference": pl.Int64,
    "beyond": pl.Boolean,
    "note": pl.String,
}


def assess_drift(warehouse: Warehouse, study: Study, key: ModelKey, settings: DriftSection) -> StageSummary:
    """Compare what was scored last with the reference set, and store it where anything differs from before.

    Raises
    ------
    AnalysisError
        As of ``reference_rows``, if the reference cohort is not what it must be.
    """
    images = _scored_images(warehouse, study, key)
    rows = [
        row
        for (kind,), own in sorted(images.group_by("kind", maintain_order=True))
        for row in _compare_with_reference(warehouse, study, key, images, own, str(kind), settings)
    ]
    if not key.imported:
        rows += [*_failed_shares(warehouse, key, settings), *_changed_scores(warehouse, key, settings)]
    table = pl.DataFrame([asdict(row) for row in rows], schema=COLUMNS)
    of_model = {"model_id": key.model_id, "preprocessing_id": key.preprocessing_id}
    counts = {"compared": table.height, "beyond": int(table["beyond"].sum())}
    changed = not table.equals(warehouse.fetch("drift/latest", **of_model))
    if changed:
        arguments = settings.model_dump(mode="json")
        with warehouse.run("drift", arguments, model_id=key.model_id) as run, warehouse.transaction():
            keys = {**of_model, "run_id": run.run_id}
            made_by = [pl.lit(value).alias(name) for name, value in keys.items()]
            warehouse.append("drift", table.with_columns(made_by))
            run.counts = counts
    message = f"{counts['beyond']} of {counts['compared']} comparisons beyond their threshold"
    return StageSummary("drift", changed=changed, message=message, counts=counts)


def _scored_images(warehouse: Warehouse, study: Study, key: ModelKey) -> pl.DataFrame:
    """Return scored images with known subject, age and gap, those that were scored last last."""
    tried = warehouse.fetch("drift/tried", model_id=key.model_id, preprocessing_id=key.preprocessing_id)
    order = tried.select("sop_instance_uid").with_row_index("place")
    images = add_predicted_age_difference(subject_images(warehouse, study, key))
    known = images.filter(pl.col("subject_id").is_not_null() & pl.col("pad_raw").is_finite())
    return known.join(order, on="sop_instance_uid").sort("place")


def _compare_with_reference(
    warehouse: Warehouse,
    study: Study,
    key: ModelKey,
    images: pl.DataFrame,
    own: pl.DataFrame,
    kind: str,
    settings: DriftSection,
) -> list[DriftRow]:
    reference = _reference(warehouse, study, key, images, kind)
    others = own.filter(
        ~pl.col("subject_id").is_in(reference["subject_id"].implode()) & (pl.col("split") != "train")
    )
    return compare_kind(kind, reference, others, settings)


def _reference(
    warehouse: Warehouse, study: Study, key: ModelKey, images: pl.DataFrame, kind: str
) -> pl.DataFrame:
    """Return whom a kind's correction was fitted on, as far as they are here, an image each."""
    if study.correction.file is None and kind in study.correction.reference:
        return add_predicted_age_difference(reference_rows(images, study, kind))
    for correction in corrections_in_force(warehouse, key, correction_method(study, key)):
        if correction.kind == kind and study.correction.file is not None:
            fitted_on = reference_folds(warehouse, correction, images)["subject_id"]
            rows = images.filter((pl.col("kind") == kind) & pl.col("subject_id").is_in(fitted_on.implode()))
            return rows.unique("subject_id", keep="first", maintain_order=True)
    return images.clear()


def _failed_shares(warehouse: Warehouse, key: ModelKey, settings: DriftSection) -> list[DriftRow]:
    tried = warehouse.fetch("drift/tried", model_id=key.model_id, preprocessing_id=key.preprocessing_id)
    return [
        count_failures(str(kind), own["failed"].to_list(), settings)
        for (kind,), own in sorted(tried.group_by("kind", maintain_order=True))
    ]


def _changed_scores(warehouse: Warehouse, key: ModelKey, settings: DriftSection) -> list[DriftRow]:
    of_model = {"model_id": key.model_id, "preprocessing_id": key.preprocessing_id}
    ages = warehouse.fetch("drift/earlier_ages", **of_model)
    told = set(warehouse.fetch("drift/told_changes", **of_model).iter_rows())
    rows = [
        compare_scores(str(kind), str(old), own, settings, told_before=(kind, old) in told)
        for (kind, old), own in sorted(ages.group_by("kind", "old_model", maintain_order=True))
    ]
    return [row for row in rows if row is not None]

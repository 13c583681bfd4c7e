"""Reference scores -> a bias correction per kind, applied to every score of that kind."""

from __future__ import annotations

import json

import polars as pl

from spinescore.core.cohort.splits import hash_rows
from spinescore.core.correction import Reference, apply_correction, fit_correction
from spinescore.domain import Correction, StageSummary
from spinescore.shell.cohorts import ModelKey, reference_rows, subject_images
from spinescore.shell.warehouse import Warehouse
from spinescore.study import Study

STORED = (
    "correction_id",
    "method",
    "kind",
    "model_id",
    "preprocessing_id",
    "slope",
    "intercept",
    "n_reference",
    "reference_cohort",
    "reference_sha256",
)


def calibrate(warehouse: Warehouse, study: Study, key: ModelKey) -> StageSummary:
    """Fit the study's correction per kind on its reference cohort and apply it to all scores.

    Fitted again only when the reference rows, the method or the scores changed.

    Raises
    ------
    AnalysisError
        If a reference cohort overlaps a cohort that is analysed.
    CorrectionError
        If the correction cannot be fitted.
    """
    if study.correction.method == "none":
        return StageSummary("calibrate", changed=False, message="no bias correction asked for")
    images = subject_images(warehouse, study, key)
    fitted = [_fit(images, study, kind, key) for kind in study.correction.reference]
    known = set(warehouse.table("corrections")["correction_id"])
    uncorrected = {c.correction_id: _uncorrected(warehouse, c) for c in fitted}
    n_new = sum(rows.height for rows in uncorrected.values())
    parts = _parts(images, study)
    if not n_new and known.issuperset(uncorrected) and _in_force(warehouse, fitted):
        if not _same_parts(warehouse, parts):
            with warehouse.transaction():
                warehouse.refill("splits", parts)
        return StageSummary("calibrate", changed=False, message="corrections unchanged")
    arguments = {"method": study.correction.method, "reference": dict(study.correction.reference)}
    with warehouse.run("calibrate", arguments, model_id=key.model_id) as run, warehouse.transaction():
        warehouse.refill("splits", parts)
        for correction in fitted:
            _store(warehouse, correction, uncorrected[correction.correction_id], run.run_id)
        run.counts = {"corrections": len(fitted), "corrected": n_new}
    return StageSummary(
        "calibrate", changed=True, message="; ".join(map(_describe, fitted)), counts=run.counts
    )


def _fit(images: pl.DataFrame, study: Study, kind: str, key: ModelKey) -> Correction:
    reference = reference_rows(images, study, kind).sort("subject_id")
    return fit_correction(
        study.correction.method,
        Reference(
            cohort=study.correction.reference[kind],  # type: ignore[index]
            sha256=hash_rows([reference["subject_id"], reference["age_years"], reference["spine_age_raw"]]),
            kind=kind,  # type: ignore[arg-type]
            ages=reference["age_years"].to_numpy(),
            spine_ages=reference["spine_age_raw"].to_numpy(),
        ),
        kind=kind,  # type: ignore[arg-type]
        model_id=key.model_id,
        preprocessing_id=key.preprocessing_id,
    )


def _uncorrected(warehouse: Warehouse, correction: Correction) -> pl.DataFrame:
    return warehouse.fetch(
        "calibrate/uncorrected",
        model_id=correction.model_id,
        preprocessing_id=correction.preprocessing_id,
        correction_id=correction.correction_id,
        kind=correction.kind,
    )


def _in_force(warehouse: Warehouse, fitted: list[Correction]) -> bool:
    """Whether the newest stored correction of each kind and method is the fitted one."""
    stored = warehouse.fetch("calibrate/list")
    for correction in fitted:
        same = stored.filter(
            (pl.col("kind") == correction.kind)
            & (pl.col("method") == correction.method)
            & (pl.col("model_id") == correction.model_id)
        )
        if same.is_empty() or same["correction_id"][0] != correction.correction_id:
            return False
    return True


def _store(warehouse: Warehouse, correction: Correction, uncorrected: pl.DataFrame, run_id: int) -> None:
    row = {name: getattr(correction, name) for name in STORED}
    row |= {
        "levels": json.dumps(correction.levels),
        "age_min": correction.age_range[0],
        "age_max": correction.age_range[1],
        "run_id": run_id,
    }
    frame = pl.DataFrame([row], schema_overrides={"slope": pl.Float64, "intercept": pl.Float64})
    warehouse.delete("corrections", frame.select("correction_id"))
    warehouse.append("corrections", frame)
    corrected = apply_correction(
        correction, uncorrected["age_years"].to_numpy(), uncorrected["spine_age"].to_numpy()
    )
    warehouse.append(
        "corrected_scores",
        uncorrected.select("sop_instance_uid", "model_id", "preprocessing_id").with_columns(
            pl.lit(correction.correction_id).alias("correction_id"),
            pl.lit(correction.method).alias("method"),
            pl.Series("corrected_age", corrected, dtype=pl.Float64),
            pl.lit(run_id).alias("run_id"),
        ),
    )


def _parts(images: pl.DataFrame, study: Study) -> pl.DataFrame:
    """Return each patient id's part, per kind; all ids of one subject are in one."""
    return (
        images.filter(pl.col("image_subject_id").is_not_null())
        .select(pl.col("image_subject_id").alias("subject_id"), "kind", "split")
        .unique(["subject_id", "kind"])
        .with_columns(pl.lit(study.split.seed).cast(pl.Int64).alias("seed"))
        .sort("subject_id", "kind")
    )


def _same_parts(warehouse: Warehouse, parts: pl.DataFrame) -> bool:
    return warehouse.table("splits").sort("subject_id", "kind").equals(parts)


def _describe(correction: Correction) -> str:
    if correction.slope is None or correction.intercept is None:
        return f"{correction.kind}: {correction.method} on {correction.n_reference} subjects"
    return (
        f"{correction.kind}: {correction.method} a = {correction.slope:.3f}, b = {correction.intercept:.2f} "
        f"on {correction.n_reference} subjects"
    )

"""Reference scores, or a file -> a bias correction per kind, applied to every score of that kind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import get_args

import polars as pl

from spinescore import __version__
from spinescore.core.cohort.splits import hash_rows
from spinescore.core.correction import (
    Reference,
    apply_correction,
    fit_correction,
    fold_of,
    is_outside,
    use_across_kinds,
)
from spinescore.domain import Correction, Kind, StageSummary
from spinescore.errors import CorrectionError
from spinescore.shell.bundles import fingerprint_subject
from spinescore.shell.cohorts import ModelKey, subject_images
from spinescore.shell.corrections import (
    correction_method,
    corrections_in_force,
    ids_of_subjects,
    read_correction_file,
    reference_folds,
    stated_corrections,
    store_correction,
)
from spinescore.shell.reference_cohorts import evaluated_kinds, reference_rows, refuse_fit_set
from spinescore.shell.warehouse import Warehouse
from spinescore.study import Study

KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True, slots=True)
class _Application:
    """A correction, the rows of ``corrected_scores`` that it makes, and those stored that no longer hold."""

    correction: Correction
    new: pl.DataFrame
    stale: pl.DataFrame


def calibrate(warehouse: Warehouse, study: Study, key: ModelKey) -> StageSummary:
    """Fit the study's correction per kind on its reference cohort, or read it, and apply it to all scores.

    Stored again only when the reference rows, the method, the file or the scores changed; if anything is
    refused, what was in force stays.

    Raises
    ------
    AnalysisError
        If whom it is fitted on overlaps with a cohort that is analysed or with whom the model was trained
        on, unasked.
    CorrectionError
        If it cannot be fitted, or its file is not whole, or of another model or kind.
    """
    if correction_method(study, key) == "none":
        return StageSummary("calibrate", changed=False, message="no bias correction asked for")
    images = subject_images(warehouse, study, key)
    if study.correction.file is None:
        wanted = [_fit(warehouse, images, study, kind, key) for kind in study.correction.reference]
    else:
        wanted = _take_stated(warehouse, images, study, key)
    applied = [_apply(warehouse, correction) for correction in wanted]
    parts = _parts(images, study)
    if not _anything_new(warehouse, applied, key):
        if not _same_parts(warehouse, parts):
            with warehouse.transaction():
                warehouse.refill("splits", parts)
        return StageSummary("calibrate", changed=False, message="corrections unchanged")
    arguments = study.correction.model_dump(mode="json", exclude_defaults=True)
    with warehouse.run("calibrate", arguments, model_id=key.model_id) as run, warehouse.transaction():
        warehouse.refill("splits", parts)
        for application in applied:
            _store(warehouse, application, run.run_id)
        run.counts = _count(applied)
    message = "; ".join(describe_correction(correction) for correction in wanted)
    return StageSummary("calibrate", changed=True, message=message, counts=run.counts)


def fit_corrections(
    warehouse: Warehouse, study: Study, key: ModelKey
) -> tuple[StageSummary, tuple[Correction, ...]]:
    """Fit, apply and return the study's corrections.

    Raises
    ------
    AnalysisError, CorrectionError
        As :func:`calibrate`; also if the study asks for no fit.
    """
    settings = study.correction
    if settings.file is not None:
        raise CorrectionError(
            f"correction.file: the study takes its correction from {settings.file}: there is nothing to fit.",
            "Take `file` out of [correction] and name reference cohorts, or use `calibrate apply`.",
        )
    if settings.method == "none" or not settings.reference:
        raise CorrectionError(
            "The study asks for no fit: [correction] has no reference cohort, or its method is none.",
            'Add `reference = { vfa = "NAME OF A COHORT" }` under [correction], and that cohort with '
            '`role = "reference"`.',
        )
    stage = calibrate(warehouse, study, key)
    in_force = corrections_in_force(warehouse, key, settings.method)
    return stage, tuple(correction for correction in in_force if correction.kind in settings.reference)


def apply_to_database(warehouse: Warehouse, path: Path, *, across_kinds: bool) -> StageSummary:
    """Apply a file to all scores of its model that a database holds; no study, so no cohorts are known.

    Raises
    ------
    CorrectionError
        If the file is not whole, or no score is of its model, or of its kinds unless across kinds.
    """
    corrections = read_correction_file(path)
    first = corrections[0]
    scored = warehouse.fetch("calibrate/scored_models")
    own = scored.filter(
        (pl.col("model_id") == first.model_id) & (pl.col("preprocessing_id") == first.preprocessing_id)
    )
    if own.is_empty():
        known = ", ".join(
            f"`{name}` ({model_id}, preprocessing {preprocessing_id})"
            for name, model_id, preprocessing_id in scored.select("name", "model_id", "preprocessing_id")
            .unique(maintain_order=True)
            .iter_rows()
        )
        raise CorrectionError(
            f"{path} corrects ages of model {first.model_id}, preprocessing {first.preprocessing_id}; "
            f"{warehouse.path} has scores of: {known or 'no model'}.",
            "Fit one on this model's own scores: `spinescore calibrate fit STUDY.toml --output FILE`.",
        )
    wanted = _for_kinds(corrections, own["kind"].unique().to_list(), str(path), across_kinds=across_kinds)
    applied = [_apply(warehouse, correction) for correction in wanted]
    key = ModelKey(first.model_id, first.preprocessing_id)
    if not _anything_new(warehouse, applied, key):
        return StageSummary("calibrate", changed=False, message="corrections unchanged")
    arguments = {"file": str(path), "across_kinds": across_kinds}
    with warehouse.run("calibrate", arguments, model_id=first.model_id) as run, warehouse.transaction():
        for application in applied:
            _store(warehouse, application, run.run_id)
        run.counts = _count(applied)
    message = "; ".join(describe_correction(correction) for correction in wanted)
    return StageSummary("calibrate", changed=True, message=message, counts=run.counts)


def describe_correction(correction: Correction) -> str:
    """Return a correction in a line: kind, method, coefficients, whom it was fitted on, what is flagged."""
    line = f"{correction.kind}: {correction.method}"
    if correction.slope is not None and correction.intercept is not None:
        line += f" a = {correction.slope:.3f}, b = {correction.intercept:.2f}"
    line += f" on {correction.n_reference} subjects"
    notes = (
        (correction.across_kinds, f"of {correction.fitted_kind}s"),
        (correction.cross_fit is not None, f"{correction.cross_fit} folds"),
        (correction.same_cohort, "same cohort"),
        (correction.n_trained_on > 0, f"{correction.n_trained_on} of them trained on"),
    )
    said = ", ".join(text for holds, text in notes if holds)
    return f"{line} ({said})" if said else line


def _fit(warehouse: Warehouse, images: pl.DataFrame, study: Study, kind: Kind, key: ModelKey) -> Correction:
    rows = reference_rows(images, study, kind).sort("subject_id")
    ids = ids_of_subjects(warehouse, images).join(rows.select("subject_id"), on="subject_id", how="semi")
    settings, seed = study.correction, study.split.seed

    def deal(subjects: pl.Series) -> list[int]:
        return [fold_of(s, seed=seed, n_folds=settings.cross_fit) for s in subjects if settings.cross_fit]

    reference = Reference(
        cohort=settings.reference[kind],
        sha256=hash_rows([rows["subject_id"], rows["age_years"], rows["spine_age_raw"]]),
        kind=rows["kind"][0] if rows.height else kind,
        ages=rows["age_years"].to_numpy(),
        spine_ages=rows["spine_age_raw"].to_numpy(),
        manufacturers=rows["manufacturer"].to_list(),
        subjects=[fingerprint_subject(one) for one in ids["any_id"]],
        subject_folds=deal(ids["subject_id"]),
        cross_fit=settings.cross_fit,
        folds=pl.Series(deal(rows["subject_id"]), dtype=pl.Int64).to_numpy() if settings.cross_fit else None,
        fold_seed=seed if settings.cross_fit else None,
        same_cohort=settings.same_cohort,
        n_trained_on=int((rows["split"] == "train").sum()),
        synthetic=study.study.synthetic or bool(rows["synthetic"].any()),
    )
    return fit_correction(
        settings.method,
        reference,
        kind=kind,
        model_id=key.model_id,
        preprocessing_id=key.preprocessing_id,
        fitted_on=datetime.now(UTC).date().isoformat(),
        made_by=f"spinescore {__version__}",
    )


def _take_stated(warehouse: Warehouse, images: pl.DataFrame, study: Study, key: ModelKey) -> list[Correction]:
    """Return the corrections of the file a study names, once they may be used on its subjects."""
    corrections, name = stated_corrections(study, key), f"correction.file: {study.correction.file}"
    first = corrections[0]
    for what, of_file, of_scores in (
        ("model", first.model_id, key.model_id),
        ("preprocessing", first.preprocessing_id, key.preprocessing_id),
    ):
        if of_file != of_scores:
            raise CorrectionError(
                f"{name} corrects ages of {what} {of_file}; the study's are of {what} {of_scores}.",
                "Fit one on this model's own scores: name reference cohorts, or `spinescore calibrate fit`.",
            )
    kinds = evaluated_kinds(images, study)
    wanted = _for_kinds(corrections, kinds, name, across_kinds=study.correction.across_kinds)
    for correction in wanted:
        fitted_on = reference_folds(warehouse, correction, images)["subject_id"]
        refuse_fit_set(images, study, correction, fitted_on)
    return wanted


def _for_kinds(
    corrections: Sequence[Correction], kinds: Sequence[str], name: str, *, across_kinds: bool
) -> list[Correction]:
    """Return a correction for each kind that needs one: of the file, else the other kind's, if asked for.

    Raises
    ------
    CorrectionError
        If the file has none for a kind, or one that was fitted across kinds, unasked.
    """
    by_kind = {correction.kind: correction for correction in corrections}
    missing = [kind for kind in KINDS if kind in kinds and kind not in by_kind]
    forced = [kind for kind, correction in by_kind.items() if correction.across_kinds and kind in kinds]
    if (missing or forced) and not across_kinds:
        kind = (missing or forced)[0]
        had = "none" if missing else "one fitted on the other kind"
        raise CorrectionError(
            f"{name} has {had} for images of kind {kind}; a correction of one kind does not unbias another.",
            f"Fit one on a cohort of kind {kind}; --across-kinds, or `across_kinds = true` under "
            "[correction], uses it all the same, flagged.",
        )
    return [*corrections, *(use_across_kinds(corrections[0], kind) for kind in missing)]


def _apply(warehouse: Warehouse, correction: Correction) -> _Application:
    of_model = {"model_id": correction.model_id, "preprocessing_id": correction.preprocessing_id}
    scores = warehouse.fetch("calibrate/scores", **of_model, kind=correction.kind)
    folds = reference_folds(warehouse, correction, scores)
    scores = scores.filter(pl.col("spine_age").is_finite()).join(
        folds, on="subject_id", how="left", maintain_order="left"
    )
    fold, ages = scores["fold"].fill_null(-1).to_numpy(), scores["age_years"].to_numpy()
    corrected = scores.select(
        "sop_instance_uid",
        pl.Series("corrected_age", apply_correction(correction, ages, scores["spine_age"].to_numpy(), fold)),
        pl.when(pl.col("fold") >= 0).then("fold").cast(pl.Int32).alias("fold"),
        _flags(correction, pl.Series(is_outside(correction, ages, fold))).alias("flags"),
    )
    stored = warehouse.fetch("calibrate/corrected", **of_model, correction_id=correction.correction_id)
    same = pl.all_horizontal(
        pl.col("corrected_age") == pl.col("corrected_age_stored"),
        pl.col("fold").eq_missing(pl.col("fold_stored")),
        pl.col("flags").list.join(" ") == pl.col("flags_stored").list.join(" "),
    ).fill_null(value=False)
    uid = "sop_instance_uid"
    joined = corrected.join(stored, on=uid, how="left", suffix="_stored", maintain_order="left")
    new = joined.filter(~same)
    changed = new.filter(pl.col("corrected_age_stored").is_not_null()).select(uid)
    without_score = stored.join(corrected, on=uid, how="anti").select(uid)
    return _Application(correction, new.select(corrected.columns), pl.concat([changed, without_score]))


def _flags(correction: Correction, outside: pl.Series) -> pl.Expr:
    """Return what must be said of each corrected age; ``fold`` is null for those not fitted on."""
    said = (
        (outside, "outside_fitted_ages"),
        (pl.col("fold") < 0, "same_cohort_correction"),
        (pl.col("fold") >= 0, "cross_fit_correction"),
        (pl.lit(correction.across_kinds), "across_kinds"),
        (pl.lit(correction.n_trained_on > 0), "correction_trained_on"),
    )
    return pl.concat_list(
        [pl.when(holds).then(pl.lit(code)).otherwise(pl.lit(None, pl.String)) for holds, code in said]
    ).list.drop_nulls()


def _anything_new(warehouse: Warehouse, applied: Sequence[_Application], key: ModelKey) -> bool:
    """Whether a score is to be corrected anew, or the newest stored correction of a kind is another."""
    if any(application.new.height or application.stale.height for application in applied):
        return True
    for correction in (application.correction for application in applied):
        in_force = warehouse.fetch(
            "report/corrections",
            model_id=key.model_id,
            preprocessing_id=key.preprocessing_id,
            method=correction.method,
        )
        if correction.correction_id not in in_force["correction_id"]:
            return True
    return False


def _store(warehouse: Warehouse, application: _Application, run_id: int) -> None:
    correction = application.correction
    store_correction(warehouse, correction, run_id)
    of_correction = (
        pl.lit(correction.model_id).alias("model_id"),
        pl.lit(correction.preprocessing_id).alias("preprocessing_id"),
        pl.lit(correction.correction_id).alias("correction_id"),
    )
    warehouse.delete("corrected_scores", application.stale.with_columns(of_correction))
    made = (pl.lit(correction.method).alias("method"), pl.lit(run_id).alias("run_id"))
    warehouse.append("corrected_scores", application.new.with_columns(*of_correction, *made))


def _count(applied: Sequence[_Application]) -> dict[str, int]:
    return {"corrections": len(applied), "corrected": sum(a.new.height for a in applied)}


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

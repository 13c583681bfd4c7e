"""Corrections where they are kept: files, a model's bundle, the database."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from spinescore.core.correction_artefact import FORMAT, read_corrections, write_corrections
from spinescore.core.reporting.correction_page import build_correction_page
from spinescore.domain import Correction, CorrectionMethod, FoldFit
from spinescore.errors import CorrectionError
from spinescore.shell.bundles import fingerprint_subject
from spinescore.shell.render import draw_charts, render_html
from spinescore.shell.warehouse import Warehouse
from spinescore.study import Study

if TYPE_CHECKING:
    from spinescore.shell.cohorts import ModelKey

BUNDLE = "bundle"  # in a study file: the model bundle's own correction
LINEAR = {"slope": pl.Float64, "intercept": pl.Float64}
PLAIN_COLUMNS = (
    "correction_id",
    "method",
    "kind",
    "fitted_kind",
    "model_id",
    "preprocessing_id",
    "slope",
    "intercept",
    "n_reference",
    "reference_cohort",
    "reference_sha256",
)


def correction_method(study: Study, key: ModelKey) -> CorrectionMethod:
    """Return the method of a study's correction: its own, or that of the file it names."""
    if study.correction.file is None:
        return study.correction.method
    return stated_corrections(study, key)[0].method


def stated_corrections(study: Study, key: ModelKey) -> tuple[Correction, ...]:
    """Return the corrections of the file that a study names.

    Raises
    ------
    CorrectionError
        If the file is missing or not whole, or the bundle has none.
    """
    if study.correction.file != BUNDLE:
        return read_correction_file(Path(str(study.correction.file)))
    if key.read_correction is None:
        raise CorrectionError(
            "correction.file: the study's model has no correction of its own.",
            "Name a file of `spinescore calibrate fit --output`, or reference cohorts to fit on.",
        )
    return read_corrections(key.read_correction(), "The model bundle's correction.json")


def read_correction_file(path: Path) -> tuple[Correction, ...]:
    """Return the corrections of a file.

    Raises
    ------
    CorrectionError
        If it is missing, unreadable, altered or no correction file.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise CorrectionError(
            f"{path} cannot be read: {reason}.", "Name a file that `spinescore calibrate fit --output` wrote."
        ) from None
    return read_corrections(content, str(path))


def refuse_other_file(path: Path) -> None:
    """Raise ``CorrectionError`` if a file exists that is no correction: it is not ours to replace."""
    if not path.exists():
        return
    head = path.read_bytes()[:200] if path.is_file() else b""
    if FORMAT.encode() not in head:
        raise CorrectionError(f"{path} exists and is no correction file.", "Name another file.")


def write_correction_file(path: Path, corrections: Iterable[Correction]) -> None:
    """Write corrections to a file, whole or not at all; readable by its owner alone, as reports are."""
    refuse_other_file(path)
    _write_whole(path, write_corrections(corrections), "--output")


def write_correction_page(path: Path, corrections: Sequence[Correction]) -> None:
    """Draw corrections on one self-contained page.

    Raises
    ------
    CorrectionError
        If there are none, or the file cannot be written.
    """
    if not corrections:
        raise CorrectionError(
            "There is no correction to draw.", "Fit one first: `spinescore calibrate fit STUDY.toml`."
        )
    report = build_correction_page(corrections)
    _write_whole(path, render_html(report, draw_charts(report), "screen"), "--html")


def store_correction(warehouse: Warehouse, correction: Correction, run_id: int) -> None:
    """Store a correction as the newest of its kind and method: from now on it is in force."""
    row = {name: getattr(correction, name) for name in PLAIN_COLUMNS} | {
        "levels": json.dumps(correction.levels),
        "age_min": correction.age_range[0],
        "age_max": correction.age_range[1],
        "artefact": write_corrections([correction]),
        "run_id": run_id,
    }
    frame = pl.DataFrame([row], schema_overrides=LINEAR)
    for table in ("corrections", "correction_folds"):
        warehouse.delete(table, frame.select("correction_id"))
    warehouse.append("corrections", frame)
    folds = [_fold_row(correction, fit, run_id) for fit in correction.folds]
    if folds:
        warehouse.append("correction_folds", pl.DataFrame(folds, schema_overrides=LINEAR))


def corrections_in_force(
    warehouse: Warehouse, key: ModelKey, method: CorrectionMethod
) -> tuple[Correction, ...]:
    """Return the newest stored correction per kind; those of a schema before 8 are left out."""
    rows = warehouse.fetch(
        "report/corrections", model_id=key.model_id, preprocessing_id=key.preprocessing_id, method=method
    )
    texts = rows["artefact"].drop_nulls().to_list()
    return tuple(c for text in texts for c in read_corrections(text, f"{warehouse.path}"))


def reference_folds(warehouse: Warehouse, correction: Correction, images: pl.DataFrame) -> pl.DataFrame:
    """Return the subjects whom a correction was fitted on: ``subject_id, fold`` (-1 without cross-fitting).

    A subject is one of them if any of the patient ids that are his is.

    Parameters
    ----------
    warehouse : Warehouse
        Its links of patient ids.
    correction : Correction
        With the fingerprints of its subjects.
    images : polars.DataFrame
        With ``subject_id`` and ``image_subject_id``.
    """
    folds = correction.subject_folds or (-1,) * len(correction.subjects)
    known = pl.DataFrame(
        {"fingerprint": correction.subjects, "fold": folds},
        schema={"fingerprint": pl.String, "fold": pl.Int64},
    )
    ids = ids_of_subjects(warehouse, images) if correction.subjects else known.head(0)
    if ids.is_empty():
        return pl.DataFrame(schema={"subject_id": pl.String, "fold": pl.Int64})
    prints = pl.Series([fingerprint_subject(one) for one in ids["any_id"]], dtype=pl.String)
    found = ids.with_columns(prints.alias("fingerprint")).join(known, on="fingerprint")
    return found.group_by("subject_id").agg(pl.col("fold").max()).sort("subject_id")


def ids_of_subjects(warehouse: Warehouse, images: pl.DataFrame) -> pl.DataFrame:
    """Return every id of every subject, ``subject_id, any_id``: the own, the images', the linked ones."""
    columns = ("subject_id", pl.col("image_subject_id").alias("any_id"))
    links = warehouse.table("subject_links").select(columns)
    own = images.select("subject_id", pl.col("subject_id").alias("any_id"))
    return pl.concat([images.select(columns), links, own]).drop_nulls().unique().sort("subject_id", "any_id")


def _write_whole(path: Path, text: str, option: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        Path(name).replace(path)
    except OSError as error:
        raise CorrectionError(
            f"{path} cannot be written: {error.strerror}.", f"Name a file in a folder of yours with {option}."
        ) from None


def _fold_row(correction: Correction, fit: FoldFit, run_id: int) -> dict[str, object]:
    return {
        "correction_id": correction.correction_id,
        "fold": fit.fold,
        "slope": fit.slope,
        "intercept": fit.intercept,
        "levels": json.dumps(fit.levels),
        "n_reference": fit.n_reference,
        "age_min": fit.age_range[0],
        "age_max": fit.age_range[1],
        "run_id": run_id,
    }

"""Ages computed elsewhere come in as scores of their own; all scores go out as one long table."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from spinescore.core.imaging.manufacturer import normalise_manufacturer
from spinescore.core.network.age_distribution import round_age
from spinescore.core.score_table import ReadScores, ScoreTable, read_scores
from spinescore.domain import StageSummary
from spinescore.errors import AnalysisError, TableError
from spinescore.shell.cohorts import IMPORTED, ModelKey, imported_key
from spinescore.shell.identity import MODE_KEY, Pseudonymiser, pseudonymiser
from spinescore.shell.snapshots import open_to_read
from spinescore.shell.table_options import as_options, with_options
from spinescore.shell.tabular import find_table, hash_table, write_private_table
from spinescore.shell.warehouse import Warehouse, open_warehouse

ROW_ID = "imported:"  # no SOP instance UID has a letter
ROW_ID_LENGTH = 32


@dataclass(frozen=True, slots=True)
class ImportRequest:
    """Which ages to import, and as what.

    Parameters
    ----------
    table : ScoreTable
        The file, and which column holds what.
    name : str
        What the model is called here; the same name replaces what it named before.
    keep_identifiers : bool, optional
        As in ``pseudonymiser``.
    """

    table: ScoreTable
    name: str
    keep_identifiers: bool | None = None


def import_scores(database: Path, request: ImportRequest) -> StageSummary:
    """Make the scores of an imported model those of a table; the database is made if it is missing.

    One transaction replaces what was imported under the same name; the same file read the same way changes
    nothing.

    Raises
    ------
    TableError
        If the table is not what is said of it; every problem at once, and nothing is written then.
    DatabaseError
        If the database holds ids in the other mode or under another key.
    """
    table, key = request.table, imported_key(request.name)
    file_sha256, read, detected = _read(table)
    settings = table.model_dump(mode="json", exclude={"file"}, exclude_none=True)
    fingerprint = _sha256([file_sha256, settings])
    with open_warehouse(database, create=True) as warehouse:
        identify = pseudonymiser(warehouse, keep_identifiers=request.keep_identifiers)
        if _fingerprint_of(warehouse, key) == fingerprint:
            return StageSummary(
                "import", changed=False, message=f"`{request.name}` holds this very table already"
            )
        rows = _identified(read.rows, identify, table.issuer, key)
        earlier = warehouse.fetch("scores/imported_rows", model_id=key.model_id)
        counts = {"imported": rows.height, **_compare(rows, earlier)}
        origin = {
            "file_sha256": file_sha256,
            "fingerprint": fingerprint,
            "rows": rows.height,
            "settings": settings,
        }
        arguments = {"file": str(table.file), "name": request.name, "detected": detected, **settings}
        with (
            warehouse.run("scores import", arguments, model_id=key.model_id, input_sha256=fingerprint) as run,
            warehouse.transaction(),
        ):
            _forget(warehouse, key, earlier)
            _store(warehouse, rows, key, request.name, origin, run.run_id)
            run.counts = counts
    return StageSummary(
        "import",
        changed=True,
        message=_message(request.name, key, rows, counts),
        counts=counts,
        warnings=read.warnings,
    )


def export_scores(
    database: Path, file: Path, *, model: str | None = None, snapshot: bool = False
) -> StageSummary:
    """Write the scores in a database as one long table, without UIDs and paths.

    Parameters
    ----------
    database : Path
        The database.
    file : Path
        A .csv, .json or .parquet file; readable by its owner alone, and replaced whole.
    model : str, optional
        The id or name of a model; all of them without it.
    snapshot : bool
        Read the copy that the last run left; so too, with a warning, where another process
        holds the database.

    Raises
    ------
    AnalysisError
        If there are no scores, or none of that model.
    TableError
        If the file cannot be written.
    """
    reading = open_to_read(database, snapshot=snapshot)
    with reading.warehouse as warehouse:
        rows = warehouse.fetch("scores/export", model=model)
        models = warehouse.fetch("scores/models", imported=IMPORTED)
        verbatim = warehouse.meta(MODE_KEY) == "verbatim"
    if rows.is_empty():
        known = ", ".join(f"`{name}` ({model_id})" for model_id, name, _ in models.rows()) or "none"
        of_model = f" of a model `{model}`" if model else ""
        raise AnalysisError(
            f"{database} holds no scores{of_model}.",
            f"Its models: {known}; score images with `score`, or read a table with `scores import`.",
        )
    write_private_table(rows, file)
    kept = ("subject_id holds patient ids: this database keeps them as they are",) if verbatim else ()
    warnings = (*kept, *((reading.note,) if reading.note else ()))
    return StageSummary(
        "export",
        changed=True,
        message=f"{rows.height:,} rows, {rows['model_id'].n_unique()} model(s); {file}",
        counts={"rows": rows.height, "models": rows["model_id"].n_unique()},
        warnings=warnings,
    )


def _read(table: ScoreTable) -> tuple[str, ReadScores, Mapping[str, str]]:
    """Return the file's hash, its rows, and what was detected about it; errors speak of options."""
    try:
        file_sha256 = hash_table(table.file)
        found = find_table(table.file, table)
        read = read_scores(found.rows, table, delimiter=found.delimiter)
    except TableError as error:
        raise with_options(error) from None
    warnings = tuple(as_options(warning) for warning in read.warnings)
    return file_sha256, read._replace(warnings=warnings), {**found.detected, **read.detected}


def _fingerprint_of(warehouse: Warehouse, key: ModelKey) -> str | None:
    models = warehouse.fetch("report/model", model_id=key.model_id)
    if models.is_empty():
        return None
    return str(json.loads(models["manifest"].item())[IMPORTED]["fingerprint"])


def _identified(
    rows: pl.DataFrame, identify: Pseudonymiser, issuer: str | None, key: ModelKey
) -> pl.DataFrame:
    """Put pseudonyms in the place of patient ids, and give each row an id of its own."""
    subjects = [identify(patient_id, issuer) for patient_id in rows["patient_id"]]
    places = zip(subjects, rows["study_date"], rows["kind"], rows["image"], strict=True)
    row_ids = [
        ROW_ID
        + _sha256([key.model_id, subject, str(day or ""), kind, *([image] if image else [])])[:ROW_ID_LENGTH]
        for subject, day, kind, image in places
    ]
    makers = rows["manufacturer_raw"].unique()
    names = pl.DataFrame(
        {"manufacturer_raw": makers, "manufacturer": [normalise_manufacturer(text) for text in makers]},
        schema=dict.fromkeys(("manufacturer_raw", "manufacturer"), pl.String),
    )
    return (
        rows.drop("patient_id", "image")
        .with_columns(
            pl.Series("subject_id", subjects, dtype=pl.String),
            pl.Series("sop_instance_uid", row_ids, dtype=pl.String),
        )
        .join(names, on="manufacturer_raw", how="left", nulls_equal=True, maintain_order="left")
    )


def _compare(rows: pl.DataFrame, earlier: pl.DataFrame) -> dict[str, int]:
    """Count how the rows differ from those imported before under the same name."""
    key = "sop_instance_uid"
    known = rows.join(earlier, on=key, how="semi").height
    same = rows.join(earlier, on=earlier.columns, how="semi", nulls_equal=True).height
    return {
        "added": rows.height - known,
        "changed": known - same,
        "unchanged": same,
        "removed": earlier.height - known,
    }


def _forget(warehouse: Warehouse, key: ModelKey, earlier: pl.DataFrame) -> None:
    model = pl.DataFrame({"model_id": [key.model_id]})
    for table in ("corrected_scores", "scores", "models"):
        warehouse.delete(table, model)
    warehouse.delete("images", earlier.select("sop_instance_uid"))


def _store(
    warehouse: Warehouse,
    rows: pl.DataFrame,
    key: ModelKey,
    name: str,
    origin: Mapping[str, Any],
    run_id: int,
) -> None:
    made_by = pl.lit(run_id, dtype=pl.Int64).alias("run_id")
    images = rows.drop("spine_age", "spine_age_sd")
    warehouse.append("images", images.with_columns(pl.lit(value=False).alias("synthetic"), made_by))
    rounded = pl.Series("spine_age_rounded", round_age(rows["spine_age"].to_numpy()), dtype=pl.Int64)
    scores = rows.select("sop_instance_uid", "kind", "spine_age", "spine_age_sd", rounded).with_columns(
        pl.lit(key.model_id).alias("model_id"),
        pl.lit(key.preprocessing_id).alias("preprocessing_id"),
        made_by,
    )
    warehouse.append("scores", scores)
    manifest = json.dumps({"name": name, IMPORTED: origin}, sort_keys=True)
    model = {"model_id": key.model_id, "name": name, "version": IMPORTED, "manifest": manifest}
    warehouse.append("models", pl.DataFrame([model]).with_columns(made_by))


def _message(name: str, key: ModelKey, rows: pl.DataFrame, counts: Mapping[str, int]) -> str:
    kinds = ", ".join(f"{n:,} {kind}" for kind, n in rows["kind"].value_counts().sort("kind").iter_rows())
    what = f"{rows.height:,} ages ({kinds}) of {rows['subject_id'].n_unique():,} subjects as `{name}`"
    was = "".join(
        f", {counts[how]:,} {how}" for how in ("added", "changed", "unchanged", "removed") if counts[how]
    )
    replaced = was if counts["added"] < rows.height or counts["removed"] else ""
    return f"{what}{replaced}; model {key.model_id}"


def _sha256(parts: object) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

"""Stored results -> HTML, PDF, JSON, Parquet and CSV. Renders; computes nothing."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from spinescore import __version__
from spinescore.core.reporting.material import Material, ResultTable
from spinescore.core.reporting.sections import build_report
from spinescore.domain import StageSummary, read_result
from spinescore.errors import AnalysisError
from spinescore.shell.cohorts import ModelKey
from spinescore.shell.corrections import correction_method
from spinescore.shell.render import render_files, table_csv
from spinescore.shell.software import software_versions
from spinescore.shell.warehouse import Warehouse
from spinescore.study import Study

SOFTWARE = ("lifelines", "scikit-learn", "scipy", "numpy", "polars", "duckdb")
RENDERED = ("report.html", "report.pdf", "results.json", "results.parquet")
ANALYZE_FIRST = "Run `spinescore analyze STUDY.toml` (or `spinescore run STUDY.toml`) first."


def render_report(warehouse: Warehouse, study: Study, key: ModelKey, *, force: bool = False) -> StageSummary:
    """Render the latest analysis of a model into the study's output folder; nothing if nothing changed.

    Writes ``report.html``, ``report.pdf``, ``results.json``, ``results.parquet`` and ``tables/*.csv``,
    readable by their owner alone. A report that fails half-way leaves the earlier one as it was.

    Raises
    ------
    AnalysisError
        If there is no analysis of this model, or it is of another study file's cohorts.
    """
    analysis = _latest_analysis(warehouse, study, key)
    fingerprint = _fingerprint(analysis, study)
    folder = study.study.output
    if not force and _rendered_before(warehouse, fingerprint, folder):
        return StageSummary("report", changed=False, message="report unchanged")
    arguments = {"study": study.study.title, "analysis": analysis["run_id"]}
    with warehouse.run("report", arguments, model_id=key.model_id, input_sha256=fingerprint) as run:
        results = warehouse.fetch("report/results", run_id=analysis["run_id"])
        report = build_report(_material(warehouse, study, key, analysis, results))
        files, warnings = render_files(report, "report")
        files |= {
            f"tables/{_table_file(t.number, t.key)}": table_csv(t).encode("utf-8-sig")
            for t in report.tables()
        }
        _write(folder, files, results)
        run.counts = {
            "tables": len(report.tables()),
            "figures": len(report.figures()),
            "results": results.height,
        }
    name = "report.html" if warnings else "report.pdf"
    message = f"{folder / name}; {run.counts['tables']} tables, {run.counts['figures']} figures"
    if warnings:
        message += "; no PDF (see the warning)"
    return StageSummary("report", changed=True, message=message, counts=run.counts, warnings=warnings)


def _latest_analysis(warehouse: Warehouse, study: Study, key: ModelKey) -> dict[str, Any]:
    rows = warehouse.fetch("report/latest_analysis", model_id=key.model_id)
    if rows.is_empty():
        raise AnalysisError(f"There is no analysis to report for model {key.model_id}.", ANALYZE_FIRST)
    analysis: dict[str, Any] = rows.row(0, named=True)
    analysed = set(analysis.pop("cohorts"))
    if analysed != set(study.analysis_cohorts()):
        raise AnalysisError(
            f"The stored results are of other cohorts ({', '.join(sorted(analysed)) or 'none'}) than the "
            "study file's.",
            ANALYZE_FIRST,
        )
    return analysis


def _fingerprint(analysis: dict[str, Any], study: Study) -> str:
    parts = [str(analysis["run_id"]), str(analysis["input_sha256"]), study.fingerprint(), __version__]
    return hashlib.sha256("|".join(parts).encode()).hexdigest()


def _rendered_before(warehouse: Warehouse, fingerprint: str, folder: Path) -> bool:
    if warehouse.last_run("report", fingerprint) is None:
        return False
    return all((folder / name).is_file() for name in RENDERED)


def _material(
    warehouse: Warehouse, study: Study, key: ModelKey, analysis: dict[str, Any], results: pl.DataFrame
) -> Material:
    run_id = analysis["run_id"]
    of_model = {"model_id": key.model_id, "preprocessing_id": key.preprocessing_id}
    corrections = warehouse.fetch("report/corrections", **of_model, method=correction_method(study, key))
    return Material(
        study=study,
        results=ResultTable([read_result(row) for row in results.iter_rows(named=True)]),
        curves=warehouse.fetch("report/curves", run_id=run_id),
        points=warehouse.fetch("report/points", run_id=run_id),
        repeats=warehouse.fetch("report/repeats", run_id=run_id),
        attrition=warehouse.fetch("report/attrition", run_id=run_id),
        corrections=[_correction(row) for row in corrections.to_dicts()],
        images=warehouse.fetch("report/images", **of_model).to_dicts(),
        quality=warehouse.fetch("report/quality", **of_model).to_dicts(),
        findings=warehouse.fetch("report/quality_flags", **of_model).to_dicts(),
        model=_model(warehouse, key),
        runs=[
            run | {"counts": json.loads(run["counts"] or "{}")}
            for run in warehouse.fetch("report/runs", run_id=run_id, model_id=key.model_id).to_dicts()
            if not (key.imported and run["command"] == "ingest")
        ],
        versions=software_versions(),
        made_at=datetime.now(UTC),
        hashes={
            "Study settings": study.fingerprint(),
            "Analysis input": str(analysis["input_sha256"]),
            "Analysis run": f"{run_id}, {analysis['ended_at']:%Y-%m-%d %H:%M:%S} UTC",
        },
    )


def _correction(row: dict[str, Any]) -> dict[str, Any]:
    """Return a stored correction with the flags of its artefact; those of a schema before 8 have none."""
    artefact = row.pop("artefact")
    (entry,) = json.loads(artefact)["corrections"] if artefact else ({"flags": {}},)
    return {**row, **entry["flags"]}


def _model(warehouse: Warehouse, key: ModelKey) -> dict[str, Any]:
    rows = warehouse.fetch("report/model", model_id=key.model_id).to_dicts()
    found = rows[0] if rows else {"name": "model", "version": "not recorded", "manifest": "{}"}
    manifest = json.loads(found["manifest"])
    return {**found, "manifest": manifest, "model_id": key.model_id, "preprocessing_id": key.preprocessing_id}


def _table_file(number: int, key: str) -> str:
    return f"table-{number:02d}-{key}.csv"


def _write(folder: Path, files: dict[str, bytes], results: pl.DataFrame) -> None:
    """Write everything beside the report first, then put it in place file by file."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    staging = Path(tempfile.mkdtemp(prefix=".report-", dir=folder))
    try:
        (staging / "tables").mkdir()
        for name, content in files.items():
            (staging / name).write_bytes(content)
        results.write_parquet(staging / "results.parquet")
        results.write_json(staging / "results.json")
        (folder / "tables").mkdir(exist_ok=True, mode=0o700)
        for path in sorted(staging.rglob("*")):
            if path.is_file():
                path.chmod(0o600)
                os.replace(path, folder / path.relative_to(staging))  # noqa: PTH105 - atomic on one file system
    finally:
        shutil.rmtree(staging)
    _remove_stale(folder, files)


def _remove_stale(folder: Path, files: dict[str, bytes]) -> None:
    """Remove what an earlier report of ours left and this one does not have."""
    if "report.pdf" not in files:
        (folder / "report.pdf").unlink(missing_ok=True)
    for path in (folder / "tables").glob("table-*.csv"):
        if re.fullmatch(r"table-\d{2,}-[a-z0-9-]+\.csv", path.name) and f"tables/{path.name}" not in files:
            path.unlink()

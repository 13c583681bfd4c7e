"""Stored results -> HTML, PDF, JSON, Parquet and CSV. Renders; computes nothing."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from spinescore import __version__
from spinescore.core.reporting.document import Report
from spinescore.core.reporting.language import marked, written_in
from spinescore.core.reporting.material import Material, ResultTable
from spinescore.core.reporting.sections import build_report
from spinescore.core.reporting.shareable_words import mark_shareable
from spinescore.core.reporting.short_report import PAGES, shorten
from spinescore.domain import RESULT_KEYS, StageSummary, read_result
from spinescore.errors import AnalysisError, DisclosureError
from spinescore.shell.catalogues import read_catalogue
from spinescore.shell.cohorts import ModelKey
from spinescore.shell.corrections import correction_method
from spinescore.shell.exports import export_figures, export_tables
from spinescore.shell.rasterise import rasterising
from spinescore.shell.render import draw_charts, render_files, render_short
from spinescore.shell.report_folder import staged, write_files
from spinescore.shell.side_printer import printing
from spinescore.shell.software import software_versions
from spinescore.shell.warehouse import Warehouse
from spinescore.study import Study

RENDERED = ("report.html", "results.json", "results.parquet")
RENDERED_PDF = ("report.pdf", "summary.pdf")
SHAREABLE = "shareable"
ANALYZE_FIRST = "Run `spinescore analyze STUDY.toml` (or `spinescore run STUDY.toml`) first."


def render_report(warehouse: Warehouse, study: Study, key: ModelKey, *, force: bool = False) -> StageSummary:
    """Render the latest analysis of a model into the study's output folder; nothing if nothing changed.

    Writes ``report.html``, ``report.pdf``, ``supplement.pdf``, ``summary.pdf`` (two pages),
    ``results.json``, ``results.parquet``, ``tables/*.csv`` and ``.html`` (for Word), ``figures/*.svg`` and
    ``.png`` (300 dpi), readable by their owner alone. A report that fails half-way leaves the earlier one as
    it was.

    Raises
    ------
    AnalysisError
        If there is no analysis of this model, or it is of another study file's cohorts.
    """
    analysis = _latest_analysis(warehouse, study, key)
    fingerprint = _fingerprint(analysis, study, _drift(warehouse, study, key))
    folder = study.study.output
    if not force and _rendered_before(warehouse, fingerprint, study):
        return StageSummary("report", changed=False, message="report unchanged")
    arguments = {"study": study.study.title, "analysis": analysis["run_id"]}
    with (
        written_in(read_catalogue(study.study.language)),
        warehouse.run("report", arguments, model_id=key.model_id, input_sha256=fingerprint) as run,
    ):
        results = warehouse.fetch("report/results", run_id=analysis["run_id"])
        material = _material(warehouse, study, key, analysis, results)
        cards, undrawn = _image_cards(warehouse, study, key)
        material = replace(material, image_cards=cards)
        report = build_report(material)
        warnings = (*undrawn, *_write_report(folder, report, material, results))
        run.counts = {
            "tables": len(report.tables()),
            "figures": len(report.figures()),
            "results": results.height,
        }
    whole = (folder / "report.pdf").is_file()
    name = "report.pdf" if whole else "report.html"
    message = f"{folder / name}; {run.counts['tables']} tables, {run.counts['figures']} figures"
    if not whole and "pdf" in study.report.formats:
        message += "; no PDF (see the warning)"
    return StageSummary("report", changed=True, message=message, counts=run.counts, warnings=warnings)


def _image_cards(
    warehouse: Warehouse, study: Study, key: ModelKey
) -> tuple[list[dict[str, Any]], tuple[str, ...]]:
    """Return the cards the study file asks for; opt-in, since they show patients."""
    if not study.report.image_cards:
        return [], ()
    if key.imported:
        return [], ("No image cards: the ages were imported, and there are no images.",)
    from spinescore.shell.image_cards import draw_image_cards

    return draw_image_cards(warehouse, study.model.bundle, study.report.image_cards)


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


def _drift(warehouse: Warehouse, study: Study, key: ModelKey) -> list[dict[str, Any]]:
    if study.drift is None:
        return []
    of_model = {"model_id": key.model_id, "preprocessing_id": key.preprocessing_id}
    return warehouse.fetch("drift/latest", **of_model).to_dicts()


def _fingerprint(analysis: dict[str, Any], study: Study, drift: Sequence[Mapping[str, Any]] = ()) -> str:
    parts = [str(analysis["run_id"]), str(analysis["input_sha256"]), study.fingerprint(), __version__]
    parts += [study.study.language, study.report.model_dump_json()]
    parts += [json.dumps(drift)] if drift else []
    return hashlib.sha256("|".join(parts).encode()).hexdigest()


def _rendered_before(warehouse: Warehouse, fingerprint: str, study: Study) -> bool:
    if warehouse.last_run("report", fingerprint) is None:
        return False
    names = RENDERED + (RENDERED_PDF if "pdf" in study.report.formats else ())
    return all((study.study.output / name).is_file() for name in names)


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
        drift=_drift(warehouse, study, key),
        model=_model(warehouse, key),
        runs=[
            run | {"counts": json.loads(run["counts"] or "{}")}
            for run in warehouse.fetch("report/runs", run_id=run_id, model_id=key.model_id).to_dicts()
            if not (key.imported and run["command"] == "ingest")
        ],
        versions=software_versions(),
        made_at=datetime.now(UTC),
        hashes={
            marked("Study settings"): study.fingerprint(),
            marked("Analysis input"): str(analysis["input_sha256"]),
            marked("Analysis run"): f"{run_id}, {analysis['ended_at']:%Y-%m-%d %H:%M:%S} UTC",
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


def share_report(
    warehouse: Warehouse, study: Study, key: ModelKey, *, against: Path | None = None
) -> StageSummary:
    """Render the latest analysis as a report that can be shared, into ``shareable`` of the output folder.

    Whatever is written follows from ``make_shareable``; the files are read back, and put in place only if no
    count can be told from them and no identifier of the database stands in them.

    Parameters
    ----------
    against : Path, optional
        Folder of an earlier shareable report of this study, which a reader may also have.

    Raises
    ------
    AnalysisError
        If there is no analysis of this model, or it is of another study file's cohorts.
    DisclosureError
        If a count could be told, or an identifier was found; the earlier release stays as it was.
    """
    from spinescore.core.disclosure.release import make_shareable
    from spinescore.shell.release_check import check_release, write_release

    analysis = _latest_analysis(warehouse, study, key)
    folder, k = study.study.output / SHAREABLE, study.study.min_cell
    arguments = {"study": study.study.title, "analysis": analysis["run_id"], "min_cell": k}
    fingerprint = _fingerprint(analysis, study) + SHAREABLE
    with (
        written_in(read_catalogue(study.study.language)),
        warehouse.run("report", arguments, model_id=key.model_id, input_sha256=fingerprint) as run,
    ):
        results = warehouse.fetch("report/results", run_id=analysis["run_id"])
        shareable = make_shareable(_material(warehouse, study, key, analysis, results), k)
        report = mark_shareable(build_report(shareable.material), k)
        with staged(folder) as staging:
            warnings = _render_into(staging, report, shareable.material, prefix=f"{SHAREABLE}-")
            write_release(staging, shareable, results.schema)
            n_cells = check_release(staging, against)
            _refuse_identifiers(staging, warehouse, study)
        run.counts = {"tables": len(report.tables()), "figures": len(report.figures()), "counts": n_cells}
    message = f"{folder}; {n_cells:,} counts, none of which can be told within {k}"
    return StageSummary("report", changed=True, message=message, counts=run.counts, warnings=warnings)


def _refuse_identifiers(folder: Path, warehouse: Warehouse, study: Study) -> None:
    from spinescore.shell.identifier_scan import find_identifiers

    rows = warehouse.fetch("report/identifiers")
    places = (str(study.study.database), str(study.study.output), *map(str, study.images.sources))
    leaks = find_identifiers(folder, dict(rows.select("identifier", "kind").iter_rows()), places)
    if leaks:
        more = f" and {len(leaks) - 1:,} more" if len(leaks) > 1 else ""
        raise DisclosureError(
            f"Nothing was published: {leaks[0]}{more}.",
            "Take it out of the study file's titles and conditions, or rename the level that holds it.",
        )


def _write_report(folder: Path, report: Report, material: Material, results: pl.DataFrame) -> tuple[str, ...]:
    """Write everything beside the report first, then put it in place."""
    results = results.sort(RESULT_KEYS, nulls_last=True)
    with staged(folder) as staging:
        warnings = _render_into(staging, report, material)
        results.write_parquet(staging / "results.parquet")
        results.write_json(staging / "results.json")
    return warnings


def _render_into(staging: Path, report: Report, material: Material, prefix: str = "") -> tuple[str, ...]:
    """Write the page, tables, and as the study file asks for PDFs and figures, PNG by a second process."""
    formats = material.study.report.formats
    pdf = "pdf" in formats
    with printing() if pdf else nullcontext() as printer:
        charts = draw_charts(report, printer)
        if "figures" in formats:
            write_files(staging, export_figures(report, charts))
        with rasterising(staging / "figures") if "figures" in formats else nullcontext() as pictures:
            files, warnings = render_files(report, f"{prefix}report", charts, pdf=pdf, printer=printer)
            if pdf and not warnings:
                files[f"{prefix}summary.pdf"] = render_short(shorten(report, material), charts, PAGES)
            write_files(staging, files | export_tables(report))
            failed = pictures.finish() if pictures is not None else None
    return (*warnings, f"PNG figures could not be drawn ({failed}).") if failed else warnings

"""ingest, score, status, runs: files and images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spinescore.cli.console import (
    CORRECTION_COLUMNS,
    EXIT_PARTIAL,
    Json,
    Output,
    Quiet,
    correction_rows,
)

if TYPE_CHECKING:
    import polars as pl

Database = Annotated[
    Path,
    typer.Option("--database", "-d", envvar="SPINESCORE_DATABASE", help="The DuckDB file.", show_envvar=True),
]


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command()(ingest)
    app.command()(score)
    app.command()(status)
    app.command()(runs)


def ingest(
    sources: Annotated[list[Path], typer.Argument(help="Folders and files to look through.")],
    database: Database,
    keep_identifiers: Annotated[
        bool, typer.Option("--keep-identifiers", help="Store patient ids as they are, not as pseudonyms.")
    ] = False,
    list_state: Annotated[
        str | None,
        typer.Option("--list", help="Afterwards list the paths in a state: rejected, excluded, duplicate."),
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Index DICOM files: one row per image, one state and reason per path. Unchanged files are skipped."""
    from spinescore.domain import StageSummary
    from spinescore.ingest import ingest as ingest_files
    from spinescore.shell.warehouse import open_warehouse

    output = Output(as_json, quiet)
    with open_warehouse(database, create=True) as warehouse:
        with output.listening() as listener:
            listener.stage("ingest")
            summary = ingest_files(
                warehouse, sources, keep_identifiers=keep_identifiers or None, progress=listener.advance
            )
            message = f"{summary.n_read:,} new or changed of {summary.n_seen:,} files"
            listener.done(StageSummary("ingest", summary.n_read > 0, message))
        _show_states(output, summary.states, database)
        listed = warehouse.fetch("ingest/listed", state=list_state) if list_state else None
        if listed is not None:
            output.table(list_state or "", listed.columns, listed.rows())
        output.emit(
            {
                "run_id": summary.run_id,
                "seen": summary.n_seen,
                "read": summary.n_read,
                "states": summary.states.to_dicts(),
                **({"listed": listed.to_dicts()} if listed is not None else {}),
            }
        )
    if summary.has_rejects:
        raise typer.Exit(EXIT_PARTIAL)


def score(
    database: Database,
    model: Annotated[
        str, typer.Option("--model", "-m", help="Bundle folder or zip; `demo` is the shipped one.")
    ] = "demo",
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    force_demo: Annotated[
        bool,
        typer.Option("--force-demo-on-real-images", help="Let the demonstration model score real images."),
    ] = False,
    retry: Annotated[bool, typer.Option("--retry", help="Try images again that failed before.")] = False,
    workers: Annotated[int, typer.Option(min=0, help="Decoding processes; 0 is one per core.")] = 0,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Estimate the spine age of every indexed image that the model has not scored yet."""
    from spinescore.score import ScoreRequest
    from spinescore.score import score as score_images
    from spinescore.shell.bundles import demo_bundle_path, load_bundle
    from spinescore.shell.warehouse import open_warehouse

    output = Output(as_json, quiet)
    bundle = load_bundle(demo_bundle_path() if model == "demo" else Path(model))
    request = ScoreRequest(bundle, device, force_demo, retry, workers)
    with open_warehouse(database) as warehouse:
        with output.listening() as listener:
            listener.stage("score")
            stage = score_images(warehouse, request, announce=listener.announce, progress=listener.advance)
            listener.done(stage)
        failures = warehouse.fetch(
            "score/failures", model_id=bundle.model_id, preprocessing_id=bundle.spec.preprocessing_id
        )
    if not failures.is_empty():
        output.table("Images without a score", failures.columns, failures.head(20).rows())
    output.emit({"model_id": bundle.model_id, **stage.counts, "failures": failures.to_dicts()})
    if stage.partial:
        raise typer.Exit(EXIT_PARTIAL)


def status(database: Database, as_json: Json = False) -> None:
    """Show what the database holds: files by state, scores by model, corrections, the last runs."""
    from spinescore.shell.warehouse import open_warehouse

    output = Output(as_json)
    with open_warehouse(database) as warehouse:
        states = warehouse.fetch("ingest/states")
        models = warehouse.fetch("score/by_model")
        corrections = warehouse.fetch("calibrate/list")
        history = warehouse.fetch("run/list").tail(8)
    _show_states(output, states, database)
    output.table("Scores", models.columns, models.rows())
    output.table("Corrections, newest first", CORRECTION_COLUMNS, correction_rows(corrections))
    _show_runs(output, history)
    output.emit(
        {
            "files": states.to_dicts(),
            "scores": models.to_dicts(),
            "corrections": corrections.to_dicts(),
            "runs": history.to_dicts(),
        }
    )


def runs(database: Database, as_json: Json = False) -> None:
    """List every run: what it did, when, and how it ended."""
    from spinescore.shell.warehouse import open_warehouse

    output = Output(as_json)
    with open_warehouse(database) as warehouse:
        history = warehouse.fetch("run/list")
    _show_runs(output, history)
    output.emit({"runs": history.to_dicts()})


def _show_states(output: Output, states: pl.DataFrame, database: Path) -> None:
    output.table("Files by state", ["state", "reason", "files"], states.rows())
    if states.filter(states["state"] == "indexed").is_empty() and not states.is_empty():
        output.say("No lateral spine image is among these files.")
        output.say(f"See why, file by file: spinescore ingest SOURCE --database {database} --list excluded")
    if not states.filter(states["state"] == "rejected").is_empty():
        output.say(f"List them with: spinescore ingest SOURCE --database {database} --list rejected")


def _show_runs(output: Output, history: pl.DataFrame) -> None:
    rows: list[tuple[Any, ...]] = []
    for row in history.iter_rows(named=True):
        seconds = (row["ended_at"] - row["started_at"]).total_seconds() if row["ended_at"] else None
        rows.append(
            (
                row["run_id"],
                row["command"],
                f"{row['started_at']:%Y-%m-%d %H:%M:%S}",
                "" if seconds is None else f"{seconds:.1f} s",
                row["outcome"] or "not finished",
                row["counts"] or "",
            )
        )
    output.table("Runs (UTC)", ["run", "command", "started", "took", "outcome", "counts"], rows)

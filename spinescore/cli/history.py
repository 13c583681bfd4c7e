"""runs, runs show, runs diff: what was done to a database, and what changed between two runs."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spinescore.cli.console import Database, Json, Output, Snapshot

if TYPE_CHECKING:
    import polars as pl

SHOWN_CHANGES = 20
NEVER_SHOWN = ("arguments", "counts")
RunNumber = Annotated[int, typer.Argument(min=1, metavar="N", help="The number of a run.")]

app = typer.Typer(help="What was done to a database: all runs, one whole, or two compared.")


@app.callback(invoke_without_command=True)
def runs(
    context: typer.Context,
    database: Annotated[
        Path | None,
        typer.Option("--database", "-d", envvar="SPINESCORE_DATABASE", help="The DuckDB file."),
    ] = None,
    snapshot: Snapshot = False,
    as_json: Json = False,
) -> None:
    """List every run: what it did, when, and how it ended."""
    from spinescore.shell.snapshots import open_to_read

    if context.invoked_subcommand is not None:
        return
    if database is None:
        raise typer.BadParameter("name the DuckDB file", param_hint="--database")
    output = Output(as_json)
    reading = open_to_read(database, snapshot=snapshot)
    with reading.warehouse as warehouse:
        history = warehouse.fetch("run/list")
    output.remark(reading.note)
    show_runs(output, history)
    output.emit({"runs": history.to_dicts()})


@app.command()
def show(run_id: RunNumber, database: Database, snapshot: Snapshot = False, as_json: Json = False) -> None:
    """Show all that is recorded of a run, and what is still there of it."""
    from spinescore.history import read_run
    from spinescore.shell.snapshots import open_to_read

    output = Output(as_json)
    reading = open_to_read(database, snapshot=snapshot)
    with reading.warehouse as warehouse:
        run = read_run(warehouse, run_id)
    output.remark(reading.note)
    rows = [(name, _shown(value)) for name, value in run.items() if name not in NEVER_SHOWN]
    for name in NEVER_SHOWN:
        rows += [(f"{name}.{key}", _shown(value)) for key, value in run[name].items()]
    output.table(f"Run {run_id}", ["", "value"], [row for row in rows if row[1]])
    output.emit(run)


@app.command()
def diff(
    before: RunNumber, after: RunNumber, database: Database, snapshot: Snapshot = False, as_json: Json = False
) -> None:
    """Compare two runs of one command: settings, counts, and for analyses every number."""
    from spinescore.history import compare_runs
    from spinescore.shell.snapshots import open_to_read

    output = Output(as_json)
    reading = open_to_read(database, snapshot=snapshot)
    with reading.warehouse as warehouse:
        found = compare_runs(warehouse, before, after)
    output.remark(reading.note)
    heads = [str(before), str(after)]
    output.table("Settings and counts that differ", ["", *heads], found.fields.rows())
    if found.n_same or found.results.height:
        changes = dict(found.results.group_by("change").len().iter_rows())
        counted = ", ".join(f"{n:,} {change}" for change, n in sorted(changes.items()))
        output.say(f"Results: {found.n_same:,} the same" + (f", {counted}." if counted else "."))
        output.table("Results that differ, most changed first", ["result", *heads], _changes(found.results))
        if found.results.height > SHOWN_CHANGES:
            output.say(f"{found.results.height - SHOWN_CHANGES:,} more; --json has them all.")
    elif found.fields.is_empty():
        output.say("Nothing differs.")
    output.emit(
        {"fields": found.fields.to_dicts(), "n_same": found.n_same, "results": found.results.to_dicts()}
    )


def show_runs(output: Output, history: pl.DataFrame) -> None:
    """Print runs as a table, times in UTC."""
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


def _shown(value: Any) -> str:
    if value is None or value == 0:
        return ""
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S} UTC"
    return value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)


def _changes(results: pl.DataFrame) -> list[tuple[str, str, str]]:
    keys = results.columns[: results.columns.index("change")]
    rows = []
    for row in results.head(SHOWN_CHANGES).iter_rows(named=True):
        name = " / ".join(str(row[key]) for key in keys if row[key] is not None)
        absent = {"added": ("", None), "removed": (None, "")}.get(row["change"], (None, None))
        sides = [
            _estimate(row, suffix) if missing is None else missing
            for suffix, missing in zip(("", "_after"), absent, strict=True)
        ]
        rows.append((name, sides[0], sides[1]))
    return rows


def _estimate(row: dict[str, Any], suffix: str) -> str:
    """Return a number with its interval, to six digits, and n and events as far as there are any."""
    value, lower, upper, n, events, status = (
        row[f"{name}{suffix}"] for name in ("value", "lower", "upper", "n", "events", "status")
    )
    text = status if value is None else f"{value:.6g}"
    if lower is not None and upper is not None:
        text += f" ({lower:.6g} to {upper:.6g})"
    counted = [f"{label} {count:,}" for label, count in (("n", n), ("events", events)) if count is not None]
    return f"{text}, {', '.join(counted)}" if counted else text

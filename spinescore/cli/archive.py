"""Commands about files: ``ingest`` and ``rules test``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from spinescore.cli.console import EXIT_PARTIAL, Database, Json, Output, Quiet

if TYPE_CHECKING:
    import polars as pl

    from spinescore.core.eligibility.rule_set import RuleSet, Step
    from spinescore.ingest import IngestRequest
    from spinescore.shell.copies.deidentified_copies import ExportRequest
    from spinescore.shell.indexing.explanation import Explanation
    from spinescore.shell.warehouse import Warehouse

Dates = Literal["shift", "keep"]
BurnedIn = Literal["refuse", "blank"]
Listed = Literal["indexed", "duplicate", "excluded", "rejected", "missing"]
SHOWN_AT_MOST = 40
LIST_COLUMNS = ("path", "reason", "detail", "flags", "rule")

ListState = Annotated[
    str | None,
    typer.Option(
        "--list",
        metavar="STATE[/REASON]",
        help="List the paths in a state (indexed, duplicate, excluded, rejected, missing), or of one reason.",
    ),
]
ListFile = Annotated[
    Path | None,
    typer.Option("--list-to", help="Write the whole list to this .csv, .json or .parquet file."),
]
Rules = Annotated[Path | None, typer.Option("--rules", help="TOML file with rules of your own.")]

rules_app = typer.Typer(help="Try eligibility rules on what is indexed.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command()(ingest)
    app.add_typer(rules_app, name="rules")


def ingest(
    sources: Annotated[
        list[str] | None,
        typer.Argument(
            help="Folders, archives (.zip, .tar, .tar.gz, .tar.zst ...), DICOMDIRs and files; "
            "- reads paths from standard input."
        ),
    ] = None,
    database: Annotated[
        Path | None,
        typer.Option(
            "--database", "-d", envvar="SPINESCORE_DATABASE", help="The DuckDB file.", show_envvar=True
        ),
    ] = None,
    rules: Rules = None,
    pixels: Annotated[
        bool,
        typer.Option(
            "--pixels",
            help="Decode every image now: finds broken pixels, measures image quality, and flags "
            "pixels seen under another subject. Scoring does it otherwise.",
        ),
    ] = False,
    keep_identifiers: Annotated[
        bool, typer.Option("--keep-identifiers", help="Store patient ids as they are, not as pseudonyms.")
    ] = False,
    id_width: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="LENGTH",
            help="PatientIDs of digits only get leading zeros to this length; fixed with the database.",
        ),
    ] = None,
    explain: Annotated[
        Path | None,
        typer.Option("--explain", metavar="FILE", help="Only show what becomes of one file, and why."),
    ] = None,
    list_state: ListState = None,
    list_to: ListFile = None,
    export_to: Annotated[
        Path | None,
        typer.Option(
            "--export-deidentified",
            metavar="DIR",
            help="Write de-identified copies of all indexed images (DICOM PS3.15 basic profile).",
        ),
    ] = None,
    dates: Annotated[
        Dates, typer.Option("--dates", help="Copies: shift each subject's dates, or keep them.")
    ] = "shift",
    burned_in: Annotated[
        BurnedIn, typer.Option("--burned-in", help="Copies: refuse burned-in text, or blank it by rule.")
    ] = "refuse",
    workers: Annotated[int, typer.Option(min=0, help="Reading processes; 0 is one per core.")] = 0,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Index DICOM files: one row per image, one state and reason per path. Unchanged files are skipped.

    Without SOURCE, --list and --export-deidentified work on what the database holds already.
    """
    from spinescore.ingest import IngestRequest
    from spinescore.shell.copies.deidentified_copies import ExportRequest
    from spinescore.shell.indexing.rules import read_rules
    from spinescore.shell.warehouse import open_warehouse

    output = Output(as_json, quiet)
    rule_set = read_rules(rules)
    if explain is not None:
        _explain(output, explain, rule_set)
        return
    if database is None:
        raise typer.BadParameter("name the database file", param_hint="--database")
    if not sources and list_state is None and export_to is None:
        raise typer.BadParameter("name a SOURCE, or ask for --list", param_hint="SOURCE")
    request = IngestRequest(
        sources=[Path(source) for source in sources or () if source != "-"],
        listed=_standard_input() if "-" in (sources or ()) else None,
        keep_identifiers=keep_identifiers or None,
        id_width=id_width,
        rules=rule_set,
        check_pixels=pixels,
        workers=workers,
    )
    with open_warehouse(database, create=bool(sources)) as warehouse:
        found = _ingest(output, warehouse, request) if sources else {}
        listed = list_files(warehouse, output, list_state, list_to)
        exported = {}
        if export_to is not None:
            exported = _export(
                output, warehouse, ExportRequest(export_to, dates, burned_in, rule_set, workers)
            )
    output.emit({**found, **listed, **exported})
    if found.get("rejects") or exported.get("export", {}).get("refused"):
        raise typer.Exit(EXIT_PARTIAL)


def _ingest(output: Output, warehouse: Warehouse, request: IngestRequest) -> dict[str, Any]:
    from spinescore.domain import StageSummary
    from spinescore.ingest import ingest as ingest_files
    from spinescore.listener import told_elsewhere

    with output.listening() as heard, told_elsewhere(heard, warehouse, "spinescore ingest") as listener:
        listener.stage("ingest")
        summary = ingest_files(warehouse, request, progress=listener.advance)
        gone = f", {summary.n_gone:,} gone" if summary.n_gone else ""
        message = f"{summary.n_read:,} new or changed of {summary.n_seen:,} files{gone}"
        listener.done(StageSummary("ingest", summary.n_read > 0, message, partial=summary.has_rejects))
    flags = warehouse.fetch("ingest/flags")
    show_states(output, summary.states, flags, warehouse.path)
    return {
        "run_id": summary.run_id,
        "seen": summary.n_seen,
        "read": summary.n_read,
        "gone": summary.n_gone,
        "rejects": summary.has_rejects,
        "states": summary.states.to_dicts(),
        "flags": flags.to_dicts(),
    }


def _export(output: Output, warehouse: Warehouse, request: ExportRequest) -> dict[str, Any]:
    from spinescore.domain import StageSummary
    from spinescore.shell.copies.deidentified_copies import export_deidentified

    with output.listening() as listener:
        listener.stage("export")
        summary = export_deidentified(warehouse, request, progress=listener.advance)
        message = (
            f"{summary.n_written:,} copies written, {summary.n_unchanged:,} there already, "
            f"{summary.n_refused:,} refused; {summary.manifest}"
        )
        listener.done(StageSummary("export", summary.n_written > 0, message))
    output.table("Images without a copy", ["reason", "images"], summary.refusals.rows())
    return {
        "export": {
            "manifest": str(summary.manifest),
            "written": summary.n_written,
            "unchanged": summary.n_unchanged,
            "refused": summary.n_refused,
            "refusals": summary.refusals.to_dicts(),
        }
    }


def list_files(
    warehouse: Warehouse, output: Output, list_state: str | None, list_to: Path | None
) -> dict[str, Any]:
    """Show the paths in a state, or write them to a file; return them for ``--json``."""
    from spinescore.shell.tabular import write_table

    if list_state is None:
        if list_to is not None:
            raise typer.BadParameter("say which state, with --list", param_hint="--list-to")
        return {}
    state, _, reason = list_state.partition("/")
    if state not in Listed.__args__:  # type: ignore[attr-defined]
        known = ", ".join(Listed.__args__)  # type: ignore[attr-defined]
        raise typer.BadParameter(f"{state} is not a state; they are {known}", param_hint="--list")
    listed: pl.DataFrame = warehouse.fetch("ingest/listed", state=state, reason=reason)
    if list_to is not None:
        write_table(listed, list_to)
        output.say(f"{listed.height:,} paths are listed in {list_to}")
        return {"listed_in": str(list_to), "n_listed": listed.height}
    shown = listed.head(SHOWN_AT_MOST).select(LIST_COLUMNS)
    output.table(f"{list_state}: {listed.height:,} paths", shown.columns, shown.rows())
    if listed.is_empty():
        output.say(f"No path is {list_state}.")
    if listed.height > SHOWN_AT_MOST:
        output.say(f"The first {SHOWN_AT_MOST}; all of them with --list {list_state} --list-to FILE.csv")
    return {"listed": listed.to_dicts()}


def show_states(output: Output, states: pl.DataFrame, flags: pl.DataFrame, database: Path) -> None:
    """Show how many paths are in which state, how many images carry which flag, and where the lists are."""
    output.table("Files by state", ["state", "reason", "files"], states.rows())
    output.table("Flags of indexed images", ["flag", "images"], flags.rows())
    if states.filter(states["state"] == "indexed").is_empty() and not states.is_empty():
        output.say("No lateral spine image is among these files.")
        output.say(f"See why, file by file: spinescore ingest --database {database} --list excluded")
    if not states.filter(states["state"] == "rejected").is_empty():
        output.say(f"List them with: spinescore ingest --database {database} --list rejected")


def _standard_input() -> Any:
    from spinescore.shell.archive.sources import read_path_list

    return read_path_list(sys.stdin.buffer)


def _explain(output: Output, path: Path, rules: RuleSet) -> None:
    from spinescore.shell.indexing.explanation import explain_file

    explanation = explain_file(path, rules)
    reading = explanation.reading
    decision = reading.state if reading.reason is None else f"{reading.state}: {reading.reason}"
    output.say(explanation.path)
    output.say(f"  decision   {decision}" + (f", by rule {reading.rule}" if reading.rule else ""))
    if reading.detail:
        output.say(f"  detail     {reading.detail}")
    if reading.flags:
        output.say(f"  flags      {', '.join(reading.flags)}")
    output.say(f"  parser     {explanation.parser}")
    output.table("What the index reads", ["tag", "attribute", "value"], explanation.tags)
    if explanation.steps:
        output.say("Rules, in order; the first that holds decides")
        for step in explanation.steps:
            output.say(f"  {'yes' if step.held else 'no ':<4} {step.rule.name:<28} {_because(step)}")
        decisive = explanation.steps[-1].rule
        output.say(
            f"  {decisive.name} rests on: {decisive.source}{f', {decisive.note}' * bool(decisive.note)}"
        )
    if reading.radiograph is not None:
        output.table("As it would be indexed", ["column", "value"], _image(explanation))
    output.emit(_explanation_as_json(explanation))


def _because(step: Step) -> str:
    """Return what decided about a rule: all that held, or the first that failed."""
    checks = step.checks if step.held else [check for check in step.checks if not check.passed][:1]
    return ", ".join(f'{check.condition.field} is "{check.text}"' for check in checks) or "always"


def _image(explanation: Explanation) -> list[tuple[str, object]]:
    from spinescore.domain import as_row

    assert explanation.reading.radiograph is not None
    row = as_row(explanation.reading.radiograph)
    row["subject_id"] = "a pseudonym of PatientID" if row["subject_id"] else None
    return [(name, str(value) if value is not None else "") for name, value in row.items()]


def _explanation_as_json(explanation: Explanation) -> dict[str, Any]:
    reading = explanation.reading
    return {
        "path": explanation.path,
        "parser": explanation.parser,
        "tags": [dict(zip(("tag", "keyword", "value"), row, strict=True)) for row in explanation.tags],
        "rules": [
            {"rule": step.rule.name, "held": step.held, "checks": [c.describe() for c in step.checks]}
            for step in explanation.steps
        ],
        "state": reading.state,
        "reason": reading.reason,
        "detail": reading.detail,
        "flags": list(reading.flags),
        "rule": reading.rule,
        "image": dict(_image(explanation)) if reading.radiograph is not None else None,
    }


@rules_app.command("test")
def rules_test(
    rules: Annotated[Path, typer.Argument(help="TOML file with rules of your own.")],
    database: Database,
    list_to: ListFile = None,
    as_json: Json = False,
) -> None:
    """Show what would change if these rules decided over everything in the database. Changes nothing."""
    from spinescore.shell.indexing.rule_trial import try_rules
    from spinescore.shell.indexing.rules import read_rules
    from spinescore.shell.tabular import write_table
    from spinescore.shell.warehouse import open_warehouse

    output = Output(as_json)
    with open_warehouse(database) as warehouse:
        trial = try_rules(warehouse, read_rules(rules))
    output.say(f"{trial.n_files:,} files were decided by rules; {trial.n_changed:,} would be otherwise.")
    output.table("What would change", trial.changes.columns, trial.changes.rows())
    if trial.n_unknown:
        output.say(f"{trial.n_unknown:,} files were indexed before rules were recorded: ingest them again.")
    if list_to is not None:
        write_table(trial.files, list_to)
        output.say(f"The {trial.files.height:,} files are listed in {list_to}")
    output.emit(
        {
            "n_files": trial.n_files,
            "n_changed": trial.n_changed,
            "n_unknown": trial.n_unknown,
            "changes": trial.changes.to_dicts(),
        }
    )

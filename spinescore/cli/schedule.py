"""schedule add|list|remove: unattended runs through the user's crontab."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from spinescore.cli.console import Json, Output
from spinescore.cli.study import StudyFile

app = typer.Typer(help="Run a study unattended, through the user's crontab.", no_args_is_help=True)


@app.command("add")
def add(
    study_file: StudyFile,
    calendar: Annotated[str, typer.Option(help='When: "Mon 02:00", "daily 02:00" or five cron fields.')],
    as_json: Json = False,
) -> None:
    """Schedule a study; a schedule it already has is replaced."""
    from spinescore.schedule import schedule_study

    entry, log = schedule_study(study_file, calendar)
    output = Output(as_json)
    output.say(f"Scheduled as {entry.entry_id}: {entry.expression}  {entry.study}")
    output.say(f"Its output goes to {log}")
    output.emit({"id": entry.entry_id, "cron": entry.expression, "study": str(entry.study), "log": str(log)})


@app.command("list")
def list_schedules(as_json: Json = False) -> None:
    """List the scheduled studies."""
    from spinescore.shell.timer import list_entries

    entries = list_entries()
    output = Output(as_json)
    if entries:
        rows = [(entry.entry_id, entry.expression, str(entry.study)) for entry in entries]
        output.table("Schedules", ["id", "cron", "study"], rows)
    else:
        output.say("No study is scheduled.")
    output.emit(
        {"schedules": [{"id": e.entry_id, "cron": e.expression, "study": str(e.study)} for e in entries]}
    )


@app.command("remove")
def remove(
    target: Annotated[
        str, typer.Argument(metavar="STUDY.toml|ID", help="The study file, or an id from `list`.")
    ],
    as_json: Json = False,
) -> None:
    """Take a study's schedule out of the crontab."""
    from spinescore.shell.timer import entry_id, list_entries, remove_entry

    known = {entry.entry_id for entry in list_entries()}
    identity = target if target in known else entry_id(Path(target))
    remove_entry(identity)
    output = Output(as_json)
    output.say(f"Removed {identity}.")
    output.emit({"removed": identity})

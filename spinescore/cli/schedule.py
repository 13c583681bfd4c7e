"""schedule add|list|show|remove: unattended runs, kept by the user's systemd or crontab."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from spinescore.cli.console import Json, Output
from spinescore.cli.study import StudyFile

if TYPE_CHECKING:
    from spinescore.schedule import Scheduled

Target = Annotated[str, typer.Argument(metavar="STUDY.toml|ID", help="The study file, or an id from `list`.")]

app = typer.Typer(
    help="Run a study unattended, by a systemd timer of the user's or the crontab.", no_args_is_help=True
)


@app.command("add")
def add(
    study_file: StudyFile,
    calendar: Annotated[
        str,
        typer.Option(
            help='When: "Mon 02:00", "daily 02:00", five cron fields, or what systemd reads as a calendar, '
            'e.g. "Mon 02:00 Asia/Seoul".'
        ),
    ],
    backend: Annotated[
        Literal["auto", "systemd", "cron"],
        typer.Option(help="auto: systemd if one of the user's runs; cron fields go to cron."),
    ] = "auto",
    memory: Annotated[
        str, typer.Option(metavar="SIZE", help="systemd: all the memory it may use, e.g. 8G.")
    ] = "75%",
    delay: Annotated[
        float, typer.Option(min=0, metavar="MINUTES", help="systemd: up to so much later, at random.")
    ] = 5,
    sandbox: Annotated[
        bool,
        typer.Option(
            "--sandbox/--without-sandbox",
            help="systemd: no network, and nothing written but to the study's own folders.",
        ),
    ] = True,
    only_print: Annotated[
        bool, typer.Option("--print", help="Print what would be kept; keep nothing.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Schedule a study; a schedule it already has is replaced."""
    from spinescore.schedule import ScheduleRequest, schedule_study

    request = ScheduleRequest(
        study_file=study_file,
        calendar=calendar,
        backend=None if backend == "auto" else backend,
        memory=memory,
        delay_minutes=delay,
        sandbox=sandbox,
    )
    found = schedule_study(request, only_show=only_print)
    output = Output(as_json)
    if only_print:
        _print_texts(output, found)
    else:
        output.say(f"Scheduled as {found.schedule_id} by {found.backend}: {found.when}  {found.study}")
    if found.next_run:
        output.say(f"Next: {found.next_run}")
    output.say(f"Its output: {found.log}")
    for note in found.notes:
        output.say(note)
    output.emit(_document(found))


@app.command("list")
def list_all(as_json: Json = False) -> None:
    """List the scheduled studies."""
    from spinescore.schedule import list_schedules

    found = list_schedules()
    output = Output(as_json)
    if found:
        rows = [(one.schedule_id, one.backend, one.when, str(one.study)) for one in found]
        output.table("Schedules", ["id", "by", "when", "study"], rows)
    else:
        output.say("No study is scheduled.")
    output.emit({"schedules": [_document(one) for one in found]})


@app.command("show")
def show(target: Target, as_json: Json = False) -> None:
    """Show a study's schedule: its units or crontab lines, when it is next, how it last ended."""
    from spinescore.schedule import find_schedule

    found = find_schedule(target)
    output = Output(as_json)
    _print_texts(output, found)
    facts = {"next": found.next_run, **found.facts, "output": found.log}
    for name, value in facts.items():
        output.say(f"{name.replace('_', ' ')}: {value or 'not known'}")
    for note in found.notes:
        output.say(note)
    output.emit(_document(found))


@app.command("remove")
def remove(target: Target, as_json: Json = False) -> None:
    """Take a study's schedule away."""
    from spinescore.schedule import remove_schedule

    found = remove_schedule(target)
    output = Output(as_json)
    output.say(f"Removed {found.schedule_id} from {found.backend}.")
    output.emit({"removed": found.schedule_id, "backend": found.backend})


def _print_texts(output: Output, found: Scheduled) -> None:
    for name, text in found.texts.items():
        output.say(f"# {Path(name).name}\n{text}")


def _document(found: Scheduled) -> dict[str, Any]:
    return {
        "id": found.schedule_id,
        "backend": found.backend,
        "when": found.when,
        "study": str(found.study),
        "next": found.next_run,
        "output": found.log,
        "texts": dict(found.texts),
        "notes": list(found.notes),
        **found.facts,
    }

"""run: all that a study file asks for, watched or not."""

from __future__ import annotations

import shlex
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from spinescore.cli.console import Json, Output, Quiet, fail, report_line
from spinescore.cli.study import StudyFile
from spinescore.errors import SpineScoreError

COMMAND = 'A program and its arguments, e.g. "/usr/local/bin/tell-me --run"; no shell reads it.'


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command()(run)


def run(
    study_file: StudyFile,
    wait: Annotated[
        float | None,
        typer.Option(min=0, metavar="MINUTES", help="Wait so long while another process holds the database."),
    ] = None,
    summary: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write what was done as JSON, also when it failed."),
    ] = None,
    log: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Append JSON lines, one per event.")
    ] = None,
    on_success: Annotated[
        str | None, typer.Option(metavar="COMMAND", help=f"After exit status 0 or 3. {COMMAND}")
    ] = None,
    on_failure: Annotated[
        str | None,
        typer.Option(
            metavar="COMMAND",
            help="After any other. SPINESCORE_SUMMARY names the summary in its environment.",
        ),
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Ingest, score, calibrate, analyze and report: only what changed since the last run.

    What the options say can stand in the study file instead, in its section `run`.
    """
    from spinescore.core.reporting.drift_section import drift_lines
    from spinescore.unattended import RunRequest, run_unattended

    request = RunRequest(
        study_file=study_file,
        wait_minutes=wait,
        summary=summary,
        log=log,
        on_success=_words(on_success, "--on-success"),
        on_failure=_words(on_failure, "--on-failure"),
    )
    output = Output(as_json, quiet)
    with _stopped_as_interrupted(), output.listening() as listener:
        account = run_unattended(request, listener)
    if account.failure is not None:
        found = account.failure
        fail(SpineScoreError(found.message, found.next_step))
    else:
        if not account.changed:
            output.say("Nothing has changed since the last run; nothing was done.")
        output.say(report_line(Path(account.identity["report"]), "report"))
        for line in drift_lines(account.drift):
            output.say(f"drift: {line}")
    for warning in account.warnings:
        typer.echo(f"warning: {warning}", err=True)
    output.emit(account.as_document())
    if account.exit_status:
        raise typer.Exit(account.exit_status)


@contextmanager
def _stopped_as_interrupted() -> Iterator[None]:
    """Treat being told to stop as Ctrl-C is: what was committed is kept, and the summary is written."""

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _words(command: str | None, option: str) -> tuple[str, ...] | None:
    """Return a command as a list of its words."""
    if command is None:
        return None
    try:
        words = tuple(shlex.split(command))
    except ValueError as error:
        raise typer.BadParameter(f"{error}", param_hint=option) from None
    if not words:
        raise typer.BadParameter("names no program", param_hint=option)
    return words

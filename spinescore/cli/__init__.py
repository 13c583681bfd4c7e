"""The command line: parse, call one verb, print, map errors to exit statuses."""

from __future__ import annotations

import sys

import typer

from spinescore import __version__
from spinescore.cli import (
    archive,
    calibrate,
    data,
    demonstration,
    doctor,
    history,
    model,
    running,
    scale,
    schedule,
    scores,
    study,
    study_file,
    tracing,
    training,
    trust,
    upkeep,
    verify,
)
from spinescore.cli.console import EXIT_INTERRUPTED, fail
from spinescore.cli.crash import report_crash
from spinescore.errors import SpineScoreError
from spinescore.shell.storage import storage_error

app = typer.Typer(
    name="spinescore",
    help="Spine age from lateral spine radiographs and DXA VFA images, and the report on what it is worth.",
    epilog="Exit status: 0 done, 1 failed, 2 usage, 3 images failed, 4 drift, 5 in use, 130 interrupted.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)


def _version(*, wanted: bool) -> None:
    if wanted:
        typer.echo(f"spinescore {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    *,
    version: bool = typer.Option(
        False, "--version", help="Print the version.", callback=lambda v: _version(wanted=v)
    ),
) -> None:
    """Hold the options of the bare command."""


for group in (archive, data, running, study, training, demonstration, verify, upkeep, tracing, doctor, scale):
    group.register(app)
app.add_typer(calibrate.app, name="calibrate")
app.add_typer(schedule.app, name="schedule")
trust.register(model.app)
app.add_typer(model.app, name="model")
app.add_typer(history.app, name="runs")
app.add_typer(scores.app, name="scores")
app.add_typer(study_file.app, name="study")


def main() -> None:
    """Run the command line; errors of ours become one line and an exit status."""
    try:
        app()
    except SpineScoreError as error:
        sys.exit(fail(error))
    except Exception as error:  # noqa: BLE001 - a fault of ours, whose message may quote a patient's data
        known = storage_error(error)
        sys.exit(report_crash(error) if known is None else fail(known))
    except SystemExit as leaving:
        if leaving.code == EXIT_INTERRUPTED:
            typer.echo("interrupted: what was committed is kept; run the same command to go on.", err=True)
        raise

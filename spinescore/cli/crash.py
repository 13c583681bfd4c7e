"""What is said of a fault of spinescore's own: where, of what kind; no value, which may be a patient's."""

from __future__ import annotations

import os
import traceback
from pathlib import Path

import typer

DEBUG = "SPINESCORE_DEBUG"
PACKAGE = Path(__file__).resolve().parents[1]
SHOWN_FRAMES = 12


def report_crash(error: Exception) -> int:
    """Print an unforeseen error without its message, and return the exit status."""
    if os.environ.get(DEBUG):
        typer.echo("".join(traceback.format_exception(error)), err=True)
        return 1
    kinds = " from ".join(type(each).__name__ for each in _chain(error))
    typer.secho("error: ", fg="red", bold=True, err=True, nl=False)
    typer.echo(f"spinescore broke ({kinds}). What was committed is kept.", err=True)
    for frame in traceback.extract_tb(error.__traceback__)[-SHOWN_FRAMES:]:
        typer.echo(f"       {_place(frame.filename)}:{frame.lineno} {frame.name}", err=True)
    typer.echo(
        "       Please report these lines, which hold no patient data. "
        f"{DEBUG}=1 shows the whole error: that may.",
        err=True,
    )
    return 1


def _chain(error: BaseException | None) -> list[BaseException]:
    """Return an error and those it came from."""
    found: list[BaseException] = []
    while error is not None and error not in found:
        found.append(error)
        error = error.__cause__ or error.__context__
    return found


def _place(filename: str) -> str:
    """Return a module's place without the folders of this machine.

    >>> _place("/opt/venv/lib/python3.11/site-packages/polars/io/csv.py")
    'polars/io/csv.py'
    """
    path = Path(filename)
    if path.is_relative_to(PACKAGE):
        return path.relative_to(PACKAGE.parent).as_posix()
    return path.as_posix().rpartition("site-packages/")[2].rpartition("/lib/python")[2]

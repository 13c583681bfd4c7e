"""What a person or a machine sees: progress, tables, one-line errors; the only place that prints."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spinescore.core.pace import Pace, duration, say_progress

if TYPE_CHECKING:
    import polars as pl

    from spinescore.domain import StageSummary
    from spinescore.errors import SpineScoreError
    from spinescore.listener import Listener

LISTED = "\n  "
EXIT_PARTIAL = 3
EXIT_INTERRUPTED = 130  # Typer's own status for Ctrl-C

Database = Annotated[
    Path,
    typer.Option("--database", "-d", envvar="SPINESCORE_DATABASE", help="The DuckDB file.", show_envvar=True),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object for machines.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")]
Snapshot = Annotated[
    bool,
    typer.Option("--snapshot", help="Read the copy that the last run left; so too, said, if a run holds it."),
]


@dataclass(frozen=True, slots=True)
class Output:
    """How to speak: to a person, to a machine (``as_json``), or not at all (``quiet``)."""

    as_json: bool = False
    quiet: bool = False

    @property
    def _silent(self) -> bool:
        return self.as_json or self.quiet

    def say(self, text: str = "") -> None:
        """Print a line for a person, on standard output."""
        if not self._silent:
            typer.echo("\n".join(plain_text(line) for line in text.split("\n")))

    def remark(self, text: str) -> None:
        """Print a line on standard error, if there is one, unless told to be quiet."""
        if text and not self.quiet:
            typer.echo(plain_text(text), err=True)

    def emit(self, value: Mapping[str, Any]) -> None:
        """Print the JSON object for a machine."""
        if self.as_json:
            text = json.dumps(value, default=str, ensure_ascii=False, indent=2)
            typer.echo("".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text))

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Print a table for a person, numbers right-aligned; nothing if it has no rows."""
        if self._silent or not rows:
            return
        from rich import box
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, title_style="bold")
        for position, name in enumerate(columns):
            numeric = all(isinstance(row[position], int | float) for row in rows)
            table.add_column(name, justify="right" if numeric else "left", overflow="fold")
        for row in rows:
            table.add_row(*(Text(_cell(value)) for value in row))
        Console(highlight=False).print(table)

    @contextmanager
    def listening(self) -> Iterator[Listener]:
        """Yield a listener that shows stages: a bar with rate and ETA on a terminal, else plain lines."""
        from spinescore.listener import Listener

        if self._silent:
            yield Listener()
        elif sys.stdout.isatty():
            with _live_listener() as listener:
                yield listener
        else:
            yield Listener(
                announce=lambda line: self.say(f"           {line}"),
                done=lambda stage: self.say(stage_line(stage)),
            )


def correction_rows(corrections: pl.DataFrame) -> list[tuple[object, ...]]:
    """Return corrections as rows under ``CORRECTION_COLUMNS``."""
    return corrections.select(
        "kind", "method", "slope", "intercept", "n_reference", "reference_cohort", "correction_id"
    ).rows()


CORRECTION_COLUMNS = ("kind", "method", "slope", "intercept", "n", "fitted on", "id")


def stage_line(stage: StageSummary) -> str:
    """Return a finished stage as one line, and a line for each of its warnings."""
    mark = "done" if stage.changed else "same"
    warnings = (f"           warning: {warning}" for warning in stage.warnings)
    return "\n".join([f"{stage.stage:<10} {mark}  {stage.message}", *warnings])


def report_line(folder: Path, name: str) -> str:
    """Say where a report lies, its PDF if it has one."""
    pdf = f" and {name}.pdf" if (folder / f"{name}.pdf").exists() else ""
    return f"Report: {folder / f'{name}.html'}{pdf}"


def fail(error: SpineScoreError) -> int:
    """Print an error as one line with its next step, on standard error; return the exit status."""
    typer.secho("error: ", fg="red", bold=True, err=True, nl=False)
    # problems listed by us stand on lines of their own; a line break out of a file name does not make one
    typer.echo(LISTED.join(plain_text(part) for part in error.message.split(LISTED)), err=True)
    if error.next_step:
        typer.echo(f"       {plain_text(error.next_step)}", err=True)
    return error.exit_status


@contextmanager
def _live_listener() -> Iterator[Listener]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn
    from rich.text import Text

    from spinescore.listener import Listener

    console = Console(highlight=False)
    bar = _Bar()
    progress = Progress(
        SpinnerColumn(),
        TextColumn("{task.description:<10}"),
        BarColumn(bar_width=32),
        TextColumn("{task.fields[bar]}"),
        console=console,
        transient=True,
    )

    def begin(name: str) -> None:
        for task in progress.task_ids:
            progress.remove_task(task)
        bar.begin()
        progress.add_task(name, total=None, bar=bar)

    def advance(n: int, total: int) -> None:
        bar.advance(n, total)
        progress.update(progress.task_ids[-1], advance=n, total=total)

    def done(stage: StageSummary) -> None:
        console.print(Text(stage_line(stage), style="" if stage.changed else "dim"))

    with progress:
        yield Listener(
            stage=begin,
            advance=advance,
            failed=bar.failed,
            announce=lambda line: console.print(Text(f"           {line}", style="dim")),
            done=done,
        )


class _Bar:
    """What stands right of the bar: how far, how fast, how long still, how many failed."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.begin()

    def begin(self) -> None:
        self._pace, self._heard, self._n_failed = Pace(self._clock()), self._clock(), 0

    def advance(self, n: int, total: int) -> None:
        self._heard = self._clock()
        self._pace.advance(n, total, self._heard)

    def failed(self, n: int) -> None:
        self._n_failed = n

    def __str__(self) -> str:
        pace, since_s = self._pace, self._clock() - self._heard
        if not pace.total:
            return duration(since_s)
        left_s = None if pace.left_s is None else pace.left_s - since_s
        return say_progress(pace.done, pace.total, pace.rate_per_s, left_s, self._n_failed)


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.3f}"
    return plain_text(str(value))


def plain_text(text: str) -> str:
    """Return a text with its control characters escaped, so that a header cannot steer the terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)

"""How far training is: a bar with rate and time left on a terminal, a line per epoch everywhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from spinescore.cli.console import Output

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from spinescore.core.network.training_plan import Progressed


@dataclass(slots=True)
class Clock:
    """What is left, judged by the work done since this program began."""

    began_s: float = field(default_factory=time.monotonic)
    first: float | None = None
    images: int = 0
    seconds_left: float | None = None

    def read(self, done: Progressed) -> None:
        """Take note of a step."""
        self.first = done.work_before if self.first is None else self.first
        self.images += done.n_images
        gained = done.work_done - self.first
        if gained > 0:
            self.seconds_left = (time.monotonic() - self.began_s) / gained * (1 - done.work_done)

    @property
    def images_per_second(self) -> float:
        """Rate so far, validation included."""
        return self.images / max(1e-9, time.monotonic() - self.began_s)


class TrainingListener:
    """Says a line per epoch and nothing per step."""

    def __init__(self, output: Output) -> None:
        self.output = output
        self.clock = Clock()

    def advance(self, done: Progressed) -> None:
        """Take note of a step."""
        self.clock.read(done)

    def announce(self, line: dict[str, Any]) -> None:
        """Say what was measured of an epoch."""
        self.output.say(describe_epoch(line, self.clock.seconds_left))


class LiveTrainingListener(TrainingListener):
    """Also draws a bar."""

    def __init__(self, output: Output, progress: Progress, task: TaskID) -> None:
        super().__init__(output)
        self.progress = progress
        self.task = task

    def advance(self, done: Progressed) -> None:
        """Move the bar."""
        super().advance(done)
        left = describe_time(self.clock.seconds_left)
        self.progress.update(
            self.task,
            completed=done.work_done,
            description=f"epoch {done.epoch + 1} of {done.n_epochs}",
            rate=f"{self.clock.images_per_second:,.1f} images/s{f', {left} left' if left else ''}",
        )

    def announce(self, line: dict[str, Any]) -> None:
        """Say what was measured of an epoch, above the bar."""
        self.progress.console.print(describe_epoch(line, None), markup=False, highlight=False)


@contextmanager
def watch_training(output: Output) -> Iterator[TrainingListener]:
    """Yield who is told of steps and epochs."""
    if output.as_json or output.quiet or not sys.stdout.isatty():
        yield TrainingListener(output)
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

    progress = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=32),
        TextColumn("{task.percentage:>3.0f}%  {task.fields[rate]}"),
        console=Console(highlight=False),
        transient=True,
    )
    with progress:
        yield LiveTrainingListener(output, progress, progress.add_task("starting", total=1.0, rate=""))


def describe_epoch(line: dict[str, Any], seconds_left: float | None) -> str:
    """Return an epoch in a line."""
    measured = line["validation"]["all"]
    correlation = f", r {measured['r']:.3f}" if "r" in measured else ""
    left = describe_time(seconds_left)
    return (
        f"epoch {line['epoch'] + 1:>3}: loss {line['train']['total']:.3f}, validation MAE "
        f"{measured['mae_years']:.2f} years{correlation}, {line['seconds']:.0f} s"
        f"{f', about {left} left' if left else ''}"
    )


def describe_time(seconds: float | None) -> str:
    """Return a time left in words; nothing if it is not known or over.

    >>> describe_time(5400.0), describe_time(90.0), describe_time(None)
    ('1 h 30 min', '2 min', '')
    """
    if seconds is None or seconds < 1:
        return ""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = -(-int(seconds) // 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"

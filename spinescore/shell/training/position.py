"""Where a run is, in numbers and text that a checkpoint holds."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from spinescore.errors import TrainingError
from spinescore.shell.training.checkpoint_io import read_entries

CHECKPOINT = "checkpoint.safetensors"
BEST = "best.safetensors"
LOSSES = ("total", "cross_entropy", "mean", "variance")
SUMS = (*LOSSES, "mae_years")
TIMES = ("data", "forward", "backward")


@dataclass(slots=True)
class Position:
    """The epoch and step to do next, what the epoch has added up to so far, and what went before.

    Parameters
    ----------
    epoch, step : int
        To do next.
    sums : list of float
        Of losses and absolute errors over the epoch's images so far, as ``SUMS``.
    n_images : int
        The epoch's images so far.
    times_s : list of float
        Seconds of the epoch so far, as ``TIMES``.
    best : list of float
        ``(shrink, validation MAE)`` of the best epoch: a finer stage is better than a coarser one.
    best_epoch : int or None
        Which.
    stopped : bool
        Whether patience is over.
    history : list of dict
        What was measured of each finished epoch.
    """

    epoch: int = 0
    step: int = 0
    sums: list[float] = field(default_factory=lambda: [0.0] * len(SUMS))
    n_images: int = 0
    times_s: list[float] = field(default_factory=lambda: [0.0] * len(TIMES))
    best: list[float] = field(default_factory=lambda: [math.inf, math.inf])
    best_epoch: int | None = None
    stopped: bool = False
    history: list[dict[str, Any]] = field(default_factory=list)

    def begin_epoch(self, epoch: int) -> None:
        """Go to the first step of an epoch."""
        self.epoch, self.step, self.n_images = epoch, 0, 0
        self.sums, self.times_s = [0.0] * len(SUMS), [0.0] * len(TIMES)

    def to_text(self) -> str:
        """Return it as JSON; every float comes back bit by bit."""
        return json.dumps(asdict(self))


def read_position(work: Path, run: str) -> Position:
    """Return where the run in a working folder is; its beginning if there is no checkpoint.

    Raises
    ------
    TrainingError
        If the checkpoint is of another run, or none of ours.
    """
    path = work / CHECKPOINT
    if not path.exists():
        return Position()
    entries = read_entries(path)
    if entries.get("run") != run:
        raise TrainingError(
            f"{path} belongs to a run with other images or settings.",
            "Name another working folder, or delete the checkpoint.",
        )
    return Position(**json.loads(entries["position"]))

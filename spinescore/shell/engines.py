"""Where images are scored: in this process and its workers, or on a Ray cluster (``ray_engine``)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from spinescore.core.eligibility.rule_set import Threshold
from spinescore.shell.backends import Backend, Device
from spinescore.shell.bundles import Bundle
from spinescore.shell.kept_inputs import Keeping, KeptInputs
from spinescore.shell.pipeline import Outcome, predict
from spinescore.shell.preparation import PendingImage, Prepared

Prepare = Callable[[PendingImage], Prepared]


@dataclass(frozen=True, slots=True)
class ClusterRequest:
    """Which Ray cluster to score on.

    Parameters
    ----------
    address : str or None
        ``HOST:PORT`` of the cluster, or ``auto`` for the one this machine belongs to; a Ray of its own on
        this machine if left out.
    shards : Path or None
        A folder that every node sees, for results until they are committed; beside the database if left out.
    """

    address: str | None = None
    shards: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineRequest:
    """What a cluster is to score.

    Parameters
    ----------
    bundle : Bundle
    device : {"auto", "cpu", "cuda"}
    workers : int
        Decoding processes beside each network; 0 for all processors there are.
    database : Path
        Into which the outcomes are committed.
    images : sequence of PendingImage
        Not empty.
    thresholds : mapping of flag to Threshold
        By which image quality is flagged.
    """

    bundle: Bundle
    device: str
    workers: int
    database: Path
    images: Sequence[PendingImage]
    thresholds: Mapping[str, Threshold]


class Engine(Protocol):
    """Scores images, and is told what was committed; a context manager."""

    description: str
    device: Device
    precision: str
    takes_raw: bool  # decoded images, which the network's device preprocesses
    warnings: tuple[str, ...]  # of what went wrong under way and cost no image

    def __enter__(self) -> Engine:
        """Return itself."""

    def __exit__(self, *_: object) -> None:
        """Let go of what it holds."""

    def predict(self, images: Sequence[PendingImage], prepare: Prepare) -> Iterator[Outcome]:
        """Yield what became of each image, exactly once, in no order; ``prepare`` is picklable."""

    def committed(self, outcomes: Sequence[Outcome]) -> None:
        """Take note that these are in the database now."""


class LocalEngine:
    """The pipeline of this process; see ``pipeline.predict``. Inputs that are kept spare the decoding."""

    def __init__(
        self, backend: Backend, workers: int, kept: KeptInputs | None = None, *, takes_raw: bool = False
    ) -> None:
        self._backend, self._workers, self._kept = backend, workers, kept
        self.takes_raw = takes_raw
        self.warnings: tuple[str, ...] = ()
        self.description, self.device, self.precision = backend.description, backend.device, backend.precision
        if kept is not None:
            self.description += f"; {kept.description}"

    def __enter__(self) -> LocalEngine:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def predict(self, images: Sequence[PendingImage], prepare: Prepare) -> Iterator[Outcome]:
        """Prepare and infer here."""
        if self._kept is None:
            return predict(images, self._backend, prepare, workers=self._workers)
        return self._predict_kept(self._kept, Keeping(prepare, self._kept.cache))

    def _predict_kept(self, kept: KeptInputs, prepare: Prepare) -> Iterator[Outcome]:
        missed: list[PendingImage] = []
        yield from kept.predict(self._backend, missed)
        rest = [*kept.others, *missed]
        if rest:
            yield from predict(rest, self._backend, prepare, workers=self._workers)

    def committed(self, outcomes: Sequence[Outcome]) -> None:
        """Nothing is kept anywhere else."""

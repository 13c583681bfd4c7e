"""Train a spine age network from preprocessed images; killed at any moment, it goes on exactly."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spinescore.core.network.training_plan import Progressed, Stage, list_epochs
from spinescore.errors import TrainingError
from spinescore.shell.training.request import CURVES, METRICS, Hardware, TrainingRequest

if TYPE_CHECKING:
    import polars as pl

    from spinescore.shell.training.lightning_module import SpineAgeTraining
    from spinescore.shell.training.position import Position

CURVES_EVERY_S = 60.0
Announce = Callable[[dict[str, Any]], None]
Advance = Callable[[Progressed], None]


def train(
    request: TrainingRequest,
    *,
    announce: Announce = lambda _: None,
    advance: Advance = lambda _: None,
) -> Path:
    """Train, or go on training, and return the bundle's folder.

    After every epoch ``work/metrics.jsonl`` says what was measured; the best epoch's weights are kept, and
    the bundle is written from them at the end.

    Parameters
    ----------
    request : TrainingRequest
        What to do.
    announce : callable
        Is given what was measured of each epoch.
    advance : callable
        Is told how far the run is after every step.

    Raises
    ------
    TrainingError
        If Lightning is not installed, the working folder belongs to another run, or a part of the split
        is empty.
    KeyboardInterrupt
        If it is told to stop; the same request goes on.
    """
    require_lightning()
    from spinescore.shell.training.fitting import check_hardware, fit_network
    from spinescore.shell.training.learning_curves import write_learning_curves
    from spinescore.shell.training.position import read_position

    check_hardware(request.hardware)
    parts = request.split_images()
    position = read_position(request.work, request.identify())
    request.work.mkdir(parents=True, exist_ok=True)
    history, drawn = list(position.history), [time.monotonic()]

    def listen(event: str, content: Any) -> None:
        if event == "step":
            advance(content)
            return
        history.append(content)
        _write_metrics(request.work, history)
        if time.monotonic() - drawn[0] > CURVES_EVERY_S:
            write_learning_curves(request, history)
            drawn[0] = time.monotonic()
        announce(content)

    if position.epoch < len(list_epochs(request.stages)) and not position.stopped:
        try:
            fit_network(_make_module(request, parts, position, listen), request.hardware)
        finally:
            write_learning_curves(request, history)
        position = read_position(request.work, request.identify())
    return _finish(request, parts, position)


def finish_training(request: TrainingRequest) -> Path:
    """Write the bundle of the best epoch so far, without training further; return its folder.

    Raises
    ------
    TrainingError
        If no epoch has been finished, or the working folder belongs to another run.
    """
    require_lightning()
    from spinescore.shell.training.position import read_position

    return _finish(request, request.split_images(), read_position(request.work, request.identify()))


def _finish(request: TrainingRequest, parts: dict[str, pl.DataFrame], position: Position) -> Path:
    from spinescore.shell.training.finishing import write_trained_bundle
    from spinescore.shell.training.learning_curves import write_learning_curves

    bundle = write_trained_bundle(request, parts, position)
    _write_metrics(request.work, position.history)
    write_learning_curves(request, position.history)
    return bundle.path


def read_metrics(work: Path) -> list[dict[str, Any]]:
    """Return what was measured of every finished epoch of a run."""
    lines = (work / METRICS).read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def require_lightning() -> None:
    """Raise ``TrainingError`` where the extra `train` is not installed."""
    from importlib.util import find_spec

    if find_spec("lightning") is None:
        raise TrainingError(
            "Training needs Lightning, which is not installed.",
            "Install it: pip install 'spinescore[train]'",
        )


def _make_module(
    request: TrainingRequest,
    parts: dict[str, pl.DataFrame],
    position: Position,
    listen: Callable[[str, Any], None],
) -> SpineAgeTraining:
    from spinescore.shell.training.batches import PartImages
    from spinescore.shell.training.lightning_module import Recipe, SpineAgeTraining
    from spinescore.shell.training.starting import check_canvas, check_initial, start_network

    if request.initial is not None:
        check_initial(request.initial, request.description, request.cache.spec)
    for stage in request.stages:
        spec = request.cache.spec
        check_canvas(request.description, spec.height // stage.shrink, spec.width // stage.shrink)
    return SpineAgeTraining(
        start_network(
            request.description,
            parts["train"]["age_years"].to_numpy(),
            seed=request.seed,
            initial=request.initial,
        ),
        Recipe(
            work=request.work,
            run=request.identify(),
            stages=request.stages,
            seed=request.seed,
            augmentation=request.augmentation,
            first_age=request.description.first_age,
            weight_decay=request.weight_decay,
            accumulate=request.accumulate,
            patience=request.patience,
            workers=request.hardware.workers,
            n_devices=request.hardware.devices,
            checkpoint_every_s=request.checkpoint_every_s,
        ),
        PartImages.of(request.cache, parts["train"]),
        (PartImages.of(request.cache, parts["validation"]), parts["validation"].select("kind", "age_years")),
        position,
        listen,
    )


def _write_metrics(work: Path, history: list[dict[str, Any]]) -> None:
    unfinished = work / f"{METRICS}.part"
    unfinished.write_text("".join(json.dumps(line) + "\n" for line in history), encoding="utf-8")
    unfinished.replace(work / METRICS)


__all__ = ["CURVES", "Hardware", "Stage", "TrainingRequest", "train"]

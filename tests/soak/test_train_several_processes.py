"""Two processes on one machine train one network: Lightning's DDP over gloo, as several GPUs do over nccl."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file

from spinescore.core.network.augmentation import Augmentation
from spinescore.core.network.training_plan import Progressed, Stage
from spinescore.shell.bundles import load_bundle
from spinescore.shell.image_cache import ImageCache
from spinescore.shell.training.position import CHECKPOINT
from spinescore.train import Hardware, TrainingRequest, read_metrics, train
from tests.unit.network.training_case import make_request

TWO = Hardware(accelerator="cpu", devices=2, strategy="ddp")


def request(folder: Path, epochs: int, **changes: Any) -> TrainingRequest:
    """Return a request for 64 images whose brightness tells the age."""
    stages = (Stage(epochs=epochs, shrink=2, batch_size=8, learning_rate=3e-3),)
    made = make_request(
        folder, 64, stages=stages, hardware=TWO, augmentation=Augmentation(log_gamma=0), **changes
    )
    bright = (made.cache.table["age_years"].to_numpy() - 40) * 4
    images = np.random.default_rng(1).integers(0, 16, made.cache.images.shape) + bright[:, None, None]
    cache = ImageCache(images.astype(np.uint8), made.cache.table, made.cache.spec)
    return replace(made, cache=cache)


def test_two_processes_see_every_image_once_an_epoch_and_learn(tmp_path: Path) -> None:
    made = request(tmp_path, 8)
    steps: list[Progressed] = []
    lines: list[dict[str, Any]] = []
    train(made, announce=lines.append, advance=steps.append)
    parts = made.split_images()
    n = parts["train"].height
    assert n % 8  # the last batch is of another size, and is shared all the same
    history = read_metrics(made.work)
    assert [line["images"] for line in history] == [n] * 8
    assert lines == history
    assert sum(done.n_images for done in steps) == 8 * n
    assert history[0]["validation"]["all"]["n"] == parts["validation"].height
    assert history[-1]["train"]["mae_years"] < 0.7 * history[0]["train"]["mae_years"]
    assert load_bundle(made.output).manifest["metrics"]["epochs"]["trained"] == 8


def test_a_run_of_two_processes_goes_on_where_it_was_stopped(tmp_path: Path) -> None:
    """Not bit by bit: sums over processes have no fixed order."""

    def stop(done: Progressed) -> None:
        if (done.epoch, done.step) == (1, 2):
            os.kill(os.getpid(), signal.SIGINT)

    train(request(tmp_path / "whole", 2))
    with pytest.raises(KeyboardInterrupt):
        train(request(tmp_path / "halves", 2), advance=stop)
    train(request(tmp_path / "halves", 2))
    one, other = (load_file(tmp_path / name / "work" / CHECKPOINT) for name in ("whole", "halves"))
    assert all(np.allclose(one[name], other[name], rtol=1e-3, atol=1e-4) for name in one)

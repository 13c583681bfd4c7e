"""Every image of an epoch is in one step, on one device; the order depends on seed and epoch alone."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.networks.nets.efficientnet import efficientnet_params

from spinescore.core.network.training_plan import Stage, measure_progress, plan_epoch, share_batch
from spinescore.core.network.training_times import sum_times
from spinescore.errors import TrainingError
from spinescore.shell.training.checkpoint_io import SafetensorsIO, read_entries
from spinescore.shell.training.starting import check_canvas
from spinescore.study.sections import Backbone
from tests.unit.tiny_bundle import TINY


@settings(max_examples=60)
@given(
    n=st.integers(1, 200),
    batch_size=st.integers(2, 40),
    n_devices=st.integers(1, 4),
    limit=st.none() | st.integers(1, 250),
    epoch=st.integers(0, 4),
)
def test_several_devices_see_every_image_of_an_epoch_once_and_do_as_many_steps(
    n: int, batch_size: int, n_devices: int, limit: int | None, epoch: int
) -> None:
    stages = (Stage(epochs=2), Stage(epochs=3, batch_size=max(batch_size, n_devices), images_per_epoch=limit))
    plan = plan_epoch(stages, epoch, n, seed=1, smallest=n_devices)
    shares = [[share_batch(b, rank, n_devices) for b in plan.batches] for rank in range(n_devices)]
    seen = np.concatenate([part for of_rank in shares for part in of_rank])
    assert seen.size == np.unique(seen).size == stages[epoch > 1].count_images(n)
    if n >= n_devices and (limit is None or limit >= n_devices):
        assert min(part.size for of_rank in shares for part in of_rank) > 0
    assert len(plan.rates) == len(plan.batches)
    again = plan_epoch(stages, epoch, n, seed=1, smallest=n_devices)
    assert all((a == b).all() for a, b in zip(plan.batches, again.batches, strict=True))


def test_another_epoch_has_another_order() -> None:
    stages = (Stage(epochs=2, batch_size=8),)
    first, second = (plan_epoch(stages, epoch, 100, seed=1, smallest=1).batches[0] for epoch in (0, 1))
    assert set(first) != set(second)


def test_progress_counts_an_image_by_its_pixels_and_ends_at_the_whole() -> None:
    stages = (Stage(epochs=1, shrink=2, batch_size=5), Stage(epochs=1, batch_size=5))
    done = [
        measure_progress(stages, epoch, step, plan_epoch(stages, epoch, 10, seed=0, smallest=1).batches, 10)
        for epoch in (0, 1)
        for step in (1, 2)
    ]
    assert [d.work_done for d in done] == pytest.approx([0.1, 0.2, 0.6, 1.0])
    assert [d.work_before for d in done] == pytest.approx([0.0, 0.1, 0.2, 0.6])
    assert [d.n_images for d in done] == [5, 5, 5, 5]


def test_a_study_names_every_efficientnet_of_monai() -> None:
    assert set(get_args(Backbone)) == set(efficientnet_params)


def test_a_canvas_too_small_for_the_network_is_refused_before_it_trains() -> None:
    check_canvas(TINY, 64, 32)
    with pytest.raises(TrainingError, match="32 x 16 pixels are too small for efficientnet-b0"):
        check_canvas(TINY, 32, 16)


def test_a_checkpoint_comes_back_as_it_was(tmp_path: Path) -> None:
    kept = {
        "run": "abc",
        "state": {0: {"step": torch.tensor(2.0), "moments": torch.randn(3, 2)}},
        "groups": [{"betas": (0.9, 0.999), "lr": 0.1 + 0.2, "params": [0], "foreach": None, "fused": False}],
        "unfinished": float("inf"),
    }
    SafetensorsIO().save_checkpoint(kept, tmp_path / "c")
    found = SafetensorsIO().load_checkpoint(tmp_path / "c")
    assert found.keys() == kept.keys()
    assert (found["state"][0]["moments"] == kept["state"][0]["moments"]).all()
    assert found["groups"] == kept["groups"]
    assert found["unfinished"] == kept["unfinished"]
    assert read_entries(tmp_path / "c")["run"] == "abc"
    with pytest.raises(TypeError, match="cannot hold"):
        SafetensorsIO().save_checkpoint({"code": print}, tmp_path / "d")
    assert not (tmp_path / "d").exists()


def test_times_say_what_training_is_bound_by() -> None:
    line = {"seconds_of": {"data": 6.0, "forward": 1.0, "backward": 2.0, "validation": 1.0}, "images": 100}
    assert "bound by reading images; 10.0 images/s" in sum_times([line, line]).describe()

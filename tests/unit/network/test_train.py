"""Training resumes exactly, keeps subjects apart and leaves a bundle that can be loaded."""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from spinescore.core.network.training_plan import Progressed, Stage
from spinescore.errors import TrainingError
from spinescore.shell.bundles import Bundle, load_bundle
from spinescore.shell.training.checkpoint_io import SafetensorsIO
from spinescore.shell.training.position import BEST, CHECKPOINT
from spinescore.train import Hardware, train
from tests.unit.network.training_case import SPEC, make_request

TIMES = {"seconds", "seconds_of"}
ONE_EPOCH = (Stage(epochs=1, shrink=2, batch_size=8),)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nobody disturbed."""
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("socket.socket.connect", refuse_connections)
        train(make_request(folder))
    return folder


def refuse_connections(*_: Any) -> None:
    raise AssertionError("training opened a connection")


def read_history(folder: Path) -> list[dict[str, Any]]:
    lines = (folder / "work" / "metrics.jsonl").read_text().splitlines()
    return [{k: v for k, v in json.loads(line).items() if k not in TIMES} for line in lines]


def assert_same_run(one: Path, other: Path) -> None:
    last, again = (load_file(folder / "work" / CHECKPOINT) for folder in (one, other))
    assert last.keys() == again.keys()
    assert all((last[name] == again[name]).all() for name in last)
    assert load_bundle(one / "bundle").model_id == load_bundle(other / "bundle").model_id
    assert read_history(one) == read_history(other)


def test_a_process_killed_in_mid_epoch_goes_on_as_if_it_had_not_been(whole: Path, tmp_path: Path) -> None:
    steps_of_an_epoch = -(-read_history(whole)[0]["images"] // 8)
    assert steps_of_an_epoch > 1
    script = [sys.executable, "-m", "tests.unit.network.killed_training", str(tmp_path)]
    threads = {"OMP_NUM_THREADS": str(torch.get_num_threads())}  # sums depend on how many share them
    killed = subprocess.run([*script, str(steps_of_an_epoch + 2)], env={**os.environ, **threads})
    assert killed.returncode == -signal.SIGKILL
    assert (tmp_path / "work" / CHECKPOINT).exists()
    assert not (tmp_path / "bundle").exists()
    train(make_request(tmp_path))
    assert_same_run(whole, tmp_path)


def test_a_run_that_is_told_to_stop_leaves_a_checkpoint_and_goes_on(whole: Path, tmp_path: Path) -> None:
    def interrupt(done: Progressed) -> None:
        if (done.epoch, done.step) == (0, 1):
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(KeyboardInterrupt):
        train(make_request(tmp_path, checkpoint_every_s=1e9), advance=interrupt)
    train(make_request(tmp_path))
    assert_same_run(whole, tmp_path)


def test_a_finished_run_writes_its_bundle_again_without_training(whole: Path, tmp_path: Path) -> None:
    again = make_request(whole, output=tmp_path / "again")
    train(again, advance=lambda *_: pytest.fail("a step was done"))
    assert load_bundle(tmp_path / "again").model_id == load_bundle(whole / "bundle").model_id


def test_another_run_does_not_go_on_from_a_checkpoint(whole: Path) -> None:
    with pytest.raises(TrainingError, match="other images or settings"):
        train(make_request(whole, seed=4))


class Intruder:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.abort, ()


def test_a_checkpoint_with_code_in_it_is_refused_unopened(tmp_path: Path) -> None:
    request = make_request(tmp_path)
    request.work.mkdir()
    (request.work / CHECKPOINT).write_bytes(pickle.dumps(Intruder()))
    with pytest.raises(
        TrainingError, match=r"is not a checkpoint that spinescore wrote.*nothing in it was run"
    ):
        train(request)


def test_the_bundle_has_the_best_weights_of_the_finest_stage(whole: Path) -> None:
    bundle = load_bundle(whole / "bundle")
    assert bundle.spec == replace(SPEC, eight_bit=True)
    best = load_file(whole / "work" / BEST)
    assert all((best[name].numpy() == array).all() for name, array in bundle.read_weights().items())
    assert [line["shrink"] for line in read_history(whole)] == [2, 2, 1]


def test_every_epoch_says_each_loss_of_both_parts_and_where_the_time_went(whole: Path) -> None:
    lines = [json.loads(line) for line in (whole / "work" / "metrics.jsonl").read_text().splitlines()]
    for line in lines:
        for losses in (line["train"], line["validation_loss"]):
            total = losses["cross_entropy"] + 0.2 * losses["mean"] + 0.05 * losses["variance"]
            assert losses["total"] == pytest.approx(total, rel=1e-5)
        assert set(line["seconds_of"]) == {"data", "forward", "backward", "validation"}
        assert sum(line["seconds_of"].values()) == pytest.approx(line["seconds"], abs=0.15)
    assert [line["images"] for line in lines][2] == 10


def subjects_of(bundle: Bundle) -> tuple[set[str], set[str]]:
    everyone = [f"s{i}" for i in range(16)]
    return bundle.trained_on(everyone), bundle.validated_on(everyone)


def test_the_bundle_knows_whom_it_was_trained_and_validated_on(whole: Path) -> None:
    parts = make_request(whole).split_images()
    trained, validated = subjects_of(load_bundle(whole / "bundle"))
    assert trained == set(parts["train"]["subject_id"])
    assert validated == set(parts["validation"]["subject_id"])
    assert not trained & validated
    assert trained | validated | set(parts["test"]["subject_id"]) == {f"s{i}" for i in range(16)}


def test_patience_ends_the_last_stage(tmp_path: Path) -> None:
    stages = (
        Stage(epochs=1, shrink=2, batch_size=8),
        Stage(epochs=12, shrink=2, batch_size=32, learning_rate=1e-12),
    )
    train(make_request(tmp_path, stages=stages, patience=2, checkpoint_every_s=1e9))
    errors = [line["validation"]["all"]["mae_years"] for line in read_history(tmp_path)]
    assert 4 <= len(errors) < 13
    assert min(errors[-2:]) >= min(errors[:-2])


def test_a_loss_that_is_no_number_ends_the_run(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="no longer a number"):
        train(make_request(tmp_path, stages=(replace(ONE_EPOCH[0], mean_weight=float("nan")),)))


def test_a_part_without_images_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="the part validation"):
        train(make_request(tmp_path, split=(1.0, 0.0, 0.0)))


def test_half_precision_on_a_processor_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="needs a GPU"):
        train(make_request(tmp_path, hardware=Hardware(accelerator="cpu", precision="16")))


def test_without_lightning_the_command_that_installs_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(TrainingError, match=r"pip install 'spinescore\[train\]'"):
        train(make_request(tmp_path))


def test_bfloat16_trains_and_gradients_of_several_steps_make_one_change(tmp_path: Path) -> None:
    hardware = Hardware(accelerator="cpu", precision="bf16")
    train(make_request(tmp_path, stages=ONE_EPOCH, accumulate=2, hardware=hardware))
    [line] = read_history(tmp_path)
    assert np.isfinite(line["train"]["total"])
    n_steps = -(-line["images"] // 8)
    [optimiser] = SafetensorsIO().load_checkpoint(tmp_path / "work" / CHECKPOINT)["optimizer_states"]
    assert optimiser["state"][0]["step"] == -(-n_steps // 2)

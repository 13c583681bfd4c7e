"""Training resumes exactly, keeps subjects apart and leaves a bundle that can be loaded."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import spinescore.train
from spinescore.core.imaging.preprocessing import PreprocessingSpec, preprocess
from spinescore.errors import TrainingError
from spinescore.shell.bundles import load_bundle
from spinescore.shell.image_cache import CacheItem, ImageCache, ReadPixels, build_cache
from spinescore.train import Stage, TrainingRequest, measure_accuracy, split_subjects, train
from tests.unit.tiny_bundle import TINY

SPEC = PreprocessingSpec(height=128, width=64)
STAGES = (Stage(epochs=2, shrink=2, batch_size=8), Stage(epochs=1, batch_size=8, images_per_epoch=8))


def make_request(folder: Path, **changes: Any) -> TrainingRequest:
    n = 32
    rng = np.random.default_rng(0)
    table = pl.DataFrame(
        {
            "subject_id": [f"s{i // 2}" for i in range(n)],
            "kind": ["radiograph", "vfa"] * (n // 2),
            "age_years": rng.uniform(41, 99, n),
            "row": np.arange(n),
        }
    )
    images = rng.integers(0, 255, (n, 128, 64), dtype=np.uint8)
    request = TrainingRequest(
        cache=ImageCache(images, table, SPEC),
        work=folder / "work",
        output=folder / "bundle",
        description=TINY,
        model_card=lambda d: f"# {d.name}",
        stages=STAGES,
        seed=3,
        checkpoint_every_s=0,
    )
    return replace(request, **changes)


def stop_at_step(monkeypatch: pytest.MonkeyPatch, n: int) -> None:
    """Let the n-th step of training be interrupted, as by a signal."""
    step, done = spinescore.train._train_step, iter(range(n))

    def interrupted(*arguments: Any) -> Any:
        if next(done, None) is None:
            raise KeyboardInterrupt
        return step(*arguments)

    monkeypatch.setattr(spinescore.train, "_train_step", interrupted)


def test_a_killed_run_goes_on_as_if_it_had_not_been(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train(make_request(tmp_path / "whole"))
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):  # noqa: PT012
        stop_at_step(patch, 4)
        train(make_request(tmp_path / "killed"))
    train(make_request(tmp_path / "killed"))
    whole, killed = (load_bundle(tmp_path / name / "bundle") for name in ("whole", "killed"))
    assert whole.model_id == killed.model_id
    lines = [
        [
            {key: value for key, value in json.loads(line).items() if key != "seconds"}
            for line in (tmp_path / name / "work" / "metrics.jsonl").read_text().splitlines()
        ]
        for name in ("whole", "killed")
    ]
    assert lines[0] == lines[1]
    assert [line["shrink"] for line in lines[0]] == [2, 2, 1]
    with pytest.raises(TrainingError, match="other images or settings"):
        train(make_request(tmp_path / "whole", seed=4))
    assert whole.spec == SPEC
    assert whole.manifest["metrics"]["test"]["all"]["n"] > 0
    trained = whole.trained_on(f"s{i}" for i in range(16))
    assert 0 < len(trained) == whole.manifest["n_training_subjects"] < 16


@settings(max_examples=25)
@given(st.lists(st.integers(0, 50), min_size=1, max_size=200), st.integers(0, 9))
def test_all_images_of_a_subject_fall_into_one_part_whoever_else_is_there(
    subjects: list[int], seed: int
) -> None:
    table = pl.DataFrame({"subject_id": [str(s) for s in subjects]})
    parts = split_subjects(table, (0.6, 0.2, 0.2), seed)
    ids = [set(part["subject_id"]) for part in parts.values()]
    assert sum(part.height for part in parts.values()) == len(subjects)
    assert len(set.union(*ids)) == sum(map(len, ids))
    alone = split_subjects(table.head(1), (0.6, 0.2, 0.2), seed)
    [home] = [name for name, part in alone.items() if part.height]
    assert str(subjects[0]) in set(parts[home]["subject_id"])


def test_the_parts_have_their_shares() -> None:
    table = pl.DataFrame({"subject_id": [str(i) for i in range(5000)]})
    parts = split_subjects(table, (0.6, 0.2, 0.2), 1)
    assert [round(part.height / 5000, 1) for part in parts.values()] == [0.6, 0.2, 0.2]


def test_accuracy_is_measured_on_raw_ages_by_kind() -> None:
    table = pl.DataFrame({"age_years": [50.0, 60, 70, 80], "kind": ["radiograph"] * 3 + ["vfa"]})
    measured = measure_accuracy(table, np.array([52.0, 62, 72, 70]))
    assert measured["radiograph"] == {"n": 3, "mae_years": 2.0, "r": 1.0, "slope": 1.0}
    assert measured["all"]["mae_years"] == 4.0
    assert measured["vfa"] == {"n": 1, "mae_years": 10.0}


def test_a_part_without_images_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="the part validation"):
        train(make_request(tmp_path, split=(1.0, 0.0, 0.0)))


def read_noise(seed: int) -> ReadPixels:
    if seed == 2:
        raise ValueError("cannot be read")
    pixels = np.random.default_rng(seed).integers(0, 4096, (100, 80)).astype(np.uint16)
    return ReadPixels(pixels, "MONOCHROME1")


def test_the_cache_holds_what_preprocessing_gives_and_drops_what_cannot_be_read(tmp_path: Path) -> None:
    items = [CacheItem(subject_id=str(i), kind="vfa", age_years=50.0 + i, source=i) for i in range(4)]
    cache = build_cache(items, SPEC, tmp_path, workers=1, read=read_noise)
    assert cache.table["subject_id"].to_list() == ["0", "1", "3"]
    for row, seed in zip(cache.table["row"], (0, 1, 3), strict=True):
        expected = preprocess(read_noise(seed).pixels, kind="vfa", photometric="MONOCHROME1", spec=SPEC)
        assert np.abs(cache.images[row] / 255 - expected).max() <= 0.5 / 255 + 1e-6
    again = build_cache(items, SPEC, tmp_path, workers=1, read=never_called)
    assert again.table.equals(cache.table)
    with pytest.raises(TrainingError, match="another training run"):
        build_cache(items[:2], SPEC, tmp_path, workers=1, read=read_noise)


def never_called(_: int) -> ReadPixels:
    raise AssertionError

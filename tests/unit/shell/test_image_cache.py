"""The cache of training images holds what preprocessing gives, once, for the images that can be read."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from spinescore.core.imaging.preprocessing import PreprocessingSpec, preprocess
from spinescore.errors import TrainingError
from spinescore.shell.image_cache import CacheItem, ReadPixels, build_cache
from spinescore.shell.training.batches import PartImages

SPEC = PreprocessingSpec(height=128, width=64)


def read_noise(seed: int) -> ReadPixels:
    if seed == 2:
        raise ValueError("cannot be read")
    pixels = np.random.default_rng(seed).integers(0, 4096, (100, 80)).astype(np.uint16)
    return ReadPixels(pixels, "MONOCHROME1")


def never_called(_: int) -> ReadPixels:
    raise AssertionError


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
    part = PartImages.of(cache, cache.table)
    sent = pickle.dumps(part)
    assert len(sent) < cache.images[0].nbytes  # another process opens the file; pixels are not sent
    assert (pickle.loads(sent).images == cache.images).all()

"""A training run small enough for tests: 32 images of noise, a b0 at 64 x 32, then at 128 x 64."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from spinescore.core.imaging.preprocessing import PreprocessingSpec
from spinescore.shell.image_cache import CacheItem, ImageCache, tabulate
from spinescore.train import Stage, TrainingRequest
from tests.unit.tiny_bundle import TINY

SPEC = PreprocessingSpec(height=128, width=64)
STAGES = (Stage(epochs=2, shrink=2, batch_size=8), Stage(epochs=1, batch_size=8, images_per_epoch=10))


def make_request(folder: Path, n: int = 32, **changes: Any) -> TrainingRequest:
    """Return a request for two images, one of each kind, of every subject."""
    rng = np.random.default_rng(0)
    items = [
        CacheItem(
            subject_id=f"s{i // 2}",
            kind=("radiograph", "vfa")[i % 2],  # type: ignore[arg-type]
            age_years=float(rng.uniform(41, 99)),
            source=i,
            sex="FFMM"[i % 4],
            manufacturer=("Acme", None)[i % 2],
        )
        for i in range(n)
    ]
    images = rng.integers(0, 255, (n, SPEC.height, SPEC.width), dtype=np.uint8)
    request = TrainingRequest(
        cache=ImageCache(images, tabulate(items, range(n)), SPEC),
        work=folder / "work",
        output=folder / "bundle",
        description=TINY,
        model_card=lambda d: f"# {d.name}",
        stages=STAGES,
        seed=3,
        checkpoint_every_s=0,
    )
    return replace(request, **changes)

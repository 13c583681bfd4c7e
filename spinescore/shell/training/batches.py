"""Images of one part, batch by batch, for a Lightning loader."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from spinescore.core.network.training_plan import Positions
from spinescore.shell.image_cache import ImageCache


@dataclass(frozen=True, slots=True)
class PartImages:
    """The images of one part: the cache's, the rows that are the part's, and their ages (years).

    A process that is sent one opens the cache's file again instead of being sent the pixels.
    """

    images: NDArray[np.uint8]
    rows: NDArray[np.int64]
    ages: NDArray[np.float32]

    @classmethod
    def of(cls, cache: ImageCache, part: pl.DataFrame) -> PartImages:
        """Return the images of a part's table."""
        return cls(
            cache.images,
            part["row"].to_numpy().astype(np.int64),
            part["age_years"].to_numpy().astype(np.float32),
        )

    def __reduce__(self) -> tuple[Callable[..., PartImages], tuple[Any, ...]]:
        mapped = isinstance(self.images, np.memmap)
        images = self.images.filename if mapped else self.images  # type: ignore[attr-defined]
        return _open_part, (images, self.rows, self.ages)


def _open_part(images: Any, rows: NDArray[np.int64], ages: NDArray[np.float32]) -> PartImages:
    return PartImages(
        images if isinstance(images, np.ndarray) else np.load(images, mmap_mode="r"), rows, ages
    )


@dataclass(frozen=True, slots=True)
class Batch:
    """What a step gets: 8-bit images (N, 1, H, W), ages (N,), where they stand in the part, and the step."""

    images: Tensor
    ages: Tensor
    positions: Tensor
    step: int

    def to(self, device: torch.device, non_blocking: bool = False) -> Batch:
        """Return the batch with images and ages on a device."""
        images, ages = (t.to(device, non_blocking=non_blocking) for t in (self.images, self.ages))
        return Batch(images, ages, self.positions, self.step)

    def pin_memory(self) -> Batch:
        """Return the batch in memory that a GPU reads directly."""
        return Batch(self.images.pin_memory(), self.ages.pin_memory(), self.positions, self.step)


class Batches(Dataset[Batch]):
    """The batches of an epoch; the first offered may be any step of it."""

    def __init__(self, part: PartImages, positions: Sequence[Positions], first_step: int = 0) -> None:
        self.part = part
        self.positions = positions
        self.first_step = first_step

    def __len__(self) -> int:
        return len(self.positions) - self.first_step

    def __getitem__(self, number: int) -> Batch:
        step = self.first_step + number
        if step >= len(self.positions):
            raise IndexError(number)
        chosen = self.positions[step]
        images = np.asarray(self.part.images[self.part.rows[chosen]])
        return Batch(
            torch.from_numpy(images)[:, None],
            torch.from_numpy(self.part.ages[chosen]),
            torch.from_numpy(np.asarray(chosen)),
            step,
        )


def make_loader(batches: Batches, *, workers: int, pin_memory: bool) -> DataLoader[Batch]:
    """Return a loader that takes whole batches, in order."""
    return DataLoader(
        batches,
        batch_size=None,
        shuffle=False,
        num_workers=workers,
        pin_memory=pin_memory,
        collate_fn=_as_it_is,
    )


def _as_it_is(batch: Any) -> Any:
    return batch


def scale_images(images: Tensor, shrink: int) -> Tensor:
    """Return 8-bit images as (N, 1, H / shrink, W / shrink) in [0, 1]."""
    scaled = images.float() / 255
    return functional.avg_pool2d(scaled, shrink) if shrink > 1 else scaled

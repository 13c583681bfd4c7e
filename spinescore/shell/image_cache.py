"""Preprocessed images of a training run, as 8-bit pixels in one memory-mapped file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from spinescore.core.imaging.preprocessing import PaddingValue, PreprocessingSpec, preprocess, to_levels
from spinescore.domain import Kind
from spinescore.errors import TrainingError
from spinescore.shell.workers import DECODER_MEMORY_BYTES, WorkerFailure, map_supervised

TIMEOUT_S = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheItem:
    """One image to train on.

    Parameters
    ----------
    subject_id : str
        All images of one are in one part of the split.
    kind, age_years
        Of the image; years.
    source : object
        A location, or what the cache's reader understands.
    image_subject_id : str, optional
        The id the image bears, where several ids are one subject; the subject's own if left out.
    sex, manufacturer : str, optional
        By which errors are shown.
    """

    subject_id: str
    kind: Kind
    age_years: float
    source: Any
    image_subject_id: str | None = None
    sex: str | None = None
    manufacturer: str | None = None


@dataclass(frozen=True, slots=True)
class ReadPixels:
    """What a reader returns: pixels (H, W), not inverted, and how to understand them."""

    pixels: NDArray[Any]
    photometric: str
    padding_value: PaddingValue = None


@dataclass(frozen=True, slots=True)
class ImageCache:
    """Images (N, H, W), uint8, and a table with one row per image that could be read.

    Its columns: ``subject_id, image_subject_id, kind, age_years, sex, manufacturer, row``.
    """

    images: NDArray[np.uint8]
    table: pl.DataFrame
    spec: PreprocessingSpec


@dataclass(frozen=True, slots=True)
class _PreprocessItem:
    """Picklable work of one worker: read, preprocess, reduce to 8 bit."""

    read: Callable[[Any], ReadPixels]
    spec: PreprocessingSpec

    def __call__(self, numbered: tuple[int, CacheItem]) -> NDArray[np.uint8]:
        item = numbered[1]
        found = self.read(item.source)
        image = preprocess(
            found.pixels,
            kind=item.kind,
            photometric=found.photometric,
            spec=self.spec,
            padding_value=found.padding_value,
        )
        return to_levels(image)


def read_file(location: bytes) -> ReadPixels:
    """Decode a DICOM file or a member of an archive; the reader of an indexed database's images."""
    from spinescore.shell.archive.locations import open_location
    from spinescore.shell.pixels.decoding import decode  # workers that render phantoms need no decoders

    with open_location(location) as handle:
        decoded = decode(handle)
    return ReadPixels(decoded.pixels, decoded.photometric, decoded.padding_value)


def build_cache(
    items: Sequence[CacheItem],
    spec: PreprocessingSpec,
    folder: Path,
    *,
    workers: int,
    read: Callable[[Any], ReadPixels] = read_file,
) -> ImageCache:
    """Read and preprocess every item once; a second call goes on where the first was stopped.

    Parameters
    ----------
    items : sequence of CacheItem
        What to train on.
    spec : PreprocessingSpec
        The canvas and all else.
    folder : Path
        Working folder; ``images.npy``, ``done.npy`` and ``cache.json`` are made in it.
    workers : int
        Processes.
    read : callable
        Picklable; ``source`` -> ``ReadPixels``. Decodes DICOM files unless told otherwise.

    Returns
    -------
    ImageCache
        Of the images that could be read.

    Raises
    ------
    TrainingError
        If the folder holds a cache of other images, or no image can be read.
    """
    folder.mkdir(parents=True, exist_ok=True)
    images, done = _open_arrays(items, spec, folder)
    waiting = [(i, item) for i, item in enumerate(items) if not done[i]]
    for (i, _), answer in map_supervised(
        _PreprocessItem(read, spec),
        waiting,
        workers=workers,
        timeout_s=TIMEOUT_S,
        memory_limit_bytes=DECODER_MEMORY_BYTES,
    ):
        if isinstance(answer, WorkerFailure):
            done[i] = 2
        else:
            images[i] = answer
            done[i] = 1
    readable = np.flatnonzero(done == 1).tolist()
    if not readable:
        raise TrainingError(
            "Not one image could be read.", "Look at what `spinescore status` says of the files."
        )
    return ImageCache(images, tabulate([items[i] for i in readable], readable), spec)


def tabulate(items: Sequence[CacheItem], rows: Sequence[int]) -> pl.DataFrame:
    """Return the table of items whose images stand in these rows."""
    return pl.DataFrame(
        {
            "subject_id": [item.subject_id for item in items],
            "image_subject_id": [item.image_subject_id or item.subject_id for item in items],
            "kind": [item.kind for item in items],
            "age_years": [item.age_years for item in items],
            "sex": pl.Series([item.sex for item in items], dtype=pl.String),
            "manufacturer": pl.Series([item.manufacturer for item in items], dtype=pl.String),
            "row": rows,
        }
    )


def _open_arrays(
    items: Sequence[CacheItem], spec: PreprocessingSpec, folder: Path
) -> tuple[np.memmap[Any, Any], np.memmap[Any, Any]]:
    """Open the folder's arrays, or make them; ``done`` is 0 waiting, 1 read, 2 unreadable."""
    text = repr([(item.subject_id, item.kind, item.age_years, str(item.source)) for item in items])
    identity = {
        "items_sha256": hashlib.sha256(text.encode()).hexdigest(),
        "preprocessing_id": spec.preprocessing_id,
        "n": len(items),
    }
    described = folder / "cache.json"
    if described.exists():
        if json.loads(described.read_text()) != identity:
            raise TrainingError(
                f"{folder} holds the images of another training run.",
                "Name another working folder, or delete this one.",
            )
        return np.lib.format.open_memmap(folder / "images.npy", "r+"), np.lib.format.open_memmap(
            folder / "done.npy", "r+"
        )
    shape = (len(items), spec.height, spec.width)
    images = np.lib.format.open_memmap(folder / "images.npy", "w+", np.uint8, shape)
    done = np.lib.format.open_memmap(folder / "done.npy", "w+", np.uint8, (len(items),))
    described.write_text(json.dumps(identity))
    return images, done

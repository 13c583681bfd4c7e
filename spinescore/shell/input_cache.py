"""Networks' inputs kept on disk, so that another model with the same preprocessing needs no decoding.

``FOLDER/<preprocessing_id>/<first two digits>/<SHA-256 of the input>``: the name proves the content, and the
folder may be deleted, in whole or in part, at any time. It holds patients' images: folders 0700, files 0600.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spinescore.core.imaging.preprocessing import FloatImage, PreprocessingSpec, from_levels, to_levels
from spinescore.shell.private_files import write_private

ID_DIGITS = frozenset("0123456789abcdef")


@dataclass(frozen=True, slots=True)
class InputCache:
    """Inputs of one preprocessing.

    Parameters
    ----------
    folder : Path
        Of all preprocessings.
    spec : PreprocessingSpec
        Decides what an input is and how it is kept: a byte a pixel if that loses nothing, else four.
    limit_bytes : int
        What all preprocessings together may take.
    """

    folder: Path
    spec: PreprocessingSpec
    limit_bytes: int

    @property
    def image_bytes(self) -> int:
        """What one input takes, bytes."""
        return self.spec.height * self.spec.width * self._dtype.itemsize

    def read(self, input_sha256: str) -> FloatImage | None:
        """Return an input (H, W), or None if it is not there; one that its name does not prove is deleted."""
        path = self._path(input_sha256)
        try:
            kept: NDArray[Any] = np.fromfile(path, self._dtype)
        except OSError:
            return None
        if kept.nbytes == self.image_bytes:
            values = from_levels(kept) if self._in_bytes else kept
            image = values.reshape(self.spec.height, self.spec.width)
            if hash_input(image) == input_sha256:
                return image
        with contextlib.suppress(OSError):
            path.unlink()
        return None

    def write(self, input_sha256: str, image: FloatImage) -> bool:
        """Keep an input, whole or not at all; tell whether it is there now."""
        path = self._path(input_sha256)
        if path.exists():
            return True
        kept = to_levels(image) if self._in_bytes else image
        try:
            _make_private(path.parent)
            write_private(path, kept.tobytes())
        except OSError:
            return False
        return True

    def holds(self, input_sha256: str) -> bool:
        """Tell whether an input is there."""
        return self._path(input_sha256).exists()

    def make_room(self, n_wanted: int) -> int:
        """Return how many of so many inputs may be added.

        Inputs of other preprocessings make room for them, the longest unused first; those of this one stay.

        Raises
        ------
        OSError
            If the folder cannot be made or read.
        """
        own = self.folder / self.spec.preprocessing_id
        _make_private(own)
        os.utime(own)
        used = {path: _count_bytes(path) for path in self.folder.iterdir() if _is_cache(path)}
        others = sorted((path for path in used if path != own), key=lambda path: path.stat().st_mtime)
        needed = n_wanted * self.image_bytes
        while others and sum(used.values()) + needed > self.limit_bytes:
            shutil.rmtree(gone := others.pop(0), ignore_errors=True)
            del used[gone]
        return min(n_wanted, max(0, self.limit_bytes - sum(used.values())) // self.image_bytes)

    @property
    def _in_bytes(self) -> bool:
        return self.spec.eight_bit and self.spec.block_mean == 1

    @property
    def _dtype(self) -> np.dtype[Any]:
        return np.dtype(np.uint8 if self._in_bytes else np.float32)

    def _path(self, input_sha256: str) -> Path:
        return self.folder / self.spec.preprocessing_id / input_sha256[:2] / input_sha256


def hash_input(image: NDArray[np.float32]) -> str:
    """Return the SHA-256 of a network's input, as it stands with each score."""
    return hashlib.sha256(np.ascontiguousarray(image).data).hexdigest()


def _make_private(folder: Path) -> None:
    """Make a folder and those above it that are missing, each 0700."""
    if not folder.is_dir():
        _make_private(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)


def _is_cache(path: Path) -> bool:
    """Tell whether a folder is one of ours: nothing else is ever deleted."""
    return path.is_dir() and len(path.name) == 16 and set(path.name) <= ID_DIGITS


def _count_bytes(folder: Path) -> int:
    """Return what the inputs of one preprocessing take; they are all of one size."""
    total = 0
    for part in folder.iterdir():
        with os.scandir(part) as entries:
            files = list(entries)
        total += len(files) * (files[0].stat().st_size if files else 0)
    return total

"""A decoded image that has not been preprocessed: what a device takes that preprocesses by itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spinescore.core.imaging.preprocessing import (
    LARGEST_TABLE,
    FloatImage,
    PaddingValue,
    PreprocessingSpec,
    preprocess,
)
from spinescore.domain import Kind


@dataclass(frozen=True, slots=True)
class RawImage:
    """Decoded pixels and how to understand them.

    Parameters
    ----------
    pixels : ndarray of int or float, shape (H, W)
        After the modality transform, not inverted.
    kind : {"radiograph", "vfa"}
        Decides the crop.
    photometric : {"MONOCHROME1", "MONOCHROME2"}
        As the header says.
    padding_value : int, (int, int) or None
        Pixel value, or closed range of values, that is padding.
    """

    pixels: NDArray[Any]
    kind: Kind
    photometric: str
    padding_value: PaddingValue = None

    def preprocess(self, spec: PreprocessingSpec) -> FloatImage:
        """Return the network's input, made here and now by :func:`preprocess`."""
        return preprocess(
            self.pixels,
            kind=self.kind,
            photometric=self.photometric,
            spec=spec,
            padding_value=self.padding_value,
        )

    def in_sixteen_bits(self) -> RawImage | None:
        """Return the same image in integers of 8 or 16 bits, or None if it has too many values for that.

        Preprocessing looks at values relative to the least one, so wider integers may be moved.

        >>> wide = RawImage(np.array([[100_000, 100_007]]), "vfa", "MONOCHROME2", padding_value=100_007)
        >>> narrow = wide.in_sixteen_bits()
        >>> narrow.pixels, narrow.padding_value
        (array([[0, 7]], dtype=uint16), 7)
        """
        if self.pixels.dtype.kind not in "iu":
            return None
        if self.pixels.dtype.itemsize <= 2:
            return self
        lowest, highest = int(self.pixels.min()), int(self.pixels.max())
        if highest - lowest >= LARGEST_TABLE:
            return None
        moved = (self.pixels - self.pixels.dtype.type(lowest)).astype(np.uint16)
        return RawImage(moved, self.kind, self.photometric, _move(self.padding_value, lowest))


def _move(padding_value: PaddingValue, lowest: int) -> PaddingValue:
    if padding_value is None:
        return None
    if isinstance(padding_value, tuple):
        return padding_value[0] - lowest, padding_value[1] - lowest
    return padding_value - lowest

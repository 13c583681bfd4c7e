"""Decoded pixels -> the image a network sees (METHOD.md, Preprocessing).

Reducing to 8 bit, equalising and scaling to [0, 1] is one monotone lookup table
per image; it is composed once and read only at the pixels the bilinear resize
asks for, so each source pixel is touched about twice.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spinescore.domain import Kind
from spinescore.errors import BundleError, DecodingError

FloatImage = NDArray[np.float32]
PaddingValue = int | tuple[float, float] | None
LEVELS = 256
LARGEST_TABLE = 1 << 16
COUNTED_AT_ONCE = 1 << 17  # as 64-bit integers in a second-level cache
ROWS_AT_ONCE = 64  # of the canvas, likewise
PADDING_CODE = -1  # of images reduced to levels before they are counted


@dataclass(frozen=True, slots=True, kw_only=True)
class PreprocessingSpec:
    """Every parameter of preprocessing; belongs to the bundle, beside the weights.

    Parameters
    ----------
    height, width : int
        Canvas in pixels; the height is not below the width.
    area_kept_radiograph, area_kept_vfa : float
        Share of the image area that the centred crop keeps, in (0, 1].
    equalise : bool
        Equalise the 256-bin histogram (the definition of ``cv2.equalizeHist``).
    mask_borders : bool
        Treat edge rows and columns of one value (collimation) as padding.
    invert_monochrome1 : bool
        Invert MONOCHROME1 so that bone is bright.
    block_mean : int
        The canvas is made so many times as tall and wide and then averaged over blocks of this side: what
        a network trained on shrunken images has to be shown. 1 is METHOD.md's plain canvas.
    eight_bit : bool
        Round the canvas to 256 levels before blocks are averaged: what a network trained on images kept as
        8-bit pixels was shown.
    version : int
        Raised when the same parameters come to mean something else.
    """

    height: int = 1024
    width: int = 512
    area_kept_radiograph: float = 0.95
    area_kept_vfa: float = 1.0
    equalise: bool = True
    mask_borders: bool = False
    invert_monochrome1: bool = True
    block_mean: int = 1
    eight_bit: bool = False
    version: int = 1

    def __post_init__(self) -> None:
        """Refuse a canvas or crop that cannot be meant."""
        if not 0 < self.width <= self.height:
            raise ValueError(f"a canvas is at least as tall as wide, not {self.height} x {self.width}")
        if not (0 < self.area_kept_radiograph <= 1 and 0 < self.area_kept_vfa <= 1):
            raise ValueError("the share of the area that a crop keeps lies in (0, 1]")
        if self.block_mean < 1:
            raise ValueError(f"a block has a side of one pixel or more, not {self.block_mean}")

    @property
    def preprocessing_id(self) -> str:
        """First 16 hex digits of the SHA-256 of the parameters as canonical JSON."""
        canonical = json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]

    def shrunk(self, side: int) -> PreprocessingSpec:
        """Return the spec whose images are this one's, averaged over blocks of a side."""
        return replace(
            self,
            height=self.height // side,
            width=self.width // side,
            block_mean=self.block_mean * side,
        )

    def unshrunk(self) -> PreprocessingSpec:
        """Return the spec of the images before they are averaged over blocks."""
        side = self.block_mean
        return replace(self, height=self.height * side, width=self.width * side, block_mean=1)

    def area_kept(self, kind: Kind) -> float:
        """Return the share of the area that is kept of a kind of image."""
        return self.area_kept_radiograph if kind == "radiograph" else self.area_kept_vfa

    def to_dict(self) -> dict[str, Any]:
        """Return the parameters by name, as the manifest holds them, but those that change nothing."""
        named = asdict(self)
        if self.block_mean == 1:  # specs older than these two parameters keep their id
            del named["block_mean"]
        if not self.eight_bit:
            del named["eight_bit"]
        return named

    @classmethod
    def from_dict(cls, parameters: Mapping[str, Any]) -> PreprocessingSpec:
        """Return the spec of a manifest; an unknown parameter is an error.

        Raises
        ------
        BundleError
            If a parameter is unknown or impossible.
        """
        unknown = sorted(set(parameters) - {f.name for f in fields(cls)})
        if unknown:
            raise BundleError(
                f"The bundle's preprocessing has parameters unknown to this version: {', '.join(unknown)}.",
                "Use the spinescore version that made the bundle, or a newer one.",
            )
        try:
            return cls(**parameters)
        except (TypeError, ValueError) as error:
            raise BundleError(
                f"The bundle's preprocessing cannot be used: {error}.", "Ask for a new bundle."
            ) from error


def preprocess(
    pixels: NDArray[Any],
    *,
    kind: Kind,
    photometric: str,
    spec: PreprocessingSpec,
    padding_value: PaddingValue = None,
) -> FloatImage:
    """Bring decoded pixels to the network's canvas (METHOD.md, Preprocessing, steps 1-5).

    Parameters
    ----------
    pixels : ndarray of int or float, shape (H, W)
        Decoded pixels, after the modality transform, not inverted.
    kind : {"radiograph", "vfa"}
        Decides the crop.
    photometric : {"MONOCHROME1", "MONOCHROME2"}
        MONOCHROME1 is inverted here and nowhere else.
    spec : PreprocessingSpec
        The parameters.
    padding_value : int or (int, int), optional
        Pixel value, or closed range of values, that is padding: it takes no part in
        minimum, maximum and histogram and becomes 0.

    Returns
    -------
    ndarray of float32, shape (spec.height, spec.width)
        Values in [0, 1].

    Raises
    ------
    DecodingError
        ``constant_image`` if fewer than two values are left.

    Examples
    --------
    >>> ramp = np.arange(32, dtype=np.uint16).reshape(8, 4)
    >>> spec = PreprocessingSpec(height=8, width=4)
    >>> preprocess(ramp, kind="vfa", photometric="MONOCHROME2", spec=spec).max()
    np.float32(1.0)
    """
    if spec.block_mean > 1:
        fine = preprocess(
            pixels, kind=kind, photometric=photometric, spec=spec.unshrunk(), padding_value=padding_value
        )
        return _average_blocks(fine, spec.block_mean)
    inside = _collimated_field(pixels) if spec.mask_borders else (0, pixels.shape[0], 0, pixels.shape[1])
    top, bottom, left, right = inside
    codes, lowest, highest = _as_codes(pixels, pixels[top:bottom, left:right], padding_value)
    if codes is not pixels:
        padding_value = PADDING_CODE
    counts = _count_codes(codes[top:bottom, left:right], lowest, highest)
    invert = spec.invert_monochrome1 and photometric == "MONOCHROME1"
    table = _compose_table(counts, lowest, padding_value, invert=invert, equalise=spec.equalise)
    rows, columns = _crop(pixels.shape[0], pixels.shape[1], spec.area_kept(kind))
    height, width = fit_size(rows[1] - rows[0], columns[1] - columns[0], spec)
    image = _resize_through_table(codes, lowest, table, rows, columns, (height, width), inside)
    canvas = np.zeros((spec.height, spec.width), np.float32)
    y, x = (spec.height - height) // 2, (spec.width - width) // 2
    canvas[y : y + height, x : x + width] = image
    return from_levels(to_levels(canvas)) if spec.eight_bit else canvas


def to_levels(canvas: FloatImage) -> NDArray[np.uint8]:
    """Round values in [0, 1] to 256 levels, halves to even."""
    return np.asarray(np.rint(canvas * np.float32(LEVELS - 1)), np.uint8)


def from_levels(levels: NDArray[np.uint8]) -> FloatImage:
    """Return 256 levels as values in [0, 1]."""
    return np.asarray(levels, np.float32) / np.float32(LEVELS - 1)


def _average_blocks(image: FloatImage, side: int) -> FloatImage:
    height, width = image.shape
    blocks = image.reshape(height // side, side, width // side, side)
    return np.asarray(blocks.mean(axis=(1, 3), dtype=np.float32))


def fit_size(height: int, width: int, spec: PreprocessingSpec) -> tuple[int, int]:
    """Return the size, height then width, that fits the canvas and keeps the aspect ratio (step 4).

    >>> fit_size(2000, 3000, PreprocessingSpec())
    (341, 512)
    >>> fit_size(3000, 1000, PreprocessingSpec())
    (1024, 341)
    """
    tall_width = width * spec.height // height
    if width > height or tall_width > spec.width:
        return max(1, height * spec.width // width), spec.width
    return spec.height, max(1, tall_width)


def _collimated_field(pixels: NDArray[Any]) -> tuple[int, int, int, int]:
    """Return top, bottom, left, right of what is left without edge rows and columns of one value."""
    rows = np.flatnonzero(pixels.min(axis=1) != pixels.max(axis=1))
    if rows.size == 0:
        raise DecodingError("constant_image", "every row holds one value")
    top, bottom = int(rows[0]), int(rows[-1]) + 1
    columns = np.flatnonzero(pixels[top:bottom].min(axis=0) != pixels[top:bottom].max(axis=0))
    if columns.size == 0:
        raise DecodingError("constant_image", "every column holds one value")
    return top, bottom, int(columns[0]), int(columns[-1]) + 1


def _as_codes(
    pixels: NDArray[Any], inside: NDArray[Any], padding_value: PaddingValue
) -> tuple[NDArray[Any], int, int]:
    """Return integer codes that a lookup table can be indexed by, with their least and greatest.

    Integers of a span a table can hold stay as they are. Anything else (floats, wide
    integers) is reduced to the 256 levels of step 2 here; padding becomes -1.
    """
    if pixels.dtype.kind in "iu":
        lowest, highest = int(inside.min()), int(inside.max())
        if highest - lowest < LARGEST_TABLE:
            return pixels, lowest, highest
    padded = find_padding(pixels, padding_value)
    kept = inside if padding_value is None else inside[~find_padding(inside, padding_value)]
    if kept.size == 0 or kept.min() == kept.max():
        raise DecodingError("constant_image", "the image holds one value")
    low, high = float(kept.min()), float(kept.max())
    levels = np.floor((pixels.astype(np.float64) - low) / (high - low) * (LEVELS - 1))
    codes = np.where(padded, PADDING_CODE, levels.clip(0, LEVELS - 1)).astype(np.int16)
    return codes, PADDING_CODE, LEVELS - 1


def find_padding(pixels: NDArray[Any], padding_value: PaddingValue) -> NDArray[np.bool_]:
    """Return which pixels (H, W) are padding: none if there is no padding value."""
    if padding_value is None:
        return np.zeros(pixels.shape, np.bool_)
    first, last = _padding_range(padding_value)
    return (pixels >= first) & (pixels <= last)


def _padding_range(padding_value: int | tuple[float, float]) -> tuple[float, float]:
    if isinstance(padding_value, tuple):
        return min(padding_value), max(padding_value)
    return padding_value, padding_value


def _count_codes(codes: NDArray[Any], lowest: int, highest: int) -> NDArray[np.int64]:
    """Return how often each code from lowest to highest occurs; counted in pieces that fit a cache."""
    base = 0 if lowest >= 0 and highest < LARGEST_TABLE else lowest
    counts = np.zeros(highest - base + 1, np.int64)
    flat = codes.reshape(-1)
    for start in range(0, flat.size, COUNTED_AT_ONCE):
        piece = flat[start : start + COUNTED_AT_ONCE]
        counts += np.bincount(piece if base == 0 else piece.astype(np.intp) - base, minlength=counts.size)
    return counts[lowest - base :]


def _compose_table(
    counts: NDArray[np.int64], lowest: int, padding_value: PaddingValue, *, invert: bool, equalise: bool
) -> FloatImage:
    """Compose steps 1-2 into one table from code - lowest to [0, 1]; padding maps to 0."""
    kept = counts.copy()
    padded = slice(0, 0)
    if padding_value is not None:
        first, last = _padding_range(padding_value)
        padded = slice(max(math.ceil(first) - lowest, 0), max(math.floor(last) - lowest + 1, 0))
        kept[padded] = 0
    present = np.flatnonzero(kept)
    if present.size < 2:
        raise DecodingError("constant_image", "the image holds one value")
    low, high = int(present[0]), int(present[-1])
    offset = np.clip(np.arange(counts.size), low, high) - low
    offset = (high - low) - offset if invert else offset
    levels = offset * (LEVELS - 1) // (high - low)
    if equalise:
        levels = _equalise(np.bincount(levels, weights=kept, minlength=LEVELS).astype(np.int64))[levels]
    table = (levels / np.float32(LEVELS - 1)).astype(np.float32)
    table[padded] = 0
    return table


def _equalise(histogram: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the level each of 256 levels becomes (the definition of ``cv2.equalizeHist``)."""
    first = int(np.flatnonzero(histogram)[0])
    above = histogram.copy()
    above[: first + 1] = 0
    scale = np.float32(LEVELS - 1) / np.float32(above.sum())
    equalised = np.rint(np.cumsum(above).astype(np.float32) * scale)
    return np.asarray(equalised.clip(0, LEVELS - 1), np.int64)


def _crop(height: int, width: int, area_kept: float) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return the rows and columns of the centred rectangle of the same aspect (step 3)."""
    side = math.sqrt(area_kept)
    rows, columns = max(1, int(height * side)), max(1, int(width * side))
    top, left = (height - rows) // 2, (width - columns) // 2
    return (top, top + rows), (left, left + columns)


@lru_cache(maxsize=64)
def _bilinear_taps(source: int, target: int) -> tuple[NDArray[np.intp], NDArray[np.intp], FloatImage]:
    """Return, per target pixel, its two source pixels and the second one's weight (``cv2.INTER_LINEAR``)."""
    centre = (np.arange(target) + 0.5) * (source / target) - 0.5
    first = np.floor(centre).astype(np.intp)
    weight = (centre - first).astype(np.float32)
    weight[(first < 0) | (first >= source - 1)] = 0
    first = first.clip(0, source - 1)
    return first, np.minimum(first + 1, source - 1), weight


def _resize_through_table(
    codes: NDArray[Any],
    lowest: int,
    table: FloatImage,
    rows: tuple[int, int],
    columns: tuple[int, int],
    size: tuple[int, int],
    inside: tuple[int, int, int, int],
) -> FloatImage:
    """Read the table at the four neighbours of every target pixel and blend them, some rows at a time."""
    y0, y1, wy = _bilinear_taps(rows[1] - rows[0], size[0])
    x0, x1, wx = _bilinear_taps(columns[1] - columns[0], size[1])
    x = np.concatenate([x0, x1]) + columns[0]
    top, bottom, left, right = inside
    dark = (x < left) | (x >= right)

    def read(y: NDArray[np.intp]) -> FloatImage:
        picked = codes[y].take(x, axis=1).astype(np.intp)
        picked -= lowest
        values = table.take(picked, mode="clip")
        values[(y < top) | (y >= bottom)] = 0
        values[:, dark] = 0
        return values

    result = np.empty(size, np.float32)
    for start in range(0, size[0], ROWS_AT_ONCE):
        part = slice(start, start + ROWS_AT_ONCE)
        values, lower = read(y0[part] + rows[0]), read(y1[part] + rows[0])
        lower -= values
        values += np.multiply(lower, wy[part, None], out=lower)
        first, second = values[:, : size[1]], values[:, size[1] :]
        second -= first
        np.add(first, np.multiply(second, wx, out=second), out=result[part])
    return result

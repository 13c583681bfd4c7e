"""Preprocessing in torch, where the network runs: the numbers of preprocessing.py, bit for bit.

Counting, the table and the choice of pixels are whole numbers; the few operations on float32 are the same
ones in the same order, each rounded by itself: no fused multiply-add, hence no ``lerp`` or ``addcmul``.
Nothing here waits for the device.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from spinescore.core.imaging.preprocessing import (
    LEVELS,
    PreprocessingSpec,
    _bilinear_taps,
    _crop,
    _padding_range,
    fit_size,
)
from spinescore.core.imaging.raw_image import RawImage

LARGEST_EXACT_BLOCK = 7  # numpy adds eight and more, or a canvas one block wide, in another order
Upload = Callable[[NDArray[Any]], Tensor]


@dataclass(frozen=True, slots=True)
class DeviceImage:
    """An image prepared on a device.

    Parameters
    ----------
    canvas : Tensor of float32, shape (height, width)
        The network's input, in [0, 1].
    usable : Tensor of bool, shape ()
        False where fewer than two values were left; the canvas then means nothing.
    """

    canvas: Tensor
    usable: Tensor


def can_prepare(raw: RawImage, spec: PreprocessingSpec) -> bool:
    """Tell whether the device makes exactly what :func:`preprocess` would: integers of up to 16 bits."""
    integers = raw.pixels.dtype.kind in "iu" and raw.pixels.dtype.itemsize <= 2
    blocks = spec.block_mean == 1 or (spec.block_mean <= LARGEST_EXACT_BLOCK and spec.width > 1)
    return integers and blocks


def prepare_on_device(raw: RawImage, spec: PreprocessingSpec, upload: Upload) -> DeviceImage:
    """Bring decoded pixels to the network's canvas on a device (METHOD.md, Preprocessing, steps 1-5).

    Parameters
    ----------
    raw : RawImage
        With pixels for which :func:`can_prepare` holds.
    spec : PreprocessingSpec
    upload : callable
        Puts an array on the device: uint8, int8 or int16 (uint16 by its bits).

    Returns
    -------
    DeviceImage
    """
    if spec.block_mean > 1:
        fine = prepare_on_device(raw, spec.unshrunk(), upload)
        return DeviceImage(_average_blocks(fine.canvas, spec.block_mean), fine.usable)
    codes, lowest, n_codes = _upload_codes(raw.pixels, upload)
    inside = _collimated_field(codes) if spec.mask_borders else None
    counts = _count_codes(codes, n_codes, inside)
    invert = spec.invert_monochrome1 and raw.photometric == "MONOCHROME1"
    padded = _padded_codes(raw, lowest)
    table, usable = _compose_table(counts, padded, invert=invert, equalise=spec.equalise)
    height, width = raw.pixels.shape
    rows, columns = _crop(height, width, spec.area_kept(raw.kind))
    size = fit_size(rows[1] - rows[0], columns[1] - columns[0], spec)
    image = _resize_through_table(codes, table, rows, columns, size, inside)
    canvas = torch.zeros((spec.height, spec.width), dtype=torch.float32, device=codes.device)
    y, x = (spec.height - size[0]) // 2, (spec.width - size[1]) // 2
    canvas[y : y + size[0], x : x + size[1]] = image
    if spec.eight_bit:
        canvas = _divide(torch.round(canvas * (LEVELS - 1)), LEVELS - 1)
    return DeviceImage(canvas, usable)


def _upload_codes(pixels: NDArray[Any], upload: Upload) -> tuple[Tensor, int, int]:
    """Return codes (H, W) from 0 on the device, the pixel value of code 0, and how many codes there are."""
    n_codes = 1 << 8 * pixels.dtype.itemsize
    pixels = np.ascontiguousarray(pixels)
    if pixels.dtype.kind == "i":
        return upload(pixels).to(torch.int32) + n_codes // 2, -n_codes // 2, n_codes
    if pixels.dtype.itemsize == 1:
        return upload(pixels).to(torch.int32), 0, n_codes
    return upload(pixels.view(np.int16)).to(torch.int32) & (n_codes - 1), 0, n_codes


def _collimated_field(codes: Tensor) -> tuple[Tensor, Tensor]:
    """Return which rows (H,) and columns (W,) lie within edge rows and columns of one value."""
    rows = _between_first_and_last(codes.amin(dim=1) != codes.amax(dim=1))
    highest = torch.iinfo(codes.dtype).max
    least = torch.where(rows[:, None], codes, highest).amin(dim=0)
    most = torch.where(rows[:, None], codes, -1).amax(dim=0)
    return rows, _between_first_and_last((least != most) & rows.any())


def _between_first_and_last(varied: Tensor) -> Tensor:
    """Return True from the first True to the last.

    >>> _between_first_and_last(torch.tensor([False, True, False, True, False])).int().tolist()
    [0, 1, 1, 1, 0]
    """
    seen = varied.int().cumsum(0)
    return (seen > 0) & (seen - varied.int() < seen[-1])


def _count_codes(codes: Tensor, n_codes: int, inside: tuple[Tensor, Tensor] | None) -> Tensor:
    """Return how often each code occurs inside, shape (n_codes,)."""
    counts = torch.zeros(n_codes, dtype=torch.int64, device=codes.device)
    if inside is None:
        weights = torch.ones(1, dtype=torch.int64, device=codes.device).expand(codes.numel())
    else:
        weights = (inside[0][:, None] & inside[1]).flatten().long()
    return counts.scatter_add_(0, codes.flatten().long(), weights)


def _padded_codes(raw: RawImage, lowest: int) -> slice:
    if raw.padding_value is None:
        return slice(0, 0)
    first, last = _padding_range(raw.padding_value)
    return slice(max(math.ceil(first) - lowest, 0), max(math.floor(last) - lowest + 1, 0))


def _compose_table(counts: Tensor, padded: slice, *, invert: bool, equalise: bool) -> tuple[Tensor, Tensor]:
    """Compose steps 1-2 into one table from code to [0, 1], and tell whether two values were left."""
    kept = counts.clone()
    kept[padded] = 0
    present = kept > 0
    code = torch.arange(len(kept), device=kept.device)
    low = torch.where(present, code, len(kept)).amin()
    high = torch.where(present, code, -1).amax()
    usable = high > low
    span = (high - low).clamp(min=1)
    offset = torch.minimum(torch.maximum(code, low), high) - low
    offset = span - offset if invert else offset
    levels = torch.div(offset * (LEVELS - 1), span, rounding_mode="floor").clamp(0, LEVELS - 1)
    if equalise:
        histogram = torch.zeros(LEVELS, dtype=torch.int64, device=kept.device).scatter_add_(0, levels, kept)
        levels = _equalise(histogram)[levels]
    table = _divide(levels.double(), LEVELS - 1).float()  # as numpy does: rounded twice
    table[padded] = 0
    return table, usable


def _equalise(histogram: Tensor) -> Tensor:
    """Return the level each of 256 levels becomes (the definition of ``cv2.equalizeHist``)."""
    level = torch.arange(LEVELS, device=histogram.device)
    first = torch.where(histogram > 0, level, LEVELS).amin()
    above = torch.where(level > first, histogram, 0)
    scale = _number(LEVELS - 1, torch.float32, above.device) / above.sum().float()
    equalised = torch.round(above.cumsum(0).float() * scale)
    return equalised.nan_to_num(0).clamp(0, LEVELS - 1).long()


@lru_cache(maxsize=64)
def _taps_on(device: torch.device, source: int, target: int, start: int) -> tuple[Tensor, Tensor]:
    """Return on a device the source pixels of both taps, shape (2 target,), and the second one's weight."""
    first, second, weight = _bilinear_taps(source, target)
    pixels = torch.from_numpy(np.concatenate([first, second]) + start)
    return pixels.to(device), torch.from_numpy(weight).to(device)


def _resize_through_table(
    codes: Tensor,
    table: Tensor,
    rows: tuple[int, int],
    columns: tuple[int, int],
    size: tuple[int, int],
    inside: tuple[Tensor, Tensor] | None,
) -> Tensor:
    """Read the table at the four neighbours of every target pixel and blend them."""
    y, wy = _taps_on(codes.device, rows[1] - rows[0], size[0], rows[0])
    x, wx = _taps_on(codes.device, columns[1] - columns[0], size[1], columns[0])
    values = table[codes.index_select(0, y).index_select(1, x).long()]
    if inside is not None:
        values = torch.where(inside[0][y][:, None] & inside[1][x], values, 0)
    upper, lower = values[: size[0]], values[size[0] :]
    blended = upper + (lower - upper) * wy[:, None]
    first, second = blended[:, : size[1]], blended[:, size[1] :]
    return first + (second - first) * wx


def _average_blocks(image: Tensor, side: int) -> Tensor:
    """Return means over blocks, added row by row as numpy adds them."""
    height, width = image.shape
    blocks = image.reshape(height // side, side, width // side, side)
    total = torch.zeros((height // side, width // side), dtype=torch.float32, device=image.device)
    for row in range(side):
        line = blocks[:, row, :, 0]
        for column in range(1, side):
            line = line + blocks[:, row, :, column]
        total = total + line
    return _divide(total, side**2)


def _divide(dividend: Tensor, divisor: int) -> Tensor:
    return dividend / _number(divisor, dividend.dtype, dividend.device)


def _number(value: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return a number on a device: torch turns a division by a plain one, or of one, into a reciprocal."""
    return torch.full((), value, dtype=dtype, device=device)

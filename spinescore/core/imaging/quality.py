"""Image-quality measures of one radiograph or VFA image, and the flags that thresholds make of them.

Nothing here decides: a flag is for people to look at, and for a study to exclude by if it says so.
All measures see the image as it is shown (MONOCHROME1 inverted, padding left out) on a sample of
fixed size, so that they cost the same for any detector.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

from spinescore.core.eligibility.rule_set import Threshold
from spinescore.core.imaging.preprocessing import PaddingValue, find_padding

Floats = NDArray[np.float32]
SAMPLE_SIDE = 256  # values: every n-th pixel, as stored
COPY_SIDE = 512  # structure: means of blocks
LADDER_ROWS = 128
LADDER_COLUMNS = 192
FLAT_SHARE = 0.15  # a border row or column with less than this of the usual range shows no anatomy
LEVELS = 255

# what a chain of vertebrae looks like, in units of the distance from one to the next
PERIODS = (8.0, 10.5, 14.0, 18.5, 24.0)  # rows of the copy: 5 to 16 vertebrae in its height
TILTS_DEGREES = (-24.0, -12.0, 0.0, 12.0, 24.0)
HALF_WIDTH, HALF_HEIGHT, HALF_BODY = 0.45, 1.5, 0.38
STRONGEST = 0.3  # one strong gap (a knee) must not stand for many
PART_OF_HEIGHT = 0.6
LIKENESS_OF_A_CLEAR_SPINE = 0.12


@dataclass(frozen=True, slots=True)
class QualityMeasures:
    """What an image is like; every measure is a number without unit.

    Parameters
    ----------
    contrast : float
        Share of the 255 steps of METHOD.md's 8-bit reduction (step 2) that lie between the 1st and
        99th percentile of the field; not more than the whole numbers there are between them. Low
        where a bright outlier or a poor exposure leaves the anatomy a few grey levels.
    clipped_low_share, clipped_high_share : float
        Share of the field at the darkest and the brightest of the 256 levels.
    saturated_share : float
        Share of the field in the largest connected area of the one most frequent value: a
        saturated detector, a mask, a painted box.
    collimated_share : float
        Share of the frame outside the field: padding, and border rows and columns without structure
        (collimated, or nothing but air). A field that is not upright is not found.
    sharpness : float
        Root mean square of what a Gaussian of 1 pixel takes away over that of 8 pixels, on a copy
        of 512 to 1023 rows or columns. Noise counts as sharp: only low values mean something.
    spine_likeness : float
        0 to 1: how much better the best chain of boxes of equal pitch, one above the other, fits
        than elsewhere in the image. Built and measured on phantoms; it tells noise, fields without
        structure, chests, skulls and radiographs lying on their side from spines, but hands, knees
        and VFA images lying on their side only in part.
    """

    contrast: float
    clipped_low_share: float
    clipped_high_share: float
    saturated_share: float
    collimated_share: float
    sharpness: float
    spine_likeness: float


def quality_flags(measures: QualityMeasures, thresholds: Mapping[str, Threshold]) -> tuple[str, ...]:
    """Return the flags whose measure lies below or above its threshold, in the thresholds' order.

    >>> blurred = QualityMeasures(0.5, 0, 0, 0, 0, 0.02, 0.9)
    >>> quality_flags(blurred, {"blurred": Threshold("sharpness", below=0.05)})
    ('blurred',)
    """
    return tuple(
        flag
        for flag, limit in thresholds.items()
        if (limit.below is not None and getattr(measures, limit.measure) < limit.below)
        or (limit.above is not None and getattr(measures, limit.measure) > limit.above)
    )


def measure_quality(
    pixels: NDArray[Any], *, photometric: str, padding_value: PaddingValue = None
) -> QualityMeasures:
    """Measure an image.

    Parameters
    ----------
    pixels : ndarray of int or float, shape (H, W)
        Decoded pixels, after the modality transform, not inverted.
    photometric : {"MONOCHROME1", "MONOCHROME2"}
        MONOCHROME1 is measured as shown: inverted.
    padding_value : int or (int, int), optional
        Value, or closed range of values, that is no part of the image.

    Returns
    -------
    QualityMeasures
    """
    low, high = _value_range(pixels, padding_value)
    step = max(1, max(pixels.shape) // SAMPLE_SIDE)
    values = pixels[::step, ::step]
    padded = find_padding(values, padding_value)
    shown = _show(values, low, high, photometric)
    top, bottom, left, right = _find_field(np.where(padded, np.float32(0), shown))
    inside = np.s_[top:bottom, left:right]
    kept = ~padded[inside]
    n_field = max(int(kept.sum()), 1)
    field = shown[inside][kept]
    levels = np.floor(field * LEVELS)
    copy = _show(_block_means(pixels), low, high, photometric)
    return QualityMeasures(
        contrast=_measure_contrast(field, values.dtype, high - low),
        clipped_low_share=float((levels <= 0).mean()) if field.size else 0.0,
        clipped_high_share=float((levels >= LEVELS).mean()) if field.size else 0.0,
        saturated_share=_largest_plateau(values[inside], kept) / n_field,
        collimated_share=1 - int(kept.sum()) / values.size,
        sharpness=_measure_sharpness(copy, (top, bottom, left, right), values.shape),
        spine_likeness=_measure_spine_likeness(copy),
    )


def _value_range(pixels: NDArray[Any], padding_value: PaddingValue) -> tuple[float, float]:
    """Return the least and greatest value that is not padding."""
    kept = pixels if padding_value is None else pixels[~find_padding(pixels, padding_value)]
    if kept.size == 0:
        return 0.0, 1.0
    low, high = float(kept.min()), float(kept.max())
    return low, high if high > low else low + 1


def _show(values: NDArray[Any], low: float, high: float, photometric: str) -> Floats:
    """Return brightness from 0 to 1."""
    shown = ((values.astype(np.float32) - np.float32(low)) / np.float32(high - low)).clip(0, 1)
    return 1 - shown if photometric == "MONOCHROME1" else shown


def _find_field(shown: Floats) -> tuple[int, int, int, int]:
    """Return top, bottom, left, right of what is left without border rows and columns of one shade."""
    top, bottom = _structured_span(shown)
    left, right = _structured_span(shown[top:bottom].T)
    return top, bottom, left, right


def _structured_span(shown: Floats) -> tuple[int, int]:
    low, high = np.quantile(shown[:, ::2], (0.1, 0.9), axis=1)
    structured = np.flatnonzero(high - low > FLAT_SHARE * max(float(np.median(high - low)), 1e-6))
    return (int(structured[0]), int(structured[-1]) + 1) if structured.size else (0, len(shown))


def _measure_contrast(field: Floats, dtype: np.dtype[Any], span: float) -> float:
    if field.size == 0:
        return 0.0
    low, high = np.quantile(field, (0.01, 0.99))
    share = float(high - low)
    return min(share, share * span / LEVELS) if dtype.kind in "iu" else share


def _largest_plateau(values: NDArray[Any], kept: NDArray[np.bool_]) -> int:
    """Return the size of the largest connected area of the most frequent value, in pixels."""
    if not kept.any():
        return 0
    found, counts = np.unique(values[kept], return_counts=True)
    labels, n_areas = ndimage.label((values == found[counts.argmax()]) & kept)
    return int(np.bincount(labels.ravel())[1:].max()) if n_areas else 0


def _block_means(pixels: NDArray[Any]) -> NDArray[Any]:
    """Return the means of blocks, so many that the longer side has 512 to 1023."""
    k = max(pixels.shape) // COPY_SIDE
    if k < 2:
        return pixels
    rows, columns = pixels.shape[0] // k, pixels.shape[1] // k
    wide = np.int32 if pixels.dtype.kind in "iu" and pixels.dtype.itemsize <= 2 else np.float64
    summed = pixels[: rows * k].reshape(rows, k, -1).sum(axis=1, dtype=wide)
    by_block = summed[:, : columns * k].reshape(rows, columns, k).sum(axis=2, dtype=wide)
    return np.asarray(by_block / np.float32(k * k))


def _measure_sharpness(copy: Floats, field: tuple[int, int, int, int], shape: tuple[int, ...]) -> float:
    """Return fine over coarse structure within the field, which is given on a sample of this shape."""
    y, x = copy.shape[0] / shape[0], copy.shape[1] / shape[1]
    top, bottom, left, right = field
    inside = copy[int(top * y) : int(bottom * y), int(left * x) : int(right * x)]
    fine = inside - ndimage.gaussian_filter(inside, 1, truncate=3)
    coarse = inside[::2, ::2] - ndimage.gaussian_filter(inside[::2, ::2], 4, truncate=3)
    return float(fine.std() / max(float(coarse.std()), 1e-6)) if inside.size else 0.0


def _measure_spine_likeness(copy: Floats) -> float:
    """Follow the best chain of vertebra-like boxes downwards, and compare it with the rest."""
    image = _resize(copy)
    responses = np.stack([_match_period(image, period) for period in PERIODS], axis=1)  # (Y, P, X)
    responses = np.minimum(responses, STRONGEST)
    n = len(responses)
    part = round(n * PART_OF_HEIGHT)
    along = _best_chain(responses)
    along_part = max(_best_chain(responses[s : s + part]) for s in (0, (n - part) // 2, n - part))
    elsewhere = float(np.quantile(responses.max(axis=1), 0.75))
    return float(np.clip(((along + along_part) / 2 - elsewhere) / LIKENESS_OF_A_CLEAR_SPINE, 0, 1))


def _resize(copy: Floats) -> Floats:
    """Return the image with 128 rows, its aspect kept up to 192 columns."""
    factor = max(copy.shape[0] // (2 * LADDER_ROWS), 1)
    small = ndimage.uniform_filter(copy, factor)[factor // 2 :: factor, factor // 2 :: factor]
    width = round(copy.shape[1] * LADDER_ROWS / copy.shape[0])
    columns = min(max(width, 24), LADDER_COLUMNS)
    y = (np.arange(LADDER_ROWS) + 0.5) * small.shape[0] / LADDER_ROWS - 0.5
    x = (np.arange(columns) + 0.5) * small.shape[1] / columns - 0.5
    shrink = small.shape[0] / LADDER_ROWS, small.shape[1] / columns
    blurred = ndimage.gaussian_filter(small, [max(ratio - 1, 0) / 2 for ratio in shrink])
    grid = np.meshgrid(y, x, indexing="ij")
    return np.asarray(ndimage.map_coordinates(blurred, grid, order=1, mode="nearest"), np.float32)


def _match_period(image: Floats, period: float) -> Floats:
    """Return how far boxes of this pitch alternate with gaps: shape (rows / 4, columns)."""
    rows, columns = image.shape
    fine = image - ndimage.gaussian_filter(image, (0.8 * period, 0.25 * period), truncate=2.5)
    window = int(3 * period) | 1, int(2.4 * period) | 1
    mean = ndimage.uniform_filter(fine, window, mode="nearest")
    spread = np.sqrt(np.maximum(ndimage.uniform_filter(fine * fine, window, mode="nearest") - mean**2, 0))
    floor = 0.02 * float(image.std()) + 0.3 * float(np.median(spread)) + 1e-9
    shape = rows + 64, fft.next_fast_len(columns + 64, real=True)
    found = fft.irfft2(fft.rfft2(fine, shape) * _templates(period, shape), shape)
    reach, area = _template_reach(period), _template_area(period)
    best = np.roll(found, (reach, reach), (1, 2))[:, :rows, :columns].max(axis=0)
    fit = best / (np.sqrt(area) * np.hypot(spread, floor))
    pitch = int(period) | 1
    swing = ndimage.maximum_filter1d(fit, pitch, axis=0) - ndimage.minimum_filter1d(fit, pitch, axis=0)
    return np.asarray(swing[2::4] / 2, np.float32)


def _best_chain(responses: Floats) -> float:
    """Return the mean response along the best way down that bends and changes its pitch little."""
    total = responses[0]
    for row in responses[1:]:
        total = row + ndimage.maximum_filter(total, (3, 9), mode="constant", cval=-9)
    return float(total.max() / len(responses))


def _template_reach(period: float) -> int:
    return int(np.ceil(1.15 * 1.6 * period))


@lru_cache(maxsize=16)
def _template_area(period: float) -> float:
    return float(np.mean([np.count_nonzero(_draw_template(period, tilt)) for tilt in TILTS_DEGREES]))


@lru_cache(maxsize=64)
def _templates(period: float, shape: tuple[int, int]) -> NDArray[np.complex64]:
    """Return the transforms of the boxes at every tilt, ready to correlate."""
    drawn = np.stack([_draw_template(period, tilt) for tilt in TILTS_DEGREES])
    return np.asarray(np.conj(fft.rfft2(drawn, shape)), np.complex64)


def _draw_template(period: float, tilt_degrees: float) -> Floats:
    """Draw three boxes with bright ends, without what they have in common along the chain."""
    reach = _template_reach(period)
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1] / period
    tilt = np.deg2rad(tilt_degrees)
    across, along = np.cos(tilt) * x - np.sin(tilt) * y, np.sin(tilt) * x + np.cos(tilt) * y
    phase = np.abs((along + 0.5) % 1 - 0.5)  # 0 in the middle of a body, 0.5 in the middle of a disc
    edge = period / 0.8
    body = 1 / (1 + np.exp((phase - HALF_BODY) * edge)) + 0.7 * np.exp(-(((phase - 0.34) / 0.09) ** 2))
    window = (np.abs(across) < HALF_WIDTH) & (np.abs(along) < HALF_HEIGHT)
    weight = np.where(window, np.cos(np.pi * along / 3.4) / (1 + np.exp((np.abs(across) - 0.52) * edge)), 0)
    drawn = (body - (body * weight).sum() / weight.sum()) * weight
    return np.asarray(drawn / np.sqrt((drawn**2).sum()), np.float32)

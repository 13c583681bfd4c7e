"""Image-quality measures of one radiograph or VFA image, and the flags that thresholds make of them.

Nothing here decides: a flag is for people to look at, and for a study to exclude by if it says so.
All measures see the image as it is shown (MONOCHROME1 inverted, padding left out) on a sample of
fixed size, so that they cost the same for any detector.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from spinescore.core.eligibility.rule_set import Threshold
from spinescore.core.imaging.linear_filters import block_sums, blur
from spinescore.core.imaging.preprocessing import PaddingValue, find_padding
from spinescore.core.imaging.spine_likeness import measure_spine_likeness

Floats = NDArray[np.float32]
SAMPLE_SIDE = 256  # values: every n-th pixel, as stored
COPY_SIDE = 512  # structure: means of blocks
FLAT_SHARE = 0.15  # a border row or column with less than this of the usual range shows no anatomy
LEVELS = 255
LARGEST_COUNTED = 1 << 16


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
        spine_likeness=measure_spine_likeness(copy),
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
    shown = values.astype(np.float32)
    shown -= np.float32(low)
    shown /= np.float32(high - low)
    np.clip(shown, 0, 1, out=shown)
    return np.subtract(1, shown, out=shown) if photometric == "MONOCHROME1" else shown


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
    labels, n_areas = ndimage.label((values == _most_frequent(values[kept])) & kept)
    return int(np.bincount(labels.ravel())[1:].max()) if n_areas else 0


def _most_frequent(values: NDArray[Any]) -> Any:
    """Return the most frequent value, the least of them if several are."""
    if values.dtype.kind in "iu" and int(values.max()) - (least := int(values.min())) < LARGEST_COUNTED:
        return least + int(np.bincount(np.subtract(values, least, dtype=np.int64)).argmax())
    found, counts = np.unique(values, return_counts=True)
    return found[counts.argmax()]


def _block_means(pixels: NDArray[Any]) -> NDArray[Any]:
    """Return the means of blocks, so many that the longer side has 512 to 1023."""
    k = max(pixels.shape) // COPY_SIDE
    return pixels if k < 2 else np.asarray(block_sums(pixels, k) / np.float32(k * k))


def _measure_sharpness(copy: Floats, field: tuple[int, int, int, int], shape: tuple[int, ...]) -> float:
    """Return fine over coarse structure within the field, which is given on a sample of this shape."""
    y, x = copy.shape[0] / shape[0], copy.shape[1] / shape[1]
    top, bottom, left, right = field
    inside = copy[int(top * y) : int(bottom * y), int(left * x) : int(right * x)]
    if not inside.size:
        return 0.0
    fine = inside - blur(inside, 1, truncate=3)
    coarse = inside[::2, ::2] - blur(inside[::2, ::2], 4, truncate=3)
    return float(fine.std() / max(float(coarse.std()), 1e-6))

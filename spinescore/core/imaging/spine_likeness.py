"""How much an image looks like a chain of vertebrae: boxes of equal pitch, one above the other."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from spinescore.core.imaging.linear_filters import block_sums, blur_matrix, resampling_matrix

Floats = NDArray[np.float32]
LADDER_ROWS = 128
LADDER_COLUMNS = 192

# what a chain of vertebrae looks like, in units of the distance from one to the next
PERIODS = (8.0, 10.5, 14.0, 18.5, 24.0)  # rows of the copy: 5 to 16 vertebrae in its height
TILTS_DEGREES = (-24.0, -12.0, 0.0, 12.0, 24.0)
HALF_WIDTH, HALF_HEIGHT, HALF_BODY = 0.45, 1.5, 0.38
STRONGEST = 0.3  # one strong gap (a knee) must not stand for many
PART_OF_HEIGHT = 0.6
LIKENESS_OF_A_CLEAR_SPINE = 0.12
BENDS = 4  # columns, from one row of the chain to the next


def measure_spine_likeness(copy: Floats) -> float:
    """Follow the best chain of vertebra-like boxes downwards, and compare it with the rest.

    Parameters
    ----------
    copy : ndarray of float32, shape (H, W)
        Brightness; the longer side has at least 512 pixels, or the image no more.

    Returns
    -------
    float
        0 to 1.
    """
    image = _resize(copy)
    responses = np.stack([_match_period(image, period) for period in PERIODS], axis=1)  # (Y, P, X)
    responses = np.minimum(responses, STRONGEST)
    n = len(responses)
    part = round(n * PART_OF_HEIGHT)
    along = _best_chains(responses[:, None])[0]
    parts = np.stack([responses[s : s + part] for s in (0, (n - part) // 2, n - part)], axis=1)
    along_part = _best_chains(parts).max()
    elsewhere = float(np.quantile(responses.max(axis=1), 0.75))
    above = (float(along) + float(along_part)) / 2 - elsewhere
    return float(np.clip(above / LIKENESS_OF_A_CLEAR_SPINE, 0, 1))


def _resize(copy: Floats) -> Floats:
    """Return the image with 128 rows, its aspect kept up to 192 columns."""
    factor = max(copy.shape[0] // (2 * LADDER_ROWS), 1)
    width = round(copy.shape[1] * LADDER_ROWS / copy.shape[0])
    columns = min(max(width, 24), LADDER_COLUMNS)
    if factor > 1:
        edges = [(0, -n % factor if n % factor > factor // 2 else 0) for n in copy.shape]
        copy = block_sums(np.pad(copy, edges, mode="symmetric"), factor).astype(np.float32) / factor**2
    down, across = resampling_matrix(copy.shape[0], LADDER_ROWS), resampling_matrix(copy.shape[1], columns)
    return np.asarray(down @ copy @ across.T)


def _match_period(image: Floats, period: float) -> Floats:
    """Return how far boxes of this pitch alternate with gaps: shape (rows / 4, columns)."""
    rows, columns = image.shape
    down, across = blur_matrix(rows, 0.8 * period, 2.5), blur_matrix(columns, 0.25 * period, 2.5)
    fine = image - down @ image @ across.T
    window = int(3 * period) | 1, int(2.4 * period) | 1
    mean = ndimage.uniform_filter(fine, window, mode="nearest")
    spread = np.sqrt(np.maximum(ndimage.uniform_filter(fine * fine, window, mode="nearest") - mean**2, 0))
    floor = 0.02 * float(image.std()) + 0.3 * float(np.median(spread)) + 1e-9
    shape = _transform_length(rows, period), _transform_length(columns, period)
    found = np.fft.irfft2(np.fft.rfft2(fine, shape) * _templates(period, shape), shape)
    best = found[:, :rows, :columns].max(axis=0)
    fit = best / (np.sqrt(_template_area(period)) * np.hypot(spread, np.float32(floor)))
    half = int(period) // 2
    swing = _greatest_around(fit, half) + _greatest_around(-fit, half)
    return np.asarray(swing[2::4] / 2, np.float32)


def _greatest_around(values: Floats, half: int) -> Floats:
    """Return the greatest of the 2 half + 1 values around each along the first axis, fewer at its ends."""
    n = len(values)
    widest = np.pad(values, ((half, half), (0, 0)), constant_values=-np.inf)
    span, reached = 2 * half + 1, 1
    while reached < span:  # of so many values from each on
        step = min(reached, span - reached)
        widest = np.maximum(widest[:-step], widest[step:])
        reached += step
    return widest[:n]


def _best_chains(responses: Floats) -> Floats:
    """Return the mean response along the best way down that bends and changes its pitch little.

    Parameters
    ----------
    responses : ndarray of float32, shape (Y, N, P, X)
        Of N images side by side.
    """
    _, n, n_periods, columns = responses.shape
    ahead = np.full((n, n_periods + 2, columns + 2 * BENDS), -9, np.float32)
    total = ahead[:, 1:-1, BENDS : BENDS + columns]
    total[:] = responses[0]
    for row in responses[1:]:
        near = np.maximum(np.maximum(ahead[:, :-2], ahead[:, 1:-1]), ahead[:, 2:])
        two = np.maximum(near[..., :-1], near[..., 1:])
        four = np.maximum(two[..., :-2], two[..., 2:])
        eight = np.maximum(four[..., :-4], four[..., 4:])
        np.add(row, np.maximum(eight[..., :-1], eight[..., 1:]), out=total)
    return np.asarray(total.max(axis=(1, 2)) / len(responses))


def _transform_length(n: int, period: float) -> int:
    """Return a multiple of 16 that holds n samples and what a template reaches beyond, and a template."""
    reach = _template_reach(period)
    return -(-max(n + reach, 2 * reach + 1) // 16) * 16


def _template_reach(period: float) -> int:
    return int(np.ceil(1.15 * 1.6 * period))


@lru_cache(maxsize=16)
def _drawn_templates(period: float) -> Floats:
    return np.stack([_draw_template(period, tilt) for tilt in TILTS_DEGREES])


@lru_cache(maxsize=16)
def _template_area(period: float) -> float:
    return np.count_nonzero(_drawn_templates(period)) / len(TILTS_DEGREES)


@lru_cache(maxsize=64)
def _templates(period: float, shape: tuple[int, int]) -> NDArray[np.complex64]:
    """Return the transforms of the boxes at every tilt, their middles at the origin, ready to correlate."""
    reach, drawn = _template_reach(period), _drawn_templates(period)
    rows, columns = (length - drawn.shape[1] for length in shape)
    at_origin = np.roll(np.pad(drawn, ((0, 0), (0, rows), (0, columns))), (-reach, -reach), (1, 2))
    return np.asarray(np.conj(np.fft.rfft2(at_origin)), np.complex64)


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

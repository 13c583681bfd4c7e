"""Gaussian blurs, block sums and resampling of small images, the way numpy does them fastest.

``scipy.ndimage`` has the same filters and visits its taps one pixel at a time. Here a filter is a product
with a matrix that is mostly zeros, which takes a fraction of the time all the same.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
BLOCK = 32  # rows or columns that one product makes


def block_sums(pixels: NDArray[Any], side: int) -> NDArray[Any]:
    """Return the sums of square blocks; rows and columns that fill no block are left out.

    Parameters
    ----------
    pixels : ndarray of int or float, shape (H, W)
    side : int
        Of a block, pixels.

    Returns
    -------
    ndarray of int32 (of integers up to 16 bits) or float64, shape (H // side, W // side)
    """
    rows, columns = pixels.shape[0] // side * side, pixels.shape[1] // side * side
    wide = np.int32 if pixels.dtype.kind in "iu" and pixels.dtype.itemsize <= 2 else np.float64
    by_row: NDArray[Any] = pixels[:rows:side, :columns].astype(wide)
    for row in range(1, side):
        by_row += pixels[row:rows:side, :columns]
    summed = by_row[:, ::side].copy()
    for column in range(1, side):
        summed += by_row[:, column::side]
    return summed


def blur(image: Floats, sigma: float, *, truncate: float) -> Floats:
    """Return a Gaussian blur, the image continued as in a mirror (``ndimage.gaussian_filter``'s ``reflect``).

    Parameters
    ----------
    image : ndarray of float32, shape (H, W)
        Not empty.
    sigma : float
        Pixels.
    truncate : float
        Where the filter ends, in sigmas.
    """
    weights = _gaussian_weights(sigma, truncate)
    reach, (rows, columns) = len(weights) // 2, image.shape
    wide = np.pad(image, reach, mode="symmetric")
    band = _band(weights)
    down = np.empty((rows, wide.shape[1]), np.float32)
    for top in range(0, rows, BLOCK):
        part = down[top : top + BLOCK]
        n = len(part)
        np.matmul(band[:n, : n + 2 * reach], wide[top : top + n + 2 * reach], out=part)
    blurred = np.empty((rows, columns), np.float32)
    for left in range(0, columns, BLOCK):
        part = blurred[:, left : left + BLOCK]
        n = part.shape[1]
        np.matmul(down[:, left : left + n + 2 * reach], band[:n, : n + 2 * reach].T, out=part)
    return blurred


def _band(weights: Floats) -> Floats:
    """Return the matrix whose row i has the weights from column i on."""
    band = np.zeros((BLOCK, BLOCK + len(weights) - 1), np.float32)
    for tap, weight in enumerate(weights):
        np.fill_diagonal(band[:, tap:], weight)
    return band


def _gaussian_weights(sigma: float, truncate: float) -> Floats:
    reach = int(truncate * sigma + 0.5)
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / max(sigma, 1e-9)) ** 2)
    return np.asarray(weights / weights.sum(), np.float32)


@lru_cache(maxsize=64)
def blur_matrix(n: int, sigma: float, truncate: float) -> Floats:
    """Return the matrix, shape (n, n), that blurs n samples as :func:`blur` does."""
    return _filter_matrix(np.arange(n)[:, None], np.ones((1, 1)), n, sigma, truncate)


def resampling_matrix(n_from: int, n_to: int) -> Floats:
    """Return the matrix, shape (n_to, n_from), that blurs by what is lost and then interpolates linearly.

    Samples are the means of equal cells; the blur is a Gaussian of (n_from / n_to - 1) / 2 samples, cut off
    at four.
    """
    at = np.clip((np.arange(n_to) + 0.5) * n_from / n_to - 0.5, 0, n_from - 1)
    below = np.minimum(at.astype(int), max(n_from - 2, 0))
    share = at - below
    sources = np.stack([below, np.minimum(below + 1, n_from - 1)], axis=1)
    weights = np.stack([1 - share, share], axis=1)
    return _filter_matrix(sources, weights, n_from, max(n_from / n_to - 1, 0) / 2, 4)


def _filter_matrix(
    sources: NDArray[Any], shares: NDArray[Any], n: int, sigma: float, truncate: float
) -> Floats:
    """Return the matrix of sums of blurred samples: ``shares`` (., S) of the ``sources`` (., S) of n."""
    weights = _gaussian_weights(sigma, truncate)
    reach = len(weights) // 2
    seen = (sources[:, :, None] + np.arange(-reach, reach + 1)) % (2 * n)
    seen = np.where(seen < n, seen, 2 * n - 1 - seen)
    matrix = np.zeros((len(sources), n))
    np.add.at(matrix, (np.arange(len(sources))[:, None, None], seen), shares[:, :, None] * weights)
    return matrix.astype(np.float32)

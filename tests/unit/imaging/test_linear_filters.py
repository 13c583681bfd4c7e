"""The quick filters are scipy's, to rounding."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from spinescore.core.imaging.linear_filters import block_sums, blur, blur_matrix, resampling_matrix
from spinescore.core.imaging.spine_likeness import _best_chains, _greatest_around

SIDES = st.integers(1, 90)
CLOSE = {"rtol": 0, "atol": 2e-6}


def noise(*shape: int) -> NDArray[np.float32]:
    return np.random.default_rng(sum(shape)).random(shape).astype(np.float32)


@given(rows=SIDES, columns=SIDES, sigma=st.floats(0.3, 20), truncate=st.sampled_from([2.5, 3.0, 4.0]))
def test_a_blur_is_ndimages(rows: int, columns: int, sigma: float, truncate: float) -> None:
    image = noise(rows, columns)
    expected = ndimage.gaussian_filter(image.astype(float), sigma, truncate=truncate)
    down, across = (blur_matrix(n, sigma, truncate).astype(float) for n in image.shape)
    np.testing.assert_allclose(down @ image @ across.T, expected, **CLOSE)


@pytest.mark.parametrize("shape", [(1, 1), (7, 31), (32, 33), (64, 95), (300, 200)])
@pytest.mark.parametrize("sigma", [1, 4])
def test_a_blur_in_blocks_is_ndimages(shape: tuple[int, int], sigma: float) -> None:
    image = noise(*shape)
    expected = ndimage.gaussian_filter(image.astype(float), sigma, truncate=3)
    np.testing.assert_allclose(blur(image, sigma, truncate=3), expected, **CLOSE)
    strided = noise(*(2 * n for n in shape))[::2, ::2]
    expected = ndimage.gaussian_filter(strided.astype(float), sigma, truncate=3)
    np.testing.assert_allclose(blur(strided, sigma, truncate=3), expected, **CLOSE)


@given(n_from=st.integers(1, 400), n_to=st.integers(1, 200))
def test_resampling_is_a_blur_and_linear_interpolation(n_from: int, n_to: int) -> None:
    samples = noise(n_from).astype(float)
    blurred = ndimage.gaussian_filter(samples, max(n_from / n_to - 1, 0) / 2)
    at = (np.arange(n_to) + 0.5) * n_from / n_to - 0.5
    expected = ndimage.map_coordinates(blurred, [at], order=1, mode="nearest")
    np.testing.assert_allclose(resampling_matrix(n_from, n_to).astype(float) @ samples, expected, **CLOSE)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32, np.float32])
@pytest.mark.parametrize("side", [1, 2, 5])
def test_block_sums_hold_what_the_type_of_the_pixels_does_not(dtype: Any, side: int) -> None:
    greatest = np.iinfo(dtype).max if np.issubdtype(dtype, np.integer) else 7.5
    summed = block_sums(np.full((11, 13), greatest, dtype), side)
    assert summed.shape == (11 // side, 13 // side)
    assert (summed == float(greatest) * side**2).all()


@given(rows=st.integers(1, 70), half=st.integers(1, 12))
def test_the_greatest_around_is_ndimages(rows: int, half: int) -> None:
    values = noise(rows, 5)
    expected = ndimage.maximum_filter1d(values, 2 * half + 1, axis=0)
    np.testing.assert_array_equal(_greatest_around(values, half), expected)


def test_the_best_chain_is_the_one_that_trying_every_step_finds() -> None:
    responses = noise(9, 3, 4, 30)
    for n in range(3):
        total = responses[0, n]
        for row in responses[1:, n]:
            total = row + ndimage.maximum_filter(total, (3, 9), mode="constant", cval=-9)
        assert _best_chains(responses)[n] == pytest.approx(total.max() / 9, rel=1e-6)

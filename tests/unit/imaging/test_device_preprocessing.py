"""Preprocessing in torch gives the numbers of preprocessing in numpy, bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spinescore.core.imaging.device_preprocessing import can_prepare, prepare_on_device
from spinescore.core.imaging.preprocessing import PreprocessingSpec
from spinescore.core.imaging.raw_image import RawImage
from spinescore.errors import DecodingError

DTYPES = (np.uint8, np.int8, np.uint16, np.int16)


def draw_pixels(rng: np.random.Generator, dtype: Any, low: int, high: int) -> np.ndarray:
    """Draw an image whose edges may hold one value, as collimation leaves them."""
    height, width = rng.integers(2, 70, 2)
    pixels = rng.integers(low, high + 1, (height, width)).astype(dtype)
    pixels[: rng.integers(0, 3)] = pixels[0, 0]
    pixels[:, : rng.integers(0, 3)] = pixels[-1, -1]
    return pixels


@st.composite
def raw_images(draw: st.DrawFn) -> RawImage:
    dtype = draw(st.sampled_from(DTYPES))
    values = st.integers(np.iinfo(dtype).min, np.iinfo(dtype).max)
    low, high = sorted((draw(values), draw(values)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    pixels = draw_pixels(rng, dtype, low, high)
    padding = draw(st.one_of(st.none(), values, st.tuples(values, values), st.just(int(pixels[0, 0]))))
    kind = draw(st.sampled_from(("radiograph", "vfa")))
    return RawImage(pixels, kind, draw(st.sampled_from(("MONOCHROME1", "MONOCHROME2"))), padding)


@st.composite
def specs(draw: st.DrawFn) -> PreprocessingSpec:
    block_mean = draw(st.integers(1, 7))
    width = draw(st.integers(1 + (block_mean > 1), 20))
    return PreprocessingSpec(
        height=draw(st.integers(width, 40)),
        width=width,
        area_kept_radiograph=draw(st.floats(0.3, 1)),
        equalise=draw(st.booleans()),
        mask_borders=draw(st.booleans()),
        invert_monochrome1=draw(st.booleans()),
        block_mean=block_mean,
        eight_bit=draw(st.booleans()),
    )


@settings(max_examples=300, deadline=None)
@given(raw=raw_images(), spec=specs())
def test_the_device_gives_the_same_bits_or_knows_that_nothing_is_left(
    raw: RawImage, spec: PreprocessingSpec
) -> None:
    assert can_prepare(raw, spec)
    made = prepare_on_device(raw, spec, torch.from_numpy)
    try:
        expected = raw.preprocess(spec)
    except DecodingError:
        assert not made.usable
    else:
        assert made.usable
        assert made.canvas.dtype == torch.float32
        np.testing.assert_array_equal(made.canvas.numpy(), expected)


@pytest.mark.parametrize("shape", [(1500, 1200), (1200, 1500)])
def test_a_large_image_on_the_studys_canvas_has_the_same_bits(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(3)
    smooth = np.add.outer(np.sin(np.linspace(0, 9, shape[0])), np.cos(np.linspace(0, 7, shape[1])))
    pixels = (smooth * 900 + 2000 + rng.normal(0, 30, shape)).astype(np.uint16)
    raw = RawImage(pixels, "radiograph", "MONOCHROME1", (0, 300))
    spec = PreprocessingSpec()
    made = prepare_on_device(raw, spec, torch.from_numpy)
    np.testing.assert_array_equal(made.canvas.numpy(), raw.preprocess(spec))


@settings(max_examples=100, deadline=None)
@given(
    raw=raw_images(),
    spec=specs(),
    dtype=st.sampled_from((np.int32, np.int64)),
    offset=st.integers(-(10**6), 10**6),
)
def test_wider_integers_of_few_values_are_narrowed_without_a_trace(
    raw: RawImage, spec: PreprocessingSpec, dtype: Any, offset: int
) -> None:
    padding = raw.padding_value
    if padding is not None:
        padding = (
            (padding[0] + offset, padding[1] + offset) if isinstance(padding, tuple) else padding + offset
        )
    wide = RawImage(raw.pixels.astype(dtype) + offset, raw.kind, raw.photometric, padding)
    narrow = wide.in_sixteen_bits()
    assert narrow is not None
    assert narrow.pixels.dtype == np.uint16
    try:
        expected = wide.preprocess(spec)
    except DecodingError:
        with pytest.raises(DecodingError):
            narrow.preprocess(spec)
    else:
        np.testing.assert_array_equal(narrow.preprocess(spec), expected)


def test_what_the_device_cannot_do_exactly_it_leaves_alone() -> None:
    spec = PreprocessingSpec(height=8, width=8)
    floats = RawImage(np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8), "vfa", "MONOCHROME2")
    many = RawImage(np.array([[0, 1 << 16], [5, 6]], np.int32), "vfa", "MONOCHROME2")
    few = RawImage(np.array([[0, 255], [5, 6]], np.uint8), "vfa", "MONOCHROME2")
    assert floats.in_sixteen_bits() is None
    assert many.in_sixteen_bits() is None
    assert few.in_sixteen_bits() is few
    assert not can_prepare(floats, spec)
    assert not can_prepare(few, PreprocessingSpec(height=8, width=8, block_mean=8))
    assert not can_prepare(few, PreprocessingSpec(height=8, width=1, block_mean=2))

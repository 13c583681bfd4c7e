"""Preprocessing must agree with the plain OpenCV composition of METHOD.md's steps."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from spinescore.core.imaging.preprocessing import PreprocessingSpec, fit_size, preprocess
from spinescore.core.phantom.person import draw_people
from spinescore.core.phantom.radiograph import render
from spinescore.domain import Kind
from spinescore.errors import BundleError, DecodingError

SPECS = (PreprocessingSpec(), PreprocessingSpec(height=512, width=256))


def compose_with_opencv(
    pixels: NDArray[Any],
    kind: Kind,
    photometric: str,
    spec: PreprocessingSpec,
    outside: NDArray[np.bool_] | None = None,
) -> NDArray[np.float32]:
    """METHOD.md steps 1-5 by OpenCV; ``outside`` takes no part and becomes 0."""
    values = pixels.astype(np.float64) if pixels.dtype.kind == "f" else pixels.astype(np.int64)
    outside = np.zeros(pixels.shape, bool) if outside is None else outside
    low, high = values[~outside].min(), values[~outside].max()
    if photometric == "MONOCHROME1":
        values = low + high - values
    levels = np.floor((values.clip(low, high) - low) / (high - low) * 255).astype(np.uint8)
    if pixels.dtype.kind != "f":
        levels = ((values.clip(low, high) - low) * 255 // (high - low)).astype(np.uint8)
    equalised = np.zeros(pixels.shape, np.float32)
    equalised[~outside] = cv2.equalizeHist(levels[~outside][None])[0]
    scaled = equalised / np.float32(255)
    height, width = pixels.shape
    side = math.sqrt(spec.area_kept(kind))
    rows, columns = max(1, int(height * side)), max(1, int(width * side))
    top, left = (height - rows) // 2, (width - columns) // 2
    scaled = np.ascontiguousarray(scaled[top : top + rows, left : left + columns])
    new_height, new_width = fit_size(rows, columns, spec)
    resized = cv2.resize(scaled, (new_width, new_height), interpolation=cv2.INTER_LINEAR)
    canvas = np.zeros((spec.height, spec.width), np.float32)
    y, x = (spec.height - new_height) // 2, (spec.width - new_width) // 2
    canvas[y : y + new_height, x : x + new_width] = resized
    return canvas


def assert_agrees(ours: NDArray[np.float32], theirs: NDArray[np.float32]) -> None:
    difference = np.abs(ours - theirs)
    assert difference.max() <= 1 / 255
    assert difference.mean() <= 1e-4


@settings(max_examples=60)
@given(
    height=st.integers(64, 900),
    width=st.integers(64, 900),
    bits=st.integers(8, 16),
    kind=st.sampled_from(["radiograph", "vfa"]),
    photometric=st.sampled_from(["MONOCHROME1", "MONOCHROME2"]),
    spec=st.sampled_from(SPECS),
    signed=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_agrees_with_opencv_at_any_size_and_depth(
    height: int,
    width: int,
    bits: int,
    kind: Kind,
    photometric: str,
    spec: PreprocessingSpec,
    signed: bool,
    seed: int,
) -> None:
    rng = np.random.default_rng(seed)
    pixels = rng.gamma(2, 2**bits / 12, (height, width)).clip(0, 2**bits - 1).astype(np.uint16)
    values = pixels.astype(np.int32) - 2 ** (bits - 1) if signed else pixels
    ours = preprocess(values, kind=kind, photometric=photometric, spec=spec)
    assert ours.shape == (spec.height, spec.width)
    assert ours.dtype == np.float32
    assert_agrees(ours, compose_with_opencv(values, kind, photometric, spec))


@pytest.mark.parametrize("kind", ["radiograph", "vfa"])
def test_agrees_with_opencv_on_phantoms(kind: Kind) -> None:
    for person in draw_people(6, seed=31, cohort="derivation" if kind == "radiograph" else "vfa"):
        rendered = render(person, kind=kind, seed=31)
        for spec in SPECS:
            ours = preprocess(rendered.pixels, kind=kind, photometric=rendered.photometric, spec=spec)
            assert_agrees(ours, compose_with_opencv(rendered.pixels, kind, rendered.photometric, spec))


def test_padding_takes_no_part_and_becomes_zero() -> None:
    rng = np.random.default_rng(5)
    pixels = rng.integers(100, 4000, (300, 200)).astype(np.uint16)
    pixels[:40], pixels[:, :30] = 0, 1
    spec = PreprocessingSpec(height=512, width=256)
    ours = preprocess(pixels, kind="vfa", photometric="MONOCHROME2", spec=spec, padding_value=(0, 1))
    assert_agrees(ours, compose_with_opencv(pixels, "vfa", "MONOCHROME2", spec, outside=pixels <= 1))
    inverted = preprocess(pixels, kind="vfa", photometric="MONOCHROME1", spec=spec, padding_value=(0, 1))
    assert (inverted[:40] == 0).all()


def test_masked_borders_take_no_part_and_become_zero() -> None:
    rng = np.random.default_rng(6)
    pixels = np.full((400, 300), 65535, np.uint16)
    outside = np.ones(pixels.shape, bool)
    outside[50:360, 20:270] = False
    pixels[~outside] = rng.integers(100, 4000, (310 * 250))
    spec = PreprocessingSpec(height=512, width=256, mask_borders=True)
    ours = preprocess(pixels, kind="radiograph", photometric="MONOCHROME2", spec=spec)
    assert_agrees(ours, compose_with_opencv(pixels, "radiograph", "MONOCHROME2", spec, outside))


def test_twins_of_either_polarity_look_alike() -> None:
    rng = np.random.default_rng(7)
    pixels = (rng.integers(0, 256, (128, 100)) * 257).astype(np.uint16)  # spans 255 steps: no rounding apart
    spec = PreprocessingSpec(height=128, width=64)
    twin = preprocess(65535 - pixels, kind="vfa", photometric="MONOCHROME1", spec=spec)
    assert np.array_equal(twin, preprocess(pixels, kind="vfa", photometric="MONOCHROME2", spec=spec))


@given(slope=st.floats(0.01, 50), intercept=st.floats(-5000, 5000))
@settings(max_examples=25)
def test_a_rescale_hardly_matters(slope: float, intercept: float) -> None:
    """Equalisation makes a linear rescale irrelevant but for levels that fall on a boundary."""
    pixels = np.random.default_rng(8).integers(0, 4096, (150, 120)).astype(np.uint16)
    spec = PreprocessingSpec(height=128, width=64)
    plain = preprocess(pixels, kind="vfa", photometric="MONOCHROME2", spec=spec)
    scaled = preprocess(pixels * slope + intercept, kind="vfa", photometric="MONOCHROME2", spec=spec)
    assert np.abs(plain - scaled).max() < 0.02


def test_floats_agree_with_opencv() -> None:
    pixels = np.random.default_rng(9).normal(size=(333, 217))
    ours = preprocess(pixels, kind="radiograph", photometric="MONOCHROME2", spec=SPECS[1])
    assert_agrees(ours, compose_with_opencv(pixels, "radiograph", "MONOCHROME2", SPECS[1]))


@pytest.mark.parametrize("pixels", [np.full((70, 70), 7, np.uint16), np.full((70, 70), 1.5)])
@pytest.mark.parametrize("mask_borders", [False, True])
def test_a_constant_image_is_refused(pixels: NDArray[Any], mask_borders: bool) -> None:
    spec = PreprocessingSpec(mask_borders=mask_borders)
    with pytest.raises(DecodingError) as caught:
        preprocess(pixels, kind="vfa", photometric="MONOCHROME2", spec=spec)
    assert caught.value.reason == "constant_image"


def test_the_id_changes_with_every_parameter_and_survives_the_manifest() -> None:
    spec = PreprocessingSpec(height=512, width=256)
    assert PreprocessingSpec.from_dict(spec.to_dict()) == spec
    changed = [
        PreprocessingSpec(height=640, width=256),
        PreprocessingSpec(height=512, width=128),
        PreprocessingSpec(height=512, width=256, area_kept_radiograph=0.9),
        PreprocessingSpec(height=512, width=256, area_kept_vfa=0.9),
        PreprocessingSpec(height=512, width=256, equalise=False),
        PreprocessingSpec(height=512, width=256, mask_borders=True),
        PreprocessingSpec(height=512, width=256, invert_monochrome1=False),
        PreprocessingSpec(height=512, width=256, eight_bit=True),
        PreprocessingSpec(height=512, width=256, version=2),
    ]
    assert len({s.preprocessing_id for s in [spec, *changed]}) == len(changed) + 1


def test_an_unknown_or_impossible_parameter_is_an_error() -> None:
    with pytest.raises(BundleError, match="sharpen"):
        PreprocessingSpec.from_dict({"sharpen": True})
    with pytest.raises(BundleError, match="as tall as wide"):
        PreprocessingSpec.from_dict({"height": 100, "width": 200})


def test_padding_of_fractional_pixels_is_black_in_either_polarity() -> None:
    values = np.random.default_rng(0).integers(0, 4096, (96, 80)) * 0.5
    values[:20] = 2.5
    spec = PreprocessingSpec(height=96, width=80, equalise=False)
    one = preprocess(values, kind="vfa", photometric="MONOCHROME2", spec=spec, padding_value=(2.5, 2.5))
    twin = preprocess(
        2047.5 - values, kind="vfa", photometric="MONOCHROME1", spec=spec, padding_value=(2045, 2045)
    )
    assert one[:20].max() == twin[:20].max() == 0
    assert np.abs(one - twin).max() <= 1 / 255 + 1e-6


@pytest.mark.parametrize("side", [2, 4])
def test_a_block_mean_is_the_mean_of_the_larger_canvas(side: int) -> None:
    pixels = np.random.default_rng(3).integers(0, 4096, (300, 210)).astype(np.uint16)
    large = PreprocessingSpec(height=128, width=64)
    small = large.shrunk(side)
    shown = {"kind": "radiograph", "photometric": "MONOCHROME1"}
    whole, averaged = (preprocess(pixels, spec=spec, **shown) for spec in (large, small))
    assert averaged.shape == (128 // side, 64 // side)
    for row, column in ((3, 5), (17, 9), (31, 15)):
        block = whole[row * side : (row + 1) * side, column * side : (column + 1) * side]
        assert averaged[row, column] == pytest.approx(float(block.mean()), abs=1e-6)
    assert small.unshrunk() == large
    assert small.preprocessing_id != PreprocessingSpec(height=128 // side, width=64 // side).preprocessing_id


def test_a_spec_without_blocks_keeps_the_id_it_had_before_there_were_any() -> None:
    spec = PreprocessingSpec(height=256, width=128)
    assert not {"block_mean", "eight_bit"} & set(spec.to_dict())
    assert PreprocessingSpec.from_dict(spec.shrunk(2).to_dict()) == spec.shrunk(2)
    assert spec.preprocessing_id == "a15e65dc3494b055"  # of the first demonstration model
    with pytest.raises(BundleError, match="one pixel or more"):
        PreprocessingSpec.from_dict({"block_mean": 0})


@pytest.mark.parametrize("side", [1, 2])
def test_eight_bit_images_are_what_training_kept_as_bytes(side: int) -> None:
    pixels = np.random.default_rng(5).integers(0, 4096, (300, 210)).astype(np.uint16)
    shown = {"kind": "radiograph", "photometric": "MONOCHROME2"}
    exact = PreprocessingSpec(height=128, width=64)
    kept = np.rint(preprocess(pixels, spec=exact, **shown) * 255).astype(np.uint8)
    blocks = (kept / np.float32(255)).reshape(128 // side, side, 64 // side, side)
    made = preprocess(pixels, spec=replace(exact, eight_bit=True).shrunk(side), **shown)
    np.testing.assert_array_equal(made, blocks.mean(axis=(1, 3), dtype=np.float32))
    assert PreprocessingSpec.from_dict(replace(exact, eight_bit=True).to_dict()).eight_bit

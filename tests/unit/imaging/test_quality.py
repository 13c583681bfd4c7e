"""Each flag is raised by what it is named after, and by hardly any clean image."""

from __future__ import annotations

from dataclasses import asdict, fields
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray
from scipy import ndimage

from spinescore.core.eligibility.rule_set import Threshold
from spinescore.core.imaging.quality import QualityMeasures, measure_quality, quality_flags
from spinescore.core.phantom.person import draw_people
from spinescore.core.phantom.radiograph import Rendered, render
from tests.unit.imaging.impostors import IMPOSTORS

THRESHOLDS = {
    "low_contrast": Threshold("contrast", below=0.12),
    "clipped": Threshold("clipped_high_share", above=0.1),
    "saturated": Threshold("saturated_share", above=0.1),
    "collimated": Threshold("collimated_share", above=0.6),
    "blurred": Threshold("sharpness", below=0.1),
    "low_information": Threshold("contrast", below=0.045),
    "not_spine_like": Threshold("spine_likeness", below=0.4),
}
MOST_CLEAN_FLAGGED = 0.02  # of images, by any one flag
N_PHANTOMS = 100
Pixels = NDArray[Any]


@pytest.fixture(scope="module")
def phantoms() -> list[Rendered]:
    """A hundred small phantoms of each kind."""
    return [
        render(person, kind=kind, seed=5, height=256)
        for kind, cohort in (("radiograph", "derivation"), ("vfa", "vfa"))
        for person in draw_people(N_PHANTOMS, seed=5, cohort=cohort)
    ]


@pytest.fixture(scope="module")
def clean(phantoms: list[Rendered]) -> list[QualityMeasures]:
    return [measure(image) for image in phantoms]


def measure(image: Rendered, pixels: Pixels | None = None, **more: Any) -> QualityMeasures:
    shown = image.pixels if pixels is None else pixels
    return measure_quality(shown, photometric=image.photometric, **more)


def full_scale(image: Rendered) -> int:
    return 2**image.bits_stored - 1


def brighten(image: Rendered) -> Pixels:
    """Return the image in MONOCHROME2 polarity, whatever it is stored as."""
    return full_scale(image) - image.pixels if image.photometric == "MONOCHROME1" else image.pixels


def store(image: Rendered, bright: Pixels) -> Pixels:
    full = full_scale(image)
    return (full - bright if image.photometric == "MONOCHROME1" else bright).astype(image.pixels.dtype)


def blur(image: Rendered) -> Pixels:
    blurred = ndimage.gaussian_filter(image.pixels.astype(float), 0.012 * len(image.pixels))
    return np.rint(blurred).astype(image.pixels.dtype)


def flatten(image: Rendered, levels: int) -> Pixels:
    return np.rint(image.pixels / full_scale(image) * levels + 100).astype(np.uint8)


def clip(image: Rendered) -> Pixels:
    bright = brighten(image)
    return store(image, np.minimum(bright, int(np.quantile(bright, 0.7))))


def collimate(image: Rendered) -> Pixels:
    rows, columns = image.pixels.shape
    bright = np.zeros_like(brighten(image))
    inside = np.s_[rows // 4 : 3 * rows // 4, columns // 4 : 3 * columns // 4]
    bright[inside] = brighten(image)[inside]
    return store(image, bright)


@pytest.mark.parametrize("flag", THRESHOLDS)
def test_hardly_any_clean_phantom_of_either_kind_is_flagged(clean: list[QualityMeasures], flag: str) -> None:
    flagged = [flag in quality_flags(measures, THRESHOLDS) for measures in clean]
    assert np.mean(flagged) <= MOST_CLEAN_FLAGGED


@pytest.mark.parametrize(
    ("flag", "degrade"),
    [
        ("blurred", blur),
        ("low_contrast", partial(flatten, levels=20)),
        ("low_information", partial(flatten, levels=8)),
        ("clipped", clip),
        ("saturated", clip),
        ("collimated", collimate),
    ],
)
@pytest.mark.parametrize("kind", ["radiograph", "vfa"])
def test_each_flag_is_raised_by_its_degradation(
    phantoms: list[Rendered], kind: str, flag: str, degrade: Any
) -> None:
    tried = [image for image in phantoms if image.kind == kind][:25]
    flagged = [flag in quality_flags(measure(image, degrade(image)), THRESHOLDS) for image in tried]
    assert np.mean(flagged) >= 0.9


def test_one_hot_pixel_that_leaves_the_rest_few_levels_is_low_contrast(phantoms: list[Rendered]) -> None:
    image = phantoms[-1]
    hot = image.pixels.astype(np.int32)
    hot[7, 7] = 30 * full_scale(image)
    assert "low_contrast" in quality_flags(measure(image, hot), THRESHOLDS)


@pytest.mark.parametrize("name", ["chest", "white noise", "clouds", "ramp", "skull"])
def test_what_is_no_spine_is_mostly_flagged(name: str) -> None:
    draws = [IMPOSTORS[name](np.random.default_rng(seed)) for seed in range(12)]
    flagged = [
        "not_spine_like" in quality_flags(measure_quality(d, photometric="MONOCHROME2"), THRESHOLDS)
        for d in draws
    ]
    assert np.mean(flagged) >= 0.75


@pytest.mark.parametrize("name", IMPOSTORS)
def test_every_impostor_is_less_like_a_spine_than_nine_phantoms_in_ten(
    clean: list[QualityMeasures], name: str
) -> None:
    spines = [measures.spine_likeness for measures in clean]
    draws = [IMPOSTORS[name](np.random.default_rng(seed)) for seed in range(12)]
    likeness = [measure_quality(d, photometric="MONOCHROME2").spine_likeness for d in draws]
    assert np.median(likeness) < np.quantile(spines, 0.1)


def test_a_spine_on_its_side_is_less_like_a_spine(phantoms: list[Rendered]) -> None:
    upright = [measure(image).spine_likeness for image in phantoms[::5]]
    lying = [measure(image, np.ascontiguousarray(image.pixels.T)).spine_likeness for image in phantoms[::5]]
    assert np.mean(np.array(lying) < np.array(upright)) >= 0.95


def test_either_polarity_of_an_image_measures_the_same(phantoms: list[Rendered]) -> None:
    for image in phantoms[::20]:
        twin = "MONOCHROME2" if image.photometric == "MONOCHROME1" else "MONOCHROME1"
        inverted = (full_scale(image) - image.pixels).astype(image.pixels.dtype)
        ours, theirs = measure(image), measure_quality(inverted, photometric=twin)
        assert asdict(ours) == pytest.approx(asdict(theirs), abs=0.01)


def test_padding_is_outside_the_field_and_outside_the_range(phantoms: list[Rendered]) -> None:
    image = next(i for i in phantoms if i.bits_stored == 12)
    padded = image.pixels.copy()
    padded[:128] = 65535
    measures = measure(image, padded, padding_value=65535)
    assert measures.collimated_share >= 0.5
    assert measures.contrast > 0.3


def test_only_what_lies_beyond_a_threshold_is_flagged() -> None:
    measures = QualityMeasures(*[0.5] * len(fields(QualityMeasures)))
    limits = {
        "beyond": Threshold("contrast", below=0.6),
        "within": Threshold("contrast", below=0.5),
        "above": Threshold("sharpness", above=0.4),
        "not above": Threshold("sharpness", above=0.5),
    }
    assert quality_flags(measures, limits) == ("beyond", "above")


@given(
    pixels=arrays(
        st.sampled_from([np.uint8, np.uint16, np.int16, np.int32, np.float64]),
        array_shapes(min_dims=2, max_dims=2, min_side=64, max_side=90),
        elements={"min_value": 0, "max_value": 200},
        fill=st.just(7),
    ),
    padding=st.sampled_from([None, 7, (0, 300)]),
)
@settings(max_examples=40)
def test_any_image_has_finite_measures_within_their_range(pixels: Pixels, padding: Any) -> None:
    measures = asdict(measure_quality(pixels, photometric="MONOCHROME1", padding_value=padding))
    assert all(np.isfinite(value) for value in measures.values())
    assert all(0 <= measures[name] <= 1 for name in measures if name != "sharpness")


@pytest.mark.parametrize("dtype", [np.int16, np.uint16, np.int32, np.float32])
def test_the_most_frequent_value_is_found_over_the_whole_range_of_a_type(dtype: Any) -> None:
    lowest, highest = (-32768, 32767) if dtype != np.uint16 else (0, 65535)
    values = np.random.default_rng(3).integers(lowest, highest + 1, (64, 64))
    values[8:40, 16:48] = highest
    values[0, 0] = lowest
    measures = measure_quality(values.astype(dtype), photometric="MONOCHROME2")
    assert measures.saturated_share == pytest.approx(32 * 32 / 64**2, abs=0.01)

"""Images: deterministic, legible, and telling age by anatomy alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spinescore.core.phantom.acquisition import (
    RADIOGRAPH_DEVICES,
    VFA_DEVICES,
    draw_acquisition,
)
from spinescore.core.phantom.anatomy import HEIGHT_MM, LEVELS, SIGNS, build_spine, draw_signs, tilt_spine
from spinescore.core.phantom.mark import draw_mark, place_mark
from spinescore.core.phantom.person import draw_people
from spinescore.core.phantom.radiograph import lay_anatomy, place_field, render

KINDS = ("radiograph", "vfa")


@pytest.fixture(scope="module")
def people():
    return draw_people(600, seed=21, cohort="derivation")


def show(rendered):
    """Bone bright, 0..1."""
    value = rendered.pixels / float((1 << rendered.bits_stored) - 1)
    return 1 - value if rendered.photometric == "MONOCHROME1" else value


@pytest.mark.parametrize("kind", KINDS)
def test_rendering_is_deterministic_in_subject_kind_and_seed(people, kind):
    first = render(people[0], kind=kind, seed=1, height=360)
    again = render(people[0], kind=kind, seed=1, height=360)
    assert np.array_equal(first.pixels, again.pixels)
    for other in (
        render(people[1], kind=kind, seed=1, height=360),
        render(people[0], kind=kind, seed=2, height=360),
        render(people[0], kind=KINDS[kind == "radiograph"], seed=1, height=360),
    ):
        assert other.pixels.shape != first.pixels.shape or not np.array_equal(other.pixels, first.pixels)


@pytest.mark.parametrize("kind", KINDS)
def test_every_image_carries_the_same_mark(people, kind):
    for person in people[:12]:
        rendered = render(person, kind=kind, seed=3)
        rows, columns = rendered.pixels.shape
        mark = show(rendered)[place_mark(rows, columns)]
        assert np.array_equal(mark, draw_mark(rows).astype(float))
        assert draw_mark(rows).shape == (18, 86)


@pytest.mark.parametrize("kind", KINDS)
def test_the_mark_covers_no_vertebra(kind):
    for person in draw_people(150, seed=22, cohort="vfa"):
        acquisition = draw_acquisition(person.subject_id, kind=kind, seed=22)
        spine = tilt_spine(build_spine(person, seed=22), acquisition.tilt_rad)
        grid = place_field(spine, acquisition)
        height, width = (np.array(draw_mark(acquisition.rows).shape) + 20) * acquisition.spacing_mm
        for v in spine.vertebrae[:17]:
            x, y = v.x_mm - grid.left_mm, v.y_mm - grid.top_mm
            x = acquisition.field_mm[1] - x if acquisition.facing_right else x
            inside = 0 < x < acquisition.field_mm[1] and 0 < y < acquisition.field_mm[0]
            clear = x - v.depth_mm / 2 > width or y + v.anterior_mm / 2 < acquisition.field_mm[0] - height
            assert clear or not inside


def test_acquisition_is_independent_of_age_sex_and_gap(people):
    """Only the identifier reaches the drawing; still, no drawn quantity may follow the person."""
    traits = np.array([(p.age_years, p.gap_years, p.sex == "F") for p in people], float)
    for kind in KINDS:
        drawn = [draw_acquisition(p.subject_id, kind=kind, seed=21) for p in people]
        table = np.array(
            [
                (
                    a.rows,
                    a.columns,
                    a.spacing_mm,
                    a.centre_level,
                    a.tilt_rad,
                    a.facing_right,
                    sum(a.collimation),
                    a.shutter,
                    a.blur_mm,
                    a.scatter,
                    a.compression,
                    a.noise,
                    a.line_noise,
                    *a.window,
                    a.gamma,
                    a.device.bits_stored,
                    a.device.photometric == "MONOCHROME1",
                    a.device.manufacturer == "Phantomed",
                )
                for a in drawn
            ],
            float,
        )
        table = table[:, table.std(axis=0) > 1e-9]
        r = np.corrcoef(table.T, traits.T)[: table.shape[1], table.shape[1] :]
        assert np.abs(r).max() < 4 / np.sqrt(len(people))


def test_acquisition_of_another_person_with_the_same_id_is_the_same(people):
    older = replace(people[0], age_years=people[0].age_years + 20, sex="M", prevalent_vertebral_fracture=1)
    assert render(older, kind="vfa", seed=4).acquisition == render(people[0], kind="vfa", seed=4).acquisition


def test_the_cohort_shows_every_shape_depth_and_polarity(people):
    for kind, devices in (("radiograph", RADIOGRAPH_DEVICES), ("vfa", VFA_DEVICES)):
        drawn = [draw_acquisition(p.subject_id, kind=kind, seed=21) for p in people]
        assert {a.device for a in drawn} == set(devices)
        if kind == "vfa":
            assert all(a.columns < 0.6 * a.rows for a in drawn)
            assert {a.device.bits_stored for a in drawn} == {8, 16}
        else:
            assert 0.1 < np.mean([a.columns > a.rows for a in drawn]) < 0.5
            assert {a.device.photometric for a in drawn} == {"MONOCHROME1", "MONOCHROME2"}
            assert all(12 <= a.device.bits_stored <= 16 for a in drawn)
        assert max(max(a.rows, a.columns) for a in drawn) <= 1500


def test_one_vfa_device_tells_the_view_by_protocol_name_alone():
    silent = [d for d in VFA_DEVICES if not d.names_view and not d.names_body_part]
    assert [(d.modality, d.protocol_name, d.study_description) for d in silent] == [("CR", "LVA", "DXA Exam")]


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_shows_the_thoracolumbar_junction(people, kind):
    """Fractures seek T11-L2 first, so a prevalent fracture is always in the picture."""
    for person in people[:200]:
        acquisition = draw_acquisition(person.subject_id, kind=kind, seed=21)
        spine = tilt_spine(build_spine(person, seed=21), acquisition.tilt_rad)
        grid = place_field(spine, acquisition)
        tall, wide = acquisition.field_mm
        for level in ("T11", "T12", "L1", "L2"):
            v = spine.find(level)
            assert 0 < v.x_mm - grid.left_mm < wide
            assert 0 < v.y_mm - grid.top_mm < tall


def test_a_prevalent_fracture_is_a_vertebra_of_reduced_height(people):
    for person in people:
        spine = build_spine(person, seed=21)
        broken = [v for v in spine.vertebrae if v.fractured]
        assert bool(broken) == bool(person.prevalent_vertebral_fracture)
        for v in broken:
            middle = (v.anterior_mm + v.posterior_mm) / 2 - 2 * v.concavity_mm
            normal = HEIGHT_MM[LEVELS.index(v.level)] * spine.size
            assert min(v.anterior_mm, middle) < 0.8 * normal


def test_bone_is_brighter_than_the_disc_beside_it(people):
    contrast = []
    for person in people[:10]:
        acquisition = draw_acquisition(person.subject_id, kind="radiograph", seed=21)
        spine = tilt_spine(build_spine(person, seed=21), 0.0)
        grid = place_field(spine, acquisition)
        bone, _ = lay_anatomy(spine, grid, replace(acquisition, facing_right=False), np.random.default_rng(0))
        low, high = spine.find("L2"), spine.find("L1")

        def at(x, y, bone=bone, grid=grid):
            return bone[
                round((y - grid.top_mm) / grid.spacing_mm), round((x - grid.left_mm) / grid.spacing_mm)
            ]

        below_edge = (high.posterior_mm + high.anterior_mm) / 4
        above_edge = (low.posterior_mm + low.anterior_mm) / 4
        share = (below_edge + np.hypot(high.x_mm - low.x_mm, high.y_mm - low.y_mm) - above_edge) / 2
        share /= np.hypot(high.x_mm - low.x_mm, high.y_mm - low.y_mm)
        disc = at(high.x_mm + share * (low.x_mm - high.x_mm), high.y_mm + share * (low.y_mm - high.y_mm))
        contrast.append(at(low.x_mm, low.y_mm) - disc)
    assert min(contrast) > 0.1


@pytest.mark.parametrize("name", SIGNS)
def test_each_sign_follows_biological_age(people, name):
    values = np.array([draw_signs(p, seed=21)[name] for p in people])
    ages = np.array([p.biological_age_years for p in people])
    r = np.corrcoef(values, ages)[0, 1]
    assert r * np.sign(SIGNS[name].at_95 - SIGNS[name].at_40) > 0.8


def test_the_signs_together_tell_biological_age_beyond_chronological_age():
    people = draw_people(1200, seed=23, cohort="derivation")
    signs = np.array([[*draw_signs(p, seed=23).values(), 1.0] for p in people])
    biological = np.array([p.biological_age_years for p in people])
    gap = np.array([p.gap_years for p in people])
    beta, *_ = np.linalg.lstsq(signs[:800], biological[:800], rcond=None)
    read = signs[800:] @ beta
    assert np.sqrt(np.mean((read - biological[800:]) ** 2)) < 2.2
    assert np.corrcoef(read - biological[800:] + gap[800:], gap[800:])[0, 1] > 0.8


@settings(max_examples=12)
@given(height=st.integers(220, 700), subject=st.integers(0, 20), kind=st.sampled_from(KINDS))
def test_any_height_gives_an_image_of_that_height_that_uses_its_range(height, subject, kind):
    person = draw_people(subject + 1, seed=24, cohort="vfa")[subject]
    rendered = render(person, kind=kind, seed=24, height=height)
    assert rendered.pixels.shape[0] == height
    assert rendered.pixels.dtype == (np.uint8 if rendered.bits_stored == 8 else np.uint16)
    assert rendered.pixels.max() <= (1 << rendered.bits_stored) - 1
    assert np.ptp(np.quantile(show(rendered), (0.05, 0.95))) > 0.2

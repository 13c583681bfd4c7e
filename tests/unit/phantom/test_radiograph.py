"""Images: deterministic, legible, and telling age by anatomy alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spinescore.core.phantom.acquisition import (
    METALS,
    RADIOGRAPH_DEVICES,
    VFA_DEVICES,
    draw_acquisition,
)
from spinescore.core.phantom.anatomy import SIGNS, build_spine, draw_signs, tilt_spine
from spinescore.core.phantom.fracture import TYPES, grade_height_loss
from spinescore.core.phantom.mark import draw_mark, place_mark
from spinescore.core.phantom.person import draw_people
from spinescore.core.phantom.radiograph import lay_anatomy, place_field, render
from spinescore.core.phantom.vertebra import measure_body

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
                    a.exposure == "under",
                    a.exposure == "over",
                    a.metal != "none",
                    a.blades_rad,
                    a.cut_off,
                    a.heel,
                    a.grid_lines,
                    a.grid_period_px,
                    len(a.marker),
                    *a.marker_place,
                    a.marker_rad,
                    a.ruler,
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


def test_a_prevalent_fracture_is_a_broken_vertebra_and_nothing_else_is(people):
    grades = set()
    for person in people:
        broken = [v for v in build_spine(person, seed=21).vertebrae if v.fractured]
        assert bool(broken) == bool(person.prevalent_vertebral_fracture)
        assert all(v.fracture in TYPES for v in broken)
        grades |= {(v.fracture, v.genant_grade) for v in broken}
    assert grades == {(kind, grade) for kind in TYPES for grade in (1, 2, 3)}


def measure_heights_mm(vertebra):
    """Heights of the drawn body between its four corners and in the middle, counted on a fine raster."""
    us = np.array([-1.0, 0.0, 1.0]) * vertebra.depth_mm / 2
    step_mm = 0.01
    vs = np.arange(-25, 25, step_mm)[:, None]
    to_endplate, _ = measure_body(us[None, :], vs, vertebra)
    return (to_endplate > 0).sum(axis=0) * step_mm


def test_the_height_a_broken_vertebra_lost_is_that_of_its_genant_grade(people):
    measured = 0
    for person in people:
        if not person.prevalent_vertebral_fracture:
            continue
        before = build_spine(replace(person, prevalent_vertebral_fracture=0), seed=21).vertebrae
        for was, now in zip(before, build_spine(person, seed=21).vertebrae, strict=True):
            was = replace(was, depth_mm=now.depth_mm)
            lost = 1 - measure_heights_mm(now) / measure_heights_mm(was)
            assert grade_height_loss(max(lost)) == now.genant_grade
            front, middle, back = lost
            if now.fracture == "wedge":
                assert front > middle > back
            elif now.fracture == "biconcave":
                assert middle > max(front, back)
            elif now.fracture == "crush":
                assert min(lost) > 0.8 * max(lost)
            measured += now.genant_grade > 0
    assert measured > 100


@pytest.mark.parametrize("kind", KINDS)
def test_long_fields_show_t4_to_s1(people, kind):
    """A VFA scan is long unless it was cut short; of radiographs, the long cassettes are."""
    seen = 0
    for person in people:
        acquisition = draw_acquisition(person.subject_id, kind=kind, seed=21)
        if acquisition.field_mm[0] < (405 if kind == "vfa" else 505):
            continue
        spine = tilt_spine(build_spine(person, seed=21), acquisition.tilt_rad)
        grid = place_field(spine, acquisition)
        top, bottom = grid.top_mm, grid.top_mm + acquisition.field_mm[0]
        highest = spine.find("T4").y_mm
        seen += top < highest and bottom > (spine.find("L5").y_mm if kind == "vfa" else 0.0)
        if kind == "radiograph":
            assert top < highest
            assert bottom > 0.0
    assert seen > (400 if kind == "vfa" else 40)


def test_about_as_many_images_are_cut_short_poorly_exposed_or_show_metal_as_the_page_says(people):
    drawn = [draw_acquisition(p.subject_id, kind="radiograph", seed=21) for p in people]
    three_sigma = 3 * np.sqrt(0.25 / len(people))
    assert abs(np.mean([a.field_mm[0] < 310 for a in drawn]) - 0.10) < three_sigma * 0.6
    assert abs(np.mean([a.exposure != "right" for a in drawn]) - 0.08) < three_sigma * 0.6
    assert abs(np.mean([a.metal != "none" for a in drawn]) - 0.04) < three_sigma * 0.4
    assert 0.15 < np.mean([a.grid_lines > 0 for a in drawn]) < 0.35
    assert {a.metal for a in drawn} == set(METALS)
    scans = [draw_acquisition(p.subject_id, kind="vfa", seed=21) for p in people]
    assert abs(np.mean([a.field_mm[0] < 400 for a in scans]) - 0.10) < three_sigma * 0.6


@pytest.mark.parametrize("metal", METALS)
def test_metal_is_brighter_than_bone_and_changes_nothing_else(people, metal):
    drawn = draw_acquisition(people[0].subject_id, kind="radiograph", seed=21)
    acquisition = replace(
        drawn, rows=900, columns=750, spacing_mm=0.6, centre_level=5.0, metal="none", facing_right=False
    )
    spine = build_spine(people[0], seed=21)
    grid = place_field(spine, acquisition)
    plain, _ = lay_anatomy(spine, grid, acquisition, np.random.default_rng(0))
    held, _ = lay_anatomy(spine, grid, replace(acquisition, metal=metal), np.random.default_rng(0))
    changed = held != plain
    assert changed.any() == (metal != "none")
    assert changed.mean() < 0.05
    assert (held >= plain).all()


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

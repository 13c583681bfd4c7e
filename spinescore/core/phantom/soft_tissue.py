"""What surrounds the spine: flesh, lungs and their vessels, two hemidiaphragms, gas, a calcified aorta."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from spinescore.core.phantom.canvas import Floats, Grid, capsule_distance, ease, fill_edge, grow_mesh
from spinescore.core.phantom.spine import Spine

WATER_PER_MM = 0.0165  # log attenuation of a millimetre of soft tissue in a broad beam
COARSE = 4


def lay_soft_tissue(grid: Grid, spine: Spine, rng: np.random.Generator) -> Floats:
    """Return the log attenuation of soft tissue on a grid coarsened ``COARSE`` times."""
    coarse = grid.coarsen(COARSE)
    xs, ys = coarse.xs, coarse.ys
    body = _Body(coarse, spine)
    fine = grow_mesh(rng, (ys.size, xs.size), 3.0 / coarse.spacing_mm)
    broad = grow_mesh(rng, (ys.size, xs.size), 12.0 / coarse.spacing_mm)
    thickness = _lay_flesh(body, spine, rng) * (1 + 0.026 * broad + 0.007 * fine)
    lung = _lay_lungs(body, spine, rng)
    heart = _lay_heart(body, spine)
    vessels = _lay_vessels(body, spine, fine, broad, rng)
    thickness = thickness * (1 - 0.5 * lung) + (heart + vessels) * lung
    thickness -= _lay_gas(body, spine, fine, broad, rng) * (1 - lung)
    attenuation: Floats = (np.maximum(thickness, 0) * WATER_PER_MM).astype(np.float32)
    return attenuation


class _Body:
    """The body's outline on a grid: x and y of every pixel, the spine's course, front and back skin."""

    def __init__(self, coarse: Grid, spine: Spine) -> None:
        self.spacing_mm = coarse.spacing_mm
        ys = coarse.ys
        ordered = sorted([(v.y_mm, v.x_mm) for v in spine.vertebrae] + [(20.0, 6.0), (70.0, 30.0)])
        curve = np.interp(ys, [y for y, _ in ordered], [0.9 * x for _, x in ordered]).astype(np.float32)
        self.x, self.y = coarse.xs[None, :], ys[:, None]
        self.curve = curve[:, None]
        self.front = (curve - _front_reach(spine, ys))[:, None]
        self.back = self.curve + np.float32(spine.back_mm)
        self.width = _body_width(spine, ys)[:, None]


def _front_reach(spine: Spine, ys: Floats) -> Floats:
    """Return how far the front skin lies before the spine at every y, mm."""
    neck, crest = spine.find("T2").y_mm, spine.find("L3").y_mm
    chest = 150.0 * spine.size
    known = (neck - 90, neck, neck + 130, crest - 60, crest + 30, 60.0, 180.0)
    reach = (70.0, 85.0, chest, chest, spine.belly_mm, spine.belly_mm * 0.96, spine.belly_mm * 0.9)
    skin: Floats = ndimage.gaussian_filter1d(np.interp(ys, known, reach), 9.0, mode="nearest").astype(
        np.float32
    )
    return skin


def _body_width(spine: Spine, ys: Floats) -> Floats:
    """Return the body's side-to-side width at every y, mm: broad at shoulders and hips."""
    shoulder = spine.find("T2").y_mm
    known = (shoulder - 90, shoulder - 50, shoulder - 5, shoulder + 50, -120.0, 40.0)
    width = np.interp(ys, known, (0.45, 0.75, 1.2, 1.0, 0.98, 1.1))
    return (spine.width_mm * width).astype(np.float32)


def _lay_flesh(body: _Body, spine: Spine, rng: np.random.Generator) -> Floats:
    """Return the body's thickness in the beam, mm of water: fat under the skin counts less; arms add."""
    middle, half = (body.front + body.back) / 2, (body.back - body.front) / 2
    across = np.clip(1 - np.square((body.x - middle) / half), 0, None) ** 0.42
    fat = 0.16 * spine.back_mm + 5.0 * float(rng.random())
    behind = ease(body.x - (body.back - fat), -2.0, 3.0)
    before = ease(body.front + 1.2 * fat - body.x, -2.0, 3.0)
    groove = np.exp(-np.square((body.x - body.curve - 0.42 * spine.back_mm) / 5.0))
    thickness: Floats = body.width * across * (1 - 0.11 * (behind + before) - 0.02 * groove)
    shoulder = spine.find("T2")
    x, y = shoulder.x_mm - 25 * spine.size, shoulder.y_mm - 8 * spine.size
    forward, lift = 210 * spine.size, float(rng.uniform(-20, 70))
    arm = capsule_distance(body.x - x, body.y - y, (0.0, 0.0, -forward, -lift), (48.0, 36.0))
    return thickness + 75 * spine.size * fill_edge(arm, 36.0)


def _lay_lungs(body: _Body, spine: Spine, rng: np.random.Generator) -> Floats:
    """Return the share of the chest that is air, 0..1: above two hemidiaphragms, inside the ribs.

    Each dome is highest before the middle, falls gently to the front and steeply to a deep recess behind.
    """
    low, high = spine.find("T12").y_mm, spine.find("T2").y_mm
    breath, apart = float(rng.normal(0, 12)), float(rng.uniform(5, 22))
    inside = fill_edge(np.minimum(body.x - body.front - 16, body.back - 24 - body.x), 26.0)
    inside = inside * fill_edge(body.y - high + 20, 30.0)
    lung = np.zeros(inside.shape, np.float32)
    along = np.clip((body.x - body.front) / (body.back - 22 - body.front), 0, 1)
    for side in (-apart / 2, apart / 2):
        apex = float(rng.uniform(0.30, 0.46))
        fall = np.maximum(along - apex, 0) / (1 - apex)
        rise = np.maximum(apex - along, 0) / apex
        waves, phase = float(rng.uniform(6, 14)), float(rng.uniform(0, 6))
        dome = low - 62 + breath + side + 86 * fall**1.9 + 20 * rise**2 + 2 * np.sin(along * waves + phase)
        lung += np.float32(0.5) * fill_edge((dome - body.y).astype(np.float32), 5.0) * inside
    return lung


def _lay_heart(body: _Body, spine: Spine) -> Floats:
    """Return the extra thickness of heart and descending aorta, mm."""
    y = spine.find("T9").y_mm
    x = float(np.interp(y, body.y[:, 0], body.curve[:, 0])) - 88 * spine.size
    distance: Floats = np.hypot((body.x - x) / 46, (body.y - y) / 58)
    aorta = fill_edge(13.0 - np.abs(body.x - body.curve + 22 * spine.size), 5.0)
    extra: Floats = 42 * fill_edge((1 - distance) * 40, 34.0) + 9 * aorta
    return extra


def _lay_vessels(body: _Body, spine: Spine, fine: Floats, broad: Floats, rng: np.random.Generator) -> Floats:
    """Return the lungs' vessels, mm: a net of lines, thick about the hilum and fading from it."""
    y = spine.find("T6").y_mm
    x = float(np.interp(y, body.y[:, 0], body.curve[:, 0])) - 62 * spine.size
    away = np.hypot(body.x - x, body.y - y)
    medium = grow_mesh(rng, fine.shape, 6.0 / body.spacing_mm)
    net = np.exp(-np.square(medium + 0.6 * fine) * 9.0) + 0.6 * np.exp(-np.square(fine + broad) * 6.0)
    hilum = 20 * np.exp(-np.square(away / 22)) * (1 + 0.3 * medium)
    vessels: Floats = 15 * net * np.exp(-away / 85) + hilum
    return vessels


def _lay_gas(body: _Body, spine: Spine, fine: Floats, broad: Floats, rng: np.random.Generator) -> Floats:
    """Return the thickness of gas, mm: ragged pockets of bowel, at times a gastric bubble."""
    top, bottom = spine.find("T12").y_mm + 14, 95.0
    shape = 0.8 * broad + 0.45 * grow_mesh(rng, fine.shape, 6.0 / body.spacing_mm) + 0.18 * fine
    before = fill_edge(body.curve - 26 - body.x, 22.0) * fill_edge(body.x - body.front - 22, 14.0)
    before *= fill_edge(body.y - top, 24.0) * fill_edge(bottom - body.y, 40.0)
    gas = rng.uniform(22, 46) * np.clip((shape - rng.uniform(0.7, 1.5)) * 2.2, 0, 1) * before
    bubble, turn = rng.random(), rng.uniform(-0.3, 0.3)
    if bubble < 0.45:
        dx, dy = body.x - body.curve + 62, body.y - spine.find("T11").y_mm - 8
        reach = 1 - np.hypot((dx + turn * dy) / 34, dy / 15)
        gas = gas + 46 * fill_edge(reach * 20 + 1.5 * fine, 6.0)
    stool = 5.0 * np.clip(fine + 0.4, 0, None) * np.clip(broad - 0.3, 0, 1) * before
    held: Floats = np.minimum(gas + stool, 60)
    return held


def add_plaques(bone: Floats, grid: Grid, spine: Spine) -> None:
    """Add calcified plaques of the abdominal aorta's two walls."""
    for plaque in spine.plaques:
        half = plaque.length_mm / 2
        window = grid.window(plaque.x_mm, plaque.y_mm, (half + 3, half + 3, half + 4, half + 4))
        if window is None:
            continue
        u, v = window.turn(plaque.along_rad)
        distance = capsule_distance(u, v, (0.0, -half, 0.0, half), (1.3, 0.8))
        bone[window.pixels] += (0.36 * plaque.strength) * fill_edge(distance, 1.5)

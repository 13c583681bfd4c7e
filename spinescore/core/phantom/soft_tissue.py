"""What surrounds the spine: flesh, lungs, diaphragm, gas, ribs and a calcified aorta."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from spinescore.core.phantom.anatomy import LEVELS, Spine
from spinescore.core.phantom.canvas import Floats, Grid, capsule_distance, fill_edge

Doubles = npt.NDArray[np.float64]

WATER_PER_MM = 0.0165  # log attenuation of a millimetre of soft tissue in a broad beam
COARSE = 4


def lay_soft_tissue(grid: Grid, spine: Spine, rng: np.random.Generator) -> Floats:
    """Return the log attenuation of soft tissue on a grid coarsened ``COARSE`` times."""
    coarse = grid.coarsen(COARSE)
    xs, ys = coarse.xs, coarse.ys
    curve = _follow_spine(spine, ys)
    front, back = curve - _front_reach(spine, ys), curve + spine.back_mm
    middle, half = ((front + back) / 2)[:, None], ((back - front) / 2)[:, None]
    across = np.clip(1 - np.square((xs[None, :] - middle) / half), 0, None)
    thickness = _body_width(spine, ys)[:, None] * across**0.42
    lung = _lay_lungs(xs, ys, curve, front, back, spine, rng)
    thickness = thickness * (1 - 0.5 * lung)
    thickness += _lay_heart(xs, ys, curve, spine) * lung
    thickness -= _lay_gas(xs, ys, curve, spine, rng) * (1 - lung)
    attenuation: Floats = (np.maximum(thickness, 0) * WATER_PER_MM).astype(np.float32)
    return attenuation


def _follow_spine(spine: Spine, ys: Floats) -> Floats:
    """Return x of the spine at every y, straightened a little, held beyond its ends."""
    ordered = sorted([(v.y_mm, v.x_mm) for v in spine.vertebrae] + [(20.0, 6.0), (70.0, 30.0)])
    return np.interp(ys, [y for y, _ in ordered], [0.9 * x for _, x in ordered]).astype(np.float32)


def _front_reach(spine: Spine, ys: Floats) -> Floats:
    """Return how far the front skin lies before the spine at every y, mm."""
    neck, crest = spine.find("T2").y_mm, spine.find("L3").y_mm
    chest = 150.0 * spine.size
    known = (neck - 90, neck, neck + 130, crest - 60, crest + 30, 60.0, 180.0)
    reach = (70.0, 85.0, chest, chest, spine.belly_mm, spine.belly_mm * 0.96, spine.belly_mm * 0.9)
    return np.interp(ys, known, reach).astype(np.float32)


def _body_width(spine: Spine, ys: Floats) -> Floats:
    """Return the body's side-to-side width at every y, mm: broad at the shoulders, narrow at the neck."""
    shoulder = spine.find("T2").y_mm
    known = (shoulder - 90, shoulder - 50, shoulder - 5, shoulder + 50)
    width = np.interp(ys, known, (0.45, 0.7, 1.15, 1.0))
    return (spine.width_mm * width).astype(np.float32)


def _lay_lungs(
    xs: Floats, ys: Floats, curve: Floats, front: Floats, back: Floats, spine: Spine, rng: np.random.Generator
) -> Floats:
    """Return the share of the chest that is air, 0..1: above two domes of the diaphragm, inside the ribs."""
    lung = np.zeros((ys.size, xs.size), np.float32)
    low, high = spine.find("T12").y_mm, spine.find("T2").y_mm
    breath = float(rng.normal(0, 12))
    for side in (-5.0, 7.0):
        dip = low + breath + side
        x = xs[None, :] - curve[:, None]
        dome = dip - 48 * np.exp(-np.square((x + 70) / 62)) + 0.18 * x
        above = fill_edge(dome - ys[:, None], 6.0)
        inside = fill_edge(
            np.minimum(xs[None, :] - front[:, None] - 18, back[:, None] - 26 - xs[None, :]), 34.0
        )
        lung += 0.5 * above * inside * fill_edge(ys - high + 20, 30.0)[:, None]
    return lung


def _lay_heart(xs: Floats, ys: Floats, curve: Floats, spine: Spine) -> Floats:
    """Return the heart's extra thickness, mm."""
    y = spine.find("T9").y_mm
    x = float(np.interp(y, ys, curve)) - 88 * spine.size
    distance = np.hypot((xs[None, :] - x) / 46, (ys[:, None] - y) / 58)
    heart: Floats = 42 * fill_edge((1 - distance) * 40, 34.0)
    return heart


def _lay_gas(xs: Floats, ys: Floats, curve: Floats, spine: Spine, rng: np.random.Generator) -> Floats:
    """Return the thickness of bowel gas, mm: a few blobs before the lumbar spine."""
    gas = np.zeros((ys.size, xs.size), np.float32)
    top, bottom = spine.find("T12").y_mm + 20, 60.0
    for _ in range(int(rng.integers(3, 9))):
        y, reach = rng.uniform(top, bottom), rng.uniform(18, spine.belly_mm * 0.8)
        x = float(np.interp(y, ys, curve)) - 12 - reach
        wide, high = rng.uniform(8, 24), rng.uniform(6, 15)
        turn = rng.uniform(-0.6, 0.6)
        dx, dy = xs[None, :] - x, ys[:, None] - y
        distance = np.hypot((dx + turn * dy) / wide, (dy - turn * dx) / high)
        gas += rng.uniform(12, 38) * fill_edge((1 - distance) * 12, 8.0)
    return np.minimum(gas, 60)


def add_ribs(bone: Floats, grid: Grid, spine: Spine, rng: np.random.Generator) -> None:
    """Add the ribs of both sides, sweeping back, then down and forwards from the thoracic levels."""
    density = 0.55 + 0.45 * spine.signs["bone_density"]
    both = np.zeros((grid.rows, grid.columns), np.float32)
    for side in rng.normal(0, 7.0, 2):
        layer = Image.new("L", (grid.columns, grid.rows), 0)
        draw = ImageDraw.Draw(layer)
        for level in LEVELS[5:17]:
            x, y = _trace_rib(spine, level, float(side))
            for half_mm, grey in ((5.0, 58), (3.2, 36)):
                draw.polygon(_widen(x, y, half_mm * spine.size, grid), fill=grey)
        both += np.asarray(layer)
    bone += both * (0.0021 * density)


def _trace_rib(spine: Spine, level: str, side_mm: float) -> tuple[Doubles, Doubles]:
    """Return x and y of one rib's middle line, mm: a Bezier curve that turns with its vertebra."""
    vertebra = spine.find(level)
    number = int(level[1:])
    t = np.linspace(0.0, {12: 0.42, 11: 0.66}.get(number, 1.0), 20)
    knots = np.array([(14, -4), (84, 8 + 1.5 * number), (-14, 62 + 1.5 * number), (-112, 92 + 2 * number)])
    blend = np.stack([(1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t * t * (1 - t), t**3])
    u, v = spine.size * (knots.T @ blend)
    cos, sin = math.cos(0.7 * vertebra.tilt_rad), math.sin(0.7 * vertebra.tilt_rad)
    return vertebra.x_mm + u * cos + (v + side_mm) * sin, vertebra.y_mm - u * sin + (v + side_mm) * cos


def _widen(x: Doubles, y: Doubles, half_mm: float, grid: Grid) -> list[tuple[float, float]]:
    """Return the outline, in pixels, of a band about a line."""
    dx, dy = np.gradient(x), np.gradient(y)
    length = np.sqrt(dx * dx + dy * dy)
    nx, ny = -dy / length * half_mm, dx / length * half_mm
    columns = (np.concatenate([x + nx, (x - nx)[::-1]]) - grid.left_mm) / grid.spacing_mm
    rows = (np.concatenate([y + ny, (y - ny)[::-1]]) - grid.top_mm) / grid.spacing_mm
    return list(zip(columns.tolist(), rows.tolist(), strict=True))


def add_plaques(bone: Floats, grid: Grid, spine: Spine) -> None:
    """Add calcified plaques of the abdominal aorta's two walls."""
    for x, y, length, strength in spine.plaques:
        window = grid.window(x, y, (4.0, 4.0, length, length))
        if window is None:
            continue
        u, v = window.turn(0.0)
        distance = capsule_distance(u, v, (0.0, -length / 2, 0.0, length / 2), (1.5, 1.1))
        bone[window.pixels] += (0.26 * strength) * fill_edge(distance, 1.4)

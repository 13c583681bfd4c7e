"""Sacrum, iliac wings and hips laid down as attenuation."""

from __future__ import annotations

import math

import numpy as np

from spinescore.core.phantom.canvas import Floats, Grid, Window, capsule_distance, ease, fill_edge, resize
from spinescore.core.phantom.spine import Spine
from spinescore.core.phantom.vertebra import TEXTURE_SIZE, Bone

SIDES_COARSE = 2  # nothing of wings and hips is finer than this many pixels


def add_pelvis(bone: Floats, grid: Grid, spine: Spine, made: Bone, rng: np.random.Generator) -> None:
    """Add the sacrum, and both iliac wings and femoral heads, one side larger and off the other."""
    size = spine.size
    apart = rng.normal(0, 4.0, (2, 2))
    density = 0.4 + 0.6 * spine.signs["bone_density"]
    window = grid.window(0.0, 0.0, (30 * size, 90 * size, 40 * size, 120 * size))
    if window is not None:
        bone[window.pixels] += _lay_sacrum(window, grid, spine, made) * density
    coarse = grid.coarsen(SIDES_COARSE)
    sides = coarse.window(0.0, 0.0, (90 * size, 110 * size, 85 * size, 165 * size))
    if sides is None:
        return
    x, y = sides.dx[None, :] / size, sides.dy[:, None] / size
    patch = np.zeros((y.size, x.size), np.float32)
    for (dx, dy), larger in zip(apart, (0.97, 1.07), strict=True):
        patch += density * _lay_side((x - dx) / larger, (y - dy) / larger, larger)
    rows, columns = sides.pixels
    place = np.s_[
        rows.start * SIDES_COARSE : rows.stop * SIDES_COARSE,
        columns.start * SIDES_COARSE : columns.stop * SIDES_COARSE,
    ]
    shown = bone[place]
    fine = resize(patch, patch.shape[0] * SIDES_COARSE, patch.shape[1] * SIDES_COARSE)
    shown += fine[: shown.shape[0], : shown.shape[1]]


def _lay_sacrum(window: Window, grid: Grid, spine: Spine, made: Bone) -> Floats:
    size = spine.size
    u, v = window.turn(spine.sacral_slope_rad)
    outline, joints = _measure_sacrum(u * (1 / size), v * (1 / size))
    rim = np.exp(-np.square(outline - 1.0) * 0.7)
    plate = np.exp(-np.square(v - 1.2) * 0.6) * spine.signs["endplate_sclerosis"]
    joint = np.exp(-np.square(joints) * 0.4)
    rows = ((v + 120) * 2).astype(np.int32) % TEXTURE_SIZE
    columns = ((u + 120) * 2).astype(np.int32) % TEXTURE_SIZE
    fade = 1.05 - 0.6 * ease(v, 5.0, 95.0 * size)
    inside = fill_edge(outline, max(1.6, 1.6 * grid.spacing_mm))
    shade: Floats = 0.20 + 0.12 * rim - 0.05 * joint + 0.09 * plate + 0.04 * made.weave[rows, columns]
    crest = capsule_distance(
        u, v, (18.0 * size, 2.0 * size, 44.0 * size, 62.0 * size), (4.0 * size, 8.0 * size)
    )
    laid: Floats = inside * shade * fade + fill_edge(crest, 5.0) * 0.09
    return laid


def _lay_side(x: Floats, y: Floats, softer: float) -> Floats:
    """Lay one iliac wing and hip; ``x`` and ``y`` are mm of a normal-sized person from the sacrum's top."""
    wing: Floats = (1 - np.hypot((x - 8) / 56, (y - 55) / (66 + 0.12 * np.abs(x)))) * np.float32(58)
    notch = np.hypot((x - 44) / 22, (y - 72) / 30) - 1
    bladed: Floats = np.minimum(wing, 24 * notch)
    edge = np.exp(-np.square(bladed - 1.5) * 0.16) * (0.35 + 0.65 * (1 - ease(y, -5.0, 40.0)))
    strut = capsule_distance(x, y, (8.0, 20.0, -34.0, 84.0), (3.0, 9.0))
    head: Floats = np.float32(23.5) - np.hypot(x + 36, y - 106)
    cup = np.exp(-np.square(head + 3.0) * 0.25) * (1 - ease(y, 96.0, 112.0))
    ball = fill_edge(head, 2.5 * softer) * (0.13 + 0.08 * np.exp(-np.square(head - 1.0) * 0.5))
    laid: Floats = 0.07 * fill_edge(bladed, 4.0 * softer) + 0.12 * edge + 0.06 * fill_edge(strut, 6.0)
    laid += ball + 0.12 * cup
    return laid


def _measure_sacrum(u: Floats, v: Floats) -> tuple[Floats, Floats]:
    """Return mm inside a normal-sized sacrum and mm from its nearest line of fusion."""
    outline, joints = np.full_like(u, -99.0), np.full_like(u, 99.0)
    x, y = 0.0, 0.0
    for k in range(4):
        lean, height, depth = math.radians(17.0) * k, 27.0 - 4.0 * k, 34.0 - 6.0 * k
        du, dv = math.sin(lean), math.cos(lean)
        along = (u - x) * du + (v - y) * dv
        across = (u - x) * dv - (v - y) * du
        side = (depth / 2) - 0.11 * along - np.abs(across)
        start = along if k == 0 else along + 6
        np.maximum(outline, np.minimum(np.minimum(start, height - along), side), out=outline)
        if k:
            np.minimum(joints, np.where(side > 0, np.abs(along), 99.0), out=joints)
        x, y = x + 0.97 * height * float(du), y + 0.97 * height * float(dv)
    return outline, joints

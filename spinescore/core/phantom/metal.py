"""Metal and cement in or about a body: drawn with the acquisition, whoever is imaged."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np

from spinescore.core.phantom.acquisition import Metal
from spinescore.core.phantom.canvas import Floats, Grid, capsule_distance, fill_edge, grow_mesh
from spinescore.core.phantom.spine import Spine, Vertebra

Segment = tuple[float, float, float, float, float]  # x, y, x, y, radius; mm


def add_metal(bone: Floats, grid: Grid, spine: Spine, metal: Metal, rng: np.random.Generator) -> None:
    """Add what the acquisition says lies in the beam: screws and rods, cement, clips, a buckle or hook."""
    if metal == "none":
        return
    if metal == "cement":
        _add_cement(bone, grid, spine.vertebrae[int(rng.integers(3, 8))], rng)
        return
    lay = {"screws": _lay_screws, "clips": _lay_clips, "buckle": _lay_buckle, "hook": _lay_hook}[metal]
    for x0, y0, x1, y1, radius in lay(spine, rng):
        reach = math.hypot(x1 - x0, y1 - y0) / 2 + radius + 2
        x, y = (x0 + x1) / 2, (y0 + y1) / 2
        window = grid.window(x, y, (reach, reach, reach, reach))
        if window is None:
            continue
        u, v = window.turn(0.0)
        distance = capsule_distance(u, v, (x0 - x, y0 - y, x1 - x, y1 - y), (radius, radius))
        np.maximum(bone[window.pixels], 2.4 * fill_edge(distance, 0.8), out=bone[window.pixels])


def _point(vertebra: Vertebra, u: float, v: float) -> tuple[float, float]:
    """Return x and y of a point given in the vertebra's own axes."""
    cos, sin = math.cos(vertebra.tilt_rad), math.sin(vertebra.tilt_rad)
    return vertebra.x_mm + u * cos + v * sin, vertebra.y_mm - u * sin + v * cos


def _lay_screws(spine: Spine, rng: np.random.Generator) -> list[Segment]:
    first, count = int(rng.integers(0, 4)), int(rng.integers(2, 5))
    held = spine.vertebrae[first : first + count]
    segments: list[Segment] = []
    for dx, dy in rng.normal(0, 1.8, (2, 2)):
        heads = []
        for vertebra in held:
            half = vertebra.depth_mm / 2
            head = _point(vertebra, half + 19, -0.2 * vertebra.posterior_mm)
            tip = _point(vertebra, -0.35 * half, -0.08 * vertebra.posterior_mm)
            segments.append((head[0] + dx, head[1] + dy, tip[0] + dx, tip[1] + dy, 2.4))
            heads.append(head)
        segments += [(a[0] + dx, a[1] + dy, b[0] + dx, b[1] + dy, 2.9) for a, b in pairwise(heads)]
        segments += [(x + dx - 3, y + dy, x + dx + 3, y + dy, 4.6) for x, y in heads]
    return segments


def _lay_clips(spine: Spine, rng: np.random.Generator) -> list[Segment]:
    near = spine.find("L1")
    x, y = near.x_mm - rng.uniform(45, 85), near.y_mm + rng.uniform(-20, 40)
    segments = []
    for _ in range(int(rng.integers(3, 7))):
        cx, cy = x + rng.normal(0, 7), y + rng.normal(0, 9)
        turn, length = rng.uniform(0, math.pi), rng.uniform(2, 4)
        dx, dy = length * math.cos(turn), length * math.sin(turn)
        segments.append((cx - dx, cy - dy, cx + dx, cy + dy, 0.7))
    return segments


def _lay_buckle(spine: Spine, rng: np.random.Generator) -> list[Segment]:
    x, y = -float(rng.uniform(70, 105)) * spine.size, float(rng.uniform(-25, 25))
    tall, wide = rng.uniform(14, 20), rng.uniform(2, 6)
    corners = [(x - wide, y - tall), (x + wide, y - tall), (x + wide, y + tall), (x - wide, y + tall)]
    return [(*a, *b, 1.4) for a, b in zip(corners, corners[1:] + corners[:1], strict=True)]


def _lay_hook(spine: Spine, rng: np.random.Generator) -> list[Segment]:
    near = spine.find("T7")
    x, y = near.x_mm + spine.back_mm - 6, near.y_mm + float(rng.uniform(-15, 15))
    return [(x, y + k * 9, x + 3, y + k * 9 + 1, 1.1) for k in (-1, 0, 1)]


def _add_cement(bone: Floats, grid: Grid, vertebra: Vertebra, rng: np.random.Generator) -> None:
    reach = 0.34 * vertebra.depth_mm
    window = grid.window(vertebra.x_mm, vertebra.y_mm, (reach + 6, reach + 6, 11, 11))
    if window is None:
        return
    u, v = window.turn(vertebra.tilt_rad)
    ragged = grow_mesh(rng, u.shape, 2.0 / grid.spacing_mm)
    inside = (1 - np.hypot(u / reach, v / (0.28 * vertebra.posterior_mm))) * 8 + 1.6 * ragged
    bone[window.pixels] += 0.9 * fill_edge(inside, 2.0)

"""Vertebral arches laid down as attenuation: pedicles, facet joints, laminae and spinous processes."""

from __future__ import annotations

import math

import numpy as np

from spinescore.core.phantom.canvas import Floats, Grid, capsule_distance, fill_edge
from spinescore.core.phantom.spine import LEVELS, Spine, Vertebra

LUMBAR_ARCHES = 6  # the arch of T12 looks lumbar
ARCH_REACH_MM = 80.0
Piece = tuple[tuple[float, float, float, float], tuple[float, float], float, float]


def add_arch(bone: Floats, grid: Grid, vertebra: Vertebra, spine: Spine, rng: np.random.Generator) -> None:
    """Add pedicles, articular processes, lamina and spinous process of one vertebra."""
    size, facet = spine.size, spine.signs["facet_arthrosis"]
    depth, tall = vertebra.depth_mm / 2, vertebra.posterior_mm
    lumbar = LEVELS.index(vertebra.level) < LUMBAR_ARCHES
    off = rng.normal(0, 0.8, 2)
    if not grid.reaches(vertebra.y_mm, ARCH_REACH_MM):
        return
    soft = max(2.0, 2.0 * grid.spacing_mm)
    density = 0.5 + 0.5 * spine.signs["bone_density"]
    cos, sin = math.cos(vertebra.tilt_rad), math.sin(vertebra.tilt_rad)
    lay = _list_lumbar if lumbar else _list_thoracic
    for (u0, v0, u1, v1), radii, strength, hollow in lay(depth, tall, size, facet):
        u, v = (u0 + u1) / 2 + off[0], (v0 + v1) / 2 + off[1]
        du, dv = ((u1 - u0) * cos + (v1 - v0) * sin) / 2, ((v1 - v0) * cos - (u1 - u0) * sin) / 2
        wide, high = abs(du) + max(radii) + 2, abs(dv) + max(radii) + 2
        x, y = vertebra.x_mm + u * cos + v * sin, vertebra.y_mm - u * sin + v * cos
        window = grid.window(x, y, (wide, wide, high, high))
        if window is None:
            continue
        distance = capsule_distance(window.dx[None, :], window.dy[:, None], (-du, -dv, du, dv), radii)
        rim = np.exp(-np.square(distance - 1.1) * 0.55)
        coverage = fill_edge(distance, soft) * (strength * density)
        bone[window.pixels] += coverage * (1 - hollow + (0.35 + hollow) * rim)


def _list_lumbar(depth: float, tall: float, size: float, facet: float) -> list[Piece]:
    """List capsules (ends, radii, strength, hollowness) of a lumbar arch, in mm from the body's centre."""
    joint = depth + 15.0 * size
    bony = 0.10 + 0.11 * facet
    end = joint + 30 * size
    return [
        ((depth - 3, -0.17 * tall, joint - 2, -0.13 * tall), (4.8 * size, 4.4 * size), 0.24, 0.25),
        ((joint - 3, -0.12 * tall, joint + 1.5, -0.56 * tall), (4.0 * size, 2.8 * size * facet), bony, 0.15),
        ((joint - 1, -0.10 * tall, joint + 4 * size, 0.34 * tall), (4.2 * size, 3.0 * size), bony, 0.1),
        (
            (joint + 3 * size, 0.26 * tall, joint + 5 * size, 0.70 * tall),
            (3.0 * size, 2.9 * size * facet),
            bony,
            0.15,
        ),
        (
            (joint + 2 * size, -0.02 * tall, joint + 5 * size, 0.02 * tall),
            (4.4 * size, 3.2 * size),
            0.06,
            0.6,
        ),
        ((joint + 4 * size, 0.22 * tall, end, 0.40 * tall), (5.0 * size, 8.4 * size), 0.06, 0.3),
        ((joint + 9 * size, 0.50 * tall, end - 4, 0.62 * tall), (2.6 * size, 4.6 * size), 0.04, 0.0),
    ]


def _list_thoracic(depth: float, tall: float, size: float, facet: float) -> list[Piece]:
    """List capsules (ends, radii, strength, hollowness) of a thoracic arch, in mm from the body's centre."""
    joint = depth + 12.0 * size
    bony = 0.11 + 0.09 * facet
    return [
        ((depth - 3, -0.22 * tall, joint - 2, -0.18 * tall), (3.6 * size, 3.4 * size), 0.22, 0.3),
        ((joint - 1, -0.12 * tall, joint + 1, -0.60 * tall), (2.8 * size, 2.3 * size * facet), bony, 0.3),
        ((joint, 0.0, joint + 4 * size, 0.66 * tall), (3.0 * size, 2.3 * size * facet), bony, 0.3),
        ((joint + 2, -0.1 * tall, joint + 9 * size, -0.2 * tall), (3.4 * size, 3.8 * size), 0.07, 0.5),
        ((joint + 4 * size, 0.2 * tall, joint + 23 * size, 1.2 * tall), (3.6 * size, 2.2 * size), 0.085, 0.4),
    ]

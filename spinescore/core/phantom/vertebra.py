"""Vertebral bodies, discs and spurs laid down as attenuation."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from spinescore.core.phantom.anatomy import BRIDGING_MM
from spinescore.core.phantom.canvas import (
    Floats,
    Grid,
    box_reach,
    capsule_distance,
    fill_edge,
    grow_mesh,
)
from spinescore.core.phantom.spine import Spine, Vertebra

TEXTURE_SIZE = 256  # at two pixels a millimetre
SPONGY = 0.64  # log attenuation of the middle of a normal vertebral body, seen from the side
CORTICAL = 0.30  # log attenuation of a normal endplate, seen on edge
DISC = 0.03
VACUUM = 0.16


@dataclass(frozen=True, slots=True)
class Bone:
    """What a person's bone is like all over, and the meshes that its trabeculae are cut from."""

    density: float
    striation: float
    columns: Floats
    weave: Floats
    divergence: float


def prepare_bone(spine: Spine, divergence: float, rng: np.random.Generator) -> Bone:
    """Grow the trabecular meshes of one image; ``divergence`` is the beam's, over a body's width."""
    size = (TEXTURE_SIZE, TEXTURE_SIZE)
    return Bone(
        density=spine.signs["bone_density"],
        striation=spine.signs["trabecular_contrast"],
        columns=grow_mesh(rng, size, (7.0, 1.0)),
        weave=grow_mesh(rng, size, 1.3),
        divergence=divergence,
    )


def add_bodies(bone: Floats, grid: Grid, spine: Spine, made: Bone, rng: np.random.Generator) -> None:
    """Add all vertebral bodies and the discs between them to ``bone`` (log attenuation)."""
    for vertebra in spine.vertebrae:
        _add_body(bone, grid, vertebra, made, rng)
    for lower, upper in zip(spine.vertebrae, spine.vertebrae[1:], strict=False):
        _add_disc(bone, grid, lower, upper, made)


def _add_body(bone: Floats, grid: Grid, vertebra: Vertebra, made: Bone, rng: np.random.Generator) -> None:
    half = vertebra.depth_mm / 2
    tall = max(vertebra.anterior_mm, vertebra.posterior_mm) / 2
    margin = 4.0 + max(vertebra.osteophytes_mm)
    corner = rng.integers(0, TEXTURE_SIZE, 2)
    reach = box_reach(vertebra.tilt_rad, (-half - margin, half + margin), (-tall - margin, tall + margin))
    window = grid.window(vertebra.x_mm, vertebra.y_mm, reach)
    if window is None:
        return
    u, v = window.turn(vertebra.tilt_rad)
    soft = max(1.1, 1.4 * grid.spacing_mm)
    to_endplate, to_wall = measure_body(u, v, vertebra)
    inside = fill_edge(np.minimum(to_endplate, to_wall), soft)
    path = np.sqrt(np.maximum(1 - (0.75 / half**2) * u * u, 0.05))
    spongy = path * (SPONGY * made.density) * _lay_trabeculae(u, v, made, corner)
    middle = grid.top_mm + grid.rows / 2 * grid.spacing_mm
    apart = abs(vertebra.oblique_mm) + made.divergence * abs(vertebra.y_mm - middle)
    width = 0.5 + 0.55 * vertebra.sclerosis
    rim = np.exp(-np.square(to_endplate - 0.9) * (1 / width**2))
    second = np.exp(-np.square(to_endplate - (2.0 + apart)) * 0.5)
    wall = np.exp(-np.square(to_wall - 0.9) * 1.2)
    cortex = (CORTICAL * (0.45 + 0.55 * made.density)) * (
        (0.30 + vertebra.sclerosis) * rim * path
        + (0.22 + 0.12 * vertebra.sclerosis) * second * path
        + 0.62 * wall
    )
    patch = inside * (spongy + cortex)
    _add_osteophytes(patch, u, v, vertebra, made.density, soft)
    bone[window.pixels] += patch


def measure_body(u: Floats, v: Floats, vertebra: Vertebra) -> tuple[Floats, Floats]:
    """Return mm inside the nearer endplate and inside the nearer (waisted) wall.

    ``u`` and ``v`` are mm from the body's centre, backwards and down its own axis.
    """
    half = vertebra.depth_mm / 2
    mean = (vertebra.anterior_mm + vertebra.posterior_mm) / 4
    slant = (vertebra.posterior_mm - vertebra.anterior_mm) / 4 / half
    bow = vertebra.concavity_mm * np.maximum(1 - np.square(u * (1 / half)), 0)
    edge = mean + slant * u - bow
    waist = (0.05 * vertebra.depth_mm) * np.maximum(1 - np.square(v * (1 / mean)), 0)
    return edge - np.abs(v), half - waist - np.abs(u)


def _lay_trabeculae(u: Floats, v: Floats, made: Bone, corner: npt.NDArray[np.int64]) -> Floats:
    """Return what trabeculae make of the bone about its mean of 1: columns and a weave."""
    rows = ((v + 90) * 2).astype(np.int32) + int(corner[0])
    columns = ((u + 90) * 2).astype(np.int32) + int(corner[1])
    rows %= TEXTURE_SIZE
    columns %= TEXTURE_SIZE
    laid: Floats = 1 + (0.5 * made.striation) * made.columns[rows, columns]
    laid += 0.07 * made.weave[rows, columns]
    return laid


def _add_osteophytes(
    patch: Floats, u: Floats, v: Floats, vertebra: Vertebra, density: float, soft: float
) -> None:
    """Add spurs at the four corners, large in front: claws that curl over the disc, level traction spurs."""
    half = vertebra.depth_mm / 2
    strength = 0.30 + 0.22 * density
    for side, share in ((-1, 1.0), (1, 0.4)):
        height = (vertebra.anterior_mm if side < 0 else vertebra.posterior_mm) / 2
        for up, spur, level in zip((-1, 1), vertebra.osteophytes_mm, vertebra.traction, strict=True):
            length = spur * share
            u0, v0 = side * (half - 2.2), up * (height - (3.6 if level else 2.4))
            if level:
                parts = [((u0, v0, u0 + side * (0.9 * length + 1.0), v0 + up * 0.1 * length), (2.2, 0.7))]
            else:
                bend = (u0 + side * (0.66 * length + 1.0), v0 + up * 0.16 * length)
                tip = (bend[0] + side * 0.26 * length, bend[1] + up * 0.42 * length)
                parts = [((u0, v0, *bend), (2.5, 1.5)), ((*bend, *tip), (1.5, 0.6))]
            for ends, radii in parts:
                beak = capsule_distance(u, v, ends, radii)
                np.maximum(patch, strength * fill_edge(beak, soft), out=patch)


def _add_disc(bone: Floats, grid: Grid, lower: Vertebra, upper: Vertebra, made: Bone) -> None:
    """Add the disc: faint, gas where it is far gone, and a bridge where long spurs meet in front of it."""
    x, y = (lower.x_mm + upper.x_mm) / 2, (lower.y_mm + upper.y_mm) / 2
    tilt = (lower.tilt_rad + upper.tilt_rad) / 2
    half = min(lower.depth_mm, upper.depth_mm) / 2
    heights = (lower.anterior_mm + lower.posterior_mm + upper.anterior_mm + upper.posterior_mm) / 4
    gap = max(math.hypot(lower.x_mm - upper.x_mm, lower.y_mm - upper.y_mm) - heights, 1.2)
    bow = min(lower.concavity_mm, upper.concavity_mm)
    window = grid.window(x, y, box_reach(tilt, (-half - 16, half), (-gap - 8, gap + 8)))
    if window is None:
        return
    u, v = window.turn(tilt)
    edge = gap / 2 + bow * np.maximum(1 - np.square(u * (1 / half)), 0)
    inside = fill_edge(np.minimum(edge - np.abs(v), half - np.abs(u)), 2.0)
    patch = DISC * inside
    if lower.vacuum > 0.05:
        streak = np.square(u * (1 / (half * (0.3 + 0.5 * lower.vacuum)))) + np.square(v - 0.1 * gap)
        patch -= (VACUUM * lower.vacuum / 0.6) * np.exp(-streak)
    if min(lower.osteophytes_mm[0], upper.osteophytes_mm[1]) > BRIDGING_MM:
        out = -half - 0.55 * min(lower.osteophytes_mm[0], upper.osteophytes_mm[1])
        for up in (-1, 1):
            ends = (-half + 1.0, up * (gap / 2 + 2.5), out, up * 0.5)
            bridge = capsule_distance(u, v, ends, (1.8, 1.5))
            np.maximum(patch, (0.22 + 0.2 * made.density) * fill_edge(bridge, 1.4), out=patch)
    bone[window.pixels] += patch

"""Bone laid down as attenuation: vertebral bodies, posterior elements, sacrum and pelvis."""

from __future__ import annotations

import math

import numpy as np

from spinescore.core.phantom.anatomy import LEVELS, Spine, Vertebra
from spinescore.core.phantom.canvas import Floats, Grid, box_reach, capsule_distance, fill_edge

TEXTURE_SIZE = 192
LUMBAR_ARCHES = 6  # the arch of T12 looks lumbar
SPONGY = 0.50  # log attenuation of the middle of a normal vertebral body, seen from the side
CORTICAL = 0.25  # log attenuation of a normal endplate, seen on edge


def add_bones(bone: Floats, grid: Grid, spine: Spine, rng: np.random.Generator) -> None:
    """Add every bone of the spine and pelvis that the field shows to ``bone`` (log attenuation)."""
    density = spine.signs["bone_density"]
    texture = _grow_texture(rng)
    add_sacrum(bone, grid, spine)
    for vertebra in spine.vertebrae:
        add_posterior_elements(bone, grid, vertebra, spine)
        add_body(bone, grid, vertebra, density, spine.signs["trabecular_contrast"], texture, rng)


def add_body(
    bone: Floats,
    grid: Grid,
    vertebra: Vertebra,
    density: float,
    trabecular_contrast: float,
    texture: Floats,
    rng: np.random.Generator,
) -> None:
    """Add one vertebral body with endplates, walls, trabeculae and osteophytes."""
    half = vertebra.depth_mm / 2
    tall = max(vertebra.anterior_mm, vertebra.posterior_mm) / 2
    margin = 4.0 + max(vertebra.osteophytes_mm)
    corner = int(rng.integers(0, TEXTURE_SIZE // 2))
    phases = (float(rng.uniform(0, 2 * np.pi)), float(rng.uniform(0, 2 * np.pi)))
    reach = box_reach(vertebra.tilt_rad, (-half - margin, half + margin), (-tall - margin, tall + margin))
    window = grid.window(vertebra.x_mm, vertebra.y_mm, reach)
    if window is None:
        return
    u, v = window.turn(vertebra.tilt_rad)
    soft = max(1.0, 1.3 * grid.spacing_mm)
    to_endplate, to_wall = _measure_body(u, v, vertebra)
    inside = fill_edge(np.minimum(to_endplate, to_wall), soft)
    path = np.sqrt(np.maximum(1 - (0.75 / half**2) * u * u, 0.05))
    spongy = path * (SPONGY * density)
    spongy *= 1 + trabecular_contrast * _lay_trabeculae(u, phases, texture, corner, grid.spacing_mm)
    rim = np.exp(-np.square(to_endplate - 0.9) * (1 / (0.5 + 0.55 * vertebra.sclerosis) ** 2))
    second = np.exp(-np.square(to_endplate - (2.2 + abs(vertebra.oblique_mm))) * 0.8)
    wall = np.exp(-np.square(to_wall - 0.8) * (1 / 0.8**2))
    cortex = (CORTICAL * (0.45 + 0.55 * density)) * (
        (0.35 + vertebra.sclerosis) * rim * path + 0.3 * second + 0.75 * wall
    )
    patch = inside * (spongy + cortex)
    _add_osteophytes(patch, u, v, vertebra, density, soft)
    bone[window.pixels] += patch


def _measure_body(u: Floats, v: Floats, vertebra: Vertebra) -> tuple[Floats, Floats]:
    """Return mm inside the nearer endplate and inside the nearer (waisted) wall."""
    half = vertebra.depth_mm / 2
    mean = (vertebra.anterior_mm + vertebra.posterior_mm) / 4
    slant = (vertebra.posterior_mm - vertebra.anterior_mm) / 4 / half
    bow = vertebra.concavity_mm * np.maximum(1 - np.square(u * (1 / half)), 0)
    edge = mean + slant * u - bow
    waist = (0.045 * vertebra.depth_mm) * np.maximum(1 - np.square(v * (1 / mean)), 0)
    return edge - np.abs(v), half - waist - np.abs(u)


def _lay_trabeculae(
    u: Floats, phases: tuple[float, float], texture: Floats, corner: int, spacing_mm: float
) -> Floats:
    """Return vertical striation (along the body's axis) plus a fine random mesh, about -1..1."""
    striae = np.sin(u * 2.4 + phases[0]) + np.sin(u * 1.7 + phases[1])
    rows = (corner + np.arange(u.shape[0]) * spacing_mm * 2).astype(int) % TEXTURE_SIZE
    columns = (corner + np.arange(u.shape[1]) * spacing_mm * 2).astype(int) % TEXTURE_SIZE
    mixed: Floats = 0.45 * striae + 0.5 * texture[np.ix_(rows, columns)]
    return mixed


def _grow_texture(rng: np.random.Generator) -> Floats:
    """Return a wrapping random mesh with a grain of about two millimetres (two pixels a millimetre)."""
    noise = rng.standard_normal((TEXTURE_SIZE, TEXTURE_SIZE), dtype=np.float32)
    for axis in (0, 1):
        noise = noise + np.roll(noise, 1, axis) + np.roll(noise, 2, axis)
    texture: Floats = noise / noise.std()
    return texture


def _add_osteophytes(
    patch: Floats, u: Floats, v: Floats, vertebra: Vertebra, density: float, soft: float
) -> None:
    """Add beaks at the four corners: large in front, small behind, curling over the disc."""
    half = vertebra.depth_mm / 2
    strength = 0.30 + 0.22 * density
    for side, share in ((-1, 1.0), (1, 0.4)):
        height = (vertebra.anterior_mm if side < 0 else vertebra.posterior_mm) / 2
        for up, spur in zip((-1, 1), vertebra.osteophytes_mm, strict=True):
            length = spur * share
            u0, v0 = side * (half - 2.0), up * (height - 2.4)
            ends = (u0, v0, u0 + side * (length + 1.0), v0 + up * 0.42 * length)
            beak = capsule_distance(u, v, ends, (2.4, 0.9))
            np.maximum(patch, strength * fill_edge(beak, soft), out=patch)


def add_posterior_elements(bone: Floats, grid: Grid, vertebra: Vertebra, spine: Spine) -> None:
    """Add pedicles, articular processes, lamina and spinous process of one vertebra."""
    size, facet = spine.size, spine.signs["facet_arthrosis"]
    depth, tall = vertebra.depth_mm / 2, vertebra.posterior_mm
    lumbar = LEVELS.index(vertebra.level) < LUMBAR_ARCHES
    back = depth + (62.0 if lumbar else 58.0) * size
    reach = box_reach(vertebra.tilt_rad, (depth - 6, back), (-0.9 * tall, 1.9 * tall))
    window = grid.window(vertebra.x_mm, vertebra.y_mm, reach)
    if window is None:
        return
    u, v = window.turn(vertebra.tilt_rad)
    soft = max(1.4, 1.5 * grid.spacing_mm)
    density = 0.5 + 0.5 * spine.signs["bone_density"]
    pieces = _list_lumbar(depth, tall, size, facet) if lumbar else _list_thoracic(depth, tall, size, facet)
    patch = np.zeros_like(u)
    for ends, radii, strength in pieces:
        distance = capsule_distance(u, v, ends, radii)
        rim = np.exp(-np.square(distance - 0.8) * 0.9)
        patch += fill_edge(distance, soft) * (strength * density) * (0.75 + 0.6 * rim)
    bone[window.pixels] += patch


Piece = tuple[tuple[float, float, float, float], tuple[float, float], float]


def _list_lumbar(depth: float, tall: float, size: float, facet: float) -> list[Piece]:
    """List capsules (ends, radii, strength) of a lumbar arch, in mm from the body's centre."""
    joint = depth + 15.0 * size
    return [
        ((depth - 3, -0.17 * tall, joint - 3, -0.14 * tall), (4.6 * size, 4.2 * size), 0.26),
        (
            (joint - 2, -0.12 * tall, joint + 1, -0.62 * tall),
            (3.6 * size, 3.4 * size * facet),
            0.16 + 0.10 * facet,
        ),
        (
            (joint, -0.05 * tall, joint + 6 * size, 0.72 * tall),
            (3.8 * size, 3.2 * size * facet),
            0.16 + 0.10 * facet,
        ),
        ((joint + 5 * size, 0.16 * tall, joint + 33 * size, 0.42 * tall), (5.0 * size, 8.2 * size), 0.17),
    ]


def _list_thoracic(depth: float, tall: float, size: float, facet: float) -> list[Piece]:
    """List capsules (ends, radii, strength) of a thoracic arch, in mm from the body's centre."""
    joint = depth + 12.0 * size
    return [
        ((depth - 3, -0.22 * tall, joint - 2, -0.18 * tall), (3.6 * size, 3.4 * size), 0.22),
        (
            (joint - 1, -0.12 * tall, joint + 1, -0.60 * tall),
            (2.8 * size, 2.3 * size * facet),
            0.13 + 0.08 * facet,
        ),
        ((joint, 0.0, joint + 4 * size, 0.66 * tall), (3.0 * size, 2.3 * size * facet), 0.13 + 0.08 * facet),
        ((joint + 4 * size, 0.2 * tall, joint + 23 * size, 1.2 * tall), (3.8 * size, 2.6 * size), 0.11),
    ]


def add_sacrum(bone: Floats, grid: Grid, spine: Spine) -> None:
    """Add the sacrum with its promontory and the iliac wings that overlie L5 and S1."""
    size = spine.size
    window = grid.window(0.0, 0.0, (75 * size, 110 * size, 75 * size, 130 * size))
    if window is None:
        return
    u, v = window.turn(spine.sacral_slope_rad)
    density = 0.4 + 0.6 * spine.signs["bone_density"]
    outline, joints = _measure_sacrum(u * (1 / size), v * (1 / size))
    rim = np.exp(-np.square(outline - 0.9) * 0.8)
    joint = np.exp(-np.square(joints) * 0.5)
    inside = fill_edge(outline, max(1.4, 1.5 * grid.spacing_mm))
    patch = inside * density * (0.36 + 0.24 * rim + 0.10 * joint)
    crest = capsule_distance(
        u, v, (18.0 * size, 4.0 * size, 46.0 * size, 62.0 * size), (5.0 * size, 9.0 * size)
    )
    patch += fill_edge(crest, 4.0) * (0.12 * density)
    x, y = window.dx[None, :], window.dy[:, None]
    across, along = (x - 6 * size) * (1 / 58), (y - 62 * size) * (1 / 88)
    wing = (1 - np.sqrt(across * across + along * along) * (1 / size)) * 60.0
    edge = np.exp(-np.square(wing - 2) * (1 / 3.0**2)) * (y < 40 * size)
    patch += (0.10 * density) * fill_edge(wing, 8.0) + (0.16 * density) * edge
    bone[window.pixels] += patch


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

"""The grid on which anatomy is laid down as attenuation, in millimetres."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Grid:
    """A pixel raster: ``(left_mm, top_mm)`` is the centre of the first pixel."""

    left_mm: float
    top_mm: float
    spacing_mm: float
    rows: int
    columns: int

    @property
    def xs(self) -> Floats:
        """x of every column, mm."""
        return (self.left_mm + self.spacing_mm * np.arange(self.columns)).astype(np.float32)

    @property
    def ys(self) -> Floats:
        """y of every row, mm."""
        return (self.top_mm + self.spacing_mm * np.arange(self.rows)).astype(np.float32)

    def coarsen(self, factor: int) -> Grid:
        """Return a grid of the same field with pixels ``factor`` times as wide."""
        return Grid(
            self.left_mm + self.spacing_mm * (factor - 1) / 2,
            self.top_mm + self.spacing_mm * (factor - 1) / 2,
            self.spacing_mm * factor,
            -(-self.rows // factor),
            -(-self.columns // factor),
        )

    def reaches(self, y_mm: float, reach_mm: float) -> bool:
        """Tell whether anything within ``reach_mm`` of a height lies in the field."""
        bottom_mm = self.top_mm + self.rows * self.spacing_mm
        return self.top_mm - reach_mm < y_mm < bottom_mm + reach_mm

    def window(self, x_mm: float, y_mm: float, reach: tuple[float, float, float, float]) -> Window | None:
        """Return the pixels of a box (left, right, up, down, mm) about a point; None when it lies outside."""
        first_column = max(math.floor((x_mm - reach[0] - self.left_mm) / self.spacing_mm), 0)
        last_column = min(math.ceil((x_mm + reach[1] - self.left_mm) / self.spacing_mm) + 1, self.columns)
        first_row = max(math.floor((y_mm - reach[2] - self.top_mm) / self.spacing_mm), 0)
        last_row = min(math.ceil((y_mm + reach[3] - self.top_mm) / self.spacing_mm) + 1, self.rows)
        if first_column >= last_column or first_row >= last_row:
            return None
        return Window(
            (slice(first_row, last_row), slice(first_column, last_column)),
            self.xs[first_column:last_column] - x_mm,
            self.ys[first_row:last_row] - y_mm,
        )


@dataclass(frozen=True, slots=True)
class Window:
    """A box of a grid with the offsets (mm) of its columns and rows from a point."""

    pixels: tuple[slice, slice]
    dx: Floats
    dy: Floats

    def turn(self, tilt_rad: float) -> tuple[Floats, Floats]:
        """Return (u, v) of every pixel: u backwards, v down an axis that leans forward."""
        cos, sin = math.cos(tilt_rad), math.sin(tilt_rad)
        u = (self.dx * cos)[None, :] - (self.dy * sin)[:, None]
        v = (self.dx * sin)[None, :] + (self.dy * cos)[:, None]
        return u, v


Box = tuple[float, float, float, float]


def box_reach(tilt_rad: float, u: tuple[float, float], v: tuple[float, float]) -> Box:
    """Return the (left, right, up, down) reach in mm that holds a tilted box of u and v."""
    cos, sin = math.cos(tilt_rad), math.sin(tilt_rad)
    xs = [a * cos + b * sin for a in u for b in v]
    ys = [-a * sin + b * cos for a in u for b in v]
    return -min(xs), max(xs), -min(ys), max(ys)


def fill_edge(distance_mm: Floats, softness_mm: float) -> Floats:
    """Return 0..1 coverage of a shape whose inside has positive distance, with a soft edge."""
    coverage: Floats = np.clip(distance_mm * (1 / softness_mm) + 0.5, 0, 1)
    return coverage


def capsule_distance(u: Floats, v: Floats, ends: Box, radii: tuple[float, float]) -> Floats:
    """Return mm inside (positive) a capsule from (u0, v0) to (u1, v1) that tapers between two radii."""
    u0, v0, u1, v1 = ends
    du, dv = u1 - u0, v1 - v0
    length = max(du * du + dv * dv, 1e-6)
    along: Floats = np.clip(((u - u0) * (du / length) + (v - v0) * (dv / length)), 0, 1)
    across = u - u0 - along * du
    beside = v - v0 - along * dv
    distance = np.sqrt(across * across + beside * beside)
    depth: Floats = radii[0] + along * (radii[1] - radii[0]) - distance
    return depth


def resize(values: Floats, rows: int, columns: int) -> Floats:
    """Resize bilinearly (Pillow's, which averages when it shrinks)."""
    image = Image.fromarray(np.ascontiguousarray(values))
    return np.asarray(image.resize((columns, rows), Image.Resampling.BILINEAR), np.float32)


def smooth(values: Floats, sigma_px: float) -> Floats:
    """Blur broadly by way of a shrunken copy: what scatter and dynamic range compression need."""
    factor = max(int(sigma_px / 3), 1)
    rows, columns = values.shape
    small = resize(values, max(rows // factor, 4), max(columns // factor, 4))
    blurred = ndimage.gaussian_filter(small, sigma_px / factor, mode="nearest")
    return resize(blurred, rows, columns)


def grow_mesh(
    rng: np.random.Generator, shape: tuple[int, int], sigma_px: tuple[float, float] | float
) -> Floats:
    """Return a wrapping random field of mean 0 and SD 1, as coarse as a Gaussian of ``sigma_px``."""
    noise = rng.standard_normal(shape, dtype=np.float32)
    mesh: Floats = ndimage.gaussian_filter(noise, sigma_px, mode="wrap")
    mesh /= mesh.std()
    return mesh


def ease(values: Floats | float, first: float, last: float) -> Floats:
    """Return 0 before ``first`` and 1 after ``last`` with a smooth step between."""
    share = np.clip((np.asarray(values, np.float32) - first) / (last - first), 0, 1)
    step: Floats = share * share * (3 - 2 * share)
    return step

"""The ribs of both sides, curved as the chest is, with the nearer side larger and softer."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter

from spinescore.core.phantom.canvas import Floats, Grid
from spinescore.core.phantom.spine import LEVELS, Spine

Doubles = npt.NDArray[np.float64]
# x backwards and y down from the vertebra's centre, mm of a normal-sized chest; the second value of
# each pair is added once per rib number: lower ribs fall more steeply
KNOTS_X = ((11, 0.0), (76, 0.7), (34, 1.2), (-52, -0.8), (-126, 1.2))
KNOTS_Y = ((-6, 0.0), (-10, 1.0), (66, 2.2), (92, 3.4), (92, 2.6))
SHARES = {1: 0.62, 2: 0.8, 11: 0.62, 12: 0.42}  # how much of the curve the short ribs reach
GREY_PER_UNIT = 0.0020
BAND, ANGLE, UPPER_CORTEX, LOWER_CORTEX = 38, 58, 64, 52
CORTEX_MM = 1.6
RIB_MARGIN_MM = 40.0


def add_ribs(bone: Floats, grid: Grid, spine: Spine, rng: np.random.Generator) -> None:
    """Add twelve pairs of ribs that sweep back, then down and forwards across the levels below."""
    density = 0.55 + 0.45 * spine.signs["bone_density"]
    sides = rng.normal(0, 6.0, 2)
    turns = rng.normal(0, 0.04, 2)
    jitter = rng.normal(0, 1.0, (2, 12, 3))
    for side, (enlarged, blur_mm) in enumerate(((0.97, 0.5), (1.09, 1.0))):
        layer = Image.new("L", (grid.columns, grid.rows), 0)
        draw = ImageDraw.Draw(layer)
        for i, level in enumerate(LEVELS[5:17]):
            x, y = _trace_rib(spine, level, enlarged, float(turns[side]), jitter[side, i])
            if not grid.reaches((y.min() + y.max()) / 2, np.ptp(y) / 2 + RIB_MARGIN_MM):
                continue
            _draw_rib(draw, x, y + sides[side], enlarged * spine.size, grid)
        laid = layer.filter(ImageFilter.GaussianBlur(blur_mm / grid.spacing_mm))
        bone += np.asarray(laid, np.float32) * np.float32(GREY_PER_UNIT * density)


def _trace_rib(
    spine: Spine, level: str, enlarged: float, turn_rad: float, jitter: Doubles
) -> tuple[Doubles, Doubles]:
    """Return x and y of one rib's middle line, mm: a Bezier curve that turns with its vertebra."""
    vertebra = spine.find(level)
    number = int(level[1:])
    t = np.linspace(0.0, SHARES.get(number, 1.0), 26)
    blend = np.stack([math.comb(4, k) * (1 - t) ** (4 - k) * t**k for k in range(5)])
    chest = 1.0 if number > 3 else 0.55 + 0.13 * number
    u = np.array([first + each * number for first, each in KNOTS_X]) * chest @ blend
    v = np.array([first + each * number for first, each in KNOTS_Y]) * (1 + 0.05 * jitter[0]) @ blend
    u, v = spine.size * enlarged * u, spine.size * enlarged * (v + 2.0 * jitter[1])
    lean = 0.7 * vertebra.tilt_rad + turn_rad + 0.02 * jitter[2]
    cos, sin = math.cos(lean), math.sin(lean)
    return vertebra.x_mm + u * cos + v * sin, vertebra.y_mm - u * sin + v * cos


def _draw_rib(draw: ImageDraw.ImageDraw, x: Doubles, y: Doubles, size: float, grid: Grid) -> None:
    """Draw one rib: a pale band, denser at its angle where it runs along the beam, with two cortices."""
    half = size * np.interp(np.arange(x.size), (0, 6, x.size - 1), (3.2, 4.4, 5.6))
    dx, dy = np.gradient(x), np.gradient(y)
    length = np.hypot(dx, dy)
    middle = (np.stack([x, y]) - [[grid.left_mm], [grid.top_mm]]) / grid.spacing_mm
    normal = np.stack([-dy, dx]) / (length * grid.spacing_mm)
    turn = int(np.argmax(x))
    whole, angle = slice(None), slice(max(turn - 4, 0), turn + 5)
    inner = half - CORTEX_MM
    for part, one, other, grey in (
        (whole, half, -half, BAND),
        (angle, half, -half, ANGLE),
        (whole, half, inner, UPPER_CORTEX),
        (whole, -inner, -half, LOWER_CORTEX),
    ):
        sides = [(middle + normal * edge)[:, part] for edge in (one, other)]
        outline = np.concatenate([sides[0], sides[1][:, ::-1]], axis=1)
        draw.polygon(outline.T.ravel().tolist(), fill=grey)

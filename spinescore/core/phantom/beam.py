"""The radiograph's beam: scatter, anti-scatter grid, heel, exposure, noise and the detector's range."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from spinescore.core.phantom.acquisition import Acquisition
from spinescore.core.phantom.canvas import Floats, Grid, resize, smooth

BLOCKED = 0.02  # what lead blades let through
DETECTOR_FLOOR = 1e-4
AIR_END, AIR_STEEPNESS = 1.3, 0.7  # attenuation below which the display falls to black
BURNT_SHARE = 0.35  # of an over-exposed field's range: where the detector has nearly reached its end


def expose_radiograph(
    bone: Floats, soft: Floats, grid: Grid, acquisition: Acquisition, rng: np.random.Generator
) -> Floats:
    """Return brightness (log attenuation with scatter, compression and noise) at the image's own size."""
    primary = np.exp(-(bone + soft))
    blades = open_blades(grid.rows, grid.columns, acquisition)
    primary *= BLOCKED + (1 - BLOCKED) * blades
    scattered = primary + acquisition.scatter * smooth(np.minimum(primary, 0.12), 14.0 / grid.spacing_mm)
    attenuation = -np.log(scattered + np.float32(DETECTOR_FLOOR))
    if acquisition.exposure == "over":
        attenuation = _burn_out(attenuation)
    attenuation += _shade_field(grid, acquisition)
    flattened = attenuation - acquisition.compression * smooth(attenuation, 22.0 / grid.spacing_mm)
    flattened += AIR_STEEPNESS * np.minimum(attenuation - AIR_END, 0)
    flattened = ndimage.gaussian_filter(flattened, acquisition.blur_mm / grid.spacing_mm)
    rows, columns = acquisition.rows, acquisition.columns
    grain = resize(np.exp(0.5 * np.minimum(attenuation, 6) - 1.5), rows, columns)
    noise = rng.standard_normal((rows, columns), dtype=np.float32)
    brightness: Floats = resize(flattened, rows, columns) + acquisition.noise * grain * noise
    if acquisition.grid_lines:
        brightness += _draw_grid_lines(columns, acquisition)
    return brightness


def _burn_out(attenuation: Floats) -> Floats:
    """Flatten what lies under a share of the range: the detector answers little to still more light."""
    sample = attenuation[::9, ::9]
    least, most = (float(q) for q in np.quantile(sample, (0.02, 0.98)))
    end = least + BURNT_SHARE * (most - least)
    burnt: Floats = np.where(attenuation < end, end + 0.25 * (attenuation - end), attenuation)
    return burnt


def _shade_field(grid: Grid, acquisition: Acquisition) -> Floats:
    """Return what heel and grid cut-off add to the attenuation, along and across the field."""
    down = np.linspace(-1, 1, grid.rows, dtype=np.float32)[:, None]
    across = np.linspace(-1, 1, grid.columns, dtype=np.float32)[None, :]
    shade: Floats = acquisition.heel * down + acquisition.cut_off * across
    return shade


def _draw_grid_lines(columns: int, acquisition: Acquisition) -> Floats:
    """Return the faint shadow of the anti-scatter grid's strips, along the table."""
    phase = np.arange(columns, dtype=np.float32) * np.float32(2 * np.pi / acquisition.grid_period_px)
    lines: Floats = acquisition.grid_lines * np.sin(phase)
    return lines


def open_blades(rows: int, columns: int, acquisition: Acquisition) -> npt.NDArray[np.bool_]:
    """Return which pixels the collimator leaves open; its blades may be turned a little."""
    top, bottom, left, right = acquisition.collimation
    if not acquisition.blades_rad:
        blades = np.zeros((rows, columns), bool)
        blades[
            round(top * rows) : rows - round(bottom * rows),
            round(left * columns) : columns - round(right * columns),
        ] = True
        return blades
    lean = np.float32(acquisition.blades_rad)
    y = np.arange(rows, dtype=np.float32)[:, None]
    x = np.arange(columns, dtype=np.float32)[None, :]
    along = y + lean * (x - columns / 2)
    across = x - lean * (y - rows / 2)
    opened = np.ones((rows, columns), bool)
    for closed, beyond in (
        (top, along >= top * rows),
        (bottom, along < (1 - bottom) * rows),
        (left, across >= left * columns),
        (right, across < (1 - right) * columns),
    ):
        if closed:
            opened &= beyond
    return opened

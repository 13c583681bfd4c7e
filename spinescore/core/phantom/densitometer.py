"""A densitometer's lateral scan: line by line, coarse, with soft tissue subtracted or left in."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from spinescore.core.phantom.acquisition import Acquisition
from spinescore.core.phantom.canvas import Floats, Grid, resize, smooth

SOFT_SHARE = {1: 0.26, 2: 0.14}  # of soft tissue that one energy shows, and that two leave
GHOST = 0.08  # edges of soft tissue that two energies leave, as the patient breathes between lines
BONE_GAMMA = 0.95  # DXA shows dense bone on a flatter scale
WOBBLE_PX = 0.35


def expose_vfa(
    bone: Floats, soft: Floats, grid: Grid, acquisition: Acquisition, rng: np.random.Generator
) -> Floats:
    """Return brightness of a DXA scan at the image's own size."""
    device = acquisition.device
    shown = np.power(np.maximum(bone, 0), BONE_GAMMA) + SOFT_SHARE[device.energies] * soft
    if device.energies == 2:
        shown += GHOST * (soft - smooth(soft, 7.0 / grid.spacing_mm))
    shown = shown - acquisition.compression * smooth(shown, 25.0 / grid.spacing_mm)
    shown = ndimage.gaussian_filter(shown, 0.8 * acquisition.blur_mm / grid.spacing_mm)
    rows = max(round(acquisition.field_mm[0] / device.pixel_mm), 8)
    columns = max(round(acquisition.field_mm[1] / device.pixel_mm), 8)
    shown, thick = resize(shown, rows, columns), resize(soft, rows, columns)
    shown = _scan_lines(shown, thick, acquisition, rng)
    return resize(shown, acquisition.rows, acquisition.columns)


def _scan_lines(shown: Floats, thick: Floats, acquisition: Acquisition, rng: np.random.Generator) -> Floats:
    """Add what a moving detector adds: noise that grows with thickness, uneven lines, seams, wobble."""
    rows, columns = shown.shape
    grain = np.exp(0.28 * (thick - 3.5)).clip(0.5, 2.2)
    quanta = 1.3 * acquisition.noise * grain * rng.standard_normal((rows, columns), dtype=np.float32)
    lines = rng.standard_normal((rows, 1), dtype=np.float32)
    lines = acquisition.line_noise * (lines + 0.8 * ndimage.gaussian_filter1d(lines, 3.0, axis=0) * 3.0)
    wobble = ndimage.gaussian_filter1d(rng.standard_normal(rows, dtype=np.float32), 1.0)
    moved = _shift_lines(shown, np.float32(WOBBLE_PX) * wobble)
    if acquisition.device.sweep_mm:
        sweep = np.arange(rows) * acquisition.device.pixel_mm // acquisition.device.sweep_mm
        steps = rng.standard_normal(int(sweep[-1]) + 1).astype(np.float32)
        lines = lines + 1.2 * acquisition.line_noise * steps[sweep.astype(int)][:, None]
    scanned: Floats = moved + quanta + lines
    return scanned


def _shift_lines(shown: Floats, shift_px: Floats) -> Floats:
    """Shift every line sideways by its own part of a pixel."""
    before, after = np.roll(shown, 1, axis=1), np.roll(shown, -1, axis=1)
    slope = np.float32(0.5) * (after - before)
    slope[:, [0, -1]] = 0
    moved: Floats = shown + shift_px[:, None] * slope
    return moved

"""What a device makes of brightness: enhancement, display curve, shutter, marks, and integers."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage

from spinescore.core.phantom.acquisition import Acquisition
from spinescore.core.phantom.beam import open_blades
from spinescore.core.phantom.canvas import Floats
from spinescore.core.phantom.mark import draw_mark, draw_text, place_mark

Pixels = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]

MARKER_MM = 14.0  # a lead letter's height
RULER_MM = 10.0
DARK_REACH = 1.8  # of the range above the median, how much below it is shown in full contrast
SHOULDER = 0.08  # contrast left of what is darker still, as air is


def digitise(brightness: Floats, acquisition: Acquisition) -> Pixels:
    """Sharpen, window, bend, shutter and mark, then integers of the device's depth and polarity."""
    rows, columns = brightness.shape
    blades = open_blades(rows, columns, acquisition)
    value = _window(_enhance(brightness, acquisition), blades, acquisition)
    if acquisition.marker:
        _lay_marker(value, acquisition)
    if acquisition.shutter:
        value[~blades] = 0.0
    if acquisition.ruler:
        _lay_ruler(value, acquisition)
    value[place_mark(rows, columns)] = draw_mark(rows)
    shown = np.float32(1) - value if acquisition.device.photometric == "MONOCHROME1" else value
    full = (1 << acquisition.device.bits_stored) - 1
    if full < 256:
        return (shown * full + 0.5).astype(np.uint8)
    return (shown * full + 0.5).astype(np.uint16)


def _enhance(brightness: Floats, acquisition: Acquisition) -> Floats:
    """Sharpen edges as the device does (an unsharp mask)."""
    device = acquisition.device
    if not device.enhancement:
        return brightness
    size = max(round(2 * device.enhancement_mm / acquisition.spacing_mm), 1) + 1
    sharp: Floats = brightness + device.enhancement * (brightness - ndimage.uniform_filter(brightness, size))
    return sharp


def _window(brightness: Floats, blades: npt.NDArray[np.bool_], acquisition: Acquisition) -> Floats:
    """Return 0..1: the anatomy's range stretched over the window, along the device's curve."""
    sample = brightness[::9, ::9][blades[::9, ::9]]
    low, middle, high = (float(q) for q in np.quantile(sample, (0.01, 0.5, 0.995)))
    low = max(low, middle - DARK_REACH * (high - middle))
    value = (brightness - low) * (1 / max(high - low, 1e-3))
    value = np.clip(np.maximum(value, SHOULDER * value), -0.1, 1.1)
    bend = acquisition.device.contrast
    if bend:
        value += bend * value * (1 - value) * (value - 0.45) * 1.6
    value = np.sign(value) * np.abs(value) ** acquisition.gamma
    darkest, brightest = acquisition.window
    shown: Floats = np.clip(darkest + (brightest - darkest) * value, 0, 1).astype(np.float32)
    return shown


def _lay_marker(value: Floats, acquisition: Acquisition) -> None:
    """Lay the lead letter of the side in an upper corner, askew as it was stuck on."""
    rows, columns = value.shape
    dot = max(MARKER_MM / acquisition.spacing_mm / 7, 1.0)
    bitmap = Image.fromarray(np.pad(draw_text(acquisition.marker), 2).astype(np.uint8) * 255)
    size = (round(bitmap.width * dot), round(bitmap.height * dot))
    turned = bitmap.resize(size, Image.Resampling.BILINEAR).rotate(
        np.degrees(acquisition.marker_rad), Image.Resampling.BILINEAR
    )
    lead = np.asarray(turned, np.float32)[: rows // 2, : columns // 2] / 255
    down, across = acquisition.marker_place
    top, left = round(down * rows), round(across * columns)
    if not acquisition.facing_right:
        left = columns - left - lead.shape[1]
    place = np.s_[top : top + lead.shape[0], max(left, 0) : max(left, 0) + lead.shape[1]]
    np.maximum(value[place], 0.97 * lead, out=value[place])


def _lay_ruler(value: Floats, acquisition: Acquisition) -> None:
    """Lay a ruler's ticks, one a centimetre, along the right border."""
    rows, columns = value.shape
    thick = max(rows // 600, 1)
    for i, y in enumerate(np.arange(0.0, acquisition.field_mm[0], RULER_MM)):
        row = round(y / acquisition.spacing_mm)
        value[row : row + thick, columns - columns // (24 if i % 5 == 0 else 48) :] = 0.9

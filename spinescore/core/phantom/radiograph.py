"""From a person to the pixels of a lateral spine radiograph or a DXA VFA image.

Bone and soft tissue are laid down as log attenuation; the beam adds scatter and
quantum noise; the device compresses, windows and digitises. Anatomy depends on
the person alone, the rest on the drawn ``Acquisition`` alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage

from spinescore.core.phantom.acquisition import Acquisition, Device, Photometric, draw_acquisition
from spinescore.core.phantom.anatomy import Spine, build_spine, tilt_spine
from spinescore.core.phantom.canvas import Floats, Grid
from spinescore.core.phantom.mark import draw_mark, place_mark
from spinescore.core.phantom.person import Person
from spinescore.core.phantom.randomness import open_generator
from spinescore.core.phantom.soft_tissue import COARSE, add_plaques, add_ribs, lay_soft_tissue
from spinescore.core.phantom.vertebra import add_bones
from spinescore.domain import Kind

Pixels = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]

FINEST_MM = 0.5  # anatomy is laid down no finer than this, and on larger images no finer than
FINEST_LARGE_MM = 0.3
LARGE_ROWS = 1600
VFA_SOFT_SHARE = 0.22  # what dual energies leave of the soft tissue
VFA_BONE_GAMMA = 0.8  # DXA shows dense bone on a flatter scale


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """A finished image; ``pixels`` is uint8 or uint16 (rows x columns) as the file stores it."""

    pixels: Pixels
    bits_stored: int
    photometric: Photometric
    kind: Kind
    device: Device
    acquisition: Acquisition
    spacing_mm: float


def render(person: Person, *, kind: Kind, seed: int, height: int | None = None) -> Rendered:
    """Render one image of a person, deterministic in (subject_id, kind, seed).

    Parameters
    ----------
    person : Person
        Whose spine is imaged.
    kind : "radiograph" or "vfa"
        The modality.
    seed : int
        The cohort's seed.
    height : int, optional
        Rows of the image; drawn (about 820-1300) when left out.

    Returns
    -------
    Rendered
        Bone is bright in MONOCHROME2 and dark in MONOCHROME1.
    """
    acquisition = draw_acquisition(person.subject_id, kind=kind, seed=seed, height=height)
    spine = tilt_spine(build_spine(person, seed=seed), acquisition.tilt_rad)
    rng = open_generator(seed, person.subject_id, kind, "rendering")
    grid = place_field(spine, acquisition)
    bone, soft = lay_anatomy(spine, grid, acquisition, rng)
    expose = expose_vfa if kind == "vfa" else expose_radiograph
    brightness = expose(bone, soft, grid, acquisition, rng)
    device = acquisition.device
    return Rendered(
        pixels=digitise(brightness, acquisition),
        bits_stored=device.bits_stored,
        photometric=device.photometric,
        kind=kind,
        device=device,
        acquisition=acquisition,
        spacing_mm=acquisition.spacing_mm,
    )


def place_field(spine: Spine, acquisition: Acquisition) -> Grid:
    """Return the working grid: the field of view about the level it is centred on."""
    finest = FINEST_LARGE_MM if acquisition.rows > LARGE_ROWS else FINEST_MM
    spacing = max(acquisition.spacing_mm, finest)
    tall, wide = acquisition.field_mm
    low = math.floor(acquisition.centre_level)
    share = acquisition.centre_level - low
    first, second = spine.vertebrae[low], spine.vertebrae[low + 1]
    y = first.y_mm + share * (second.y_mm - first.y_mm) + acquisition.offset_mm[1]
    seen = [v.x_mm for v in spine.vertebrae if abs(v.y_mm - y) < tall / 2]
    x = (min(seen) + max(seen)) / 2 + 6.0 + acquisition.offset_mm[0]
    rows, columns = max(math.ceil(tall / spacing), 8), max(math.ceil(wide / spacing), 8)
    return Grid(x - (columns - 1) / 2 * spacing, y - (rows - 1) / 2 * spacing, spacing, rows, columns)


def lay_anatomy(
    spine: Spine, grid: Grid, acquisition: Acquisition, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """Return log attenuation of bone and of soft tissue on the working grid, as the subject faces."""
    bone = np.zeros((grid.rows, grid.columns), np.float32)
    add_ribs(bone, grid, spine, rng)
    add_bones(bone, grid, spine, rng)
    add_plaques(bone, grid, spine)
    coarse = lay_soft_tissue(grid, spine, rng)
    soft = resize(coarse, coarse.shape[0] * COARSE, coarse.shape[1] * COARSE)[: grid.rows, : grid.columns]
    if acquisition.facing_right:
        return bone[:, ::-1], soft[:, ::-1]
    return bone, soft


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


def expose_radiograph(
    bone: Floats, soft: Floats, grid: Grid, acquisition: Acquisition, rng: np.random.Generator
) -> Floats:
    """Return brightness (log attenuation with scatter, compression and noise) at the image's own size."""
    primary = np.exp(-(bone + soft))
    blades = open_blades(grid.rows, grid.columns, acquisition.collimation)
    primary[~blades] *= 0.02
    scattered = primary + acquisition.scatter * smooth(np.minimum(primary, 0.12), 14.0 / grid.spacing_mm)
    attenuation = -np.log(scattered + (1e-4))
    flattened = attenuation - acquisition.compression * smooth(attenuation, 22.0 / grid.spacing_mm)
    flattened = ndimage.gaussian_filter(flattened, acquisition.blur_mm / grid.spacing_mm)
    rows, columns = acquisition.rows, acquisition.columns
    grain = resize(np.exp(0.5 * np.minimum(attenuation, 6) - 1.5), rows, columns)
    noise = rng.standard_normal((rows, columns), dtype=np.float32)
    return resize(flattened, rows, columns) + acquisition.noise * grain * noise


def expose_vfa(
    bone: Floats, soft: Floats, grid: Grid, acquisition: Acquisition, rng: np.random.Generator
) -> Floats:
    """Return brightness of a DXA scan: soft tissue mostly subtracted, blurred, noisy from line to line."""
    shown = np.power(bone, VFA_BONE_GAMMA) + VFA_SOFT_SHARE * soft
    shown = shown - acquisition.compression * smooth(shown, 25.0 / grid.spacing_mm)
    shown = ndimage.gaussian_filter(shown, acquisition.blur_mm / grid.spacing_mm)
    coarse = rng.standard_normal(shown.shape, dtype=np.float32)
    coarse = ndimage.uniform_filter(coarse, 2)
    lines = rng.standard_normal((grid.rows, 1), dtype=np.float32) * acquisition.line_noise
    shown = shown + (2 * acquisition.noise) * coarse + lines
    return resize(shown, acquisition.rows, acquisition.columns)


def open_blades(rows: int, columns: int, closed: tuple[float, float, float, float]) -> npt.NDArray[np.bool_]:
    """Return which pixels the collimator leaves open."""
    blades = np.zeros((rows, columns), bool)
    top, bottom, left, right = closed
    blades[
        round(top * rows) : rows - round(bottom * rows),
        round(left * columns) : columns - round(right * columns),
    ] = True
    return blades


def digitise(brightness: Floats, acquisition: Acquisition) -> Pixels:
    """Window, gamma, shutter and mark, then integers of the device's depth and polarity."""
    rows, columns = brightness.shape
    blades = open_blades(rows, columns, acquisition.collimation)
    sample = brightness[::9, ::9][blades[::9, ::9]]
    low, high = (float(q) for q in np.quantile(sample, (0.01, 0.995)))
    value = np.clip((brightness - low) * (1 / max(high - low, 1e-3)), -0.1, 1.1)
    darkest, brightest = acquisition.window
    value = np.sign(value) * np.abs(value) ** acquisition.gamma
    value = np.clip(darkest + (brightest - darkest) * value, 0, 1)
    if acquisition.shutter:
        value[~blades] = 0.0
    value[place_mark(rows, columns)] = draw_mark(rows)
    full = (1 << acquisition.device.bits_stored) - 1
    if acquisition.device.photometric == "MONOCHROME1":
        value = 1 - value
    pixels: Pixels = (value * full + 0.5).astype(np.uint8 if full < 256 else np.uint16)
    return pixels

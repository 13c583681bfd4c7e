"""From a person to the pixels of a lateral spine radiograph or a DXA VFA image.

Bone and soft tissue are laid down as log attenuation; the beam adds scatter and
quantum noise; the device compresses, windows and digitises. Anatomy depends on
the person alone, the rest on the drawn ``Acquisition`` alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from spinescore.core.phantom.acquisition import Acquisition, Device, Photometric, draw_acquisition
from spinescore.core.phantom.anatomy import build_spine, tilt_spine
from spinescore.core.phantom.arch import add_arch
from spinescore.core.phantom.beam import expose_radiograph
from spinescore.core.phantom.canvas import Floats, Grid, resize
from spinescore.core.phantom.densitometer import expose_vfa
from spinescore.core.phantom.mark import draw_mark
from spinescore.core.phantom.metal import add_metal
from spinescore.core.phantom.pelvis import add_pelvis
from spinescore.core.phantom.person import Person
from spinescore.core.phantom.presentation import Pixels, digitise
from spinescore.core.phantom.randomness import open_generator
from spinescore.core.phantom.ribs import add_ribs
from spinescore.core.phantom.soft_tissue import COARSE, add_plaques, lay_soft_tissue
from spinescore.core.phantom.spine import Spine
from spinescore.core.phantom.vertebra import add_bodies, prepare_bone
from spinescore.domain import Kind

FINEST_MM = 0.5  # anatomy is laid down no finer than this, and on larger images no finer than
FINEST_LARGE_MM = 0.3
LARGE_ROWS = 1600
MARK_MARGIN = 24  # pixels about the mark that stay clear of vertebrae
FEWEST_ROWS_WITH_ROOM = 600  # of smaller images, as tests draw them, the mark takes up too much


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
    rng = open_generator(seed, person.subject_id, kind, "rendering")
    return picture(build_spine(person, seed=seed), acquisition, kind=kind, rng=rng)


def picture(spine: Spine, acquisition: Acquisition, *, kind: Kind, rng: np.random.Generator) -> Rendered:
    """Take one image of a spine; anatomy comes from ``spine`` alone, everything else from the rest."""
    tilted = tilt_spine(spine, acquisition.tilt_rad)
    grid = place_field(tilted, acquisition)
    bone, soft = lay_anatomy(tilted, grid, acquisition, rng)
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
    x += _make_room_for_mark(spine, acquisition, x, y)
    rows, columns = max(math.ceil(tall / spacing), 8), max(math.ceil(wide / spacing), 8)
    return Grid(x - (columns - 1) / 2 * spacing, y - (rows - 1) / 2 * spacing, spacing, rows, columns)


def _make_room_for_mark(spine: Spine, acquisition: Acquisition, x: float, y: float) -> float:
    """Return how far, mm, the field about (x, y) has to move so that the mark covers no vertebra."""
    if acquisition.rows < FEWEST_ROWS_WITH_ROOM:
        return 0.0
    tall, wide = acquisition.field_mm
    mark = draw_mark(acquisition.rows).shape
    height, width = ((side + MARK_MARGIN) * acquisition.spacing_mm for side in mark)
    towards = 1.0 if acquisition.facing_right else -1.0  # the mark lies at the lower left of the picture
    edge = x + towards * wide / 2
    lowest = [v for v in spine.vertebrae if y + tall / 2 - height - v.anterior_mm / 2 < v.y_mm < y + tall / 2]
    room = [towards * (edge - v.x_mm) - v.depth_mm / 2 for v in lowest]
    return towards * max([0.0, *(float(width - r) for r in room)])


def lay_anatomy(
    spine: Spine, grid: Grid, acquisition: Acquisition, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """Return log attenuation of bone and of soft tissue on the working grid, as the subject faces."""
    bone = np.zeros((grid.rows, grid.columns), np.float32)
    made = prepare_bone(spine, acquisition.divergence, rng)
    add_ribs(bone, grid, spine, rng)
    add_pelvis(bone, grid, spine, made, rng)
    for vertebra in spine.vertebrae:
        add_arch(bone, grid, vertebra, spine, rng)
    add_bodies(bone, grid, spine, made, rng)
    add_plaques(bone, grid, spine)
    add_metal(bone, grid, spine, acquisition.metal, rng)
    coarse = lay_soft_tissue(grid, spine, rng)
    soft = resize(coarse, coarse.shape[0] * COARSE, coarse.shape[1] * COARSE)[: grid.rows, : grid.columns]
    if acquisition.facing_right:
        return bone[:, ::-1], soft[:, ::-1]
    return bone, soft

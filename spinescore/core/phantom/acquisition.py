"""How an image is taken: device, field, beam and presentation, all independent of the person."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from spinescore.core.phantom.randomness import open_generator
from spinescore.domain import Kind

Storage = Literal["cr", "dx", "sc"]
Photometric = Literal["MONOCHROME1", "MONOCHROME2"]
Metal = Literal["none", "screws", "cement", "clips", "buckle", "hook"]
Exposure = Literal["right", "under", "over"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A made-up machine and the way it makes and writes its images.

    ``contrast`` bends the display curve to an S, ``enhancement`` sharpens edges over
    ``enhancement_mm``. Of densitometers, ``energies`` is 2 where soft tissue is subtracted,
    ``pixel_mm`` what they resolve and ``sweep_mm`` how far apart the seams of their sweeps lie.
    """

    manufacturer: str
    model: str
    storage: Storage
    modality: str
    bits_stored: int
    photometric: Photometric
    transfer_syntax: str
    study_description: str
    series_description: str
    protocol_name: str = ""
    names_view: bool = True
    names_body_part: bool = True
    contrast: float = 0.0
    enhancement: float = 0.0
    enhancement_mm: float = 1.5
    energies: int = 1
    pixel_mm: float = 0.5
    sweep_mm: float = 0.0


RADIOGRAPH_DEVICES = (
    Device(
        manufacturer="Phantomed",
        model="Lateralis 3",
        storage="cr",
        modality="CR",
        bits_stored=12,
        photometric="MONOCHROME1",
        transfer_syntax="jpeg_ls",
        study_description="Spine",
        series_description="Spine lateral",
        contrast=0.3,
        enhancement=0.5,
    ),
    Device(
        manufacturer="Mockray Imaging",
        model="Pseudograph DR",
        storage="dx",
        modality="DX",
        bits_stored=14,
        photometric="MONOCHROME2",
        transfer_syntax="explicit",
        study_description="X-ray spine",
        series_description="Lateral",
        contrast=0.6,
        enhancement=0.9,
        enhancement_mm=1.0,
    ),
    Device(
        manufacturer="Fictiva Systems",
        model="Nonesuch 40",
        storage="dx",
        modality="DX",
        bits_stored=12,
        photometric="MONOCHROME2",
        transfer_syntax="jpeg_2000",
        study_description="L-Spine",
        series_description="L-Spine lateral",
        enhancement=0.25,
        enhancement_mm=2.5,
    ),
    Device(
        manufacturer="Imaginarium Röntgen",
        model="Traumbild C",
        storage="cr",
        modality="CR",
        bits_stored=16,
        photometric="MONOCHROME1",
        transfer_syntax="implicit",
        study_description="Wirbelsäule",
        series_description="WS seitlich",
        contrast=0.8,
    ),
    Device(
        manufacturer="Noplace Devices",
        model="Unreal 2000",
        storage="cr",
        modality="CR",
        bits_stored=12,
        photometric="MONOCHROME2",
        transfer_syntax="rle",
        study_description="Spine 2 views",
        series_description="LAT",
        contrast=0.15,
        enhancement=0.7,
        enhancement_mm=2.0,
    ),
)
RADIOGRAPH_SHARES = (0.28, 0.24, 0.2, 0.12, 0.16)
VFA_DEVICES = (
    Device(
        manufacturer="Phantomed",
        model="Densimock iX",
        storage="cr",
        modality="CR",
        bits_stored=8,
        photometric="MONOCHROME2",
        transfer_syntax="explicit",
        study_description="DXA Exam",
        series_description="DXA Images",
        protocol_name="LVA",
        names_view=False,
        names_body_part=False,
        energies=2,
        pixel_mm=0.75,
        sweep_mm=17.0,
    ),
    Device(
        manufacturer="Fictiva Systems",
        model="Bonemirage 9",
        storage="cr",
        modality="CR",
        bits_stored=16,
        photometric="MONOCHROME2",
        transfer_syntax="jpeg_ls",
        study_description="DXA VFA",
        series_description="VFA lateral",
        protocol_name="Lateral VFA",
        contrast=0.5,
        enhancement=0.5,
        pixel_mm=0.6,
    ),
    Device(
        manufacturer="Mockray Imaging",
        model="Quasidexa",
        storage="sc",
        modality="OT",
        bits_stored=8,
        photometric="MONOCHROME2",
        transfer_syntax="rle",
        study_description="Vertebral Fracture Assessment",
        series_description="VFA lateral",
        protocol_name="VFA LATERAL",
        names_view=False,
        energies=2,
        contrast=0.3,
        pixel_mm=0.9,
    ),
)
VFA_SHARES = (0.5, 0.3, 0.2)
BODY_PARTS = ("LSPINE", "TSPINE", "SPINE")
EXPOSURES: tuple[Exposure, ...] = ("right", "under", "over")
EXPOSURE_SHARES = (0.92, 0.04, 0.04)
METALS: tuple[Metal, ...] = ("none", "screws", "cement", "clips", "buckle", "hook")
METAL_SHARES = (0.96, 0.012, 0.006, 0.008, 0.006, 0.008)
LONG_SHARE = 0.35  # of whole-spine fields: a long cassette that shows T4 to S1
CUT_SHARE = 0.10  # of all fields: levels missing above, below or both


@dataclass(frozen=True, slots=True, kw_only=True)
class Acquisition:
    """Everything about one image that is not anatomy; lengths in mm on the plane of the spine.

    ``centre_level`` counts levels from L5 upwards and may lie between two; ``collimation``
    is the closed share of top, bottom, left and right, its blades turned by ``blades_rad``;
    ``window`` is the part of the value range, 0..1, that the darkest and brightest anatomy take.
    ``divergence`` is how far the beam parts the two rims of an endplate, per mm from the middle.
    ``cut_off`` and ``heel`` are the fall of attenuation across and along the field, ``grid_lines``
    the strength of the anti-scatter grid's shadow and ``grid_period_px`` its period.
    """

    device: Device
    view_position: str
    body_part: str
    rows: int
    columns: int
    spacing_mm: float
    centre_level: float
    offset_mm: tuple[float, float]
    tilt_rad: float
    facing_right: bool
    collimation: tuple[float, float, float, float]
    shutter: bool
    blur_mm: float
    scatter: float
    compression: float
    noise: float
    line_noise: float
    window: tuple[float, float]
    gamma: float
    exposure: Exposure = "right"
    metal: Metal = "none"
    divergence: float = 0.0
    blades_rad: float = 0.0
    cut_off: float = 0.0
    heel: float = 0.0
    grid_lines: float = 0.0
    grid_period_px: float = 3.0
    marker: str = ""
    marker_place: tuple[float, float] = (0.0, 0.0)
    marker_rad: float = 0.0
    ruler: bool = False

    @property
    def field_mm(self) -> tuple[float, float]:
        """Height and width of the field."""
        return self.rows * self.spacing_mm, self.columns * self.spacing_mm


def draw_acquisition(subject_id: str, *, kind: Kind, seed: int, height: int | None = None) -> Acquisition:
    """Draw how one image is taken; of the person only the identifier is known here.

    Parameters
    ----------
    subject_id : str
        Names the random stream, nothing else.
    kind : "radiograph" or "vfa"
        Decides devices, field and beam.
    seed : int
        The cohort's seed.
    height : int, optional
        Rows of the image; drawn when left out. The field in mm is the same either way.
    """
    rng = open_generator(seed, subject_id, kind, "acquisition")
    return _draw_vfa(rng, height) if kind == "vfa" else _draw_radiograph(rng, height)


def _draw_radiograph(rng: np.random.Generator, height: int | None) -> Acquisition:
    device = RADIOGRAPH_DEVICES[int(rng.choice(len(RADIOGRAPH_DEVICES), p=RADIOGRAPH_SHARES))]
    part = BODY_PARTS[int(rng.choice(3, p=[0.45, 0.15, 0.4]))]
    tall_mm, centre = _draw_coverage(part, rng)
    wide = bool(rng.random() < 0.25)
    wide_mm = max(tall_mm, 300.0) * float(rng.uniform(1.05, 1.2) if wide else rng.uniform(0.52, 0.8))
    drawn = int(rng.integers(820, 900) if wide else rng.integers(980, 1200))
    facing_right = bool(rng.random() < 0.3)
    exposure = EXPOSURES[int(rng.choice(3, p=EXPOSURE_SHARES))]
    noise = float(np.exp(rng.uniform(np.log(0.012), np.log(0.035))))
    rows = height or drawn
    return Acquisition(
        device=device,
        view_position=str(rng.choice(["RL" if facing_right else "LL", "LATERAL", "LAT"], p=[0.6, 0.3, 0.1])),
        body_part=part,
        rows=rows,
        columns=round(rows * wide_mm / tall_mm),
        spacing_mm=tall_mm / rows,
        centre_level=centre,
        offset_mm=(float(rng.normal(0, 6)), float(rng.normal(0, 5))),
        tilt_rad=float(rng.normal(0, 0.03)),
        facing_right=facing_right,
        collimation=_draw_collimation(rng, wide=wide),
        shutter=bool(rng.random() < 0.6),
        blur_mm=float(rng.uniform(0.15, 0.5)),
        scatter=float(rng.uniform(0.15, 0.6)),
        compression=float(rng.uniform(0.6, 0.8)),
        noise=noise * (2.5 if exposure == "under" else 1.0),
        line_noise=0.0,
        window=(float(rng.uniform(0.02, 0.09)), float(rng.uniform(0.82, 0.97))),
        gamma=float(rng.uniform(0.85, 1.2)),
        exposure=exposure,
        metal=METALS[int(rng.choice(len(METALS), p=METAL_SHARES))],
        divergence=0.02,
        blades_rad=float(rng.normal(0, 0.012)) if rng.random() < 0.3 else 0.0,
        cut_off=float(rng.uniform(-0.3, 0.3)) if rng.random() < 0.12 else 0.0,
        heel=float(rng.uniform(-0.12, 0.12)),
        grid_lines=float(rng.uniform(0.004, 0.014)) if rng.random() < 0.25 else 0.0,
        grid_period_px=float(rng.uniform(2.6, 5.5)),
        marker=_draw_marker(facing_right, rng),
        marker_place=(float(rng.uniform(0.04, 0.3)), float(rng.uniform(0.03, 0.08))),
        marker_rad=float(rng.normal(0, 0.03)),
    )


def _draw_coverage(part: str, rng: np.random.Generator) -> tuple[float, float]:
    """Return the field's height in mm and the level at its middle; one field in ten misses levels."""
    tall_mm, centre = {"LSPINE": (350.0, 2.7), "TSPINE": (400.0, 6.6), "SPINE": (425.0, 4.4)}[part]
    tall_mm *= float(rng.uniform(0.95, 1.05))
    centre += float(rng.normal(0, 0.3))
    draws = rng.random(3)
    if part == "SPINE" and draws[0] < LONG_SHARE:
        return 510.0 + 50.0 * float(draws[1]), 5.3
    if draws[2] < CUT_SHARE / (1 - LONG_SHARE * (part == "SPINE")):
        return 230.0 + 70.0 * float(draws[1]), 4.4 + 0.3 * float(rng.normal())
    return tall_mm, centre


def _draw_marker(facing_right: bool, rng: np.random.Generator) -> str:
    """Return the lead letter of the side, at times with a number of whoever put it there."""
    draws = rng.random(2)
    if draws[0] < 0.3:
        return ""
    return ("R" if facing_right else "L") + (f" {int(rng.integers(1, 10))}" if draws[1] < 0.4 else "")


def _draw_collimation(rng: np.random.Generator, *, wide: bool) -> tuple[float, float, float, float]:
    """Close each pair of blades by up to 4% (the sides of a wide field by up to 12%), or leave it open."""
    closed = rng.uniform(0.004, 0.04, 4) * np.repeat(rng.random(2) < 0.5, 2)
    closed[2:] *= 3.0 if wide else 1.0
    return float(closed[0]), float(closed[1]), float(closed[2]), float(closed[3])


def _draw_vfa(rng: np.random.Generator, height: int | None) -> Acquisition:
    device = VFA_DEVICES[int(rng.choice(len(VFA_DEVICES), p=VFA_SHARES))]
    tall_mm, centre = float(rng.uniform(405, 435)), 5.6 + float(rng.normal(0, 0.2))
    if rng.random() < CUT_SHARE:
        tall_mm, centre = tall_mm * float(rng.uniform(0.72, 0.85)), float(rng.uniform(4.3, 6.2))
    wide_mm = min(float(rng.uniform(165, 195)), 0.56 * tall_mm)
    rows = height or int(rng.integers(960, 1300))
    facing_right = bool(rng.random() < 0.3)
    return Acquisition(
        device=device,
        view_position="LL" if device.names_view else "",
        body_part="SPINE" if device.names_body_part else "",
        rows=rows,
        columns=round(rows * wide_mm / tall_mm),
        spacing_mm=tall_mm / rows,
        centre_level=centre,
        offset_mm=(float(rng.normal(0, 3)), float(rng.normal(0, 4))),
        tilt_rad=float(rng.normal(0, 0.02)),
        facing_right=facing_right,
        collimation=(0.0, 0.0, 0.0, 0.0),
        shutter=False,
        blur_mm=float(rng.uniform(0.7, 1.1)),
        scatter=0.0,
        compression=float(rng.uniform(0.3, 0.5)),
        noise=float(rng.uniform(0.02, 0.035)),
        line_noise=float(rng.uniform(0.006, 0.016)),
        window=(float(rng.uniform(0.05, 0.2)), float(rng.uniform(0.75, 0.92))),
        gamma=float(rng.uniform(0.9, 1.3)),
        metal=METALS[int(rng.choice(len(METALS), p=METAL_SHARES))],
        ruler=bool(rng.random() < 0.25),
    )

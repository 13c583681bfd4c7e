"""How an image is taken: device, field, beam and presentation, all independent of the person."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from spinescore.core.phantom.randomness import open_generator
from spinescore.domain import Kind

Storage = Literal["cr", "dx", "sc"]
Photometric = Literal["MONOCHROME1", "MONOCHROME2"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A made-up machine and the way it writes its images."""

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
    ),
)
VFA_SHARES = (0.5, 0.3, 0.2)
BODY_PARTS = ("LSPINE", "TSPINE", "SPINE")


@dataclass(frozen=True, slots=True, kw_only=True)
class Acquisition:
    """Everything about one image that is not anatomy; lengths in mm on the plane of the spine.

    ``centre_level`` counts levels from L5 upwards and may lie between two; ``collimation``
    is the closed share of top, bottom, left and right; ``window`` is the part of the value
    range, 0..1, that the darkest and brightest anatomy take.
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
    tall_mm, centre = {"LSPINE": (350.0, 2.7), "TSPINE": (400.0, 6.6), "SPINE": (425.0, 4.4)}[part]
    tall_mm *= float(rng.uniform(0.95, 1.05))
    wide = bool(rng.random() < 0.25)
    wide_mm = tall_mm * float(rng.uniform(1.05, 1.2) if wide else rng.uniform(0.52, 0.8))
    drawn = int(rng.integers(820, 900) if wide else rng.integers(980, 1200))
    facing_right = bool(rng.random() < 0.3)
    rows = height or drawn
    return Acquisition(
        device=device,
        view_position=str(rng.choice(["RL" if facing_right else "LL", "LATERAL", "LAT"], p=[0.6, 0.3, 0.1])),
        body_part=part,
        rows=rows,
        columns=round(rows * wide_mm / tall_mm),
        spacing_mm=tall_mm / rows,
        centre_level=centre + float(rng.normal(0, 0.3)),
        offset_mm=(float(rng.normal(0, 6)), float(rng.normal(0, 5))),
        tilt_rad=float(rng.normal(0, 0.03)),
        facing_right=facing_right,
        collimation=_draw_collimation(rng),
        shutter=bool(rng.random() < 0.6),
        blur_mm=float(rng.uniform(0.15, 0.5)),
        scatter=float(rng.uniform(0.15, 0.6)),
        compression=float(rng.uniform(0.55, 0.75)),
        noise=float(np.exp(rng.uniform(np.log(0.012), np.log(0.035)))),
        line_noise=0.0,
        window=(float(rng.uniform(0.03, 0.15)), float(rng.uniform(0.82, 0.97))),
        gamma=float(rng.uniform(0.85, 1.2)),
    )


def _draw_collimation(rng: np.random.Generator) -> tuple[float, float, float, float]:
    """Close each pair of blades by up to 4%, or leave it open (every second time)."""
    closed = rng.uniform(0.004, 0.04, 4) * np.repeat(rng.random(2) < 0.5, 2)
    return float(closed[0]), float(closed[1]), float(closed[2]), float(closed[3])


def _draw_vfa(rng: np.random.Generator, height: int | None) -> Acquisition:
    device = VFA_DEVICES[int(rng.choice(len(VFA_DEVICES), p=VFA_SHARES))]
    tall_mm = float(rng.uniform(400, 425))
    wide_mm = tall_mm * float(rng.uniform(0.40, 0.46))
    rows = height or int(rng.integers(960, 1300))
    facing_right = bool(rng.random() < 0.3)
    return Acquisition(
        device=device,
        view_position="LL" if device.names_view else "",
        body_part="SPINE" if device.names_body_part else "",
        rows=rows,
        columns=round(rows * wide_mm / tall_mm),
        spacing_mm=tall_mm / rows,
        centre_level=5.6 + float(rng.normal(0, 0.2)),
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
    )

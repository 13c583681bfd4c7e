"""What a spine is made of: vertebrae, plaques of the aorta, and the body about them, in millimetres.

Coordinates: x grows towards the back, y downwards; the subject faces left. The
origin lies at the middle of the upper endplate of the sacrum.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

FractureType = Literal["", "wedge", "biconcave", "crush"]

# fmt: off
LEVELS = (
    "L5", "L4", "L3", "L2", "L1", "T12", "T11", "T10", "T9", "T8",
    "T7", "T6", "T5", "T4", "T3", "T2", "T1", "C7", "C6", "C5",
)
# fmt: on


@dataclass(frozen=True, slots=True)
class Vertebra:
    """One vertebra; lengths in mm, ``tilt_rad`` is the forward lean of its upward axis.

    Spurs and ``traction`` are those of the upper, then the lower endplate. ``genant_grade``
    is 0 (intact) to 3 and ``fracture`` its shape, "" when intact. ``vacuum`` is the share of
    the disc below that holds gas.
    """

    level: str
    x_mm: float
    y_mm: float
    tilt_rad: float
    depth_mm: float
    anterior_mm: float
    posterior_mm: float
    concavity_mm: float
    osteophytes_mm: tuple[float, float]
    oblique_mm: float
    sclerosis: float
    traction: tuple[bool, bool] = (False, False)
    vacuum: float = 0.0
    genant_grade: int = 0
    fracture: FractureType = ""

    @property
    def fractured(self) -> bool:
        """Whether it is broken, in any grade."""
        return self.genant_grade > 0


@dataclass(frozen=True, slots=True)
class Plaque:
    """One calcified patch of the aortic wall: ``along_rad`` is its direction, 0 straight down."""

    x_mm: float
    y_mm: float
    length_mm: float
    strength: float
    along_rad: float


@dataclass(frozen=True, slots=True)
class Spine:
    """All that is drawn of one person, in mm and in units of normal bone."""

    signs: dict[str, float]
    vertebrae: tuple[Vertebra, ...]
    sacral_slope_rad: float
    size: float
    plaques: tuple[Plaque, ...]
    belly_mm: float
    back_mm: float
    width_mm: float

    def find(self, level: str) -> Vertebra:
        """Return the vertebra of that level."""
        return self.vertebrae[LEVELS.index(level)]

"""The ageing spine as geometry: from a person to vertebrae, sacrum and aorta in millimetres.

Coordinates: x grows towards the back, y downwards; the subject faces left. The
origin lies at the middle of the upper endplate of the sacrum.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from spinescore.core.phantom.person import Person
from spinescore.core.phantom.randomness import open_generator

# fmt: off
LEVELS = (
    "L5", "L4", "L3", "L2", "L1", "T12", "T11", "T10", "T9", "T8",
    "T7", "T6", "T5", "T4", "T3", "T2", "T1", "C7", "C6", "C5",
)
DEPTH_MM = (
    34.5, 34.5, 34.0, 33.3, 32.3, 31.2, 30.2, 29.2, 28.5, 27.8,
    27.0, 26.0, 25.0, 24.0, 23.0, 22.0, 20.0, 18.5, 18.0, 17.5,
)
HEIGHT_MM = (
    27.0, 27.5, 27.5, 27.3, 26.4, 25.0, 23.6, 22.5, 21.6, 21.0,
    20.5, 20.0, 19.5, 19.0, 18.5, 18.0, 16.5, 14.5, 13.5, 13.0,
)
# the disc *below* each level, of a forty-year-old
DISC_MM = (
    10.5, 12.5, 11.5, 10.5, 9.5, 8.2, 7.2, 6.3, 5.8, 5.4,
    5.2, 5.0, 4.8, 4.7, 4.6, 4.5, 4.8, 5.2, 5.2, 5.2,
)
# fmt: on
LORDOSIS_SHARE = (0.30, 0.25, 0.19, 0.15, 0.11)
KYPHOSIS_SHARE = (0.06, 0.08, 0.10, 0.12, 0.14, 0.14, 0.13, 0.12, 0.11, 0.05, -0.05, -0.15, -0.2, -0.2, -0.2)
# fractures seek the thoracolumbar junction first; every field of view shows these four
FIRST_FRACTURE = {"L1": 0.36, "T12": 0.32, "L2": 0.18, "T11": 0.14}
MORE_FRACTURES = ("T8", "T7", "T9", "T11", "T12", "L1", "L2", "L3", "L4")


@dataclass(frozen=True, slots=True)
class AgeingSign:
    """A sign of age: its value at 40 and at 95 years, and how loosely (SD, years) it follows age."""

    at_40: float
    at_95: float
    noise_years: float

    def read(self, biological_age_years: float) -> float:
        """Return the sign's value at an age, linear and capped well outside 40-95 years."""
        share = min(max((biological_age_years - 40.0) / 55.0, -0.22), 1.28)
        return self.at_40 + (self.at_95 - self.at_40) * share


SIGNS: dict[str, AgeingSign] = {
    "disc_height": AgeingSign(1.0, 0.36, 5.0),
    "osteophyte_mm": AgeingSign(1.2, 10.0, 5.0),
    "bone_density": AgeingSign(1.35, 0.50, 5.5),
    "trabecular_contrast": AgeingSign(0.05, 0.30, 6.0),
    "kyphosis_deg": AgeingSign(28.0, 60.0, 6.0),
    "lordosis_deg": AgeingSign(57.0, 35.0, 6.5),
    "endplate_sclerosis": AgeingSign(0.75, 2.3, 5.5),
    "endplate_concavity_mm": AgeingSign(0.9, 3.4, 6.0),
    "aortic_calcification": AgeingSign(0.0, 1.0, 6.0),
    "facet_arthrosis": AgeingSign(0.85, 1.9, 5.5),
    "body_widening": AgeingSign(0.97, 1.11, 6.0),
    "anterior_wedging": AgeingSign(0.0, 0.13, 6.0),
}
OSTEOPOROSIS_YEARS = 5.0  # how much older the bone of a person with osteoporosis looks


@dataclass(frozen=True, slots=True)
class Vertebra:
    """One vertebra; lengths in mm, ``tilt_rad`` is the forward lean of its upward axis."""

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
    fractured: bool


@dataclass(frozen=True, slots=True)
class Spine:
    """All that is drawn of one person, in mm and in units of normal bone."""

    signs: dict[str, float]
    vertebrae: tuple[Vertebra, ...]
    sacral_slope_rad: float
    size: float
    plaques: tuple[tuple[float, float, float, float], ...]
    belly_mm: float
    back_mm: float
    width_mm: float

    def find(self, level: str) -> Vertebra:
        """Return the vertebra of that level."""
        return self.vertebrae[LEVELS.index(level)]


def draw_signs(person: Person, *, seed: int) -> dict[str, float]:
    """Draw every ageing sign of a person: biological age plus the sign's own noise, read as a value."""
    rng = open_generator(seed, person.subject_id, "signs")
    noise = rng.standard_normal(len(SIGNS))
    signs = {}
    for (name, sign), z in zip(SIGNS.items(), noise, strict=True):
        years = person.biological_age_years + sign.noise_years * float(z)
        if name == "bone_density" and person.osteoporosis:
            years += OSTEOPOROSIS_YEARS
        signs[name] = sign.read(years)
    return signs


def build_spine(person: Person, *, seed: int) -> Spine:
    """Build a person's spine; the same for every image of that person and seed."""
    signs = draw_signs(person, seed=seed)
    rng = open_generator(seed, person.subject_id, "anatomy")
    size = (1.08 if person.sex == "M" else 0.99) * float(rng.normal(1.0, 0.03))
    slope = math.radians(float(np.clip(rng.normal(0.78 * signs["lordosis_deg"], 2.5), 15, 60)))
    shapes = [_shape_vertebra(i, signs, size, rng) for i in range(len(LEVELS))]
    if person.prevalent_vertebral_fracture:
        shapes = _break_vertebrae(shapes, rng)
    vertebrae = _stack(shapes, signs, size, slope, rng)
    fat = (person.bmi - 24.0) * size
    return Spine(
        signs=signs,
        vertebrae=vertebrae,
        sacral_slope_rad=vertebrae[0].tilt_rad + math.radians(LORDOSIS_SHARE[0] * signs["lordosis_deg"]),
        size=size,
        plaques=_draw_plaques(vertebrae, signs["aortic_calcification"], rng),
        belly_mm=132.0 * size + 5.0 * fat + float(rng.normal(0, 8)),
        back_mm=80.0 * size + 1.6 * fat + float(rng.normal(0, 4)),
        width_mm=290.0 * size + 6.0 * fat + float(rng.normal(0, 10)),
    )


def tilt_spine(spine: Spine, tilt_rad: float) -> Spine:
    """Return the spine turned about the sacrum, as a subject lies a little askew."""
    cos, sin = math.cos(tilt_rad), math.sin(tilt_rad)
    plaques = tuple(
        (x * cos + y * sin, -x * sin + y * cos, length, strength) for x, y, length, strength in spine.plaques
    )
    return replace(
        spine,
        vertebrae=_turn(spine.vertebrae, tilt_rad),
        plaques=plaques,
        sacral_slope_rad=spine.sacral_slope_rad + tilt_rad,
    )


def _shape_vertebra(i: int, signs: dict[str, float], size: float, rng: np.random.Generator) -> Vertebra:
    height = HEIGHT_MM[i] * size * float(rng.normal(1.0, 0.015))
    lumbar_wedge = 0.10 if LEVELS[i] == "L5" else 0.02 if i < 4 else -0.03
    wedge = lumbar_wedge - signs["anterior_wedging"] * (0.4 if i < 4 else 1.0)
    spurs = signs["osteophyte_mm"] * rng.gamma(9.0, 1 / 9.0, 2) * (1.0 if i < 11 else 0.75)
    return Vertebra(
        level=LEVELS[i],
        x_mm=0.0,
        y_mm=0.0,
        tilt_rad=0.0,
        depth_mm=DEPTH_MM[i] * size * signs["body_widening"] * float(rng.normal(1.0, 0.015)),
        anterior_mm=height * (1 + wedge / 2),
        posterior_mm=height * (1 - wedge / 2),
        concavity_mm=max(signs["endplate_concavity_mm"] * float(rng.normal(1.0, 0.15)), 0.3),
        osteophytes_mm=(float(spurs[0]), float(spurs[1])),
        oblique_mm=float(rng.normal(0.0, 1.0)),
        sclerosis=max(signs["endplate_sclerosis"] * float(rng.normal(1.0, 0.12)), 0.4),
        fractured=False,
    )


def _break_vertebrae(shapes: list[Vertebra], rng: np.random.Generator) -> list[Vertebra]:
    """Crush one to three vertebrae: wedge, biconcave or crush, Genant grade 2 or 3."""
    broken = {str(rng.choice(list(FIRST_FRACTURE), p=list(FIRST_FRACTURE.values())))}
    more = int(rng.choice([0, 1, 2], p=[0.5, 0.3, 0.2]))
    broken |= {str(level) for level in rng.choice(MORE_FRACTURES, size=more)}
    return [_break(shape, rng) if shape.level in broken else shape for shape in shapes]


def _break(shape: Vertebra, rng: np.random.Generator) -> Vertebra:
    kind = rng.choice(["wedge", "biconcave", "crush"], p=[0.55, 0.2, 0.25])
    loss = float(rng.uniform(0.32, 0.55))
    anterior = {"wedge": loss, "biconcave": 0.12, "crush": loss}[str(kind)]
    posterior = {"wedge": 0.08, "biconcave": 0.08, "crush": loss * 0.8}[str(kind)]
    deeper = 0.42 * loss * shape.posterior_mm if kind == "biconcave" else 0.8
    return replace(
        shape,
        anterior_mm=shape.anterior_mm * (1 - anterior),
        posterior_mm=shape.posterior_mm * (1 - posterior),
        concavity_mm=shape.concavity_mm + deeper,
        depth_mm=shape.depth_mm * 1.04,
        sclerosis=shape.sclerosis * 1.25,
        fractured=True,
    )


def _stack(
    shapes: list[Vertebra], signs: dict[str, float], size: float, slope: float, rng: np.random.Generator
) -> tuple[Vertebra, ...]:
    """Stack vertebrae and discs upwards from the sacrum along lordosis and kyphosis."""
    bends = [-signs["lordosis_deg"] * share for share in LORDOSIS_SHARE]
    bends += [signs["kyphosis_deg"] * share for share in KYPHOSIS_SHARE]
    tilt, x, y = slope, 0.0, 0.0
    stacked: list[Vertebra] = []
    for i, shape in enumerate(shapes):
        narrowing = signs["disc_height"] * float(np.clip(rng.normal(1.0, 0.09), 0.7, 1.3))
        disc = max(DISC_MM[i] * size * narrowing, 1.2)
        wedge = (shape.posterior_mm - shape.anterior_mm) / shape.depth_mm if shape.fractured else 0.0
        bend = math.radians(bends[i] + float(rng.normal(0, 0.5))) + 0.35 * wedge
        step = disc + (shape.anterior_mm + shape.posterior_mm) / 4
        before = (stacked[-1].anterior_mm + stacked[-1].posterior_mm) / 4 if stacked else 0.0
        tilt += bend / 2
        x, y = x - math.sin(tilt) * (step + before), y - math.cos(tilt) * (step + before)
        tilt += bend / 2
        stacked.append(replace(shape, x_mm=x, y_mm=y, tilt_rad=tilt))
    return _balance(tuple(stacked), 0.02 + float(rng.normal(0, 0.02)))


def _balance(vertebrae: tuple[Vertebra, ...], lean_rad: float) -> tuple[Vertebra, ...]:
    """Turn the stack about the sacrum until T6 stands over it but for a small lean."""
    top = vertebrae[LEVELS.index("T6")]
    return _turn(vertebrae, lean_rad - math.atan2(-top.x_mm, -top.y_mm))


def _turn(vertebrae: tuple[Vertebra, ...], tilt_rad: float) -> tuple[Vertebra, ...]:
    cos, sin = math.cos(tilt_rad), math.sin(tilt_rad)
    return tuple(
        replace(
            v,
            x_mm=v.x_mm * cos + v.y_mm * sin,
            y_mm=-v.x_mm * sin + v.y_mm * cos,
            tilt_rad=v.tilt_rad + tilt_rad,
        )
        for v in vertebrae
    )


def _draw_plaques(
    vertebrae: tuple[Vertebra, ...], extent: float, rng: np.random.Generator
) -> tuple[tuple[float, float, float, float], ...]:
    """Draw aortic plaques in front of L1-L4: (x, y, length, strength); more and longer with age."""
    slots = rng.random((36, 4))
    plaques = []
    for i, (threshold, along, length, strength) in enumerate(slots):
        if (i + 0.5 + 1.5 * (threshold - 0.5)) / len(slots) >= extent:
            continue
        t = 3.6 * along
        low, high = vertebrae[1 + int(t)], vertebrae[2 + int(t)]
        share = t - int(t)
        wall = 7.0 if i % 2 else 24.0
        x = low.x_mm + share * (high.x_mm - low.x_mm) - low.depth_mm / 2 - wall
        y = low.y_mm + share * (high.y_mm - low.y_mm)
        plaques.append((float(x), float(y), float(5 + 12 * length), float(0.6 + 0.6 * strength)))
    return tuple(plaques)

"""The ageing spine as geometry: from a person to vertebrae, sacrum and aorta in millimetres."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from spinescore.core.phantom.fracture import break_vertebrae
from spinescore.core.phantom.person import Person
from spinescore.core.phantom.randomness import open_generator
from spinescore.core.phantom.spine import LEVELS, Plaque, Spine, Vertebra

# fmt: off
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
TRACTION_SHARE = 0.3  # of spurs: level and a little off the endplate; the others are claws
BRIDGING_MM = 9.0  # a spur this long meets the next vertebra's


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
    "disc_height": AgeingSign(1.08, 0.28, 3.4),
    "osteophyte_mm": AgeingSign(0.6, 12.0, 3.4),
    "bone_density": AgeingSign(1.50, 0.42, 3.6),
    "trabecular_contrast": AgeingSign(0.08, 0.42, 4.5),
    "kyphosis_deg": AgeingSign(22.0, 70.0, 3.6),
    "lordosis_deg": AgeingSign(60.0, 31.0, 4.2),
    "endplate_sclerosis": AgeingSign(0.6, 2.7, 3.8),
    "endplate_concavity_mm": AgeingSign(0.7, 4.2, 4.2),
    "aortic_calcification": AgeingSign(0.0, 1.0, 3.8),
    "facet_arthrosis": AgeingSign(0.8, 2.2, 4.0),
    "body_widening": AgeingSign(0.94, 1.17, 3.8),
    "anterior_wedging": AgeingSign(0.0, 0.17, 4.0),
}
OSTEOPOROSIS_YEARS = 5.0  # how much older the bone of a person with osteoporosis looks


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
        shapes = break_vertebrae(shapes, rng)
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
        replace(
            p,
            x_mm=p.x_mm * cos + p.y_mm * sin,
            y_mm=-p.x_mm * sin + p.y_mm * cos,
            along_rad=p.along_rad + tilt_rad,
        )
        for p in spine.plaques
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
        traction=(bool(rng.random() < TRACTION_SHARE), bool(rng.random() < TRACTION_SHARE)),
        vacuum=_draw_vacuum(signs["disc_height"], i, rng),
    )


def _draw_vacuum(disc_height: float, i: int, rng: np.random.Generator) -> float:
    """Return the share of a disc that holds gas: lumbar, and only where it is far gone."""
    drawn = float(rng.random())
    return float(np.clip(1.6 * (0.62 - disc_height) + 0.5 * (drawn - 0.5), 0, 0.6)) if i < 5 else 0.0


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
) -> tuple[Plaque, ...]:
    """Draw plaques on both walls of the aorta before T12-L4; more, longer and denser with age."""
    levels = vertebrae[1:7]
    ys = np.array([v.y_mm for v in levels])
    front = np.array([v.x_mm - v.depth_mm / 2 for v in levels])
    bow = float(rng.uniform(2.0, 9.0))
    plaques = []
    for i, (threshold, along, length, strength, off) in enumerate(rng.random((44, 5))):
        if (i + 0.5 + 1.5 * (threshold - 0.5)) / 44 >= extent:
            continue
        t = 0.15 + 4.6 * along**0.8
        bulge = bow * math.sin(math.pi * t / 5)
        wall = (6.0 if i % 2 else 25.0 - 0.9 * (4.6 - t)) + bulge + 4.0 * (off - 0.5)
        x, y = (float(np.interp(t, range(6), values)) for values in (front, ys))
        ahead, further = (float(np.interp(t + 0.3, range(6), values)) for values in (front, ys))
        length_mm = float(3 + (5 + 9 * extent) * length)
        along_rad = math.atan2(ahead - x, y - further) * -1.0
        plaques.append(Plaque(x - wall, y, length_mm, float(0.5 + 0.7 * strength), along_rad))
    return tuple(plaques)

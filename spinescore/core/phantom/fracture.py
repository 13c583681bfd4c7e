"""Vertebral fractures by Genant's semi-quantitative grades.

Genant HK et al., J Bone Miner Res 1993;8:1137: the height lost in front, in the middle or
behind, whichever is most, is 20-25% in grade 1, 25-40% in grade 2 and more in grade 3.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from spinescore.core.phantom.spine import FractureType, Vertebra

# fractures seek the thoracolumbar junction first; every field of view shows these four
FIRST_FRACTURE = {"L1": 0.36, "T12": 0.32, "L2": 0.18, "T11": 0.14}
MORE_FRACTURES = ("T8", "T7", "T9", "T11", "T12", "L1", "L2", "L3", "L4")
TYPES: tuple[FractureType, ...] = ("wedge", "biconcave", "crush")
TYPE_SHARES = (0.55, 0.2, 0.25)
GRADE_SHARES = (0.25, 0.4, 0.35)
# what a grade loses at least and at most, a little inside Genant's limits
LOSS = {1: (0.205, 0.245), 2: (0.26, 0.39), 3: (0.41, 0.55)}
# share of the greatest loss that front, middle and back lose
SPREAD: dict[FractureType, tuple[float, float, float]] = {
    "wedge": (1.0, 0.6, 0.15),
    "biconcave": (0.25, 1.0, 0.2),
    "crush": (1.0, 0.92, 0.85),
}


def grade_height_loss(loss: float) -> int:
    """Return Genant's grade of the greatest share of height lost.

    >>> [grade_height_loss(loss) for loss in (0.1, 0.22, 0.3, 0.5)]
    [0, 1, 2, 3]
    """
    return sum(loss >= limit for limit in (0.20, 0.25, 0.40))


def break_vertebrae(shapes: list[Vertebra], rng: np.random.Generator) -> list[Vertebra]:
    """Break one to three vertebrae, one of them at the thoracolumbar junction."""
    broken = {str(rng.choice(list(FIRST_FRACTURE), p=list(FIRST_FRACTURE.values())))}
    more = int(rng.choice([0, 1, 2], p=[0.5, 0.3, 0.2]))
    broken |= {str(level) for level in rng.choice(MORE_FRACTURES, size=more)}
    return [_break(shape, rng) if shape.level in broken else shape for shape in shapes]


def _break(shape: Vertebra, rng: np.random.Generator) -> Vertebra:
    kind = TYPES[int(rng.choice(len(TYPES), p=TYPE_SHARES))]
    grade = 1 + int(rng.choice(len(LOSS), p=GRADE_SHARES))
    front, middle, back = (1 - float(rng.uniform(*LOSS[grade])) * np.array(SPREAD[kind])).tolist()
    anterior, posterior = shape.anterior_mm * front, shape.posterior_mm * back
    left = middle * ((shape.anterior_mm + shape.posterior_mm) / 2 - 2 * shape.concavity_mm)
    return replace(
        shape,
        anterior_mm=anterior,
        posterior_mm=posterior,
        concavity_mm=max(((anterior + posterior) / 2 - left) / 2, 0.2),
        depth_mm=shape.depth_mm * 1.04,
        sclerosis=shape.sclerosis * 1.25,
        genant_grade=grade,
        fracture=kind,
    )

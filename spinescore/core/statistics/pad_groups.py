"""Groups of predicted age difference, cut over the whole cohort."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from spinescore.core.statistics.estimate import FloatArray, IntArray

QUANTILE_GROUPS = {"tertiles": ("T", 3), "quartiles": ("Q", 4)}


@dataclass(frozen=True, slots=True)
class PadGroups:
    """Labels, the cuts between them (years), and each subject's group (-1 where PAD is unknown)."""

    labels: tuple[str, ...]
    cuts: tuple[float, ...]
    members: IntArray

    def bounds(self, group: int) -> tuple[float | None, float | None]:
        """Return the group's lower and upper cut; None where it is open."""
        edges = (None, *self.cuts, None)
        return edges[group], edges[group + 1]


def cut_pad(pad: FloatArray, rule: Literal["tertiles", "quartiles"] | Sequence[float]) -> PadGroups:
    """Cut PAD into groups: quantiles (lo, hi] by type 7, numeric cuts [lo, hi).

    >>> cut_pad(np.array([-6.0, 0.0, 5.0]), (-5, 5)).labels
    ('< -5', '-5 to < 5', '>= 5')
    """
    known = np.isfinite(pad)
    if isinstance(rule, str):
        letter, k = QUANTILE_GROUPS[rule]
        labels = tuple(f"{letter}{i + 1}" for i in range(k))
        cuts = (
            tuple(float(c) for c in np.quantile(pad[known], np.arange(1, k) / k))
            if known.any()
            else (0.0,) * (k - 1)
        )
        members = np.searchsorted(np.array(cuts), pad, side="left")
    else:
        cuts = tuple(sorted(float(c) for c in rule))
        inner = (f"{a:g} to < {b:g}" for a, b in itertools.pairwise(cuts))
        labels = (f"< {cuts[0]:g}", *inner, f">= {cuts[-1]:g}")
        members = np.searchsorted(np.array(cuts), pad, side="right")
    return PadGroups(labels, cuts, np.where(known, members, -1).astype(np.int64))

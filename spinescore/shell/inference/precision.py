"""Reduced precision, only where it leaves the ages of the bundle in use where fp32 puts them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from spinescore.core.imaging.preprocessing import PreprocessingSpec, preprocess
from spinescore.core.network.age_distribution import expectation
from spinescore.domain import Kind
from spinescore.errors import DeviceError
from spinescore.shell.inference.cache_place import recall, remember

Precision = Literal["fp32", "fp16", "bf16"]
PRECISIONS: tuple[Precision, ...] = ("fp32", "fp16", "bf16")
N_PROBES = 8
PROBE_SEED = 20_080
Predict = Callable[[NDArray[np.float32]], NDArray[np.float32]]


def draw_probes(spec: PreprocessingSpec) -> NDArray[np.float32]:
    """Return eight phantoms, four of each kind, as the network sees them, (8, 1, H, W); always the same."""
    from spinescore.core.phantom.person import draw_people
    from spinescore.core.phantom.radiograph import render

    prepared = []
    for nth, person in enumerate(draw_people(N_PROBES, seed=PROBE_SEED, cohort="derivation")):
        kind: Kind = "vfa" if nth % 2 else "radiograph"
        drawn = render(person, kind=kind, seed=PROBE_SEED)
        prepared.append(preprocess(drawn.pixels, kind=kind, photometric=drawn.photometric, spec=spec))
    return np.stack(prepared)[:, None]


def years_moved(exact: NDArray[np.float32], reduced: NDArray[np.float32], first_age: int) -> float:
    """Return how far the spine ages of two sets of distributions (N, K) are apart at most, years.

    >>> years_moved(np.array([[1.0, 0], [0.5, 0.5]]), np.array([[1.0, 0], [0.25, 0.75]]), 40)
    0.25
    """
    apart = np.abs(expectation(exact, first_age) - expectation(reduced, first_age))
    return float(np.nan_to_num(apart, nan=np.inf).max())


def settle_precision(
    asked: str,
    offered: Sequence[Precision],
    measure: Callable[[Precision], float],
    *,
    limit_years: float,
    announce: Callable[[str], None],
) -> Precision:
    """Return the precision to score in: a reduced one only if it moves no probe's age beyond the limit.

    Parameters
    ----------
    asked : {"fp32", "fp16", "bf16", "auto"}
        ``auto`` takes the first reduced precision on offer that stays within the limit.
    offered : sequence of str
        Reduced precisions that the device calculates in, the most exact first.
    measure : callable
        How far a precision moves the probes' ages at most, years.
    limit_years : float
    announce : callable
        Called with one line about each precision that was looked at.

    Raises
    ------
    DeviceError
        If there is no such precision.
    """
    if asked not in (*PRECISIONS, "auto"):
        raise DeviceError(f"There is no precision {asked!r}.", f"Choose auto, {', '.join(PRECISIONS)}.")
    if asked == "fp32":
        return "fp32"
    if asked not in offered and not (offered and asked == "auto"):
        named = "a reduced precision" if asked == "auto" else asked
        announce(f"this device does not calculate in {named}: fp32")
    for precision in offered:
        if asked in (precision, "auto"):
            moved = measure(precision)
            fits = moved <= limit_years
            so = precision if fits else "fp32, unless --precision-limit allows more"
            announce(
                f"{precision} moves the ages of {N_PROBES} phantoms by up to {moved:.3f} years "
                f"(limit {limit_years:g}): {so}"
            )
            if fits:
                return precision
    return "fp32"


def measure_once(key: str, measure: Callable[[], float]) -> float:
    """Return a measurement of this machine, from the cache where it was made before."""
    known = recall(key)
    if isinstance(known, int | float) and not isinstance(known, bool):
        return float(known)
    moved = measure()
    if np.isfinite(moved):
        remember(key, moved)
    return moved

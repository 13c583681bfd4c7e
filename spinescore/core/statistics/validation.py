"""How much models flatter themselves where they were fitted: optimism, by the bootstrap."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from spinescore.core.statistics.estimate import Estimate, FloatArray, IntArray

FEWEST_RESAMPLES = 0.5  # of those drawn: below, no optimism is stated


@dataclass(frozen=True, slots=True)
class Optimism:
    """Mean optimism of some measures, over the resamples in which each could be had.

    Parameters
    ----------
    mean : array of shape (m,)
        NaN where fewer than half of the resamples gave a value.
    used : integer array of shape (m,)
    drawn : int
    """

    mean: FloatArray
    used: IntArray
    drawn: int


def draw_resamples(seed: int, names: Iterable[str], n: int, count: int) -> Iterator[IntArray]:
    """Yield ``count`` samples of n rows with replacement.

    They depend on the seed and the names alone, not on what else is drawn in a run.
    """
    digest = hashlib.sha256("\x1f".join(names).encode()).digest()
    words = np.frombuffer(digest[:16], dtype="<u4").tolist()
    random = np.random.default_rng([seed % 2**63, *words])
    for _ in range(count):
        yield random.integers(0, n, n)


def estimate_optimism(
    judge: Callable[[IntArray], tuple[FloatArray, FloatArray]], resamples: Iterable[IntArray]
) -> Optimism:
    """Estimate by how much measures of fit are too good where the model was fitted.

    Estimand: E[measure in the sample the model is fitted to] - E[measure of that model in the population].
    Estimator: for each resample, the measures of the model fitted to it, in the resample less in the whole
    sample; the mean of that.

    Parameters
    ----------
    judge : callable
        From a resample's rows to the measures (NaN: not to be had) of the model fitted to it, in the
        resample and in the whole sample; two arrays of shape (m,).
    resamples : iterable of integer arrays of shape (n,)

    Limits: it is too small where n is small against the number of parameters, and tells nothing of other
    populations.

    Source: Harrell, Lee and Mark 1996, Stat Med 15:361; Steyerberg 2019, Clinical Prediction Models, 5.3;
    ``rms::validate``.
    """
    pairs = [judge(rows) for rows in resamples]
    if not pairs:
        return Optimism(np.empty(0), np.empty(0, dtype=np.int64), 0)
    gaps = np.array([inside - outside for inside, outside in pairs])
    known = np.isfinite(gaps)
    used = known.sum(axis=0)
    enough = used >= FEWEST_RESAMPLES * len(pairs)
    sums = np.where(known, gaps, 0.0).sum(axis=0)
    mean = np.divide(sums, used, out=np.full(len(used), np.nan), where=enough & (used > 0))
    return Optimism(mean, used.astype(np.int64), len(pairs))


def correct_optimism(apparent: Estimate, optimism: float, used: int, drawn: int) -> Estimate:
    """Return an apparent estimate less its optimism, the interval shifted with it.

    Limits: the interval has the apparent one's width; it leaves out that the optimism is estimated, and is
    somewhat too short in small samples (Noma et al. 2021, Stat Med 40:5691, whose location-shifted interval
    this is, with a standard error in place of bootstrap quantiles).

    >>> correct_optimism(Estimate(value=0.75, se=0.02, lower=0.71, upper=0.79), 0.01, 200, 200).value
    0.74
    """
    if apparent.problem or apparent.value is None:
        return apparent
    if not np.isfinite(optimism):
        return Estimate(problem=f"{drawn - used} of {drawn} bootstraps failed")
    return replace(
        apparent,
        value=apparent.value - optimism,
        lower=None if apparent.lower is None else apparent.lower - optimism,
        upper=None if apparent.upper is None else apparent.upper - optimism,
        p_value=None,
    )

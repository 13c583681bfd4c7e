"""Table 1: what a group looks like, and how far two groups are apart."""

from __future__ import annotations

import math

import numpy as np

from spinescore.core.statistics.estimate import Estimate, FloatArray, IntArray


def describe_continuous(values: FloatArray) -> dict[str, Estimate]:
    """Return mean, SD (ddof 1), median and quartiles (type 7, R's default) of the known values.

    >>> describe_continuous(np.array([1.0, 2.0, 4.0]))["median"].value
    2.0
    """
    known = values[np.isfinite(values)]
    if len(known) == 0:
        return {name: Estimate(problem="no subjects") for name in ("mean", "sd", "median", "q1", "q3")}
    q1, median, q3 = (float(q) for q in np.quantile(known, (0.25, 0.5, 0.75)))
    sd = Estimate(value=float(known.std(ddof=1))) if len(known) > 1 else Estimate(problem="1 subjects")
    return {
        "mean": Estimate(value=float(known.mean())),
        "sd": sd,
        "median": Estimate(value=median),
        "q1": Estimate(value=q1),
        "q3": Estimate(value=q3),
    }


def standardise_difference(high: FloatArray, low: FloatArray) -> Estimate:
    """Return (mean high - mean low) / sqrt of the mean of both variances.

    Source: Austin 2009, Stat Med 28:3083.
    """
    high, low = high[np.isfinite(high)], low[np.isfinite(low)]
    if min(len(high), len(low)) < 2:
        return Estimate(problem="no subjects")
    spread = math.sqrt((float(high.var(ddof=1)) + float(low.var(ddof=1))) / 2)
    if spread == 0:
        return Estimate(problem="constant predictor")
    return Estimate(value=float(high.mean() - low.mean()) / spread)


def standardise_categories(high: IntArray, low: IntArray) -> Estimate:
    """Return the Mahalanobis distance of two sets of proportions, from counts per level.

    Source: Yang and Dalton 2012, SAS Global Forum 335. For two levels it is the absolute difference of
    proportions over the root mean variance.
    """
    if high.sum() == 0 or low.sum() == 0:
        return Estimate(problem="no subjects")
    p, q = high[1:] / high.sum(), low[1:] / low.sum()
    covariance = (np.diag(p) - np.outer(p, p) + np.diag(q) - np.outer(q, q)) / 2
    difference = p - q
    if not np.any(difference):
        return Estimate(value=0.0)
    inverse = np.linalg.pinv(covariance, hermitian=True)
    square = float(difference @ inverse @ difference)
    return Estimate(value=math.sqrt(square)) if square > 0 else Estimate(problem="constant predictor")

"""p values adjusted for how many hypotheses are tested together."""

from __future__ import annotations

import numpy as np

from spinescore.core.statistics.estimate import FloatArray


def adjust_holm(p: FloatArray) -> FloatArray:
    """Return Holm's step-down adjusted p values: they control the chance of any false rejection.

    Limits: valid under any dependence, therefore conservative where tests are strongly correlated.

    Source: Holm 1979, Scand J Stat 6:65; R's ``p.adjust(method = "holm")``.

    >>> adjust_holm(np.array([0.01, 0.04, 0.03])).round(3).tolist()
    [0.03, 0.06, 0.06]
    """
    m, order = len(p), np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate((m - np.arange(m)) * p[order])
    return _unsorted(np.minimum(stepped, 1.0), order)


def adjust_benjamini_hochberg(p: FloatArray) -> FloatArray:
    """Return Benjamini and Hochberg's step-up adjusted p values: they control the false discovery rate.

    Limits: for independent or positively dependent tests.

    Source: Benjamini and Hochberg 1995, JRSS B 57:289; R's ``p.adjust(method = "BH")``.

    >>> adjust_benjamini_hochberg(np.array([0.01, 0.04, 0.03])).round(3).tolist()
    [0.03, 0.04, 0.04]
    """
    m, order = len(p), np.argsort(p, kind="stable")
    stepped = np.minimum.accumulate((m / np.arange(m, 0, -1)) * p[order][::-1])[::-1]
    return _unsorted(np.minimum(stepped, 1.0), order)


def _unsorted(values: FloatArray, order: np.ndarray) -> FloatArray:
    out = np.empty(len(values))
    out[order] = values
    return out

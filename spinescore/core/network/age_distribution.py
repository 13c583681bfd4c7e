"""The age distribution a network puts out, and the numbers read from it (METHOD.md, Inference).

Plain numpy: scoring from a compiled network imports neither torch nor MONAI.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def expectation(distribution: NDArray[Any], first_age: int) -> Array:
    """Return the spine age m = sum_j j p_j (Pan et al., CVPR 2018).

    Parameters
    ----------
    distribution : ndarray, shape (N, K)
        Probabilities over ages ``first_age ... first_age + K - 1``.
    first_age : int
        Age in years of the first class.

    Returns
    -------
    ndarray, shape (N,)
        Years, unrounded.

    Examples
    --------
    >>> expectation(np.array([[0.5, 0.5]]), 40)
    array([40.5])
    """
    p = np.asarray(distribution, np.float64)
    return np.asarray(p @ _ages(p.shape[-1], first_age))


def variance(distribution: NDArray[Any], first_age: int) -> Array:
    """Return v = sum_j p_j (j - m)^2 in years squared, shape (N,).

    >>> variance(np.array([[0.5, 0.0, 0.5]]), 40)
    array([1.])
    """
    p = np.asarray(distribution, np.float64)
    away = _ages(p.shape[-1], first_age) - expectation(p, first_age)[..., None]
    return np.asarray((p * away**2).sum(axis=-1))


def round_age(spine_age: NDArray[Any] | float) -> NDArray[np.int64]:
    """Return r(m) = floor(m + 0.5): halves go up, unlike ``round``.

    >>> round_age(np.array([60.5, 61.5]))
    array([61, 62])
    """
    return np.floor(np.asarray(spine_age, np.float64) + 0.5).astype(np.int64)


def age_class(age_years: NDArray[Any], first_age: int, n_classes: int) -> NDArray[np.int64]:
    """Return the class of each age, floor(age) - first_age, held within the classes."""
    classes = np.floor(np.asarray(age_years, np.float64)).astype(np.int64) - first_age
    return np.asarray(classes.clip(0, n_classes - 1))


def softmax(logits: NDArray[Any]) -> NDArray[np.float32]:
    """Return the probabilities of logits, row by row, without overflow."""
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=-1, keepdims=True), np.float32)


def _ages(n_classes: int, first_age: int) -> Array:
    return np.arange(first_age, first_age + n_classes, dtype=np.float64)

"""Who trains a network, who validates it and who tests it: a seeded hash of each subject decides."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import numpy as np
import polars as pl

PARTS = ("train", "validation", "test")
TRAINED_OF_DEVELOPMENT = 0.75  # 60 of 60 + 20, also where only a share of the subjects develops a network


def shares_of(development: float) -> tuple[float, float, float]:
    """Return the parts' shares where ``development`` of the subjects train and validate, three to one.

    >>> [round(share, 3) for share in shares_of(0.3)]
    [0.225, 0.075, 0.7]
    """
    trained = development * TRAINED_OF_DEVELOPMENT
    return trained, development - trained, 1 - development


def split_subjects(
    table: pl.DataFrame,
    shares: tuple[float, float, float],
    seed: int,
    *,
    settled: Mapping[str, str] | None = None,
) -> dict[str, pl.DataFrame]:
    """Split by subject: all images of a subject, of whatever kind, fall into one part, whoever else is there.

    Parameters
    ----------
    table : polars.DataFrame
        One row per image, with ``subject_id``.
    shares : (float, float, float)
        Of subjects for training, validation and test.
    seed : int
        Of the hash.
    settled : mapping, optional
        Subjects whose part is known already: whom an initial network was trained on cannot test the next.

    Examples
    --------
    >>> parts = split_subjects(pl.DataFrame({"subject_id": ["a", "a", "b"]}), (1.0, 0.0, 0.0), 0)
    >>> parts["train"].height
    3
    """
    bounds = np.cumsum(shares) / sum(shares)
    home = {s: _draw_part(s, bounds.tolist(), seed) for s in table["subject_id"].unique()} | dict(
        settled or {}
    )
    part = pl.Series([home[s] for s in table["subject_id"]], dtype=pl.String)
    return {name: table.filter(part == name) for name in PARTS}


def _draw_part(subject_id: str, bounds: list[float], seed: int) -> str:
    digest = hashlib.sha256(f"{seed} {subject_id}".encode()).digest()
    draw = int.from_bytes(digest[:8], "big") / 2**64
    return PARTS[int(np.searchsorted(bounds[:2], draw, side="right"))]

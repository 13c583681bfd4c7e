"""Which part a subject belongs to: a function of the subject alone (docs/decisions/0001)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import polars as pl

DRAW_HEX_DIGITS = 16  # 64 bits of the hash


def assign_split(subject_id: str, kind: str, *, seed: int, reference_fraction: float) -> str:
    """Put a subject in the reference or the test part, whatever other subjects there are.

    A seeded hash decides, so a cohort that grows never moves anyone from one part to the other.

    >>> assign_split("a", "vfa", seed=1, reference_fraction=0.0)
    'test'
    """
    digest = hashlib.sha256(f"{seed}|{kind}|{subject_id}".encode()).hexdigest()
    draw = int(digest[:DRAW_HEX_DIGITS], 16) / 2**64
    return "reference" if draw < reference_fraction else "test"


def add_split(
    images: pl.DataFrame,
    trained: pl.Series,
    validated: pl.Series | None = None,
    *,
    seed: int,
    reference_fraction: float,
) -> pl.DataFrame:
    """Add each image's ``split``: train, validation, reference or test; null without a subject.

    Parameters
    ----------
    images : polars.DataFrame
        With ``subject_id`` and ``kind``.
    trained : polars.Series
        The subjects that the model was trained on.
    validated : polars.Series, optional
        Those on whom its training was stopped; who is among both was trained on.
    seed, reference_fraction
        As in :func:`assign_split`.
    """
    subjects = images.select("subject_id", "kind").unique().drop_nulls()
    parts = [
        assign_split(subject, kind, seed=seed, reference_fraction=reference_fraction)
        for subject, kind in subjects.iter_rows()
    ]
    seen = pl.concat([_name_part(trained, "train"), _name_part(validated, "validation")])
    split = (
        subjects.with_columns(pl.Series("split", parts, dtype=pl.String))
        .join(seen.unique("subject_id", keep="first", maintain_order=True), on="subject_id", how="left")
        .select("subject_id", "kind", pl.coalesce("seen", "split").alias("split"))
    )
    return images.join(split, on=["subject_id", "kind"], how="left", maintain_order="left")


def _name_part(subjects: pl.Series | None, part: str) -> pl.DataFrame:
    ids = pl.Series("subject_id", [] if subjects is None else subjects, dtype=pl.String)
    return ids.to_frame().with_columns(pl.lit(part).alias("seen"))


def hash_rows(columns: Sequence[pl.Series]) -> str:
    """Return the SHA-256 of columns' values, as hex: the identity of a reference set."""
    digest = hashlib.sha256()
    for column in columns:
        digest.update("\n".join(str(value) for value in column.to_list()).encode())
        digest.update(b"\0")
    return digest.hexdigest()

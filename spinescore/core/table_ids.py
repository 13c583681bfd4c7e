"""A table's column of ids -> text, as it is compared; what numbers have lost cannot be had back."""

from __future__ import annotations

import polars as pl

from spinescore.core.table_values import Findings, as_text

# A float holds, and Excel keeps, 15 digits of any integer; of a longer one the last digits are lost.
LARGEST_NUMERIC_ID = 1e15
AS_TEXT_STEP = "Store ids as text in the table."


def read_ids(values: pl.Series, width: int | None) -> pl.Series:
    """Return ids as trimmed text; those of digits only get leading zeros to ``width``.

    >>> read_ids(pl.Series("id", ["7", " A7 "]), 3).to_list()
    ['007', 'A7']
    """
    ids = as_text(values)
    if width is None:
        return ids
    padded = ids.str.zfill(width)
    return (
        ids.to_frame("id")
        .select(pl.when(pl.col("id").str.contains(r"^\d+$")).then(padded).otherwise(pl.col("id")))
        .to_series()
    )


def check_ids(values: pl.Series, width: int | None, findings: Findings) -> None:
    """Note ids that are missing or inexact, and warn of those that may have lost their zeros.

    Parameters
    ----------
    values : polars.Series
        The column as it came; ``findings.ids`` is what :func:`read_ids` made of it.
    width : int or None
        The declared length of ids.
    findings : Findings
        Takes what is wrong.
    """
    ids, column = findings.ids, f"column `{values.name}`"
    empty = is_empty(ids)
    findings.refuse(empty, f"{column} is empty", "Give every row an id.")
    if values.dtype.is_float():
        lost, fractions = values.abs() >= LARGEST_NUMERIC_ID, values != values.floor()
        findings.refuse(lost, f"{column} holds ids as numbers too long to be exact", AS_TEXT_STEP)
        findings.refuse(fractions, f"{column} holds ids with decimals", AS_TEXT_STEP)
    lengths = ids.filter(~empty).str.len_chars()
    if values.dtype.is_numeric() and width is None and lengths.n_unique() > 1:
        findings.warnings.append(
            f"{column} holds numbers of different lengths: if ids have leading zeros "
            "in the images, say `id_width` under [subjects]"
        )


def is_empty(ids: pl.Series) -> pl.Series:
    """Tell which ids are missing."""
    return ids.is_null() | (ids == "")

"""What a column holds, in a few words for a comment; never what could tell who somebody is."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from spinescore.core.study_draft.columns import Column
from spinescore.core.study_draft.words import BIRTH, PRIVATE, happened, mentions

SHORT_CODE = 2
RARE_ROWS = 5
SHOWN_LEVELS = 6
LONGEST_LEVEL = 24
WIDE = frozenset("WF")


def spoken(column: Column, *, secret: bool = False) -> str:
    """Return what a column holds: range, levels with their numbers of rows, what is missing.

    Parameters
    ----------
    column : Column
        The column.
    secret : bool
        Whether its values must not be shown, such as ids.
    """
    missing = f", {column.n_missing:,} missing" if column.n_missing else ""
    return f"{_held(column, secret)}{missing}"


def _held(column: Column, secret: bool) -> str:
    if column.content == "empty":
        return "nothing"
    if secret or mentions(column.name, PRIVATE) or (column.is_unique and column.content == "text"):
        kind = "text" if column.content == "text" else "numbers"
        return f"{kind}, all different" if column.is_unique else f"{kind}, {column.n_distinct:,} values"
    if column.period is not None:
        first, last = column.period
        if mentions(column.name, BIRTH):
            return f"days, {first.year} to {last.year}"
        return f"days, {first} to {last}" + (" as first read" if column.ambiguous else "")
    coded = column.whole and len(column.levels) <= SHOWN_LEVELS
    if column.levels and (column.content == "text" or coded):
        return spoken_levels(column)
    if column.content == "text":
        return f"text, {column.n_distinct:,} values"
    low, high = column.bounds
    return f"{low:.5g} to {high:.5g}" + (f", median {_median(column):.4g}" if column.n_distinct > 2 else "")


def spoken_levels(column: Column) -> str:
    """Return the levels of a column and how many rows have each; rare texts are only counted."""
    shown: list[str] = []
    hidden = 0
    for level, n in column.levels:
        is_code = len(level) <= SHORT_CODE and not column.is_unique
        telling = n >= RARE_ROWS or is_code or happened(level) is not None
        if telling and len(level) <= LONGEST_LEVEL and len(shown) < SHOWN_LEVELS:
            label = column.labels.get(level)
            shown.append(f"{plain(level)}{f' {plain(label)}' if label else ''} ({n:,})")
        else:
            hidden += 1
    more = f"{hidden} more values" if hidden > 1 else "1 more value"
    return ", ".join([*shown, *([more] if hidden else [])])


def _median(column: Column) -> float:
    assert column.numbers is not None
    return float(column.numbers.median())  # type: ignore[arg-type]


def plain(text: str) -> str:
    """Return a text as a comment can hold it: on one line, without control characters."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def width(text: str) -> int:
    """Return how many columns of a terminal a text takes; Korean letters take two."""
    return sum(2 if unicodedata.east_asian_width(c) in WIDE else 1 for c in text)


def padded(text: str, columns: int) -> str:
    """Return a text filled with blanks to a width."""
    return text + " " * max(0, columns - width(text))


def in_table(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Return rows as lines whose cells stand below each other."""
    widths = [max(width(row[i]) for row in rows) for i in range(len(rows[0]))] if rows else []
    return ["  ".join(padded(cell, w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows]

"""Counts rounded so that they still add up: running totals are rounded down, counts are their differences."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise


def round_down(count: int, k: int) -> int:
    """Return a count rounded down to a multiple of ``k``: it stands for ``k`` possible counts.

    >>> round_down(4, 5), round_down(404, 5)
    (0, 400)
    """
    return count // k * k


def round_parts(parts: Sequence[int], k: int, before: int = 0) -> list[int]:
    """Return the parts of a whole, each moved to a neighbouring multiple of ``k``, still adding up.

    Parameters
    ----------
    parts : sequence of int
        In the order in which they are published.
    before : int
        What the running total is when the first part begins (parts of a part of a greater whole).

    Notes
    -----
    The published numbers say of every running total S only that it lies in [R, R + k - 1], whatever the
    others are; a part is the difference of two of them, so 2k - 1 counts are possible for it, k where it is
    published as 0. Rounding parts and whole each by itself lacks this: sums then narrow the terms.

    Examples
    --------
    >>> round_parts([133, 134, 133], 5), round_down(400, 5)
    ([130, 135, 135], 400)
    """
    totals = [before]
    for part in parts:
        totals.append(totals[-1] + part)
    rounded = [round_down(total, k) for total in totals]
    return [high - low for low, high in pairwise(rounded)]

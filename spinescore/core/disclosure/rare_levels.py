"""Levels that fewer than ``k`` subjects have are not named: that they are there at all would say too much."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from spinescore.domain import Result

POOLED = "other levels"
ALWAYS_NAMED = frozenset({"0", "1", "0.0", "1.0"})  # of binary endpoints and covariates
OVERALL = "overall"


def pool_rare_levels(results: Sequence[Result], k: int) -> list[Result]:
    """Return the rows with rare levels pooled in Table 1 and left out elsewhere.

    In Table 1, levels of fewer than ``k`` subjects become one, together with the next smallest where they are
    still fewer. Rows of a subgroup or device of fewer than ``k`` subjects go.
    """
    pooled = _pooled_levels(results, k)
    made: list[Result] = []
    sums: dict[tuple[object, ...], int] = defaultdict(int)
    for row in results:
        if _is_rare(row, k):
            continue
        if (row.cohort, row.term, row.comparator) in pooled and _is_share(row):
            key = (row.cohort, row.term, row.group, row.statistic)
            if key not in sums:
                made.append(replace(row, comparator=POOLED))
            sums[key] += row.n or 0
            continue
        made.append(row)
    return [_with_sum(row, sums) if row.comparator == POOLED and _is_share(row) else row for row in made]


def _is_share(row: Result) -> bool:
    return row.analysis == "table_one" and row.statistic in ("count", "percent")


def _is_rare(row: Result, k: int) -> bool:
    of_level = (row.subgroup is not None and "=" in row.subgroup) or (
        row.analysis == "device_shift" and "=" in (row.term or "")
    )
    return of_level and row.n is not None and row.n < k


def _pooled_levels(results: Sequence[Result], k: int) -> set[tuple[str, str | None, str | None]]:
    levels: dict[tuple[str, str | None], dict[str, int]] = defaultdict(dict)
    for row in results:
        if _is_share(row) and row.statistic == "count" and row.group == OVERALL:
            levels[row.cohort, row.term][row.comparator or ""] = int(row.value or 0)
    pooled: set[tuple[str, str | None, str | None]] = set()
    for (cohort, term), sizes in levels.items():
        if set(sizes) <= ALWAYS_NAMED:
            continue
        total = 0
        for level, size in sorted(sizes.items(), key=lambda item: item[1]):
            if size >= k and (total == 0 or total >= k):
                break
            pooled.add((cohort, term, level))
            total += size
    return pooled


def _with_sum(row: Result, sums: dict[tuple[object, ...], int]) -> Result:
    """Return a pooled row with its count; its share is computed again from rounded counts later."""
    n = sums[row.cohort, row.term, row.group, row.statistic]
    return replace(row, n=n, value=float(n) if row.statistic == "count" else row.value)

"""Rounded parts add up to the rounded whole, and each leaves at least ``k`` counts possible."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from spinescore.core.disclosure.audit import Known, Release, find_bounded, read_release
from spinescore.core.disclosure.counts import publish_counts
from spinescore.core.disclosure.relations import Cell, Relations
from spinescore.core.disclosure.running_totals import round_down, round_parts
from spinescore.domain import Result

PARTS = st.lists(st.integers(0, 60), min_size=1, max_size=6)
K = st.integers(2, 12)


@given(PARTS, K, st.integers(0, 100))
def test_parts_are_near_multiples_that_add_up(parts: list[int], k: int, before: int) -> None:
    rounded = round_parts(parts, k, before)
    assert all(part % k == 0 and part >= 0 for part in rounded)
    assert all(abs(part - true) < k for part, true in zip(rounded, parts, strict=True))
    assert sum(rounded) == round_down(before + sum(parts), k) - round_down(before, k)


@settings(max_examples=50)
@given(PARTS, K)
def test_no_part_and_no_sum_of_parts_can_be_told(parts: list[int], k: int) -> None:
    rounded = round_parts(parts, k)
    names = [f"part {i}" for i in range(len(parts))]
    ranges = {name: (max(0.0, r - k + 1.0), r + k - 1.0) for name, r in zip(names, rounded, strict=True)}
    ranges["whole"] = (max(0.0, sum(rounded) - k + 1.0), sum(rounded) + k - 1.0)
    known = [Known((*((n, 1.0) for n in names), ("whole", -1.0)), 0.0, 0.0)]
    for i in range(1, len(names) + 1):
        known.append(Known(tuple((n, 1.0) for n in names[:i]), sum(rounded[:i]), sum(rounded[:i]) + k - 1))
    assert find_bounded(Release(k, ranges, tuple(known))) == []


LEVELS = st.lists(
    st.tuples(st.integers(0, 25), st.integers(0, 25), st.integers(0, 3)), min_size=2, max_size=4
)


def table_one(groups: list[tuple[int, int, int]]) -> list[Result]:
    """Return Table 1 of one variable with two levels and missing values, by group."""
    total = [sum(column) for column in zip(*groups, strict=True)]
    rows = []
    for name, (low, high, missing) in (("overall", total), *((f"G{i}", g) for i, g in enumerate(groups))):
        keys = {"cohort": "A", "analysis": "table_one", "group": name}
        n = low + high + missing
        rows.append(Result(term="subjects", statistic="n", value=float(n), n=n, **keys))
        known = low + high
        rows.append(Result(term="sex", statistic="n", value=float(known), n=known, **keys))
        rows.append(Result(term="sex", statistic="missing", value=float(missing), n=missing, **keys))
        for level, count in (("F", low), ("M", high)):
            own = {"comparator": level, "n": count, "term": "sex"}
            rows.append(Result(statistic="count", value=float(count), **own, **keys))
            share = 100 * count / known if known else None
            rows.append(Result(statistic="percent", value=share, **own, **keys))
    return rows


@settings(max_examples=40)
@given(LEVELS, K)
def test_no_cell_of_a_table_can_be_told(groups: list[tuple[int, int, int]], k: int) -> None:
    rows = table_one(groups)
    relations = Relations(k)
    counts = publish_counts(rows, relations)

    def read(cell: Cell) -> float | None:
        return None if cell.column == "value" and rows[cell.row].statistic == "percent" else published(cell)

    def published(cell: Cell) -> float | None:
        return counts.subjects.get(cell.row)

    release = read_release(relations, read)
    assert find_bounded(release) == []
    for name, cell in relations.cells.items():
        low, high = release.ranges[name]
        if rows[cell.row].group != "overall" or rows[cell.row].term == "subjects":
            assert low <= (rows[cell.row].value or 0) <= high

"""Can a count be told from what is published? Linear programmes over everything that is public of it.

A count is *bounded* if fewer than ``k`` whole numbers are possible for it, given every published number of
its release and every relation stored with it (docs/shareable.md).
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linprog
from scipy.sparse import csr_array

from spinescore.core.disclosure.relations import Cell, Ratio, Relations
from spinescore.core.statistics.estimate import FloatArray

Read = Callable[[Cell], float | None]
TOLERANCE = 1e-6
Terms = tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True)
class Bounded:
    """A count that can be told: the least and the most it can be."""

    name: str
    least: int
    most: int

    def __str__(self) -> str:
        if self.most < self.least:
            return f"{self.name}: the published numbers contradict each other"
        return f"{self.name}: {self.least}" + (f" to {self.most}" if self.most > self.least else "")


@dataclass(frozen=True, slots=True)
class Known:
    """``least <= sum of terms <= most``."""

    terms: Terms
    least: float
    most: float


@dataclass(frozen=True, slots=True)
class Release:
    """What a reader of a release knows: a range for each cell, and sums."""

    k: int
    ranges: Mapping[str, tuple[float, float]]
    known: tuple[Known, ...]


def read_release(relations: Relations, read: Read) -> Release:
    """Return what a release says of its counts.

    Parameters
    ----------
    relations : Relations
        The release's own.
    read : callable
        The published number at a place; None where there is none, which says that it is below ``k``.
    """
    k = relations.k
    published = {name: int(read(cell) or 0) for name, cell in relations.cells.items()}
    ranges = {name: (max(0.0, r - k + 1.0), r + k - 1.0) for name, r in published.items()}
    known = []
    for relation in relations.relations:
        terms: Terms = tuple((name, float(factor)) for name, factor in relation.terms)
        if relation.sense == "running_total":
            total = sum(factor * published[name] for name, factor in relation.terms)
            known.append(Known(terms, total, total + k - 1))
        else:
            known.append(Known(terms, 0.0, 0.0 if relation.sense == "equal" else math.inf))
    for ratio in relations.ratios:
        known.extend(_read_ratio(ratio, published, ranges, read))
    return Release(k, ranges, tuple(known))


def find_bounded(release: Release) -> list[Bounded]:
    """Return the counts that fewer than ``k`` whole numbers are possible for, complements among them.

    The range of a count is that of the linear programme: where whole numbers alone would narrow it further,
    that is not seen.
    """
    found: list[Bounded] = []
    seen: dict[object, list[tuple[float, float]]] = {}
    base = {name: high for name, (_, high) in release.ranges.items()}
    shifted = _shift(release, base)
    for cells, known in _components(shifted):
        names = sorted(cells)
        wanted: list[Terms] = [((name, 1.0),) for name in names]
        wanted += [row.terms for row in known if row.most == math.inf]
        signature = _signature(names, known, wanted, shifted)
        if signature not in seen:
            seen[signature] = _ranges_of(wanted, names, known, shifted.ranges, release.k)
        for terms, (low, high) in zip(wanted, seen[signature], strict=True):
            moved = sum(factor * base[name] for name, factor in terms)
            bounded = _bounded(_title(terms), low + moved, high + moved, release.k)
            found += [bounded] if bounded else []
    return found


def _bounded(name: str, low: float, high: float, k: int) -> Bounded | None:
    """Return a count if fewer than ``k`` whole numbers are left for it."""
    if low > high:
        return Bounded(name, 0, -1)
    least, most = math.ceil(low - TOLERANCE), math.floor(high + TOLERANCE)
    return Bounded(name, least, most) if most - least < k - 1 else None


def _shift(release: Release, base: Mapping[str, float]) -> Release:
    """Return a release with every cell counted from ``base``, without what its ranges say already."""
    ranges = {name: (low - base[name], high - base[name]) for name, (low, high) in release.ranges.items()}
    known = []
    for row in release.known:
        moved = sum(factor * base[name] for name, factor in row.terms)
        least, most = row.least - moved, row.most - moved
        ends = [[factor * end for end in ranges[name]] for name, factor in row.terms]
        if sum(map(min, ends)) < least or sum(map(max, ends)) > most:
            known.append(Known(row.terms, least, most))
    return Release(release.k, ranges, tuple(known))


def find_bounded_changes(
    earlier: Release, later: Release, totals: Mapping[str, tuple[str, str]]
) -> list[Bounded]:
    """Return the counts that two releases together bound, and the changes between them that they do.

    Assumes what a reader may know of two releases: everybody in the earlier one is in the later one too, so
    no count falls, and none grows by more than the cohort does. Counts that cannot be so are passed over.

    Parameters
    ----------
    totals : mapping
        From a cell's name to its cohort's size in the two releases; both releases have both.
    """
    first, second = _renamed(earlier, "before: "), _renamed(later, "now: ")
    shared = [name for name in earlier.ranges if name in later.ranges and name in totals]
    k = max(earlier.k, later.k)
    ranges = {**first.ranges, **second.ranges}
    base = {name: high for name, (_, high) in ranges.items()}
    own = [*first.known, *second.known, *_links(shared, totals, sizes=False)]
    tied = _shift(Release(k, ranges, tuple(own)), base)
    of_size = _by_cell(_shift(Release(k, ranges, tuple(_links(shared, totals, sizes=True))), base).known)
    by_cell = _by_cell(tied.known)
    found: list[Bounded] = []
    seen: dict[object, list[tuple[float, float]]] = {}
    for cells, rows in _components(tied):
        links = list({id(link): link for name in sorted(cells) for link in of_size.get(name, ())}.values())
        sizes = {name for link in links for name, _ in link.terms} - cells
        more = [row for name in sorted(sizes) for row in by_cell[name] if len(row.terms) == 1]
        names = [*sorted(cells), *sorted(sizes)]
        wanted: list[Terms] = [((name, 1.0),) for name in sorted(cells)]
        wanted += [
            ((name, 1.0), (f"before: {name.removeprefix('now: ')}", -1.0))
            for name in sorted(cells)
            if name.startswith("now: ") and f"before: {name.removeprefix('now: ')}" in cells
        ]
        known = [*rows, *links, *more]
        signature = _signature(names, known, wanted, tied)
        if signature not in seen:
            seen[signature] = _ranges_of(wanted, names, known, tied.ranges, k)
        for terms, (low, high) in zip(wanted, seen[signature], strict=True):
            title = terms[0][0] if len(terms) == 1 else f"change of {terms[0][0].removeprefix('now: ')}"
            moved = sum(factor * base[name] for name, factor in terms)
            bounded = _bounded(title, low + moved, high + moved, k) if low <= high else None
            found += [bounded] if bounded else []
    return found


def _by_cell(known: Sequence[Known]) -> dict[str, list[Known]]:
    rows: dict[str, list[Known]] = defaultdict(list)
    for row in known:
        for name, _ in row.terms:
            rows[name].append(row)
    return rows


def _links(shared: Sequence[str], totals: Mapping[str, tuple[str, str]], *, sizes: bool) -> list[Known]:
    links = []
    for name in shared:
        change: Terms = ((f"now: {name}", 1.0), (f"before: {name}", -1.0))
        if not sizes:
            links.append(Known(change, 0.0, math.inf))
            continue
        before, now = totals[name]
        if name in (before, now):
            continue
        growth: Terms = ((f"now: {now}", 1.0), (f"before: {before}", -1.0))
        links.append(Known((*growth, *((n, -f) for n, f in change)), 0.0, math.inf))
    return links


def _renamed(release: Release, prefix: str) -> Release:
    return Release(
        release.k,
        {prefix + name: bounds for name, bounds in release.ranges.items()},
        tuple(
            Known(tuple((prefix + name, factor) for name, factor in row.terms), row.least, row.most)
            for row in release.known
        ),
    )


def _read_ratio(
    ratio: Ratio,
    published: Mapping[str, int],
    ranges: Mapping[str, tuple[float, float]],
    read: Read,
) -> Iterator[Known]:
    """Yield what a ratio says of its count, unless it is that of the rounded counts, which says nothing."""
    value = read(ratio.value)
    per = published[ratio.denominator] if ratio.denominator else read(ratio.per) if ratio.per else None
    if value is None or not per:
        return
    if math.isclose(value, ratio.scale * published[ratio.numerator] / per, rel_tol=1e-9, abs_tol=1e-9):
        return
    share, slack = value / ratio.scale, _half_unit(value) / ratio.scale
    if ratio.denominator is None:
        yield Known(((ratio.numerator, 1.0),), (share - slack) * per, (share + slack) * per)
        return
    room = slack * ranges[ratio.denominator][1]
    yield Known(((ratio.numerator, 1.0), (ratio.denominator, -share)), -room, room)


def _half_unit(value: float) -> float:
    """Return half of the last digit's worth of a number as it is written."""
    _, _, decimals = f"{value:.12f}".rstrip("0").partition(".")
    return 0.5 * 10.0 ** -len(decimals)


def _components(release: Release) -> Iterator[tuple[set[str], list[Known]]]:
    """Yield cells that are tied by relations, with those relations."""
    parent = {name: name for name in release.ranges}

    def root(name: str) -> str:
        while parent[name] != name:
            parent[name] = parent[parent[name]]
            name = parent[name]
        return name

    for row in release.known:
        first = root(row.terms[0][0])
        for name, _ in row.terms[1:]:
            parent[root(name)] = first
    cells: dict[str, set[str]] = defaultdict(set)
    rows: dict[str, list[Known]] = defaultdict(list)
    for name in release.ranges:
        cells[root(name)].add(name)
    for row in release.known:
        rows[root(row.terms[0][0])].append(row)
    for name, members in cells.items():
        yield members, rows[name]


def _title(terms: Terms) -> str:
    if len(terms) == 1:
        return terms[0][0]
    return f"{terms[0][0]} less {', '.join(name for name, _ in terms[1:])}"


def _signature(
    names: Sequence[str], known: Sequence[Known], wanted: Sequence[Terms], release: Release
) -> object:
    at = {name: i for i, name in enumerate(names)}
    rows = tuple((tuple((at[n], f) for n, f in row.terms), row.least, row.most) for row in known)
    asked = tuple(tuple((at[n], f) for n, f in terms) for terms in wanted)
    return tuple(release.ranges[name] for name in names), rows, asked


def _ranges_of(
    wanted: Sequence[Terms],
    names: Sequence[str],
    known: Sequence[Known],
    ranges: Mapping[str, tuple[float, float]],
    enough: int,
) -> list[tuple[float, float]]:
    """Return how far each sum can go: exactly, or far enough for ``enough`` whole numbers.

    Every solution of a programme is a point that all sums can take, so most are settled by a few programmes.
    """
    if not known:
        return [_sum_of_ranges(terms, ranges) for terms in wanted]
    at = {name: i for i, name in enumerate(names)}
    programme = _Programme(*_inequalities(known, at), [ranges[name] for name in names])
    aims = np.zeros((len(wanted), len(names)))
    for row, terms in enumerate(wanted):
        for name, factor in terms:
            aims[row, at[name]] += factor
    lows, highs = np.full(len(wanted), math.inf), np.full(len(wanted), -math.inf)
    mixed = np.random.default_rng(len(names)).choice((-1.0, 1.0), size=(4, len(names)))
    for aim in (np.ones(len(names)), *mixed):
        for point in programme.ends(aim):
            lows, highs = np.minimum(lows, aims @ point), np.maximum(highs, aims @ point)
    if math.isinf(highs[0]):
        return [(math.inf, -math.inf)] * len(wanted)  # no counts at all fit what is published
    for row, aim in enumerate(aims):
        if math.floor(highs[row] + TOLERANCE) - math.ceil(lows[row] - TOLERANCE) >= enough - 1:
            continue
        for point in programme.ends(aim):
            lows, highs = np.minimum(lows, aims @ point), np.maximum(highs, aims @ point)
    return list(zip(lows.tolist(), highs.tolist(), strict=True))


def _sum_of_ranges(terms: Terms, ranges: Mapping[str, tuple[float, float]]) -> tuple[float, float]:
    ends = [[factor * end for end in ranges[name]] for name, factor in terms]
    return sum(map(min, ends)), sum(map(max, ends))


@dataclass(frozen=True, slots=True)
class _Programme:
    """What is known, as a linear programme without an aim."""

    matrix: csr_array
    limits: FloatArray
    bounds: list[tuple[float, float]]

    def ends(self, aim: FloatArray) -> Iterator[FloatArray]:
        """Yield a point where an aim is least and one where it is most; none if nothing is possible."""
        for sign in (1.0, -1.0):
            solved = linprog(
                sign * aim, A_ub=self.matrix, b_ub=self.limits, bounds=self.bounds, method="highs"
            )
            if solved.status == 0:
                yield solved.x


def _inequalities(known: Sequence[Known], at: Mapping[str, int]) -> tuple[csr_array, FloatArray]:
    rows: list[int] = []
    columns: list[int] = []
    values: list[float] = []
    limits: list[float] = []
    for row in known:
        for sign, limit in ((1.0, row.most), (-1.0, -row.least)):
            if math.isinf(limit):
                continue
            for name, factor in row.terms:
                rows.append(len(limits))
                columns.append(at[name])
                values.append(sign * factor)
            limits.append(limit)
    return csr_array((values, (rows, columns)), shape=(len(limits), len(at))), np.array(limits)

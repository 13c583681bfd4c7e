"""The counts of ``results``: subjects and events of every row, rounded so that they add up."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from spinescore.core.disclosure.relations import Cell, Ratio, Relations
from spinescore.core.disclosure.running_totals import round_down, round_parts
from spinescore.domain import RESULT_KEYS, Result

OVERALL = (None, "overall")
BY_GROUP = frozenset({"hr_category", "shr_category"})  # the comparator is the reference group there
LEVELS = frozenset({"count", "percent"})
STATED_PARTS = {
    "missing_data": ("n_complete", "n_dropped"),
    "repeated_images": ("n_one_day", "n_span_too_short", "n_followed"),
}
STATED_WHOLES = {"repeated_images": "n_subjects"}
DEVICE_TOTAL = "f_statistic"  # of the rows of ``device_shift``: its n is everybody's
FAMILY_KEYS = tuple(key for key in RESULT_KEYS if key not in ("group", "subgroup"))


@dataclass(slots=True)
class Counts:
    """What is published of the counts of every row, by its position; None where it is below ``k``.

    A row that is not in ``events`` states none. ``levels`` are those of Table 1's variables, over everybody.
    """

    subjects: dict[int, int | None] = field(default_factory=dict)
    events: dict[int, int | None] = field(default_factory=dict)
    known: dict[int, int] = field(default_factory=dict)  # of shares of a table: the denominator
    levels: dict[tuple[str, str, str], tuple[int, int]] = field(default_factory=dict)  # true, published


def publish_counts(results: Sequence[Result], relations: Relations) -> Counts:
    """Round ``n`` and ``events`` of every row and store how they add up.

    Rows by PAD group and by subgroup are parts of the row without; Table 1 is split by group, then by
    level. All others are rounded down by themselves.
    """
    counts = Counts()
    tables: dict[str, list[int]] = defaultdict(list)
    families: dict[tuple[object, ...], list[int]] = defaultdict(list)
    for i, row in enumerate(results):
        if row.analysis == "table_one":
            tables[row.cohort].append(i)
        else:
            families[_family(row)].append(i)
    for rows in tables.values():
        _publish_table(results, rows, counts, relations)
    for rows in families.values():
        _publish_family(results, rows, counts, relations)
    return counts


def _family(row: Result) -> tuple[object, ...]:
    if row.analysis == "device_shift":
        return (row.cohort, row.analysis, row.subgroup, (row.term or "").partition("=")[0])
    by_group = row.statistic in BY_GROUP and row.term is None
    keys = {key: getattr(row, key) for key in FAMILY_KEYS}
    if by_group:
        keys["comparator"] = None
    if row.statistic in (*STATED_PARTS.get(row.analysis, ()), STATED_WHOLES.get(row.analysis)):
        keys["statistic"] = "parts"
        return (*keys.values(), row.group, row.subgroup)
    if row.statistic.startswith("n_"):
        return (*keys.values(), row.group, row.subgroup)
    return tuple(keys.values())


def _states(row: Result, column: str) -> bool:
    """Whether a row's count is published: events until a horizon are, in the numbers at risk alone."""
    if column == "events" and row.horizon_years is not None:
        return False
    return getattr(row, column) is not None


def _is_whole(row: Result) -> bool:
    if row.analysis == "device_shift":
        return row.statistic == DEVICE_TOTAL
    if row.statistic in STATED_PARTS.get(row.analysis, ()):
        return False
    if row.analysis in STATED_PARTS:
        return True
    return row.group in OVERALL and not row.subgroup


def _axis(row: Result) -> str:
    """Return what parts a whole: nothing for PAD groups, the variable's name for subgroups."""
    if row.analysis == "device_shift" or row.analysis in STATED_PARTS:
        return row.analysis
    return row.subgroup.partition("=")[0] if row.subgroup else ""


def _publish_family(
    results: Sequence[Result], rows: Sequence[int], counts: Counts, relations: Relations
) -> None:
    whole = next((i for i in rows if _is_whole(results[i])), None)
    parts: dict[str, list[int]] = defaultdict(list)
    for i in rows:
        if i != whole:
            parts[_axis(results[i])].append(i)
    for column, published in (("n", counts.subjects), ("events", counts.events)):
        total = (
            getattr(results[whole], column) if whole is not None and _states(results[whole], column) else None
        )
        if whole is not None and total is not None:
            published[whole] = round_down(total, relations.k) or None
        for axis, members in parts.items():
            known = [i for i in members if _states(results[i], column)]
            sizes = [int(getattr(results[i], column)) for i in known]
            rounded = _as_in_table_one(results, known, axis, counts) if column == "n" else None
            rounded = rounded or round_parts(sizes, relations.k)
            published.update({i: n or None for i, n in zip(known, rounded, strict=True)})
    for axis, members in parts.items():
        if any((counts.events.get(i) or 0) > (counts.subjects.get(i) or 0) for i in members):
            for i in members:
                counts.events.pop(i, None)  # more events than subjects, after rounding: none are stated
        _relate_family(results, whole, members, counts, relations, exhaustive=axis == "")
    if whole is not None and not parts:
        _relate_family(results, whole, (), counts, relations, exhaustive=False)


def _as_in_table_one(
    results: Sequence[Result], members: Sequence[int], axis: str, counts: Counts
) -> list[int] | None:
    """Return what Table 1 says of the same levels, if it counts the same people in each of them."""
    rounded = []
    for i in members:
        key = (results[i].cohort, axis, (results[i].subgroup or "").partition("=")[2])
        if counts.levels.get(key, (None, 0))[0] != results[i].n:
            return None
        rounded.append(counts.levels[key][1])
    return rounded or None


def _relate_family(
    results: Sequence[Result],
    whole: int | None,
    members: Sequence[int],
    counts: Counts,
    relations: Relations,
    *,
    exhaustive: bool,
) -> None:
    for column, published in (("n", counts.subjects), ("events", counts.events)):
        stated = [i for i in members if i in published]
        own = whole if whole is not None and whole in published else None
        total = None
        if own is not None:
            total = relations.add_cell(_cell(results, own, column))
            relations.relate("running_total", [(total, 1)])
        cells = [relations.add_cell(_cell(results, i, column)) for i in stated]
        sums_up = own is not None and sum(published[i] or 0 for i in stated) == (published[own] or 0)
        true_sum = sum(int(getattr(results[i], column)) for i in stated)
        complete = exhaustive and own is not None and true_sum == getattr(results[own], column)
        relations.relate_parts(total, cells, exhaustive=complete and sums_up)
    for i in (*([] if whole is None else [whole]), *members):
        if i in counts.subjects and i in counts.events:
            terms = [(_cell(results, i, "n").name, 1), (_cell(results, i, "events").name, -1)]
            relations.relate("at_least", terms)
            if results[i].statistic == "rate_per_1000_py":
                value, years = _cell(results, i, "value"), _cell(results, i, "person_years")
                relations.ratios.append(Ratio(value, 1000.0, terms[1][0], None, years))


def _cell(results: Sequence[Result], i: int, column: str) -> Cell:
    keys = " / ".join(
        str(getattr(results[i], key)) for key in RESULT_KEYS if getattr(results[i], key) is not None
    )
    return Cell(f"results, {column} of {keys}", "results", i, column)


def _publish_table(
    results: Sequence[Result], rows: Sequence[int], counts: Counts, relations: Relations
) -> None:
    """Split Table 1 by group, then each group by the levels of each variable and who lacks it."""
    k = relations.k
    at = {
        (row.term, row.statistic, row.group or "", row.comparator): i
        for i in rows
        if (row := results[i]).statistic in ("n", "missing", "count")
    }
    groups = [g for (term, _, g, _) in at if term == "subjects" and g not in OVERALL]
    size = {g: _value(results, at.get(("subjects", "n", g, None))) for g in ("overall", *groups)}
    rest = size["overall"] - sum(size[g] for g in groups)
    terms = list(dict.fromkeys(term for (term, _, _, _) in at if term != "subjects"))
    sizes = round_parts([*(size[g] for g in groups), rest], k)
    total = round_down(size["overall"], k)
    for g, n in zip(("overall", *groups), (total, *sizes[:-1]), strict=True):
        _set(counts, at.get(("subjects", "n", g, None)), n)
    names = _relate_sizes(results, at, groups, relations, exhaustive=rest == 0)
    for term in terms:
        _publish_term(results, at, term, [size[g] for g in groups], rest, names, counts, relations)
    _spread_table(results, rows, at, counts, relations)


def _relate_sizes(
    results: Sequence[Result],
    at: dict[tuple[str | None, str, str, str | None], int],
    groups: Sequence[str],
    relations: Relations,
    *,
    exhaustive: bool,
) -> list[str]:
    cells = {
        g: relations.add_cell(_cell(results, at[("subjects", "n", g, None)], "value"))
        for g in ("overall", *groups)
        if ("subjects", "n", g, None) in at
    }
    if "overall" in cells:
        relations.relate("running_total", [(cells["overall"], 1)])
        relations.totals[results[at[("subjects", "n", "overall", None)]].cohort] = cells["overall"]
    names = [cells[g] for g in groups if g in cells]
    relations.relate_parts(cells.get("overall"), names, exhaustive=exhaustive)
    return names


def _publish_term(
    results: Sequence[Result],
    at: dict[tuple[str | None, str, str, str | None], int],
    term: str | None,
    sizes: Sequence[int],
    rest: int,
    names: Sequence[str],
    counts: Counts,
    relations: Relations,
) -> None:
    """Round one variable's levels and missing values in every group, and for everybody as their sums."""
    k = relations.k
    levels = list(dict.fromkeys(c for (t, s, _, c) in at if t == term and s == "count"))
    keys: list[tuple[str, str | None]] = [("count", level) for level in levels] or [("n", None)]
    keys.append(("missing", None))
    groups = list(dict.fromkeys(g for (t, s, g, _) in at if t == "subjects" and g not in OVERALL))
    everybody = {key: _value(results, at.get((term, key[0], "overall", key[1]))) for key in keys}
    own = {g: [_value(results, at.get((term, s, g, c))) for s, c in keys] for g in groups}
    own[""] = [everybody[key] - sum(own[g][j] for g in groups) for j, key in enumerate(keys)]
    before, summed = 0, [0] * len(keys)
    for g, size in zip((*groups, ""), (*sizes, rest), strict=True):
        rounded = round_parts(own[g], k, before)
        summed = [a + b for a, b in zip(summed, rounded, strict=True)]
        if g:
            _set_term(counts, at, term, g, keys, rounded)
            _relate_term(results, at, term, g, keys, names, groups.index(g), relations)
        before += size
    _set_term(counts, at, term, "overall", keys, summed)
    cohort = next(results[place].cohort for (t, *_), place in at.items() if t == term)
    for (statistic, level), n in zip(keys, summed, strict=True):
        counts.levels[cohort, str(term), str(level)] = (everybody[statistic, level], n)
    for s, c in keys:
        cells = [
            relations.add_cell(_cell(results, at[(term, s, g, c)], "value"))
            for g in groups
            if (term, s, g, c) in at
        ]
        if (term, s, "overall", c) in at and len(cells) == len(groups):
            whole = _cell(results, at[(term, s, "overall", c)], "value")
            if rest == 0 and cells:
                relations.relate("equal", [(relations.add_cell(whole), 1), *((cell, -1) for cell in cells)])


def _set_term(
    counts: Counts,
    at: dict[tuple[str | None, str, str, str | None], int],
    term: str | None,
    group: str,
    keys: Sequence[tuple[str, str | None]],
    rounded: Sequence[int],
) -> None:
    for (statistic, level), n in zip(keys, rounded, strict=True):
        _set(counts, at.get((term, statistic, group, level)), n)
    known = sum(n for (statistic, _), n in zip(keys, rounded, strict=True) if statistic != "missing")
    _set(counts, at.get((term, "n", group, None)), known)
    for (statistic, level), _ in zip(keys, rounded, strict=True):
        place = at.get((term, statistic, group, level))
        if place is not None:
            counts.known[place] = known


def _relate_term(
    results: Sequence[Result],
    at: dict[tuple[str | None, str, str, str | None], int],
    term: str | None,
    group: str,
    keys: Sequence[tuple[str, str | None]],
    names: Sequence[str],
    position: int,
    relations: Relations,
) -> None:
    """Say that levels and missing values add up to their group; running totals begin with the first one."""
    places = [at.get((term, statistic, group, level)) for statistic, level in keys]
    if position >= len(names) or any(place is None for place in places):
        return
    cells = [relations.add_cell(_cell(results, place, "value")) for place in places if place is not None]
    before = [(name, 1) for name in names[:position]]
    for j in range(1, len(cells) + 1):
        relations.relate("running_total", [*before, *((cell, 1) for cell in cells[:j])])
    relations.relate("equal", [(names[position], 1), *((cell, -1) for cell in cells)])


def _spread_table(
    results: Sequence[Result],
    rows: Sequence[int],
    at: dict[tuple[str | None, str, str, str | None], int],
    counts: Counts,
    relations: Relations,
) -> None:
    """Give the other rows of a variable its number known, and its shares their count."""
    for i in rows:
        row = results[i]
        group = row.group or ""
        if row.statistic == "percent":
            place = at.get((row.term, "count", group, row.comparator))
            if place is None:
                continue
            counts.subjects[i] = counts.subjects.get(place)
            counts.known[i] = counts.known.get(place, 0)
            known = at.get((row.term, "n", group, None))
            if known is not None:
                value = _cell(results, i, "value")
                numerator = relations.add_cell(_cell(results, place, "value"))
                denominator = relations.add_cell(_cell(results, known, "value"))
                relations.ratios.append(Ratio(value, 100.0, numerator, denominator))
        elif i not in counts.subjects:
            place = at.get((row.term, "n", group or "overall", None))
            if place is not None and row.n is not None:
                counts.subjects[i] = counts.subjects.get(place)


def _value(results: Sequence[Result], place: int | None) -> int:
    return 0 if place is None else int(results[place].value or 0)


def _set(counts: Counts, place: int | None, n: int) -> None:
    if place is not None:
        counts.subjects[place] = n or None

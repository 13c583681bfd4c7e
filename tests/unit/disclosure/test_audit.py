"""The audit finds what can be told, and only that."""

from __future__ import annotations

from collections.abc import Callable

from spinescore.core.disclosure.audit import find_bounded, find_bounded_changes, read_release
from spinescore.core.disclosure.relations import Cell, Ratio, Relations, read_relations

K = 5


def groups_and_total() -> Relations:
    relations = Relations(K)
    parts = [relations.add_cell(Cell(name, "results", i, "n")) for i, name in enumerate("ABC")]
    whole = relations.add_cell(Cell("whole", "results", 3, "n"))
    relations.relate("equal", [(whole, 1), *((part, -1) for part in parts)])
    return relations


def published(*numbers: int | None) -> Callable[[Cell], float | None]:
    return lambda cell: numbers[cell.row]


def test_rounding_each_by_itself_leaks_through_the_total() -> None:
    """14 + 14 + 14 = 42: the parts rounded down to 10, the whole to 40, as many releases do it."""
    relations = groups_and_total()
    assert find_bounded(read_release(relations, published(10, 10, 20, 40))) == []
    for name in relations.cells:
        relations.relate("running_total", [(name, 1)])
    leaky = find_bounded(read_release(relations, published(10, 10, 10, 40)))
    assert {bounded.name for bounded in leaky} >= {"A", "B", "C"}
    assert all(bounded.least >= 12 and bounded.most == 14 for bounded in leaky if bounded.name in "ABC")


def test_numbers_that_contradict_each_other_are_found() -> None:
    assert find_bounded(read_release(groups_and_total(), published(10, 10, 10, 80)))


def test_a_complement_is_a_count_too() -> None:
    """Of 10 to 14 subjects, at least 9 had the event: 0 to 4 had none, but not if 12 to 14 had it."""
    relations = Relations(K)
    n = relations.add_cell(Cell("n", "results", 0, "n"))
    events = relations.add_cell(Cell("events", "results", 1, "n"))
    relations.relate("at_least", [(n, 1), (events, -1)])
    relations.relate("running_total", [(n, 1)])
    assert find_bounded(read_release(relations, published(15, 10))) == []
    assert find_bounded(read_release(relations, published(10, 15)))


def test_exact_percentages_tell_their_counts() -> None:
    """45.9% of 37 is 17: rounded to 15 of 35, the percentage gives it away; 100 * 15 / 35 says nothing."""
    relations = Relations(K)
    count = relations.add_cell(Cell("count", "results", 0, "n"))
    known = relations.add_cell(Cell("known", "results", 1, "n"))
    relations.relate("running_total", [(known, 1)])
    relations.ratios.append(Ratio(Cell("percent", "results", 2, "n"), 100.0, count, known))

    def read(percent: float) -> Callable[[Cell], float | None]:
        return lambda cell: (15, 35, percent)[cell.row]

    assert find_bounded(read_release(relations, read(100 * 15 / 35))) == []
    assert "count" in {bounded.name for bounded in find_bounded(read_release(relations, read(45.945945945)))}


def test_an_exact_rate_tells_its_events() -> None:
    relations = Relations(K)
    events = relations.add_cell(Cell("events", "results", 0, "n"))
    value, years = Cell("rate", "results", 1, "n"), Cell("years", "results", 2, "n")
    relations.ratios.append(Ratio(value, 1000.0, events, None, years))
    assert find_bounded(read_release(relations, lambda cell: (10, 1000 * 10 / 850, 850)[cell.row])) == []
    (found,) = find_bounded(read_release(relations, lambda cell: (10, 1000 * 13 / 850, 850)[cell.row]))
    assert (found.least, found.most) == (13, 13)


def test_two_releases_tell_who_joined() -> None:
    """400 to 404 subjects in both; events 20 to 24, then 25 to 29: at most 4 joined, so 21 to 24 had it before."""
    relations = Relations(K)
    for i, name in enumerate(("subjects", "events")):
        relations.relate("running_total", [(relations.add_cell(Cell(name, "results", i, "n")), 1)])
    totals = {"subjects": ("subjects", "subjects"), "events": ("subjects", "subjects")}

    def against(before: tuple[int, int], now: tuple[int, int]) -> set[str]:
        first, second = (read_release(relations, published(*numbers)) for numbers in (before, now))
        assert find_bounded(first) == find_bounded(second) == []
        return {bounded.name for bounded in find_bounded_changes(first, second, totals)}

    assert against((400, 20), (400, 20)) == set()
    assert against((400, 20), (500, 60)) == set()
    assert "before: events" in against((400, 20), (400, 25))


def test_relations_are_stored_and_read_back_whole() -> None:
    relations = groups_and_total()
    relations.totals["A cohort"] = "whole"
    relations.ratios.append(Ratio(Cell("p", "results", 4, "value"), 100.0, "A", "whole"))
    assert read_relations(relations.as_data()) == relations

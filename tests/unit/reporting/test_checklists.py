"""Checklists: every item once, in order; sections that exist; what is not there is the author's."""

from __future__ import annotations

import ast
from dataclasses import replace
from pathlib import Path

import pytest

from spinescore.core import reporting
from spinescore.core.reporting.checklist_items import STARD, STROBE, TRIPOD_AI, Item
from spinescore.core.reporting.checklist_section import checklist_section, checklist_table
from spinescore.core.reporting.document import Report, Table
from spinescore.core.reporting.material import Material

SOURCES = {  # the statements' own numbers of items, sub-items counted singly
    "strobe": (STROBE, 34),
    "tripod": (TRIPOD_AI, 52),
    "stard": (STARD, 34),
}


def section_keys() -> set[str]:
    """Return the keys of all sections that the package can make."""
    keys = set()
    for file in Path(reporting.__path__[0]).glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Section":
                found = {k.arg: k.value for k in node.keywords}["key"]
                keys |= {found.value} if isinstance(found, ast.Constant) else set()
    return keys


@pytest.mark.parametrize("name", SOURCES)
def test_every_item_is_there_once_in_order(name: str) -> None:
    items, n = SOURCES[name]
    numbers = [item.number for item in items]
    assert len(numbers) == len(set(numbers)) == n
    order = [(int(number.rstrip("abcdefg")), number) for number in numbers]
    assert order == sorted(order)
    assert {number for number, _ in order} == set(range(1, order[-1][0] + 1))


@pytest.mark.parametrize("name", SOURCES)
def test_items_name_sections_that_exist(name: str) -> None:
    known = section_keys()
    assert {key for item in SOURCES[name][0] for key in item.where} <= known


def test_what_the_report_does_not_have_is_the_authors() -> None:
    items = (
        Item("1", "Cut-offs", ("cutoffs",)),
        Item("2", "Flow", ("participants", "cutoffs"), "before imaging"),
        Item("3", "Funding"),
        Item("4", "Places", ("cutoffs",), "which"),
    )
    table = checklist_table("x", "X", items, {"participants": "Participants"})
    assert [[cell.text for cell in row.cells] for row in table.rows] == [
        ["1", "Cut-offs", "", "the item"],
        ["2", "Flow", "Participants", "before imaging"],
        ["3", "Funding", "", "the item"],
        ["4", "Places", "", "the item: which"],
    ]


def test_the_report_ends_with_the_checklists_of_its_analyses(material: Material, report: Report) -> None:
    assert report.sections[-1].key == "checklists"
    keys = [block.key for block in report.sections[-1].blocks if isinstance(block, Table)]
    assert keys == ["strobe", "tripod-ai", "stard"]
    study = material.study.model_copy(update={"endpoints": {}})
    without = checklist_section(replace(material, study=study), report.sections)
    assert [block.key for block in without.blocks if isinstance(block, Table)] == ["strobe", "tripod-ai"]

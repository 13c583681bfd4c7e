"""The report in two pages: the same values and numbers, what matters least yields first."""

from __future__ import annotations

from spinescore.core.reporting.document import Callout, Figure, Paragraph, Report, Table
from spinescore.core.reporting.material import Material
from spinescore.core.reporting.short_report import shorten


def test_blocks_are_those_of_the_whole_report(report: Report, material: Material) -> None:
    short = next(iter(shorten(report, material)))
    whole = {block.key: block for block in report.blocks() if isinstance(block, Table | Figure)}
    own = [block for block in short.blocks() if isinstance(block, Table | Figure)]
    assert len(own) >= 4
    assert all(block is whole[block.key] for block in own)
    assert short.sections[0] is report.sections[0]
    assert short.banner == report.banner


def test_what_matters_least_yields_first_and_the_first_page_never(report: Report, material: Material) -> None:
    tries = list(shorten(report, material))
    sizes = [len(list(short.blocks())) for short in tries]
    assert sizes == sorted(sizes, reverse=True)
    assert len(set(sizes)) == len(sizes)
    keys = [[b.key for b in short.sections[1].blocks if isinstance(b, Table | Figure)] for short in tries]
    assert keys[0] == ["incidence-any-fracture", "forest-models", "accuracy"]
    assert keys[1] == keys[0][:2]
    assert any(isinstance(block, Callout) for block in tries[-2].sections[1].blocks)
    assert not any(isinstance(block, Callout) for block in tries[-1].sections[1].blocks)
    assert all(short.sections[0] is report.sections[0] for short in tries)


def test_follow_up_is_said_for_each_cohort(report: Report, material: Material) -> None:
    short = next(iter(shorten(report, material)))
    said = [block.text for block in short.sections[1].blocks if isinstance(block, Paragraph)]
    assert len(said) == len(material.cohorts) + 1
    assert "subjects followed for" in said[0]

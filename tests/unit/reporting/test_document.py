"""Numbering, footnotes, and what the tables say."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from jsonschema import ValidationError

from spinescore.core.reporting import survival_tables, tables, theme
from spinescore.core.reporting.document import (
    Callout,
    Cell,
    Column,
    Figure,
    Report,
    Row,
    Table,
    add_footnotes,
)
from spinescore.core.reporting.figures import scatter_figure
from spinescore.core.reporting.material import Material, ResultTable
from spinescore.core.reporting.sections import accuracy_section, banner_of
from spinescore.core.reporting.summary import warnings
from spinescore.domain import Result
from tests.unit.reporting.charts import check_chart, check_spec


def texts(table: Table) -> list[list[str]]:
    return [[cell.text for cell in row.cells] for row in table.rows]


def test_equal_notes_share_a_letter() -> None:
    cells = (Cell(text="1", notes=("few",)), Cell(text="2", notes=("other", "few")))
    table = Table(
        key="t", title="t", columns=(Column(label="a"), Column(label="b")), rows=(Row(cells=cells),)
    )
    marked = add_footnotes(table)
    assert [cell.marks for cell in marked.rows[0].cells] == ["a", "b,a"]
    assert marked.footnotes == (("a", "few"), ("b", "other"))


def test_tables_and_figures_are_numbered_in_order(report: Report) -> None:
    assert [table.number for table in report.tables()] == list(range(1, len(report.tables()) + 1))
    assert len({block.key for block in (*report.tables(), *report.figures())}) == len(report.tables()) + len(
        report.figures()
    )


def test_table_2_has_the_shape_of_the_study(material: Material) -> None:
    table = survival_tables.hazard_ratio_table(material, "own_n")
    assert [column.label for column in table.columns] == ["Outcome", "SD, years", "Model 1"]
    row = table.rows[1].cells
    assert (row[1].text, row[2].text) == ("5.0", "1.74 (1.46–2.07)")
    assert row[2].detail.replace("\u00a0", " ") == "25 / 120; p = 0.012"


def test_death_with_3_events_is_not_estimable_in_table_2(material: Material) -> None:
    table = add_footnotes(survival_tables.hazard_ratio_table(material, "own_n"))
    cell = table.rows[2].cells[2]
    assert (cell.text, cell.detail) == ("–", "3 / 120")
    assert (cell.marks, "not estimable: 3 events") in table.footnotes


def test_raw_accuracy_comes_first_and_corrected_carries_its_warning(material: Material) -> None:
    table = tables.accuracy_table(material)
    assert [row[0] for row in texts(table)[1:3]] == ["Spine age, raw", "Spine age, corrected"]
    assert "contains chronological age" in table.rows[2].cells[2].notes[0]
    section = accuracy_section(material)
    assert any(isinstance(block, Callout) and "not accuracy" in block.title for block in section.blocks)


def test_groups_say_their_range(material: Material) -> None:
    assert [material.group_title("External", group) for group in ("T1", "T2", "T3", ">= 5")] == [
        "T1 ≤ −2.0 y",
        "T2 −2.0 to 2.0 y",
        "T3 > 2.0 y",
        "≥ 5 y",
    ]


def test_a_correction_fitted_on_the_evaluated_cohort_is_a_warning(material: Material) -> None:
    row = Result(cohort="Derivation", analysis="accuracy", statistic="r", flags=("same_cohort_correction",))
    found = list(warnings(Material(**_fields(material) | {"results": ResultTable([row])})))
    assert any("fitted on subjects it is judged on" in text for text in found)


def test_a_study_of_real_data_and_a_real_model_has_no_banner(material: Material, tmp_path: Path) -> None:
    study = material.study.model_copy(
        update={"study": material.study.study.model_copy(update={"synthetic": False})}
    )
    plain = Material(**_fields(material) | {"study": study, "model": dict(material.model) | {"manifest": {}}})
    assert banner_of(plain) == ("", "")


def test_a_demonstration_model_alone_raises_the_banner(material: Material) -> None:
    study = material.study.model_copy(
        update={"study": material.study.study.model_copy(update={"synthetic": False})}
    )
    assert banner_of(Material(**_fields(material) | {"study": study}))[0] == "DEMONSTRATION MODEL"


def test_many_points_are_binned(material: Material) -> None:
    many = pl.concat([material.points] * 60)
    figure = scatter_figure(Material(**_fields(material) | {"points": many}))
    assert figure is not None
    assert "shaded by the number of subjects" in figure.caption
    assert max(len(rows) for rows in figure.spec["datasets"].values()) < 2000


def test_every_chart_is_valid_vega_lite(report: Report) -> None:
    assert len(report.figures()) > 2
    for figure in report.figures():
        check_chart(figure)
    broken = dict(report.figures()[0].spec) | {"vconcat": [{"mark": "scribble"}], "hconcat": []}
    with pytest.raises(ValidationError):
        check_spec(broken)


def test_a_chart_fetches_nothing(report: Report) -> None:
    def addresses(node: object) -> list[object]:
        if isinstance(node, dict):
            found = [node["url"]] if "url" in node else []
            return found + [a for value in node.values() for a in addresses(value)]
        return [a for value in node for a in addresses(value)] if isinstance(node, list) else []

    assert report.figures()
    assert all(addresses(dict(figure.spec)) == [] for figure in report.figures())


def test_labels_keep_their_order_when_spread() -> None:
    spread = theme.spread_labels([0.3, 0.1, 0.31], 0.05)
    assert spread[1] < spread[0] < spread[2]
    assert spread[2] - spread[0] >= 0.05 - 1e-6


def _fields(material: Material) -> dict[str, object]:
    return {name: getattr(material, name) for name in Material.__dataclass_fields__}


def test_a_figure_has_words_for_those_who_cannot_see_it(report: Report) -> None:
    assert all(isinstance(figure, Figure) and len(figure.alt) > 40 for figure in report.figures())

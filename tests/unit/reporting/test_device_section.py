"""Images and devices: counts, findings, and shifts as they are printed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from spinescore.core.reporting.device_section import (
    device_section,
    findings_table,
    quality_table,
    shift_figure,
    shift_table,
)
from spinescore.core.reporting.document import Figure, Table
from spinescore.core.reporting.material import Material, ResultTable
from spinescore.domain import Result
from tests.unit.reporting.charts import check_chart

COUNTS = {"n_images": 200, "n_subjects": 180, "n_scored": 190, "n_failed": 8, "n_flagged": 3}
WIDTHS = {"sd_q1": 3.04, "sd_median": 3.57, "sd_q3": 4.2}
QUALITY = (
    {"kind": "radiograph", "manufacturer": "ACME", **COUNTS, **WIDTHS},
    {"kind": "radiograph", "manufacturer": "<b>Umbrella</b>", **COUNTS, **dict.fromkeys(WIDTHS)},
    {"kind": "vfa", "manufacturer": "ACME", **COUNTS, "n_images": 50, **WIDTHS},
)
FINDINGS = (
    {"what": "not scored", "code": "decode_failed", "kind": "radiograph", "n": 16},
    {"what": "pixels", "code": "low_contrast", "kind": "vfa", "n": 5},
)


def row(cohort: str, term: str, statistic: str, **fields: Any) -> Result:
    keys = {"predictor": "pad_raw", "correction": "none", "subgroup": "kind=vfa", "method": "hc3"}
    return Result(
        cohort=cohort,
        analysis="device_shift",
        statistic=statistic,
        term=term,
        comparator="manufacturer=ACME",
        **keys,
        **fields,
    )


@pytest.fixture
def shifted(material: Material) -> Material:
    cohort = material.cohorts[0]
    test = {"value": 12.34, "df": 2.0, "p_value": 0.0000123, "n": 400, "note": "denominator df 393"}
    own = {"value": -1.2345, "se": 0.3, "lower": -1.8, "upper": -0.6, "p_value": 0.0004, "n": 120}
    rows = [
        row(cohort, "manufacturer=Umbrella", "shift_years", **own),
        row(cohort, "manufacturer=Wayne", "shift_years", n=4, status="not_estimable", note="4 subjects"),
        row(cohort, "manufacturer", "f_statistic", **test),
    ]
    results = ResultTable([*material.results, *rows])
    return replace(material, results=results, quality=QUALITY, findings=FINDINGS)


def texts(table: Table) -> list[list[str]]:
    return [[cell.text for cell in row.cells] for row in table.rows]


def test_images_are_counted_with_shares_of_their_row(shifted: Material) -> None:
    rows = texts(quality_table(shifted))
    counts = ["200", "180", "190 (95.0%)", "8 (4.0%)", "3 (1.5%)"]
    assert rows[1] == ["ACME", *counts, "3.6 (3.0–4.2)"]
    assert rows[2] == ["<b>Umbrella</b>", *counts, "–"]
    assert [row[0] for row in rows if len(row) == 1] == ["Radiograph", "DXA VFA"]


def test_findings_are_shares_of_all_images_of_their_kind(shifted: Material) -> None:
    assert texts(findings_table(shifted)) == [
        ["Not scored, because"],
        ["decode failed", "16 (4.0%)", "0 (0.0%)"],
        ["Flags from pixels"],
        ["low contrast", "0 (0.0%)", "5 (10.0%)"],
    ]


def test_shifts_are_printed_with_their_test_and_reasons(shifted: Material) -> None:
    table = shift_table(shifted)
    head, first, second = texts(table)
    assert head == [f"{shifted.cohorts[0]}, DXA VFA. Manufacturers: F(2, 393) = 12.34, p\u00a0<0.001"]
    assert first == ["Umbrella, against ACME", "120", "−1.23 (−1.80 to −0.60)", "<0.001"]
    assert second[2] == "–"
    assert table.rows[2].cells[2].notes == ("not estimable: 4 subjects",)


def test_the_chart_draws_what_could_be_estimated(shifted: Material) -> None:
    figure = shift_figure(shifted)
    assert figure is not None
    check_chart(figure)
    drawn = [line for rows in figure.spec["datasets"].values() for line in rows if "label" in line]
    assert [line["label"] for line in drawn if not line["heading"]] == ["Umbrella, against ACME"]


def test_what_is_not_there_has_no_section(material: Material, shifted: Material) -> None:
    assert device_section(material).blocks == ()
    kinds = [type(block) for block in device_section(shifted).blocks]
    assert kinds.count(Table) == 3
    assert kinds.count(Figure) == 1

"""The flow diagram: boxes, exits with reasons, units, ends; escaped, in both media."""

from __future__ import annotations

import re
import subprocess

import polars as pl
import pytest

from spinescore.core.reporting.attrition_flow import attrition_flow
from spinescore.core.reporting.document import Flow
from spinescore.core.reporting.material import Material
from spinescore.core.reporting.sections import build_report
from spinescore.shell.render import draw_charts, render_html, render_pdf
from tests.unit.reporting.conftest import COHORTS, DEATH, FRACTURE, PREVALENT, make_attrition, make_material

KOREAN = "추적 관찰 없음"
STEPS = (
    ("files found", "files", None, "", 0, 12_390),
    ("readable files", "files", None, "rejected: not_dicom", 1, 12_389),
    ("eligible images", "files", None, "excluded: not_lateral", 2_000, 10_389),
    ("eligible images", "files", None, "excluded: <u>burned</u>", 89, 10_300),
    ("scored", "images", None, "", 0, 10_300),
    ("one index image per subject", "images", None, "further images", 300, 10_000),
    ("linked to follow-up", "subjects", None, "not in the follow-up table", 1_000, 9_000),
    ("outcome known", "subjects", PREVALENT, "missing", 12, 8_988),
    ("follow-up", "subjects", FRACTURE, KOREAN, 120, 8_880),
    ("follow-up", "subjects", FRACTURE, "event or end of follow-up on day 0", 3, 8_877),
    ("follow-up", "subjects", DEATH, "", 0, 9_000),
    ("in the follow-up table", "table rows", None, "", 0, 9_500),
    ("with an image", "table rows", None, "no image of the subject", 500, 9_000),
)
N_BOXES, N_EXITS = 11, 7


def attrition(*, unit: bool = True) -> pl.DataFrame:
    names = ("step", "unit", "endpoint", "reason", "n_excluded", "n_remaining")
    rows = [
        {"cohort": cohort, "position": i, **dict(zip(names, step, strict=True))}
        for cohort in COHORTS
        for i, step in enumerate(STEPS)
    ]
    frame = pl.DataFrame(rows, infer_schema_length=None)
    return frame if unit else frame.drop("unit")


@pytest.fixture(scope="module")
def counted(material: Material) -> Material:
    return make_material(material.study, attrition=attrition())


@pytest.fixture(scope="module")
def flow(counted: Material) -> Flow:
    return attrition_flow(counted)


def test_each_step_is_a_box_with_its_unit_and_each_exit_has_its_reasons(flow: Flow) -> None:
    steps = flow.charts[0].steps
    assert [step.label for step in steps] == [
        "Files found",
        "Readable files",
        "Eligible images",
        "Scored",
        "One index image per subject",
        "Linked to follow-up",
    ]
    assert [step.remaining for step in steps][:4] == [
        "12,390 files",
        "12,389 files",
        "10,300 files",
        "10,300 images",
    ]
    exits = [step.exit for step in steps]
    assert exits[0] is None
    assert exits[3] is None
    assert exits[1] is not None
    assert (exits[1].total, exits[1].reasons) == ("1 file", ("rejected: not dicom: 1",))
    assert exits[2] is not None
    assert exits[2].total == "2,089 files"
    assert len(exits[2].reasons) == 2


def test_the_chart_ends_in_a_box_per_endpoint(flow: Flow, counted: Material) -> None:
    ends = flow.charts[0].ends
    assert [end.label for end in ends] == [counted.endpoint_title(e) for e in (PREVALENT, FRACTURE, DEATH)]
    assert [end.remaining for end in ends] == ["8,988 subjects", "8,877 subjects", "9,000 subjects"]
    assert ends[1].exit is not None
    assert ends[1].exit.total == "123 subjects"
    assert ends[2].exit is None


def test_the_follow_up_table_s_rows_are_a_chart_of_their_own(flow: Flow) -> None:
    table = flow.charts[1]
    assert table.title.endswith("the follow-up table's side")
    assert [step.remaining for step in table.steps] == ["9,500 table rows", "9,000 table rows"]


def test_what_left_and_what_remains_make_what_came(flow: Flow) -> None:
    def number(text: str) -> int:
        return int(text.split()[0].replace(",", ""))

    assert [len(chart.ends) for chart in flow.charts] == [3, 0] * len(COHORTS)
    for chart in flow.charts:
        before = number(chart.steps[0].remaining)
        for step in chart.steps[1:]:
            left = number(step.exit.total) if step.exit else 0
            assert before - left == number(step.remaining)
            before = number(step.remaining)
        assert all(
            number(end.remaining) + (number(end.exit.total) if end.exit else 0) == before
            for end in chart.ends
        )


def test_without_units_numbers_stand_alone(material: Material) -> None:
    """An analysis of an earlier version names no units."""
    flow = attrition_flow(make_material(material.study, attrition=attrition(unit=False)))
    assert flow.charts[0].steps[0].remaining == "12,390"
    assert attrition_flow(make_material(material.study, attrition=make_attrition())).charts[0].ends


def test_the_page_and_the_pdf_hold_every_box_and_reason_as_text(counted: Material) -> None:
    report = build_report(counted)
    charts = draw_charts(report)
    page = render_html(report, charts, "screen")
    markup = page[page.index('<figure class="flow"') :]
    markup = markup[: markup.index("</figure>")]
    assert markup.count('class="flow-chart"') == 2 * len(COHORTS)
    assert markup.count('class="box"') == len(COHORTS) * N_BOXES
    assert markup.count('class="exit"') == len(COHORTS) * N_EXITS
    assert "&lt;u&gt;burned&lt;/u&gt;" in markup
    assert KOREAN in markup
    # poppler, as readers have it: pypdf does not know the encoding WeasyPrint gives to text without a glyph
    pdf = render_pdf(render_html(report, charts, "print"))
    read = subprocess.run(["pdftotext", "-raw", "-", "-"], input=pdf, capture_output=True, check=True)
    text = " ".join(read.stdout.decode().split())
    for said in ("n = 12,390 files", "Left out: 2,089 files", "not in the follow-up table: 1,000"):
        assert len(re.findall(re.escape(said), text)) == len(COHORTS), said

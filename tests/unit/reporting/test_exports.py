"""Tables that paste into Word, figures as SVG and PNG."""

from __future__ import annotations

import struct
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
import tinyhtml5

from spinescore.core.reporting.document import (
    Cell,
    Column,
    Flow,
    FlowChart,
    FlowExit,
    FlowStep,
    Report,
    Row,
    Section,
    Table,
    number_report,
)
from spinescore.core.reporting.flow_drawing import WIDTH, draw_flow, wrap
from spinescore.shell.exports import table_word
from spinescore.shell.rasterise import DOTS_PER_INCH, PIXELS_PER_INCH, rasterise, rasterising

XHTML = "{http://www.w3.org/1999/xhtml}"
SVG = "{http://www.w3.org/2000/svg}"
TABLE = Table(
    key="a",
    title="Rates",
    columns=(
        Column(label="Group", align="left"),
        Column(label="Rate\n(CI)", spanner="Derivation"),
        Column(label="p", spanner="Derivation"),
    ),
    rows=(
        Row(cells=(Cell(text="Fracture"),), kind="group"),
        Row(
            cells=(Cell(text="T1"), Cell(text="1.2", detail="0.8–1.9", notes=("few",)), Cell(text="0.4")),
            kind="indent",
        ),
    ),
    caption="Crude rates.",
)
FLOW = Flow(
    key="flow",
    title="From files to subjects",
    caption="",
    charts=(
        FlowChart(
            title="Derivation",
            steps=(
                FlowStep(label="Files found", remaining="131 files"),
                FlowStep(
                    label="Eligible images",
                    remaining="126 images",
                    exit=FlowExit(total="5 files", reasons=("rejected: 2", "a reason " * 12 + ": 3")),
                ),
            ),
            ends=(
                FlowStep(label="Any fracture", remaining="120 subjects"),
                FlowStep(
                    label="Death",
                    remaining="119 subjects",
                    exit=FlowExit(total="1 subject", reasons=("late: 1",)),
                ),
            ),
        ),
    ),
)


@pytest.fixture(scope="module")
def report() -> Report:
    section = Section(key="s", title="S", blocks=(TABLE, FLOW))
    made = Report(
        title="t",
        subtitle="",
        banner="SYNTHETIC DATA",
        banner_detail="",
        running_head="",
        facts=(),
        sections=(section,),
    )
    return number_report(made)


def test_a_table_for_word_carries_its_styles_itself(report: Report) -> None:
    (table,) = report.tables()
    page = tinyhtml5.parse(table_word(report, table))
    assert not list(page.iter(f"{XHTML}style")) + list(page.iter(f"{XHTML}link"))
    assert not [element for element in page.iter() if "class" in element.attrib]
    cells = [*page.iter(f"{XHTML}td"), *page.iter(f"{XHTML}th")]
    assert len(cells) == 9
    assert all("border" in cell.get("style", "") for cell in cells)


def test_spanners_footnotes_and_the_number_are_kept(report: Report) -> None:
    (table,) = report.tables()
    page = tinyhtml5.parse(table_word(report, table))
    spans = {"".join(th.itertext()): th.get("colspan") for th in page.iter(f"{XHTML}th") if th.get("colspan")}
    assert spans == {"Derivation": "2", "Fracture": "3"}
    text = " ".join("".join(page.itertext()).split())
    for said in ("Table 1. Rates", "SYNTHETIC DATA", "Crude rates.", "a few.", "1.2a0.8–1.9"):
        assert said in text


def test_a_flow_diagram_says_what_its_boxes_say() -> None:
    tree = ElementTree.fromstring(draw_flow(FLOW))
    text = " ".join(" ".join(element.itertext()) for element in tree.iter(f"{SVG}text"))
    for said in (
        "Files found",
        "n = 131 files",
        "Left out: 5 files",
        "rejected: 2",
        "n = 119 subjects",
        "late: 1",
    ):
        assert said in text


def test_nothing_of_a_flow_diagram_lies_outside_it_or_on_another_box() -> None:
    tree = ElementTree.fromstring(draw_flow(FLOW))
    height = float(tree.get("height", "0"))
    boxes = [
        tuple(float(box.get(key, "0")) for key in ("x", "y", "width", "height"))
        for box in tree.iter(f"{SVG}rect")
    ]
    assert len(boxes) == 6
    assert all(x >= 0 and y >= 0 and x + w <= WIDTH + 1 and y + h <= height for x, y, w, h in boxes)
    for i, (x, y, w, h) in enumerate(boxes):
        for u, v, a, b in boxes[i + 1 :]:
            assert x + w <= u or u + a <= x or y + h <= v or v + b <= y


@pytest.mark.parametrize(
    "text", ["Donaudampfschifffahrt" * 9, "한국어로 쓴 긴 이름 " * 9, "short words of a line " * 9]
)
def test_lines_are_no_wider_than_their_box(text: str) -> None:
    lines = wrap(text, 200, 10)
    assert len(lines) > 3
    assert all(sum(10 if ord(c) > 0x1100 else 6 for c in line) <= 200 for line in lines)
    assert "".join("".join(lines).split()) == "".join(text.split())


def test_a_png_is_as_large_in_print_as_its_svg(tmp_path: Path) -> None:
    svg = draw_flow(FLOW)
    (tmp_path / "a.svg").write_text(svg, encoding="utf-8")
    with rasterising(tmp_path) as pictures:
        assert pictures.finish() is None
    png = (tmp_path / "a.png").read_bytes()
    assert png == rasterise(svg) or png[:8] == b"\x89PNG\r\n\x1a\n"
    width, _ = struct.unpack(">II", png[16:24])
    at = png.index(b"pHYs")
    across, down, unit = struct.unpack(">IIB", png[at + 4 : at + 13])
    assert (across, down, unit) == (round(DOTS_PER_INCH / 0.0254), round(DOTS_PER_INCH / 0.0254), 1)
    assert width / DOTS_PER_INCH == pytest.approx(WIDTH / PIXELS_PER_INCH, abs=0.01)
    assert width / DOTS_PER_INCH * 25.4 <= 170.5  # the text width of A4, mm


def test_a_picture_that_cannot_be_drawn_is_said(tmp_path: Path) -> None:
    (tmp_path / "a.svg").write_text("no picture", encoding="utf-8")
    with rasterising(tmp_path) as pictures:
        assert pictures.finish()

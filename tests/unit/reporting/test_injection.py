"""Names, titles and levels come out as text in every kind of file, whatever is in them."""

from __future__ import annotations

import csv
import io
import json
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import tinyhtml5
from hypothesis import given, settings
from hypothesis import strategies as st
from pypdf import PdfReader

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
from spinescore.core.reporting.flow_drawing import draw_flow
from spinescore.core.reporting.material import Material, ResultTable
from spinescore.core.reporting.printable import make_printable, printable
from spinescore.core.reporting.sections import build_report
from spinescore.domain import as_row
from spinescore.shell.exports import export_figures, inert, table_csv, table_word
from spinescore.shell.identifier_scan import DATA_ADDRESS
from spinescore.shell.render import draw_charts, render_html, render_pdf
from spinescore.study import Study
from tests.unit.reporting.browser import find_chromium, started
from tests.unit.reporting.conftest import (
    COHORTS,
    DEATH,
    FRACTURE,
    HOSTILE_LEVEL,
    PREVALENT,
    make_curves,
    make_material,
    make_points,
    make_results,
    make_study,
)

BIDI = "\u202e"
SCRIPT = "<script>document.title='ran'</script>"
HOSTILE = {
    "TITLE": f"{{{{ 7 * 7 }}}} {{% raw %}} {SCRIPT} \\input{{/etc/passwd}} $x^2$",
    COHORTS[0]: f"A</text><image href=x onerror=\"document.title='ran'\"/>{BIDI}b",
    COHORTS[1]: "=HYPERLINK(\"http://h\")&amp;</style><style>*{display:none}",
    FRACTURE: "{signal: 'width'} ${alert(1)} datum['x'] ]]><svg onload=alert(2)>",
    DEATH: "\t=1+1\x07\x1b[31m --><b>",
    PREVALENT: "prevalent " + "Donaudampfschifffahrt" * 12,
    "Model 1": "<!--<iframe srcdoc='&lt;b&gt;'> \uff1d1+1",
    HOSTILE_LEVEL: "</script><script>document.title='ran'</script> @SUM(A1) | cmd",
}  # fmt: skip
TAME = {name: f"plain name {i}" for i, name in enumerate(HOSTILE)}


def named(names: Mapping[str, str], folder: Path) -> Material:
    """Return the made-up material with every name of the study's own replaced."""
    study = make_study(folder / "report")
    dumped = study.model_dump(mode="json", exclude_unset=True)
    dumped["endpoints"][FRACTURE].pop("title")
    dumped = _renamed(dumped, names)
    dumped["study"]["title"] = names["TITLE"]
    return make_material(
        Study.model_validate(dumped),
        results=ResultTable([replace(row, **_texts(as_row(row), names)) for row in make_results()]),
        curves=pl.DataFrame([as_row(point) | _texts(as_row(point), names) for point in make_curves()]),
        points=make_points().with_columns(pl.col("cohort").replace(dict(names))),
    )


def _texts(row: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, str]:
    return {key: names[value] for key, value in row.items() if isinstance(value, str) and value in names}


def _renamed(value: Any, names: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        return names.get(value, value)
    if isinstance(value, dict):
        return {names.get(key, key): _renamed(item, names) for key, item in value.items()}
    return [_renamed(item, names) for item in value] if isinstance(value, list) else value


class Rendered:
    """A report with given names, and its renderings."""

    def __init__(self, names: Mapping[str, str], folder: Path) -> None:
        self.report = build_report(named(names, folder))
        self.charts = draw_charts(self.report)
        self.page = render_html(self.report, self.charts, "screen")


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Rendered:
    return Rendered(HOSTILE, tmp_path_factory.mktemp("hostile"))


@pytest.fixture(scope="module")
def tame(tmp_path_factory: pytest.TempPathFactory) -> Rendered:
    return Rendered(TAME, tmp_path_factory.mktemp("tame"))


def structure(markup: str) -> set[tuple[str, str]]:
    """Return every element with each of its attributes, as an HTML5 parser sees them."""
    tree = tinyhtml5.parse(markup)
    return {(element.tag, name) for element in tree.iter() for name in ("", *element.attrib)}


def drawn(svg: bytes) -> set[tuple[str, str]]:
    tree = ElementTree.fromstring(svg)
    return {(element.tag, name) for element in tree.iter() for name in ("", *element.attrib)}


def test_a_page_has_no_elements_or_attributes_that_tame_names_lack(hostile: Rendered, tame: Rendered) -> None:
    assert len(structure(tame.page)) > 60
    assert structure(hostile.page) <= structure(tame.page)


def test_figures_have_no_elements_or_attributes_that_tame_names_lack(
    hostile: Rendered, tame: Rendered
) -> None:
    usual = {pair for svg in export_figures(tame.report, tame.charts).values() for pair in drawn(svg)}
    figures = export_figures(hostile.report, hostile.charts)
    assert len(figures) == len(export_figures(tame.report, tame.charts)) > 2
    assert all(drawn(svg) <= usual for svg in figures.values())


def test_word_tables_have_no_elements_or_attributes_that_tame_names_lack(
    hostile: Rendered, tame: Rendered
) -> None:
    usual = {pair for table in tame.report.tables() for pair in structure(table_word(tame.report, table))}
    for table in hostile.report.tables():
        assert structure(table_word(hostile.report, table)) <= usual


def test_names_are_read_as_they_were_written(hostile: Rendered) -> None:
    text = "".join(tinyhtml5.parse(hostile.page).itertext())
    shown = " ".join(text.split())
    for name in HOSTILE.values():
        assert " ".join(printable(name).split()) in shown


def test_nothing_is_evaluated_on_the_way(hostile: Rendered) -> None:
    assert "{{ 7 * 7 }}" in hostile.page
    svgs = b"".join(export_figures(hostile.report, hostile.charts).values()).decode()
    assert "${alert(1)}" in svgs or "{signal: " in svgs
    assert not re.search(r"49 \{% raw", hostile.page)


def test_no_control_or_turning_characters_are_left(hostile: Rendered) -> None:
    texts = [hostile.page, *(table_csv(table) for table in hostile.report.tables())]
    texts += [svg.decode() for svg in export_figures(hostile.report, hostile.charts).values()]
    for text in texts:
        assert not re.search("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", text)


def test_the_pdf_shows_them_too(hostile: Rendered) -> None:
    first = replace(hostile.report, sections=hostile.report.sections[:2])
    pdf = render_pdf(render_html(first, hostile.charts, "print"))
    reader = PdfReader(io.BytesIO(pdf))
    text = "".join("".join(page.extract_text() for page in reader.pages).split())
    assert "".join(SCRIPT.split()) in text
    assert "/JavaScript" not in str(reader.trailer["/Root"])
    assert "/OpenAction" not in reader.trailer["/Root"]
    uris = [str(a.get_object().get("/A", "")) for page in reader.pages for a in page.get("/Annots", [])]
    assert not any("/URI" in uri or "/JavaScript" in uri or "/Launch" in uri for uri in uris)


@pytest.mark.skipif(find_chromium() is None, reason="no Chromium on this machine")
def test_no_script_of_theirs_runs_in_a_browser(hostile: Rendered, tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text(hostile.page, encoding="utf-8")
    program = find_chromium()
    assert program is not None
    with started(program, tmp_path / "profile") as browser:
        browser.open(tmp_path / "report.html")
        title = str(browser.run("document.title"))
        assert " ".join(title.split()) == " ".join(printable(HOSTILE["TITLE"]).split())
        foreign = (
            "document.querySelectorAll('iframe, [onerror], [onload], [onmouseover], main script').length"
        )
        assert browser.run(foreign) == 0
        assert browser.run("getComputedStyle(document.querySelector('main')).display") != "none"
        assert {url.partition(":")[0] for url in browser.requests} <= {"file", "data"}


FRAGMENTS = (
    "<script>alert(1)</script>", "</table>", "<img src=x onerror=alert(1)>", "&lt;", "]]>", "-->", "\"'`", "{{ x }}", "{% if %}", "=1+1",
    "+1", "-1", "@A1", "\t=1", "\r=1", " =1", "\uff1d1", "\uff0b1", "\u200b=1", "|cmd", ";=1", "\n=1", "\x00", "\x1b[0m", BIDI, "\u2066", "\ud800",
    "\ufffe", "A" * 200, "한국어", "\\textbf{x}", "javascript:alert(1)", "%3Cscript%3E", "\u2028", "url(x)", "expression(1)",
)  # fmt: skip
TEXTS = st.lists(st.one_of(st.sampled_from(FRAGMENTS), st.text(max_size=6)), min_size=1, max_size=4).map(
    "".join
)


def small_report(text: str) -> Report:
    columns = (Column(label=text, align="left"), Column(label="n", spanner=text))
    rows = (
        Row(cells=(Cell(text=text),), kind="group"),
        Row(cells=(Cell(text=text, notes=(text,)), Cell(text="1", detail=text))),
    )
    table = Table(key="a", title=text, columns=columns, rows=rows, caption=text)
    step = FlowStep(label=text, remaining=text, exit=FlowExit(total=text, reasons=(text,)))
    flow = Flow(
        key="f", title=text, caption=text, charts=(FlowChart(title=text, steps=(step,), ends=(step,)),)
    )
    section = Section(key="s", title=text, blocks=(table, flow))
    whole = Report(
        title=text,
        subtitle=text,
        banner=text,
        banner_detail=text,
        running_head=text,
        facts=((text, text),),
        sections=(section,),
    )
    return number_report(make_printable(whole))


PLAIN = tuple(small_report(text) for text in ("plain", "two\nlines"))


@cache
def usual_structure() -> set[tuple[str, str]]:
    pages = {pair for plain in PLAIN for pair in structure(page_of(plain))}
    return pages | {pair for plain in PLAIN for pair in structure(table_word(plain, plain.tables()[0]))}


def page_of(report: Report) -> str:
    """Return the page without its fonts, which take long to parse."""
    return DATA_ADDRESS.sub("data:", render_html(report, {}, "screen"))


@settings(max_examples=40, deadline=None)
@given(TEXTS)
def test_any_text_stays_text(text: str) -> None:
    report = small_report(text)
    (table,) = report.tables()
    assert structure(page_of(report)) <= usual_structure()
    assert structure(table_word(report, table)) <= usual_structure()
    (flow,) = (block for block in report.blocks() if isinstance(block, Flow))
    (usual,) = (block for block in PLAIN[0].blocks() if isinstance(block, Flow))
    assert drawn(draw_flow(flow).encode()) <= drawn(draw_flow(usual).encode())


def fields_of(line: str) -> Iterator[str]:
    """Yield what a spreadsheet may take for a cell, whichever separator it goes by."""
    for separator in (",", ";", "\t"):
        for row in csv.reader(io.StringIO(line), delimiter=separator):
            yield from row


@settings(max_examples=200, deadline=None)
@given(TEXTS)
def test_a_spreadsheet_takes_no_text_for_a_formula(text: str) -> None:
    (table,) = small_report(text).tables()
    for cell in fields_of(table_csv(table)):
        start = cell.strip(' \t\r\n"\xa0\u200b\ufeff')
        assert not start.startswith(("=", "+", "-", "@", "\uff1d", "\uff0b")), cell


@given(TEXTS)
def test_printable_text_stays_as_it_is(text: str) -> None:
    once = printable(text)
    assert printable(once) == once
    assert all(character in once for character in text if character.isprintable())
    json.loads(json.dumps(once))
    once.encode("utf-8")


@pytest.mark.parametrize("text", ["1.56 (1.20 to 2.03)", "−0.4", "<0.001", "Model 1; with PAD", "a-b"])
def test_numbers_and_names_are_not_touched(text: str) -> None:
    assert inert(text) == text

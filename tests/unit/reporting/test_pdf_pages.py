"""The PDF as a reader's software finds it: paper, bookmarks, tags; heads that say what they head."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pypdf import PdfReader
from pypdf.generic import ArrayObject, DictionaryObject

from spinescore.core.reporting.document import Report
from spinescore.core.reporting.sections import build_report
from spinescore.shell.render import draw_charts, render_html, render_pdf
from tests.unit.reporting.conftest import make_study
from tests.unit.reporting.families import full_material

CHOSEN = ("summary", "participants", "accuracy", "subgroups", "methods")
SIZES = {"a4": (595.28, 841.89), "letter": (612.0, 792.0)}


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """Return the sections of a report that have a table over pages, a flow diagram and charts."""
    whole = build_report(full_material(make_study(tmp_path_factory.mktemp("study") / "report")))
    chosen = [section for section in whole.sections if section.key in CHOSEN]
    assert len(chosen) == len(CHOSEN)
    return replace(whole, sections=tuple(chosen))


@pytest.fixture(scope="module", params=SIZES)
def written(request: pytest.FixtureRequest, report: Report, tmp_path_factory: pytest.TempPathFactory) -> Path:
    chosen = replace(report, paper=request.param)
    path = tmp_path_factory.mktemp("pdf") / f"{request.param}.pdf"
    path.write_bytes(render_pdf(render_html(chosen, draw_charts(chosen), "print")))
    return path


@pytest.fixture(scope="module")
def pdf(written: Path) -> PdfReader:
    return PdfReader(written)


def pages_of(path: Path) -> list[str]:
    """Return the text of each page, by poppler."""
    text = subprocess.run(["pdftotext", "-layout", path, "-"], capture_output=True, text=True, check=True)
    return text.stdout.split("\f")[:-1]


def test_every_page_has_the_paper_asked_for_and_its_number(written: Path, pdf: PdfReader) -> None:
    for page in pdf.pages:
        size = (float(page.mediabox.width), float(page.mediabox.height))
        assert size == pytest.approx(SIZES[written.stem], abs=0.1)
    texts = pages_of(written)
    assert len(texts) == len(pdf.pages) > 3
    for number, text in enumerate(texts, start=1):
        assert re.search(rf"\b{number} ?/ ?{len(texts)}\n", text)


def test_every_section_has_a_bookmark(pdf: PdfReader, report: Report) -> None:
    titles = {item.title for item in flat(pdf.outline)}
    assert {section.title for section in report.sections} <= titles


def flat(outline: list[Any]) -> Iterator[Any]:
    for item in outline:
        yield from flat(item) if isinstance(item, list) else [item]


def elements(node: Any) -> Iterator[DictionaryObject]:
    """Yield the structure elements below a node of the tag tree."""
    node = node.get_object()
    if isinstance(node, ArrayObject):
        for kid in node:
            yield from elements(kid)
    elif isinstance(node, DictionaryObject):
        yield node
        if "/K" in node:
            yield from elements(node["/K"])


def test_it_says_it_is_pdf_ua_with_a_title_and_a_language(pdf: PdfReader) -> None:
    root = pdf.trailer["/Root"]
    assert root["/Lang"] == "en"
    assert root["/MarkInfo"]["/Marked"]
    assert root["/ViewerPreferences"]["/DisplayDocTitle"]
    metadata = root["/Metadata"].get_object().get_data().decode()
    assert re.search(r"pdfuaid:part[^0-9]*1", metadata)


def test_every_head_says_what_it_heads_and_every_figure_has_words(pdf: PdfReader, report: Report) -> None:
    found = list(elements(pdf.trailer["/Root"]["/StructTreeRoot"]))
    heads = [element for element in found if element.get("/S") == "/TH"]
    assert {str(head["/A"]["/Scope"]) for head in heads} == {"/Column", "/Row"}
    figures = [element for element in found if element.get("/S") == "/Figure"]
    assert len(figures) >= len(report.figures())
    assert all(len(str(figure["/Alt"])) > 20 for figure in figures)


def test_lists_hold_items_and_tables_hold_rows(pdf: PdfReader) -> None:
    parts = {"/L": {"/LI", "/Caption", "/L"}, "/TR": {"/TH", "/TD"}, "/THead": {"/TR"}, "/TBody": {"/TR"}}
    for element in elements(pdf.trailer["/Root"]["/StructTreeRoot"]):
        allowed = parts.get(str(element.get("/S")))
        if allowed is not None:
            kids = element["/K"] if isinstance(element["/K"], ArrayObject) else [element["/K"]]
            assert {str(kid.get_object()["/S"]) for kid in kids} <= allowed


def test_running_heads_and_page_numbers_are_artefacts(pdf: PdfReader) -> None:
    """They are read out on no page: each page has some, and no tag of the tree points to one."""
    numbers = pdf.trailer["/Root"]["/StructTreeRoot"]["/ParentTree"]["/Nums"]
    for i, page in enumerate(pdf.pages):
        content = page.get_contents().get_data()
        assert len(re.findall(rb"/Artifact\s+<</Type /Pagination>>\s+BDC", content)) >= 2
        marked = {int(n) for n in re.findall(rb"/MCID (\d+)", content)}
        tagged = {
            n
            for n, parent in enumerate(numbers[2 * i + 1])
            if isinstance(parent.get_object(), DictionaryObject)
        }
        assert marked == tagged


def test_no_group_stands_alone_at_the_foot_of_a_page(written: Path, report: Report) -> None:
    groups = {row.cells[0].text for table in report.tables() for row in table.rows if row.kind == "group"}
    assert groups
    for text in pages_of(written):
        lines = [" ".join(line.split()) for line in text.splitlines() if line.strip()]
        body = [
            line for line in lines if "not for the care" not in line and not re.search(r"\d+ ?/ ?\d+$", line)
        ]
        assert body[-1] not in groups


def test_words_stay_within_the_margins(written: Path) -> None:
    boxes = subprocess.run(
        ["pdftotext", "-bbox", written, "-"], capture_output=True, text=True, check=True
    ).stdout
    sides = re.findall(r'<word xMin="([\d.]+)" yMin="[\d.]+" xMax="([\d.]+)"', boxes)
    assert len(sides) > 500
    margin = (SIZES[written.stem][0] - 170 / 25.4 * 72) / 2
    assert min(float(left) for left, _ in sides) > margin - 1
    hanging = 4  # pt: a footnote's mark stands beside its number
    assert max(float(right) for _, right in sides) < SIZES[written.stem][0] - margin + hanging

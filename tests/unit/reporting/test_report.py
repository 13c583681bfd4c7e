"""The files a report leaves: self-contained, escaped, private, whole or not at all."""

from __future__ import annotations

import csv
import json
import re
import stat
from html.parser import HTMLParser
from pathlib import Path

import polars as pl
import pytest
from pypdf import PdfReader

from spinescore.domain import StageSummary
from spinescore.errors import AnalysisError
from spinescore.report import render_report
from spinescore.shell.cohorts import ModelKey
from spinescore.shell.exports import table_csv
from spinescore.shell.warehouse import Warehouse
from spinescore.study import Study

KEY = ModelKey("0123456789abcdef", "fedcba9876543210")


class Elements(HTMLParser):
    """Collect the elements and attributes of a page, scripts' text aside."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.scripts: list[str] = []
        self._in_script = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        self._in_script = tag == "script"

    def handle_data(self, data: str) -> None:
        if self._in_script:
            self.scripts.append(data)
            self._in_script = False


@pytest.fixture(scope="module")
def page(rendered: tuple[Path, StageSummary]) -> str:
    return (rendered[0] / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def elements(page: str) -> Elements:
    parser = Elements()
    parser.feed(page)
    return parser


def test_all_files_are_there_and_private(rendered: tuple[Path, StageSummary]) -> None:
    folder, summary = rendered
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert {"report.html", "report.pdf", "results.json", "results.parquet"} <= names
    for ending in (".csv", ".html"):
        tables = [name for name in names if name.startswith("tables/") and name.endswith(ending)]
        assert len(tables) == summary.counts["tables"]
    drawn = {name.removesuffix(".svg") for name in names if name.endswith(".svg")}
    assert drawn == {name.removesuffix(".png") for name in names if name.endswith(".png")}
    assert len(drawn) == summary.counts["figures"] + 1  # and the flow diagram
    modes = {stat.S_IMODE(path.stat().st_mode) for path in folder.rglob("*") if path.is_file()}
    assert modes == {0o600}
    assert not summary.warnings


def test_every_pdf_page_says_synthetic(rendered: tuple[Path, StageSummary]) -> None:
    pages = [page.extract_text() for page in PdfReader(rendered[0] / "report.pdf").pages]
    assert len(pages) > 3
    assert all("SYNTHETIC DATA / DEMONSTRATION MODEL" in text for text in pages)
    assert all(f"{number} / {len(pages)}" in text for number, text in enumerate(pages, start=1))


def test_the_pdf_holds_the_numbers_bookmarks_and_tags(rendered: tuple[Path, StageSummary]) -> None:
    pdf = PdfReader(rendered[0] / "report.pdf")
    text = "".join(page.extract_text() for page in pdf.pages)
    assert "1.74 (1.46–2.07)" in text
    assert "not estimable: 3 events" in text
    assert pdf.outline
    assert pdf.trailer["/Root"]["/MarkInfo"]["/Marked"]


def test_the_page_names_no_address_to_fetch(elements: Elements, page: str) -> None:
    fetching = {"src", "href", "srcset", "data", "poster", "action", "xlink:href"}
    found = [value for name, value in elements.attributes if name in fetching]
    assert found
    assert all(value.startswith(("#", "data:")) for value in found)
    styles = "".join(re.findall(r"<style>.*?</style>", page, flags=re.DOTALL))
    assert all(address.startswith("data:") for address in re.findall(r'url\("?([^")]+)', styles))
    assert "@import" not in styles
    assert "default-src 'none'" in page


def test_no_two_elements_share_an_id(elements: Elements) -> None:
    ids = [value for name, value in elements.attributes if name == "id"]
    assert len(ids) > 20
    assert sorted(set(ids)) == sorted(ids)


def test_hostile_names_come_out_as_text(
    elements: Elements, page: str, rendered: tuple[Path, StageSummary]
) -> None:
    markup = re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)
    assert "&lt;script&gt;alert(&#39;title&#39;)&lt;/script&gt;" in markup
    assert "{{ 7 * 7 }}" in markup
    assert not {"b onmouseover", "u", "i"} & set(elements.tags)
    assert not [name for name, _ in elements.attributes if name.startswith("on")]
    assert not any(script.strip().startswith("alert(") for script in elements.scripts)
    pdf = "".join(p.extract_text() for p in PdfReader(rendered[0] / "report.pdf").pages)
    assert "<script>alert('title')</script>" in " ".join(pdf.split())


def test_a_spreadsheet_runs_nothing(rendered: tuple[Path, StageSummary]) -> None:
    cells = [
        cell
        for path in (rendered[0] / "tables").glob("*.csv")
        for row in csv.reader(path.read_text(encoding="utf-8-sig").splitlines())
        for cell in row
    ]
    assert any(cell.startswith("'=cmd|") for cell in cells)
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@"))]


def test_the_results_are_whole_in_json_and_parquet(rendered: tuple[Path, StageSummary]) -> None:
    folder, summary = rendered
    rows = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    frame = pl.read_parquet(folder / "results.parquet")
    assert len(rows) == frame.height == summary.counts["results"]
    assert [row["value"] for row in rows] == frame["value"].to_list()


def test_every_table_has_heads_and_every_chart_a_name(elements: Elements, page: str) -> None:
    assert elements.tags.count("table") == elements.tags.count("caption") == elements.tags.count("thead")
    scopes = {value for name, value in elements.attributes if name == "scope"}
    assert {"col", "row", "rowgroup"} <= scopes
    assert page.count('role="img" aria-label="') == page.count('class="canvas')
    assert {"main", "nav", "header"} <= set(elements.tags)


def test_an_unchanged_report_is_left_alone(
    analysed: Warehouse, study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spinescore.shell.render.render_pdf", lambda html: b"%PDF")
    assert render_report(analysed, study, KEY).changed
    again = render_report(analysed, study, KEY)
    assert (again.changed, again.message) == (False, "report unchanged")
    (study.study.output / "report.html").unlink()
    assert render_report(analysed, study, KEY).changed
    assert render_report(analysed, study, KEY, force=True).changed


def test_a_failed_render_leaves_the_old_report(
    analysed: Warehouse, study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = study.study.output
    monkeypatch.setattr("spinescore.shell.render.render_pdf", lambda html: b"%PDF")
    render_report(analysed, study, KEY)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    def fail(html: str) -> bytes:
        raise ValueError("half-way")

    monkeypatch.setattr("spinescore.shell.render.render_pdf", fail)
    with pytest.raises(ValueError, match="half-way"):
        render_report(analysed, study, KEY, force=True)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_without_pango_the_html_is_written_with_a_warning(
    analysed: Warehouse, study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(html: str) -> bytes:
        raise OSError("cannot load library 'libpango-1.0-0'")

    monkeypatch.setattr("spinescore.shell.render.render_pdf", fail)
    summary = render_report(analysed, study, KEY)
    assert (study.study.output / "report.html").is_file()
    assert not (study.study.output / "report.pdf").exists()
    assert "libpango" in summary.warnings[0]
    assert "no PDF" in summary.message


def test_tables_of_an_earlier_report_do_not_linger(
    analysed: Warehouse, study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spinescore.shell.render.render_pdf", lambda html: b"%PDF")
    folder = study.study.output / "tables"
    folder.mkdir(parents=True)
    (folder / "table-99-old.csv").write_text("old")
    (folder / "mine.csv").write_text("mine")
    render_report(analysed, study, KEY)
    assert not (folder / "table-99-old.csv").exists()
    assert (folder / "mine.csv").read_text() == "mine"


def test_nothing_to_render_is_an_error_with_the_next_step(warehouse: Warehouse, study: Study) -> None:
    with pytest.raises(AnalysisError, match="spinescore analyze"):
        render_report(warehouse, study, KEY)


def test_results_of_another_study_are_not_reported(analysed: Warehouse, study: Study) -> None:
    other = study.model_copy(update={"cohorts": {"Elsewhere": study.cohorts["External"]}})
    with pytest.raises(AnalysisError, match="other cohorts"):
        render_report(analysed, other, KEY)


def test_csv_carries_the_footnotes(report) -> None:  # type: ignore[no-untyped-def]
    table = next(t for t in report.tables() if t.key == "hazard-ratios-own-n")
    assert "not estimable: 3 events" in table_csv(table)

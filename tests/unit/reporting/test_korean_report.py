"""A report in Korean: the same files and numbers, and nothing drawn in a face that is not ours."""

from __future__ import annotations

import base64
import io
import re
import unicodedata
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from fontTools.ttLib import TTFont
from pypdf import PdfReader

from spinescore.core.reporting.document import Report
from spinescore.domain import StageSummary
from spinescore.report import render_report
from spinescore.shell.cohorts import ModelKey
from spinescore.shell.korean_face import korean_faces
from spinescore.shell.korean_words import JOINER, keep_words
from spinescore.shell.render import render_html
from spinescore.shell.resources import resource
from spinescore.shell.warehouse import open_warehouse
from spinescore.study import Study
from tests.unit.reporting.conftest import fill_warehouse, make_study

KEY = ModelKey("0123456789abcdef", "fedcba9876543210")
TITLE = "척추 나이와 골절: 뷁과 햏도 들어 있는 제목"  # syllables beyond KS X 1001
FACE = re.compile(r'font-family: "SpineScore Sans KR".*?base64,([^"]+)"')


class Texts(HTMLParser):
    """Collect what a page says, scripts and styles aside."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []
        self._quiet = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._quiet = tag in {"script", "style"}

    def handle_endtag(self, tag: str) -> None:
        self._quiet = False

    def handle_data(self, data: str) -> None:
        if not self._quiet:
            self.said.append(data)


def written_in(study: Study, **changes: object) -> Study:
    return study.model_copy(update={"study": study.study.model_copy(update=changes)})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    study = written_in(make_study(tmp_path_factory.mktemp("ko") / "report"), title=TITLE, language="ko")
    with open_warehouse(study.study.database, create=True) as warehouse:
        fill_warehouse(warehouse, study)
        render_report(warehouse, study, KEY)
    return study.study.output


@pytest.fixture(scope="module")
def page(folder: Path) -> str:
    return (folder / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def pdf(folder: Path) -> PdfReader:
    return PdfReader(folder / "report.pdf")


@pytest.fixture(scope="module")
def sheets(pdf: PdfReader) -> list[str]:
    return [sheet.extract_text() for sheet in pdf.pages]


def test_files_keep_their_names(folder: Path, rendered: tuple[Path, StageSummary]) -> None:
    names = [
        {path.relative_to(root) for path in root.rglob("*") if path.is_file()}
        for root in (folder, rendered[0])
    ]
    assert names[0] == names[1]
    assert len(names[0]) > 20


def test_numbers_are_the_same(folder: Path, rendered: tuple[Path, StageSummary]) -> None:
    assert (folder / "results.json").read_bytes() == (rendered[0] / "results.json").read_bytes()


def test_the_warnings_are_as_strong_as_in_english(page: str, sheets: list[str]) -> None:
    said = " ".join(sheets[0].split())
    for where in (page, said):
        assert "합성 자료(SYNTHETIC DATA)" in where
        assert "모두 지어낸 것입니다" in where
        assert "어떤 환자에 대해서도 아무것도 말해 주지 않습니다" in where
    assert "의료기기가 아닙니다" in page
    for sheet in sheets:
        assert "연구용이며 어떤 사람의 진료에도 사용할 수 없음" in " ".join(sheet.split())


def test_the_language_is_declared(page: str, pdf: PdfReader, folder: Path) -> None:
    assert '<html lang="ko">' in page
    assert pdf.trailer["/Root"]["/Lang"] == "ko"
    for table in (folder / "tables").glob("*.html"):
        assert '<html lang="ko">' in table.read_text(encoding="utf-8")


def test_tables_as_files_are_korean(folder: Path) -> None:
    text = next(iter(sorted((folder / "tables").glob("*.csv")))).read_text(encoding="utf-8-sig")
    assert "표 1." in text
    assert "결과변수" in text


def test_the_pdf_embeds_our_faces_alone(pdf: PdfReader) -> None:
    names = set()
    for sheet in pdf.pages:
        for font in sheet["/Resources"].get("/Font", {}).values():
            descendant = font.get_object()["/DescendantFonts"][0].get_object()
            assert {"/FontFile", "/FontFile2", "/FontFile3"} & set(descendant["/FontDescriptor"].get_object())
            names.add(str(descendant["/BaseFont"]).split("+")[-1])
    assert {name for name in names if not name.startswith("SpineScore")} == set()
    assert any("KR" in name for name in names)


def test_every_character_of_the_page_has_a_glyph(page: str) -> None:
    texts = Texts()
    texts.feed(page)
    said = {c for text in texts.said for c in text if c.isprintable() and not c.isspace()}
    latin = TTFont(resource("templates", "fonts", "SpineScoreSans-Regular.otf")).getBestCmap()
    cuts = [TTFont(io.BytesIO(base64.b64decode(found))).getBestCmap() for found in FACE.findall(page)]
    assert len(cuts) == 2
    for cut in cuts:
        assert {c for c in said if ord(c) not in latin and ord(c) not in cut} == set()
        assert ord(" ") in cut  # pango takes a space from the font of the word before
        assert len(cut) < 1500


def test_copied_text_has_no_joiners(sheets: list[str]) -> None:
    text = "".join(sheets)
    assert JOINER not in text
    assert "신뢰구간" in text


def test_words_break_at_spaces_alone() -> None:
    kept = keep_words('<title>척추 나이</title><p class="척추">차이(PAD)를 &lt;값&gt; 1년</p>')
    assert kept.startswith('<title>척추 나이</title><p class="척추">')
    assert kept.replace(JOINER, "").endswith('<p class="척추">차이(PAD)를 &lt;값&gt; 1년</p>')
    assert f"차{JOINER}이{JOINER}(PAD){JOINER}를 " in kept
    assert f"1{JOINER}년" in kept
    assert "&lt;" in kept
    assert keep_words("<p>plain</p>") == "<p>plain</p>"


def test_syllables_written_as_letters_are_composed(report: Report) -> None:
    """As file systems and tables of macOS hold them."""
    apart = replace(report, title=unicodedata.normalize("NFD", "골절"), sections=())
    page = render_html(apart, {}, "screen")
    assert "<title>골절</title>" in page
    assert re.findall("[\u1100-\u11ff]", page) == []


def test_an_english_page_carries_no_korean_face(rendered: tuple[Path, StageSummary]) -> None:
    english = (rendered[0] / "report.html").read_text(encoding="utf-8")
    assert '"SpineScore Sans KR"; font-style' not in english
    assert korean_faces("Age ≥ 60 – “quoted”") == ""


def test_a_korean_title_in_an_english_page_gets_its_face_alone() -> None:
    rules = korean_faces("골절")
    cut = TTFont(io.BytesIO(base64.b64decode(FACE.findall(rules)[0]))).getBestCmap()
    assert {chr(code) for code in cut} == {"골", "절", " ", "\u00a0"}


def test_the_whole_face_has_every_syllable() -> None:
    for style in ("Regular", "Bold"):
        path = resource("templates", "fonts", f"SpineScoreSansKR-{style}.otf")
        face = TTFont(path)
        assert set(range(0xAC00, 0xD7A4)) | set(range(0x3131, 0x318F)) <= set(face.getBestCmap())
        assert "Source" not in face["name"].getDebugName(4)
        assert path.stat().st_size < 1_300_000


def test_a_report_is_rendered_again_when_only_its_language_changes(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In Korean it was rendered by the fixture; in English it would be written anew, here into nothing."""
    korean = written_in(make_study(folder), title=TITLE, language="ko")
    english = written_in(korean, language="en")
    assert english.fingerprint() == korean.fingerprint()
    written: list[Path] = []
    monkeypatch.setattr("spinescore.report._write_report", lambda folder, *_: written.append(folder) or ())
    with open_warehouse(korean.study.database) as warehouse:
        assert not render_report(warehouse, korean, KEY).changed
        assert written == []
        assert render_report(warehouse, english, KEY).changed
    assert written == [folder]

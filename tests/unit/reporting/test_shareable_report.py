"""A shareable report is written whole, apart from the full one, or not at all."""

from __future__ import annotations

import json
import stat
from contextlib import nullcontext
from pathlib import Path

import polars as pl
import pytest
from pypdf import PdfReader

from spinescore.domain import StageSummary
from spinescore.errors import DisclosureError
from spinescore.report import render_report, share_report
from spinescore.shell.identifier_scan import find_identifiers
from spinescore.shell.release_check import check_release
from spinescore.shell.warehouse import Warehouse, open_warehouse
from spinescore.study import Study
from tests.unit.reporting.conftest import HOSTILE_LEVEL, KEY, fill_warehouse, make_study

SUBJECT = "5e884898da28047151d0e56f8dc62927"
PATH = "/srv/films/Kim_Min_1950/IM_00042.dcm"


def fill(warehouse: Warehouse, study: Study) -> None:
    fill_warehouse(warehouse, study)
    warehouse.append(
        "subject_rows", pl.DataFrame({"subject_id": [SUBJECT], "row_number": [1], "run_id": [1]})
    )
    file = {
        "path": PATH, "path_bytes": PATH.encode(), "size_bytes": 1, "modified_ns": 1, "state": "excluded",
        "flags": [], "run_id": 1,
    }  # fmt: skip
    warehouse.append("files", pl.DataFrame([file], schema_overrides={"flags": pl.List(pl.String)}))


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, StageSummary]:
    study = make_study(tmp_path_factory.mktemp("shared") / "report")
    with open_warehouse(study.study.database, create=True) as warehouse:
        fill(warehouse, study)
        return study.study.output / "shareable", share_report(warehouse, study, KEY)


@pytest.fixture
def quick(warehouse: Warehouse, study: Study, monkeypatch: pytest.MonkeyPatch) -> Warehouse:
    """A filled database; PDF and PNG are not drawn."""
    monkeypatch.setattr("spinescore.shell.render.render_pdf", lambda html: _blank())
    monkeypatch.setattr("spinescore.report.render_short", lambda *_: _blank())
    monkeypatch.setattr("spinescore.shell.side_printer.SidePrinter.print", lambda *_: None)
    monkeypatch.setattr("spinescore.shell.side_printer.SidePrinter.printed", lambda _: _blank())
    monkeypatch.setattr("spinescore.report.rasterising", lambda _: nullcontext())
    fill(warehouse, study)
    return warehouse


def _blank() -> bytes:
    import io

    from pypdf import PdfWriter

    writer, buffer = PdfWriter(), io.BytesIO()
    writer.add_blank_page(100, 100)
    writer.write(buffer)
    return buffer.getvalue()


def test_it_is_whole_private_and_cannot_be_taken_for_the_full_one(shared: tuple[Path, StageSummary]) -> None:
    folder, summary = shared
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert {"shareable-report.html", "shareable-report.pdf", "results.json", "relations.json"} <= names
    assert {"results.parquet", "curves.csv", "attrition.csv"} <= names
    assert not {"report.html", "report.pdf"} & {path.name for path in folder.parent.iterdir()}
    modes = {stat.S_IMODE(path.stat().st_mode) for path in folder.rglob("*") if path.is_file()}
    assert modes == {0o600}
    assert summary.counts["counts"] > 50


def test_it_says_what_was_done(shared: tuple[Path, StageSummary]) -> None:
    text = "".join(page.extract_text() for page in PdfReader(shared[0] / "shareable-report.pdf").pages)
    said = "".join(text.replace("\u2010", "").split())  # lines break within words
    assert "Countsareroundedtomultiplesof5" in said
    assert "tworeleasesofnearlythesamecohortcanbesubtracted" in said
    assert "infullprecision.Adash" not in said


def test_there_is_no_chart_of_single_people(shared: tuple[Path, StageSummary]) -> None:
    assert not list((shared[0] / "figures").glob("*scatter*"))
    page = (shared[0] / "shareable-report.html").read_text(encoding="utf-8")
    assert "One point per subject" not in page


def test_the_files_are_checked_as_a_reader_has_them(
    shared: tuple[Path, StageSummary], tmp_path: Path
) -> None:
    """A count that no longer adds up is found when the folder is read back."""
    import shutil

    folder = tmp_path / "copy"
    shutil.copytree(shared[0], folder)
    assert check_release(folder) > 50
    rows = json.loads((folder / "results.json").read_text())
    i = next(i for i, row in enumerate(rows) if row["statistic"] == "count" and row["group"] == "T1")
    rows[i]["value"] = 30.0
    (folder / "results.json").write_text(json.dumps(rows))
    with pytest.raises(DisclosureError, match=r"results\.json and results\.parquet .* differ"):
        check_release(folder)
    schema = pl.read_parquet(folder / "results.parquet").schema
    pl.DataFrame(rows, schema=schema).write_parquet(folder / "results.parquet")
    with pytest.raises(DisclosureError, match=r"Nothing was published: .*table_one.* could be told"):
        check_release(folder)


def test_a_count_in_a_table_that_is_not_rounded_is_found(
    shared: tuple[Path, StageSummary], tmp_path: Path
) -> None:
    import shutil

    folder = tmp_path / "copy"
    shutil.copytree(shared[0], folder)
    (folder / "tables" / "table-99-late.csv").write_text(
        'model,events\nA,"25 / 1,203"\n', encoding="utf-8-sig"
    )
    with pytest.raises(DisclosureError, match="25 / 1,203"):
        check_release(folder)


def test_an_earlier_release_is_held_against_it(quick: Warehouse, study: Study, tmp_path: Path) -> None:
    share_report(quick, study, KEY)
    folder = study.study.output / "shareable"
    assert share_report(quick, study, KEY, against=folder).changed
    with pytest.raises(DisclosureError, match="holds no shareable report"):
        share_report(quick, study, KEY, against=tmp_path / "nothing")


def test_an_identifier_stops_it_and_the_earlier_one_stays(quick: Warehouse, study: Study) -> None:
    share_report(quick, study, KEY)
    folder = study.study.output / "shareable"
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    titled = study.study.model_copy(update={"title": f"The case of {SUBJECT}"})
    with pytest.raises(DisclosureError, match=r"Nothing was published: .* holds a subject id \(5e88\.\.\.\)"):
        share_report(quick, study.model_copy(update={"study": titled}), KEY)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_the_full_report_holds_no_identifier_either(quick: Warehouse, study: Study) -> None:
    render_report(quick, study, KEY)
    wanted = {SUBJECT: "subject id", PATH: "path", "IM_00042.dcm": "file name"}
    assert find_identifiers(study.study.output, wanted, [str(study.study.database)]) == []


def test_a_level_that_everybody_has_keeps_its_name(shared: tuple[Path, StageSummary]) -> None:
    rows = json.loads((shared[0] / "results.json").read_text(encoding="utf-8"))
    assert any(row["comparator"] == HOSTILE_LEVEL for row in rows)

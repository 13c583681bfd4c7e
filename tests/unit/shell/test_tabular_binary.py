"""Excel, SAS, Stata and SPSS files, as other programs write them, are read as they are meant, or refused."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from typing import Any

import openpyxl
import pandas as pd
import polars as pl
import pyreadstat
import pytest
import xlwt
from hypothesis import given, settings
from hypothesis import strategies as st

from spinescore.errors import TableError
from spinescore.shell.tabular import find_table, read_table
from spinescore.study import TableLayout

TABLES = Path(__file__).parent / "tables"
PEOPLE = pl.DataFrame(
    {
        "pid": ["007", "8", "0012"],
        "smoking": [1.0, 2.0, None],
        "bmi": [22.5, 99.0, 31.25],
        "end_date": [date(2015, 3, 1), None, date(1949, 1, 1)],
        "seen": [datetime(2015, 3, 1, 12, 30), None, datetime(1959, 12, 31, 23, 59, 59)],
        "word": ["yes", "", "no"],
    }
)
DATED = ["end_date", "seen"]


def refusal(file: Path, **layout: Any) -> str:
    with pytest.raises(TableError) as caught:
        read_table(file, TableLayout(**layout))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def workbook(file: Path, *rows: list[Any], **more: list[list[Any]]) -> Path:
    book = openpyxl.Workbook()
    sheets = {"people": list(rows), **more}
    book.remove(book.worksheets[0])
    for name, content in sheets.items():
        sheet = book.create_sheet(name)
        for number, row in enumerate(content, start=1):
            for position, cell in enumerate(row, start=1):
                sheet.cell(number, position, cell)
    book.save(file)
    return file


# Excel


def test_excel_cells_keep_their_types(tmp_path: Path) -> None:
    file = workbook(
        tmp_path / "f.xlsx",
        ["pid", "n", "end_date", "mixed", "note"],
        [7, 1.5, date(2015, 3, 1), "007", "김"],
        [8, None, None, 8, None],
    )
    found = find_table(file, TableLayout())
    assert found.rows.rows() == [(7, 1.5, datetime(2015, 3, 1), "007", "김"), (8, None, None, "8", None)]
    assert found.detected == {"format": "Excel", "sheet": "people"}


def test_the_old_excel_format_is_read_too(tmp_path: Path) -> None:
    book = xlwt.Workbook()
    sheet = book.add_sheet("people")
    day = xlwt.easyxf(num_format_str="YYYY-MM-DD")
    for row, cells in enumerate([["pid", "end_date"], ["007", date(2015, 3, 1)]]):
        for column, cell in enumerate(cells):
            sheet.write(row, column, cell, *([day] if isinstance(cell, date) else []))
    book.save(str(tmp_path / "f.xls"))
    assert read_table(tmp_path / "f.xls").rows() == [("007", datetime(2015, 3, 1))]


def test_several_sheets_have_to_be_chosen_from_by_name_or_number(tmp_path: Path) -> None:
    file = workbook(tmp_path / "f.xlsx", ["pid", "a"], ["x", 1], codes=[["pid", "b"], ["y", 2]], empty=[])
    assert "has 3 sheets: `people`, `codes`, `empty`" in refusal(file)
    assert read_table(file, TableLayout(sheet="codes")).columns == ["pid", "b"]
    assert read_table(file, TableLayout(sheet=1)).columns == ["pid", "a"]
    assert "has no sheet 'kodes'" in refusal(file, sheet="kodes")


def test_an_empty_second_sheet_asks_no_question(tmp_path: Path) -> None:
    file = workbook(tmp_path / "f.xlsx", ["pid", "a"], ["x", 1], Sheet2=[])
    assert read_table(file).rows() == [("x", 1.0)]


@pytest.mark.parametrize("above", [[["Cohort 2015"], []], [[], []], [["Cohort"], ["made", "by"]]])
def test_rows_above_the_header_are_skipped_by_excel_row_number(
    tmp_path: Path, above: list[list[Any]]
) -> None:
    file = workbook(tmp_path / "f.xlsx", *above, ["pid", "a"], ["x", 1])
    assert read_table(file, TableLayout(header_row=3)).rows() == [("x", 1.0)]


def test_a_title_in_the_header_row_is_no_header(tmp_path: Path) -> None:
    file = workbook(tmp_path / "f.xlsx", ["Cohort 2015"], [], ["pid", "a"], ["x", 1])
    assert "no column names in row 1 of sheet `people`" in refusal(file)


def test_two_excel_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    file = workbook(tmp_path / "f.xlsx", ["pid", "a", "a"], ["x", 1, 2])
    assert "more than one column named `a`" in refusal(file)


def test_error_cells_are_missing_and_said_and_empty_rows_left_out(tmp_path: Path) -> None:
    file = workbook(tmp_path / "f.xlsx", ["pid", "a"], ["x", "#N/A"], [], [], ["y", 2])
    sheet = openpyxl.load_workbook(file)
    assert sheet["people"]["B2"].data_type == "e"
    found = find_table(file, TableLayout())
    assert found.rows.rows() == [("x", None), ("y", 2.0)]
    assert found.detected["error cells"] == "1 (such as #N/A) read as missing"


def test_a_header_alone_and_a_web_page_renamed_xls_are_refused(tmp_path: Path) -> None:
    assert "a header and no rows" in refusal(workbook(tmp_path / "f.xlsx", ["pid", "a"]))
    (tmp_path / "g.xls").write_text("<html><table><tr><td>1</td></tr></table></html>")
    assert "a web page or XML inside" in refusal(tmp_path / "g.xls")


def test_a_damaged_excel_file_is_refused(tmp_path: Path) -> None:
    file = workbook(tmp_path / "f.xlsx", ["pid", "a"], ["x", 1])
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])
    assert "damaged" in refusal(file)
    (tmp_path / "g.xls").write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(2000))
    assert "cannot be read as Excel" in refusal(tmp_path / "g.xls")


def test_a_damaged_xls_that_makes_the_reader_panic_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "f.xls"
    book = xlwt.Workbook()
    book.add_sheet("people").write(0, 0, "pid")
    book.save(str(file))
    file.write_bytes(file.read_bytes()[:-1500])
    assert "cannot be read as Excel" in refusal(file)


# SAS, Stata, SPSS


def write_sav(table: pl.DataFrame, file: Path, **more: Any) -> None:
    pyreadstat.write_sav(table, file, **more)


def write_zsav(table: pl.DataFrame, file: Path) -> None:
    pyreadstat.write_sav(table, file, compress=True)


def write_xport_5(table: pl.DataFrame, file: Path) -> None:
    pyreadstat.write_xport(table, file, file_format_version=5)


def write_dta_12(table: pl.DataFrame, file: Path) -> None:
    pyreadstat.write_dta(table, file, version=12)


WRITERS: dict[str, tuple[Callable[..., None], str]] = {
    "sav": (write_sav, "sav"),
    "zsav": (write_zsav, "zsav"),
    "dta": (pyreadstat.write_dta, "dta"),
    "dta, Stata 12": (write_dta_12, "dta"),
    "xport 8": (pyreadstat.write_xport, "xpt"),
    "xport 5": (write_xport_5, "xpt"),
}


@pytest.mark.parametrize("name", WRITERS)
def test_every_format_gives_the_same_table(tmp_path: Path, name: str) -> None:
    write, suffix = WRITERS[name]
    file = tmp_path / f"f.{suffix}"
    write(PEOPLE, file)
    rows = read_table(file)
    assert rows.schema["end_date"] == pl.Date
    assert rows.with_columns(pl.col("seen").cast(pl.Datetime("us"))).rows() == PEOPLE.rows()


def test_pandas_writes_the_same_stata_table(tmp_path: Path) -> None:
    frame = pd.DataFrame({"pid": ["007", "8"], "until": pd.to_datetime(["2015-03-01", "1949-01-01"])})
    frame.to_stata(tmp_path / "f.dta", convert_dates={"until": "td"}, write_index=False)
    assert read_table(tmp_path / "f.dta").rows() == [("007", date(2015, 3, 1)), ("8", date(1949, 1, 1))]


def test_sas_data_sets_are_read_as_pandas_reads_them() -> None:
    rows = read_table(TABLES / "follow_up.sas7bdat")
    peer = pd.read_sas(TABLES / "follow_up.sas7bdat", encoding="utf-8")
    assert rows["PID"].to_list() == peer["PID"].to_list() == ["007", "8", "0012"]
    assert rows["BMI"].to_list() == [22.5, 31.25, None]
    assert rows["END_DATE"].to_list() == [date(2015, 3, 1), date(2015, 7, 31), date(2012, 1, 8)]
    assert rows["SEEN"].to_list() == [
        datetime(2015, 3, 1, 12, 30),
        datetime(1960, 1, 1),
        datetime(1959, 12, 31, 23, 59, 59),
    ]


LABELS = {"smoking": {1: "never", 2: "now"}, "bmi": {99: "refused"}}


@pytest.mark.parametrize(("write", "suffix"), [(write_sav, "sav"), (pyreadstat.write_dta, "dta")])
def test_codes_stay_codes_unless_labels_are_asked_for(
    tmp_path: Path, write: Callable[..., None], suffix: str
) -> None:
    file = tmp_path / f"f.{suffix}"
    write(PEOPLE, file, variable_value_labels=LABELS)
    codes = find_table(file, TableLayout())
    assert codes.rows["smoking"].to_list() == [1.0, 2.0, None]
    assert codes.value_labels["smoking"] == {"1": "never", "2": "now"}
    labelled = find_table(file, TableLayout(value_labels=True))
    assert labelled.rows["smoking"].to_list() == ["never", "now", None]
    assert labelled.rows["bmi"].to_list() == [22.5, 99.0, 31.25]
    assert labelled.detected["value labels"] == "not for bmi: some values have none"


def test_spss_user_missing_values_are_missing_and_said(tmp_path: Path) -> None:
    file = tmp_path / "f.sav"
    write_sav(PEOPLE, file, missing_ranges={"bmi": [{"lo": 90, "hi": 100}], "word": ["no"]})
    found = find_table(file, TableLayout())
    assert found.rows["bmi"].to_list() == [22.5, None, 31.25]
    assert found.rows["word"].to_list() == ["yes", "", None]
    assert found.detected["user-missing values"] == "missing, in bmi, word"


def test_stata_extended_missing_values_are_missing(tmp_path: Path) -> None:
    frame = pd.DataFrame({"pid": ["1", "2", "3", "4"], "g": [1, "a", 2, "z"]})
    pyreadstat.write_dta(frame, tmp_path / "f.dta", missing_user_values={"g": ["a", "z"]})
    assert read_table(tmp_path / "f.dta")["g"].to_list() == [1.0, None, 2.0, None]


def test_korean_names_and_texts_are_read_from_spss_and_stata(tmp_path: Path) -> None:
    korean = pl.DataFrame({"pid": ["김-1"], "bmi": [22.5]})
    pyreadstat.write_dta(korean, tmp_path / "f.dta")
    write_sav(korean.rename({"bmi": "체질량"}), tmp_path / "f.sav")
    assert read_table(tmp_path / "f.dta").rows() == [("김-1", 22.5)]
    assert read_table(tmp_path / "f.sav").columns == ["pid", "체질량"]


@pytest.mark.parametrize("name", ["dta, Stata 12", "xport 5", "xport 8"])
def test_a_file_that_cannot_say_its_encoding_has_it_asked_for(tmp_path: Path, name: str) -> None:
    write, suffix = WRITERS[name]
    file = tmp_path / f"f.{suffix}"
    write(pl.DataFrame({"pid": ["WXYZ"], "bmi": [22.5]}), file)
    file.write_bytes(file.read_bytes().replace(b"WXYZ", "김이".encode("cp949")))
    assert "does not say" in refusal(file)
    assert read_table(file, TableLayout(encoding="cp949")).rows() == [("김이", 22.5)]


def test_stata_months_stay_numbers(tmp_path: Path) -> None:
    frame = pd.DataFrame({"pid": ["1"], "m": pd.to_datetime(["2015-03-01"])})
    frame.to_stata(tmp_path / "f.dta", convert_dates={"m": "tm"}, write_index=False)
    assert read_table(tmp_path / "f.dta")["m"].to_list() == [662.0]


@pytest.mark.parametrize("name", WRITERS)
def test_a_truncated_file_is_refused(tmp_path: Path, name: str) -> None:
    write, suffix = WRITERS[name]
    file = tmp_path / f"f.{suffix}"
    write(PEOPLE, file)
    file.write_bytes(file.read_bytes()[:300])
    assert "cannot be read" in refusal(file) or "has no rows" in refusal(file)


def test_a_header_that_announces_rows_by_the_billion_is_refused_at_once(tmp_path: Path) -> None:
    file = tmp_path / "f.dta"
    pyreadstat.write_dta(PEOPLE, file)
    content = file.read_bytes()
    place = content.index(b"<N>") + 3
    file.write_bytes(content[:place] + (10**9).to_bytes(4, "little") + content[place + 4 :])
    assert "announces 1,000,000,000 rows" in refusal(file)


@pytest.mark.parametrize("suffix", ["dta", "sav", "sas7bdat", "xpt", "parquet", "xlsx"])
def test_text_renamed_is_refused_with_the_format_it_could_be(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"f.{suffix}"
    file.write_text("pid,a\n007,1\n")
    assert 'format = "csv"' in refusal(file)
    assert read_table(file, TableLayout(format="csv")).rows() == [("007", "1")]


def test_a_stata_file_renamed_sav_names_its_format(tmp_path: Path) -> None:
    pyreadstat.write_dta(PEOPLE, tmp_path / "f.sav")
    assert 'is Stata by its first bytes, though .sav says SPSS. Say `format = "stata"`' in refusal(
        tmp_path / "f.sav"
    )
    assert read_table(tmp_path / "f.sav", TableLayout(format="stata")).height == 3


texts = st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), min_size=1, max_size=8)
people = st.lists(
    st.tuples(
        texts.map(str.strip).filter(bool),
        st.none() | st.floats(-1e6, 1e6, allow_subnormal=False).map(lambda x: round(x, 3)),
        st.none() | st.dates(date(1850, 1, 1), date(2100, 12, 31)),
    ),
    min_size=1,
    max_size=6,
)


@pytest.mark.parametrize("name", ["sav", "dta", "dta, Stata 12", "xport 8"])
@settings(max_examples=30)
@given(rows=people)
def test_what_pyreadstat_writes_is_read_back(name: str, rows: list[tuple[Any, ...]]) -> None:
    write, suffix = WRITERS[name]
    table = pl.DataFrame(rows, schema={"pid": pl.String, "x": pl.Float64, "d": pl.Date}, orient="row")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"f.{suffix}"
        write(table, file)
        read = read_table(file)
    assert read["pid"].to_list() == table["pid"].to_list()
    assert read["x"].is_null().to_list() == table["x"].is_null().to_list()
    assert read["x"].drop_nulls().to_list() == pytest.approx(table["x"].drop_nulls().to_list(), rel=1e-12)
    assert read["d"].cast(pl.Date).to_list() == table["d"].to_list()


@settings(max_examples=30)
@given(rows=people)
def test_what_openpyxl_writes_is_read_back(rows: list[tuple[Any, ...]]) -> None:
    rows = [(f"_{pid}", x, d if d is None or d.year >= 1901 else None) for pid, x, d in rows]
    with tempfile.TemporaryDirectory() as folder:
        file = workbook(Path(folder) / "f.xlsx", ["pid", "x", "d"], *[list(row) for row in rows])
        read = read_table(file)
    if "x" in read.columns:
        expected = pl.Series([x for _, x, _ in rows], dtype=pl.Float64)
        assert read["x"].cast(pl.Float64).equals(expected)
    assert read["pid"].to_list() == [pid for pid, _, _ in rows]
    assert read["d"].cast(pl.Date).to_list() == [d for _, _, d in rows]


def test_an_old_workbook_that_ends_its_reader_is_refused() -> None:
    """Found by the soak: a claim of 4 GiB makes the reader end its process."""
    assert "the file is damaged" in refusal(TABLES / "claims-4-gib.xls")


def test_a_transport_file_whose_variable_has_no_name_is_refused() -> None:
    """Found by the soak."""
    assert "cannot be read as" in refusal(TABLES / "nameless.xpt")
    assert "one of its variables has no name" in refusal(TABLES / "nameless-with-rows.xpt")


def test_a_workbook_that_would_inflate_without_measure_is_refused_unread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = workbook(tmp_path / "f.xlsx", ["pid", "a"], ["x", 1])
    monkeypatch.setattr("spinescore.shell.table_formats.MOST_INFLATED_BYTES", 1000)
    assert "would inflate" in refusal(file)

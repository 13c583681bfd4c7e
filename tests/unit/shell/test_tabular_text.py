"""Delimited text is read as it is meant, or refused with the line and the key to declare; never guessed."""

from __future__ import annotations

import csv
import io
import random
import tempfile
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spinescore.errors import TableError
from spinescore.shell.tabular import find_table, read_table
from spinescore.study import TableLayout

ROWS = [{"pid": "007", "name": "김", "bmi": "22.5"}, {"pid": "8", "name": "이", "bmi": ""}]


def written(folder: Path, content: str | bytes, name: str = "f.csv") -> Path:
    file = folder / name
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return file


def refusal(file: Path, **layout: Any) -> str:
    with pytest.raises(TableError) as caught:
        read_table(file, TableLayout(**layout))
    return str(caught.value)


@pytest.mark.parametrize(
    ("delimiter", "spoken"), [(",", "comma"), (";", "semicolon"), ("\t", "tab"), ("|", "pipe")]
)
@pytest.mark.parametrize("suffix", ["csv", "tsv", "txt"])
def test_the_delimiter_is_the_one_by_which_all_rows_agree(
    tmp_path: Path, delimiter: str, spoken: str, suffix: str
) -> None:
    text = "\n".join(delimiter.join(row) for row in (["pid", "a", "b"], ["007", "x", ""], ["8", "y", "2"]))
    found = find_table(written(tmp_path, text, f"f.{suffix}"), TableLayout())
    assert found.rows.rows() == [("007", "x", ""), ("8", "y", "2")]
    assert found.detected["delimiter"] == spoken


def test_decimal_commas_do_not_make_a_semicolon_table_a_comma_table(tmp_path: Path) -> None:
    file = written(tmp_path, "pid;bmi, kg/m2;t\n007;22,5;1,25\n8;;3\n")
    assert read_table(file).rows() == [("007", "22,5", "1,25"), ("8", "", "3")]


def test_two_delimiters_that_both_fit_are_not_chosen_between(tmp_path: Path) -> None:
    file = written(tmp_path, "a;b,c\n1;2,3\n4;5,6\n")
    assert "may be separated by comma or by semicolon" in refusal(file)
    assert read_table(file, TableLayout(delimiter=";")).columns == ["a", "b,c"]


@pytest.mark.parametrize(
    ("encoding", "spoken"),
    [
        ("utf-8", "UTF-8"),
        ("utf-8-sig", "UTF-8 with byte order mark"),
        ("utf-16", "UTF-16"),
        ("utf-32", "UTF-32"),
    ],
)
def test_unicode_is_recognised_and_said(tmp_path: Path, encoding: str, spoken: str) -> None:
    text = "pid,name,bmi\n007,김,22.5\n8,이,\n"
    found = find_table(written(tmp_path, text.encode(encoding)), TableLayout())
    assert found.rows.to_dicts() == ROWS
    assert found.detected["encoding"] == spoken


def test_korean_in_cp949_is_asked_for_with_the_ways_it_could_read(tmp_path: Path) -> None:
    file = written(tmp_path, "pid,name,bmi\n007,김,22.5\n8,이,\n".encode("cp949"))
    message = refusal(file)
    assert 'line 2). It could be cp949 ("김,22.5")' in message
    assert 'encoding = "cp949"' in message
    found = find_table(file, TableLayout(encoding="cp949"))
    assert found.rows.to_dicts() == ROWS
    assert "encoding" not in found.detected


def test_latin_1_is_read_when_declared_and_a_wrong_encoding_names_the_line(tmp_path: Path) -> None:
    file = written(tmp_path, "pid,name\n7,Grün\n".encode("latin-1"))
    assert read_table(file, TableLayout(encoding="latin-1"))["name"].to_list() == ["Grün"]
    assert "is not utf-8: line 2 does not fit" in refusal(file, encoding="utf-8")


def test_an_encoding_that_does_not_exist_is_refused_in_the_study_file() -> None:
    with pytest.raises(ValueError, match="no such encoding"):
        TableLayout(encoding="utf-99")


def test_quotes_hold_delimiters_quotes_and_line_ends(tmp_path: Path) -> None:
    file = written(tmp_path, 'pid,note\r\n007,"a, ""b""\nc"\r\n\r\n8,d\r\n')
    assert read_table(file).rows() == [("007", 'a, "b"\nc'), ("8", "d")]


def test_ragged_rows_are_refused_with_their_lines(tmp_path: Path) -> None:
    file = written(tmp_path, 'pid,a,b\n1,2,3\n2,"x\ny",3\n3,4\n4,5,6,7\n')
    message = refusal(file)
    assert "3 column(s) in its header but other numbers of fields in 2 row(s)" in message
    assert "line 5 has 2, line 6 has 4" in message


def test_ragged_rows_beyond_the_first_thousands_are_found(tmp_path: Path) -> None:
    lines = ["pid,a"] + [f"{n},1" for n in range(60_000)] + ["x"]
    assert "line 60002 has 1" in refusal(written(tmp_path, "\n".join(lines)))


def test_row_names_as_r_writes_them_are_recognised(tmp_path: Path) -> None:
    assert "row.names" in refusal(written(tmp_path, '"pid","a"\n"1","007","x"\n"2","8","y"\n'))


def test_an_unnamed_column_is_kept_by_number_and_an_empty_one_left_out(tmp_path: Path) -> None:
    file = written(tmp_path, '"",pid,a,\n"1",007,x,\n"2",8,y,\n')
    assert read_table(file).columns == ["column 1", "pid", "a"]


def test_two_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    assert "more than one column named `a`" in refusal(written(tmp_path, "pid,a, a\n1,2,3\n"))


def test_a_title_above_the_header_is_skipped_when_declared(tmp_path: Path) -> None:
    file = written(tmp_path, "Follow-up of the cohort\n\npid,a\n007,1\n")
    assert read_table(file, TableLayout(header_row=3)).to_dicts() == [{"pid": "007", "a": "1"}]
    assert "line 5 has 3" in refusal(
        written(tmp_path, "title\n\npid,a\n007,1\n8,2,3\n"), header_row=3, delimiter=","
    )


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "is empty"),
        (b"  \n \n", "is empty"),
        (b"pid,a\n", "a header and no rows"),
        (b"just a letter\nto someone\n", "one column only"),
        (b"pid,a\n1,\0\n", r"zero bytes \(line 2\)"),
        ("pid,a\n1,2\n".encode("utf-16-le"), "zero bytes"),
        (b'pid,a\n1,"open\n2,3\n', "cannot be read from line 2 on"),
        (b'pid,a\n1,"x"y\n', "cannot be read from line 2 on"),
        (b"pid,a\n1," + b"x" * 5_000_000 + b"\n", "cannot be read from line 2 on"),
        (b"x" * 5_000_000, "one column only"),
        (b",,\n1,2,3\n", "no column names"),
        (b"<html><table><tr><td>1</td></tr></table></html>", "a web page"),
        (b"%PDF-1.7 ...", "a PDF"),
        (b"\x1f\x8b\x08\x00 and more", "compressed"),
        (b"PAR1 and more PAR1", 'format = "parquet"'),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1 and more", 'format = "excel"'),
        (b"PK\x03\x04 and more", "damaged zip"),
    ],
)
def test_what_is_no_table_is_refused_in_one_line(tmp_path: Path, content: bytes, complaint: str) -> None:
    file = written(tmp_path, content)
    with pytest.raises(TableError, match=complaint) as caught:
        read_table(file)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize("header", ["PAR1,PAR2", "BZhours,a", "PK,a", "rar,a", "hip,a", "sex;a"])
def test_a_header_that_only_resembles_another_format_is_a_header(tmp_path: Path, header: str) -> None:
    delimiter = ";" if ";" in header else ","
    file = written(tmp_path, f"{header}\n1{delimiter}2\n")
    assert read_table(file).columns == header.split(delimiter)


def test_random_bytes_are_refused(tmp_path: Path) -> None:
    content = bytes(random.Random(7).randbytes(100_000))
    assert "binary" in refusal(written(tmp_path, content))


def test_five_thousand_columns_are_read(tmp_path: Path) -> None:
    names = [f"v{number}" for number in range(5000)]
    file = written(tmp_path, ",".join(names) + "\n" + ",".join("1" * 5000) + "\n")
    assert read_table(file).shape == (1, 5000)


def test_a_suffix_nobody_knows_is_read_when_the_format_is_declared(tmp_path: Path) -> None:
    file = written(tmp_path, "pid\ta\n007\t1,5\n", "f.dat")
    assert read_table(file, TableLayout(format="tsv")).to_dicts() == [{"pid": "007", "a": "1,5"}]


cells = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=8)


@given(
    data=st.lists(st.tuples(cells, cells, cells), min_size=1, max_size=8),
    delimiter=st.sampled_from([",", ";", "\t", "|"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    line_end=st.sampled_from(["\n", "\r\n"]),
)
def test_what_the_csv_module_writes_is_read_back(
    data: list[tuple[str, str, str]], delimiter: str, encoding: str, line_end: str
) -> None:
    buffer = io.StringIO()
    writer = csv.writer(buffer, delimiter=delimiter, lineterminator=line_end, quoting=csv.QUOTE_ALL)
    writer.writerows([("pid", "a", "b"), *data])
    with tempfile.TemporaryDirectory() as folder:
        file = written(Path(folder), buffer.getvalue().encode(encoding))
        rows = read_table(file, TableLayout(delimiter=delimiter))
    assert rows.rows() == data


@given(data=st.lists(st.tuples(cells, st.floats(allow_nan=False), st.dates()), min_size=1, max_size=8))
def test_parquet_is_read_back(data: list[tuple[Any, ...]]) -> None:
    table = pl.DataFrame(data, schema={"pid": pl.String, "x": pl.Float64, "d": pl.Date}, orient="row")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "f.parquet"
        table.write_parquet(file)
        assert read_table(file).equals(table)

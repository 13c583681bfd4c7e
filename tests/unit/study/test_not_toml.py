"""A file that is not TOML says which lines, and what their writer probably meant; another file is named as such."""

from __future__ import annotations

from pathlib import Path

import pytest

from spinescore.errors import StudyError
from spinescore.study import read_study

MANY_FAULTS = """[study]
title = Spine age
database = "C:\\Users\\x\\d.duckdb"
output = “report”
synthetic = True
[cohorts.External VFA]
where = "kind = "vfa""
role = 'reference
[cohorts.External VFA]
title: foo
Model 1 = ["age" "sex"]
id = 007
level = 0,95
when = 28/02/2015
척추 = 1
share = .5
"""
ALL_SAID = """2:9: text needs quotation marks: `title = "Spine age"`
3:17: inside "..." a backslash begins an escape such as \\n; put Windows paths between '...': `database = 'C:\\Users\\x\\d.duckdb'`
4:10: curly quotation marks; TOML knows the straight ones only: `output = "report"`
5:13: write `synthetic = true`, in small letters and without quotation marks
6:19: a name with blanks or letters other than a-z, 0-9, _ and - needs quotation marks: `[cohorts."External VFA"]`
7:18: the text ends at the second " and something follows; put text that holds " between ' and '
8: the closing quotation mark is missing
9:19: a name with blanks or letters other than a-z, 0-9, _ and - needs quotation marks: `[cohorts."External VFA"]`
10:6: a key and its value are joined by `=`: `title = foo`
11:7: a name with blanks needs quotation marks: `"Model 1" = ["age" "sex"]`
12:7: a number has no leading zeros; an id or a code is text: `id = "007"`
13:10: a number has a decimal point: `level = 0.95`
14:10: a date is written year-month-day: `when = 2015-02-28`; or the day does not exist
15:1: a name with letters other than a-z, 0-9, _ and - needs quotation marks: `"척추" = ...`
16:9: a number needs a digit before its point: `share = 0.5`
"""


def refusal(file: Path) -> str:
    with pytest.raises(StudyError) as caught:
        read_study(file)
    assert caught.value.next_step
    return caught.value.message


def write(folder: Path, content: str | bytes, name: str = "study.toml") -> Path:
    file = folder / name
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return file


def test_every_line_that_is_not_toml_is_listed_with_what_was_probably_meant(tmp_path: Path) -> None:
    file = write(tmp_path, MANY_FAULTS)
    first, *lines = refusal(file).split("\n  ")
    assert first == f"{file} has 15 lines that are not TOML:"
    assert [line.removeprefix(f"{file}:") for line in lines[::2]] == ALL_SAID.splitlines()
    assert [line.strip() for line in lines[1::2]] == [line.strip() for line in MANY_FAULTS.splitlines()[1:]]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[study]\ntitle = "a"\ntitle = "b"\n', "3:12: study.title stands on line 2 already"),
        ("[a]\nb = 1\n[a]\n", "3:3: a stands on line 1 already"),
        ("a.b = 1\na = 2\n", "2:6: a stands on line 1 already"),
        (
            '[images]\nsources = ["x",\n "y"\n\n[model]\nbundle = "demo"\n',
            '5:1: the list of line 2 (`sources = ["x",`)',
        ),
        (
            '[images]\nsources = ["a"\n',
            "2: the list of this line lacks a comma between its items, or the closing `]`",
        ),
        (
            '[study]\ntitle = """abc\ndef\n\n[x]\n',
            'the text that begins on line 2 (`title = """abc`) has no closing',
        ),
        ("[study\na = 1\n", "1:7: the closing `]` of the section's name is missing"),
        ("a = {b = 1,\nc = 2}\n", "1:12: what stands between { and } must stand on one line"),
        ("a = 2015-02-30\n", "1:5: no such day or time: 2015-02-30"),
        ("a = 5.\n", "a number needs a digit after its point: `a = 5.0`"),
        ("a = None\n", "`a` has no value; leave the whole line out"),
        ("a =\n", "`a` has no value"),
        ("a = [b]\n", "text inside brackets needs quotation marks"),
        ("a = 'it's'\n", 'put text that holds \' between " and "'),
        ("[x]\njust words\n", "a line is `key = value`, `[section]` or a `# comment`"),
        ("a = 'x\x01y'\n", "a control character"),
        ("k = " + "[" * 5000 + "\n", "brackets inside brackets"),
    ],
)
def test_typical_faults_are_explained(tmp_path: Path, text: str, said: str) -> None:
    assert said in refusal(write(tmp_path, text))


def test_a_byte_order_mark_and_windows_line_ends_are_no_fault(tmp_path: Path) -> None:
    file = write(tmp_path, b"\xef\xbb\xbf[study]\r\ntitle = 't'\r\ndatabase = 'd'\r\n")
    assert read_study(file).study.title == "t"


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("study.toml", b"", "is empty"),
        ("study.toml", b" \n\n", "is empty"),
        ("study.toml", b"PK\x03\x04...", "is an Excel workbook or a zip archive, not a study file"),
        ("study.toml", b"\0" * 8 + b"DUCK", "is a database, not a study file"),
        ("study.toml", b"$FL2 ...", "is an SPSS table"),
        ("study.toml", "[study]".encode("utf-16"), "is UTF-16"),
        ("study.toml", b"abc\0def", "is binary"),
        ("study.toml", b"name,secret\nKim,1\n", "is a table, not a study file"),
        ("study.csv", b"a = 1\nKim;1\n", "is a table, not a study file"),
        ("study.txt", b"Kim 1\nLee 2\n", "is no study file: it has no `[section]` and no `key = value`"),
        ("study.toml", b"a" * 2_000_000, "it is no study file"),
        (
            "study.toml",
            '[study]\ntitle = "척추"\n'.encode("cp949"),
            ":2: the file is not UTF-8. It could be cp949: `title",
        ),
        ("study.toml", "김,척추\n".encode("cp949"), ":1: the file is not UTF-8. It could be cp949."),
    ],
)
def test_a_file_that_is_something_else_is_named_without_repeating_what_it_holds(
    tmp_path: Path, name: str, content: bytes, said: str
) -> None:
    message = refusal(write(tmp_path, content, name))
    assert said in message
    assert "\n" not in message
    assert not {"Kim", "Lee", "김"} & set(message.replace(",", " ").split())


def test_a_folder_or_a_missing_file_says_what_is_there(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"is a folder\. Give the path"):
        read_study(tmp_path)
    with pytest.raises(StudyError, match="spinescore study new TABLE"):
        read_study(tmp_path / "none.toml")
    file = write(tmp_path, b"")
    with pytest.raises(StudyError, match=f"is a folder. Give the file: {file}"):
        read_study(tmp_path)
    with pytest.raises(StudyError, match=r"There is study\.toml in that folder"):
        read_study(tmp_path / "none.toml")

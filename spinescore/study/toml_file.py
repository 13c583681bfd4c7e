"""A file -> its text and what TOML makes of it, or why it is no study file."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from spinescore.errors import StudyError
from spinescore.study.problems import LISTED
from spinescore.study.syntax import Fault, explain_fault

LARGEST_BYTES = 1_000_000
MOST_FAULTS = 50
LONGEST_LINE = 120
LOOK_BACK_LINES = 300
WRITE_ONE = "`spinescore study new TABLE` writes a study file from a follow-up table."
NAME_IT = "A study file names it by `file` under [subjects]; `spinescore study new` writes one from it."
BINARY = (
    (b"PK\x03\x04", "an Excel workbook or a zip archive", NAME_IT),
    (b"\xd0\xcf\x11\xe0", "an Excel workbook or Word document", NAME_IT),
    (b"PAR1", "a Parquet table", NAME_IT),
    (b"$FL", "an SPSS table", NAME_IT),
    (b"<stata_dta>", "a Stata table", NAME_IT),
    (b"\0\0\0\0\0\0\0\0\0\0\0\0\xc2\xea\x81\x60", "a SAS table", NAME_IT),
    (b"{\\rtf", "a Word document (RTF)", "Save it as plain text, UTF-8."),
)
DUCKDB_MAGIC = (8, b"DUCK")
UTF_16 = (b"\xff\xfe", b"\xfe\xff")
# By how they decode, not by what they say: a hint, never a reading.
LIKELY_ENCODINGS = ("cp949", "cp932", "gb18030", "cp1252")
OPEN_QUOTE = 'Expected "\'"'
POSITION = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")
LIKE_TOML = re.compile(r"""^\s*(\[[^\]]|[\w."'-][^=\n]*=)""", re.MULTILINE)
TABLE_SUFFIXES = frozenset({".csv", ".tsv", ".tab"})


def read_toml(path: Path) -> tuple[str, Mapping[str, Any]]:
    """Return the text of a TOML file and its content.

    Raises
    ------
    StudyError
        If it cannot be read, is something else, or is not TOML: every line that is wrong, as far as can be
        told.
    """
    text = _read_text(path)
    faults: list[Fault] = []
    lines = text.replace("\r\n", "\n").split("\n")
    while True:
        try:
            content = tomllib.loads("\n".join(lines))
            break
        except (ValueError, RecursionError) as error:
            fault = _fault(lines, error)
            faults.append(fault)
            if not fault.confined or len(faults) == MOST_FAULTS:
                break
            # a header is replaced, not left out: what follows must not fall to the section above
            lines[fault.line - 1] = f"[{'_' * (len(text) % 7 + 9)}{fault.line}]" if fault.is_header else ""
    if faults:
        _refuse_foreign(path, text)
        raise StudyError(_report(path, faults), "Mend that first; what the keys say is looked at then.")
    return text, content


def _read_text(path: Path) -> str:
    data = _read_bytes(path)
    for magic, what, next_step in BINARY:
        if data.startswith(magic):
            raise StudyError(f"{path} is {what}, not a study file.", next_step)
    offset, magic = DUCKDB_MAGIC
    if data[offset:].startswith(magic):
        raise StudyError(f"{path} is a database, not a study file.", "A study file names it by `database`.")
    if data.startswith(UTF_16):
        raise StudyError(f"{path} is UTF-16.", "Save it as UTF-8.")
    if b"\0" in data:
        raise StudyError(f"{path} is binary, not a study file.", WRITE_ONE)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _undecodable(path, data, error.start) from None
    if not text.strip():
        raise StudyError(f"{path} is empty.", WRITE_ONE)
    return text


def _read_bytes(path: Path) -> bytes:
    if path.is_dir():
        files = sorted(file.name for file in path.glob("*.toml"))
        step = f"Give the file: {path / files[0]}" if len(files) == 1 else "Give the path of a study file."
        raise StudyError(f"{path} is a folder.", step)
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST_BYTES + 1)
    except FileNotFoundError:
        raise StudyError(f"No study file at {path}.", _other_files(path)) from None
    except OSError as error:
        raise StudyError(f"{path} cannot be read: {error.strerror}.", "Check the path.") from None
    if len(data) > LARGEST_BYTES and not data.startswith(tuple(magic for magic, _, _ in BINARY)):
        raise StudyError(f"{path} has more than {LARGEST_BYTES:,} bytes: it is no study file.", WRITE_ONE)
    return data


def _other_files(path: Path) -> str:
    folder = path.parent
    others = sorted(file.name for file in folder.glob("*.toml")) if folder.is_dir() else []
    return f"There is {', '.join(others[:5])} in that folder. {WRITE_ONE}" if others else WRITE_ONE


def _undecodable(path: Path, data: bytes, position: int) -> StudyError:
    line = data.count(b"\n", 0, position) + 1
    raw = data.split(b"\n")[line - 1].strip()
    likely = next((name for name in LIKELY_ENCODINGS if _decodes(data, name)), None)
    # a line of a study file is shown, one of a table given by mistake is not
    line_shown = f": `{raw.decode(likely)}`" if likely and re.match(rb"[#\[]|[\w.-]+\s*=", raw) else ""
    shown = f" It could be {likely}{line_shown}." if likely else ""
    return StudyError(
        f"{path}:{line}: the file is not UTF-8.{shown}",
        "Save it as UTF-8 (editors offer it under `Save as` or `Save with encoding`).",
    )


def _decodes(data: bytes, encoding: str) -> bool:
    try:
        data.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def _fault(lines: list[str], error: Exception) -> Fault:
    """Return where a statement goes wrong, and where it begins."""
    message = str(error)
    position = POSITION.search(message)
    last = max((number for number, line in enumerate(lines, 1) if line.strip()), default=1)
    if isinstance(error, RecursionError):
        return Fault("nested", last, None, 1, tuple(lines))
    line = int(position[1]) if position and position[1] else last
    column = int(position[2]) if position and position[2] else None
    message, beginning = POSITION.sub("", message), _beginning(lines, line)
    if message == OPEN_QUOTE:  # such a text ends on its line, though tomllib looks further
        line, column = beginning, None
    return Fault(message, line, column, beginning, tuple(lines))


def _beginning(lines: list[str], line: int) -> int:
    """Return the line on which the statement begins that goes wrong on ``line``."""
    for before in range(line - 1, max(line - LOOK_BACK_LINES, 0) - 1, -1):
        try:
            tomllib.loads("\n".join(lines[:before]))
        except (ValueError, RecursionError):
            continue
        starts = (number for number in range(before + 1, line) if _is_statement(lines[number - 1]))
        return next(starts, line)
    return line


def _is_statement(line: str) -> bool:
    return bool(line.strip()) and not line.strip().startswith("#")


def _refuse_foreign(path: Path, text: str) -> None:
    """Refuse a text that is something else, such as the follow-up table, without repeating its lines."""
    first = next(line for line in text.splitlines() if line.strip())
    looks_tabular = "=" not in first and "[" not in first and re.search(r"[,;\t|]", first)
    if path.suffix.lower() in TABLE_SUFFIXES or looks_tabular:
        raise StudyError(f"{path} is a table, not a study file.", NAME_IT)
    if not LIKE_TOML.search(text):
        raise StudyError(f"{path} is no study file: it has no `[section]` and no `key = value`.", WRITE_ONE)


def _report(path: Path, faults: list[Fault]) -> str:
    count = "1 line that is" if len(faults) == 1 else f"{len(faults)} lines that are"
    parts = [f"{path} has {count} not TOML:"]
    for fault in sorted(faults, key=lambda fault: fault.line):
        column = f":{fault.column}" if fault.column else ""
        parts.append(f"{path}:{fault.line}{column}: {explain_fault(fault)}")
        parts.append(f"    {fault.text.strip()[:LONGEST_LINE]}")
    return LISTED.join(parts)

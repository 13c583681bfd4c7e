"""Which format a table's file is in: what is declared, what its first bytes say, what its suffix says."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from spinescore.errors import TableError
from spinescore.study import TableLayout

SUFFIXES = {
    ".csv": "csv",
    ".tsv": "csv",
    ".tab": "csv",
    ".txt": "csv",
    ".parquet": "parquet",
    ".xlsx": "excel",
    ".xlsm": "excel",
    ".xlsb": "excel",
    ".xls": "excel",
    ".sas7bdat": "sas",
    ".xpt": "xport",
    ".xport": "xport",
    ".dta": "stata",
    ".sav": "spss",
    ".zsav": "spss",
}
SPOKEN_FORMATS = {
    "csv": "delimited text",
    "tsv": "tab-separated text",
    "parquet": "Parquet",
    "excel": "Excel",
    "sas": "SAS",
    "xport": "SAS transport",
    "stata": "Stata",
    "spss": "SPSS",
}
HEAD_BYTES = 512
PARQUET = b"PAR1"
OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
MOST_INFLATED_BYTES = 2 << 30
MAGIC = (
    (OLE, "excel"),
    (b"$FL2", "spss"),
    (b"$FL3", "spss"),
    (b"<stata_dta>", "stata"),
    (b"\0" * 12 + b"\xc2\xea\x81\x60", "sas"),
    (b"HEADER RECORD*******LIB", "xport"),
)
STATA_RELEASES = (104, 105, 108, 110, 111, 112, 113, 114, 115)
# What people rename: the next step says what it is.
FOREIGN = (
    (
        (b"<!doctype html", b"<html", b"<table", b"<?xml"),
        "a web page or XML",
        "Open it in Excel; save as .xlsx.",
    ),
    ((b"%PDF",), "a PDF", "Give the table it was made from."),
    ((b"\x1f\x8b", b"BZh91AY&SY", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd"), "compressed", "Unpack it first."),
    ((b"7z\xbc\xaf", b"Rar!"), "an archive", "Unpack it first."),
)


@dataclass(frozen=True, slots=True)
class FoundTable:
    """A table and what was found out about its file.

    Parameters
    ----------
    rows : polars.DataFrame
        The table; every column of delimited text is text.
    detected : mapping of str to str
        What was detected rather than declared, e.g. ``{"encoding": "UTF-8"}``.
    value_labels : mapping of str to mapping
        Per column the label of each code (as text), where the file has them.
    delimiter : str, optional
        What separated the columns of delimited text.
    """

    rows: pl.DataFrame
    detected: Mapping[str, str] = field(default_factory=dict)
    value_labels: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    delimiter: str | None = None


def format_of(path: Path, layout: TableLayout) -> str:
    """Return the format to read a file in.

    Raises
    ------
    TableError
        If it is missing, empty, no table, in no known format, or not in the declared one.
    """
    if not path.is_file():
        raise TableError(f"No table at {path}.", "Check `subjects.file` in the study file.")
    with path.open("rb") as handle:
        head = handle.read(HEAD_BYTES)
    if not head.strip():
        raise TableError(f"{path} is empty.", "Check `subjects.file` in the study file.")
    _refuse_foreign(path, head)
    by_content, by_suffix = _by_content(path, head), SUFFIXES.get(path.suffix.lower())
    declared = layout.format or by_suffix
    if declared is None and by_content is None:
        raise TableError(
            f"{path} ends in {path.suffix or 'nothing'}, which names no table format known here.",
            f"Say `format` under [subjects]: {', '.join(SPOKEN_FORMATS)}.",
        )
    if declared is None or declared == by_content:
        return by_content or "csv"
    if by_content is not None or declared not in ("csv", "tsv"):
        found = f"is {SPOKEN_FORMATS[by_content]}" if by_content else f"is not {SPOKEN_FORMATS[declared]}"
        said = "`format` says" if layout.format else f"{path.suffix} says"
        raise TableError(
            f"{path} {found} by its first bytes, though {said} {SPOKEN_FORMATS[declared]}.",
            f'Say `format = "{by_content or "csv"}"` under [subjects], or check the file.',
        )
    return declared


def _refuse_foreign(path: Path, head: bytes) -> None:
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    for marks, what, next_step in FOREIGN:
        if start.startswith(tuple(mark.lower() for mark in marks)):
            raise TableError(f"{path} is {what} inside, not a table.", next_step)


def _by_content(path: Path, head: bytes) -> str | None:
    for magic, name in MAGIC:
        if head.startswith(magic):
            return name
    if head.startswith(PARQUET) and _tail(path) == PARQUET:
        return "parquet"
    if head[0] in STATA_RELEASES and head[1:3] in (b"\x01\x01", b"\x02\x01"):
        return "stata"
    if not head.startswith(b"PK\x03\x04"):
        return None
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            inflated_bytes = sum(member.file_size for member in archive.infolist())
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError):
        raise TableError(f"{path} is a damaged zip or Excel file.", "Copy or save it again.") from None
    if inflated_bytes > MOST_INFLATED_BYTES:
        raise TableError(
            f"{path} would inflate to {inflated_bytes >> 20:,} MiB, which no follow-up table does.",
            "Save the one sheet that matters as CSV or Parquet.",
        )
    if any(name.startswith("xl/workbook") for name in names):
        return "excel"
    raise TableError(f"{path} is a zip archive, not a table.", "Unpack it, or save it as .xlsx.")


def _tail(path: Path) -> bytes:
    with path.open("rb") as handle:
        handle.seek(-len(PARQUET), os.SEEK_END)
        return handle.read()


def named_columns(names: list[str], filled: list[bool], path: Path) -> dict[int, str]:
    """Return the columns to keep, by position: unnamed ones only if they hold something.

    Parameters
    ----------
    names : list of str
        The cells of the header row.
    filled : list of bool
        Whether each column holds anything.
    path : Path
        For the message.

    Raises
    ------
    TableError
        If two columns have one name, or none has any.
    """
    kept = {
        position: name or f"column {position + 1}"
        for position, (name, has_values) in enumerate(zip(names, filled, strict=True))
        if name or has_values
    }
    if not any(names):
        raise TableError(
            f"{path} has no column names in its header row.", "Say `header_row` under [subjects]."
        )
    seen: dict[str, int] = {}
    for name in kept.values():
        seen[name] = seen.get(name, 0) + 1
    repeated = [name for name, times in seen.items() if times > 1]
    if repeated:
        shown = ", ".join(f"`{name}`" for name in repeated[:5])
        more = f" and {len(repeated) - 5} more" if len(repeated) > 5 else ""
        raise TableError(f"{path} has more than one column named {shown}{more}.", "Give each its own name.")
    return kept

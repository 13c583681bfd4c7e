"""Delimited text -> polars, every cell as text: encoding and delimiter detected where that is certain."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import polars as pl

from spinescore.errors import TableError
from spinescore.shell.table_formats import FoundTable, named_columns
from spinescore.study import TableLayout
from spinescore.study.toml_text import toml_string

BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig", "UTF-8 with byte order mark"),
    (codecs.BOM_UTF32_LE, "utf-32", "UTF-32"),
    (codecs.BOM_UTF32_BE, "utf-32", "UTF-32"),
    (codecs.BOM_UTF16_LE, "utf-16", "UTF-16"),
    (codecs.BOM_UTF16_BE, "utf-16", "UTF-16"),
)
LIKELY_ENCODINGS = ("cp949", "cp932", "gb18030", "big5", "cp1252", "cp1250", "cp1251")
SHOWN_ENCODINGS = 5
EXCERPT_CHARACTERS = 12
DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "pipe"}
SAMPLED_RECORDS = 200
CHUNK_RECORDS = 50_000
SHOWN_LINES = 5
DELIMITER_STEP = 'Say `delimiter` under [subjects]: ",", ";", "\\t" or "|".'


def read_text_table(path: Path, layout: TableLayout) -> FoundTable:
    """Read delimited text; ids keep their leading zeros, as every cell stays text.

    Raises
    ------
    TableError
        If the encoding or delimiter is not certain and not declared, a declared one separates nothing where
        another would, or rows have unequal numbers of fields.
    """
    text, encoding = decode(path, layout.encoding)
    detected = {} if layout.encoding else {"encoding": encoding}
    text = _from_header(text, layout.header_row)
    declared = layout.delimiter or ("\t" if layout.format == "tsv" else None)
    delimiter: str = declared or detect_delimiter(text, path)
    if declared is None:
        detected["delimiter"] = DELIMITERS[delimiter]
    else:
        _refuse_wrong_delimiter(text, declared, path)
    return FoundTable(_parse(text, delimiter, layout.header_row, path), detected, delimiter=delimiter)


def decode(path: Path, declared: str | None) -> tuple[str, str]:
    """Return a file's text and the name of its encoding.

    Unicode shows itself, by a byte order mark or by being valid UTF-8; any other encoding has to be declared.
    """
    data = path.read_bytes()
    encoding, spoken = declared or "utf-8", declared or "UTF-8"
    for mark, codec, name in BYTE_ORDER_MARKS:
        if declared is None and data.startswith(mark):
            encoding, spoken = codec, name
            break
    try:
        text = data.decode(encoding).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise _undecodable(path, data, error, declared) from None
    position = text.find("\0")
    if position >= 0:
        line = text.count("\n", 0, position) + 1
        raise TableError(
            f"{path} holds zero bytes (line {line}): it is binary, or UTF-16 without a byte order mark.",
            'Check the file, or say `encoding = "utf-16-le"` under [subjects].',
        )
    return text, spoken


def _undecodable(path: Path, data: bytes, error: UnicodeDecodeError, declared: str | None) -> TableError:
    number = data.count(b"\n", 0, error.start) + 1
    if declared:
        return TableError(f"{path} is not {declared}: line {number} does not fit.", "Check `encoding`.")
    start = data.rfind(b"\n", 0, error.start) + 1
    end = data.find(b"\n", error.start)
    line = data[start : end if end >= 0 else len(data)]
    readings = [
        f'{encoding} ("{_excerpt(line.decode(encoding, "replace"))}")'
        for encoding in LIKELY_ENCODINGS
        if _decodes(data, encoding)
    ][:SHOWN_ENCODINGS]
    if not readings:
        return TableError(
            f"{path} is binary, or text in no usual encoding (line {number}).", "Check the file."
        )
    return TableError(
        f"{path} is not UTF-8 (line {number}). It could be {', '.join(readings)}.",
        f'Choose the one that reads right: `encoding = "{readings[0].split()[0]}"` under [subjects].',
    )


def _decodes(data: bytes, encoding: str) -> bool:
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        return False
    return not any(ord(character) < 9 for character in set(text))


def _excerpt(line: str) -> str:
    """Return a few characters from the first that is not ASCII on: enough to judge by."""
    first = next((position for position, character in enumerate(line) if ord(character) > 127), 0)
    shown = line[first : first + EXCERPT_CHARACTERS].strip()
    return "".join(character if character.isprintable() else "·" for character in shown)


def _from_header(text: str, header_row: int) -> str:
    start = 0
    for _ in range(header_row - 1):
        end = text.find("\n", start)
        if end < 0:
            return ""
        start = end + 1
    return text[start:]


def detect_delimiter(text: str, path: Path) -> str:
    """Return the one delimiter by which all records (of a sample) have the same number of fields.

    Where rows are ragged it is the only one in the header.

    Raises
    ------
    TableError
        If there is none, or several would do.
    """
    widths = {delimiter: _widths(text, delimiter) for delimiter in DELIMITERS}
    candidates = [delimiter for delimiter, found in widths.items() if len(set(found)) == 1 and found[0] > 1]
    if not candidates:
        candidates = [delimiter for delimiter, found in widths.items() if found and found[0] > 1]
    if len(candidates) == 1:
        return candidates[0]
    if candidates:
        names = " or by ".join(DELIMITERS[candidate] for candidate in candidates)
        raise TableError(f"{path} may be separated by {names}.", DELIMITER_STEP)
    raise TableError(
        f"{path} has one column only by any of {', '.join(DELIMITERS.values())}.",
        "Check that it is a table; save it as CSV.",
    )


def _refuse_wrong_delimiter(text: str, declared: str, path: Path) -> None:
    """Refuse a declared delimiter that leaves one column of a table that another one separates."""
    if set(_widths(text, declared)) != {1}:
        return
    for other in DELIMITERS:
        found = _widths(text, other)
        if other != declared and len(set(found)) == 1 and found[0] > 1:
            raise TableError(
                f"{path} has one column only by the declared delimiter, {DELIMITERS.get(declared, declared)}"
                f"; by {DELIMITERS[other]} it has {found[0]}.",
                f"Say `delimiter = {toml_string(other)}` under [subjects].",
            )


def _widths(text: str, delimiter: str) -> list[int]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    widths = []
    try:
        for record in islice(reader, SAMPLED_RECORDS):
            if record:
                widths.append(len(record))
    except csv.Error:
        # Quotes that do not fit this delimiter; what was read so far includes the header.
        widths.append(0)
    return widths


def _parse(text: str, delimiter: str, header_row: int, path: Path) -> pl.DataFrame:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    frames = []
    try:
        header = [name.strip() for name in next(reader, [])]
        if not header:
            raise TableError(
                f"{path} has no header in row {header_row}.", "Say `header_row` under [subjects]."
            )
        names = [str(position) for position in range(len(header))]
        while chunk := [record for record in islice(reader, CHUNK_RECORDS) if record]:
            if {*map(len, chunk)} != {len(header)}:
                raise _ragged(text, delimiter, header_row, path)
            columns = dict(zip(names, zip(*chunk, strict=True), strict=True))
            frames.append(pl.DataFrame(columns, schema=dict.fromkeys(names, pl.String)))
    except csv.Error:
        raise _broken(text, delimiter, header_row, path) from None
    if not frames:
        raise TableError(f"{path} has a header and no rows.", "Check `subjects.file` in the study file.")
    rows = pl.concat(frames)
    filled = rows.select((pl.all().str.strip_chars() != "").any()).row(0)
    kept = named_columns(header, list(filled), path)
    return rows.select(pl.col(str(position)).alias(name) for position, name in kept.items())


def _records(text: str, delimiter: str, header_row: int) -> Iterator[tuple[int, list[str]]]:
    """Yield each record and the line of the file it starts on."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    line = header_row
    for record in reader:
        if record:
            yield line, record
        line = header_row + reader.line_num


def _ragged(text: str, delimiter: str, header_row: int, path: Path) -> TableError:
    """Say which lines have other numbers of fields than the header, and what usually makes them so."""
    records = _records(text, delimiter, header_row)
    _, header = next(records)
    bad: list[tuple[int, int]] = []
    n_bad = n_records = n_one_more = 0
    try:
        for line, record in records:
            n_records += 1
            if len(record) != len(header):
                n_bad += 1
                n_one_more += len(record) == len(header) + 1
                bad = bad if len(bad) == SHOWN_LINES else [*bad, (line, len(record))]
    except csv.Error:
        # The count is of the lines up to there.
        n_bad = max(n_bad, len(bad))
    shown = ", ".join(f"line {line} has {n}" for line, n in bad) + (" ..." if n_bad > len(bad) else "")
    next_step = f"A field that holds the {DELIMITERS.get(delimiter, delimiter)} needs quotes."
    if n_one_more == n_records:
        next_step = "Row names as R writes them? Use `row.names = FALSE`; or name the first column."
    return TableError(
        f"{path} has {len(header)} column(s) in its header but other numbers of fields in {n_bad:,} row(s): "
        f"{shown}.",
        next_step,
    )


def _broken(text: str, delimiter: str, header_row: int, path: Path) -> TableError:
    line = header_row
    try:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        for _ in reader:
            line = header_row + reader.line_num
    except csv.Error:
        pass
    return TableError(
        f"{path} cannot be read from line {line} on.",
        "Look for a quotation mark that is not closed, or is not doubled inside quotes.",
    )

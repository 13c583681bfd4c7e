"""Tables (CSV, TSV, Parquet) -> polars, every column as text or as typed; and lists back to files."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import polars as pl

from spinescore.errors import TableError

FORMATS = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".txt": "tsv",
    ".parquet": "parquet",
}


def read_table(path: Path, declared_format: str | None = None) -> pl.DataFrame:
    """Read a table; delimited text keeps every cell as text, so ids keep their leading zeros.

    Raises
    ------
    TableError
        If it is missing, in no known format, or not what its format says.
    """
    if not path.is_file():
        raise TableError(f"No table at {path}.", "Check `subjects.file` in the study file.")
    table_format = declared_format or FORMATS.get(path.suffix.lower())
    if table_format is None:
        raise TableError(
            f"{path} ends in {path.suffix or 'nothing'}, which names no table format known here.",
            'Say `format = "csv"` (or tsv, parquet) under [subjects].',
        )
    try:
        return READERS[table_format](path)
    except (pl.exceptions.PolarsError, UnicodeDecodeError, ValueError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise TableError(f"{path} cannot be read as {table_format}: {reason}.", "Check the file.") from None


def hash_table(path: Path) -> str:
    """Return the SHA-256 of the file's bytes, as hex."""
    if not path.is_file():
        raise TableError(f"No table at {path}.", "Check `subjects.file` in the study file.")
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _read_delimited(path: Path, separator: str) -> pl.DataFrame:
    text = path.read_text(encoding="utf-8-sig")
    return pl.read_csv(text.encode(), separator=separator, infer_schema=False)


READERS: dict[str, Callable[[Path], pl.DataFrame]] = {
    "csv": lambda path: _read_delimited(path, ","),
    "tsv": lambda path: _read_delimited(path, "\t"),
    "parquet": pl.read_parquet,
}


def write_table(rows: pl.DataFrame, path: Path) -> None:
    """Write a table by its suffix: .csv, .json or .parquet; in CSV, no cell is a formula to a spreadsheet.

    Raises
    ------
    TableError
        If the suffix names none of these, or the file cannot be written.
    """
    writers: dict[str, Callable[[], object]] = {
        ".csv": lambda: rows.with_columns(_guarded(rows)).write_csv(path),
        ".json": lambda: rows.write_json(path),
        ".parquet": lambda: rows.write_parquet(path),
    }
    if path.suffix.lower() not in writers:
        raise TableError(f"{path} names no format to write.", "End it in .csv, .json or .parquet.")
    try:
        writers[path.suffix.lower()]()
    except OSError as error:
        raise TableError(f"{path} cannot be written: {error.strerror or error}.", "Name another file.") from None


def _guarded(rows: pl.DataFrame) -> list[pl.Expr]:
    """Put an apostrophe before texts that a spreadsheet would take for a formula."""
    texts = [pl.col(name) for name, kind in rows.schema.items() if kind == pl.String]
    guarded = [pl.concat_str(pl.lit("'"), text) for text in texts]
    return [
        pl.when(text.str.contains(FORMULA_START)).then(safe).otherwise(text).name.keep()
        for text, safe in zip(texts, guarded, strict=True)
    ]


FORMULA_START = r"^[=+\-@\t\r\n]"

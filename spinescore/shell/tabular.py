"""Tables as they come (text, Parquet, Excel, SAS, Stata, SPSS) -> polars; and lists back to files."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pyarrow
import pyarrow.parquet

from spinescore.errors import TableError, describe_fault
from spinescore.shell.table_formats import SPOKEN_FORMATS, FoundTable, format_of
from spinescore.study import TableLayout

PARQUET_ERRORS = (
    pyarrow.ArrowException,
    pl.exceptions.PolarsError,
    pl.exceptions.PanicException,
    ValueError,
    OSError,
)


def read_table(path: Path, layout: TableLayout | None = None) -> pl.DataFrame:
    """Read a table; delimited text keeps every cell as text, so ids keep their leading zeros.

    Raises
    ------
    TableError
        If it is missing, in no known format, not what its format says, or not certain how to read.
    """
    return find_table(path, layout or TableLayout()).rows


def find_table(path: Path, layout: TableLayout) -> FoundTable:
    """Read a table, with what was detected about its file and the labels of its codes.

    Parameters
    ----------
    path : Path
        The file.
    layout : TableLayout
        What is declared of it; the rest is detected where that is certain, and refused where it is not.

    Raises
    ------
    TableError
        If it is missing, in no known format, not what its format says, or not certain how to read.
    """
    table_format = format_of(path, layout)
    found = _read(path, layout, table_format)
    detected = {"format": SPOKEN_FORMATS[table_format], **found.detected}
    return FoundTable(found.rows, detected, found.value_labels, found.delimiter)


def _read(path: Path, layout: TableLayout, table_format: str) -> FoundTable:
    # Imported here: each reader loads a library that the other formats do without.
    if table_format in ("csv", "tsv"):
        from spinescore.shell.table_text import read_text_table

        return read_text_table(path, layout)
    if table_format == "excel":
        from spinescore.shell.table_excel import read_excel_table

        return read_excel_table(path, layout)
    if table_format == "parquet":
        return _read_parquet(path)
    from spinescore.shell.table_statistical import read_statistical_table

    return read_statistical_table(path, layout, table_format)


def _read_parquet(path: Path) -> FoundTable:
    # By Arrow: on a damaged file polars' own reader aborts the process.
    try:
        table = pyarrow.parquet.read_table(path)
        table.validate(full=True)
        rows = pl.DataFrame(pl.from_arrow(table))
    except PARQUET_ERRORS as error:
        reason = describe_fault(error)
        raise TableError(f"{path} cannot be read as Parquet: {reason}.", "Check the file.") from None
    if rows.is_empty():
        raise TableError(f"{path} has no rows.", "Check `subjects.file` in the study file.")
    return FoundTable(rows)


def hash_table(path: Path) -> str:
    """Return the SHA-256 of the file's bytes, as hex."""
    if not path.is_file():
        raise TableError(f"No table at {path}.", "Check `subjects.file` in the study file.")
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


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
        raise TableError(f"{path.name} names no format to write.", "End it in .csv, .json or .parquet.")
    try:
        writers[path.suffix.lower()]()
    except OSError as error:
        raise TableError(
            f"{path.name} cannot be written: {error.strerror or error}.", "Name another file."
        ) from None


def write_private_table(rows: pl.DataFrame, path: Path) -> None:
    """Write a table as ``write_table`` does, mode 0600; a failure leaves an earlier file whole.

    Raises
    ------
    TableError
        As ``write_table``, and if there is no such folder.
    """
    if not path.parent.is_dir():
        raise TableError(f"{path.parent} is no folder.", "Make it, or name another file.")
    with tempfile.TemporaryDirectory(prefix=".table-", dir=path.parent) as staging:
        staged = Path(staging) / path.name
        write_table(rows, staged)
        staged.chmod(0o600)
        os.replace(staged, path)  # noqa: PTH105 - atomic on one file system


def _guarded(rows: pl.DataFrame) -> list[pl.Expr]:
    """Put an apostrophe before texts that a spreadsheet would take for a formula."""
    texts = [pl.col(name) for name, kind in rows.schema.items() if kind == pl.String]
    guarded = [pl.concat_str(pl.lit("'"), text) for text in texts]
    return [
        pl.when(text.str.contains(FORMULA_START)).then(safe).otherwise(text).name.keep()
        for text, safe in zip(texts, guarded, strict=True)
    ]


FORMULA_START = r"^[=+\-@\t\r\n]"

"""Excel (.xlsx, .xlsb, .xls) -> polars: one sheet, its cells as the types Excel gives them."""

from __future__ import annotations

import logging
from pathlib import Path

import fastexcel
import polars as pl

from spinescore.errors import TableError, describe_fault
from spinescore.shell.table_formats import OLE, FoundTable, named_columns
from spinescore.shell.workers import WorkerFailure, map_supervised
from spinescore.study import TableLayout

# It logs a line for every empty column.
logging.getLogger("fastexcel").setLevel(logging.ERROR)

SHOWN_CELLS = 5
OLD_WORKBOOK_TIMEOUT_S = 120.0
OLD_WORKBOOK_MEMORY_BYTES = 4 << 30


def read_excel_table(path: Path, layout: TableLayout) -> FoundTable:
    """Read one sheet; a column of mixed types is text, dates in it as YYYY-MM-DD hh:mm:ss.

    Raises
    ------
    TableError
        If it is no Excel file, the sheet is not certain, or the header row has no or repeated names.
    """
    with path.open("rb") as handle:
        is_old = handle.read(len(OLE)) == OLE
    if not is_old:
        return _read(path, layout)
    # On a damaged .xls the reader asks for memory by what the file claims, and ends its process over it.
    ((_, found),) = map_supervised(
        _read_or_refuse,
        [(path, layout)],
        workers=1,
        timeout_s=OLD_WORKBOOK_TIMEOUT_S,
        memory_limit_bytes=OLD_WORKBOOK_MEMORY_BYTES,
    )
    if isinstance(found, WorkerFailure):
        raise _unreadable(path, f"the file is damaged ({found.detail})")
    if isinstance(found, TableError):
        raise found
    return found


def _read_or_refuse(asked: tuple[Path, TableLayout]) -> FoundTable | TableError:
    try:
        return _read(*asked)
    except TableError as error:
        return error


def _read(path: Path, layout: TableLayout) -> FoundTable:
    try:
        workbook = fastexcel.read_excel(path)
        name = _sheet_name(workbook, layout.sheet, path)
        return _read_sheet(workbook, name, layout, path)
    except fastexcel.FastExcelError as error:
        raise _unreadable(path, error) from None
    except BaseException as error:
        # A damaged .xls makes the reader panic: an exception that has no class to import and is no Exception.
        if type(error).__name__ != "PanicException":
            raise
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: BaseException | str) -> TableError:
    reason = error if isinstance(error, str) else describe_fault(error)
    return TableError(f"{path} cannot be read as Excel: {reason}.", "Save it again as .xlsx.")


def _sheet_name(workbook: fastexcel.ExcelReader, wanted: str | int | None, path: Path) -> str:
    names = list(workbook.sheet_names)
    if isinstance(wanted, int) and wanted <= len(names):
        return names[wanted - 1]
    if wanted in names:
        return str(wanted)
    shown = ", ".join(f"`{name}`" for name in names)
    if wanted is not None:
        raise TableError(f"{path} has no sheet {wanted!r}; it has {shown}.", "Check `sheet`.")
    filled = [name for name in names if workbook.load_sheet(name, header_row=None, n_rows=1).total_height]
    if len(filled) == 1:
        return filled[0]
    if not filled:
        raise TableError(f"{path} has no sheet that holds anything.", "Check the file.")
    raise TableError(f"{path} has {len(names)} sheets: {shown}.", 'Say `sheet = "..."` under [subjects].')


def _read_sheet(workbook: fastexcel.ExcelReader, name: str, layout: TableLayout, path: Path) -> FoundTable:
    head = pl.DataFrame(
        workbook.load_sheet(name, header_row=None, skip_rows=0, n_rows=layout.header_row, dtypes="string")
    )
    cells = list(head.row(layout.header_row - 1)) if head.height >= layout.header_row else []
    header = [(cell or "").strip() for cell in cells]
    if sum(map(bool, header)) < 2:
        raise TableError(
            f"{path} has no column names in row {layout.header_row} of sheet `{name}`.",
            "Say `header_row` (counted as Excel numbers its rows) under [subjects].",
        )
    sheet = workbook.load_sheet(
        name,
        header_row=None,
        skip_rows=layout.header_row,
        column_names=[str(position) for position in range(len(header))],
        schema_sample_rows=None,
    )
    batch, errors = sheet.to_arrow_with_errors()
    rows = pl.DataFrame(pl.from_arrow(batch))
    rows = rows.filter(~pl.all_horizontal(pl.all().is_null()))
    if rows.is_empty():
        raise TableError(
            f"{path} has a header and no rows in sheet `{name}`.", "Check `sheet`, `header_row`."
        )
    filled = [not rows[column].is_null().all() for column in rows.columns]
    kept = named_columns(header, filled, path)
    detected = {} if layout.sheet else {"sheet": name}
    if errors is not None and errors.errors:
        detected["error cells"] = f"{len(errors.errors)} (such as #N/A) read as missing"
    return FoundTable(rows.select(pl.col(str(position)).alias(n) for position, n in kept.items()), detected)

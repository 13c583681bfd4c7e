"""A small follow-up table as every format holds it; what the soak of the table readers damages."""

from __future__ import annotations

import shutil
from datetime import date
from pathlib import Path

import openpyxl
import polars as pl
import pyreadstat
import xlwt

SHIPPED = Path(__file__).resolve().parents[1] / "unit" / "shell" / "tables" / "follow_up.sas7bdat"
N_ROWS = 30


def rows() -> pl.DataFrame:
    """Return some people who are made up."""
    return pl.DataFrame(
        {
            "pid": [f"{number:05d}" for number in range(N_ROWS)],
            "sex": [("F", "M")[number % 2] for number in range(N_ROWS)],
            "bmi": [None if number % 7 == 0 else 20 + number / 3 for number in range(N_ROWS)],
            "end_date": [date(2015, 1 + number % 12, 1 + number % 28) for number in range(N_ROWS)],
            "note": ["Ä 김 é"[: number % 6] for number in range(N_ROWS)],
        }
    )


def write_tables(folder: Path) -> list[Path]:
    """Write the table in every format but SAS's own, of which a file is at hand."""
    people = rows()
    frame = people.to_pandas()
    people.write_parquet(folder / "a.parquet")
    people.write_csv(folder / "a.csv")
    people.write_csv(folder / "a.tsv", separator="\t")
    (folder / "b.csv").write_bytes(people.write_csv(separator=";").replace("김", "ß").encode("cp1252"))
    (folder / "c.csv").write_bytes(people.write_csv(quote_style="always").encode("utf-16"))
    pyreadstat.write_dta(frame, str(folder / "a.dta"))
    pyreadstat.write_sav(frame, str(folder / "a.sav"))
    pyreadstat.write_sav(frame, str(folder / "b.sav"), compress=True)
    pyreadstat.write_xport(frame.drop(columns="note"), str(folder / "a.xpt"))
    shutil.copy(SHIPPED, folder / "a.sas7bdat")
    _write_workbooks(people, folder)
    return sorted(folder.iterdir())


def _write_workbooks(people: pl.DataFrame, folder: Path) -> None:
    book, old = openpyxl.Workbook(), xlwt.Workbook()
    sheet, old_sheet = book.worksheets[0], old.add_sheet("people")
    for row, cells in enumerate([people.columns, *people.rows()]):
        for column, cell in enumerate(cells):
            sheet.cell(row + 1, column + 1, cell)
            old_sheet.write(row, column, None if cell is None else str(cell))
    book.save(folder / "a.xlsx")
    old.save(str(folder / "a.xls"))

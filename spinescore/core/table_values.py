"""Cells of a table -> text and numbers; what does not fit is gathered, so that all of it is said at once."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field

import polars as pl

from spinescore.errors import TableError

BLANKS = ("", "NA", "NaN", ".")
SHOWN_ROWS = 5
SHOWN_VALUES = 5
SHOWN_COLUMNS = 40
MOST_CODES = 20
CODE = r"^([+-]?\d{1,3}([.,]\d{1,2})?|\p{L}|(?i:yes|no|true|false|male|female))$"
INTEGER = r"^[+-]?\d+$"
WITH_POINT = r"^[+-]?(\d+\.\d*|\.\d+|\d+\.?\d*[eE][+-]?\d+)$"
WITH_COMMA = r"^[+-]?(\d+,\d*|,\d+|\d+,\d*[eE][+-]?\d+)$"
# 1,234 (or 1.234): a thousand and some, or one and some; only other values of the table can tell.
THOUSANDS_OR_DECIMALS = {",": r"^[+-]?[1-9]\d{0,2},\d{3}$", ".": r"^[+-]?[1-9]\d{0,2}\.\d{3}$"}
DECIMAL_STEP = 'Add `decimal = "."` or `decimal = ","` under [subjects].'
MARKS = {",": "comma", ".": "point"}
MEND_STEP = "Mend the table and run again."


@dataclass(slots=True)
class Findings:
    """What is wrong with a table, and what was found out about it, as its columns are read.

    Parameters
    ----------
    ids : polars.Series
        The subjects' ids as text, in the table's order.
    problems : list of (str, str)
        What is wrong, and the next step.
    detected : dict
        What was detected rather than declared.
    warnings : list of str
        What is accepted but should be looked at.
    """

    ids: pl.Series
    problems: list[tuple[str, str]] = field(default_factory=list)
    detected: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def refuse(self, offending: pl.Series, message: str, next_step: str = MEND_STEP) -> None:
        """Note a problem if any row offends: how many do, and which are the first."""
        bad = offending.fill_null(value=False)
        if bad.any():
            self.problems.append((f"{message} in {int(bad.sum()):,} row(s): {self.rows(bad)}", next_step))

    def rows(self, offending: pl.Series) -> str:
        """Name the first rows by number (the first data row is 1); never by id, for this may go to a log."""
        numbers = offending.arg_true().to_list()
        shown = ", ".join(f"row {number + 1}" for number in numbers[:SHOWN_ROWS])
        return shown + (" ..." if len(numbers) > SHOWN_ROWS else "")

    def raise_problems(self, file: str) -> None:
        """Raise everything noted so far as one error, if there is anything.

        Raises
        ------
        TableError
            One line for one problem; a line each for several.
        """
        if len(self.problems) == 1:
            ((message, next_step),) = self.problems
            raise TableError(f"{file}: {message}.", next_step)
        if self.problems:
            lines = "".join(f"\n  {message}. {next_step}" for message, next_step in self.problems)
            raise TableError(f"{file} has {len(self.problems)} problems:{lines}")


def as_text(values: pl.Series) -> pl.Series:
    """Return a column as trimmed text; whole numbers have no decimal point, blanks stay as they are.

    >>> as_text(pl.Series([7.0, 7.5, None])).to_list()
    ['7', '7.5', None]
    """
    if values.dtype.is_float():
        values = values.fill_nan(None)
        whole = (values == values.floor()) & (values.abs() < 2**53)
        numbers = pl.DataFrame({"value": values, "whole": whole})
        chosen = (
            pl.when(pl.col("whole"))
            .then(pl.col("value").cast(pl.Int64, strict=False).cast(pl.String))
            .otherwise(pl.col("value").cast(pl.String))
        )
        return numbers.select(chosen.alias(values.name)).to_series()
    return values.cast(pl.String).str.strip_chars()


def known_text(values: pl.Series) -> pl.Series:
    """Return a column as trimmed text, with null for what tables write where nothing is known."""
    text = as_text(values)
    return text.set(text.is_in(BLANKS), None)


def decimal_mark(
    columns: list[pl.Series], declared: str | None, delimiter: str | None, findings: Findings
) -> str:
    """Return the decimal mark of a table's text columns of numbers.

    A comma is taken for the decimal mark only where it can be nothing else: ``22,5`` but not ``1,234``.
    In a table separated by semicolons the point is doubted likewise.
    """
    texts = [known_text(column).drop_nulls() for column in columns if column.dtype == pl.String]
    if declared or not texts:
        return declared or "."
    values = pl.concat([text.alias("value") for text in texts]).unique()
    points = values.filter(values.str.contains(WITH_POINT))
    commas = values.filter(values.str.contains(WITH_COMMA))
    if commas.is_empty():
        _refuse_doubt(points, ".", delimiter == ";", findings)
        return "."
    if not points.is_empty():
        findings.problems.append(("numbers are written with decimal points and with commas", DECIMAL_STEP))
        return "."
    if not _refuse_doubt(commas, ",", True, findings):
        findings.detected["decimal"] = "comma"
    return ","


def _refuse_doubt(values: pl.Series, mark: str, doubted: bool, findings: Findings) -> bool:
    """Note that ``1,234`` may mean two things, if every value with the mark is of that form."""
    doubtful = doubted and not values.is_empty() and values.str.contains(THOUSANDS_OR_DECIMALS[mark]).all()
    if doubtful:
        findings.problems.append(
            (f"numbers such as {values.sort()[0]} may be thousands or decimals", DECIMAL_STEP)
        )
    return doubtful


def numbers(values: pl.Series, where: str, mark: str, findings: Findings) -> pl.Series:
    """Return a column as floats; blanks are null, and what is no number is noted.

    Parameters
    ----------
    values : polars.Series
        Numbers, booleans, or text.
    where : str
        The study file's key that named the column.
    mark : str
        The decimal mark of text.
    findings : Findings
        Takes what is wrong.
    """
    if values.dtype.is_numeric() or values.dtype == pl.Boolean:
        floats = values.cast(pl.Float64)
        findings.refuse(floats.is_infinite(), f"{where}: column `{values.name}` is not finite")
        return floats.fill_nan(None)
    text = known_text(values)
    form = WITH_COMMA if mark == "," else WITH_POINT
    fits = text.str.contains(INTEGER) | text.str.contains(form)
    findings.refuse(
        text.is_not_null() & ~fits,
        f"{where}: column `{values.name}` is not a number",
        f"Numbers here have a decimal {MARKS[mark]}, no thousands separators; mend the table or `decimal`.",
    )
    plain = text.str.replace(",", ".", literal=True) if mark == "," else text
    return plain.set(~fits, None).cast(pl.Float64, strict=False)


def require_columns(wanted: Mapping[str, str], table: pl.DataFrame, file: str) -> None:
    """Refuse a table that lacks columns.

    Parameters
    ----------
    wanted : mapping of str to str
        Each column's name, and what asked for it.
    table : polars.DataFrame
        The table.
    file : str
        For the message.

    Raises
    ------
    TableError
        Naming every missing column with the nearest that exists.
    """
    missing = [
        f"`{column}` ({key}{_nearest(column, table.columns)})"
        for column, key in wanted.items()
        if column not in table.columns
    ]
    if missing:
        shown = ", ".join(table.columns[:SHOWN_COLUMNS])
        more = f" and {table.width - SHOWN_COLUMNS} more" if table.width > SHOWN_COLUMNS else ""
        raise TableError(f"{file} has no column {', '.join(missing)}.", f"Its columns are {shown}{more}.")


def most_frequent(text: pl.Series) -> str:
    """Return the most frequent values of a column and how many rows have each, as text.

    A value that may be a person's (several letters or digits, of one row or one of many) is shown as it is
    written: this may go to a log.

    >>> most_frequent(pl.Series(["2", "Kim", "1", "1"]))
    "'1' (2 rows), '2' (1 rows), 'AAA' (1 rows)"
    """
    values = text.drop_nulls().alias("value").value_counts(sort=True)
    few = values.height <= MOST_CODES
    safe = pl.col("value").str.contains(CODE) | (pl.lit(few) & (pl.col("count") > 1))
    shown = pl.when(safe).then(pl.col("value")).otherwise(how_written(values["value"])).alias("value")
    counts = values.select(shown, "count").group_by("value", maintain_order=True).sum()
    first = counts.sort("count", "value", descending=[True, False]).head(SHOWN_VALUES)
    return ", ".join(f"{value!r} ({n} rows)" for value, n in first.iter_rows())


def how_written(text: pl.Series) -> pl.Series:
    """Return texts without what they say: 9 stands for a digit, A for a letter.

    >>> how_written(pl.Series(["0012", "A-7", "김"])).to_list()
    ['9999', 'A-9', 'A']
    """
    return text.str.replace_all(r"\d", "9").str.replace_all(r"\p{L}", "A")


def _nearest(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return f"; did you mean `{close[0]}`?" if close else ""

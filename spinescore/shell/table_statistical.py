"""SAS, Stata and SPSS files -> polars: formatted dates as dates, user-missing as null, codes or labels."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pyreadstat

from spinescore.core.table_values import as_text
from spinescore.errors import TableError, describe_fault
from spinescore.shell.table_formats import FoundTable
from spinescore.shell.table_text import LIKELY_ENCODINGS
from spinescore.study import TableLayout

READERS: dict[str, Callable[..., tuple[Mapping[str, Sequence[Any]], Any]]] = {
    "sas": pyreadstat.read_sas7bdat,
    "xport": pyreadstat.read_xport,
    "stata": pyreadstat.read_dta,
    "spss": pyreadstat.read_sav,
}
DAY_MS = 86_400_000
# The display formats of each program whose values are whole dates or date-times (their manuals' lists);
# formats that show less than a day (MONYY, %tm, MOYR) are left as the numbers they are.
TEMPORAL_FORMATS = {
    "sas": (
        (
            r"(DATE|DDMMYY[BCDNPS]?|MMDDYY[BCDNPS]?|YYMMDD[BCDNPS]?|WEEKDAT[EX]|WORDDAT[EX]|JULIAN|NLDATE)",
            DAY_MS,
        ),
        (r"([EB]8601DA|IS8601DA|EURDF(DD|DE|DWN))", DAY_MS),
        (r"(DATETIME|DATEAMPM|MDYAMPM|NLDATM|[EB]8601(DT|DN|LX|DZ)|IS8601D[TN]|DTDATE|EURDFDT)", 1000),
    ),
    "stata": ((r"%-?(td|d).*", DAY_MS), (r"%-?tc.*", 1)),
    "spss": ((r"[AEJS]?DATE", 1000), (r"(DATETIME|YMDHMS)", 1000)),
}
TEMPORAL_FORMATS["xport"] = TEMPORAL_FORMATS["sas"]
DAYS_IN_SECONDS = (r"[AEJS]?DATE",)
EPOCHS = {
    "sas": date(1960, 1, 1),
    "xport": date(1960, 1, 1),
    "stata": date(1960, 1, 1),
    "spss": date(1582, 10, 14),
}
# From year 1 to 9999: beyond it a number with a date's format is no date.
FIRST_DAY, LAST_DAY = (date(1, 1, 1) - date(1970, 1, 1)).days, (date(9999, 12, 31) - date(1970, 1, 1)).days
STATA_RELEASE_WITH_UTF8 = 118
# Stata does not compress; zlib, which SPSS uses, at most about a thousandfold.
MOST_ROWS_PER_BYTE = {"stata": 1}
MOST_COMPRESSION = 1100


def read_statistical_table(path: Path, layout: TableLayout, table_format: str) -> FoundTable:
    """Read a SAS, Stata or SPSS file.

    Extended missing values (``.a`` to ``.z``) and SPSS's user-missing values are null. Dates become dates by
    their display format. Codes stay codes unless the layout asks for labels.

    Raises
    ------
    TableError
        If the file is damaged, or does not say the encoding of text that is not ASCII.
    """
    _refuse_impossible_size(path, layout, table_format)
    values, meta = _read(path, layout, table_format)
    if not values or not len(next(iter(values.values()))):
        raise TableError(f"{path} has no rows.", "Check `subjects.file` in the study file.")
    if None in values:
        raise TableError(f"{path} is damaged: one of its variables has no name.", "Copy or save it again.")
    formats: Mapping[str, str | None] = meta.original_variable_types
    columns = {name: _column(name, cells, formats.get(name), table_format) for name, cells in values.items()}
    if layout.encoding is None and not _says_encoding(path, table_format):
        _refuse_unsaid_encoding(path, columns, meta)
    detected = _spoken_missing(path, layout, table_format)
    labels = _labels(meta.variable_value_labels)
    if layout.value_labels:
        kept_codes = [name for name in labels if not _label(columns, name, labels[name])]
        if kept_codes:
            detected["value labels"] = f"not for {', '.join(kept_codes)}: some values have none"
    return FoundTable(pl.DataFrame(list(columns.values())), detected, labels)


def _refuse_impossible_size(path: Path, layout: TableLayout, table_format: str) -> None:
    """Refuse a damaged header that announces rows by the billion: reading would not end."""
    _, meta = _read(path, layout, table_format, metadataonly=True)
    size = path.stat().st_size
    if (meta.number_rows or 0) > size * MOST_ROWS_PER_BYTE.get(table_format, MOST_COMPRESSION):
        raise TableError(
            f"{path} is damaged: it announces {meta.number_rows:,} rows in {size:,} bytes.",
            "Copy or save it again.",
        )


def _read(
    path: Path, layout: TableLayout, table_format: str, **more: bool
) -> tuple[Mapping[str, Sequence[Any]], Any]:
    try:
        return READERS[table_format](
            str(path),
            output_format="dict",
            disable_datetime_conversion=True,
            encoding=layout.encoding,
            **more,
        )
    except UnicodeDecodeError:
        raise _unsaid(path) from None
    except (
        pyreadstat.ReadstatError,
        pyreadstat.PyreadstatError,
        ValueError,
        OverflowError,
        IndexError,
        TypeError,  # pyreadstat's own, over a variable without a name
    ) as error:
        if "encoding" in str(error):
            raise _unsaid(path) from None
        reason = describe_fault(error)
        raise TableError(f"{path} cannot be read as {table_format}: {reason}.", "Check the file.") from None


def _column(name: str, cells: Sequence[Any], display_format: str | None, table_format: str) -> pl.Series:
    if any(isinstance(cell, str) for cell in cells):
        return pl.Series(name, cells, dtype=pl.String, strict=False)
    numbers = pl.Series(name, cells, dtype=pl.Float64, strict=False)
    pattern, unit_ms = _temporal_format(display_format, table_format)
    if not pattern:
        return numbers
    epoch_days = (EPOCHS[table_format] - date(1970, 1, 1)).days
    days = numbers * unit_ms / DAY_MS + epoch_days
    if not days.drop_nulls().is_between(FIRST_DAY, LAST_DAY).all():
        return numbers
    if unit_ms == DAY_MS or pattern in DAYS_IN_SECONDS:
        return days.floor().cast(pl.Int32).cast(pl.Date)
    milliseconds = (numbers * unit_ms).round().cast(pl.Int64) + epoch_days * DAY_MS
    return milliseconds.cast(pl.Datetime("ms"))


def _temporal_format(display_format: str | None, table_format: str) -> tuple[str, int]:
    """Return the pattern that a column's display format fits, and its unit in ms; no pattern: no dates."""
    shown = display_format or ""
    if table_format != "stata":
        shown = re.sub(r"[\d.]+$", "", shown.upper())
    for pattern, unit_ms in TEMPORAL_FORMATS[table_format]:
        if re.fullmatch(pattern, shown):
            return pattern, unit_ms
    return "", 0


def _says_encoding(path: Path, table_format: str) -> bool:
    """Return whether the file itself says how its text is encoded."""
    if table_format == "xport":
        return False
    if table_format != "stata":
        return True
    with path.open("rb") as handle:
        head = handle.read(64)
    release = re.search(rb"<release>(\d+)</release>", head)
    return release is not None and int(release[1]) >= STATA_RELEASE_WITH_UTF8


def _refuse_unsaid_encoding(path: Path, columns: Mapping[str, pl.Series], meta: Any) -> None:
    labels = [label for texts in meta.variable_value_labels.values() for label in texts.values()]
    if not all(text.isascii() for text in [*columns, *map(str, labels)]):
        raise _unsaid(path)
    for column in columns.values():
        if column.dtype == pl.String and column.str.contains(r"[^\x00-\x7F]").any():
            raise _unsaid(path)


def _unsaid(path: Path) -> TableError:
    return TableError(
        f"{path} holds text that is not ASCII and does not say (or not rightly) in which encoding.",
        f"Say `encoding` under [subjects], e.g. {', '.join(LIKELY_ENCODINGS[:5])} or utf-8.",
    )


def _spoken_missing(path: Path, layout: TableLayout, table_format: str) -> dict[str, str]:
    """Name the columns for which SPSS declares user-missing values; their cells have been read as missing."""
    if table_format != "spss":
        return {}
    _, meta = pyreadstat.read_sav(
        str(path), metadataonly=True, user_missing=True, encoding=layout.encoding, output_format="dict"
    )
    declared = ", ".join(meta.missing_ranges)
    return {"user-missing values": f"missing, in {declared}"} if declared else {}


def _labels(labels: Mapping[str, Mapping[Any, str]]) -> dict[str, dict[str, str]]:
    return {
        name: {_code(code): label for code, label in texts.items()} for name, texts in labels.items() if texts
    }


def _code(code: Any) -> str:
    return str(as_text(pl.Series([code]))[0])


def _label(columns: dict[str, pl.Series], name: str, labels: Mapping[str, str]) -> bool:
    """Put labels for codes in a column; leave it and return False if a code has none."""
    text = as_text(columns[name])
    if not (text.is_in(list(labels)) | text.is_null() | (text == "")).all():
        return False
    columns[name] = text.replace_strict(dict(labels), default=None, return_dtype=pl.String)
    return True

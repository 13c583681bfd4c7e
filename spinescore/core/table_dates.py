"""A column of a table -> dates: by its type, as declared, or where only one reading is possible.

Text forms: ``iso`` (YYYY-MM-DD), ``ymd`` (year first), ``dmy``, ``mdy``, ``sas`` (01JAN2015); ``excel`` and
``sas`` also read numbers (days since 1899-12-30 and since 1960-01-01). Times of day are dropped.
"""

from __future__ import annotations

import json
from datetime import date

import polars as pl

from spinescore.core.table_values import BLANKS, Findings, as_text, how_written

YEARS = (1850, 2100)
EPOCHS = {"excel": date(1899, 12, 30), "sas": date(1960, 1, 1)}
# Excel counts a 29 February 1900 that never was: serials before March 1900 are a day off.
FIRST_SERIAL = {"excel": 61.0, "sas": -50_000.0}
SHOWN_VALUES = 3
TIME = r"(?:(?:[T ]|:|, ?)\d{1,2}:\d{2}(?::\d{2}(?:[.,]\d+)?)?(?: ?[AaPp][Mm])?(?:Z| ?[+-]\d{2}:?\d{2})?)?$"
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_NAME = rf"(?P<m>(?i:{'|'.join(MONTHS)}))[A-Za-z]*"
_SEPARATOR = r"[-/.] ?"
_Y, _M, _D = r"(?P<y>\d{4})", r"(?P<m>\d{1,2})", r"(?P<d>\d{1,2})"
_MM, _DD = r"(?P<m>\d{2})", r"(?P<d>\d{2})"
ISO = rf"^{_Y}-{_MM}-{_DD}{TIME}"
FORMS = {
    "iso": (ISO,),
    "ymd": (
        ISO,
        rf"^{_Y}{_SEPARATOR}{_M}{_SEPARATOR}{_D}\.?{TIME}",
        rf"^{_Y}{_MM}{_DD}{TIME}",
        rf"^{_Y}년 ?{_M}월 ?{_D}일$",
    ),
    "dmy": (rf"^{_D}{_SEPARATOR}{_M}{_SEPARATOR}{_Y}{TIME}", rf"^{_DD}{_MM}{_Y}{TIME}"),
    "mdy": (rf"^{_M}{_SEPARATOR}{_D}{_SEPARATOR}{_Y}{TIME}", rf"^{_MM}{_DD}{_Y}{TIME}"),
    "sas": (rf"^{_D}[-/ .]?{_NAME}[-/ .]? ?{_Y}{TIME}",),
}
TRIED = ("ymd", "dmy", "mdy", "sas")
SPOKEN = {
    "iso": "YYYY-MM-DD",
    "ymd": "year-month-day",
    "dmy": "day-month-year",
    "mdy": "month-day-year",
    "sas": "day-month-year with the month's name",
    "excel": "Excel serial numbers",
}
PARTIAL = (
    r"^(18|19|20)\d{2}([-/. ]?(\d{2}|[-/.]\d))?$|^\d{1,2}[-/. ]\d{4}$|^[A-Za-z]{3,9}[-/ ]?\d{4}$"
    r"|^\d{4}[-/.]?\d{2}[-/.]?00$|^00[-/.]?\d{2}[-/.]?\d{4}$|^\d{4}[-/.]?00[-/.]?\d{2}$|(?i:un|xx)"
)
SHORT_YEAR = r"^\d{1,2}[-/. ]\d{1,2}[-/. ]\d{2}( .*)?$|^\d{6}$|^\d{1,2}[-/ ]?[A-Za-z]{3}[-/ ]?\d{2}$"
SERIAL = r"^-?\d{1,5}(\.\d*)?$"


def dates(values: pl.Series, where: str, declared: str | None, findings: Findings) -> pl.Series:
    """Return a column as dates; blanks are null, and what cannot be read for certain is noted.

    Parameters
    ----------
    values : polars.Series
        Dates, datetimes, text or numbers.
    where : str
        The study file's key that named the column.
    declared : str or None
        A key of ``SPOKEN``, for text and numbers; without it one reading alone must fit every value.
    findings : Findings
        Takes what is wrong, and which reading was the only one.

    Returns
    -------
    polars.Series
        Dates, all null where the column is refused as a whole.
    """
    where = f"{where}: column `{values.name}`"
    if values.dtype in (pl.Date, pl.Datetime):
        typed = values.cast(pl.Date)
        findings.refuse(
            ~typed.dt.year().is_between(*YEARS),
            f"{where} has a year outside {YEARS[0]}-{YEARS[1]}",
            "Leave a date that is not known empty.",
        )
        return typed
    text = as_text(values)
    text = text.set(text.is_in(BLANKS), None)
    if declared == "excel" or (declared == "sas" and values.dtype.is_numeric()):
        return _from_serials(text, where, declared, findings)
    form = declared or _only_form(text, values.name, where, findings)
    if form is None:
        return pl.Series(values.name, [None] * len(values), dtype=pl.Date)
    read = read_form(text, form)
    _note_unread(text, read, form, where, findings)
    return read


def read_form(text: pl.Series, form: str) -> pl.Series:
    """Return text as dates in one form; null where it does not fit or no such day exists.

    >>> read_form(pl.Series(["28/02/2015", "30/02/2015"]), "dmy").to_list()
    [datetime.date(2015, 2, 28), None]
    """
    column = text.alias("text").to_frame()
    parts = [pl.col("text").str.extract_groups(pattern) for pattern in FORMS[form]]
    days = pl.coalesce([_day(part) for part in parts])
    in_range = days.dt.year().is_between(*YEARS)
    # A million rows hold some thousand different days.
    known = column.unique().with_columns(pl.when(in_range).then(days).alias("day"))
    read = column.join(known, on="text", how="left", maintain_order="left")
    return read["day"].alias(text.name)


def _day(part: pl.Expr) -> pl.Expr:
    names = {name: str(number) for number, name in enumerate(MONTHS, start=1)}
    field = part.struct.field
    month = field("m").str.to_lowercase().replace(names).str.zfill(2)
    return pl.concat_str([field("y"), month, field("d").str.zfill(2)], separator="-").str.to_date(
        "%Y-%m-%d", strict=False
    )


def _only_form(text: pl.Series, column: str, where: str, findings: Findings) -> str | None:
    """Return the form of the column, noting a problem if several fit and differ."""
    known = text.drop_nulls().unique(maintain_order=True)
    if known.is_empty():
        return "ymd"
    readings = {form: read_form(known, form) for form in TRIED}
    complete = [form for form in TRIED if readings[form].null_count() == 0]
    if not complete:
        return max(TRIED, key=lambda form: len(known) - readings[form].null_count())
    first, *others = complete
    if any(not readings[first].equals(readings[other]) for other in others):
        told = how_written(known).unique(maintain_order=True) if "birth" in where else known
        shown = ", ".join(told.head(SHOWN_VALUES))
        keys = " or ".join(
            f'`dates = {{ {json.dumps(column, ensure_ascii=False)} = "{form}" }}`' for form in complete
        )
        findings.problems.append(
            (
                f"{where} reads as {' and as '.join(SPOKEN[form] for form in complete)}: {shown}",
                f"Say which under [subjects]: {keys}.",
            )
        )
        return None
    if not known.str.contains(ISO).all():
        findings.detected[f"dates.{column}"] = SPOKEN[first]
    return first


def _note_unread(text: pl.Series, read: pl.Series, form: str, where: str, findings: Findings) -> None:
    """Sort what did not fit by why: partial dates, years of two digits, days that do not exist, the rest."""
    left = text.is_not_null() & read.is_null()
    if not left.any():
        return
    in_form = pl.Series([False] * len(text))
    for patterns in (FORMS[form],) if left.sum() < text.drop_nulls().len() else FORMS.values():
        for pattern in patterns:
            in_form = in_form | text.str.contains(pattern)
    for fits, complaint, next_step in (
        (text.str.contains(PARTIAL), "has dates without a day or month", PARTIAL_STEP),
        (text.str.contains(SHORT_YEAR), "has years of two digits", "Write years with four digits."),
        (
            in_form,
            "has impossible dates",
            f"No such day, or a year outside {YEARS[0]}-{YEARS[1]}; mend them.",
        ),
        (text.str.contains(SERIAL), "has numbers instead of dates", SERIAL_STEP),
        (text.is_not_null(), f"is not a date as {SPOKEN[form]}", FORM_STEP),
    ):
        findings.refuse(left & fits, f"{where} {complaint}", next_step)
        left = left & ~fits


PARTIAL_STEP = "Complete them by a rule of your own in the table (e.g. the 15th), or leave them empty."
SERIAL_STEP = (
    'If they count days, say from when: `dates = "excel"` (1899-12-30) or `dates = "sas"` (1960-01-01).'
)
FORM_STEP = (
    'Write all dates of a column one way, best YYYY-MM-DD; `dates = "dmy"` (or mdy, ymd, sas) says which.'
)


def _from_serials(text: pl.Series, where: str, declared: str, findings: Findings) -> pl.Series:
    days = text.cast(pl.Float64, strict=False)
    last = float((date(YEARS[1], 12, 31) - EPOCHS[declared]).days)
    wrong = text.is_not_null() & ~days.is_between(FIRST_SERIAL[declared], last + 1).fill_null(value=False)
    findings.refuse(wrong, f"{where} is no day as {SERIALS[declared]}")
    whole = days.set(wrong, None).floor().cast(pl.Int32)
    epoch = (EPOCHS[declared] - date(1970, 1, 1)).days
    return (whole + epoch).cast(pl.Date)


SERIALS = {"excel": "an Excel serial number", "sas": "days since 1960-01-01"}

"""A column of a follow-up table -> what it holds: numbers, days, levels, or text; how much is missing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Literal

import polars as pl

from spinescore.core.table_dates import ISO, SHORT_YEAR, TRIED, read_form
from spinescore.core.table_values import INTEGER, WITH_COMMA, WITH_POINT, known_text

MOST_LEVELS = 20
SAMPLED = 500
PLAUSIBLE_YEARS = (1900, 2100)
SERIAL_DAYS = (10_000.0, 60_000.0)

Content = Literal["empty", "numbers", "days", "text"]


@dataclass(frozen=True, slots=True)
class Column:
    """What a column holds.

    Parameters
    ----------
    name : str
        Its name.
    text : polars.Series
        Its cells as trimmed text, null where nothing is known.
    content : {"empty", "numbers", "days", "text"}
        What all known cells are.
    n_distinct : int
        How many different values it has.
    levels : tuple of (str, int)
        The values, most frequent first, with their numbers of rows; empty if there are more than a few.
    numbers : polars.Series, optional
        The cells as floats, where they are numbers.
    days : polars.Series, optional
        The cells as dates, where they are; by the first form that fits.
    forms : tuple of str
        The forms in which its days can be read as text: several if they differ; empty for typed dates.
    labels : mapping of str to str
        What its codes are called in the file.
    decimal : str
        The mark in numbers written as text; empty without one.
    """

    name: str
    text: pl.Series
    content: Content
    n_distinct: int
    levels: tuple[tuple[str, int], ...] = ()
    numbers: pl.Series | None = None
    days: pl.Series | None = None
    forms: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    decimal: str = ""

    @property
    def n(self) -> int:
        """How many cells it has."""
        return len(self.text)

    @property
    def n_missing(self) -> int:
        """How many of them are empty."""
        return int(self.text.null_count())

    @property
    def codes(self) -> frozenset[str]:
        """Its values, if they are few."""
        return frozenset(value for value, _ in self.levels)

    @property
    def is_unique(self) -> bool:
        """Whether no known value occurs twice."""
        return self.n_distinct == self.n - self.n_missing > 0

    @property
    def whole(self) -> bool:
        """Whether it holds whole numbers only."""
        return self.numbers is not None and bool((self.numbers == self.numbers.floor()).all())

    @property
    def bounds(self) -> tuple[float, float]:
        """The smallest and the largest number; NaN without one."""
        if self.numbers is None or self.numbers.null_count() == len(self.numbers):
            return float("nan"), float("nan")
        return float(self.numbers.min()), float(self.numbers.max())  # type: ignore[arg-type]

    @property
    def period(self) -> tuple[date, date] | None:
        """The first and the last day, if it holds days."""
        if self.days is None:
            return None
        first, last = self.days.min(), self.days.max()
        return (first, last) if isinstance(first, date) and isinstance(last, date) else None

    @property
    def ambiguous(self) -> bool:
        """Whether its days can be read in several ways."""
        return len(self.forms) > 1

    @property
    def short_years(self) -> bool:
        """Whether it holds days whose years have two digits."""
        known = self.text.drop_nulls().head(SAMPLED)
        return self.content == "text" and len(known) > 0 and bool(known.str.contains(SHORT_YEAR).all())

    @property
    def serial(self) -> bool:
        """Whether its numbers may count days, as Excel or SAS do."""
        low, high = self.bounds
        return self.whole and SERIAL_DAYS[0] <= low <= high <= SERIAL_DAYS[1]


def look_at(values: pl.Series, labels: Mapping[str, str] | None = None) -> Column:
    """Return what a column holds.

    Parameters
    ----------
    values : polars.Series
        The column as it was read.
    labels : mapping of str to str, optional
        What its codes are called in the file.
    """
    text = known_text(values).alias(values.name)
    counts = text.drop_nulls().alias("level").value_counts(sort=True)
    known, n_distinct = counts["level"], counts.height
    few = (
        counts.sort("count", "level", descending=[True, False])
        if n_distinct <= MOST_LEVELS
        else counts.clear()
    )
    levels, named = tuple(few.rows()), labels or {}
    if not n_distinct:
        return Column(values.name, text, "empty", 0)
    if values.dtype in (pl.Date, pl.Datetime):
        return Column(values.name, text, "days", n_distinct, days=values.cast(pl.Date))
    forms = _date_forms(known)
    if forms:
        return Column(values.name, text, "days", n_distinct, days=read_form(text, forms[0]), forms=forms)
    numbers, mark = _numbers(values, text, known)
    if numbers is None:
        return Column(values.name, text, "text", n_distinct, levels, labels=named)
    return Column(values.name, text, "numbers", n_distinct, levels, numbers, labels=named, decimal=mark)


def _date_forms(known: pl.Series) -> tuple[str, ...]:
    """Return the forms in which every value is a day, of several that differ all, else the first."""
    sample = known.head(SAMPLED)
    readings = {}
    for form in TRIED:
        if read_form(sample, form).null_count() == 0:
            read = read_form(known, form)
            years = read.dt.year()
            if read.null_count() == 0 and years.is_between(*PLAUSIBLE_YEARS).all():
                readings[form] = read
    if not readings:
        return ()
    first, *others = readings
    if all(readings[first].equals(readings[other]) for other in others):
        return ("iso",) if known.str.contains(ISO).all() else (first,)
    return tuple(readings)


def _numbers(values: pl.Series, text: pl.Series, known: pl.Series) -> tuple[pl.Series | None, str]:
    """Return a column as floats and its decimal mark, if all it holds is numbers of one mark."""
    if values.dtype.is_numeric():
        return values.cast(pl.Float64).fill_nan(None), ""
    if values.dtype == pl.Boolean:
        return None, ""
    whole = known.str.contains(INTEGER)
    if whole.all():
        return text.cast(pl.Float64, strict=False), ""
    for mark, form in ((".", WITH_POINT), (",", WITH_COMMA)):
        if (whole | known.str.contains(form)).all():
            plain = text.str.replace(",", ".", literal=True) if mark == "," else text
            return plain.cast(pl.Float64, strict=False), mark
    return None, ""

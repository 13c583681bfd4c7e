"""A table of ages computed elsewhere and what is said of it -> rows of scores; refused, not guessed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import polars as pl
from pydantic import Field, model_validator

from spinescore.core.table_dates import dates
from spinescore.core.table_ids import check_ids, is_empty, read_ids
from spinescore.core.table_values import (
    Findings,
    decimal_mark,
    known_text,
    most_frequent,
    numbers,
    require_columns,
)
from spinescore.domain import DAYS_PER_YEAR, Kind
from spinescore.study import DateForm, TableLayout

PLAUSIBLE_AGES_YEARS = (0.0, 120.0)  # as at ingest
PLAUSIBLE_SPINE_AGES_YEARS = (0.0, 150.0)
KINDS = {"radiograph": "radiograph", "vfa": "vfa"}
SEXES = {"f": "F", "female": "F", "m": "M", "male": "M"}
COLUMN_KEYS = (
    "id",
    "spine_age",
    "age",
    "birth_date",
    "study_date",
    "image",
    "sex",
    "kind_column",
    "spine_age_sd",
    "manufacturer",
)


class ScoreTable(TableLayout):
    """What is said of a table of ages: its file, and which column holds what."""

    file: Path
    id: str
    spine_age: str
    age: str | None = None
    birth_date: str | None = None
    study_date: str | None = None
    image: str | None = None
    sex: str | None = None
    sex_codes: dict[str, Literal["F", "M", ""]] | None = None
    kind: Kind = "radiograph"
    kind_column: str | None = None
    spine_age_sd: str | None = None
    manufacturer: str | None = None
    issuer: str | None = None
    id_width: Annotated[int, Field(ge=1)] | None = None
    decimal: Literal[".", ","] | None = None
    dates: DateForm | None = None

    @model_validator(mode="after")
    def age_has_one_source(self) -> ScoreTable:
        """Refuse a table that does not say, or says twice, how old its people were."""
        if (self.age is None) == (self.birth_date is None):
            raise ValueError("name either --age, or --birth-date and --study-date")
        for key in ("birth_date", "image"):
            if getattr(self, key) is not None and self.study_date is None:
                raise ValueError(f"{_option(key)} needs --study-date beside it")
        return self

    def columns(self) -> Iterator[tuple[str, str]]:
        """Yield each key that names a column, with the column."""
        for key in COLUMN_KEYS:
            column = getattr(self, key)
            if column is not None:
                yield key, column


class ReadScores(NamedTuple):
    """A table of ages as it was read.

    Attributes
    ----------
    rows : polars.DataFrame
        One row per row of the table: ``patient_id, kind, sex, age_years, study_date, image, manufacturer_raw,
        spine_age, spine_age_sd``; ages and SD in years; ``image`` tells images of one day apart.
    detected : mapping of str to str
        What was detected rather than declared.
    warnings : tuple of str
        What was accepted but should be looked at.
    """

    rows: pl.DataFrame
    detected: Mapping[str, str]
    warnings: tuple[str, ...]


def read_scores(table: pl.DataFrame, section: ScoreTable, *, delimiter: str | None = None) -> ReadScores:
    """Return the ages of a table, each with the person and date it belongs to.

    Parameters
    ----------
    table : polars.DataFrame
        One row per subject and date (and kind of image, and image), or per subject.
    section : ScoreTable
        Which column holds what.
    delimiter : str, optional
        What separated the columns of a text; with semicolons, ``1.234`` may be a thousand.

    Raises
    ------
    TableError
        With everything that is missing, implausible or repeated: counts and first rows.
    """
    require_columns({column: _option(key) for key, column in section.columns()}, table, str(section.file))
    ids = table[section.id]
    findings = Findings(read_ids(ids, section.id_width))
    check_ids(ids, section.id_width, findings)
    columns = _Columns(table, section, findings, delimiter)
    study_dates = columns.dates("study_date")
    rows = pl.DataFrame(
        {
            "patient_id": findings.ids,
            "kind": columns.kinds(),
            "sex": columns.sexes(),
            "age_years": columns.ages(study_dates),
            "study_date": study_dates,
            "image": columns.text("image"),
            "manufacturer_raw": columns.text("manufacturer"),
            "spine_age": columns.spine_ages(),
            "spine_age_sd": columns.spread(),
        }
    )
    _refuse_repeated(rows, section, columns.text("study_date"), findings)
    findings.raise_problems(str(section.file))
    for column, what in (("age_years", "age"), ("study_date", "study date")):
        unknown = int(rows[column].null_count())
        if unknown and (column == "age_years" or section.study_date):
            findings.warnings.append(f"{unknown:,} row(s) have no {what}")
    return ReadScores(rows, findings.detected, tuple(findings.warnings))


class _Columns:
    """Reads the columns that a request names, each as what it is named for."""

    def __init__(
        self, table: pl.DataFrame, section: ScoreTable, findings: Findings, delimiter: str | None
    ) -> None:
        self.table, self.section, self.findings = table, section, findings
        named = (section.spine_age, section.age, section.spine_age_sd)
        columns = [table[name] for name in dict.fromkeys(named) if name]
        self.mark = decimal_mark(columns, section.decimal, delimiter, findings)

    def text(self, key: str) -> pl.Series:
        """Return a column as text; all null if none is named."""
        column = getattr(self.section, key)
        return known_text(self.table[column]) if column else self._nothing(pl.String)

    def number(self, key: str) -> pl.Series:
        """Return a column of numbers; all null if none is named."""
        column = getattr(self.section, key)
        if column is None:
            return self._nothing(pl.Float64)
        return numbers(self.table[column], _option(key), self.mark, self.findings)

    def dates(self, key: str) -> pl.Series:
        """Return a column of dates; all null if none is named."""
        column = getattr(self.section, key)
        if column is None:
            return self._nothing(pl.Date)
        return dates(self.table[column], _option(key), self.section.dates, self.findings)

    def ages(self, study_dates: pl.Series) -> pl.Series:
        """Return the ages at imaging, from their column or from the two dates; implausible ones are noted."""
        if self.section.birth_date is None:
            ages, where = self.number("age"), self._where("age")
        else:
            births, where = self.dates("birth_date"), self._where("birth_date")
            days = (study_dates - births).dt.total_days()
            before = days < 0
            self.findings.refuse(before, f"{where}: the date of birth is after the study date")
            ages = (days / DAYS_PER_YEAR).set(before.fill_null(value=False), None)
        self._refuse_outside(ages, f"{where}: the age", PLAUSIBLE_AGES_YEARS)
        return ages

    def spine_ages(self) -> pl.Series:
        """Return the spine ages; every row needs a plausible one."""
        ages, where = self.number("spine_age"), self._where("spine_age")
        missing = self.text("spine_age").is_null()
        step = "Leave rows without a spine age out of the table."
        self.findings.refuse(missing, f"{where} is empty", step)
        self._refuse_outside(ages, f"{where}: the spine age", PLAUSIBLE_SPINE_AGES_YEARS)
        return ages

    def spread(self) -> pl.Series:
        """Return the SD of each spine age; none is negative."""
        spread = self.number("spine_age_sd")
        self.findings.refuse(spread < 0, f"{self._where('spine_age_sd')} is negative")
        return spread

    def kinds(self) -> pl.Series:
        """Return the kind of image of each row."""
        if self.section.kind_column is None:
            return pl.Series([self.section.kind] * self.table.height, dtype=pl.String)
        step = "Kinds are radiograph and vfa; mend the table, or import each kind by itself with --kind."
        self.findings.refuse(
            self.text("kind_column").is_null(), f"{self._where('kind_column')} is empty", step
        )
        return self._coded("kind_column", KINDS, step)

    def sexes(self) -> pl.Series:
        """Return sex as F, M or null."""
        if self.section.sex_codes is None:
            return self._coded("sex", SEXES, "Say what they mean, e.g. `--sex-codes 1=M,2=F,9=`.")
        codes = {code: sex or None for code, sex in self.section.sex_codes.items()}
        return self._coded("sex", codes, "Add them to `--sex-codes`.", any_case=False)

    def _coded(
        self, key: str, codes: Mapping[str, str | None], next_step: str, *, any_case: bool = True
    ) -> pl.Series:
        text = self.text(key)
        text = text.str.to_lowercase() if any_case else text
        unknown = text.is_not_null() & ~text.is_in(list(codes))
        if unknown.any():
            found = most_frequent(self.text(key).filter(unknown))
            self.findings.refuse(unknown, f"{self._where(key)} holds {found}", next_step)
        return text.replace_strict(codes, default=None, return_dtype=pl.String)

    def _refuse_outside(self, years: pl.Series, what: str, limits: tuple[float, float]) -> None:
        low, high = limits
        self.findings.refuse(~years.is_between(low, high), f"{what} is outside {low:g}-{high:g} years")

    def _where(self, key: str) -> str:
        return f"{_option(key)}: column `{getattr(self.section, key)}`"

    def _nothing(self, dtype: type[pl.DataType]) -> pl.Series:
        return pl.Series([None] * self.table.height, dtype=dtype)


def _refuse_repeated(
    rows: pl.DataFrame, section: ScoreTable, date_text: pl.Series, findings: Findings
) -> None:
    """Note rows of one image; a date that could not be read counts as it is written."""
    day = rows["study_date"].cast(pl.String).fill_null(date_text)
    keys = pl.DataFrame({"id": findings.ids, "day": day, "kind": rows["kind"], "image": rows["image"]})
    repeated = keys.is_duplicated() & ~is_empty(findings.ids)
    n_subjects = findings.ids.filter(repeated).n_unique()
    if section.study_date is None:
        found = f"column `{section.id}` names {n_subjects} subject(s) more than once"
        step = "Say when each was imaged with --study-date, or keep one row per subject."
    elif section.image is None:
        found = f"{n_subjects} subject(s) have several rows of one `{section.study_date}`"
        step = "If they are several images, say which column tells them apart with --image; else keep one."
    else:
        found = (
            f"{n_subjects} subject(s) have several rows of one `{section.study_date}` and `{section.image}`"
        )
        step = "Keep one row per image."
    findings.refuse(repeated, found, step)


def _option(key: str) -> str:
    return f"--{key.replace('_', '-')}"

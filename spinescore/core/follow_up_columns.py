"""The columns of a follow-up table that a study names, each read as what it is named for."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

import polars as pl

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
from spinescore.study import CovariateSection, EndpointSection, Study
from spinescore.study.toml_text import toml_key

TRUTHS = {"0": 0, "1": 1, "0.0": 0, "1.0": 1, "false": 0, "true": 1}
SEXES = {"f": "F", "female": "F", "m": "M", "male": "M"}
PLAUSIBLE_AGES_YEARS = (0.0, 120.0)  # as at ingest
COLUMN_KEYS = ("column", "event", "time", "entry", "event_date", "end_date", "entry_date")
R_CODES = {"1", "2"}
R_CODES_STEP = 'R codes them so: if 2 is the event, say `codes = {{"2" = 1, "1" = 0}}` under [{where}].'
CODES_STEP = "Map them by name, e.g. `codes = {{{example}}}` under [{where}]."


class FollowUpColumns:
    """Reads the columns that a study names; what is wrong gathers in ``findings``.

    Parameters
    ----------
    table : polars.DataFrame
        The follow-up table, with the study's names of columns.
    study : Study
        Names the id column, covariates and endpoints.
    delimiter : str or None
        What separated the columns of a text.
    today : date or None
        What lies after it draws a warning.

    Raises
    ------
    TableError
        If a column is missing.
    """

    def __init__(
        self, table: pl.DataFrame, study: Study, delimiter: str | None, today: date | None = None
    ) -> None:
        assert study.subjects is not None
        _require_named(table, study)
        self.table, self.section, self.today = table, study.subjects, today
        ids, width = table[self.section.id], self.section.id_width
        self.findings = Findings(read_ids(ids, width))
        check_ids(ids, width, self.findings)
        self._refuse_repeated()
        declared = self.section.decimal
        self._mark = decimal_mark(_number_columns(table, study), declared, delimiter, self.findings)
        self._dates: dict[str, pl.Series] = {}

    def covariate(self, name: str, covariate: CovariateSection) -> pl.Series:
        """Return a covariate: floats, or its levels as text; one that nobody has is refused."""
        values, where = self.table[covariate.column], f"covariates.{name}"
        if covariate.type == "categorical":
            read = known_text(values)
        else:
            read = numbers(values, where, self._mark, self.findings)
        if known_text(values).null_count() == len(values):
            self.findings.problems.append(
                (
                    f"{where}: column `{covariate.column}` holds no value at all",
                    f"Take `{name}` out of [covariates] and [models], or mend the table.",
                )
            )
        return read.rename(name)

    def years(self, column: str | None, where: str, per_year: float) -> pl.Series:
        """Return a column of durations in years; all null without one."""
        if column is None:
            return self.nothing(pl.Float64)
        return numbers(self.table[column], where, self._mark, self.findings) / per_year

    def dates(self, column: str | None, where: str) -> pl.Series:
        """Return a column of dates; all null without one. A column of several endpoints is read once."""
        if column is None:
            return self.nothing(pl.Date)
        if column not in self._dates:
            declared = self.section.date_form(column)
            days = dates(self.table[column], where, declared, self.findings)
            self._dates[column] = days
            if self.today is not None:
                self.warn(days > self.today, f"{where}: column `{column}` lies in the future")
        return self._dates[column]

    def events(self, column: str | None, endpoint: EndpointSection, where: str) -> pl.Series:
        """Return events as 0/1: those codes, true/false, or what ``codes`` maps; anything else is noted."""
        if column is None:
            return self.nothing(pl.Int64)
        text = known_text(self.table[column])
        mapping: dict[str, int] = dict(endpoint.codes) if endpoint.codes else TRUTHS
        keys = text if endpoint.codes else text.str.to_lowercase()
        unknown = keys.is_not_null() & ~keys.is_in(list(mapping))
        if unknown.any():
            wanted = "`codes` does not map them all" if endpoint.codes else "events must be 0/1 or true/false"
            found = f"{where}: column `{column}` holds {most_frequent(text)}; {wanted}"
            self.findings.refuse(unknown, found, _codes_step(text, endpoint, where))
        events = keys.replace_strict(mapping, default=None, return_dtype=pl.Int64)
        self._note_constant(events, text, f"{where}: column `{column}`")
        return events

    def sexes(self) -> pl.Series:
        """Return sex as F, M or null; all null without a column."""
        column, codes = self.section.sex, self.section.sex_codes
        if column is None:
            return self.nothing(pl.String)
        text = known_text(self.table[column])
        keys = text if codes else text.str.to_lowercase()
        mapping: dict[str, str] = dict(codes) if codes else SEXES
        unknown = keys.is_not_null() & ~keys.is_in(list(mapping))
        if unknown.any():
            found = f"subjects.sex: column `{column}` holds {most_frequent(text)}"
            step = 'Say what they mean: `sex_codes = { "1" = "M", "2" = "F" }` under [subjects].'
            self.findings.refuse(unknown, found, step)
        return keys.replace_strict(mapping, default=None, return_dtype=pl.String)

    def ages(self) -> pl.Series:
        """Return ages at imaging, years; all null without a column."""
        column = self.section.age
        if column is None:
            return self.nothing(pl.Float64)
        ages = numbers(self.table[column], "subjects.age", self._mark, self.findings)
        low, high = PLAUSIBLE_AGES_YEARS
        outside = ~ages.is_between(low, high)
        message = f"subjects.age: column `{column}` is outside {low:g}-{high:g} years"
        self.findings.refuse(outside, message, "Ages are in years; mend the table.")
        return ages

    def warn(self, rows: pl.Series, message: str) -> None:
        """Note what is accepted but should be looked at, if any row is meant, with the first of them."""
        meant = rows.fill_null(value=False)
        if meant.any():
            self.findings.warnings.append(
                f"{message} in {int(meant.sum()):,} row(s): {self.findings.rows(meant)}"
            )

    def nothing(self, dtype: type[pl.DataType]) -> pl.Series:
        """Return a column without a value."""
        return pl.Series([None] * self.table.height, dtype=dtype)

    def _note_constant(self, events: pl.Series, text: pl.Series, where: str) -> None:
        if text.null_count() == len(text):
            self.findings.problems.append((f"{where} holds no value at all", "Check the column's name."))
        elif events.null_count() == text.null_count() and events.drop_nulls().n_unique() == 1:
            whose = "everybody whose outcome is known" if events.max() == 1 else "nobody"
            self.findings.warnings.append(f"{where}: {whose} has the event")

    def _refuse_repeated(self) -> None:
        ids = self.findings.ids
        repeated = ids.is_duplicated() & ~is_empty(ids)
        if repeated.any():
            n_subjects = ids.filter(repeated).n_unique()
            message = f"column `{self.section.id}` names {n_subjects} subject(s) more than once"
            self.findings.refuse(repeated, message, "One row per subject is needed.")


def _codes_step(text: pl.Series, endpoint: EndpointSection, where: str) -> str:
    values = sorted(set(text.drop_nulls()))
    if endpoint.codes:
        return f"Add them to `codes` under [{where}], or leave the cells empty if nothing is known."
    if set(values) <= R_CODES:
        return R_CODES_STEP.format(where=where)
    example = '"2" = 1, "1" = 0'
    if len(values) == 2:
        example = f'"{values[1]}" = 1, "{values[0]}" = 0'
    return CODES_STEP.format(example=example, where=where)


def _number_columns(table: pl.DataFrame, study: Study) -> list[pl.Series]:
    names = [c.column for c in study.covariates.values() if c.type == "continuous"]
    names += [name for e in study.endpoints.values() for name in (e.time, e.entry) if name]
    if study.subjects is not None and study.subjects.age is not None:
        names.append(study.subjects.age)
    return [table[name] for name in dict.fromkeys(names)]


def named_columns(study: Study) -> Iterator[tuple[str, str]]:
    """Yield each column of the follow-up table that a study names, with the key that names it."""
    assert study.subjects is not None
    yield study.subjects.id, "subjects.id"
    for key in ("sex", "birth_date", "age"):
        if getattr(study.subjects, key) is not None:
            yield getattr(study.subjects, key), f"subjects.{key}"
    for name, covariate in study.covariates.items():
        yield covariate.column, f"covariates.{name}.column"
    for name, endpoint in study.endpoints.items():
        for key in COLUMN_KEYS:
            if getattr(endpoint, key) is not None:
                yield getattr(endpoint, key), f"endpoints.{toml_key(name)}.{key}"
        if endpoint.time_origin not in (None, "image"):
            yield str(endpoint.time_origin), f"endpoints.{toml_key(name)}.time_origin"
    if isinstance(study.subjects.dates, dict):
        for column in study.subjects.dates:
            yield column, "subjects.dates"


def _require_named(table: pl.DataFrame, study: Study) -> None:
    assert study.subjects is not None
    wanted: dict[str, str] = {}
    for column, key in named_columns(study):
        wanted.setdefault(column, key)
    require_columns(wanted, table, str(study.subjects.file))

"""A follow-up table and what the study says of it -> subjects and outcomes; refused, not guessed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

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
from spinescore.domain import DAYS_PER_YEAR
from spinescore.study import CovariateSection, EndpointSection, Study

UNITS_PER_YEAR = {"years": 1.0, "months": 12.0, "days": DAYS_PER_YEAR}
TRUTHS = {"0": 0, "1": 1, "0.0": 0, "1.0": 1, "false": 0, "true": 1}
OUTCOME_COLUMNS = {
    "subject_id": pl.String,
    "endpoint": pl.String,
    "type": pl.String,
    "event": pl.Int64,
    "time_years": pl.Float64,
    "entry_years": pl.Float64,
    "event_date": pl.Date,
    "end_date": pl.Date,
}
COLUMN_KEYS = ("column", "event", "time", "entry", "event_date", "end_date")


class FollowUp(NamedTuple):
    """A follow-up table as it was read.

    Attributes
    ----------
    subjects : polars.DataFrame
        ``subject_id`` and one column per covariate, by the study's name.
    outcomes : polars.DataFrame
        ``OUTCOME_COLUMNS``, one row per subject and endpoint.
    detected : mapping of str to str
        What was detected rather than declared, e.g. ``{"dates.end": "day-month-year"}``.
    warnings : tuple of str
        What was accepted but should be looked at.
    """

    subjects: pl.DataFrame
    outcomes: pl.DataFrame
    detected: Mapping[str, str]
    warnings: tuple[str, ...]


def read_subjects(
    table: pl.DataFrame,
    study: Study,
    pseudonymise: Callable[[str, str | None], str],
    *,
    delimiter: str | None = None,
) -> FollowUp:
    """Return the subjects' covariates and their outcomes, keyed by subject id.

    Parameters
    ----------
    table : polars.DataFrame
        The follow-up table, one row per subject.
    study : Study
        Names the id column, covariates and endpoints.
    pseudonymise : callable
        ``(id, issuer) -> subject_id``, the same as at ingest.
    delimiter : str, optional
        What separated the columns of a text; with semicolons, ``1.234`` may be a thousand.

    Raises
    ------
    TableError
        With everything that is missing or is not what was declared: counts, first rows and their ids.
    """
    section = study.subjects
    assert section is not None
    renamed = table.rename(
        {theirs: ours for theirs, ours in section.rename.items() if theirs in table.columns}
    )
    _require_columns(renamed, study)
    columns = _Columns(renamed, study, delimiter)
    subject_ids = pl.Series(
        "subject_id",
        [pseudonymise(value or "", section.issuer) for value in columns.findings.ids],
        dtype=pl.String,
    )
    covariates = [columns.covariate(name, covariate) for name, covariate in study.covariates.items()]
    outcomes = [_outcome(columns, subject_ids, name, e) for name, e in study.endpoints.items()]
    columns.findings.raise_problems(str(section.file))
    return FollowUp(
        pl.DataFrame([subject_ids, *covariates]),
        pl.concat([pl.DataFrame(schema=OUTCOME_COLUMNS), *outcomes]),
        columns.findings.detected,
        tuple(columns.findings.warnings),
    )


class _Columns:
    """Reads the columns that a study names, each as what it is named for."""

    def __init__(self, table: pl.DataFrame, study: Study, delimiter: str | None) -> None:
        assert study.subjects is not None
        self.table = table
        self.section = study.subjects
        ids, width = table[self.section.id], self.section.id_width
        self.findings = Findings(read_ids(ids, width))
        check_ids(ids, width, self.findings)
        _refuse_repeated(self.findings, self.section.id)
        declared = self.section.decimal
        self.mark = decimal_mark(_number_columns(table, study), declared, delimiter, self.findings)
        self._dates: dict[str, pl.Series] = {}

    def covariate(self, name: str, covariate: CovariateSection) -> pl.Series:
        """Return a covariate: floats, or its levels as text."""
        values = self.table[covariate.column]
        if covariate.type == "categorical":
            return known_text(values).rename(name)
        return numbers(values, f"covariates.{name}", self.mark, self.findings).rename(name)

    def years(self, column: str | None, where: str, per_year: float) -> pl.Series:
        """Return a column of durations in years; all null without one."""
        if column is None:
            return pl.Series([None] * self.table.height, dtype=pl.Float64)
        return numbers(self.table[column], where, self.mark, self.findings) / per_year

    def dates(self, column: str | None, where: str) -> pl.Series:
        """Return a column of dates; all null without one. A column of several endpoints is read once."""
        if column is None:
            return pl.Series([None] * self.table.height, dtype=pl.Date)
        if column not in self._dates:
            declared = self.section.date_form(column)
            self._dates[column] = dates(self.table[column], where, declared, self.findings)
        return self._dates[column]

    def events(self, column: str | None, endpoint: EndpointSection, where: str) -> pl.Series:
        """Return events as 0/1: those codes, true/false, or what ``codes`` maps; anything else is noted."""
        if column is None:
            return pl.Series([None] * self.table.height, dtype=pl.Int64)
        text = known_text(self.table[column])
        mapping: dict[str, int] = dict(endpoint.codes) if endpoint.codes else TRUTHS
        keys = text if endpoint.codes else text.str.to_lowercase()
        known = keys.is_in(list(mapping)) | keys.is_null()
        if not known.all():
            counts = most_frequent(text)
            self.findings.problems.append(
                (
                    f"{where}: column `{column}` holds {counts}; events must be 0/1 or true/false",
                    f'Map them by name, e.g. `codes = {{"2" = 1, "1" = 0}}` under [{where}].',
                )
            )
        return keys.replace_strict(mapping, default=None, return_dtype=pl.Int64)


def _number_columns(table: pl.DataFrame, study: Study) -> list[pl.Series]:
    names = [c.column for c in study.covariates.values() if c.type == "continuous"]
    names += [name for e in study.endpoints.values() for name in (e.time, e.entry) if name]
    return [table[name] for name in dict.fromkeys(names)]


def _require_columns(table: pl.DataFrame, study: Study) -> None:
    assert study.subjects is not None
    wanted = {study.subjects.id: "subjects.id"}
    for name, covariate in study.covariates.items():
        wanted.setdefault(covariate.column, f"covariates.{name}.column")
    for name, endpoint in study.endpoints.items():
        for key in COLUMN_KEYS:
            column = getattr(endpoint, key)
            if column:
                wanted.setdefault(column, f"endpoints.{name}.{key}")
    if isinstance(study.subjects.dates, dict):
        for column in study.subjects.dates:
            wanted.setdefault(column, "subjects.dates")
    require_columns(wanted, table, str(study.subjects.file))


def _refuse_repeated(findings: Findings, column: str) -> None:
    ids = findings.ids
    repeated = ids.is_duplicated() & ~is_empty(ids)
    n_subjects = ids.filter(repeated).n_unique()
    findings.refuse(
        repeated,
        f"column `{column}` names {n_subjects} subject(s) more than once",
        "One row per subject is needed.",
    )


def _outcome(columns: _Columns, subject_ids: pl.Series, name: str, endpoint: EndpointSection) -> pl.DataFrame:
    n, where, findings = len(subject_ids), f"endpoints.{name}", columns.findings
    per_year = UNITS_PER_YEAR[endpoint.unit]
    times = columns.years(endpoint.time, f"{where}.time", per_year)
    entries = columns.years(endpoint.entry, f"{where}.entry", per_year)
    findings.refuse(times < 0, f"{where}.time is negative")
    findings.refuse(entries >= times, f"{where}: entry is not before the end of follow-up")
    event_dates = columns.dates(endpoint.event_date, f"{where}.event_date")
    end_dates = columns.dates(endpoint.end_date, f"{where}.end_date")
    if endpoint.event_date:
        happened = event_dates.is_not_null()
        events = happened.cast(pl.Int64).set(end_dates.is_null() & ~happened, None)
    else:
        events = columns.events(endpoint.event or endpoint.column, endpoint, where)
    return pl.DataFrame(
        {
            "subject_id": subject_ids,
            "endpoint": pl.Series([name] * n, dtype=pl.String),
            "type": pl.Series([endpoint.type] * n, dtype=pl.String),
            "event": events.cast(pl.Int64),
            "time_years": times,
            "entry_years": entries,
            "event_date": event_dates,
            "end_date": end_dates,
        }
    )

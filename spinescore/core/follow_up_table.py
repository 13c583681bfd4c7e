"""A follow-up table and what the study says of it -> subjects and outcomes; refused, not guessed."""

from __future__ import annotations

import difflib
from collections.abc import Callable

import polars as pl

from spinescore.domain import DAYS_PER_YEAR
from spinescore.errors import TableError
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
SHOWN_ROWS = 5


def read_subjects(
    table: pl.DataFrame, study: Study, pseudonymise: Callable[[str, str | None], str]
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the subjects' covariates and their outcomes, keyed by subject id.

    Parameters
    ----------
    table : polars.DataFrame
        The follow-up table, one row per subject.
    study : Study
        Names the id column, covariates and endpoints.
    pseudonymise : callable
        ``(id, issuer) -> subject_id``, the same as at ingest.

    Returns
    -------
    subjects : polars.DataFrame
        ``subject_id`` and one column per covariate, by the study's name.
    outcomes : polars.DataFrame
        ``OUTCOME_COLUMNS``, one row per subject and endpoint.

    Raises
    ------
    TableError
        With every column that is missing, or the first value that is not what was declared.
    """
    assert study.subjects is not None
    renamed = table.rename(
        {theirs: ours for theirs, ours in study.subjects.rename.items() if theirs in table.columns}
    )
    _require_columns(renamed, study)
    ids = _ids(renamed, study.subjects.id)
    issuer = study.subjects.issuer
    subject_ids = pl.Series("subject_id", [pseudonymise(value, issuer) for value in ids], dtype=pl.String)
    subjects = pl.DataFrame(
        [subject_ids, *(_covariate(renamed, name, c) for name, c in study.covariates.items())]
    )
    outcomes = [_outcome(renamed, subject_ids, name, e) for name, e in study.endpoints.items()]
    schema = pl.DataFrame(schema=OUTCOME_COLUMNS)
    return subjects, pl.concat([schema, *outcomes])


def _require_columns(table: pl.DataFrame, study: Study) -> None:
    assert study.subjects is not None
    wanted = {study.subjects.id: "subjects.id"}
    for name, covariate in study.covariates.items():
        wanted.setdefault(covariate.column, f"covariates.{name}.column")
    for name, endpoint in study.endpoints.items():
        for key in ("column", "event", "time", "entry", "event_date", "end_date"):
            column = getattr(endpoint, key)
            if column:
                wanted.setdefault(column, f"endpoints.{name}.{key}")
    missing = [
        f"`{column}` ({key}{_nearest(column, table.columns)})"
        for column, key in wanted.items()
        if column not in table.columns
    ]
    if missing:
        raise TableError(
            f"{study.subjects.file} has no column {', '.join(missing)}.",
            f"Its columns are {', '.join(table.columns)}.",
        )


def _ids(table: pl.DataFrame, column: str) -> list[str]:
    ids = table[column].cast(pl.String).str.strip_chars()
    empty = ids.is_null() | (ids == "")
    if empty.any():
        raise TableError(
            f"Column `{column}` is empty in {int(empty.sum())} row(s): {_rows(empty)}.",
            "Give every row an id.",
        )
    repeated = ids.is_duplicated()
    if repeated.any():
        raise TableError(
            f"Column `{column}` names {ids.filter(repeated).n_unique()} subject(s) more than once: "
            f"{_rows(repeated)}.",
            "One row per subject is needed.",
        )
    return ids.to_list()


def _covariate(table: pl.DataFrame, name: str, covariate: CovariateSection) -> pl.Series:
    values = table[covariate.column]
    if covariate.type == "categorical":
        text = values.cast(pl.String).str.strip_chars()
        levels = text.to_frame().select(
            pl.when(pl.col(covariate.column) == "").then(None).otherwise(pl.col(covariate.column))
        )
        return levels.to_series().rename(name)
    return _numbers(values, f"covariates.{name}").rename(name)


def _outcome(
    table: pl.DataFrame, subject_ids: pl.Series, name: str, endpoint: EndpointSection
) -> pl.DataFrame:
    n = table.height

    def column(
        key: str | None,
        read: Callable[[pl.Series], pl.Series],
        dtype: pl.DataType | pl.datatypes.DataTypeClass,
    ) -> pl.Series:
        return read(table[key]) if key else pl.Series([None] * n, dtype=dtype)

    where = f"endpoints.{name}"
    per_year = UNITS_PER_YEAR[endpoint.unit]
    times = column(endpoint.time, lambda s: _numbers(s, f"{where}.time"), pl.Float64) / per_year
    entries = column(endpoint.entry, lambda s: _numbers(s, f"{where}.entry"), pl.Float64) / per_year
    _refuse(times < 0, f"{where}.time is negative")
    _refuse(entries >= times, f"{where}: entry is not before the end of follow-up")
    event_dates = column(endpoint.event_date, lambda s: _dates(s, f"{where}.event_date"), pl.Date)
    end_dates = column(endpoint.end_date, lambda s: _dates(s, f"{where}.end_date"), pl.Date)
    events = column(endpoint.event or endpoint.column, lambda s: _codes(s, endpoint, where), pl.Int64)
    if endpoint.event_date:
        events = (
            pl.DataFrame({"event": event_dates, "end": end_dates})
            .select(
                pl.when(pl.col("end").is_null() & pl.col("event").is_null())
                .then(None)
                .otherwise(pl.col("event").is_not_null().cast(pl.Int64))
            )
            .to_series()
        )
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


def _codes(values: pl.Series, endpoint: EndpointSection, where: str) -> pl.Series:
    """Events as 0/1: those codes, true/false, or what ``codes`` maps; anything else is refused."""
    text = values.cast(pl.String).str.strip_chars()
    mapping: dict[str, int] = dict(endpoint.codes) if endpoint.codes else TRUTHS
    keys = text if endpoint.codes else text.str.to_lowercase()
    known = keys.is_in(list(mapping)) | keys.is_null() | (keys == "")
    if not known.all():
        counts = ", ".join(f"{value!r} ({n} rows)" for value, n in _value_counts(text))
        raise TableError(
            f"{where}: column `{values.name}` holds {counts}; events must be 0/1 or true/false.",
            f'Map them by name, e.g. `codes = {{"2" = 1, "1" = 0}}` under [{where}].',
        )
    return keys.replace_strict(mapping, default=None, return_dtype=pl.Int64)


def _value_counts(text: pl.Series) -> list[tuple[str, int]]:
    counts = text.drop_nulls().value_counts(sort=True).head(SHOWN_ROWS)
    return [(str(value), int(n)) for value, n in counts.iter_rows()]


def _numbers(values: pl.Series, where: str) -> pl.Series:
    if values.dtype.is_numeric() or values.dtype == pl.Boolean:
        return values.cast(pl.Float64)
    text = values.cast(pl.String).str.strip_chars()
    blank = text.is_null() | text.is_in(["", "NA", "NaN", "."])
    numbers = text.cast(pl.Float64, strict=False)
    _refuse(numbers.is_null() & ~blank, f"{where}: column `{values.name}` is not a number")
    return numbers.fill_nan(None)


def _dates(values: pl.Series, where: str) -> pl.Series:
    if values.dtype == pl.Date:
        return values
    if values.dtype == pl.Datetime:
        return values.cast(pl.Date)
    text = values.cast(pl.String).str.strip_chars()
    blank = text.is_null() | (text == "")
    dates = text.str.to_date("%Y-%m-%d", strict=False)
    _refuse(dates.is_null() & ~blank, f"{where}: column `{values.name}` is not a date as YYYY-MM-DD")
    return dates


def _refuse(offending: pl.Series, message: str) -> None:
    bad = offending.fill_null(value=False)
    if bad.any():
        raise TableError(
            f"{message} in {int(bad.sum())} row(s): {_rows(bad)}.", "Mend the table and run again."
        )


def _rows(mask: pl.Series) -> str:
    """Name rows by their number, the first data row being 1; never by their content."""
    numbers = (mask.arg_true() + 1).to_list()
    shown = ", ".join(str(number) for number in numbers[:SHOWN_ROWS])
    return f"row {shown}" + (" ..." if len(numbers) > SHOWN_ROWS else "")


def _nearest(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return f"; did you mean `{close[0]}`?" if close else ""

"""A follow-up table and what the study says of it -> subjects and outcomes; refused, not guessed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from typing import NamedTuple

import polars as pl

from spinescore.core.endpoint_outcomes import OUTCOME_COLUMNS, read_outcome, warn_of_order
from spinescore.core.follow_up_columns import FollowUpColumns
from spinescore.study import Study


class FollowUp(NamedTuple):
    """A follow-up table as it was read.

    Attributes
    ----------
    subjects : polars.DataFrame
        ``subject_id`` and one column per covariate, by the study's name; in the table's order.
    outcomes : polars.DataFrame
        ``OUTCOME_COLUMNS``, one row per subject and endpoint.
    detected : mapping of str to str
        What was detected rather than declared, e.g. ``{"dates.end": "day-month-year"}``.
    warnings : tuple of str
        What was accepted but should be looked at.
    ids : polars.Series
        The ids as text; for messages, never stored.
    people : polars.DataFrame
        ``subject_id, sex, age_years, birth_date``, null where no column is named; dates of birth are never
        stored.
    """

    subjects: pl.DataFrame
    outcomes: pl.DataFrame
    detected: Mapping[str, str]
    warnings: tuple[str, ...]
    ids: pl.Series
    people: pl.DataFrame


def read_subjects(
    table: pl.DataFrame,
    study: Study,
    pseudonymise: Callable[[str, str | None], str],
    *,
    delimiter: str | None = None,
    today: date | None = None,
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
    today : date, optional
        Dates after it draw a warning.

    Raises
    ------
    TableError
        With everything that is missing or is not what was declared: counts and first rows.
    """
    section = study.subjects
    assert section is not None
    theirs = {theirs: ours for theirs, ours in section.rename.items() if theirs in table.columns}
    columns = FollowUpColumns(table.rename(theirs), study, delimiter, today)
    ids = columns.findings.ids
    subject_ids = pl.Series(
        "subject_id", [pseudonymise(value or "", section.issuer) for value in ids], dtype=pl.String
    )
    covariates = [columns.covariate(name, covariate) for name, covariate in study.covariates.items()]
    people = {
        "sex": columns.sexes(),
        "age_years": columns.ages(),
        "birth_date": columns.dates(section.birth_date, "subjects.birth_date"),
    }
    outcomes = {name: read_outcome(columns, subject_ids, name, e) for name, e in study.endpoints.items()}
    for name, endpoint in study.survival_endpoints().items():
        if endpoint.competing is not None:
            warn_of_order(columns, outcomes[name], outcomes[endpoint.competing], name, endpoint.competing)
    columns.findings.raise_problems(str(section.file))
    return FollowUp(
        pl.DataFrame([subject_ids, *covariates]),
        pl.concat([pl.DataFrame(schema=OUTCOME_COLUMNS), *outcomes.values()]),
        columns.findings.detected,
        tuple(columns.findings.warnings),
        ids,
        pl.DataFrame({"subject_id": subject_ids} | people),
    )

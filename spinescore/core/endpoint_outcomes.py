"""One endpoint of a follow-up table -> a row per subject: event, durations, dates; contradictions refused."""

from __future__ import annotations

import polars as pl

from spinescore.core.follow_up_columns import FollowUpColumns
from spinescore.domain import DAYS_PER_YEAR
from spinescore.study import EndpointSection
from spinescore.study.toml_text import toml_key

UNITS_PER_YEAR = {"years": 1.0, "months": 12.0, "days": DAYS_PER_YEAR}
LONG_FOLLOW_UP_YEARS, LONGEST_FOLLOW_UP_YEARS = 60.0, 120.0
OUTCOME_COLUMNS = {
    "subject_id": pl.String,
    "endpoint": pl.String,
    "type": pl.String,
    "event": pl.Int64,
    "time_years": pl.Float64,
    "entry_years": pl.Float64,
    "event_date": pl.Date,
    "end_date": pl.Date,
    "origin_date": pl.Date,
    "entry_date": pl.Date,
}
EMPTY_STEP = "Leave both empty where nothing is known; mend the table."


def read_outcome(
    columns: FollowUpColumns, subject_ids: pl.Series, name: str, endpoint: EndpointSection
) -> pl.DataFrame:
    """Return an endpoint's outcomes, ``OUTCOME_COLUMNS``; what contradicts itself gathers in the findings."""
    n, where = len(subject_ids), f"endpoints.{toml_key(name)}"
    per_year = UNITS_PER_YEAR[endpoint.unit]
    origin = endpoint.time_origin if endpoint.time_origin != "image" else None
    rows = pl.DataFrame(
        {
            "subject_id": subject_ids,
            "endpoint": pl.Series([name] * n, dtype=pl.String),
            "type": pl.Series([endpoint.type] * n, dtype=pl.String),
            "event": columns.nothing(pl.Int64),
            "time_years": columns.years(endpoint.time, f"{where}.time", per_year),
            "entry_years": columns.years(endpoint.entry, f"{where}.entry", per_year),
            "event_date": columns.dates(endpoint.event_date, f"{where}.event_date"),
            "end_date": columns.dates(endpoint.end_date, f"{where}.end_date"),
            "origin_date": columns.dates(origin, f"{where}.time_origin"),
            "entry_date": columns.dates(endpoint.entry_date, f"{where}.entry_date"),
        }
    )
    rows = rows.with_columns(_events(columns, rows, name, endpoint).alias("event"))
    if endpoint.type == "survival":
        _check_times(columns, rows, endpoint, where)
    if origin is not None:  # a duration from a day that is not known is no follow-up
        unknown = pl.col("origin_date").is_null()
        columns.warn(
            rows.select(unknown & pl.col("time_years").is_not_null()).to_series(),
            f"{where}: column `{origin}` is empty, so the follow-up is missing,",
        )
        rows = rows.with_columns(pl.when(~unknown).then("time_years").alias("time_years"))
    return rows


def _events(columns: FollowUpColumns, rows: pl.DataFrame, name: str, endpoint: EndpointSection) -> pl.Series:
    if not endpoint.event_date:
        return columns.events(endpoint.event or endpoint.column, endpoint, f"endpoints.{toml_key(name)}")
    happened = rows["event_date"].is_not_null()
    events = happened.cast(pl.Int64)
    return events.set(rows["end_date"].is_null() & ~happened, None)


def _check_times(columns: FollowUpColumns, rows: pl.DataFrame, endpoint: EndpointSection, where: str) -> None:
    times, entries, happened = rows["time_years"], rows["entry_years"], rows["event"] == 1
    findings = columns.findings
    findings.refuse(times < 0, f"{where}.time is negative")
    findings.refuse(entries < 0, f"{where}.entry is negative")
    findings.refuse(entries >= times, f"{where}: entry is not before the end of follow-up")
    if endpoint.time is not None:
        findings.refuse(happened & times.is_null(), f"{where}: an event without a time", EMPTY_STEP)
        _check_lengths(columns, times, endpoint, where)
        return
    end = rows["end_date"]
    until = rows.select(
        pl.when(pl.col("event") == 1).then(pl.coalesce("event_date", "end_date")).otherwise("end_date")
    ).to_series()
    if endpoint.event is not None:
        findings.refuse(happened & end.is_null(), f"{where}: an event without a date", EMPTY_STEP)
    findings.refuse(
        rows["event_date"] > end,
        f"{where}: the event is dated after the end of follow-up",
        "Follow-up lasts at least to the event; mend either date.",
    )
    findings.refuse(rows["entry_date"] >= until, f"{where}: entry_date is not before the end of follow-up")


def _check_lengths(columns: FollowUpColumns, times: pl.Series, endpoint: EndpointSection, where: str) -> None:
    impossible = times > LONGEST_FOLLOW_UP_YEARS
    others = [unit for unit in ("days", "months", "years") if unit != endpoint.unit]
    units = " or ".join(f'`unit = "{unit}"`' for unit in others)
    columns.findings.refuse(
        impossible,
        f"{where}.time is over {LONGEST_FOLLOW_UP_YEARS:g} years, read in {endpoint.unit},",
        f"Say {units} if it is in these; else mend the table.",
    )
    long = (times > LONG_FOLLOW_UP_YEARS) & ~impossible
    columns.warn(
        long, f"{where}.time is over {LONG_FOLLOW_UP_YEARS:g} years (is it in {endpoint.unit}, as declared?)"
    )


def warn_of_order(
    columns: FollowUpColumns, outcomes: pl.DataFrame, other: pl.DataFrame, name: str, competing: str
) -> None:
    """Warn of events after the competing event (a fracture after death): possible only if that is not final.

    The endpoint counts as having happened all the same, as docs/cohorts.md says.
    """
    both = (outcomes["event"] == 1) & (other["event"] == 1)
    days = outcomes["event_date"].fill_null(outcomes["end_date"])
    other_days = other["event_date"].fill_null(other["end_date"])
    later = (days > other_days).fill_null(value=False)
    same_origin = outcomes["origin_date"].eq_missing(other["origin_date"])
    longer = ((outcomes["time_years"] > other["time_years"]) & same_origin).fill_null(value=False)
    columns.warn(
        both & (later | longer),
        f"endpoints.{toml_key(name)}: the event comes after `{competing}`, which is said to compete with it,",
    )

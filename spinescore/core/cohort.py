"""From scored images to an analysis set: split, index image, time origin, follow-up, attrition.

Conventions are those of docs/statistics.md, "Follow-up"; every row that leaves is counted with its reason.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import polars as pl

from spinescore.domain import DAYS_PER_YEAR
from spinescore.errors import AnalysisError
from spinescore.study import EndpointSection

COMPETING = 2
TIE_TOLERANCE = 1e-9  # relative; R's timefix
DAY_ZERO_YEARS = 0.5 / DAYS_PER_YEAR
ATTRITION_SCHEMA = {
    "position": pl.Int64,
    "step": pl.String,
    "endpoint": pl.String,
    "reason": pl.String,
    "n_excluded": pl.Int64,
    "n_remaining": pl.Int64,
}


@dataclass(slots=True)
class Attrition:
    """A running count of who leaves, at which step, and why."""

    rows: list[dict[str, object]] = field(default_factory=list)

    def start(self, step: str, n: int, *, endpoint: str | None = None) -> None:
        """Open a count with everybody in it."""
        self._add(step, endpoint, "", 0, n)

    def leave(
        self, step: str, reasons: Mapping[str, int], before: int, *, endpoint: str | None = None
    ) -> int:
        """Count who leaves at a step, reason by reason, and return how many remain."""
        remaining = before
        for reason, n in reasons.items():
            remaining -= n
            self._add(step, endpoint, reason, n, remaining)
        if not reasons:
            self._add(step, endpoint, "", 0, remaining)
        return remaining

    def frame(self) -> pl.DataFrame:
        """Return the counts as a table, in order."""
        return pl.DataFrame(self.rows, schema=ATTRITION_SCHEMA)

    def _add(self, step: str, endpoint: str | None, reason: str, excluded: int, remaining: int) -> None:
        values = (len(self.rows) + 1, step, endpoint, reason, excluded, remaining)
        self.rows.append(dict(zip(ATTRITION_SCHEMA, values, strict=True)))


def assign_split(subject_id: str, kind: str, *, seed: int, reference_fraction: float) -> str:
    """Put a subject in the reference or the test part, whatever other subjects there are.

    A seeded hash decides, so a cohort that grows never moves anyone from one part to the other.

    >>> assign_split("a", "vfa", seed=1, reference_fraction=0.0)
    'test'
    """
    digest = hashlib.sha256(f"{seed}|{kind}|{subject_id}".encode()).digest()
    draw = int.from_bytes(digest[:8], "big") / 2**64
    return "reference" if draw < reference_fraction else "test"


def pick_index_images(images: pl.DataFrame, rule: Literal["first", "last", "mean"]) -> pl.DataFrame:
    """Return one row per subject: the index image.

    Parameters
    ----------
    images : polars.DataFrame
        Scored images of the cohort, with ``subject_id, study_date, study_time, sop_instance_uid``.
    rule : {"first", "last", "mean"}
        Earliest or latest study date, then time, then UID; ``mean`` averages the ages of all
        qualifying images of the earliest day.
    """
    order = ["subject_id", "study_date", "study_time", "sop_instance_uid"]
    ordered = images.sort(order, nulls_last=True)
    if rule == "last":
        descending = [False, True, True, True]
        ordered = images.sort(order, descending=descending, nulls_last=True)
    index = ordered.unique("subject_id", keep="first", maintain_order=True)
    if rule != "mean":
        return index
    ages = ["spine_age_raw", "spine_age_sd", "spine_age_corrected"]
    first_day = ordered.filter(pl.col("study_date").eq_missing(pl.col("study_date").min().over("subject_id")))
    means = first_day.group_by("subject_id").agg(pl.col(ages).mean())
    return index.drop(ages).join(means, on="subject_id", how="left", maintain_order="left")


def add_predicted_age_difference(index: pl.DataFrame) -> pl.DataFrame:
    """Add ``pad_raw`` and ``pad_corrected``: spine age minus chronological age, years."""
    return index.with_columns(
        (pl.col("spine_age_raw") - pl.col("age_years")).alias("pad_raw"),
        (pl.col("spine_age_corrected") - pl.col("age_years")).alias("pad_corrected"),
    )


def binary_column(index: pl.DataFrame, outcomes: pl.DataFrame, endpoint: str) -> pl.DataFrame:
    """Add a binary endpoint to the subjects by its name: 1, 0 or null."""
    rows = outcomes.filter(pl.col("endpoint") == endpoint).select(
        "subject_id", pl.col("event").alias(endpoint)
    )
    return index.join(rows, on="subject_id", how="left", maintain_order="left")


def refuse_ambiguous_origin(
    images: pl.DataFrame, endpoints: Mapping[str, EndpointSection], cohort: str
) -> None:
    """Refuse durations without dates where a subject has several dates they could count from.

    Raises
    ------
    AnalysisError
        Naming how many subjects have images on several days.
    """
    durations = [name for name, endpoint in endpoints.items() if endpoint.time]
    if not durations:
        return
    days = images.group_by("subject_id").agg(pl.col("study_date").n_unique().alias("days"))
    several = days.filter(pl.col("days") > 1).height
    if several:
        raise AnalysisError(
            f"Cohort `{cohort}`: {several} subject(s) have images on several days, and "
            f"{', '.join(durations)} come as durations: which image they count from is not known.",
            "Give event_date and end_date, or narrow the cohort's `where` to one study date per subject.",
        )


def follow_up(
    index: pl.DataFrame,
    outcomes: pl.DataFrame,
    name: str,
    endpoint: EndpointSection,
    excluded: frozenset[str],
    attrition: Attrition,
) -> pl.DataFrame:
    """Return an endpoint's analysis set: ``subject_id, entry_years, exit_years, status``.

    Parameters
    ----------
    index : polars.DataFrame
        One row per subject, with ``subject_id`` and ``study_date`` of the index image.
    outcomes : polars.DataFrame
        ``outcomes`` of all endpoints.
    excluded : frozenset of str
        Subjects for whom the endpoint's ``exclude_where`` holds.
    attrition : Attrition
        Receives who leaves and why.

    Notes
    -----
    ``status`` is 2 only if the endpoint has not happened and the competing time is not after the
    endpoint's own end of follow-up; at a tie the endpoint wins.
    """
    own = _timed(index, outcomes, name, endpoint)
    rows = own.select(
        "subject_id", "entry_years", pl.col("time").alias("exit_years"), pl.col("event").alias("status")
    )
    if endpoint.competing is not None:
        rows = _with_competing(rows, _timed(index, outcomes, endpoint.competing, endpoint))
    missing = pl.col("exit_years").is_null() | pl.col("status").is_null()
    before = pl.col("exit_years") < 0
    day_zero = pl.col("exit_years").abs() < DAY_ZERO_YEARS
    reasons: list[tuple[str, pl.Expr]] = [
        ("excluded by exclude_where", pl.col("subject_id").is_in(list(excluded))),
        ("follow-up missing", missing),
        ("follow-up ends before the image", before),
        ("entry not before the end of follow-up", pl.col("entry_years") >= pl.col("exit_years")),
    ]
    if endpoint.day_zero == "exclude":
        reasons.insert(3, ("event or end of follow-up on day 0", day_zero))
    counts: dict[str, int] = {}
    n_before = rows.height
    for reason, condition in reasons:
        leaving = rows.filter(condition.fill_null(value=False)).height
        if leaving:
            counts[reason] = leaving
            rows = rows.filter(~condition.fill_null(value=False))
    attrition.leave("follow-up", counts, n_before, endpoint=name)
    return rows.with_columns(pl.col("entry_years").fill_null(0.0), pl.col("status").cast(pl.Int64)).sort(
        "subject_id"
    )


def _timed(index: pl.DataFrame, outcomes: pl.DataFrame, name: str, endpoint: EndpointSection) -> pl.DataFrame:
    """One row per subject of the index: time from the image (years) and event of one endpoint."""
    rows = index.select("subject_id", "study_date").join(
        outcomes.filter(pl.col("endpoint") == name), on="subject_id", how="left", maintain_order="left"
    )
    until = pl.when(pl.col("event") == 1).then(pl.col("event_date")).otherwise(pl.col("end_date"))
    from_dates = (until - pl.col("study_date")).dt.total_days() / DAYS_PER_YEAR
    rows = rows.with_columns(pl.coalesce("time_years", from_dates).alias("time"))
    if endpoint.admin_censor_date is None:
        return rows
    limit = (pl.lit(endpoint.admin_censor_date) - pl.col("study_date")).dt.total_days() / DAYS_PER_YEAR
    late = pl.col("time") > limit
    return rows.with_columns(
        pl.when(late).then(0).otherwise(pl.col("event")).alias("event"),
        pl.when(late).then(limit).otherwise(pl.col("time")).alias("time"),
    )


def _with_competing(rows: pl.DataFrame, competing: pl.DataFrame) -> pl.DataFrame:
    other = competing.select(
        "subject_id", pl.col("time").alias("competing_time"), pl.col("event").alias("competing_event")
    )
    in_time = pl.col("competing_time") <= pl.col("exit_years") * (1 + TIE_TOLERANCE)
    comes_first = (pl.col("status") == 0) & (pl.col("competing_event") == 1) & in_time
    return (
        rows.join(other, on="subject_id", how="left", maintain_order="left")
        .with_columns(
            pl.when(comes_first).then(COMPETING).otherwise(pl.col("status")).alias("status"),
            pl.when(comes_first)
            .then(pl.min_horizontal("competing_time", "exit_years"))
            .otherwise(pl.col("exit_years"))
            .alias("exit_years"),
        )
        .drop("competing_time", "competing_event")
    )


def hash_rows(columns: Sequence[pl.Series]) -> str:
    """Return the SHA-256 of columns' values, as hex: the identity of a reference set."""
    digest = hashlib.sha256()
    for column in columns:
        digest.update("\n".join(str(value) for value in column.to_list()).encode())
        digest.update(b"\0")
    return digest.hexdigest()

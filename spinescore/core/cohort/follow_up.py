"""Time from the index image, event and entry of an endpoint; who has none, and why.

``status`` is 2 only if the endpoint has not happened and the competing time is not after the endpoint's own
end of follow-up; at a tie the endpoint wins. Times that differ by less than 1e-9 relative are ties.
"""

from __future__ import annotations

import polars as pl

from spinescore.core.cohort.attrition import Attrition
from spinescore.core.cohort.index_image import SHOWN_SUBJECTS
from spinescore.domain import DAYS_PER_YEAR
from spinescore.errors import AnalysisError
from spinescore.study import EndpointSection
from spinescore.study.toml_text import toml_key

COMPETING = 2
TIE_TOLERANCE = 1e-9  # relative; R's timefix
DAY_ZERO_YEARS = 0.5 / DAYS_PER_YEAR
EXCLUDED, UNKNOWN_EXCLUDED = "excluded by exclude_where", "exclude_where unknown (missing values)"
BEFORE_IMAGE = "event before the image"
DAY_ZERO_EVENT, DAY_ZERO_END = "event on day 0", "follow-up ends on day 0"


def follow_up(
    index: pl.DataFrame,
    outcomes: pl.DataFrame,
    name: str,
    endpoint: EndpointSection,
    excluded: pl.Series | None,
    attrition: Attrition,
) -> pl.DataFrame:
    """Return an endpoint's analysis set: ``subject_id, entry_years, exit_years, status``.

    Parameters
    ----------
    index : polars.DataFrame
        One row per subject, with ``subject_id`` and ``study_date`` of the index image.
    outcomes : polars.DataFrame
        ``outcomes`` of all endpoints; with a ``row_number``, messages name rows of the table.
    excluded : polars.Series of bool or None
        For each row of ``index`` whether ``exclude_where`` holds; null where that cannot be known.
    attrition : Attrition
        Receives who leaves and why.

    Raises
    ------
    AnalysisError
        If an event is dated before the image and ``before_image`` does not exclude it.
    """
    rows = _timed(index, outcomes, name, endpoint)
    leaves = pl.Series([False] * index.height) if excluded is None else excluded
    rows = rows.with_columns(leaves.alias("leaves"))
    if endpoint.competing is not None:
        rows = _with_competing(rows, _timed(index, outcomes, endpoint.competing, endpoint))
        _note_unknown_competing(rows, name, endpoint.competing, attrition)
    n_before, counts = rows.height, {}
    for reason, condition in _exits(endpoint):
        leaving = rows.filter(condition)
        if reason == BEFORE_IMAGE and endpoint.before_image == "refuse" and leaving.height:
            raise _before_image(leaving, name)
        counts[reason] = leaving.height
        rows = rows.filter(~condition)
    attrition.leave("follow-up", counts, n_before, endpoint=name)
    return rows.select(
        "subject_id",
        pl.col("entry").fill_null(0.0).alias("entry_years"),
        pl.col("exit").clip(lower_bound=0.0).alias("exit_years"),
        pl.col("status").cast(pl.Int64),
    ).sort("subject_id")


def _exits(endpoint: EndpointSection) -> list[tuple[str, pl.Expr]]:
    """Return the reasons to leave, in the order in which they are looked for; no condition is ever null."""
    leaves, exit, status = pl.col("leaves"), pl.col("exit"), pl.col("status")
    day_zero = exit.abs() < DAY_ZERO_YEARS
    before = (exit < 0) & ~day_zero
    reasons = [
        (EXCLUDED, leaves.fill_null(value=False)),
        (UNKNOWN_EXCLUDED, leaves.is_null()),
        ("date of the image unknown", exit.is_null() & pl.col("undated")),
        ("follow-up missing", exit.is_null() | status.is_null()),
        (BEFORE_IMAGE, before & (status == 1)),
        ("competing event before the image", before & (status == COMPETING)),
        ("follow-up ends before the image", before),
        (DAY_ZERO_EVENT, day_zero & (status == 1)),
        (DAY_ZERO_END, day_zero),
        ("entry not before the end of follow-up", (pl.col("entry") >= exit).fill_null(value=False)),
    ]
    kept = (DAY_ZERO_EVENT, DAY_ZERO_END) if endpoint.day_zero == "keep" else ()
    return [(reason, condition) for reason, condition in reasons if reason not in kept]


def _timed(index: pl.DataFrame, outcomes: pl.DataFrame, name: str, endpoint: EndpointSection) -> pl.DataFrame:
    """One row per subject of the index: ``entry``, ``exit`` (years from the image) and ``status`` 0 or 1.

    Durations from a date of their own are moved to the image; who was imaged before that date is under watch
    only from it on.
    """
    own = _complete(outcomes.filter(pl.col("endpoint") == name).drop("endpoint"))
    rows = index.select("subject_id", "study_date").join(
        own, on="subject_id", how="left", maintain_order="left"
    )
    until = pl.when(pl.col("event") == 1).then(pl.coalesce("event_date", "end_date")).otherwise("end_date")
    from_origin = pl.col("time_years") + pl.when(pl.col("origin_date").is_null()).then(0.0).otherwise(
        _years("origin_date")
    )
    watched_from = pl.col("entry_years").fill_null(0.0) + _years("origin_date")
    dated = pl.any_horizontal(pl.col("origin_date", "end_date", "event_date").is_not_null())
    limited = endpoint.admin_censor_date is not None
    rows = rows.select(
        "subject_id",
        "row_number",
        "study_date",
        pl.coalesce(from_origin, _years(until)).alias("exit"),
        pl.coalesce(_years("entry_date"), watched_from, "entry_years").alias("entry"),
        pl.col("event").alias("status"),
        (pl.col("study_date").is_null() & (dated | pl.lit(limited))).alias("undated"),
    )
    rows = rows.with_columns(pl.when(pl.col("entry") > 0).then("entry").alias("entry"))
    return _censor(rows, endpoint)


def _complete(outcomes: pl.DataFrame) -> pl.DataFrame:
    """Add the columns that outcomes may come without."""
    absent = {"origin_date": pl.Date, "entry_date": pl.Date, "row_number": pl.Int64}
    added = [
        pl.lit(None, dtype).alias(name) for name, dtype in absent.items() if name not in outcomes.columns
    ]
    return outcomes.with_columns(added)


def _years(day: str | pl.Expr) -> pl.Expr:
    """Return the years from the image to a day."""
    until = pl.col(day) if isinstance(day, str) else day
    return (until - pl.col("study_date")).dt.total_days() / DAYS_PER_YEAR


def _after(first: pl.Expr, second: pl.Expr) -> pl.Expr:
    """Whether one time is after another, and not merely by rounding."""
    return first - second > TIE_TOLERANCE * pl.max_horizontal(first.abs(), second.abs())


def _censor(rows: pl.DataFrame, endpoint: EndpointSection) -> pl.DataFrame:
    """End follow-up at the administrative date; an event on that very day counts."""
    if endpoint.admin_censor_date is None:
        return rows
    limit = _years(pl.lit(endpoint.admin_censor_date))
    late = _after(pl.col("exit"), limit)
    return rows.with_columns(
        pl.when(late).then(0).otherwise(pl.col("status")).alias("status"),
        pl.when(late).then(limit).when(limit.is_not_null()).then("exit").alias("exit"),
    )


def _with_competing(rows: pl.DataFrame, competing: pl.DataFrame) -> pl.DataFrame:
    other = competing.select(
        "subject_id", pl.col("exit").alias("competing_exit"), pl.col("status").alias("competing_status")
    )
    in_time = ~_after(pl.col("competing_exit"), pl.col("exit"))
    comes_first = (pl.col("status") == 0) & (pl.col("competing_status") == 1) & in_time
    ends = pl.min_horizontal("competing_exit", "exit")
    return rows.join(other, on="subject_id", how="left", maintain_order="left").with_columns(
        pl.when(comes_first).then(COMPETING).otherwise(pl.col("status")).alias("status"),
        pl.when(comes_first).then(ends).otherwise(pl.col("exit")).alias("exit"),
    )


def _note_unknown_competing(rows: pl.DataFrame, name: str, competing: str, attrition: Attrition) -> None:
    unknown = pl.col("competing_status").is_null() | pl.col("competing_exit").is_null()
    n = rows.filter(pl.col("exit").is_not_null() & pl.col("status").is_not_null() & unknown).height
    attrition.note(
        "competing_unknown",
        n,
        f"have follow-up for `{name}` but none for `{competing}`, which is taken not to have happened",
        endpoint=name,
    )


def _before_image(leaving: pl.DataFrame, name: str) -> AnalysisError:
    rows = leaving.sort("row_number", "subject_id").head(SHOWN_SUBJECTS)
    named = [
        f"row {row} of the table" if row is not None else f"subject {subject}"
        for subject, row in rows.select("subject_id", "row_number").iter_rows()
    ]
    more = " ..." if leaving.height > SHOWN_SUBJECTS else ""
    return AnalysisError(
        f"endpoints.{toml_key(name)}: {leaving.height:,} subject(s) have the event before their image, "
        f"the earliest {-float(leaving['exit'].min()):.1f} years before: {', '.join(named)}{more}.",  # type: ignore[arg-type]
        'Say `before_image = "exclude"` to leave them out by name, or mend the table.',
    )

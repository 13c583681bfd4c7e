"""Which image stands for a subject, and how old the subject is at it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import polars as pl

from spinescore.errors import AnalysisError
from spinescore.study import EndpointSection
from spinescore.study.sections import CohortSection

ORDER = ("subject_id", "study_date", "study_time", "sop_instance_uid")
AVERAGED = ("spine_age_raw", "spine_age_sd", "spine_age_corrected")
SHOWN_SUBJECTS = 5


def pick_index_images(images: pl.DataFrame, rule: Literal["first", "last", "mean"]) -> pl.DataFrame:
    """Return one row per subject, in the order of their ids: the index image.

    Parameters
    ----------
    images : polars.DataFrame
        Scored images of the cohort, with ``subject_id, study_date, study_time, sop_instance_uid, kind``.
    rule : {"first", "last", "mean"}
        Earliest or latest study date, then time, then UID; ``mean`` averages the ages of all qualifying
        images of the earliest day that are of the first one's kind: a mean over two kinds is neither.
    """
    # Sorted by place alone: a million rows of forty columns are moved once, not at every comparison.
    places = images.select(ORDER).with_row_index("place")
    descending = [False, rule == "last", rule == "last", rule == "last", False]
    places = places.sort(*ORDER, "place", descending=descending, nulls_last=True)
    index = images[places.unique("subject_id", keep="first", maintain_order=True)["place"]]
    if rule != "mean":
        return index
    day = ["subject_id", "study_date", "kind"]
    of_day = images.join(index.select(day), on=day, how="semi", nulls_equal=True)
    means = of_day.group_by("subject_id").agg(pl.col(AVERAGED).mean())
    if "age_share" in index.columns:  # a mean of several ages has no distribution of its own
        index = index.with_columns(pl.lit(None, dtype=pl.Float64).alias("age_share"))
    return (
        index.drop(AVERAGED)
        .join(means, on="subject_id", how="left", maintain_order="left")
        .select(index.columns)
    )


def use_rounded_ages(images: pl.DataFrame) -> pl.DataFrame:
    """Replace spine ages by the rounded ones, corrected ones by what the correction makes of those.

    Beheshti's and the age-level correction move with the spine age, Cole's by ``corrected_per_year`` a year.
    """
    step = pl.col("spine_age_rounded") - pl.col("spine_age_raw")
    return images.with_columns(
        pl.col("spine_age_rounded").cast(pl.Float64).alias("spine_age_raw"),
        (pl.col("spine_age_corrected") + step * pl.col("corrected_per_year")).alias("spine_age_corrected"),
    )


def count_mixed_days(images: pl.DataFrame, index: pl.DataFrame) -> int:
    """Count the subjects who have images of both kinds on the day of their index image."""
    day = ["subject_id", "study_date"]
    same_day = images.join(index.select(day), on=day, how="semi", nulls_equal=True)
    return same_day.group_by("subject_id").agg(pl.col("kind").n_unique()).filter(pl.col("kind") > 1).height


def add_predicted_age_difference(index: pl.DataFrame) -> pl.DataFrame:
    """Add ``pad_raw`` and ``pad_corrected``: spine age minus chronological age, years."""
    return index.with_columns(
        (pl.col("spine_age_raw") - pl.col("age_years")).alias("pad_raw"),
        (pl.col("spine_age_corrected") - pl.col("age_years")).alias("pad_corrected"),
    )


def leave_by_age(index: pl.DataFrame, cohort: CohortSection) -> tuple[pl.DataFrame, dict[str, int]]:
    """Return who is of the right age at the index image, and how many are not, by reason.

    ``min_age`` belongs to the range, ``max_age`` does not: years completed, as in an age band.
    """
    age, reasons = pl.col("age_years"), {}
    if cohort.min_age is not None:
        young = age < cohort.min_age
        reasons[f"too young (under {cohort.min_age:g})"] = index.filter(young).height
        index = index.filter(~young)
    if cohort.max_age is not None:
        old = age >= cohort.max_age
        reasons[f"too old ({cohort.max_age:g} or older)"] = index.filter(old).height
        index = index.filter(~old)
    return index, reasons


def binary_column(index: pl.DataFrame, outcomes: pl.DataFrame, endpoint: str) -> pl.DataFrame:
    """Add a binary endpoint to the subjects by its name: 1, 0 or null."""
    rows = outcomes.filter(pl.col("endpoint") == endpoint).select(
        "subject_id", pl.col("event").alias(endpoint)
    )
    return index.join(rows, on="subject_id", how="left", maintain_order="left")


def refuse_ambiguous_origin(
    images: pl.DataFrame, endpoints: Mapping[str, EndpointSection], cohort: str
) -> None:
    """Refuse durations from "the image" where a subject has several dates they could count from.

    Raises
    ------
    AnalysisError
        Naming how many subjects have images on several days, and the first of them.
    """
    durations = [name for name, e in endpoints.items() if e.time and e.time_origin == "image"]
    if not durations:
        return
    days = images.group_by("subject_id").agg(pl.col("study_date").n_unique())
    several = days.filter(pl.col("study_date") > 1)["subject_id"].sort()
    if len(several):
        raise AnalysisError(
            f"Cohort `{cohort}`: {len(several):,} subject(s) have images on several days, and "
            f"{', '.join(durations)} come as durations: which image they count from is not known "
            f"({name_subjects(several)}).",
            "Name in `time_origin` the column of the dates they count from, give event_date and end_date, or "
            "narrow the cohort's `where` to one study date per subject.",
        )


def name_subjects(subject_ids: pl.Series) -> str:
    """Name the first subjects by their ids in the database.

    >>> name_subjects(pl.Series(["a", "b"]))
    'subject a, b'
    """
    more = " ..." if len(subject_ids) > SHOWN_SUBJECTS else ""
    return f"subject {', '.join(subject_ids.head(SHOWN_SUBJECTS))}{more}"

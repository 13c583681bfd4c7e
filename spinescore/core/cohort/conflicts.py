"""Sex and age by the images against sex and age by the follow-up table: filled in, compared, flagged."""

from __future__ import annotations

from typing import Literal

import polars as pl

from spinescore.core.cohort.index_image import pick_index_images
from spinescore.domain import DAYS_PER_YEAR

AGE_TOLERANCE_YEARS = 1.0
PLAUSIBLE_AGES_YEARS = (0.0, 120.0)  # as at ingest
FLAGS = {
    "sex_conflict": "sex of an image differs from the follow-up table's; the image's is used",
    "age_conflict": "age at the index image differs from the follow-up table's by more than a year; "
    "the image's is used",
    "sex_from_table": "no sex in an image; the follow-up table's is used",
    "age_from_table": "no age in an image; the follow-up table's is used",
    "sex_differs": "images of the subject differ in sex",
    "birth_date_differs": "images of the subject imply dates of birth more than a year apart",
}


def read_table_facts(images: pl.DataFrame, people: pl.DataFrame) -> pl.DataFrame:
    """Return what the follow-up table says of each image's subject, and what it may fill in.

    Parameters
    ----------
    images : polars.DataFrame
        ``sop_instance_uid, subject_id, sex, age_years, study_date``, as the images' own headers have them.
    people : polars.DataFrame
        ``subject_id, sex, age_years, birth_date`` of the follow-up table.

    Returns
    -------
    polars.DataFrame
        ``sop_instance_uid, table_sex, table_age_years, sex, age_years``; the last two only where the image
        has none. An age column fills in only where all images of a subject are of one day: of several days
        nobody can tell which it was read at. A date of birth fits any day.
    """
    said = people.rename({"sex": "table_sex", "age_years": "said_age"})
    rows = images.join(said, on="subject_id", how="inner", maintain_order="left")
    born = (pl.col("study_date") - pl.col("birth_date")).dt.total_days() / DAYS_PER_YEAR
    one_day = (pl.col("study_date").n_unique() == 1).over("subject_id")
    rows = rows.with_columns(pl.coalesce(born, "said_age").alias("table_age_years"), one_day.alias("one_day"))
    certain = (pl.col("birth_date").is_not_null() & pl.col("study_date").is_not_null()) | pl.col("one_day")
    fits = certain & pl.col("table_age_years").is_between(*PLAUSIBLE_AGES_YEARS)
    return rows.select(
        "sop_instance_uid",
        "table_sex",
        "table_age_years",
        pl.when(pl.col("sex").is_null()).then("table_sex").alias("sex"),
        pl.when(pl.col("age_years").is_null() & fits).then("table_age_years").alias("age_years"),
    ).filter(pl.col("table_sex").is_not_null() | pl.col("table_age_years").is_not_null())


def add_subject_flags(images: pl.DataFrame, rule: Literal["first", "last", "mean"]) -> pl.DataFrame:
    """Add ``subject_flags``, codes of ``FLAGS`` with blanks between, the same for all images of a subject.

    Parameters
    ----------
    images : polars.DataFrame
        All scored images, with ``subject_id, sex, age_years, table_sex, table_age_years, sex_from_table,
        age_from_table`` and what :func:`pick_index_images` needs.
    rule : {"first", "last", "mean"}
        Which image the ages are compared at. A cohort's condition may read the flags, so the image is chosen
        among all scored ones of the subject, before any condition.
    """
    known = images.filter(pl.col("subject_id").is_not_null())
    both = pl.col("table_sex").is_not_null() & ~pl.col("sex_from_table")
    by_sex = known.filter(both & (pl.col("sex") != pl.col("table_sex")))
    aged = known.filter(pl.col("table_age_years").is_not_null() & pl.col("age_years").is_not_null())
    index = pick_index_images(aged, "last" if rule == "last" else "first")
    gap = (pl.col("age_years") - pl.col("table_age_years")).abs()
    birth = pl.col("study_date").dt.epoch("d") / DAYS_PER_YEAR - pl.col("age_years")
    within = known.filter(pl.col("subject_id").is_duplicated()).group_by("subject_id")
    spread = within.agg(
        pl.col("sex").filter(~pl.col("sex_from_table")).drop_nulls().n_unique().alias("n_sexes"),
        (birth.filter(~pl.col("age_from_table")).max() - birth.filter(~pl.col("age_from_table")).min()).alias(
            "birth_years"
        ),
    )
    flagged = {
        "sex_conflict": by_sex,
        "age_conflict": index.filter(gap > AGE_TOLERANCE_YEARS),
        "sex_from_table": known.filter("sex_from_table"),
        "age_from_table": known.filter("age_from_table"),
        "sex_differs": spread.filter(pl.col("n_sexes") > 1),
        "birth_date_differs": spread.filter(pl.col("birth_years") > AGE_TOLERANCE_YEARS),
    }
    codes = [rows.select("subject_id").unique().with_columns(flag=pl.lit(f)) for f, rows in flagged.items()]
    flags = pl.concat(codes).group_by("subject_id", maintain_order=True).agg(pl.col("flag").str.join(" "))
    return images.join(
        flags.rename({"flag": "subject_flags"}), on="subject_id", how="left", maintain_order="left"
    ).with_columns(pl.col("subject_flags").fill_null(""))


def count_flags(subjects: pl.DataFrame) -> dict[str, int]:
    """Return how many subjects have each flag."""
    split = subjects["subject_flags"].str.split(" ").explode(empty_as_null=True)
    return {flag: int((split == flag).sum()) for flag in FLAGS}

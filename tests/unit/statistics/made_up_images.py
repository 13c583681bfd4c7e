"""Made-up images of one kind per subject and day, with known error, change and spread of change."""

from __future__ import annotations

import numpy as np
import polars as pl

from spinescore.domain import Cohort
from tests.unit.statistics.made_up_cohort import make_study

ERROR_SD, LEVEL_SD, CHANGE, CHANGE_SD = 2.0, 4.0, 0.2, 0.5
FIRST_DAY = 12_000  # days since 1970
STUDY = make_study(cohorts={"Clinic": {"where": "true"}}, endpoints={}, covariates={}, models={}, analysis={})


def make_images(
    n: int = 300, seed: int = 3, *, days: int = 4, repeats: float = 0.5, kind: str = "vfa"
) -> pl.DataFrame:
    """Return up to ``days`` days a subject, a share ``repeats`` of them with two images; PAD as its parts say."""
    rng = np.random.default_rng(seed)
    subject = np.repeat(np.arange(n), rng.integers(1, days + 1, n))
    day = rng.integers(0, 2500, len(subject))
    n_images = 1 + (rng.random(len(subject)) < repeats)
    subject, day = np.repeat(subject, n_images), np.repeat(day, n_images)
    years = day / 365.25
    age = rng.normal(65, 8, n)[subject] + years
    change = rng.normal(CHANGE, CHANGE_SD, n)[subject]
    pad = rng.normal(0, LEVEL_SD, n)[subject] + change * years + rng.normal(0, ERROR_SD, len(subject))
    return pl.DataFrame(
        {
            "subject_id": [f"{kind}-{s}" for s in subject],
            "sop_instance_uid": [f"1.{i}" for i in range(len(subject))],
            "study_date": pl.Series((day + FIRST_DAY).astype(np.int32)).cast(pl.Date),
            "study_time": pl.Series([None] * len(subject), dtype=pl.String),
            "kind": kind,
            "sex": "F",
            "age_years": age,
            "spine_age_raw": age + pad,
            "spine_age_corrected": age + 0.9 * pad,
            "pad_raw": pad,
            "pad_corrected": 0.9 * pad,
            "pixel_sha256": [f"pixels {i}" for i in range(len(subject))],
        }
    )


def make_clinic(images: pl.DataFrame, name: str = "Clinic") -> Cohort:
    """Return a cohort of these images whose index image is the first of each subject."""
    index = images.sort("subject_id", "study_date").unique("subject_id", keep="first", maintain_order=True)
    return Cohort(name, index.with_columns(pl.lit("A").alias("manufacturer")), {}, pl.DataFrame(), images)

"""A made-up study and cohort for the tests of the analysis."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from spinescore.domain import Cohort
from spinescore.study import Study

SETTINGS: dict[str, Any] = {
    "study": {"title": "t", "database": "d.duckdb"},
    "subjects": {"file": "f.csv", "id": "id"},
    "cohorts": {"vfa": {"where": "true"}},
    "endpoints": {
        "fracture": {
            "type": "survival",
            "event": "fx",
            "time": "t",
            "time_origin": "image",
            "competing": "death",
        },
        "death": {"type": "survival", "event": "death", "time": "td", "time_origin": "image"},
        "osteoporosis": {"type": "binary", "column": "op"},
        "prevalent outcome": {"type": "binary", "column": "prevalent"},
    },
    "covariates": {
        "bmi": {"column": "bmi"},
        "smoking": {"column": "smoking", "type": "categorical", "reference": "never"},
        "prevalent": {"column": "prevalent", "type": "categorical", "reference": "0"},
    },
    "models": {
        "Model 1": ["age", "sex"],
        "Model 2": ["age", "sex", "bmi", "prevalent"],
        "Model 3": ["age", "sex", "bmi", "prevalent", "smoking"],
        "No age": ["sex"],
    },
    "analysis": {
        "primary": {"endpoint": "fracture", "model": "Model 1"},
        "horizons_years": [5.0, 50.0],
        "bootstraps": 0,
    },
}


def make_study(**changes: Any) -> Study:
    """Return the study, with some sections replaced."""
    return Study.model_validate({**SETTINGS, **changes})


def make_cohort(n: int = 500, seed: int = 1, *, event_rate: float = 0.05, late: bool = False) -> Cohort:
    """Return a cohort whose PAD raises both hazards; Beheshti-corrected with the cohort's own line."""
    rng = np.random.default_rng(seed)
    age = rng.normal(70, 8, n)
    gap = rng.normal(0, 4, n)
    spine_age = 0.8 * age + 14 + gap + rng.normal(0, 2, n)
    a, b = np.polyfit(age, spine_age - age, 1)
    bmi = np.where(rng.random(n) < 0.1, np.nan, rng.normal(26, 4, n))
    prevalent = (rng.random(n) < 0.2).astype(int)
    subjects = pl.DataFrame(
        {
            "subject_id": [f"s{i}" for i in range(n)],
            "sop_instance_uid": [f"1.{i}" for i in range(n)],
            "kind": "vfa",
            "sex": rng.choice(["F", "M"], n),
            "age_years": age,
            "manufacturer": rng.choice(["ACME", "Umbrella"], n),
            "spine_age_raw": spine_age,
            "spine_age_sd": 2.0,
            "spine_age_corrected": spine_age - (a * age + b),
            "pad_raw": spine_age - age,
            "pad_corrected": spine_age - (a * age + b) - age,
            "bmi": bmi,
            "smoking": rng.choice(["never", "past", "now"], n),
            "prevalent": prevalent,
            "prevalent outcome": prevalent,
            "osteoporosis": (rng.random(n) < 1 / (1 + np.exp(1 - 0.1 * gap))).astype(int),
        }
    ).with_columns(pl.col("bmi").fill_nan(None))
    hazard = event_rate * np.exp(0.1 * gap + 0.03 * (age - 70))
    fracture, death = rng.exponential(1 / hazard), rng.exponential(1 / (0.5 * hazard))
    end = rng.uniform(3, 12, n)
    entry = np.where(late, np.minimum(rng.uniform(0, 2, n), 0.0 + late * 2), 0.0)
    return Cohort(
        "vfa",
        subjects,
        {
            "fracture": _follow_up(subjects, entry, [fracture, death], end),
            "death": _follow_up(subjects, entry, [death], end),
        },
        pl.DataFrame(),
    )


def _follow_up(
    subjects: pl.DataFrame, entry: np.ndarray, events: list[np.ndarray], end: np.ndarray
) -> pl.DataFrame:
    times = np.vstack([end, *events])
    frame = pl.DataFrame(
        {
            "subject_id": subjects["subject_id"],
            "entry_years": entry,
            "exit_years": np.ceil(times.min(axis=0) * 52) / 52,
            "status": times.argmin(axis=0),
        }
    )
    return frame.filter(pl.col("exit_years") > pl.col("entry_years"))

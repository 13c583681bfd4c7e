"""A study on the harder of the reference tables, analysed as any study is: its rows are held against R."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import polars as pl

from spinescore.core.analysis import analyze
from spinescore.core.verification.references import References
from spinescore.domain import Analysis, Cohort, CurvePoint, Result
from spinescore.study import Study

MODELS = {"short": ["age", "sex"], "long": ["age", "sex", "bmi", "smoking"]}
CLOCKS = ("plain", "late")
SURVIVAL = {"type": "survival", "event": "e", "time": "t", "time_origin": "image"}
CATEGORICAL = {"type": "categorical"}
SETTINGS: dict[str, Any] = {
    "study": {"title": "Reference", "database": "none.duckdb"},
    "subjects": {"file": "association.csv", "id": "id"},
    "cohorts": {"all": {"where": "true"}},
    "endpoints": {
        **{
            clock: SURVIVAL | {"strata": ["site", "sex"], "cluster": "ward", "competing": "other"}
            for clock in CLOCKS
        },
        "other": SURVIVAL,
    },
    "covariates": {
        "bmi": {"column": "bmi"},
        "smoking": {"column": "smoking", "reference": "never", **CATEGORICAL},
        "site": {"column": "site", **CATEGORICAL},
        "ward": {"column": "ward", **CATEGORICAL},
    },
    "models": MODELS,
    "analysis": {
        "landmark_years": [1.0, 2.5],
        "subgroups": ["sex", "age_band", "smoking", "site"],
        "bootstraps": 0,
    },
}


@dataclass(frozen=True)
class ReferenceStudy:
    """The study of ``association.csv``: near-ties, times of 0, strata, wards, rare levels, missing values."""

    references: References

    @cached_property
    def study(self) -> Study:
        """Return its settings."""
        return Study.model_validate(SETTINGS)

    @cached_property
    def cohort(self) -> Cohort:
        """Return its subjects and their follow-up."""
        table = self.references.tables["association"]
        subjects = table.select(
            pl.col("id").cast(pl.String).alias("subject_id"),
            pl.col("id").cast(pl.String).alias("sop_instance_uid"),
            pl.lit("vfa").alias("kind"),
            "sex",
            pl.col("age").alias("age_years"),
            pl.lit("ACME").alias("manufacturer"),
            (pl.col("age") + pl.col("pad_raw")).alias("spine_age_raw"),
            pl.lit(2.0).alias("spine_age_sd"),
            (pl.col("age") + pl.col("pad")).alias("spine_age_corrected"),
            "pad_raw",
            pl.col("pad").alias("pad_corrected"),
            *("bmi", "smoking", "site", "ward"),
        )
        late = table.select(
            pl.col("id").cast(pl.String).alias("subject_id"),
            pl.col("entry").alias("entry_years"),
            pl.col("exit").alias("exit_years"),
            "status",
        )
        plain = late.with_columns(entry_years=pl.lit(0.0))
        follow_up = {"plain": plain, "late": late.filter(pl.col("exit_years") > 0), "other": plain}
        return Cohort("all", subjects, follow_up, pl.DataFrame())

    @cached_property
    def analysis(self) -> Analysis:
        """Analyse it, once."""
        return analyze([self.cohort], self.study, correction_method="beheshti", correction_flags={})

    def row(self, **keys: Any) -> Result:
        """Return the one row that has these keys.

        Raises
        ------
        ValueError
            If there are none or several.
        """
        rows = [r for r in self.analysis.results if all(getattr(r, k) == v for k, v in keys.items())]
        if len(rows) != 1:
            raise ValueError(f"{len(rows)} rows of {keys}")
        return rows[0]

    def points(self, analysis: str, clock: str, model: str) -> list[CurvePoint]:
        """Return the points of a line."""
        wanted = (analysis, clock, model)
        return [p for p in self.analysis.curves if (p.analysis, p.endpoint, p.model) == wanted]

"""Follow-up of a phantom cohort, drawn from known hazards of the latent gap.

Vertebral fracture, non-vertebral fracture and death have Weibull hazards,
``shape * rate * t**(shape - 1) * exp(linear predictor)``, independent of one
another given the covariates. Both fractures share shape and coefficients (but
for the two binary ones of ``VERTEBRAL_EXTRA``), so the hazard of *any*
fracture, their sum, is proportional in the gap with the very same hazard ratio.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from spinescore.core.phantom.person import (
    GAP_SD_YEARS,
    CohortName,
    Columns,
    Person,
    draw_people,
    shape_population,
)
from spinescore.core.phantom.randomness import open_generator
from spinescore.domain import DAYS_PER_YEAR

__all__ = [
    "HAZARDS",
    "CohortName",
    "Endpoint",
    "Hazard",
    "Person",
    "compute_linear_predictor",
    "draw_event_years",
    "draw_follow_up",
    "draw_people",
    "find_gap_log_hazard",
    "shape_population",
]

Endpoint = Literal["any_fracture", "vertebral_fracture", "nonvertebral_fracture", "death"]
CAUSES = ("vertebral_fracture", "nonvertebral_fracture", "death")
CENTRE_AGE_YEARS = 70.0
CENTRE_BMI = 24.0


@dataclass(frozen=True, slots=True)
class Hazard:
    """A true cause-specific hazard; coefficients are log hazard ratios.

    Parameters
    ----------
    rate_per_year : float
        Weibull rate of a man of 70 with BMI 24, gap 0 and every other covariate 0.
    shape : float
        Weibull shape; 1 is a constant hazard.
    log_hazard_ratios : mapping
        Per 4 years (one SD) of ``gap``, per year of ``age``, per kg/m2 of ``bmi``, and per
        presence of ``female``, ``smoking``, ``prevalent_vertebral_fracture``, ``osteoporosis``.
    """

    rate_per_year: float
    shape: float
    log_hazard_ratios: Mapping[str, float]


FRACTURE_LOG_HAZARD_RATIOS = {
    "gap": 0.50,
    "age": 0.030,
    "female": 0.40,
    "bmi": -0.02,
    "smoking": 0.25,
    "osteoporosis": 0.45,
    "prevalent_vertebral_fracture": 0.40,
}
# what sets a vertebral fracture apart; binary, and one only, so that the sum stays proportional
VERTEBRAL_EXTRA = {"prevalent_vertebral_fracture": 0.45}
HAZARDS: Mapping[str, Hazard] = MappingProxyType(
    {
        "vertebral_fracture": Hazard(
            rate_per_year=0.0060,
            shape=1.1,
            log_hazard_ratios=MappingProxyType(
                {k: b + VERTEBRAL_EXTRA.get(k, 0.0) for k, b in FRACTURE_LOG_HAZARD_RATIOS.items()}
            ),
        ),
        "nonvertebral_fracture": Hazard(
            rate_per_year=0.0066, shape=1.1, log_hazard_ratios=MappingProxyType(FRACTURE_LOG_HAZARD_RATIOS)
        ),
        "death": Hazard(
            rate_per_year=0.011,
            shape=1.2,
            log_hazard_ratios=MappingProxyType(
                {
                    "gap": 0.30,
                    "age": 0.085,
                    "female": -0.45,
                    "bmi": -0.02,
                    "smoking": 0.50,
                    "osteoporosis": 0.10,
                    "prevalent_vertebral_fracture": 0.25,
                }
            ),
        ),
    }
)
CENSORING_YEARS = (3.0, 9.5)  # administrative, uniform
LOSS_PER_YEAR = 0.012
MISSING_SHARE = {"bmi": 0.03, "smoking": 0.03, "glucocorticoids": 0.02, "osteoporosis": 0.06}
COVARIATES = (
    "bmi",
    "smoking",
    "prior_fracture",
    "glucocorticoids",
    "rheumatoid_arthritis",
    "prevalent_vertebral_fracture",
    "osteoporosis",
)
DRAWS_PER_SUBJECT = len(CAUSES) + 2


def find_gap_log_hazard(endpoint: Endpoint) -> float:
    """Return the true log hazard ratio per 4 years (one SD) of the latent gap.

    >>> find_gap_log_hazard("any_fracture") == find_gap_log_hazard("vertebral_fracture")
    True
    """
    cause = "vertebral_fracture" if endpoint == "any_fracture" else endpoint
    return HAZARDS[cause].log_hazard_ratios["gap"]


def compute_linear_predictor(columns: Columns, cause: str) -> npt.NDArray[np.float64]:
    """Return the log of each subject's hazard relative to the reference subject's."""
    beta = HAZARDS[cause].log_hazard_ratios
    predictor = (
        beta["gap"] * columns["gap"] / GAP_SD_YEARS
        + beta["age"] * (columns["age"] - CENTRE_AGE_YEARS)
        + beta["bmi"] * (columns["bmi"] - CENTRE_BMI)
    )
    for name in ("female", "smoking", "osteoporosis", "prevalent_vertebral_fracture"):
        predictor = predictor + beta[name] * columns[name]
    return predictor


def draw_event_years(
    columns: Columns, uniforms: npt.NDArray[np.float64]
) -> dict[str, tuple[npt.NDArray[np.bool_], npt.NDArray[np.float64]]]:
    """Draw events and times of every endpoint.

    Parameters
    ----------
    columns : Columns
        Covariates of ``shape_population``.
    uniforms : array of shape (n, DRAWS_PER_SUBJECT)
        Independent draws from [0, 1), one row per subject.

    Returns
    -------
    dict
        Per endpoint whether the event was seen and the years until event, death or
        censoring, not rounded.
    """
    u = np.clip(uniforms, 1e-12, 1 - 1e-12).T
    latent = {}
    for cause, draw in zip(CAUSES, u, strict=False):
        hazard = HAZARDS[cause]
        rate = hazard.rate_per_year * np.exp(compute_linear_predictor(columns, cause))
        latent[cause] = (-np.log(draw) / rate) ** (1 / hazard.shape)
    low, high = CENSORING_YEARS
    censored = np.minimum(low + (high - low) * u[3], -np.log(u[4]) / LOSS_PER_YEAR)
    end = np.minimum(censored, latent["death"])
    latent["any_fracture"] = np.minimum(latent["vertebral_fracture"], latent["nonvertebral_fracture"])
    seen = {
        endpoint: (latent[endpoint] <= end, np.minimum(latent[endpoint], end))
        for endpoint in ("any_fracture", "vertebral_fracture", "nonvertebral_fracture")
    }
    seen["death"] = (latent["death"] <= censored, end)
    return seen


def draw_follow_up(people: Sequence[Person], *, seed: int) -> pl.DataFrame:
    """Draw the follow-up table an epidemiologist would keep; the latent gap is not in it.

    Returns
    -------
    polars.DataFrame
        One row per subject: ``subject_id, sex, age`` (years at imaging), the covariates (a
        few per cent null in those of ``MISSING_SHARE``), then per endpoint the event (0/1)
        and ``<endpoint>_years`` (whole days, at least one). A subject's row depends on no other's.
    """
    names = (*COVARIATES, "age_years", "gap_years")
    given = {name: np.array([float(getattr(p, name)) for p in people]) for name in names}
    columns = given | {
        "age": given["age_years"],
        "gap": given["gap_years"],
        "female": np.array([float(p.sex == "F") for p in people]),
    }
    draws = DRAWS_PER_SUBJECT + len(MISSING_SHARE)
    uniforms = np.array([open_generator(seed, p.subject_id, "follow-up").random(draws) for p in people])
    uniforms = uniforms.reshape(-1, draws)
    table: dict[str, pl.Series] = {
        "subject_id": pl.Series([p.subject_id for p in people], dtype=pl.String),
        "sex": pl.Series([p.sex for p in people], dtype=pl.String),
        "age": pl.Series(given["age_years"].round(2)),
    }
    missing = dict(zip(MISSING_SHARE, uniforms[:, DRAWS_PER_SUBJECT:].T, strict=True))
    for name in COVARIATES:
        values = pl.Series(given[name].round(1))
        values = values if name == "bmi" else values.cast(pl.Int8)
        if name in missing:
            known = pl.Series(missing[name] >= MISSING_SHARE[name])
            values = pl.select(pl.when(known).then(values)).to_series()
        table[name] = values
    for endpoint, (event, years) in draw_event_years(columns, uniforms[:, :DRAWS_PER_SUBJECT]).items():
        table[endpoint] = pl.Series(event.astype(np.int8))
        table[f"{endpoint}_years"] = pl.Series(
            (np.maximum(np.round(years * DAYS_PER_YEAR), 1) / DAYS_PER_YEAR).round(5)
        )
    return pl.DataFrame(table)

"""The phantom population: who is imaged, how old they are and how old their spine is."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.special import betaincinv, expit, ndtri

from spinescore.core.phantom.randomness import open_generator
from spinescore.domain import DAYS_PER_YEAR

CohortName = Literal["derivation", "vfa"]
Columns = dict[str, npt.NDArray[np.float64]]

GAP_SD_YEARS = 4.0
DRAWS = (
    "age",
    "sex",
    "gap",
    "bmi",
    "smoking",
    "prior_fracture",
    "glucocorticoids",
    "rheumatoid_arthritis",
    "osteoporosis",
    "prevalent_vertebral_fracture",
    "study_date",
)
# youngest, oldest (years), then the shape of the Beta distribution between them
AGES: dict[CohortName, tuple[float, float, float, float]] = {
    "derivation": (40.0, 90.0, 1.5, 1.6),
    "vfa": (65.0, 95.0, 1.2, 1.8),
}
FIRST_STUDY_DATE = date(2010, 1, 4)
STUDY_DAYS = 8 * 365


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """One phantom subject; ``gap_years`` is latent and known to nobody but the phantom."""

    subject_id: str
    sex: Literal["F", "M"]
    age_years: float
    gap_years: float
    bmi: float
    smoking: int
    prior_fracture: int
    glucocorticoids: int
    rheumatoid_arthritis: int
    osteoporosis: int
    prevalent_vertebral_fracture: int
    birth_date: date
    study_date: date

    @property
    def biological_age_years(self) -> float:
        """The age of the spine: chronological age plus the latent gap."""
        return self.age_years + self.gap_years


def shape_population(uniforms: npt.NDArray[np.float64], cohort: CohortName) -> Columns:
    """Turn uniform draws into the covariates of a population.

    Parameters
    ----------
    uniforms : array of shape (n, len(DRAWS))
        Independent draws from [0, 1), one row per subject.
    cohort : "derivation" or "vfa"
        Decides the age range: 40-90 or 65-95 years.

    Returns
    -------
    Columns
        One array of length n per covariate; ``female`` is 1 for women, ``age``, ``gap``
        and ``biological_age`` are in years, ``bmi`` in kg/m2, ``study_day`` counts from
        ``FIRST_STUDY_DATE``. Osteoporosis and prevalent fracture depend on biological
        age, everything else on chronological age at most.
    """
    u = dict(zip(DRAWS, np.clip(uniforms, 1e-12, 1 - 1e-12).T, strict=True))
    youngest, oldest, alpha, beta = AGES[cohort]
    days = np.ceil((youngest + (oldest - youngest) * betaincinv(alpha, beta, u["age"])) * DAYS_PER_YEAR)
    age = days / DAYS_PER_YEAR
    gap = GAP_SD_YEARS * ndtri(u["gap"])
    biological = age + gap
    female = (u["sex"] < 0.68).astype(float)
    bmi = np.clip(24.0 + 3.4 * ndtri(u["bmi"]), 15.0, 42.0)
    osteoporosis = u["osteoporosis"] < expit(
        -2.1 + 0.075 * (biological - 65) + 1.0 * female - 0.08 * (bmi - 24)
    )
    fracture_risk = expit(-2.7 + 0.085 * (biological - 65) + 0.7 * osteoporosis)
    return {
        "age_days": days,
        "age": age,
        "gap": gap,
        "biological_age": biological,
        "female": female,
        "bmi": bmi,
        "smoking": (u["smoking"] < 0.22 - 0.15 * female).astype(float),
        "prior_fracture": (u["prior_fracture"] < expit(-2.0 + 0.03 * (age - 65))).astype(float),
        "glucocorticoids": (u["glucocorticoids"] < 0.06).astype(float),
        "rheumatoid_arthritis": (u["rheumatoid_arthritis"] < 0.04).astype(float),
        "osteoporosis": osteoporosis.astype(float),
        "prevalent_vertebral_fracture": (u["prevalent_vertebral_fracture"] < fracture_risk).astype(float),
        "study_day": np.floor(u["study_date"] * STUDY_DAYS),
    }


def draw_people(n: int, *, seed: int, cohort: CohortName) -> list[Person]:
    """Draw the first ``n`` subjects of a seed; subject i is the same whatever ``n`` is."""
    if n < 1:
        return []
    ids = [f"{'DER' if cohort == 'derivation' else 'VFA'}-{seed}-{i:05d}" for i in range(n)]
    uniforms = np.stack([open_generator(seed, subject_id, "person").random(len(DRAWS)) for subject_id in ids])
    columns = shape_population(uniforms, cohort)
    return [_build_person(subject_id, columns, i) for i, subject_id in enumerate(ids)]


def _build_person(subject_id: str, columns: Columns, i: int) -> Person:
    study_date = FIRST_STUDY_DATE + timedelta(days=int(columns["study_day"][i]))
    return Person(
        subject_id=subject_id,
        sex="F" if columns["female"][i] else "M",
        age_years=float(columns["age"][i]),
        gap_years=float(columns["gap"][i]),
        bmi=float(columns["bmi"][i]),
        smoking=int(columns["smoking"][i]),
        prior_fracture=int(columns["prior_fracture"][i]),
        glucocorticoids=int(columns["glucocorticoids"][i]),
        rheumatoid_arthritis=int(columns["rheumatoid_arthritis"][i]),
        osteoporosis=int(columns["osteoporosis"][i]),
        prevalent_vertebral_fracture=int(columns["prevalent_vertebral_fracture"][i]),
        birth_date=study_date - timedelta(days=int(columns["age_days"][i])),
        study_date=study_date,
    )

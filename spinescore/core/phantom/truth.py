"""What a Cox model would find in endless phantom data when the gap is only estimated."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from spinescore.core.phantom.followup import (
    DRAWS_PER_SUBJECT,
    Endpoint,
    draw_event_years,
    find_gap_log_hazard,
)
from spinescore.core.phantom.person import DRAWS, CohortName, Columns, shape_population
from spinescore.core.phantom.randomness import open_generator

Array = npt.NDArray[np.float64]
NEWTON_TOLERANCE = 1e-9
NEWTON_STEPS = 25


@dataclass(frozen=True, slots=True, kw_only=True)
class PadModel:
    """How a network reads the gap: estimated PAD = a + b age + c gap + N(0, s), in years."""

    intercept: float
    per_year_of_age: float
    per_year_of_gap: float
    residual_sd_years: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LargeSampleTruth:
    """The limit of a fitted hazard ratio, beside the hazard ratio of the generating model.

    ``log_hazard_ratio`` is per 1 SD (``pad_sd_years``) of the estimated PAD and ``se`` its
    Monte Carlo error; ``generating_log_hazard_ratio`` is per 4 years of the latent gap.
    """

    endpoint: Endpoint
    covariates: tuple[str, ...]
    log_hazard_ratio: float
    se: float
    pad_sd_years: float
    generating_log_hazard_ratio: float
    n: int
    events: int

    @property
    def hazard_ratio(self) -> float:
        """The hazard ratio per SD of the estimated PAD."""
        return math.exp(self.log_hazard_ratio)

    @property
    def generating_hazard_ratio(self) -> float:
        """The hazard ratio per 4 years of the latent gap."""
        return math.exp(self.generating_log_hazard_ratio)


def fit_pad_model(pad_years: Array, age_years: Array, gap_years: Array) -> PadModel:
    """Fit, by least squares, how an estimated PAD follows age and the latent gap of phantoms.

    Parameters
    ----------
    pad_years, age_years, gap_years : arrays of shape (n,)
        Estimated PAD (raw or corrected), chronological age and the phantom's own gap.
    """
    design = np.column_stack([np.ones_like(age_years), age_years, gap_years])
    coefficients, *_ = np.linalg.lstsq(design, pad_years, rcond=None)
    residuals = pad_years - design @ coefficients
    return PadModel(
        intercept=float(coefficients[0]),
        per_year_of_age=float(coefficients[1]),
        per_year_of_gap=float(coefficients[2]),
        residual_sd_years=float(np.sqrt(residuals @ residuals / max(len(residuals) - 3, 1))),
    )


def large_sample_truth(
    pad_model: PadModel,
    *,
    covariates: Sequence[str] = ("age", "sex"),
    endpoint: Endpoint = "any_fracture",
    cohort: CohortName = "derivation",
    n: int = 1_000_000,
    seed: int,
) -> LargeSampleTruth:
    """Find the hazard ratio per SD that a Cox model with an *estimated* PAD converges to.

    The estimand is the limit of the partial likelihood estimate (cause-specific: death
    censors) of PAD beside ``covariates``: error in PAD attenuates it, and covariates left
    out of the model move it, hazard ratios being non-collapsible (STATISTICS.md, "Truth").

    Parameters
    ----------
    pad_model : PadModel
        How PAD is estimated; see `fit_pad_model`.
    covariates : sequence of str
        The model's other terms: columns of the follow-up table; ``sex`` enters as female.
    endpoint : str
        The outcome.
    cohort : "derivation" or "vfa"
        Whose ages.
    n : int
        Follow-ups simulated; 10^6 give a Monte Carlo error of about 0.003 on the log scale.
    seed : int
        Seed of the simulation.
    """
    rng = open_generator(seed, "large-sample truth", cohort)
    columns = shape_population(rng.random((n, len(DRAWS))), cohort)
    event, years = draw_event_years(columns, rng.random((n, DRAWS_PER_SUBJECT)))[endpoint]
    pad = pad_model.intercept + pad_model.per_year_of_age * columns["age"]
    pad += pad_model.per_year_of_gap * columns["gap"]
    pad += pad_model.residual_sd_years * rng.standard_normal(n)
    beta, se = fit_cox(_build_design(pad, columns, covariates), years, event)
    return LargeSampleTruth(
        endpoint=endpoint,
        covariates=tuple(covariates),
        log_hazard_ratio=float(beta[0]),
        se=float(se[0]),
        pad_sd_years=float(pad.std(ddof=1)),
        generating_log_hazard_ratio=find_gap_log_hazard(endpoint),
        n=n,
        events=int(event.sum()),
    )


def _build_design(pad: Array, columns: Columns, covariates: Sequence[str]) -> Array:
    """Return PAD in SDs and centred covariates, one column each."""
    terms = [pad / pad.std(ddof=1), *(columns["female" if c == "sex" else c] for c in covariates)]
    return np.column_stack([term - term.mean() for term in terms])


def fit_cox(design: Array, years: Array, event: npt.NDArray[np.bool_]) -> tuple[Array, Array]:
    """Fit a Cox model by Newton's method (continuous times: no ties), lean enough for 10^6 rows.

    Parameters
    ----------
    design : array of shape (n, p)
        Covariates, centred.
    years, event : arrays of shape (n,)
        Follow-up and whether it ended in the event.

    Returns
    -------
    beta, se : arrays of shape (p,)
        Log hazard ratios and their model-based standard errors.
    """
    order = np.argsort(-years, kind="stable")
    x, happened = design[order], event[order]
    beta = np.zeros(design.shape[1])
    for _ in range(NEWTON_STEPS):
        gradient, information = _score_partial_likelihood(x, happened, beta)
        step = np.linalg.solve(information, gradient)
        beta += step
        if float(np.abs(step).max()) < NEWTON_TOLERANCE:
            break
    return beta, np.sqrt(np.diag(np.linalg.inv(information)))


def _score_partial_likelihood(x: Array, happened: npt.NDArray[np.bool_], beta: Array) -> tuple[Array, Array]:
    """Return gradient and information of the log partial likelihood; rows run from the longest time down."""
    weight = np.exp(x @ beta)
    at_risk = np.cumsum(weight)[happened]
    p = x.shape[1]
    means = np.empty((len(at_risk), p))
    for j in range(p):
        means[:, j] = np.cumsum(weight * x[:, j])[happened] / at_risk
    information = np.empty((p, p))
    for j in range(p):
        for k in range(j + 1):
            second = np.cumsum(weight * x[:, j] * x[:, k])[happened] / at_risk
            information[j, k] = information[k, j] = float((second - means[:, j] * means[:, k]).sum())
    gradient: Array = (x[happened] - means).sum(axis=0)
    return gradient, information

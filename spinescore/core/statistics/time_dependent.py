"""Predicted risks at a horizon: IPCW AUC, Brier score and IPA, each with its standard error."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spinescore.core.statistics.censoring import estimate_censoring
from spinescore.core.statistics.competing_risks import estimate_cumulative_incidence
from spinescore.core.statistics.estimate import (
    BoolArray,
    Estimate,
    FloatArray,
    IntArray,
    clip_to_unit,
    normal_interval,
)
from spinescore.core.statistics.times import FollowUp


@dataclass(frozen=True, slots=True)
class Horizon:
    """Who is a case and who a control at a horizon, with inverse-probability-of-censoring weights.

    Parameters
    ----------
    case, control : boolean arrays of shape (n,)
        Had the event by then; did not (still at risk, or a competing event came first). Those censored
        before are neither.
    weight : array of shape (n,)
        1 / G(T-) for who had an event by the horizon, 1 / G(horizon) for who is still at risk, else 0.
    position : integer array of shape (n,)
        The first distinct exit time whose censorings the weight does not look at.
    inverse : integer array of shape (n,)
        Each subject's exit among the distinct exit times.
    jump : array of shape (m,)
        1 / number at risk at each distinct exit time.
    compensator : array of shape (m,)
        Censorings over that number, squared.
    censored : boolean array of shape (n,)
    problem : str, optional
        Why nothing can be estimated at this horizon.
    """

    case: BoolArray
    control: BoolArray
    weight: FloatArray
    position: IntArray
    inverse: IntArray
    jump: FloatArray
    compensator: FloatArray
    censored: BoolArray
    problem: str | None = None

    def influence(self, direct: FloatArray) -> FloatArray:
        """Add to each subject's direct influence what it does through the estimate of G.

        Parameters
        ----------
        direct : array of shape (n,)
            Derivatives with respect to each subject's weight; each is proportional to 1 / G of its own.
        """
        ahead = np.bincount(self.position, weights=direct, minlength=len(self.jump) + 1)
        later = np.cumsum(ahead[::-1])[::-1][1:]
        drift = np.cumsum(later * self.compensator)
        own = np.where(self.censored, (later * self.jump)[self.inverse], 0.0)
        return np.asarray(direct + own - drift[self.inverse])


def _spread(influence: FloatArray) -> float:
    """Return the standard error of a mean of influences: ddof 1, as ``riskRegression`` has it."""
    n = len(influence)
    return float(np.sqrt(np.sum(influence**2) * n / (n - 1))) if n > 1 else float("nan")


def weigh_horizon(follow_up: FollowUp, horizon_years: float) -> Horizon:
    """Tell cases from controls at a horizon and weigh them.

    G is the Kaplan-Meier estimate of staying uncensored; at a tie events leave before censorings. Limits:
    censoring must not depend on the predictors; left truncation is refused.

    Source: Blanche, Dartigues and Jacqmin-Gadda 2013, Stat Med 32:5381; Gerds and Schumacher 2006.
    """
    curve = estimate_censoring(follow_up)
    censored = curve.censored
    early = ~censored & (follow_up.exit <= horizon_years)
    late = follow_up.exit > horizon_years
    case = early & (follow_up.status == 1)
    position = np.where(early, curve.inverse, np.searchsorted(curve.times, horizon_years, side="right"))
    probability = curve.uncensored[position]
    known = (early | late) & (probability > 0)
    weight = np.divide(1.0, probability, out=np.zeros(len(position)), where=known)
    jump = 1 / curve.at_risk  # at ties the influence counts events as at risk, as riskRegression does
    problem = None
    if follow_up.truncated:
        problem = "left truncation: inverse-probability weights are not defined for it here"
    elif not late.any():
        problem = "beyond follow-up"
    elif not case.any():
        problem = "0 events"
    control = (late | early) & ~case
    return Horizon(
        case, control, weight, position, curve.inverse, jump, curve.censorings * jump**2, censored, problem
    )


@dataclass(frozen=True, slots=True)
class Measure:
    """A number with each subject's influence on it; ``problem`` says why there is none."""

    value: float
    influence: FloatArray
    problem: str | None = None

    @property
    def se(self) -> float:
        """Return the standard error."""
        return _spread(self.influence)


def measure_auc_at(horizon: Horizon, score: FloatArray) -> Measure:
    """IPCW AUC at the horizon: cumulative cases against controls, O(n log n).

    Estimand: P(score of a case > score of a control), controls being everyone without the event by then,
    those with a competing event included; ties half. Influence: exact derivative, G's estimation included.

    Source: Blanche et al. 2013; equal to ``riskRegression::Score`` with ``cens.model = "km"``.
    """
    if horizon.problem:
        return Measure(np.nan, np.zeros(len(score)), horizon.problem)
    cases = np.where(horizon.case, horizon.weight, 0.0)
    controls = np.where(horizon.control, horizon.weight, 0.0)
    _, rank = np.unique(score, return_inverse=True)
    case_sums, control_sums = np.bincount(rank, weights=cases), np.bincount(rank, weights=controls)
    controls_below = (np.cumsum(control_sums) - control_sums / 2)[rank]
    cases_above = (case_sums.sum() - np.cumsum(case_sums) + case_sums / 2)[rank]
    n_cases, n_controls = float(cases.sum()), float(controls.sum())
    auc = float(np.sum(cases * controls_below)) / (n_cases * n_controls)
    of_cases = cases * (controls_below / n_controls - auc) / n_cases
    of_controls = controls * (cases_above / n_cases - auc) / n_controls
    return Measure(auc, horizon.influence(of_cases + of_controls))


def measure_brier(horizon: Horizon, risk: FloatArray | float) -> Measure:
    """IPCW Brier score at the horizon: the mean squared difference of predicted risk and outcome.

    Parameters
    ----------
    horizon : Horizon
    risk : array of shape (n,) or float
        Predicted probability of the event by the horizon.

    Source: Graf et al. 1999; Gerds and Schumacher 2006; equal to ``riskRegression::Score``.
    """
    n = len(horizon.weight)
    if horizon.problem and horizon.problem != "0 events":
        return Measure(np.nan, np.zeros(n), horizon.problem)
    errors = horizon.weight * (horizon.case - np.broadcast_to(risk, n)) ** 2 / n
    value = float(errors.sum())
    return Measure(value, horizon.influence(errors) - value / n)


def measure_null_brier(horizon: Horizon, follow_up: FollowUp, horizon_years: float) -> Measure:
    """Brier score of giving everybody the cohort's own cumulative incidence (Aalen-Johansen)."""
    curve = estimate_cumulative_incidence(follow_up, 1, 0.95)
    last = curve.at(horizon_years)
    return measure_brier(horizon, float(curve.values[last]) if last >= 0 else 0.0)


def measure_ipa(brier: Measure, null: Measure) -> Measure:
    """Index of prediction accuracy: 1 - Brier / Brier of the null model; influence by the delta method.

    Limits: the null model's own estimation is in its Brier score's influence only as that of a fixed risk.

    Source: Kattan and Gerds 2018, Diagn Progn Res 2:7.
    """
    problem = brier.problem or null.problem or (None if null.value > 0 else "0 events")
    if problem:
        return Measure(np.nan, np.zeros_like(brier.influence), problem)
    ratio = brier.value / null.value
    return Measure(1 - ratio, (ratio * null.influence - brier.influence) / null.value)


def estimate_measure(measure: Measure, conf_level: float, *, bounded: bool = True) -> Estimate:
    """Return a measure with its interval; that of an AUC or Brier score is kept within [0, 1]."""
    if measure.problem:
        return Estimate(problem=measure.problem)
    interval = normal_interval(measure.value, measure.se, conf_level)
    return clip_to_unit(interval) if bounded else interval


def compare_measures(first: Measure, second: Measure, conf_level: float, *, test: bool) -> Estimate:
    """Return first minus second on the same subjects, from their joint influence.

    Limits: ``test`` must be False where models are nested and fitted to these subjects (Demler 2012).
    """
    for measure in (first, second):
        if measure.problem:
            return Estimate(problem=measure.problem)
    se = _spread(first.influence - second.influence)
    return normal_interval(first.value - second.value, se, conf_level, test=test)

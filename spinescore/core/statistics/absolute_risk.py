"""The risk of an event by a horizon, from Cox models whose coefficients and baseline hazards are kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.polynomial import chebyshev
from scipy.special import expit

from spinescore.core.statistics.cox import CoxFit, PartialLikelihood, fit_cox
from spinescore.core.statistics.estimate import BoolArray, FloatArray
from spinescore.core.statistics.fine_gray import WeightedLikelihood
from spinescore.core.statistics.logistic import LogisticFit
from spinescore.core.statistics.times import FollowUp

FEWEST_EVENTS = 5
LARGEST_DIRECT = 20_000_000  # subjects times event times summed one by one; beyond, interpolated
BLOCK = 4_000_000
LARGEST_LOG = 300.0  # of a hazard ratio: beyond, a risk is 0 or 1 anyway
CHEBYSHEV_DEGREES = (24, 48, 96)
CHEBYSHEV_TOLERANCE = 1e-11


@dataclass(frozen=True, slots=True)
class FrozenHazard:
    """A proportional hazards model that can be applied to anyone: coefficients and baseline.

    Parameters
    ----------
    coefficients, centre : arrays of shape (p,)
        Log hazard ratios per unit, and the covariates of the subject the baseline is of.
    times : array of shape (m,), years
        When the baseline cumulative hazard jumps.
    jumps : array of shape (m,)
    """

    coefficients: FloatArray
    centre: FloatArray
    times: FloatArray
    jumps: FloatArray

    def log_relative_hazard(self, design: FloatArray) -> FloatArray:
        """Return each subject's log hazard ratio to the baseline's subject; shape (n,)."""
        return np.asarray((design - self.centre) @ self.coefficients)

    def relative_hazard(self, design: FloatArray) -> FloatArray:
        """Return each subject's hazard ratio to the baseline's subject, kept within bounds."""
        return np.exp(np.clip(self.log_relative_hazard(design), -LARGEST_LOG, LARGEST_LOG))

    def cumulative_at(self, times: FloatArray | float) -> FloatArray:
        """Return the baseline cumulative hazard by each time."""
        padded = np.concatenate([[0.0], np.cumsum(self.jumps)])
        return np.asarray(padded[np.searchsorted(self.times, times, side="right")])


@dataclass(frozen=True, slots=True)
class FrozenLogistic:
    """A logistic model that can be applied to anyone.

    Parameters
    ----------
    coefficients : array of shape (p,)
    intercept : float
    """

    coefficients: FloatArray
    intercept: float

    def predict(self, design: FloatArray) -> FloatArray:
        """Return each subject's probability of being a case."""
        return np.asarray(expit(self.intercept + design @ self.coefficients))


def freeze_logistic(design: FloatArray, fit: LogisticFit) -> FrozenLogistic:
    """Return a logistic fit's coefficients with the intercept, which only its linear predictor has."""
    return FrozenLogistic(fit.coefficients, float(np.mean(fit.linear_predictor - design @ fit.coefficients)))


@dataclass(frozen=True, slots=True)
class RiskModel:
    """The frozen hazards of the event and, where it exists, of the competing event."""

    own: FrozenHazard
    other: FrozenHazard | None = None


@dataclass(frozen=True, slots=True)
class FittedRisk:
    """A risk model fitted to subjects; ``problem`` says why there is none, ``simplified`` what it lost.

    Parameters
    ----------
    model : RiskModel, optional
    fit : CoxFit
        Of the event of interest.
    problem : str, optional
    simplified : str, optional
        Why the competing event's hazard takes no covariates.
    """

    model: RiskModel | None
    fit: CoxFit
    problem: str | None = None
    simplified: str | None = None


def freeze_cox(follow_up: FollowUp, event: BoolArray, design: FloatArray, fit: CoxFit) -> FrozenHazard:
    """Return a Cox fit's coefficients with its baseline cumulative hazard.

    Estimand: the cumulative hazard of a subject with the mean covariates. Estimator: Efron's (each of d tied
    events adds 1 / (S0 - k/d D0)), consistent with Efron's partial likelihood; left truncation through the
    risk sets.

    Source: Therneau and Grambsch 2000, 10.2; equal to ``survival::survfit.coxph`` (ctype = 2).
    """
    centre = design.mean(axis=0) if design.shape[1] else np.empty(0)
    likelihood = PartialLikelihood(follow_up, event, design - centre)
    *_, denominators = likelihood.evaluate(fit.coefficients)
    largest = float((likelihood.design @ fit.coefficients).max())
    jumps = np.add.reduceat(1 / denominators, likelihood.starts) * np.exp(-largest)
    return FrozenHazard(fit.coefficients, centre, likelihood.times, jumps)


def freeze_subdistribution(follow_up: FollowUp, cause: int, design: FloatArray, fit: CoxFit) -> FrozenHazard:
    """Return a Fine-Gray fit's coefficients with Breslow's baseline, as ``cmprsk::predict.crr`` has it."""
    centre = design.mean(axis=0)
    likelihood = WeightedLikelihood(follow_up, cause, design - centre)
    *_, denominators = likelihood.evaluate(fit.coefficients)
    largest = float((likelihood.design @ fit.coefficients).max())
    jumps = likelihood.deaths / denominators[likelihood.starts] * np.exp(-largest)
    return FrozenHazard(fit.coefficients, centre, likelihood.times, jumps)


def fit_risk_model(follow_up: FollowUp, design: FloatArray) -> FittedRisk:
    """Fit the Cox model of the event and, where events compete, that of the competing event; freeze them.

    Parameters
    ----------
    follow_up : FollowUp of n subjects
    design : array of shape (n, p), finite, without constant columns

    Source: Benichou and Gail 1990, Biometrics 46:813; Cheng, Fine and Wei 1998.
    """
    causes = [np.asarray(follow_up.status == cause) for cause in (1, 2)]
    fit = fit_cox(follow_up, causes[0], design)
    second = None if fit.problem or not causes[1].any() else fit_cox(follow_up, causes[1], design)
    return freeze_risk_model(follow_up, design, fit, second)


def freeze_risk_model(
    follow_up: FollowUp, design: FloatArray, fit: CoxFit, competing: CoxFit | None
) -> FittedRisk:
    """Return the absolute-risk model of the Cox fits of the event and of the competing event, if any.

    The competing event's model has the same covariates; with fewer than 5 such events, no more of them than
    covariates, or no maximum, it has none (its hazard is then everybody's), which is told in ``simplified``.
    """
    if fit.problem:
        return FittedRisk(None, fit, fit.problem)
    own = freeze_cox(follow_up, np.asarray(follow_up.status == 1), design, fit)
    if competing is None:
        return FittedRisk(RiskModel(own), fit)
    event = np.asarray(follow_up.status == 2)
    count, p = competing.events, design.shape[1]
    problem = f"{count} events" if count < FEWEST_EVENTS or count <= p else competing.problem
    if problem:
        nobody = design[:, :0]
        plain = freeze_cox(follow_up, event, nobody, fit_cox(follow_up, event, nobody))
        other = FrozenHazard(np.zeros(p), np.zeros(p), plain.times, plain.jumps)
    else:
        other = freeze_cox(follow_up, event, design, competing)
    return FittedRisk(RiskModel(own, other), fit, None, problem)


def predict_risk(model: RiskModel, design: FloatArray, horizons_years: Sequence[float]) -> FloatArray:
    """Return each subject's probability of the event by each horizon; shape (n, horizons).

    Estimand: P(T <= t, event | covariates); where events compete, in a world where the other happens too.
    Estimator: 1 - exp(-H(t)) alone; sum of S(s-) dH1(s) with S = exp(-H1 - H2) where events compete
    (the exponential convention: ``product.limit = FALSE`` of riskRegression; the product limit differs by
    the squares of the jumps). It may exceed 1 where few are at risk, and is cut there.
    Limits: nothing is said of times after the last subject's: the caller sees to it.

    Where subjects times event times are more than 2e7 the sum, a smooth function of the two log relative
    hazards, is interpolated by Chebyshev polynomials to 1e-11 of its largest value.

    Source: riskRegression's ``CSC``; Ozenne et al. 2017, R Journal 9:440.
    """
    horizons = np.asarray(horizons_years, dtype=np.float64)
    own = model.own.relative_hazard(design)
    if model.other is None:
        return np.asarray(-np.expm1(-own[:, None] * model.own.cumulative_at(horizons)))
    other = model.other.relative_hazard(design)
    kernel = _make_kernel(model.own, model.other, horizons)
    size = len(own) * len(kernel.before)
    share = _sum_directly(kernel, own, other) if size <= LARGEST_DIRECT else _interpolate(kernel, own, other)
    return np.minimum(own[:, None] * share, 1.0)


@dataclass(frozen=True, slots=True)
class _Kernel:
    """Baseline cumulative hazards of both causes before each event of interest; its jumps by horizon."""

    before: FloatArray
    jumps: FloatArray


def _make_kernel(own: FrozenHazard, other: FrozenHazard, horizons: FloatArray) -> _Kernel:
    use = own.times <= horizons.max()
    times, jumps = own.times[use], own.jumps[use]
    first = np.cumsum(jumps) - jumps
    padded = np.concatenate([[0.0], np.cumsum(other.jumps)])
    second = padded[np.searchsorted(other.times, times, side="left")]
    return _Kernel(np.column_stack([first, second]), jumps[:, None] * (times[:, None] <= horizons))


def _sum_directly(kernel: _Kernel, own: FloatArray, other: FloatArray) -> FloatArray:
    relative = np.column_stack([own, other])
    step = max(1, BLOCK // max(len(kernel.before), 1))
    parts = [
        np.exp(-relative[start : start + step] @ kernel.before.T) @ kernel.jumps
        for start in range(0, len(own), step)
    ]
    return np.concatenate(parts) if parts else np.empty((0, kernel.jumps.shape[1]))


def _interpolate(kernel: _Kernel, own: FloatArray, other: FloatArray) -> FloatArray:
    """Interpolate in both log relative hazards; sum directly if no polynomial is near enough."""
    logs = np.log(own), np.log(other)
    scaled = [_to_unit(values) for values in logs]
    for degree in CHEBYSHEV_DEGREES:
        nodes = chebyshev.chebpts1(degree)
        axes = [np.exp(_from_unit(nodes, values)) for values in logs]
        first, second = (axis.ravel() for axis in np.meshgrid(*axes, indexing="ij"))
        values = _sum_directly(kernel, first, second).reshape(degree, degree, -1)
        inverse = chebyshev.chebvander(nodes, degree - 1).T * (2 / degree)
        inverse[0] /= 2
        coefficients = np.einsum("ai,bj,ijh->abh", inverse, inverse, values, optimize=True)
        tail = max(np.abs(coefficients[-3:]).max(), np.abs(coefficients[:, -3:]).max())
        if tail <= CHEBYSHEV_TOLERANCE * np.abs(values).max():
            return _evaluate_chebyshev(coefficients, *scaled)
    return _sum_directly(kernel, own, other)


def _evaluate_chebyshev(coefficients: FloatArray, x: FloatArray, y: FloatArray) -> FloatArray:
    degree, _, horizons = coefficients.shape
    out = np.empty((len(x), horizons))
    step = BLOCK // degree
    for start in range(0, len(x), step):
        rows = slice(start, start + step)
        along, across = (chebyshev.chebvander(values[rows], degree - 1) for values in (x, y))
        for h in range(horizons):
            out[rows, h] = np.einsum("ij,ij->i", along @ coefficients[:, :, h], across)
    return out


def _to_unit(values: FloatArray) -> FloatArray:
    low, high = values.min(), values.max()
    return np.asarray((values - (low + high) / 2) / max((high - low) / 2, 1e-9))


def _from_unit(nodes: FloatArray, values: FloatArray) -> FloatArray:
    low, high = values.min(), values.max()
    return np.asarray((low + high) / 2 + nodes * max((high - low) / 2, 1e-9))

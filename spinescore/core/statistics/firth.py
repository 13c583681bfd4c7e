"""Firth's penalised likelihood: estimates that exist under separation, with profile-likelihood intervals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, Protocol

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve
from scipy.optimize import brentq
from scipy.special import expit
from scipy.stats import chi2

from spinescore.core.statistics.cox import PartialLikelihood
from spinescore.core.statistics.cox_residuals import hazard_while_at_risk
from spinescore.core.statistics.estimate import BoolArray, Estimate, FloatArray, IntArray, normal_quantile
from spinescore.core.statistics.times import FollowUp

MAX_ITERATIONS = 80
PLAIN_ITERATIONS = 20  # with the information for the Hessian
LONGEST_STEP = 5.0  # standard deviations of a column
DIFFERENCE = 1e-4
MAX_DOUBLINGS = 12  # of the distance from the estimate within which a bound is sought
STEP_TOLERANCE = 1e-9
HARDLY_ANY_GAIN = 1e-12


class Penalised(Protocol):
    """A log likelihood plus half the log determinant of its information (Jeffreys' prior)."""

    def __call__(self, beta: FloatArray) -> tuple[float, FloatArray, FloatArray]:
        """Return the penalised log likelihood, its gradient and the information."""


@dataclass(frozen=True, slots=True)
class FirthFit:
    """A penalised fit; ``spread`` turns coefficients of standardised columns into those of the caller's.

    Parameters
    ----------
    coefficients : array of shape (p,)
        Per unit of each column, without the intercept.
    covariance : array of shape (p, p)
        Inverse of the information at the estimate.
    log_likelihood : float
        Penalised, on standardised columns.
    n, events : int
    problem : str, optional
        ``0 events``, ``one class``, ``constant predictor``, ``collinear`` or ``not converged``.
    """

    coefficients: FloatArray
    covariance: FloatArray
    log_likelihood: float
    n: int
    events: int
    problem: str | None
    spread: FloatArray
    first: int
    optimum: FloatArray
    likelihood: Penalised | None


def fit_firth_cox(
    follow_up: FollowUp,
    event: BoolArray,
    design: FloatArray,
    ties: Literal["efron", "breslow"] = "efron",
) -> FirthFit:
    """Fit a Cox model by Firth's penalised partial likelihood, O(n p^2) a step.

    Estimand: log hazard ratios per unit of each column. Estimator: the maximum of the partial likelihood
    times the root of its information's determinant, which takes out the first-order bias and is finite also
    where the partial likelihood is monotone. Limits: predictions are not calibrated in the
    large; intervals should be the profile likelihood's (``profile_coefficient``), for Wald's are too short
    on the open side.

    Parameters
    ----------
    follow_up : FollowUp of n subjects
    event : boolean array of shape (n,)
    design : array of shape (n, p), finite
    ties : {"efron", "breslow"}
        The same for likelihood and information. ``coxphf`` has Breslow's alone.

    Source: Firth 1993, Biometrika 80:27; Heinze and Schemper 2001, Biometrics 57:114.
    """
    n, events = len(design), int(event.sum())
    problem = "0 events" if events == 0 else None
    standard, spread, problem = _standardise(design, problem)
    if problem:
        return _no_fit(n, events, design.shape[1], problem)
    likelihood = PartialLikelihood(follow_up, event, standard)
    if ties == "breslow":
        likelihood.fraction = np.zeros_like(likelihood.fraction)

    def penalised(beta: FloatArray) -> tuple[float, FloatArray, FloatArray]:
        return _penalise_cox(likelihood, beta)

    return _finish(penalised, design.shape[1], 0, spread, n, events)


def fit_firth_logistic(case: BoolArray, design: FloatArray) -> FirthFit:
    """Fit a logistic model with an intercept by Firth's penalised likelihood, O(n p^2) a step.

    Estimand: log odds ratios per unit of each column. Estimator: the maximum of the likelihood times the root
    of its information's determinant, intercept included; finite under separation. Limits: the mean of the
    fitted probabilities is pulled towards one half.

    Parameters
    ----------
    case : boolean array of shape (n,)
    design : array of shape (n, p), finite

    Source: Firth 1993; Heinze and Schemper 2002, Stat Med 21:2409 (``logistf``).
    """
    n, events = len(design), int(case.sum())
    problem = "one class" if events in (0, n) else None
    standard, spread, problem = _standardise(design, problem)
    if problem:
        return _no_fit(n, events, design.shape[1], problem)
    matrix = np.column_stack([np.ones(n), standard])

    def penalised(beta: FloatArray) -> tuple[float, FloatArray, FloatArray]:
        return _penalise_logistic(case, matrix, beta)

    return _finish(penalised, design.shape[1], 1, spread, n, events)


def _standardise(design: FloatArray, problem: str | None) -> tuple[FloatArray, FloatArray, str | None]:
    if problem or len(design) == 0:
        return design, np.ones(design.shape[1]), problem or "no subjects"
    centre, spread = design.mean(axis=0), design.std(axis=0)
    if (spread <= 1e-12 * (1 + np.abs(centre))).any():
        return design, spread, "constant predictor"
    standard = (design - centre) / spread
    if np.linalg.eigvalsh(standard.T @ standard / len(design))[0] < 1e-10:
        return design, spread, "collinear"
    return standard, spread, None


def _penalise_cox(likelihood: PartialLikelihood, beta: FloatArray) -> tuple[float, FloatArray, FloatArray]:
    """Return the penalised partial likelihood, its gradient and the information.

    The gradient of the penalty sums third central moments over risk sets; written with each subject's hazard
    and mean-weighted hazard while at risk, the double sum is one pass over subjects.
    """
    loglik, residuals, means, denominators = likelihood.evaluate(beta)
    information = likelihood.information(beta, means, denominators)
    sign, logdet = np.linalg.slogdet(information)
    if sign <= 0 or not np.isfinite(loglik):
        return -np.inf, residuals.sum(axis=0), information
    x, inverse = likelihood.design, np.linalg.inv(information)
    level, drift = hazard_while_at_risk(likelihood, means, denominators)
    eta = x @ beta
    risk = np.exp(eta - eta.max())
    length = risk * np.einsum("ij,ij->i", x @ inverse, x)
    cross = risk * np.einsum("ij,ij->i", x @ inverse, drift)
    at_means = np.einsum("ij,ij->i", means @ inverse, means)
    moments = length @ (x * level[:, None] - drift) - 2 * (cross @ x - at_means @ means)
    return loglik + logdet / 2, residuals.sum(axis=0) + moments / 2, information


def _penalise_logistic(
    case: BoolArray, matrix: FloatArray, beta: FloatArray
) -> tuple[float, FloatArray, FloatArray]:
    eta = matrix @ beta
    fitted = expit(eta)
    weight = fitted * (1 - fitted)
    information = (matrix * weight[:, None]).T @ matrix
    sign, logdet = np.linalg.slogdet(information)
    loglik = float(-np.logaddexp(0, np.where(case, -eta, eta)).sum())
    if sign <= 0:
        return -np.inf, matrix.T @ (case - fitted), information
    leverage = weight * np.einsum("ij,ij->i", matrix @ np.linalg.inv(information), matrix)
    gradient = matrix.T @ (case - fitted + leverage * (0.5 - fitted))
    return loglik + float(logdet) / 2, gradient, information


def _maximise(
    likelihood: Penalised, start: FloatArray, fixed: int | None = None
) -> tuple[FloatArray, float, FloatArray, bool]:
    """Climb by Newton's steps, halved where they overshoot; one coefficient may be held.

    The information stands for minus the Hessian until that proves slow, as it does with fewer events than
    coefficients, where the penalty bends more than the likelihood; then gradients are differenced.

    Returns
    -------
    beta, penalised log likelihood, information, whether it converged
    """
    free = np.array([i for i in range(len(start)) if i != fixed], dtype=np.int64)
    beta, (value, gradient, information) = start.copy(), likelihood(start)
    for iteration in range(MAX_ITERATIONS):
        if len(free) == 0 or not np.isfinite(value):
            break
        curvature = information if iteration < PLAIN_ITERATIONS else _curvature(likelihood, beta)
        step = _solve(curvature[np.ix_(free, free)], gradient[free])
        if step is None and iteration >= PLAIN_ITERATIONS:
            step = _solve(information[np.ix_(free, free)], gradient[free])
        if step is None:
            return beta, value, information, False
        candidate, found = _climb(likelihood, beta, value, free, step)
        if found is None:
            return beta, value, information, True
        beta, (value, gradient, information) = candidate, found
    return beta, value, information, bool(len(free) == 0 and np.isfinite(value))


def _climb(
    likelihood: Penalised, beta: FloatArray, value: float, free: IntArray, step: FloatArray
) -> tuple[FloatArray, tuple[float, FloatArray, FloatArray] | None]:
    """Take the step or as much of it as leads uphill; None where nothing above the tolerance does."""
    while np.abs(step).max() > STEP_TOLERANCE:
        candidate = beta.copy()
        candidate[free] += step
        found = likelihood(candidate)
        if found[0] >= value - HARDLY_ANY_GAIN * abs(value):
            return candidate, found
        step = step / 2
    return beta, None


def _solve(curvature: FloatArray, gradient: FloatArray) -> FloatArray | None:
    try:
        step = np.asarray(cho_solve(cho_factor(curvature), gradient))
    except (LinAlgError, ValueError):
        return None
    return step * min(1.0, LONGEST_STEP / float(np.abs(step).max(initial=LONGEST_STEP)))


def _curvature(likelihood: Penalised, beta: FloatArray) -> FloatArray:
    """Return minus the Hessian by central differences of the gradient."""
    shifts = np.eye(len(beta)) * DIFFERENCE
    columns = [(likelihood(beta - s)[1] - likelihood(beta + s)[1]) / (2 * DIFFERENCE) for s in shifts]
    return np.asarray((np.stack(columns) + np.stack(columns).T) / 2)


def _finish(likelihood: Penalised, p: int, first: int, spread: FloatArray, n: int, events: int) -> FirthFit:
    beta, value, information, converged = _maximise(likelihood, np.zeros(p + first))
    if not converged:
        return _no_fit(n, events, p, "not converged")
    covariance = np.linalg.inv(information)[first:, first:] / np.outer(spread, spread)
    coefficients = beta[first:] / spread
    return FirthFit(coefficients, covariance, value, n, events, None, spread, first, beta, likelihood)


def _no_fit(n: int, events: int, p: int, problem: str) -> FirthFit:
    empty = np.full(p, np.nan)
    return FirthFit(empty, np.full((p, p), np.nan), np.nan, n, events, problem, np.ones(p), 0, empty, None)


def profile_coefficient(fit: FirthFit, column: int, conf_level: float) -> Estimate:
    """Return the coefficient per unit of a column, with the profile penalised likelihood's interval.

    The interval holds the values that the penalised likelihood-ratio test does not reject; the p value is
    that test's of no effect. The other coefficients are re-estimated at each value, under the whole penalty.
    ``se`` is Wald's. A bound that does not exist within many standard errors is null. Some 50 passes over
    the subjects: a minute for a million of them.

    Source: Heinze and Schemper 2001, 2002; Venzon and Moolgavkar 1988, Appl Stat 37:87.
    """
    if fit.problem or fit.likelihood is None:
        return Estimate(problem=fit.problem or "not converged")
    position, unit = fit.first + column, float(fit.spread[column])
    root = _signed_root(fit, position)
    se = float(np.sqrt(fit.covariance[column, column]))
    centre, z = float(fit.optimum[position]), normal_quantile(conf_level)
    bounds = [_find_bound(root, centre, side * se * unit, side * z) / unit for side in (-1, 1)]
    lower, upper = (bound if np.isfinite(bound) else None for bound in bounds)
    p_value = float(chi2.sf(root(0.0) ** 2, 1))
    return Estimate(value=centre / unit, se=se, lower=lower, upper=upper, p_value=p_value)


def ratio_of(coefficient: Estimate, scale: float) -> Estimate:
    """Return the ratio per ``scale`` of a coefficient per unit; ``se`` stays on the log scale."""
    if coefficient.value is None or coefficient.se is None:
        return coefficient
    with np.errstate(over="ignore"):  # a bound beyond all numbers is infinite, and null in the results
        lower, upper = (
            None if b is None else float(np.exp(b * scale)) for b in (coefficient.lower, coefficient.upper)
        )
    value, se = float(np.exp(coefficient.value * scale)), coefficient.se * abs(scale)
    return replace(coefficient, value=value, se=se, lower=lower, upper=upper)


def _signed_root(fit: FirthFit, position: int) -> Callable[[float], float]:
    """Return the signed root of the profile likelihood ratio: nearly a straight line, so quickly solved."""
    likelihood, top, centre = fit.likelihood, fit.log_likelihood, float(fit.optimum[position])
    assert likelihood is not None
    latest = fit.optimum.copy()

    def root(value: float) -> float:
        nonlocal latest
        start = latest.copy()
        start[position] = value
        beta, profile, _, converged = _maximise(likelihood, start, fixed=position)
        if converged:
            latest = beta
        drop = max(0.0, top - profile) if np.isfinite(profile) else np.inf
        return float(np.sign(value - centre) * np.sqrt(2 * drop))

    return root


def _find_bound(root: Callable[[float], float], centre: float, step: float, target: float) -> float:
    reach = 1.5 * abs(target) * step
    for _ in range(MAX_DOUBLINGS):
        far = root(centre + reach)
        if abs(far) >= abs(target):
            if not np.isfinite(far):
                return float("nan")
            return float(
                brentq(lambda b: root(b) - target, *sorted((centre, centre + reach)), xtol=1e-10, rtol=1e-12)
            )
        reach *= 2
    return float("nan")

"""Logistic regression by maximum likelihood, with the reasons it cannot be had."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve
from scipy.special import expit
from scipy.stats import chi2

from spinescore.core.statistics.estimate import BoolArray, Estimate, FloatArray

MAX_ITERATIONS = 50
FARTHEST = 30.0  # log odds: fitted probabilities beyond are 0 or 1


@dataclass(frozen=True, slots=True)
class LogisticFit:
    """A fitted model: coefficients without the intercept, linear predictor with it."""

    coefficients: FloatArray
    covariance: FloatArray
    log_likelihood: float
    linear_predictor: FloatArray
    n: int
    events: int
    problem: str | None = None


def fit_logistic(case: BoolArray, design: FloatArray) -> LogisticFit:
    """Fit an unpenalised logistic model with an intercept, O(n p^2) a step.

    Estimand: log odds ratios per unit of each column. Estimator: maximum likelihood by Newton-Raphson on
    standardised columns, model-based covariance. Limits: no maximum exists under (quasi-)separation:
    ``problem = "separation"``.

    Parameters
    ----------
    case : boolean array of shape (n,)
    design : array of shape (n, p), finite

    Source: Cox 1958, J R Stat Soc B 20:215. Equal to R's ``glm(family = binomial)``.
    """
    n, p = design.shape
    events = int(case.sum())
    if events in (0, n):
        return _no_fit(n, p, events, "one class")
    columns = np.ones((p + 1, n))
    columns[1:] = design.T
    centre = columns[1:].mean(axis=1)
    columns[1:] -= centre[:, None]
    spread = np.sqrt(np.einsum("ij,ij->i", columns[1:], columns[1:]) / n)
    if p and (spread <= 1e-12 * (1 + np.abs(centre))).any():
        return _no_fit(n, p, events, "constant predictor")
    columns[1:] /= spread[:, None]
    if p and np.linalg.eigvalsh(columns[1:] @ columns[1:].T / n)[0] < 1e-10:
        return _no_fit(n, p, events, "collinear")
    found = _maximise(case, columns)
    if found is None:
        return _no_fit(n, p, events, "separation")
    params, covariance = found
    predictor = params @ columns
    return LogisticFit(
        params[1:] / spread,
        covariance[1:, 1:] / np.outer(spread, spread),
        _log_likelihood(case, predictor),
        predictor,
        n,
        events,
    )


def _log_likelihood(case: BoolArray, predictor: FloatArray) -> float:
    return float(-np.logaddexp(0.0, np.where(case, -predictor, predictor)).sum())


def _maximise(case: BoolArray, columns: FloatArray) -> tuple[FloatArray, FloatArray] | None:
    """Climb by Newton's steps, halved where they overshoot; None where there is no maximum.

    A slope that does not settle has no maximum to settle at: fitted probabilities reach 0 or 1.
    """
    share = float(case.mean())
    params = np.zeros(len(columns))
    params[0] = np.log(share / (1 - share))
    predictor = params @ columns
    loglik, converged = _log_likelihood(case, predictor), False
    for _ in range(MAX_ITERATIONS):
        fitted = expit(predictor)
        information = (columns * (fitted * (1 - fitted))) @ columns.T
        try:
            factor = cho_factor(information)
        except (LinAlgError, ValueError):
            return None
        if converged:
            covariance = np.asarray(cho_solve(factor, np.eye(len(columns))))
            unbounded = np.abs(predictor).max() > FARTHEST or _unbounded(params, covariance)
            return None if unbounded else (params, covariance)
        score = columns @ (case - fitted)
        step = cho_solve(factor, score)
        predictor = (params + step) @ columns
        candidate = _log_likelihood(case, predictor)
        while not candidate > loglik - 1e-9 * abs(loglik) and np.abs(step).max() > 1e-12:
            step = step / 2
            predictor = (params + step) @ columns
            candidate = _log_likelihood(case, predictor)
        params, loglik = params + step, candidate
        converged = bool(score @ step < 1e-10 and np.abs(step).max() < 1e-5)
    return None


def _unbounded(params: FloatArray, covariance: FloatArray) -> bool:
    return bool((np.sqrt(np.diag(covariance)) > 50).any() or (np.abs(params[1:]) > 50).any())


def _no_fit(n: int, p: int, events: int, problem: str) -> LogisticFit:
    return LogisticFit(
        np.full(p, np.nan), np.full((p, p), np.nan), np.nan, np.full(n, np.nan), n, events, problem
    )


def compare_nested_logistic(smaller: LogisticFit, larger: LogisticFit) -> Estimate:
    """Test the larger model against the smaller one, fitted to the same subjects, by likelihood ratio."""
    if smaller.n != larger.n or smaller.events != larger.events:
        return Estimate(problem="models on different n")
    df = len(larger.coefficients) - len(smaller.coefficients)
    statistic = max(0.0, 2 * (larger.log_likelihood - smaller.log_likelihood))
    return Estimate(value=statistic, df=float(df), p_value=float(chi2.sf(statistic, df)))

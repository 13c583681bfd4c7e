"""Logistic regression by maximum likelihood (statsmodels), with the reasons it cannot be had."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from scipy.stats import chi2
from statsmodels.discrete.discrete_model import Logit

from spinescore.core.statistics.estimate import BoolArray, Estimate, FloatArray


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
    """Fit an unpenalised logistic model with an intercept.

    Estimand: log odds ratios per unit of each column. Estimator: maximum likelihood, model-based covariance.
    Limits: no maximum exists under (quasi-)separation: ``problem = "separation"``.

    Parameters
    ----------
    case : boolean array of shape (n,)
    design : array of shape (n, p), finite
    """
    n, p = design.shape
    events = int(case.sum())
    if events in (0, n):
        return _no_fit(n, p, events, "one class")
    centre, spread = design.mean(axis=0), design.std(axis=0)
    if p and (spread <= 1e-12 * (1 + np.abs(centre))).any():
        return _no_fit(n, p, events, "constant predictor")
    standard = (design - centre) / spread
    if p and np.linalg.eigvalsh(standard.T @ standard / n)[0] < 1e-10:
        return _no_fit(n, p, events, "collinear")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # separation is judged by the fit itself, below
        try:
            matrix = np.column_stack([np.ones(n), standard])
            fit = Logit(case.astype(float), matrix).fit(method="newton", maxiter=50, tol=1e-12, disp=0)
        except (np.linalg.LinAlgError, ValueError):
            return _no_fit(n, p, events, "separation")
        covariance = np.asarray(fit.cov_params())[1:, 1:]
    predictor = matrix @ fit.params
    # a slope that has not settled has no maximum to settle at: fitted probabilities reach 0 or 1
    if (
        not np.isfinite(covariance).all()
        or np.abs(predictor).max() > 30
        or _unbounded(fit.params, covariance)
    ):
        return _no_fit(n, p, events, "separation")
    return LogisticFit(
        np.asarray(fit.params[1:]) / spread,
        covariance / np.outer(spread, spread),
        float(fit.llf),
        predictor,
        n,
        events,
    )


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

"""Cox's proportional hazards model, Efron's ties, left truncation: one sort, a few passes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve
from scipy.stats import chi2

from spinescore.core.statistics.estimate import BoolArray, Estimate, FloatArray, IntArray
from spinescore.core.statistics.times import FollowUp

MAX_ITERATIONS = 40
VANISHING_RISK = 1e-100  # of a risk set against the largest risk: only on the way to infinity


@dataclass(frozen=True, slots=True)
class CoxFit:
    """A fitted model; ``problem`` is ``separation`` or ``collinear`` where there is no maximum."""

    coefficients: FloatArray
    covariance: FloatArray
    log_likelihood: float
    log_likelihood_null: float
    n: int
    events: int
    problem: str | None = None


class PartialLikelihood:
    """Efron's partial likelihood of one sorted data set, its score and information.

    Everything that depends on times alone is computed once; each evaluation is O(n p^2).

    Parameters
    ----------
    follow_up : FollowUp
    event : boolean array of shape (n,)
        Events of the cause of interest; everyone else is censored at exit.
    design : array of shape (n, p)
    """

    def __init__(self, follow_up: FollowUp, event: BoolArray, design: FloatArray) -> None:
        order = np.argsort(follow_up.exit, kind="stable")
        self.order = order
        exit_times, event = follow_up.exit[order], event[order]
        self.design = np.ascontiguousarray(design[order], dtype=np.float64)
        self.event_rows: IntArray = np.flatnonzero(event)
        self.event_times = exit_times[self.event_rows]
        self.times, self.starts, self.time_of_event, self.deaths = np.unique(
            self.event_times, return_index=True, return_inverse=True, return_counts=True
        )
        within = np.arange(len(self.event_rows)) - self.starts[self.time_of_event]
        self.fraction: FloatArray = within / self.deaths[self.time_of_event]
        self.first_at_risk = np.searchsorted(exit_times, self.times, side="left")
        self.times_until_exit = np.searchsorted(self.times, exit_times, side="right")
        self._sort_entries(follow_up.entry[order], truncated=follow_up.truncated)

    def _sort_entries(self, entry: FloatArray, *, truncated: bool) -> None:
        self.entry_order: IntArray | None = None
        self.times_until_entry: IntArray | int = 0
        if truncated:
            self.entry_order = np.argsort(entry, kind="stable")
            self.first_entered_later = np.searchsorted(entry[self.entry_order], self.times, side="left")
            self.times_until_entry = np.searchsorted(self.times, entry, side="right")

    def _risk_sums(self, values: FloatArray) -> FloatArray:
        """Sum ``values`` over the risk set of each event time; shape (m, ...)."""
        sums = _suffix_sums(values)[self.first_at_risk]
        if self.entry_order is not None:
            sums = sums - _suffix_sums(values[self.entry_order])[self.first_entered_later]
        return np.asarray(sums)

    def evaluate(self, beta: FloatArray) -> tuple[float, FloatArray, FloatArray, FloatArray]:
        """Return log-likelihood; per event score residuals, Efron means (events, p) and denominators."""
        eta = self.design @ beta
        eta -= eta.max()
        risk = np.exp(eta)
        weighted = risk[:, None] * self.design
        rows, k, f = self.event_rows, self.time_of_event, self.fraction
        s0, s1 = self._risk_sums(risk), self._risk_sums(weighted)
        d0, d1 = (
            np.add.reduceat(risk[rows], self.starts),
            np.add.reduceat(weighted[rows], self.starts, axis=0),
        )
        denominators = s0[k] - f * d0[k]
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):  # judged by the caller
            means = (s1[k] - f[:, None] * d1[k]) / denominators[:, None]
            loglik = float(np.sum(eta[rows]) - np.sum(np.log(denominators)))
        return loglik, self.design[rows] - means, means, denominators

    def information(
        self, beta: FloatArray, means: FloatArray, denominators: FloatArray, weights: FloatArray | None = None
    ) -> FloatArray:
        """Sum the risk sets' covariance matrices over events, each times its weight; shape (p, p).

        The double sum over times and risk sets is turned round (each subject is in the risk sets between
        entry and exit), so that one matrix product does it.
        """
        eta = self.design @ beta
        risk = np.exp(eta - eta.max())
        w = np.ones(len(denominators)) if weights is None else weights
        per_time = np.add.reduceat(w / denominators, self.starts)
        tied = np.add.reduceat(w * self.fraction / denominators, self.starts)
        cumulative = np.concatenate([[0.0], np.cumsum(per_time)])
        exposure = cumulative[self.times_until_exit] - cumulative[self.times_until_entry]
        exposure[self.event_rows] -= tied[self.time_of_event]
        squares = (self.design * (risk * exposure)[:, None]).T @ self.design
        return np.asarray(squares - (means * w[:, None]).T @ means)


def _suffix_sums(values: FloatArray) -> FloatArray:
    padded = np.zeros((len(values) + 1, *values.shape[1:]))
    np.cumsum(values[::-1], axis=0, out=padded[1:])
    return padded[::-1]


def fit_cox(follow_up: FollowUp, event: BoolArray, design: FloatArray) -> CoxFit:
    """Fit a Cox model by Newton-Raphson.

    Estimand: log hazard ratios per unit of each column, constant over time, cause-specific where others
    end follow-up. Estimator: the maximum of Efron's partial likelihood; model-based covariance.
    Limits: no strata, weights or robust covariance here; no penalty, so monotone likelihoods have no maximum.

    Parameters
    ----------
    follow_up : FollowUp of n subjects
    event : boolean array of shape (n,)
    design : array of shape (n, p), finite, without constant columns

    Source: Efron 1977, JASA 72:557; Therneau and Grambsch 2000, ch. 3. Equal to R's ``coxph``.
    """
    return fit_partial_likelihood(
        lambda standard: PartialLikelihood(follow_up, event, standard), design, int(event.sum())
    )


class Likelihood(Protocol):
    """A log partial likelihood that can be maximised: what ``PartialLikelihood`` has."""

    design: FloatArray

    def evaluate(self, beta: FloatArray) -> tuple[float, FloatArray, FloatArray, FloatArray]:
        """Return log-likelihood, score residuals per event, their means and denominators."""

    def information(self, beta: FloatArray, means: FloatArray, denominators: FloatArray) -> FloatArray:
        """Return minus the second derivative."""


def fit_partial_likelihood(
    make_likelihood: Callable[[FloatArray], Likelihood], design: FloatArray, events: int
) -> CoxFit:
    """Maximise a partial likelihood on standardised columns; what has no maximum is told as ``problem``.

    Parameters
    ----------
    make_likelihood : callable
        From the standardised design to its likelihood.
    design : array of shape (n, p)
    events : int
        Of the cause of interest.
    """
    n, p = design.shape
    nothing = np.full(p, np.nan), np.full((p, p), np.nan)
    if events == 0:
        return CoxFit(*nothing, np.nan, np.nan, n, 0, "0 events")
    centre, spread = design.mean(axis=0), design.std(axis=0)
    if p and (spread <= 1e-12 * (1 + np.abs(centre))).any():
        return CoxFit(*nothing, np.nan, np.nan, n, events, "constant predictor")
    standard = (design - centre) / spread
    likelihood = make_likelihood(standard)
    null, *_ = likelihood.evaluate(np.zeros(p))
    if p == 0:
        return CoxFit(*nothing, null, null, n, events)
    if np.linalg.eigvalsh(standard.T @ standard / n)[0] < 1e-10:
        return CoxFit(*nothing, np.nan, null, n, events, "collinear")
    beta, covariance, loglik, problem = _maximise(likelihood, p)
    covariance = covariance / np.outer(spread, spread)
    return CoxFit(beta / spread, covariance, loglik, null, n, events, problem)


def _maximise(likelihood: Likelihood, p: int) -> tuple[FloatArray, FloatArray, float, str | None]:
    """Newton-Raphson with step halving; a step that does not shrink as the gain vanishes is separation."""
    beta = np.zeros(p)
    loglik, residuals, means, denominators = likelihood.evaluate(beta)
    spans = np.ptp(likelihood.design, axis=0)
    converged = False
    for iteration in range(MAX_ITERATIONS):
        if denominators.min() < VANISHING_RISK:
            return beta, np.full((p, p), np.nan), loglik, "separation"
        information = likelihood.information(beta, means, denominators)
        try:
            factor = cho_factor(information)
        except (LinAlgError, ValueError):
            problem = "separation" if iteration else "collinear"
            return beta, np.full((p, p), np.nan), loglik, problem
        if converged:
            return beta, np.asarray(cho_solve(factor, np.eye(p))), loglik, None
        score = residuals.sum(axis=0)
        step = cho_solve(factor, score)
        candidate = likelihood.evaluate(beta + step)
        while not candidate[0] > loglik - 1e-9 * abs(loglik) and np.abs(step).max() > 1e-12:
            step = step / 2
            candidate = likelihood.evaluate(beta + step)
        beta = beta + step
        loglik, residuals, means, denominators = candidate
        converged = bool(score @ step < 1e-10 and (np.abs(step) * spans).max() < 1e-4)
    return beta, np.full((p, p), np.nan), loglik, "separation"


def compare_nested(smaller: CoxFit, larger: CoxFit) -> Estimate:
    """Test the larger model against the smaller one, fitted to the same subjects, by likelihood ratio.

    Source: Wilks 1938. Limits: the caller sees to it that n is the same; else the statistic means nothing.
    """
    if smaller.n != larger.n or smaller.events != larger.events:
        return Estimate(problem="models on different n")
    df = len(larger.coefficients) - len(smaller.coefficients)
    statistic = max(0.0, 2 * (larger.log_likelihood - smaller.log_likelihood))
    return Estimate(value=statistic, df=float(df), p_value=float(chi2.sf(statistic, df)))


def measure_wald(fit: CoxFit, columns: list[int]) -> Estimate:
    """Test whether the coefficients of some columns are all 0, by Wald's statistic.

    Source: Wald 1943. Limits: with large effects and few events likelihood ratio is the better test.
    """
    part = fit.coefficients[columns]
    statistic = float(part @ np.linalg.solve(fit.covariance[np.ix_(columns, columns)], part))
    df = len(columns)
    return Estimate(value=statistic, df=float(df), p_value=float(chi2.sf(statistic, df)))

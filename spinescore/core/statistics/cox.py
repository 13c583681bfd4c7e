"""Cox's proportional hazards model, Efron's ties, left truncation: one sort, a few passes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve, eigh
from scipy.stats import chi2

from spinescore.core.statistics.estimate import BoolArray, Estimate, FloatArray, IntArray
from spinescore.core.statistics.times import FollowUp

MAX_ITERATIONS = 40
VANISHING_INFORMATION = 1e-9  # of what there is at no effect, in any direction: only on the way to infinity
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
        self.order, order = sort_by_exit(follow_up)
        exit_times, event = follow_up.exit[order], event[order]
        self.columns: FloatArray = np.asarray(design.T[:, order], dtype=np.float64, order="C")
        self.event_rows: IntArray = np.flatnonzero(event)
        self.event_times = exit_times[self.event_rows]
        self.times, self.starts, self.time_of_event, self.deaths = count_ties(self.event_times)
        within = np.arange(len(self.event_rows)) - self.starts[self.time_of_event]
        self.fraction: FloatArray = within / self.deaths[self.time_of_event]
        self.first_at_risk = np.searchsorted(exit_times, self.times, side="left")
        self.times_until_exit = count_until(self.first_at_risk, len(exit_times))
        self._sort_entries(follow_up.entry[order], truncated=follow_up.truncated)

    def _sort_entries(self, entry: FloatArray, *, truncated: bool) -> None:
        self.entry_order: IntArray | None = None
        self.times_until_entry: IntArray | int = 0
        if truncated:
            self.entry_order = np.argsort(entry, kind="stable")
            self.first_entered_later = np.searchsorted(entry[self.entry_order], self.times, side="left")
            self.times_until_entry = np.searchsorted(self.times, entry, side="right")

    @property
    def design(self) -> FloatArray:
        """Return the columns as an array of shape (n, p), in the order of exits."""
        return self.columns.T

    def _risk_sum(self, values: FloatArray) -> FloatArray:
        """Sum ``values`` over the risk set of each event time; shape (m,)."""
        sums = np.cumsum(np.add.reduceat(values, self.first_at_risk)[::-1])[::-1]
        if self.entry_order is None:
            return sums
        later = np.zeros(len(values) + 1)
        np.cumsum(values[self.entry_order][::-1], out=later[1:])
        return np.asarray(sums - later[::-1][self.first_entered_later])

    def _by_event(self, values: FloatArray) -> FloatArray:
        """Sum ``values`` over the risk set of each event, less what ties take off; shape (events,)."""
        sums = self._risk_sum(values)
        if len(self.times) == len(self.event_rows):
            return sums
        tied = np.add.reduceat(values[self.event_rows], self.starts)
        k = self.time_of_event
        return np.asarray(sums[k] - self.fraction * tied[k])

    def log_likelihood(self, beta: FloatArray) -> float:
        """Return the log-likelihood alone."""
        eta = beta @ self.columns
        eta -= eta.max(initial=-np.inf)
        with np.errstate(divide="ignore", invalid="ignore"):
            return float(np.sum(eta[self.event_rows]) - np.sum(np.log(self._by_event(np.exp(eta)))))

    def evaluate(self, beta: FloatArray) -> tuple[float, FloatArray, FloatArray, FloatArray]:
        """Return log-likelihood; per event score residuals, Efron means (events, p) and denominators."""
        eta = beta @ self.columns
        eta -= eta.max()
        risk = np.exp(eta)
        rows = self.event_rows
        denominators = self._by_event(risk)
        means = np.empty((len(self.columns), len(rows)))
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):  # judged by the caller
            for j, column in enumerate(self.columns):
                np.divide(self._by_event(risk * column), denominators, out=means[j])
            loglik = float(np.sum(eta[rows]) - np.sum(np.log(denominators)))
        return loglik, (self.columns[:, rows] - means).T, means.T, denominators

    def information(
        self, beta: FloatArray, means: FloatArray, denominators: FloatArray, weights: FloatArray | None = None
    ) -> FloatArray:
        """Sum the risk sets' covariance matrices over events, each times its weight; shape (p, p).

        The double sum over times and risk sets is turned round (each subject is in the risk sets between
        entry and exit), so that one matrix product does it.
        """
        eta = beta @ self.columns
        risk = np.exp(eta - eta.max())
        w = np.ones(len(denominators)) if weights is None else weights
        per_time = np.add.reduceat(w / denominators, self.starts)
        tied = np.add.reduceat(w * self.fraction / denominators, self.starts)
        cumulative = np.concatenate([[0.0], np.cumsum(per_time)])
        exposure = cumulative[self.times_until_exit] - cumulative[self.times_until_entry]
        exposure[self.event_rows] -= tied[self.time_of_event]
        squares = (self.columns * (risk * exposure)) @ self.columns.T
        return np.asarray(squares - (means.T * w) @ means)


def sort_by_exit(follow_up: FollowUp) -> tuple[IntArray, IntArray | slice]:
    """Return the order of exits, ties as given, and the same to index by: all of it where it is in order."""
    exits = follow_up.exit
    if (exits[1:] >= exits[:-1]).all():
        return np.arange(len(exits)), slice(None)
    order = np.argsort(exits, kind="stable")
    return order, order


def count_until(starts: IntArray, n: int) -> IntArray:
    """Return for each of n places how many of the ascending ``starts`` are at or before it.

    >>> count_until(np.array([1, 3]), 4).tolist()
    [0, 1, 1, 2]
    """
    return np.repeat(np.arange(len(starts) + 1), np.diff(starts, prepend=0, append=n))


def count_ties(times: FloatArray) -> tuple[FloatArray, IntArray, IntArray, IntArray]:
    """Return the distinct of some sorted times, where each starts, which one each is, and how many are it.

    >>> [part.tolist() for part in count_ties(np.array([1.0, 1.0, 2.0]))]
    [[1.0, 2.0], [0, 2], [0, 0, 1], [2, 1]]
    """
    new = np.concatenate([[True], times[1:] > times[:-1]])[: len(times)]
    starts = np.flatnonzero(new)
    return times[starts], starts, np.cumsum(new) - 1, np.diff(starts, append=len(times))


def fit_cox(
    follow_up: FollowUp, event: BoolArray, design: FloatArray, start: FloatArray | None = None
) -> CoxFit:
    """Fit a Cox model by Newton-Raphson.

    Estimand: log hazard ratios per unit of each column, constant over time, cause-specific where others
    end follow-up. Estimator: the maximum of Efron's partial likelihood; model-based covariance.
    Limits: no strata, weights or robust covariance here; no penalty, so monotone likelihoods have no maximum.

    Parameters
    ----------
    follow_up : FollowUp of n subjects
    event : boolean array of shape (n,)
    design : array of shape (n, p), finite, without constant columns
    start : array of shape (p,), optional
        Coefficients to begin at, e.g. those of a smaller model and zeros; zeros without it.

    Source: Efron 1977, JASA 72:557; Therneau and Grambsch 2000, ch. 3. Equal to R's ``coxph``.
    """
    return fit_partial_likelihood(
        lambda standard: PartialLikelihood(follow_up, event, standard), design, int(event.sum()), start
    )


class Likelihood(Protocol):
    """A log partial likelihood that can be maximised: what ``PartialLikelihood`` has."""

    columns: FloatArray

    def log_likelihood(self, beta: FloatArray) -> float:
        """Return log-likelihood alone."""

    def evaluate(self, beta: FloatArray) -> tuple[float, FloatArray, FloatArray, FloatArray]:
        """Return log-likelihood, score residuals per event, their means and denominators."""

    def information(self, beta: FloatArray, means: FloatArray, denominators: FloatArray) -> FloatArray:
        """Return minus the second derivative."""


def fit_partial_likelihood(
    make_likelihood: Callable[[FloatArray], Likelihood],
    design: FloatArray,
    events: int,
    start: FloatArray | None = None,
) -> CoxFit:
    """Maximise a partial likelihood on standardised columns; what has no maximum is told as ``problem``.

    Parameters
    ----------
    make_likelihood : callable
        From the standardised design to its likelihood.
    design : array of shape (n, p)
    events : int
        Of the cause of interest.
    start : array of shape (p,), optional
        Coefficients to begin at.
    """
    n, p = design.shape
    nothing = np.full(p, np.nan), np.full((p, p), np.nan)
    if events == 0:
        return CoxFit(*nothing, np.nan, np.nan, n, 0, "0 events")
    columns = np.array(design.T, dtype=np.float64, order="C")
    centre = columns.mean(axis=1)
    columns -= centre[:, None]
    spread = np.sqrt(np.einsum("ij,ij->i", columns, columns) / n)
    if p and (spread <= 1e-12 * (1 + np.abs(centre))).any():
        return CoxFit(*nothing, np.nan, np.nan, n, events, "constant predictor")
    columns /= spread[:, None]
    likelihood = make_likelihood(columns.T)
    null = likelihood.log_likelihood(np.zeros(p))
    if p == 0:
        return CoxFit(*nothing, null, null, n, events)
    if np.linalg.eigvalsh(columns @ columns.T / n)[0] < 1e-10:
        return CoxFit(*nothing, np.nan, null, n, events, "collinear")
    begin = np.zeros(p) if start is None or not np.isfinite(start).all() else start * spread
    beta, covariance, loglik, problem = _maximise(likelihood, begin)
    covariance = covariance / np.outer(spread, spread)
    return CoxFit(beta / spread, covariance, loglik, null, n, events, problem)


def _maximise(likelihood: Likelihood, beta: FloatArray) -> tuple[FloatArray, FloatArray, float, str | None]:
    """Newton-Raphson with step halving; a step that does not shrink as the gain vanishes is separation."""
    p = len(beta)
    loglik, residuals, means, denominators = likelihood.evaluate(beta)
    spans = np.ptp(likelihood.columns, axis=1)
    converged, first = False, np.eye(p)
    for iteration in range(MAX_ITERATIONS):
        if denominators.min() < VANISHING_RISK:
            return beta, np.full((p, p), np.nan), loglik, "separation"
        information = likelihood.information(beta, means, denominators)
        try:
            factor = cho_factor(information)
        except (LinAlgError, ValueError):
            problem = "separation" if iteration else "collinear"
            return beta, np.full((p, p), np.nan), loglik, problem
        first = information if iteration == 0 else first
        if converged and eigh(information, first, eigvals_only=True)[0] < VANISHING_INFORMATION:
            return beta, np.full((p, p), np.nan), loglik, "separation"
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

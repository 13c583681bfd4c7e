"""Fine and Gray's subdistribution hazards model in linear time after one sort: no row is expanded."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from spinescore.core.statistics.cox import (
    CoxFit,
    count_ties,
    count_until,
    fit_partial_likelihood,
    sort_by_exit,
)
from spinescore.core.statistics.estimate import BoolArray, FloatArray, IntArray
from spinescore.core.statistics.times import FollowUp


class WeightedLikelihood:
    """Fine and Gray's weighted partial likelihood of one data set, its score, information and sandwich.

    A subject with a competing event at T stays in the risk sets after it with weight G(t-) / G(T-), G the
    Kaplan-Meier estimate of staying uncensored. The weight is a product of a function of t and one of T, so
    that risk sums are two cumulative sums, and every integral over time another: O(n p^2) an evaluation.

    Parameters
    ----------
    follow_up : FollowUp without left truncation
    cause : int
        1 or 2; the other one competes.
    design : array of shape (n, p)
    """

    def __init__(self, follow_up: FollowUp, cause: int, design: FloatArray) -> None:
        self.order, order = sort_by_exit(follow_up)
        exit_times, status = follow_up.exit[order], follow_up.status[order]
        self.columns: FloatArray = np.asarray(design.T[:, order], dtype=np.float64, order="C")
        self.n = len(exit_times)
        self.event_rows: IntArray = np.flatnonzero(status == cause)
        self.times, self.starts, self.time_of_event, self.deaths = count_ties(exit_times[self.event_rows])
        self.first_at_risk = np.searchsorted(exit_times, self.times, side="left")
        self.times_until_exit = count_until(self.first_at_risk, self.n)
        self.competing: BoolArray = (status != 0) & (status != cause)
        self._estimate_censoring(exit_times, status == 0)

    def _estimate_censoring(self, exit_times: FloatArray, censored: BoolArray) -> None:
        """Kaplan-Meier of the censoring time, just before each event time and each exit."""
        self.censoring_times, self.first, self.censoring_inverse, _ = count_ties(exit_times)
        self.at_risk = self.n - self.first
        self.censorings = np.add.reduceat(censored.astype(np.int64), self.first)
        self.censored = censored
        survival = np.cumprod(1 - self.censorings / self.at_risk)
        before = np.concatenate([[1.0], survival[:-1]])
        self.uncensored_at_event = before[self.censoring_inverse[self.first_at_risk]]
        self.inverse_at_exit = np.where(self.competing, 1 / before[self.censoring_inverse], 0.0)

    @property
    def design(self) -> FloatArray:
        """Return the columns as an array of shape (n, p), in the order of exits."""
        return self.columns.T

    def _risk_sum(self, values: FloatArray) -> FloatArray:
        """Sum ``values`` over each event time's risk set, those gone by a competing event by weight."""
        still = np.cumsum(np.add.reduceat(values, self.first_at_risk)[::-1])[::-1]
        gone = _padded_sums(values * self.inverse_at_exit)[self.first_at_risk]
        return np.asarray(still + gone * self.uncensored_at_event)

    def log_likelihood(self, beta: FloatArray) -> float:
        """Return the log-likelihood alone."""
        eta = beta @ self.columns
        eta -= eta.max()
        with np.errstate(divide="ignore", invalid="ignore"):
            return float(
                np.sum(eta[self.event_rows]) - np.sum(self.deaths * np.log(self._risk_sum(np.exp(eta))))
            )

    def evaluate(self, beta: FloatArray) -> tuple[float, FloatArray, FloatArray, FloatArray]:
        """Return log-likelihood; per event score residuals, risk-set means (events, p) and denominators."""
        eta = beta @ self.columns
        eta -= eta.max()
        risk = np.exp(eta)
        s0 = self._risk_sum(risk)
        k, rows = self.time_of_event, self.event_rows
        means = np.empty((len(self.columns), len(rows)))
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):  # judged by the caller
            for j, column in enumerate(self.columns):
                means[j] = (self._risk_sum(risk * column) / s0)[k]
            loglik = float(np.sum(eta[rows]) - np.sum(self.deaths * np.log(s0)))
        return loglik, (self.columns[:, rows] - means).T, means.T, s0[k]

    def information(self, beta: FloatArray, means: FloatArray, denominators: FloatArray) -> FloatArray:
        """Sum the risk sets' covariance matrices over events; shape (p, p)."""
        eta = beta @ self.columns
        hazard = self.deaths / denominators[self.starts]
        weight = np.exp(eta - eta.max()) * self._until_exit_and_after(hazard)
        squares = (self.columns * weight) @ self.columns.T
        return np.asarray(squares - means.T @ means)

    def _until_exit_and_after(self, per_time: FloatArray) -> FloatArray:
        """Sum a function of event times over each subject's time at risk, by its weight; shape (..., n)."""
        until = _padded_sums(per_time)
        after = _padded_sums(per_time * self.uncensored_at_event)
        late = (after[..., -1:] - after[..., self.times_until_exit]) * self.inverse_at_exit
        return np.asarray(until[..., self.times_until_exit] + late)

    def sandwich_core(self, beta: FloatArray) -> FloatArray:
        """Sum the squares of the subjects' contributions to the score, that of G's estimation included."""
        _, residuals, means, denominators = self.evaluate(beta)
        eta = beta @ self.columns
        risk = np.exp(eta - eta.max())
        hazard = self.deaths / denominators[self.starts]
        mean = means.T[:, self.starts]
        level = self._until_exit_and_after(hazard)
        drift = self._until_exit_and_after(hazard * mean)
        own = -risk * (self.columns * level - drift)
        own[:, self.event_rows] += residuals.T
        own += self._from_censoring(risk, hazard, mean)
        return np.asarray(own @ own.T)

    def _from_censoring(self, risk: FloatArray, hazard: FloatArray, mean: FloatArray) -> FloatArray:
        """Each subject's contribution through the estimate of G: a martingale integral of q(u) / Y(u).

        At a tie of a censoring at u, events count as after it and competing events as not before it, as the
        paper's indicator of s >= u > T has it.
        """
        weighted = risk * self.inverse_at_exit
        gone0, gone1 = (
            _padded_sums(weighted)[self.first],
            _padded_sums(weighted * self.columns)[:, self.first],
        )
        later = np.searchsorted(self.times, self.censoring_times, side="left")
        discounted = hazard * self.uncensored_at_event
        ahead0 = _padded_sums(discounted[::-1])[::-1][later]
        ahead1 = _padded_sums((discounted * mean)[:, ::-1])[:, ::-1][:, later]
        per_time = (gone1 * ahead0 - gone0 * ahead1) / self.at_risk
        compensator = np.cumsum(per_time * (self.censorings / self.at_risk), axis=1)
        jump = np.where(self.censored, per_time[:, self.censoring_inverse], 0.0)
        return np.asarray(jump - compensator[:, self.censoring_inverse])


def _padded_sums(values: FloatArray) -> FloatArray:
    """Sum ``values`` cumulatively along the last axis, a zero before them."""
    padded = np.zeros((*values.shape[:-1], values.shape[-1] + 1))
    np.cumsum(values, axis=-1, out=padded[..., 1:])
    return padded


def fit_fine_gray(follow_up: FollowUp, cause: int, design: FloatArray) -> CoxFit:
    """Fit a subdistribution hazards model.

    Estimand: log subdistribution hazard ratios per unit of each column: how covariates move the cumulative
    incidence of ``cause`` in the presence of the other. Estimator: Fine and Gray's weighted score with
    Breslow's ties, G by Kaplan-Meier of all subjects, G(t-) as ``cmprsk::crr`` takes it (``finegray`` of
    survival differs at ties); sandwich covariance with the part that G's estimation adds.
    Limits: no left truncation, strata or clusters; censoring must not depend on the covariates.

    Parameters
    ----------
    follow_up : FollowUp of n subjects
    cause : int
        1 or 2.
    design : array of shape (n, p), finite, without constant columns

    Source: Fine and Gray 1999, JASA 94:496. Equal to ``cmprsk::crr``.
    """
    n, p = design.shape
    if follow_up.truncated:
        nothing = np.full(p, np.nan), np.full((p, p), np.nan)
        problem = "left truncation: Fine and Gray's model is not defined for it here"
        return CoxFit(*nothing, np.nan, np.nan, n, int((follow_up.status == cause).sum()), problem)
    made: list[WeightedLikelihood] = []

    def make(standard: FloatArray) -> WeightedLikelihood:
        made.append(WeightedLikelihood(follow_up, cause, standard))
        return made[0]

    fit = fit_partial_likelihood(make, design, int((follow_up.status == cause).sum()))
    if fit.problem or p == 0:
        return fit
    spread = design.std(axis=0)
    core = made[0].sandwich_core(fit.coefficients * spread) * np.outer(spread, spread)
    return replace(fit, covariance=fit.covariance @ core @ fit.covariance)

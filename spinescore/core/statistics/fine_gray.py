"""Fine and Gray's subdistribution hazards model in linear time after one sort: no row is expanded."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from spinescore.core.statistics.cox import CoxFit, fit_partial_likelihood
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
        self.order = np.argsort(follow_up.exit, kind="stable")
        exit_times, status = follow_up.exit[self.order], follow_up.status[self.order]
        self.design = np.ascontiguousarray(design[self.order], dtype=np.float64)
        self.n = len(exit_times)
        self.event_rows: IntArray = np.flatnonzero(status == cause)
        event_times = exit_times[self.event_rows]
        self.times, self.starts, self.time_of_event, self.deaths = np.unique(
            event_times, return_index=True, return_inverse=True, return_counts=True
        )
        self.first_at_risk = np.searchsorted(exit_times, self.times, side="left")
        self.times_until_exit = np.searchsorted(self.times, exit_times, side="right")
        self.competing: BoolArray = (status != 0) & (status != cause)
        self._estimate_censoring(exit_times, status == 0)

    def _estimate_censoring(self, exit_times: FloatArray, censored: BoolArray) -> None:
        """Kaplan-Meier of the censoring time, just before each event time and each exit."""
        self.censoring_times, inverse = np.unique(exit_times, return_inverse=True)
        self.censoring_inverse: IntArray = inverse
        self.at_risk = self.n - np.searchsorted(exit_times, self.censoring_times, side="left")
        self.censorings = np.bincount(inverse[censored], minlength=len(self.censoring_times))
        self.censored = censored
        survival = np.cumprod(1 - self.censorings / self.at_risk)
        before = np.concatenate([[1.0], survival[:-1]])
        self.uncensored_at_event = before[np.searchsorted(self.censoring_times, self.times)]
        self.inverse_at_exit = np.where(self.competing, 1 / before[inverse], 0.0)

    def _risk_sums(self, values: FloatArray) -> FloatArray:
        """Sum ``values`` over each event time's risk set, those gone by a competing event by weight."""
        still = _padded_sums(values[::-1])[::-1][self.first_at_risk]
        gone = _padded_sums((values.T * self.inverse_at_exit).T)[self.first_at_risk]
        return np.asarray(still + (gone.T * self.uncensored_at_event).T)

    def evaluate(self, beta: FloatArray) -> tuple[float, FloatArray, FloatArray, FloatArray]:
        """Return log-likelihood; per event score residuals, risk-set means (events, p) and denominators."""
        eta = self.design @ beta
        eta -= eta.max()
        risk = np.exp(eta)
        s0, s1 = self._risk_sums(risk), self._risk_sums(risk[:, None] * self.design)
        k, rows = self.time_of_event, self.event_rows
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):  # judged by the caller
            means = (s1 / s0[:, None])[k]
            loglik = float(np.sum(eta[rows]) - np.sum(np.log(s0[k])))
        return loglik, self.design[rows] - means, means, s0[k]

    def information(self, beta: FloatArray, means: FloatArray, denominators: FloatArray) -> FloatArray:
        """Sum the risk sets' covariance matrices over events; shape (p, p)."""
        eta = self.design @ beta
        hazard = self.deaths / denominators[self.starts]
        weight = np.exp(eta - eta.max()) * self._until_exit_and_after(hazard)
        squares = (self.design * weight[:, None]).T @ self.design
        return np.asarray(squares - means.T @ means)

    def _until_exit_and_after(self, per_time: FloatArray) -> FloatArray:
        """Sum a function of event times over each subject's time at risk, by its weight; shape (n, ...)."""
        until = _padded_sums(per_time)
        after = _padded_sums((per_time.T * self.uncensored_at_event).T)
        late = (after[-1] - after[self.times_until_exit]).T * self.inverse_at_exit
        return np.asarray(until[self.times_until_exit] + late.T)

    def sandwich_core(self, beta: FloatArray) -> FloatArray:
        """Sum the squares of the subjects' contributions to the score, that of G's estimation included."""
        _, residuals, means, denominators = self.evaluate(beta)
        eta = self.design @ beta
        risk = np.exp(eta - eta.max())
        hazard = self.deaths / denominators[self.starts]
        mean = means[self.starts]
        level = self._until_exit_and_after(hazard)
        drift = self._until_exit_and_after(hazard[:, None] * mean)
        own = -risk[:, None] * (self.design * level[:, None] - drift)
        own[self.event_rows] += residuals
        own += self._from_censoring(risk, hazard, mean)
        return np.asarray(own.T @ own)

    def _from_censoring(self, risk: FloatArray, hazard: FloatArray, mean: FloatArray) -> FloatArray:
        """Each subject's contribution through the estimate of G: a martingale integral of q(u) / Y(u).

        At a tie of a censoring at u, events count as after it and competing events as not before it, as the
        paper's indicator of s >= u > T has it.
        """
        weighted = (risk * self.inverse_at_exit)[:, None] * self.design
        first = np.searchsorted(self.censoring_inverse, np.arange(len(self.censoring_times)), side="left")
        gone0, gone1 = _padded_sums(risk * self.inverse_at_exit)[first], _padded_sums(weighted)[first]
        later = np.searchsorted(self.times, self.censoring_times, side="left")
        discounted = hazard * self.uncensored_at_event
        ahead0 = _padded_sums(discounted[::-1])[::-1][later]
        ahead1 = _padded_sums((discounted[:, None] * mean)[::-1])[::-1][later]
        q = gone1 * ahead0[:, None] - gone0[:, None] * ahead1
        per_time = q / self.at_risk[:, None]
        compensator = np.cumsum(per_time * (self.censorings / self.at_risk)[:, None], axis=0)
        jump = np.where(self.censored[:, None], per_time[self.censoring_inverse], 0.0)
        return np.asarray(jump - compensator[self.censoring_inverse])


def _padded_sums(values: FloatArray) -> FloatArray:
    padded = np.zeros((len(values) + 1, *values.shape[1:]))
    np.cumsum(values, axis=0, out=padded[1:])
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
    events = int((follow_up.status == cause).sum())
    fit = fit_partial_likelihood(
        lambda standard: WeightedLikelihood(follow_up, cause, standard), design, events
    )
    if fit.problem or p == 0:
        return fit
    core = WeightedLikelihood(follow_up, cause, design - design.mean(axis=0)).sandwich_core(fit.coefficients)
    return replace(fit, covariance=fit.covariance @ core @ fit.covariance)

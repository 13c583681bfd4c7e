"""Each subject's part in a Cox fit: score residuals, robust and cluster-robust covariance, in linear time."""

from __future__ import annotations

import numpy as np

from spinescore.core.statistics.cox import CoxFit, PartialLikelihood
from spinescore.core.statistics.estimate import BoolArray, FloatArray, IntArray
from spinescore.core.statistics.times import FollowUp


def score_residuals(follow_up: FollowUp, event: BoolArray, design: FloatArray, fit: CoxFit) -> FloatArray:
    """Return each subject's contribution to the score at the maximum; shape (n, p), columns sum to 0.

    The double sum over subjects and risk sets is turned round: a subject's risk sets are those between its
    entry and exit, so that two cumulative sums over event times give all of it. Efron's ties: those who die
    together share the mean of their risk-set means, and leave the risk set by their fractions.

    Parameters
    ----------
    follow_up : FollowUp of n subjects
    event : boolean array of shape (n,)
    design : array of shape (n, p)
    fit : CoxFit
        Of the same data, without a problem.

    Source: Therneau and Grambsch 2000, ch. 4 and 7; ``residuals.coxph(type = "score")``.
    """
    centred = design - design.mean(axis=0)
    likelihood = PartialLikelihood(follow_up, event, centred)
    _, _, means, denominators = likelihood.evaluate(fit.coefficients)
    x = likelihood.design
    eta = x @ fit.coefficients
    risk = np.exp(eta - eta.max())
    level, drift = hazard_while_at_risk(likelihood, means, denominators)
    k, starts, rows = likelihood.time_of_event, likelihood.starts, likelihood.event_rows
    residuals = -risk[:, None] * (x * level[:, None] - drift)
    shared = np.add.reduceat(means, starts, axis=0) / likelihood.deaths[:, None]
    residuals[rows] += x[rows] - shared[k]
    unsorted: FloatArray = np.empty_like(residuals)
    unsorted[likelihood.order] = residuals
    return unsorted


def hazard_while_at_risk(
    likelihood: PartialLikelihood, means: FloatArray, denominators: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Sum 1 / denominator, and risk-set mean / denominator, over the events each subject was at risk for.

    Who dies at a time counts less in the denominators of those who die with it (Efron).

    Parameters
    ----------
    likelihood : PartialLikelihood
    means, denominators : arrays of shape (events, p) and (events,)
        As ``evaluate`` returns them.

    Returns
    -------
    arrays of shape (n,) and (n, p), in the likelihood's order
    """
    k, starts = likelihood.time_of_event, likelihood.starts
    hazard, fraction = 1 / denominators, likelihood.fraction
    level = _while_at_risk(likelihood, np.add.reduceat(hazard, starts))
    drift = _while_at_risk(likelihood, np.add.reduceat(hazard[:, None] * means, starts, axis=0))
    rows = likelihood.event_rows
    level[rows] -= np.add.reduceat(fraction * hazard, starts)[k]
    drift[rows] -= np.add.reduceat((fraction * hazard)[:, None] * means, starts, axis=0)[k]
    return level, drift


def _while_at_risk(likelihood: PartialLikelihood, per_time: FloatArray) -> FloatArray:
    """Sum a function of event times over each subject's time at risk; shape (n, ...)."""
    cumulative = np.zeros((len(per_time) + 1, *per_time.shape[1:]))
    np.cumsum(per_time, axis=0, out=cumulative[1:])
    return np.asarray(cumulative[likelihood.times_until_exit] - cumulative[likelihood.times_until_entry])


def robust_covariance(
    residuals: FloatArray, covariance: FloatArray, clusters: IntArray | None = None
) -> FloatArray:
    """Return the sandwich covariance; residuals of one cluster are summed first.

    Estimand: the sampling covariance of the coefficients, right also where hazards are not proportional
    and, with clusters (numbered from 0), where subjects of one depend on each other. Limits: too small with
    few clusters.

    Source: Lin and Wei 1989, JASA 84:1074; ``coxph(robust = TRUE)`` and ``cluster``.
    """
    if clusters is not None:
        summed = [np.bincount(clusters, weights=column) for column in residuals.T]
        residuals = np.column_stack(summed)
    influence = residuals @ covariance
    return np.asarray(influence.T @ influence)

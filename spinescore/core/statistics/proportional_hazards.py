"""Are hazard ratios constant over time? The score test of R's survival >= 3.0, and beta(t) to look at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.stats import chi2

from spinescore.core.statistics.cox import CoxFit, PartialLikelihood
from spinescore.core.statistics.estimate import BoolArray, Estimate, FloatArray, IntArray, normal_quantile
from spinescore.core.statistics.splines import restricted_cubic_spline
from spinescore.core.statistics.times import FollowUp, stratify, tabulate_risk

Transform = Literal["km", "rank", "identity"]
TRANSFORMS: tuple[Transform, ...] = ("km", "rank", "identity")
SMOOTH_POINTS = 61
SMOOTH_DF = 4


@dataclass(frozen=True, slots=True)
class ScaledResiduals:
    """What tests of proportional hazards share, whatever the transform of time.

    Parameters
    ----------
    likelihood : PartialLikelihood
        Of the centred design, within strata where there are any.
    residuals, means, denominators : arrays of shape (events, p), (events, p) and (events,)
        Schoenfeld's residuals, as ``evaluate`` returns them.
    information : array of shape (p, p)
    fit : CoxFit
    times : array of shape (events,)
        When each event happened, in years, in the likelihood's order.
    """

    likelihood: PartialLikelihood
    residuals: FloatArray
    means: FloatArray
    denominators: FloatArray
    information: FloatArray
    fit: CoxFit
    times: FloatArray


def measure_residuals(
    follow_up: FollowUp, event: BoolArray, design: FloatArray, fit: CoxFit, strata: IntArray | None = None
) -> ScaledResiduals:
    """Return Schoenfeld's residuals of a fitted model, within strata (numbered from 0) if given."""
    within = follow_up if strata is None else stratify(follow_up, strata)
    likelihood = PartialLikelihood(within, event, design - design.mean(axis=0))
    _, residuals, means, denominators = likelihood.evaluate(fit.coefficients)
    information = likelihood.information(fit.coefficients, means, denominators)
    times = follow_up.exit[likelihood.order[likelihood.event_rows]]
    return ScaledResiduals(likelihood, residuals, means, denominators, information, fit, times)


def transform_times(
    follow_up: FollowUp, event: BoolArray, at: FloatArray, transform: Transform
) -> FloatArray:
    """Return g(t): 1 - KM(t-), the mean rank of t among all ends of follow-up, or t; without strata, as R."""
    if transform == "identity":
        return at
    if transform == "rank":
        exits = np.sort(follow_up.exit)
        first, last = (np.searchsorted(exits, at, side=side) for side in ("left", "right"))
        return np.asarray((first + last + 1) / 2)
    table = tabulate_risk(FollowUp(follow_up.entry, follow_up.exit, event.astype(np.int64)))
    survival = np.cumprod(1 - table.events[0] / table.at_risk)
    before = np.concatenate([[1.0], survival])[np.searchsorted(table.times, at, side="left")]
    return np.asarray(1 - before, dtype=np.float64)


def check_proportional_hazards(
    found: ScaledResiduals, g: FloatArray, terms: Mapping[str, Sequence[int]]
) -> dict[str, Estimate]:
    """Test each term, and all together (``global``), against a trend of its coefficient with g(t).

    Estimand: none; H0 is that beta(t) is flat against g(t). Estimator: score test of adding x g(t) for the
    term's columns, with the information of the whole model (not the pre-2019 approximation, which lifelines
    has). Limits: with many events p is always small.

    Parameters
    ----------
    found : ScaledResiduals
    g : array of shape (events,)
        As ``transform_times`` returns it at ``found.times``.
    terms : mapping of name to columns

    Source: Grambsch and Therneau 1994, Biometrika 81:515; ``cox.zph`` of survival >= 3.0.
    """
    g = g - g.mean()
    if not np.abs(g).max(initial=0.0) > 0:
        return dict.fromkeys((*terms, "global"), Estimate(problem="one event time"))
    weighted = (
        found.likelihood.information(found.fit.coefficients, found.means, found.denominators, weights)
        for weights in (g, g * g)
    )
    blocks = [found.information, *weighted]
    score = found.residuals.T @ g
    everything = list(range(len(score)))
    return {
        name: _score_test(score, blocks, list(columns))
        for name, columns in {**terms, "global": everything}.items()
    }


def _score_test(score: FloatArray, blocks: list[FloatArray], columns: list[int]) -> Estimate:
    cross = blocks[1][:, columns]
    variance = blocks[2][np.ix_(columns, columns)] - cross.T @ np.linalg.solve(blocks[0], cross)
    part = score[columns]
    size = np.sqrt(np.maximum(np.diag(blocks[2])[columns], 1e-300))
    # with few event times x g(t) can be all but a multiple of the columns: nothing is left to test
    if np.linalg.eigvalsh(variance / np.outer(size, size))[0] < 1e-10:
        return Estimate(problem="collinear")
    statistic = float(part @ np.linalg.solve(variance, part))
    df = len(columns)
    return Estimate(value=statistic, df=float(df), p_value=float(chi2.sf(statistic, df)))


def smooth_coefficient(
    found: ScaledResiduals, g: FloatArray, column: int, conf_level: float
) -> dict[str, FloatArray] | None:
    """Return beta(t) of one column with pointwise intervals, or None below five distinct event times.

    Estimand: the log hazard ratio per unit of the column at t. Estimator: a natural cubic spline of four
    degrees of freedom in g(t) (knots at the ends and tertiles of the events) through the scaled Schoenfeld
    residuals plus the coefficient, read at evenly spaced event times; variances as ``plot.cox.zph`` has them
    (constant information). Limits: a picture, not a test; the ends are the least sure.

    Returns
    -------
    dict of arrays ``time, value, lower, upper``

    Source: Grambsch and Therneau 1994; Therneau and Grambsch 2000, 6.2.
    """
    knots = np.quantile(g, [0.0, 1 / 3, 2 / 3, 1.0])
    if len(np.unique(g)) <= SMOOTH_DF or len(np.unique(knots)) < SMOOTH_DF:
        return None
    covariance = found.fit.covariance * len(g)
    scaled = found.residuals @ covariance[:, column] + found.fit.coefficients[column]
    basis = np.column_stack([np.ones(len(g)), restricted_cubic_spline(g, knots)])
    q, r = np.linalg.qr(basis)
    order = np.argsort(found.times, kind="stable")
    at = np.unique(order[np.linspace(0, len(g) - 1, SMOOTH_POINTS).round().astype(np.int64)])
    at = at[np.argsort(found.times[at], kind="stable")]
    at = at[np.concatenate([[True], np.diff(found.times[at]) > 0])]
    value = basis[at] @ np.linalg.solve(r, q.T @ scaled)
    se = np.sqrt(covariance[column, column] * np.square(q[at]).sum(axis=1))
    z = normal_quantile(conf_level)
    return {"time": found.times[at], "value": value, "lower": value - z * se, "upper": value + z * se}

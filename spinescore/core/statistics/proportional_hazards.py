"""Are hazard ratios constant over time? The score test of R's survival >= 3.0."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.stats import chi2

from spinescore.core.statistics.cox import CoxFit, PartialLikelihood
from spinescore.core.statistics.estimate import BoolArray, Estimate, FloatArray
from spinescore.core.statistics.times import FollowUp, tabulate_risk


def check_proportional_hazards(
    follow_up: FollowUp,
    event: BoolArray,
    design: FloatArray,
    fit: CoxFit,
    terms: Mapping[str, Sequence[int]],
) -> dict[str, Estimate]:
    """Test each term, and all together (``global``), against a trend of its coefficient with 1 - KM(t).

    Estimand: none; H0 is that beta(t) is flat against g(t), g the left-continuous Kaplan-Meier transform.
    Estimator: score test of adding x g(t) for the term's columns, with the information of the whole model
    (not the pre-2019 approximation, which lifelines has). Limits: with many events p is always small.

    Source: Grambsch and Therneau 1994, Biometrika 81:515; ``cox.zph`` of survival >= 3.0.
    """
    centre = design.mean(axis=0)
    likelihood = PartialLikelihood(follow_up, event, design - centre)
    _, residuals, means, denominators = likelihood.evaluate(fit.coefficients)
    g = _kaplan_meier_transform(follow_up, event, likelihood.event_times)
    g = g - g.mean()
    if not np.abs(g).max(initial=0.0) > 0:
        problem = "one event time"
        return dict.fromkeys((*terms, "global"), Estimate(problem=problem))
    blocks = [
        likelihood.information(fit.coefficients, means, denominators, weights) for weights in (None, g, g * g)
    ]
    score = residuals.T @ g
    variance = blocks[2] - blocks[1] @ np.linalg.solve(blocks[0], blocks[1])
    tests = {name: _score_test(score, blocks, list(columns)) for name, columns in terms.items()}
    statistic = float(score @ np.linalg.solve(variance, score))
    df = len(score)
    return {**tests, "global": Estimate(value=statistic, df=float(df), p_value=float(chi2.sf(statistic, df)))}


def _score_test(score: FloatArray, blocks: list[FloatArray], columns: list[int]) -> Estimate:
    cross = blocks[1][:, columns]
    variance = blocks[2][np.ix_(columns, columns)] - cross.T @ np.linalg.solve(blocks[0], cross)
    part = score[columns]
    statistic = float(part @ np.linalg.solve(variance, part))
    df = len(columns)
    return Estimate(value=statistic, df=float(df), p_value=float(chi2.sf(statistic, df)))


def _kaplan_meier_transform(follow_up: FollowUp, event: BoolArray, at: FloatArray) -> FloatArray:
    """Return 1 - KM(t-) at each time of ``at``."""
    table = tabulate_risk(FollowUp(follow_up.entry, follow_up.exit, event.astype(np.int64)))
    survival = np.cumprod(1 - table.events[0] / table.at_risk)
    before = np.concatenate([[1.0], survival])[np.searchsorted(table.times, at, side="left")]
    return np.asarray(1 - before, dtype=np.float64)

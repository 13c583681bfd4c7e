"""How often pooled intervals hold the coefficients that incomplete data were simulated from."""

from __future__ import annotations

from collections import Counter

import numpy as np

from spinescore.core.statistics.cox import fit_cox
from spinescore.core.statistics.estimate import BoolArray, Estimate, FloatArray
from spinescore.core.statistics.imputation import ChainedEquations, Variable, accumulate_hazard
from spinescore.core.statistics.logistic import fit_logistic
from spinescore.core.statistics.pooling import estimate_pooled_ratio, pool_fits
from spinescore.core.statistics.times import FollowUp, make_follow_up

N_SUBJECTS = 120
COPIES = 5
ITERATIONS = 5
PAD, NUMBER, LEVEL = TRUTH = (0.4, 0.3, -0.5)
NAMES = ("pad", "number", "level")


def count_covered(replicates: int, seed: int) -> tuple[Counter[str], dict[str, float]]:
    """Return how many pooled 95% intervals hold the truth, by coefficient, and the mean error of each."""
    rng = np.random.default_rng(seed)
    covered: Counter[str] = Counter()
    errors: Counter[str] = Counter()
    for _ in range(replicates):
        for family in ("cox", "logistic"):
            for name, truth, estimate in zip(NAMES, TRUTH, _pooled(family, rng), strict=True):
                assert estimate.value is not None
                assert estimate.lower is not None
                assert estimate.upper is not None
                key = f"{family} {name}"
                covered[key] += estimate.lower <= np.exp(truth) <= estimate.upper
                errors[key] += np.log(estimate.value) - truth
    return covered, {key: error / replicates for key, error in errors.items()}


def _pooled(family: str, rng: np.random.Generator) -> list[Estimate]:
    pad, number = rng.multivariate_normal([0, 0], [[1, 0.4], [0.4, 1]], N_SUBJECTS).T
    level = (rng.random(N_SUBJECTS) < 1 / (1 + np.exp(-0.5 * number))).astype(float)
    score = PAD * pad + NUMBER * number + LEVEL * level
    follow_up = _follow_up(score, rng)
    case = np.asarray(rng.random(N_SUBJECTS) < 1 / (1 + np.exp(-score)))
    known = follow_up.status == 1 if family == "cox" else case
    # who has the event is known better: complete cases alone would be a biased sample of risk factors
    number[rng.random(N_SUBJECTS) < np.where(known, 0.15, 0.4)] = np.nan
    level[rng.random(N_SUBJECTS) < np.where(pad > 0, 0.4, 0.1)] = np.nan
    return _analyse(family, pad, [number, level], follow_up, case, rng)


def _follow_up(score: FloatArray, rng: np.random.Generator) -> FollowUp:
    event, end = rng.exponential(np.exp(-score)), rng.uniform(0.5, 4, N_SUBJECTS)
    return make_follow_up(np.zeros(N_SUBJECTS), np.minimum(event, end), (event <= end).astype(int))


def _analyse(
    family: str,
    pad: FloatArray,
    incomplete: list[FloatArray],
    follow_up: FollowUp,
    case: BoolArray,
    rng: np.random.Generator,
) -> list[Estimate]:
    event = np.asarray(follow_up.status == 1)
    outcome = [event, accumulate_hazard(follow_up, 1)] if family == "cox" else [case]
    variables = [Variable(NAMES[i + 1], values, categorical=i == 1) for i, values in enumerate(incomplete)]
    equations = ChainedEquations(variables, np.column_stack([pad, *outcome]), ITERATIONS)
    fits = []
    for _ in range(COPIES):
        values = equations.draw(rng).values
        matrix = np.column_stack([pad, values["number"], values["level"]])
        fits.append(fit_cox(follow_up, event, matrix) if family == "cox" else fit_logistic(case, matrix))
    fewest = event.sum() if family == "cox" else min(case.sum(), (~case).sum())
    df = float(fewest - len(TRUTH))
    pooled = pool_fits([f.coefficients for f in fits], [f.covariance for f in fits], df)
    return [estimate_pooled_ratio(pooled, column, 1.0, 0.95) for column in range(len(TRUTH))]

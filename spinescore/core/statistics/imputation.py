"""Missing covariates drawn by chained equations: each draw from its own posterior draw of the parameters.

Estimand: none of its own; the joint distribution of the incomplete covariates given everything else, so that
models fitted to the completed copies can be pooled (``pooling``). Assumptions: missing at random given the
predictors, outcome included. Predictors and outcomes are never imputed.

Source: van Buuren 2018, Flexible Imputation of Missing Data, ch. 3-4; White, Royston and Wood 2011,
Stat Med 30:377; R's ``mice`` (which draws no parameters for more than two categories; here they are drawn).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_factor, cho_solve, solve_triangular

from spinescore.core.statistics.estimate import FloatArray, IntArray
from spinescore.core.statistics.times import FollowUp, count_at_risk

ITERATIONS = 10
DONORS = 5
NEWTON_STEPS = 30
COLLINEAR = 1e-10  # a direction with less of the largest variance than this is no direction


@dataclass(frozen=True, slots=True)
class Variable:
    """A covariate that may be imputed: numbers, or levels coded 0, 1, ...; NaN where unknown.

    Parameters
    ----------
    name : str
    values : array of shape (n,)
    categorical : bool
    """

    name: str
    values: FloatArray
    categorical: bool

    @property
    def missing(self) -> IntArray:
        """Return the rows in which it is unknown."""
        return np.flatnonzero(np.isnan(self.values))

    @property
    def levels(self) -> FloatArray:
        """Return its distinct known values, sorted."""
        return np.unique(self.values[np.isfinite(self.values)])


@dataclass(frozen=True, slots=True)
class Completion:
    """One completed copy: every variable's values, and the mean imputed value after each iteration.

    ``trace`` has shape (iterations, incomplete variables), in the order of ``ChainedEquations.incomplete``.
    """

    values: dict[str, FloatArray]
    trace: FloatArray


class ChainedEquations:
    """Draws completed copies of some covariates given complete columns.

    Variables are visited from the least to the most incomplete, so that nothing depends on the order in
    which they are given. One incomplete variable needs no chain: one iteration is a draw already.

    Parameters
    ----------
    variables : sequence of Variable
        Of one length n, each known in some row.
    complete : array of shape (n, k), finite
        Predictors and outcomes: used in every equation, never imputed.
    iterations : int
    """

    def __init__(
        self, variables: Sequence[Variable], complete: FloatArray, iterations: int = ITERATIONS
    ) -> None:
        self.variables = sorted(variables, key=lambda v: v.name)
        self.incomplete = sorted(
            (v for v in self.variables if len(v.missing)), key=lambda v: (len(v.missing), v.name)
        )
        self.iterations = iterations if len(self.incomplete) > 1 else 1
        self.complete = _standardise(complete, complete)

    def cannot_impute(self) -> dict[str, str]:
        """Say for each incomplete variable that cannot be imputed why: too few known values for its model."""
        width = 1 + self.complete.shape[1] + sum(_width(v) for v in self.variables)
        problems = {}
        for variable in self.incomplete:
            known, levels = len(variable.values) - len(variable.missing), len(variable.levels)
            parameters = (width - _width(variable)) * (levels - 1 if variable.categorical else 1)
            if levels > 1 and known <= parameters:
                problems[variable.name] = f"{known} known values, {parameters} parameters"
        return problems

    def draw(self, rng: np.random.Generator) -> Completion:
        """Draw one completed copy."""
        current = {v.name: v.values.copy() for v in self.variables}
        for variable in self.incomplete:
            known = variable.values[np.isfinite(variable.values)]
            current[variable.name][variable.missing] = rng.choice(known, len(variable.missing))
        trace = np.empty((self.iterations, len(self.incomplete)))
        for step in range(self.iterations):
            for column, variable in enumerate(self.incomplete):
                drawn = self._draw_variable(variable, current, rng)
                current[variable.name][variable.missing] = drawn
                trace[step, column] = drawn.mean()
        return Completion(current, trace)

    def _draw_variable(
        self, variable: Variable, current: dict[str, FloatArray], rng: np.random.Generator
    ) -> FloatArray:
        levels = variable.levels
        if len(levels) == 1:
            return np.full(len(variable.missing), levels[0])
        others = [_encode(v, current[v.name]) for v in self.variables if v.name != variable.name]
        design = np.hstack([np.ones((len(variable.values), 1)), self.complete, *others])
        known = np.isfinite(variable.values)
        observed, wanted = design[known], design[variable.missing]
        if variable.categorical:
            codes = np.searchsorted(levels, variable.values[known])
            return np.asarray(levels[draw_categories(codes, len(levels), observed, wanted, rng)])
        return draw_by_matching(variable.values[known], observed, wanted, rng)


def _width(variable: Variable) -> int:
    return max(len(variable.levels) - 1, 0) if variable.categorical else 1


def _encode(variable: Variable, values: FloatArray) -> FloatArray:
    if not variable.categorical:
        known = variable.values[np.isfinite(variable.values)]
        return _standardise(values[:, None], known[:, None])
    return np.asarray(values[:, None] == variable.levels[1:], dtype=np.float64)


def _standardise(values: FloatArray, like: FloatArray) -> FloatArray:
    spread = like.std(axis=0)
    return np.asarray((values - like.mean(axis=0)) / np.where(spread > 0, spread, 1.0))


def _directions(design: FloatArray) -> FloatArray:
    """Return R so that the columns of design R are orthonormal; collinear directions are left out."""
    values, vectors = np.linalg.eigh(design.T @ design)
    keep = values > COLLINEAR * values[-1]
    return np.asarray(vectors[:, keep] / np.sqrt(values[keep]))


def draw_by_matching(
    known: FloatArray, observed: FloatArray, wanted: FloatArray, rng: np.random.Generator
) -> FloatArray:
    """Draw numbers by predictive mean matching: each is a known value whose prediction lies near.

    Parameters of the linear model are drawn from their posterior; predictions of wanted rows by the draw are
    matched to those of known rows by the estimate (type 1); one of the five nearest is taken at random.

    Parameters
    ----------
    known : array of shape (n,)
    observed, wanted : arrays of shape (n, p) and (k, p)
        Columns of the linear model, a constant among them.
    rng : numpy.random.Generator

    Source: Little 1988; van Buuren 2018, algorithm 3.3.
    """
    directions = _directions(observed)
    basis = observed @ directions
    estimate = basis.T @ known
    fitted = basis @ estimate
    freedom = max(len(known) - basis.shape[1], 1)
    sigma = np.sqrt(np.sum((known - fitted) ** 2) / rng.chisquare(freedom))
    drawn = estimate + sigma * rng.standard_normal(len(estimate))
    shuffled = rng.permutation(len(known))  # ties of the prediction then have no order of their own
    order = shuffled[np.argsort(fitted[shuffled], kind="stable")]
    return np.asarray(known[order[_near(fitted[order], wanted @ directions @ drawn, rng)]])


def _near(ordered: FloatArray, targets: FloatArray, rng: np.random.Generator) -> IntArray:
    """Return, for each target, the position of one of the nearest few of an ordered array, at random."""
    n, donors = len(ordered), min(DONORS, len(ordered))
    middle = np.searchsorted(ordered, targets)
    window = np.clip(middle - donors, 0, max(n - 2 * donors, 0))[:, None] + np.arange(min(2 * donors, n))
    distance = np.abs(ordered[window] - targets[:, None])
    nearest = np.argpartition(distance, donors - 1, axis=1)[:, :donors]
    rows = np.arange(len(targets))
    return np.asarray(window[rows, nearest[rows, rng.integers(0, donors, len(targets))]])


def draw_categories(
    codes: IntArray, levels: int, observed: FloatArray, wanted: FloatArray, rng: np.random.Generator
) -> IntArray:
    """Draw levels from a (multinomial) logistic model whose parameters are drawn from their posterior.

    Perfect prediction is kept finite by White, Daniel and Royston's augmentation: a few rows of small
    weight on both sides of each column's mean, in every level.

    Parameters
    ----------
    codes : integer array of shape (n,)
        Known levels 0..levels-1, each of which occurs.
    levels : int
    observed, wanted : arrays of shape (n, p) and (k, p)
        Columns of the model, a constant first.
    rng : numpy.random.Generator

    Source: White, Daniel and Royston 2010, Comput Stat Data Anal 54:2267.
    """
    outcome = np.zeros((len(codes), levels - 1))
    outcome[codes > 0] = np.eye(levels)[1:, 1:][codes[codes > 0] - 1]
    rows, outcomes, weights = _augment(observed, outcome, levels)
    directions = _directions(rows)
    estimate, information = _fit_multinomial(rows @ directions, outcomes, weights)
    factor = np.linalg.cholesky(information)
    noise = solve_triangular(factor.T, rng.standard_normal(len(factor)), lower=False)
    drawn = (estimate.ravel(order="F") + noise).reshape(estimate.shape, order="F")
    predictor = wanted @ directions @ drawn
    others = np.exp(predictor - _log_total(predictor)[:, None])
    below = np.cumsum(others[:, ::-1], axis=1)  # probability of the last level, of the last two, ...
    return np.asarray((rng.random(len(wanted))[:, None] < below).sum(axis=1))


def _augment(
    observed: FloatArray, outcome: FloatArray, levels: int
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Add rows half an SD to either side of each column's mean, in each level; their weights sum to p + 1."""
    n, p = observed.shape
    covariates = observed[:, 1:]
    half = covariates.std(axis=0) / 2
    shifts = np.vstack([np.diag(half), -np.diag(half)])
    extra = np.clip(covariates.mean(axis=0) + shifts, covariates.min(axis=0), covariates.max(axis=0))
    extra = np.tile(np.hstack([np.ones((len(extra), 1)), extra]), (levels, 1))
    added = np.repeat(np.eye(levels)[:, 1:], 2 * (p - 1), axis=0)
    weights = np.concatenate([np.ones(n), np.full(len(extra), p / max(len(extra), 1))])
    return np.vstack([observed, extra]), np.vstack([outcome, added]), weights


def _log_total(predictor: FloatArray) -> FloatArray:
    """Return log(1 + sum of exp) of each row: the reference level's predictor is 0."""
    total = np.zeros(len(predictor))
    for column in predictor.T:
        total = np.logaddexp(total, column)
    return total


def _fit_multinomial(
    design: FloatArray, outcome: FloatArray, weights: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Maximise a weighted multinomial likelihood by Newton's steps, halved where they overshoot.

    Returns coefficients of shape (p, levels - 1) and the information of their columns laid end to end.
    """
    p, k = design.shape[1], outcome.shape[1]
    beta = np.zeros((p, k))
    loglik, probability = _multinomial_likelihood(design, outcome, weights, beta)
    for _ in range(NEWTON_STEPS):
        information = _multinomial_information(design, probability, weights)
        score = design.T @ (weights[:, None] * (outcome - probability))
        step = cho_solve(cho_factor(information), score.ravel(order="F")).reshape((p, k), order="F")
        candidate = _multinomial_likelihood(design, outcome, weights, beta + step)
        while candidate[0] < loglik - 1e-9 * abs(loglik):
            step = step / 2
            candidate = _multinomial_likelihood(design, outcome, weights, beta + step)
        beta = beta + step
        loglik, probability = candidate
        if float(np.sum(score * step)) < 1e-8:
            break
    return beta, _multinomial_information(design, probability, weights)


def _multinomial_likelihood(
    design: FloatArray, outcome: FloatArray, weights: FloatArray, beta: FloatArray
) -> tuple[float, FloatArray]:
    predictor = design @ beta
    total = _log_total(predictor)
    loglik = float(np.einsum("i,ij,ij->", weights, outcome, predictor) - weights @ total)
    return loglik, np.exp(predictor - total[:, None])


def _multinomial_information(design: FloatArray, probability: FloatArray, weights: FloatArray) -> FloatArray:
    k = probability.shape[1]
    blocks = [
        [
            (design * (weights * probability[:, i] * ((i == j) - probability[:, j]))[:, None]).T @ design
            for j in range(k)
        ]
        for i in range(k)
    ]
    return np.block(blocks)


def gelman_rubin(traces: FloatArray) -> FloatArray:
    """Return the potential scale reduction of each variable's mean imputed value over the chains.

    Parameters
    ----------
    traces : array of shape (m, iterations, variables)

    Returns
    -------
    array of shape (variables,)
        Near 1 where chains have forgotten their beginnings; NaN for fewer than four iterations.

    Source: Gelman and Rubin 1992, Stat Sci 7:457, on the later half of each chain.
    """
    later = traces[:, traces.shape[1] // 2 :]
    length = later.shape[1]
    if length < 2 or traces.shape[1] < 4 or len(later) < 2:
        return np.full(traces.shape[2], np.nan)
    within = later.var(axis=1, ddof=1).mean(axis=0)
    between = later.mean(axis=1).var(axis=0, ddof=1)
    ratio = np.divide(between, within, out=np.zeros_like(within), where=within > 0)
    return np.asarray(np.sqrt((length - 1) / length + ratio))


def accumulate_hazard(follow_up: FollowUp, cause: int) -> FloatArray:
    """Return each subject's Nelson-Aalen cumulative hazard of a cause over the time it was watched.

    With the event indicator it is what an incomplete covariate's equation needs to know of a Cox outcome.

    At ties it is d / n, as ``survfit(ctype = 1)`` has it; ``mice::nelsonaalen`` has Efron's sum there.

    Source: White and Royston 2009, Stat Med 28:1982.
    """
    times, events = np.unique(follow_up.exit[follow_up.status == cause], return_counts=True)
    cumulative = np.concatenate([[0.0], np.cumsum(events / count_at_risk(follow_up, times))])
    until_exit = cumulative[np.searchsorted(times, follow_up.exit, side="right")]
    return np.asarray(until_exit - cumulative[np.searchsorted(times, follow_up.entry, side="right")])

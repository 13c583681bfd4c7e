"""How often intervals hold the hazard ratio simulated from, and tests keep to their size, by kind of model."""

from __future__ import annotations

from collections import Counter

import numpy as np

from spinescore.core.statistics.cox import CoxFit, compare_nested, fit_cox, measure_wald
from spinescore.core.statistics.cox_residuals import robust_covariance, score_residuals
from spinescore.core.statistics.estimate import BoolArray, FloatArray, normal_quantile
from spinescore.core.statistics.incidence import standardise_rate
from spinescore.core.statistics.proportional_hazards import (
    TRANSFORMS,
    check_proportional_hazards,
    measure_residuals,
    transform_times,
)
from spinescore.core.statistics.splines import place_knots, restricted_cubic_spline
from spinescore.core.statistics.times import FollowUp, make_follow_up, stratify

N, BETA, AGEING = 400, 0.1, 0.09
Z = normal_quantile(0.95)


def count_held(replicates: int, seed: int) -> Counter[str]:
    """Return how many of the replicates' intervals hold the truth, or tests of a true H0 do not reject."""
    rng = np.random.default_rng(seed)
    held: Counter[str] = Counter()
    for _ in range(replicates):
        for one in (_on_age(rng), _within_sites(rng), _in_wards(rng), _rates(rng)):
            held.update({name: int(kept) for name, kept in one.items()})
    return held


def _seen(rng: np.random.Generator, times: FloatArray) -> tuple[FloatArray, BoolArray]:
    """Censor times and round them up to twelfths of a year."""
    censored = rng.uniform(1, 12, len(times))
    return np.ceil(np.minimum(times, censored) * 12) / 12, times <= censored


def _holds(fit: CoxFit, truth: float, covariance: FloatArray | None = None) -> bool:
    se = np.sqrt((fit.covariance if covariance is None else covariance)[0, 0])
    return bool(abs(fit.coefficients[0] - truth) <= Z * se)


def _on_age(rng: np.random.Generator) -> dict[str, bool]:
    """The hazard grows with attained age (Gompertz): the same model on the scale of age and of follow-up."""
    age, pad = rng.uniform(50, 85, N), rng.normal(0, 4, N)
    start = 0.004 * np.exp(AGEING * (age - 50) + BETA * pad)
    times = np.log1p(AGEING * rng.exponential(size=N) / start) / AGEING
    exit, event = _seen(rng, times)
    on_age = make_follow_up(age, age + exit, event.astype(np.int64))
    follow_up = make_follow_up(np.zeros(N), exit, event.astype(np.int64))
    later = exit > 2
    landmark = make_follow_up(np.zeros(later.sum()), exit[later] - 2, event[later].astype(np.int64))
    both = np.column_stack([pad, age])
    plain = fit_cox(follow_up, event, both)
    return {
        "age scale": _holds(fit_cox(on_age, event, pad[:, None]), BETA),
        "main": _holds(plain, BETA),
        "landmark": _holds(fit_cox(landmark, event[later], both[later]), BETA),
        "interaction": _no_interaction(follow_up, event, both, rng.integers(0, 3, N)),
        "non-linearity": _no_curve(follow_up, event, pad, age),
    }


def _no_interaction(follow_up: FollowUp, event: BoolArray, both: FloatArray, level: np.ndarray) -> bool:
    indicators = np.column_stack([level == k for k in (1, 2)]).astype(float)
    smaller = fit_cox(follow_up, event, np.hstack([both, indicators]))
    larger = fit_cox(follow_up, event, np.hstack([both, indicators, indicators * both[:, :1]]))
    p = compare_nested(smaller, larger).p_value
    return p is not None and p > 0.05


def _no_curve(follow_up: FollowUp, event: BoolArray, pad: FloatArray, age: FloatArray) -> bool:
    curve = restricted_cubic_spline(pad, place_knots(pad, 4))
    p = measure_wald(fit_cox(follow_up, event, np.column_stack([curve, age])), [1, 2]).p_value
    return p is not None and p > 0.05


def _within_sites(rng: np.random.Generator) -> dict[str, bool]:
    """Each site has a baseline hazard of a shape of its own."""
    pad, site = rng.normal(0, 4, N), rng.integers(0, 4, N)
    shape = np.array([0.6, 1.0, 1.7, 2.5])[site]
    exit, event = _seen(rng, (rng.exponential(size=N) * 8 / np.exp(BETA * pad)) ** (1 / shape))
    follow_up = make_follow_up(np.zeros(N), exit, event.astype(np.int64))
    fit = fit_cox(stratify(follow_up, site), event, pad[:, None])
    found = measure_residuals(follow_up, event, pad[:, None], fit, site)
    held = {"strata": _holds(fit, BETA)}
    for transform in TRANSFORMS:
        g = transform_times(follow_up, event, found.times, transform)
        p = check_proportional_hazards(found, g, {"pad": [0]})["pad"].p_value
        held[f"ph {transform}"] = p is not None and p > 0.05
    return held


def _in_wards(rng: np.random.Generator) -> dict[str, bool]:
    """Subjects of a ward share its frailty and most of its trait, which has no effect."""
    ward = np.repeat(np.arange(N // 5), 5)
    trait = rng.normal(size=N // 5)[ward] + rng.normal(0, 0.3, N)
    exit, event = _seen(rng, rng.exponential(size=N) * 8 / rng.gamma(1, 1, N // 5)[ward])
    follow_up = make_follow_up(np.zeros(N), exit, event.astype(np.int64))
    fit = fit_cox(follow_up, event, trait[:, None])
    residuals = score_residuals(follow_up, event, trait[:, None], fit)
    clustered = robust_covariance(residuals, fit.covariance, ward)
    return {"cluster": _holds(fit, 0.0, clustered), "cluster, disregarded": _holds(fit, 0.0)}


def _rates(rng: np.random.Generator) -> dict[str, bool]:
    """A group with other shares of the strata than the standard, whose rates are known."""
    years, standard = np.array([300.0, 800.0, 150.0, 60.0]), np.array([4.0, 3.0, 2.0, 1.0])
    truth = np.array([0.01, 0.02, 0.05, 0.12])
    found = standardise_rate(rng.poisson(truth * years).astype(float), years, standard, 0.95)
    expected = 1000 * float(truth @ standard) / standard.sum()
    assert found.lower is not None
    assert found.upper is not None
    return {"standardised rate": found.lower <= expected <= found.upper}

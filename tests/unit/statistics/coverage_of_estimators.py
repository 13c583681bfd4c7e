"""How often intervals hold the truth a cohort was simulated from, and tests keep to their size, by estimator.

Truths are worked out from the generating model by quadrature or exact formulas, never by the estimators themselves.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from scipy.special import ndtr
from scipy.stats import norm

from spinescore.core.statistics.accuracy import measure_accuracy
from spinescore.core.statistics.calibration import (
    compare_binary_in_the_large,
    compare_in_the_large,
    estimate_binary_slope,
    estimate_calibration_slope,
    estimate_observed_risk,
)
from spinescore.core.statistics.competing_risks import estimate_cumulative_incidence, gray_test
from spinescore.core.statistics.concordance import (
    compare_concordance,
    estimate_concordance,
    measure_concordance,
    measure_uno_concordance,
)
from spinescore.core.statistics.discrimination import compare_auc, estimate_auc, measure_auc
from spinescore.core.statistics.estimate import Estimate, FloatArray, normal_interval
from spinescore.core.statistics.fine_gray import fit_fine_gray
from spinescore.core.statistics.firth import FirthFit, fit_firth_cox, fit_firth_logistic, profile_coefficient
from spinescore.core.statistics.incidence import estimate_rate
from spinescore.core.statistics.kaplan_meier import (
    StepCurve,
    estimate_survival,
    find_median,
    log_rank,
    reverse_follow_up,
)
from spinescore.core.statistics.logistic import fit_logistic
from spinescore.core.statistics.restricted_mean import estimate_restricted_mean, estimate_time_lost
from spinescore.core.statistics.time_dependent import (
    compare_measures,
    estimate_measure,
    measure_auc_at,
    measure_brier,
    weigh_horizon,
)
from spinescore.core.statistics.times import FollowUp, make_follow_up

N, FEW, HORIZON = 400, 70, 5.0
RATES, EFFECTS = (0.06, 0.04), (0.5, 0.3)  # hazards a year of the two causes; log hazard ratios per SD
SHIFT, SHARE = 0.8, 0.3  # how far cases lie from controls, in SD; the share of cases
SUBDISTRIBUTION, CEILING = 0.5, 0.4  # log ratio per SD; the incidence at infinity of the average subject
LAST = 12.0


@dataclass
class Tally:
    """Of one estimator: intervals that held the truth (or tests that did not reject), and the mean error."""

    held: int = 0
    made: int = 0
    errors: list[float] = field(default_factory=list)

    @property
    def bias(self) -> float:
        """Return the mean error in SDs of the estimate; 0 for tests."""
        if len(self.errors) < 2:
            return 0.0
        return float(np.mean(self.errors) / np.std(self.errors, ddof=1))


def tally_estimators(replicates: int, seed: int) -> dict[str, Tally]:
    """Simulate cohorts and return every estimator's tally."""
    rng, tallies = np.random.default_rng(seed), {}
    for _ in range(replicates):
        for family in (_agreement, _classes, _one_cause, _two_causes, _subdistribution, _few_events):
            for name, estimate, truth in family(rng):
                tally = tallies.setdefault(name, Tally())
                tally.made += 1
                tally.held += _keeps(estimate, truth)
                if truth is not None and estimate.value is not None:
                    tally.errors.append(estimate.value - truth)
    return tallies


Checked = tuple[str, Estimate, float | None]


def _keeps(estimate: Estimate, truth: float | None) -> bool:
    """Whether the interval holds the truth; without one, whether the test does not reject at 5%."""
    if truth is None:
        return estimate.p_value is not None and estimate.p_value > 0.05
    return (
        estimate.lower is not None
        and estimate.upper is not None
        and estimate.lower <= truth <= estimate.upper
    )


def _agreement(rng: np.random.Generator) -> Iterator[Checked]:
    """Age normal, spine age a line in it with normal error: everything about both is known."""
    mean, sd, slope, intercept, error = 65.0, 8.0, 0.8, 14.0, 4.0
    age = rng.normal(mean, sd, N)
    found = measure_accuracy(age, intercept + slope * age + rng.normal(0, error, N), 0.95)
    spine_sd = np.hypot(slope * sd, error)
    shift, spread = intercept + (slope - 1) * mean, np.hypot((slope - 1) * sd, error)
    folded = spread * np.sqrt(2 / np.pi) * np.exp(-((shift / spread) ** 2) / 2)
    r = slope * sd / spine_sd
    truths = {
        "mae": folded + shift * (1 - 2 * ndtr(-shift / spread)),
        "mean_pad": shift,
        "slope": slope,
        "intercept": intercept,
        "r": r,
        "ccc": 2 * r * sd * spine_sd / (sd**2 + spine_sd**2 + shift**2),
        "loa_lower": shift - norm.ppf(0.975) * spread,
        "loa_upper": shift + norm.ppf(0.975) * spread,
    }
    for name, truth in truths.items():
        yield name, found[name], float(truth)


def _classes(rng: np.random.Generator) -> Iterator[Checked]:
    """Two readings of one normal trait, of equal worth, in cases and controls."""
    case = rng.random(N) < SHARE
    trait = rng.normal(size=N)
    one, two = (SHIFT * case + np.sqrt(0.5) * (trait + rng.normal(size=N)) for _ in range(2))
    areas = [measure_auc(case, score) for score in (one, two)]
    yield "AUC (DeLong)", estimate_auc(areas[0], 0.95), float(ndtr(SHIFT / np.sqrt(2)))
    yield "AUC difference, size", compare_auc(*areas, 0.95, test=True), None
    yield "AUC difference", compare_auc(*areas, 0.95, test=True), 0.0
    fit = fit_logistic(case, one[:, None])
    yield "log odds ratio", _coefficient(fit.coefficients, fit.covariance), SHIFT
    right = SHARE * norm.pdf(one, SHIFT) / (SHARE * norm.pdf(one, SHIFT) + (1 - SHARE) * norm.pdf(one))
    large = compare_binary_in_the_large(case, right, 0.95)
    yield "binary O/E", large["o_e_ratio"], 1.0
    yield "binary calibration intercept", large["calibration_intercept"], 0.0
    yield "binary calibration slope", estimate_binary_slope(case, right, 0.95), 1.0


def _coefficient(coefficients: FloatArray, covariance: FloatArray) -> Estimate:
    return normal_interval(float(coefficients[0]), float(np.sqrt(covariance[0, 0])), 0.95)


def _cohort(rng: np.random.Generator, x: FloatArray, causes: int) -> FollowUp:
    """Exponential times to one or two causes, censored uniformly over 1 to 12 years."""
    times = [
        rng.exponential(1 / (rate * np.exp(effect * x)))
        for rate, effect in zip(RATES[:causes], EFFECTS[:causes], strict=True)
    ]
    ends = np.vstack([rng.uniform(1, LAST, len(x)), *times])
    return make_follow_up(np.zeros(len(x)), ends.min(axis=0), ends.argmin(axis=0))


def _one_cause(rng: np.random.Generator) -> Iterator[Checked]:
    x = rng.normal(size=N)
    follow_up = _cohort(rng, x, causes=1)
    event = follow_up.status == 1
    yield "survival (Kaplan-Meier)", _at(estimate_survival(follow_up, 0.95)), ONE["survival"]
    yield "restricted mean", estimate_restricted_mean(follow_up, HORIZON, 0.95), ONE["restricted_mean"]
    reverse = find_median(estimate_survival(reverse_follow_up(follow_up), 0.95))
    yield "median follow-up (reverse)", reverse, (1 + LAST) / 2
    yield "log-rank, size", log_rank(follow_up, rng.integers(0, 3, N), 3), None
    flat = _cohort(rng, np.zeros(N), causes=1)
    rate = estimate_rate(int((flat.status == 1).sum()), flat.person_years, 0.95)
    yield "rate (exact Poisson)", rate, 1000 * RATES[0]
    yield (
        "Uno's C",
        estimate_concordance(measure_uno_concordance(follow_up, event, x, HORIZON), 0.95),
        ONE["c"],
    )
    seen = FollowUp(follow_up.entry, np.minimum(_complete(rng, x), HORIZON), np.ones(N, dtype=np.int64))
    within = seen.exit < HORIZON
    yield "Harrell's C", estimate_concordance(measure_concordance(seen, within, x), 0.95), ONE["c"]
    noisy = [measure_concordance(follow_up, event, x + rng.normal(size=N)) for _ in range(2)]
    yield "difference in C", compare_concordance(*noisy, 0.95), 0.0
    risk = 1 - np.exp(-RATES[0] * np.exp(EFFECTS[0] * x) * HORIZON)
    yield from _calibration("one cause", follow_up, risk)


def _complete(rng: np.random.Generator, x: FloatArray) -> FloatArray:
    return rng.exponential(1 / (RATES[0] * np.exp(EFFECTS[0] * x)))


def _at(curve: StepCurve) -> Estimate:
    step = curve.at(HORIZON)
    return Estimate(
        value=float(curve.values[step]), lower=float(curve.lower[step]), upper=float(curve.upper[step])
    )


def _calibration(world: str, follow_up: FollowUp, risk: FloatArray) -> Iterator[Checked]:
    """Right predictions are right in the large and by slope."""
    large = compare_in_the_large(risk, estimate_observed_risk(follow_up, HORIZON, 0.95), 0.95)
    yield f"O/E, {world}", large["o_e_ratio"], 1.0
    yield f"calibration intercept, {world}", large["calibration_intercept"], 0.0
    if world == "one cause":  # with two, right risks of these hazards are no subdistribution model
        yield "calibration slope", estimate_calibration_slope(follow_up, risk, HORIZON, 0.95), 1.0


def _two_causes(rng: np.random.Generator) -> Iterator[Checked]:
    x = rng.normal(size=N)
    follow_up = _cohort(rng, x, causes=2)
    for cause in (1, 2):
        curve = estimate_cumulative_incidence(follow_up, cause, 0.95)
        yield f"incidence of cause {cause} (Aalen-Johansen)", _at(curve), TWO[f"incidence_{cause}"]
    yield "time lost", estimate_time_lost(follow_up, 1, HORIZON, 0.95), TWO["time_lost"]
    yield "Gray's test, size", gray_test(follow_up, rng.integers(0, 3, N), 3, 1), None
    horizon = weigh_horizon(follow_up, HORIZON)
    risk = _incidence(x, HORIZON, 0)
    yield "AUC at a horizon", estimate_measure(measure_auc_at(horizon, x), 0.95), TWO["auc"]
    yield "Brier score", estimate_measure(measure_brier(horizon, risk), 0.95), TWO["brier"]
    noisy = [measure_auc_at(horizon, x + rng.normal(size=N)) for _ in range(2)]
    yield "difference in AUC at a horizon, size", compare_measures(*noisy, 0.95, test=True), None
    yield from _calibration("two causes", follow_up, risk)


def _incidence(x: FloatArray, time: float, cause: int) -> FloatArray:
    hazards = [rate * np.exp(effect * x) for rate, effect in zip(RATES, EFFECTS, strict=True)]
    return np.asarray(hazards[cause] / sum(hazards) * -np.expm1(-sum(hazards) * time))


def _subdistribution(rng: np.random.Generator) -> Iterator[Checked]:
    """Times drawn from Fine and Gray's own model; the censoring has nothing to do with them."""
    x = rng.normal(size=N)
    strength = np.exp(SUBDISTRIBUTION * x)
    ever = 1 - (1 - CEILING) ** strength
    first = rng.random(N) < ever
    u = rng.random(N) * ever
    inner = 1 - (1 - np.where(first, u, 0.0)) ** (1 / strength)
    own = -np.log1p(-inner / CEILING) * 4
    times = np.where(first, own, rng.exponential(5, N))
    ends = rng.uniform(1, LAST, N)
    status = np.where(ends < times, 0, np.where(first, 1, 2))
    follow_up = make_follow_up(np.zeros(N), np.minimum(times, ends), status)
    fit = fit_fine_gray(follow_up, 1, x[:, None])
    interval = _coefficient(fit.coefficients, fit.covariance)
    yield "log subdistribution hazard ratio (Fine-Gray)", interval, SUBDISTRIBUTION


def _few_events(rng: np.random.Generator) -> Iterator[Checked]:
    """Firth's intervals where events are few."""
    x = rng.normal(size=(FEW, 2))
    ends = rng.uniform(0.5, 2, FEW)
    times = rng.exponential(1 / (0.12 * np.exp(0.5 * x[:, 0])))
    event = times <= ends
    follow_up = make_follow_up(np.zeros(FEW), np.minimum(times, ends), event.astype(np.int64))
    if event.any():
        yield "log hazard ratio (Firth)", _profile(fit_firth_cox(follow_up, event, x)), 0.5
    case = rng.random(FEW) < 1 / (1 + np.exp(2 - 0.5 * x[:, 0]))
    if case.any():
        yield "log odds ratio (Firth)", _profile(fit_firth_logistic(case, x)), 0.5


def _profile(fit: FirthFit) -> Estimate:
    """Return the log ratio; a bound that does not exist is infinite."""
    found = profile_coefficient(fit, 0, 0.95)
    lower = -np.inf if found.lower is None else found.lower
    return Estimate(value=found.value, lower=lower, upper=np.inf if found.upper is None else found.upper)


def _nodes() -> tuple[FloatArray, FloatArray]:
    points, weights = np.polynomial.hermite_e.hermegauss(200)
    return points, weights / weights.sum()


def _one_cause_truths() -> dict[str, float]:
    x, w = _nodes()
    hazard = RATES[0] * np.exp(EFFECTS[0] * x)
    return {
        "survival": float(w @ np.exp(-hazard * HORIZON)),
        "restricted_mean": float(w @ (-np.expm1(-hazard * HORIZON) / hazard)),
        "c": _concordance(),
    }


def _grid() -> tuple[FloatArray, FloatArray]:
    x = np.linspace(-7, 7, 3001)
    w = norm.pdf(x)
    return x, w / w.sum()


def _concordance() -> float:
    """P(x_i > x_j | T_i < T_j, T_i < horizon) = sum over i of P(i first by then) over pairs."""
    x, w = _grid()
    hazard = RATES[0] * np.exp(EFFECTS[0] * x)
    total = hazard[:, None] + hazard[None, :]
    first = hazard[:, None] / total * -np.expm1(-total * HORIZON) * w[:, None] * w[None, :]
    above, level = np.tril(first, -1).sum(), np.trace(first)
    return float((above + level / 2) / first.sum())


def _two_causes_truths() -> dict[str, float]:
    x, w = _nodes()
    hazards = [rate * np.exp(effect * x) for rate, effect in zip(RATES, EFFECTS, strict=True)]
    total = sum(hazards)
    risk = _incidence(x, HORIZON, 0)
    grid, weight = _grid()
    by_then = _incidence(grid, HORIZON, 0)
    cases, controls = weight * by_then, weight * (1 - by_then)
    below = np.cumsum(controls) - controls / 2
    return {
        "incidence_1": float(w @ risk),
        "incidence_2": float(w @ _incidence(x, HORIZON, 1)),
        "time_lost": float(w @ (hazards[0] / total * (HORIZON + np.expm1(-total * HORIZON) / total))),
        "auc": float(cases @ below / (cases.sum() * controls.sum())),
        "brier": float(w @ (risk * (1 - risk))),
    }


ONE, TWO = _one_cause_truths(), _two_causes_truths()

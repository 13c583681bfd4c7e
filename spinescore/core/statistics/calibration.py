"""Whether predicted risks are those that come true: in the large, by slope, and along a smooth curve."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit, logit

from spinescore.core.statistics.absolute_risk import (
    FrozenHazard,
    FrozenLogistic,
    freeze_cox,
    freeze_logistic,
    freeze_subdistribution,
)
from spinescore.core.statistics.competing_risks import estimate_cumulative_incidence
from spinescore.core.statistics.cox import CoxFit, fit_cox, fit_partial_likelihood
from spinescore.core.statistics.estimate import (
    BoolArray,
    Estimate,
    FloatArray,
    log_ratio_interval,
    normal_interval,
)
from spinescore.core.statistics.fine_gray import WeightedLikelihood, fit_fine_gray
from spinescore.core.statistics.kaplan_meier import StepCurve, estimate_survival
from spinescore.core.statistics.logistic import fit_logistic
from spinescore.core.statistics.splines import place_knots, restricted_cubic_spline
from spinescore.core.statistics.times import FollowUp

NEAREST_TO_CERTAIN = 1e-12
FEWEST_EVENTS = 5
FEWEST_KNOTS = 3


@dataclass(frozen=True, slots=True)
class SmoothCalibration:
    """Observed against predicted risk as a smooth function.

    Parameters
    ----------
    knots : array of shape (k,)
        On the link's scale.
    spline : FrozenHazard or FrozenLogistic
        The model of the outcome on the spline.
    fitted : array of shape (n,)
        Observed risk at each subject's predicted one.
    ici, e50, e90 : float
        Mean, median and 90th percentile (type 7) of the absolute difference.
    """

    knots: FloatArray
    spline: FrozenHazard | FrozenLogistic
    horizon_years: float
    fitted: FloatArray
    ici: float
    e50: float
    e90: float

    def at(self, predicted: FloatArray) -> FloatArray:
        """Return the observed risk at some predicted ones."""
        if isinstance(self.spline, FrozenHazard):
            columns = restricted_cubic_spline(cloglog(predicted), self.knots)
            return _observed(self.spline, columns, self.horizon_years)
        columns = restricted_cubic_spline(log_odds(predicted), self.knots)
        return self.spline.predict(columns)


def _inside(probability: FloatArray) -> FloatArray:
    return np.clip(probability, NEAREST_TO_CERTAIN, 1 - NEAREST_TO_CERTAIN)


def cloglog(probability: FloatArray) -> FloatArray:
    """Return log(-log(1 - p)), probabilities kept 1e-12 from 0 and 1.

    >>> float(cloglog(np.array([1 - np.exp(-1.0)]))[0])
    0.0
    """
    return np.log(-np.log1p(-_inside(np.asarray(probability))))


def log_odds(probability: FloatArray) -> FloatArray:
    """Return log(p / (1 - p)), probabilities kept 1e-12 from 0 and 1."""
    return np.asarray(logit(_inside(probability)))


def end_follow_up(follow_up: FollowUp, horizon_years: float) -> tuple[FollowUp, BoolArray]:
    """Censor everyone at a horizon; returns the follow-up of those who entered before it, and who they are.

    Calibration at a horizon then rests on nothing that happened later.
    """
    kept = follow_up.entry < horizon_years
    later = follow_up.exit > horizon_years
    exit = np.where(later, horizon_years, follow_up.exit)
    status = np.where(later, 0, follow_up.status)
    return FollowUp(follow_up.entry, exit, status).take(kept), np.asarray(kept)


def judge_horizon(follow_up: FollowUp, horizon_years: float, parameters: int = 0) -> str | None:
    """Return why nothing is said of risks at a horizon: follow-up too short, too few events; or None."""
    events = int(((follow_up.status == 1) & (follow_up.exit <= horizon_years)).sum())
    if not (follow_up.exit >= horizon_years).any():
        return "beyond follow-up"
    if events < FEWEST_EVENTS:
        return f"{events} events"
    return f"{events} events, {parameters} parameters" if events <= parameters else None


def trace_observed_risk(follow_up: FollowUp, conf_level: float) -> StepCurve:
    """Return the cumulative incidence: Aalen-Johansen; 1 - Kaplan-Meier if nothing competes.

    Variance: infinitesimal jackknife; Greenwood's if nothing competes; interval log-log.
    """
    if (follow_up.status == 2).any() or not follow_up.truncated:  # the two variances are one then
        return estimate_cumulative_incidence(follow_up, 1, conf_level)
    curve = estimate_survival(follow_up, conf_level)
    return StepCurve(curve.times, 1 - curve.values, curve.se, 1 - curve.upper, 1 - curve.lower, curve.table)


def estimate_observed_risk(
    follow_up: FollowUp, horizon_years: float, conf_level: float, curve: StepCurve | None = None
) -> Estimate:
    """Return the cumulative incidence by the horizon, or why there is none; ``curve`` if it is at hand."""
    if problem := judge_horizon(follow_up, horizon_years):
        return Estimate(problem=problem)
    curve = curve or trace_observed_risk(follow_up, conf_level)
    last = curve.at(horizon_years)
    value, se, lower, upper = (float(a[last]) for a in (curve.values, curve.se, curve.lower, curve.upper))
    return Estimate(value=value, se=se, lower=lower, upper=upper)


def compare_in_the_large(predicted: FloatArray, observed: Estimate, conf_level: float) -> dict[str, Estimate]:
    """Compare the mean predicted with the observed risk at a horizon.

    Returns ``mean_predicted_risk``; ``o_e_ratio``, observed over expected, interval on the log scale; and
    ``calibration_intercept``: the a for which mean(1 - exp(-exp(a + cloglog(p)))) is the observed risk,
    by how much predictions are off on their own scale when the slope is left at 1 (0 is right; positive: the
    risks are too low). Their standard errors take the predictions as known.

    Source: van Calster et al. 2016 (mean calibration); McLernon et al. 2023, Ann Intern Med 176:105 (O/E).
    The intercept differs from Crowson's Poisson one, which compares counts of events until each end of
    follow-up.
    """
    mean = float(np.mean(predicted)) if len(predicted) else np.nan
    names = ("o_e_ratio", "calibration_intercept")
    if observed.problem or observed.value is None or observed.se is None:
        return dict.fromkeys(("mean_predicted_risk", *names), Estimate(problem=observed.problem))
    found = {"mean_predicted_risk": Estimate(value=mean)}
    if not mean > 0:
        return found | dict.fromkeys(names, Estimate(problem="all predicted risks are 0"))
    ratio = float(np.log(observed.value / mean))
    spread = observed.se / observed.value
    found["o_e_ratio"] = replace(log_ratio_interval(ratio, spread, conf_level), p_value=None)
    link, target = cloglog(predicted), observed.value
    if not 0 < target < 1:
        return found | {"calibration_intercept": Estimate(problem="observed risk is 1")}

    def excess(shift: float) -> float:
        return float(np.mean(-np.expm1(-np.exp(np.minimum(link + shift, 50.0))))) - target

    shift = float(brentq(excess, -40.0, 40.0, xtol=1e-14, rtol=1e-14))
    hazard = np.exp(np.minimum(link + shift, 50.0))
    slope = float(np.mean(hazard * np.exp(-hazard)))
    found["calibration_intercept"] = normal_interval(shift, observed.se / slope, conf_level)
    return found


def _fit_spline(follow_up: FollowUp, design: FloatArray, *, competing: bool) -> CoxFit:
    """Fit the outcome on a spline of the predicted risk; its errors are not asked for."""
    if competing and follow_up.truncated:
        return fit_fine_gray(follow_up, 1, design)
    if competing:
        events = int((follow_up.status == 1).sum())
        return fit_partial_likelihood(lambda x: WeightedLikelihood(follow_up, 1, x), design, events)
    return fit_cox(follow_up, np.asarray(follow_up.status == 1), design)


def estimate_calibration_slope(
    follow_up: FollowUp, predicted: FloatArray, horizon_years: float, conf_level: float
) -> Estimate:
    """Return the coefficient of cloglog(predicted risk), follow-up ending at the horizon; 1 is right.

    Below 1 predictions are too extreme. Estimator: Cox's model, whose coefficient is that of the linear
    predictor (the ``Slope`` of ``rms::validate``, there over all of follow-up); where events compete Fine and
    Gray's, refused under left truncation.

    Source: van Houwelingen 2000, Stat Med 19:3401; Austin et al. 2022, Diagn Progn Res 6:2.
    """
    competing = bool((follow_up.status == 2).any())
    if problem := judge_horizon(follow_up, horizon_years):
        return Estimate(problem=problem)
    ended, kept = end_follow_up(follow_up, horizon_years)
    link = cloglog(predicted[kept])[:, None]
    fit = fit_fine_gray(ended, 1, link) if competing else fit_cox(ended, ended.status == 1, link)
    if fit.problem:
        return Estimate(problem=fit.problem)
    return normal_interval(float(fit.coefficients[0]), float(np.sqrt(fit.covariance[0, 0])), conf_level)


def smooth_calibration(
    follow_up: FollowUp, predicted: FloatArray, horizon_years: float, knots: int
) -> tuple[SmoothCalibration | None, str | None]:
    """Return observed risk at the horizon as a smooth function of the predicted, or why there is none.

    Estimator: a restricted cubic spline of cloglog(predicted) in a Cox model (Fine-Gray's where events
    compete), follow-up ending at the horizon; observed risk from its baseline. Limits: proportional hazards
    along the spline; left truncation is refused where events compete.

    Source: Austin, Harrell and van Klaveren 2020, Stat Med 39:2714; Austin et al. 2022, Diagn Progn Res 6:2.
    """
    link = cloglog(predicted)
    placed = place_knots(link, knots) if len(link) else np.empty(0)
    if len(placed) < FEWEST_KNOTS:
        return None, "too few distinct predicted risks"
    if problem := judge_horizon(follow_up, horizon_years, len(placed) - 1):
        return None, problem
    columns = restricted_cubic_spline(link, placed)
    ended, kept = end_follow_up(follow_up, horizon_years)
    competing = bool((follow_up.status == 2).any())
    fit = _fit_spline(ended, columns[kept], competing=competing)
    if fit.problem:
        return None, fit.problem
    if competing:
        frozen = freeze_subdistribution(ended, 1, columns[kept], fit)
    else:
        frozen = freeze_cox(ended, np.asarray(ended.status == 1), columns[kept], fit)
    fitted = _observed(frozen, columns, horizon_years)
    return _summarise(placed, frozen, horizon_years, fitted, predicted), None


def _observed(frozen: FrozenHazard, columns: FloatArray, horizon_years: float) -> FloatArray:
    hazard = frozen.cumulative_at(horizon_years) * frozen.relative_hazard(columns)
    return np.asarray(-np.expm1(-hazard))


def _summarise(
    knots: FloatArray,
    spline: FrozenHazard | FrozenLogistic,
    horizon_years: float,
    fitted: FloatArray,
    predicted: FloatArray,
) -> SmoothCalibration:
    off = np.abs(fitted - predicted)
    e50, e90 = np.quantile(off, [0.5, 0.9])
    return SmoothCalibration(knots, spline, horizon_years, fitted, float(off.mean()), float(e50), float(e90))


def compare_binary_in_the_large(
    case: BoolArray, predicted: FloatArray, conf_level: float
) -> dict[str, Estimate]:
    """Compare the mean predicted probability with the share of cases.

    Returns ``observed_risk``, ``mean_predicted_risk``, ``o_e_ratio`` (binomial variance, log scale) and
    ``calibration_intercept``: the intercept of a logistic model with logit(predicted) as offset.

    Source: Cox 1958, Biometrika 45:562; van Calster et al. 2016, J Clin Epidemiol 74:167.
    """
    names = ("observed_risk", "mean_predicted_risk", "o_e_ratio", "calibration_intercept")
    n, cases = len(case), int(case.sum())
    if min(cases, n - cases) < FEWEST_EVENTS:
        reason = "one class" if cases in (0, n) else f"{cases} cases, {n - cases} controls"
        return dict.fromkeys(names, Estimate(problem=reason))
    share, mean = cases / n, float(np.mean(predicted))
    se = float(np.sqrt(share * (1 - share) / n))
    link = log_odds(predicted)

    def excess(shift: float) -> float:
        return float(np.sum(expit(link + shift))) - cases

    shift = float(brentq(excess, -60.0, 60.0, xtol=1e-14, rtol=1e-14))
    fitted = expit(link + shift)
    return {
        "observed_risk": Estimate(value=share, se=se),
        "mean_predicted_risk": Estimate(value=mean),
        "o_e_ratio": replace(
            log_ratio_interval(float(np.log(share / mean)), se / share, conf_level), p_value=None
        ),
        "calibration_intercept": normal_interval(
            shift, float(1 / np.sqrt(np.sum(fitted * (1 - fitted)))), conf_level
        ),
    }


def estimate_binary_slope(case: BoolArray, predicted: FloatArray, conf_level: float) -> Estimate:
    """Return the coefficient of logit(predicted) in a logistic model of the outcome (``rms::val.prob``'s)."""
    fit = fit_logistic(case, log_odds(predicted)[:, None])
    if fit.problem:
        return Estimate(problem=fit.problem)
    return normal_interval(float(fit.coefficients[0]), float(np.sqrt(fit.covariance[0, 0])), conf_level)


def smooth_binary_calibration(
    case: BoolArray, predicted: FloatArray, knots: int
) -> tuple[SmoothCalibration | None, str | None]:
    """Return the share of cases as a smooth function of the predicted probability, or why there is none.

    Estimator: logistic regression on a restricted cubic spline of logit(predicted).

    Source: Austin and Steyerberg 2019, Stat Med 38:4051 (with splines instead of loess).
    """
    link = log_odds(predicted)
    placed = place_knots(link, knots) if len(link) else np.empty(0)
    if len(placed) < FEWEST_KNOTS:
        return None, "too few distinct predicted risks"
    columns = restricted_cubic_spline(link, placed)
    fewest = int(min(case.sum(), (~case).sum()))
    if fewest <= len(placed):
        return None, f"{fewest} events, {len(placed)} parameters"
    fit = fit_logistic(case, columns)
    if fit.problem:
        return None, fit.problem
    frozen = freeze_logistic(columns, fit)
    return _summarise(placed, frozen, np.nan, frozen.predict(columns), predicted), None

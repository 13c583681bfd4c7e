"""Estimators at their limits: what cannot be estimated says why, and special cases meet simpler models."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from lifelines import CoxPHFitter

import spinescore.core.statistics.absolute_risk as absolute_risk
from spinescore.core.statistics.absolute_risk import FrozenHazard, RiskModel, fit_risk_model, predict_risk
from spinescore.core.statistics.calibration import smooth_calibration
from spinescore.core.statistics.cox import fit_cox
from spinescore.core.statistics.cox_residuals import robust_covariance, score_residuals
from spinescore.core.statistics.fine_gray import fit_fine_gray
from spinescore.core.statistics.firth import fit_firth_cox, fit_firth_logistic, profile_coefficient
from spinescore.core.statistics.restricted_mean import estimate_restricted_mean, subtract_estimates
from spinescore.core.statistics.time_dependent import (
    compare_measures,
    estimate_measure,
    measure_auc_at,
    weigh_horizon,
)
from spinescore.core.statistics.times import FollowUp, make_follow_up
from tests.reference.reference_cohort import COMPLETE, DATA, design, follow_up

FEW = DATA.head(150)


def test_fine_gray_without_competing_events_is_cox() -> None:
    """On untied times the fit is then Cox's own, its covariance the robust one."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=(400, 2))
    exit_times, event = rng.exponential(np.exp(-0.5 * x[:, 0])), rng.random(400) < 0.7
    follow_up = make_follow_up(np.zeros(400), exit_times, event.astype(np.int64))
    ours = fit_fine_gray(follow_up, 1, x)
    np.testing.assert_allclose(ours.coefficients, fit_cox(follow_up, event, x).coefficients, rtol=1e-9)


def test_fine_gray_says_why_there_is_no_estimate() -> None:
    rng = np.random.default_rng(4)
    x, exit_times = rng.normal(size=(50, 1)), rng.exponential(size=50)
    late = make_follow_up(exit_times / 2, exit_times, np.ones(50, dtype=np.int64))
    assert "left truncation" in str(fit_fine_gray(late, 1, x).problem)
    censored = make_follow_up(np.zeros(50), exit_times, np.zeros(50, dtype=np.int64))
    assert fit_fine_gray(censored, 1, x).problem == "0 events"
    told = make_follow_up(np.zeros(50), exit_times, np.where(x[:, 0] > 0, 1, 2))
    assert fit_fine_gray(told, 1, (x > 0).astype(float)).problem == "separation"


@pytest.mark.parametrize(
    ("status", "horizon", "reason"),
    [(0, 1.0, "0 events"), (2, 1.0, "0 events"), (1, 99.0, "beyond follow-up")],
)
def test_measures_at_horizons_say_why_there_is_no_estimate(status: int, horizon: float, reason: str) -> None:
    exits = np.linspace(0.5, 3, 20)
    times = make_follow_up(np.zeros(20), exits, np.full(20, status))
    found = measure_auc_at(weigh_horizon(times, horizon), exits)
    assert estimate_measure(found, 0.95).problem == reason
    assert compare_measures(found, found, 0.95, test=True).problem == reason


def test_firths_penalty_fades_as_events_grow() -> None:
    rng = np.random.default_rng(3)
    x = rng.normal(size=(20_000, 2))
    exits = rng.exponential(np.exp(-0.3 * x[:, 0]))
    times = make_follow_up(np.zeros(20_000), exits, np.ones(20_000, dtype=np.int64))
    plain, penalised = (fit(times, times.status == 1, x) for fit in (fit_cox, fit_firth_cox))
    np.testing.assert_allclose(penalised.coefficients, plain.coefficients, atol=1e-4)


def test_firth_says_why_there_is_no_estimate() -> None:
    times = follow_up(FEW, late=False)
    x = FEW.select("pad", "age").to_numpy()
    none = np.zeros(len(x), dtype=bool)
    assert fit_firth_cox(times, none, x).problem == "0 events"
    assert fit_firth_logistic(none, x).problem == "one class"
    event = times.status == 1
    assert fit_firth_cox(times, event, np.ones((len(x), 1))).problem == "constant predictor"
    assert fit_firth_cox(times, event, x[:, [0, 0]]).problem == "collinear"
    assert profile_coefficient(fit_firth_cox(times, none, x), 0, 0.95).problem == "0 events"
    one = np.zeros(len(x), dtype=bool)
    one[np.flatnonzero(event)[0]] = True
    assert fit_firth_cox(times, one, x).problem is None


def test_beyond_follow_up_there_is_no_mean_and_no_difference() -> None:
    times = make_follow_up(np.zeros(9), np.linspace(1, 4, 9), np.ones(9, dtype=np.int64))
    found = estimate_restricted_mean(times, 4.5, 0.95)
    assert found.problem == "beyond follow-up"
    assert (
        subtract_estimates(estimate_restricted_mean(times, 4.0, 0.95), found, 0.95).problem == found.problem
    )


def test_who_loses_nothing_keeps_all_of_the_time() -> None:
    times = make_follow_up(np.zeros(9), np.linspace(1, 4, 9), np.zeros(9, dtype=np.int64))
    found = estimate_restricted_mean(times, 3.0, 0.95)
    assert (found.value, found.se) == (3.0, 0.0)


def test_robust_errors_agree_with_lifelines_where_nothing_is_tied() -> None:
    rng = np.random.default_rng(5)
    x = rng.normal(size=(300, 2))
    exits, event = rng.exponential(np.exp(-0.4 * x[:, 0])), rng.random(300) < 0.6
    times = make_follow_up(np.zeros(300), exits, event.astype(np.int64))
    fit = fit_cox(times, event, x)
    ours = robust_covariance(score_residuals(times, event, x, fit), fit.covariance)
    frame = pl.DataFrame({"a": x[:, 0], "b": x[:, 1], "t": exits, "e": event}).to_pandas()
    theirs = CoxPHFitter().fit(frame, "t", "e", robust=True)
    np.testing.assert_allclose(np.sqrt(np.diag(ours)), theirs.standard_errors_.to_numpy(), rtol=1e-5)


def test_interpolated_risk_is_the_sum(monkeypatch: pytest.MonkeyPatch) -> None:
    columns, horizons = design(COMPLETE)[:, :4], [1.0, 2.5, 5.0]
    model = fit_risk_model(follow_up(COMPLETE, late=False), columns).model
    direct = predict_risk(model, columns, horizons)
    monkeypatch.setattr(absolute_risk, "LARGEST_DIRECT", 0)
    assert np.abs(predict_risk(model, columns, horizons) - direct).max() < 1e-9


def test_a_risk_beyond_one_is_cut() -> None:
    hazard = FrozenHazard(np.array([1.0]), np.zeros(1), np.array([1.0]), np.array([5.0]))
    nobody = FrozenHazard(np.zeros(1), np.zeros(1), np.array([2.0]), np.array([0.1]))
    assert predict_risk(RiskModel(hazard, nobody), np.zeros((1, 1)), [3.0]).tolist() == [[1.0]]


def test_hazards_beyond_all_numbers_are_risks_of_one() -> None:
    hazard = FrozenHazard(np.array([1e6]), np.zeros(1), np.array([1.0]), np.array([0.1]))
    nobody = FrozenHazard(np.zeros(1), np.zeros(1), np.array([0.5]), np.array([0.1]))
    two = np.array([[-1.0], [1.0]])
    assert predict_risk(RiskModel(hazard), two, [3.0])[:, 0].tolist() == pytest.approx([0, 1])
    assert predict_risk(RiskModel(hazard, nobody), two, [3.0])[:, 0].tolist() == pytest.approx([0, 1])


@pytest.mark.parametrize("kind", ["alone", "late", "competing"])
def test_a_calibration_curve_goes_through_what_was_fitted(kind: str) -> None:
    times = follow_up(COMPLETE, late=kind == "late")
    if kind != "competing":
        times = FollowUp(times.entry, times.exit, (times.status == 1).astype(np.int64))
    predicted = 1 - np.exp(-0.07 * np.exp(0.15 * COMPLETE["pad"].to_numpy()))
    curve, problem = smooth_calibration(times, predicted, 5.0, 4)
    assert problem is None
    np.testing.assert_allclose(curve.at(predicted), curve.fitted, rtol=1e-12)

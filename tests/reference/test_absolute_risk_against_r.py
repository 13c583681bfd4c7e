"""Absolute risks, calibration, net benefit and splines equal R's (absolute_risk.R made the numbers)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import spinescore.core.statistics.absolute_risk as module
from spinescore.core.statistics.absolute_risk import (
    FrozenHazard,
    RiskModel,
    fit_risk_model,
    freeze_cox,
    predict_risk,
)
from spinescore.core.statistics.calibration import (
    SmoothCalibration,
    compare_binary_in_the_large,
    compare_in_the_large,
    estimate_binary_slope,
    estimate_calibration_slope,
    estimate_observed_risk,
    smooth_binary_calibration,
    smooth_calibration,
)
from spinescore.core.statistics.cox import fit_cox
from spinescore.core.statistics.decision_curve import trace_binary_net_benefit, trace_net_benefit
from spinescore.core.statistics.splines import place_knots, restricted_cubic_spline
from spinescore.core.statistics.times import FollowUp, make_follow_up
from tests.reference.reference_cohort import COMPLETE, close

R = json.loads((Path(__file__).parent / "absolute_risk.json").read_text())
HORIZONS = R["horizons"]
SOME = slice(0, 40)
PAD, AGE, BMI = (COMPLETE[name].to_numpy() for name in ("pad", "age", "bmi"))
DESIGN = np.column_stack([PAD, AGE, (COMPLETE["sex"] == "M").to_numpy().astype(float), BMI])
CASE = COMPLETE["fracture"].to_numpy() == 1
WRONG = {
    "alone": 1 - np.exp(-0.09 * np.exp(0.06 * PAD + 0.05 * (AGE - 70))),
    "competing": 1 - np.exp(-0.07 * np.exp(0.15 * PAD + 0.02 * (AGE - 70))),
    "binary": 1 / (1 + np.exp(1.2 - 0.08 * PAD - 0.07 * (AGE - 70))),
}


def times(*, late: bool = False, competing: bool = True) -> FollowUp:
    status = COMPLETE["status"].to_numpy()
    entry = COMPLETE["entry"].to_numpy() if late else np.zeros(len(status))
    return make_follow_up(
        entry, COMPLETE["exit"].to_numpy(), status if competing else (status == 1).astype(np.int64)
    )


@pytest.mark.parametrize(("case", "late"), [("one", False), ("late", True)])
def test_risk_of_one_cause_equals_survfit(case: str, late: bool) -> None:
    found = fit_risk_model(times(late=late, competing=False), DESIGN)
    risk = predict_risk(found.model, DESIGN[SOME], HORIZONS)
    close(risk.T, R["risk"][case], 1e-9)


@pytest.mark.parametrize(("name", "late"), [("baseline", False), ("baseline_late", True)])
def test_baseline_hazard_equals_basehaz(name: str, late: bool) -> None:
    follow_up = times(late=late, competing=False)
    event = follow_up.status == 1
    frozen = freeze_cox(follow_up, event, DESIGN, fit_cox(follow_up, event, DESIGN))
    expected = R["risk"][name]
    relative = np.exp(frozen.log_relative_hazard(np.array(expected["of"])))
    close(frozen.cumulative_at(np.array(expected["times"])) * relative, expected["hazard"], 1e-9)


@pytest.mark.parametrize(("case", "late"), [("csc", False), ("late_both", True)])
def test_risk_where_events_compete_equals_csc(case: str, late: bool) -> None:
    found = fit_risk_model(times(late=late), DESIGN)
    close(predict_risk(found.model, DESIGN[SOME], HORIZONS).T, R["risk"][case], 1e-8)


def test_product_limit_is_somewhat_less_at_heavy_ties() -> None:
    """By design: the exponential convention, as ``predict(CSC, product.limit = FALSE)``."""
    risk = predict_risk(fit_risk_model(times(), DESIGN).model, DESIGN[SOME], HORIZONS)
    excess = risk.T - np.array(R["risk"]["product_limit"])
    assert excess.min() > 0
    assert excess.max() < 0.02


def test_interpolated_risk_is_the_sum(monkeypatch: pytest.MonkeyPatch) -> None:
    model = fit_risk_model(times(), DESIGN).model
    direct = predict_risk(model, DESIGN, HORIZONS)
    monkeypatch.setattr(module, "LARGEST_DIRECT", 0)
    assert np.abs(predict_risk(model, DESIGN, HORIZONS) - direct).max() < 1e-9


def test_a_risk_beyond_one_is_cut() -> None:
    hazard = FrozenHazard(np.array([1.0]), np.zeros(1), np.array([1.0]), np.array([5.0]))
    nobody = FrozenHazard(np.zeros(1), np.zeros(1), np.array([2.0]), np.array([0.1]))
    assert predict_risk(RiskModel(hazard, nobody), np.zeros((1, 1)), [3.0]).tolist() == [[1.0]]


def test_hazards_beyond_all_numbers_are_risks_of_one() -> None:
    hazard = FrozenHazard(np.array([1e6]), np.zeros(1), np.array([1.0]), np.array([0.1]))
    nobody = FrozenHazard(np.zeros(1), np.zeros(1), np.array([0.5]), np.array([0.1]))
    design = np.array([[-1.0], [1.0]])
    assert predict_risk(RiskModel(hazard), design, [3.0])[:, 0].tolist() == pytest.approx([0, 1])
    assert predict_risk(RiskModel(hazard, nobody), design, [3.0])[:, 0].tolist() == pytest.approx([0, 1])


def check_calibration(expected: dict[str, Any], found: dict[str, Any], curve: SmoothCalibration) -> None:
    for name, statistic, scale in (
        ("o_e", "o_e_ratio", 1e-9),
        ("intercept", "calibration_intercept", 1e-8),
        ("slope", "calibration_slope", 1e-6),
    ):
        close(found[statistic].value, expected[name], scale)
        if f"{name}_se" in expected:
            close(found[statistic].se, expected[f"{name}_se"], max(scale, 1e-6))
    close([curve.ici, curve.e50, curve.e90], [expected[k] for k in ("ici", "e50", "e90")], 1e-6)
    close(curve.fitted[SOME], expected.get("observed.1", expected["observed"]), 1e-6)


@pytest.mark.parametrize(
    ("case", "horizon", "late"),
    [
        ("alone", 5.0, False),
        ("alone_early", 2.5, False),
        ("late", 5.0, True),
        ("competing", 5.0, False),
        ("competing_early", 2.5, False),
    ],
)
def test_calibration_equals_r(case: str, horizon: float, late: bool) -> None:
    competing = case.startswith("competing")
    follow_up = times(late=late, competing=competing)
    predicted = WRONG["competing" if competing else "alone"]
    observed = estimate_observed_risk(follow_up, horizon, 0.95)
    expected = R["calibration"][case]
    close([observed.value, observed.se], [expected["observed"], expected["se"]], 1e-9)
    found = compare_in_the_large(predicted, observed, 0.95)
    found["calibration_slope"] = estimate_calibration_slope(follow_up, predicted, horizon, 0.95)
    curve, problem = smooth_calibration(follow_up, predicted, horizon, 4)
    assert problem is None
    check_calibration(expected, found, curve)
    close(curve.at(predicted[SOME]), curve.fitted[SOME], 1e-12)


def test_binary_calibration_equals_r() -> None:
    predicted, expected = WRONG["binary"], R["calibration"]["binary"]
    found = compare_binary_in_the_large(CASE, predicted, 0.95)
    found["calibration_slope"] = estimate_binary_slope(CASE, predicted, 0.95)
    curve, problem = smooth_binary_calibration(CASE, predicted, 4)
    assert problem is None
    check_calibration(expected, found, curve)
    close(found["calibration_slope"].value, expected["val_prob_slope"], 1e-6)
    close(np.mean((CASE - predicted) ** 2), expected["val_prob_brier"], 1e-9)


@pytest.mark.parametrize("case", ["alone", "late", "competing"])
def test_net_benefit_equals_the_formulas(case: str) -> None:
    thresholds = np.array(R["decision"]["thresholds"])
    competing = case == "competing"
    follow_up = times(late=case == "late", competing=competing)
    curve = trace_net_benefit(follow_up, WRONG["competing" if competing else "alone"], 5.0, thresholds)
    expected = np.array([np.nan if v is None else v for v in R["decision"][case]], dtype=float)
    np.testing.assert_allclose(curve.model, expected, rtol=1e-9)
    if case != "late":
        close(curve.treat_all, R["decision"][f"{case}_all"], 1e-9)


def test_binary_net_benefit_equals_the_formula() -> None:
    curve = trace_binary_net_benefit(CASE, WRONG["binary"], np.array(R["decision"]["thresholds"]))
    close(curve.model, R["decision"]["binary"], 1e-9)


@pytest.mark.parametrize("name", ["pad", "pile", "both_piles", "few"])
def test_knots_are_placed_as_hmisc_does(name: str) -> None:
    values = {
        "pad": PAD,
        "pile": np.maximum(PAD, 0),
        "both_piles": np.clip(PAD, -3, 4),
        "few": BMI[:60],
    }[name]
    for count, expected in zip(range(3, 8), R["spline"][name], strict=True):
        close(place_knots(values, count), expected, 1e-12)


def test_spline_columns_equal_hmisc() -> None:
    found = restricted_cubic_spline(PAD[SOME], place_knots(PAD, 5))
    close(found.T, R["spline"]["columns"], 1e-9)

"""ROC areas, logistic models and the fitted line equal R's (roc.R made the numbers)."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from spinescore.core.statistics.accuracy import draw_line, fit_line, measure_accuracy
from spinescore.core.statistics.description import describe_continuous
from spinescore.core.statistics.discrimination import compare_auc, estimate_auc, measure_auc
from spinescore.core.statistics.logistic import compare_nested_logistic, fit_logistic

HERE = Path(__file__).parent
R = json.loads((HERE / "roc.json").read_text())
DATA = pl.read_csv(HERE / "cohort.csv", null_values="NA")
CASE = DATA["fracture"].to_numpy() == 1


@pytest.mark.parametrize("score", ["spine_age", "age", "pad"])
def test_auc_equals_proc(score: str) -> None:
    auc = estimate_auc(measure_auc(CASE, DATA[score].to_numpy()), 0.95)
    assert auc.value == pytest.approx(R[score]["auc"], rel=1e-9)
    assert auc.se == pytest.approx(np.sqrt(R[score]["var"]), rel=1e-9)
    assert [auc.lower, auc.value, auc.upper] == pytest.approx(R[score]["ci"], rel=1e-9)


def test_paired_delong_equals_proc() -> None:
    areas = [measure_auc(CASE, DATA[name].to_numpy()) for name in ("spine_age", "age")]
    difference = compare_auc(*areas, 0.95, test=True)
    assert difference.value == pytest.approx(R["paired"]["difference"], rel=1e-9)
    assert difference.value / difference.se == pytest.approx(R["paired"]["z"], rel=1e-9)
    assert difference.p_value == pytest.approx(R["paired"]["p"], rel=1e-9)


def test_logistic_equals_glm() -> None:
    x = DATA.select("pad", "age", (pl.col("sex") == "M").cast(float)).to_numpy()
    fit = fit_logistic(CASE, x)
    np.testing.assert_allclose(fit.coefficients, R["logistic"]["coef"], rtol=1e-8)
    np.testing.assert_allclose(np.sqrt(np.diag(fit.covariance)), R["logistic"]["se"], rtol=1e-8)
    lr = compare_nested_logistic(fit_logistic(CASE, x[:, 1:]), fit)
    assert lr.value == pytest.approx(R["logistic"]["lr"], rel=1e-8)
    assert measure_auc(CASE, fit.linear_predictor).auc == pytest.approx(R["logistic"]["auc"]["auc"], rel=1e-9)


def test_line_and_correlation_equal_lm() -> None:
    age, spine_age = DATA["age"].to_numpy(), DATA["spine_age"].to_numpy()
    found = measure_accuracy(age, spine_age, 0.95)
    assert [found["intercept"].value, found["slope"].value] == pytest.approx(R["line"]["coef"], rel=1e-9)
    assert [found["intercept"].se, found["slope"].se] == pytest.approx(R["line"]["se"], rel=1e-9)
    drawn = draw_line(fit_line(age, spine_age), np.array([55.0, 70.0, 90.0]), 0.95)
    for ours, key in zip(drawn, ("fit", "lower", "upper"), strict=True):
        np.testing.assert_allclose(ours, R["line"][key], rtol=1e-9)
    assert found["r"].value == pytest.approx(R["r"]["estimate"], rel=1e-9)
    assert [found["r"].lower, found["r"].upper] == pytest.approx(R["r"]["conf.int"], rel=1e-9)
    assert found["r"].p_value == pytest.approx(R["r"]["p.value"], rel=1e-6)


def test_quartiles_are_type_7() -> None:
    bmi = describe_continuous(DATA["bmi"].cast(float).fill_null(np.nan).to_numpy())
    assert [bmi[q].value for q in ("q1", "median", "q3")] == pytest.approx(R["quantile7"], rel=1e-12)

"""Firth's penalised fits equal an independent maximisation in R (firth.R made the numbers, in minutes)."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from spinescore.core.statistics.cox import fit_cox
from spinescore.core.statistics.firth import FirthFit, fit_firth_cox, fit_firth_logistic, profile_coefficient
from spinescore.core.statistics.times import make_follow_up
from tests.reference.test_survival_against_r import follow_up

HERE = Path(__file__).parent
R = json.loads((HERE / "firth.json").read_text())
DATA = (
    pl.read_csv(HERE / "cohort.csv", null_values="NA")
    .head(150)
    .with_columns(
        (pl.col("sex") == "M").cast(float).alias("male"),
        ((pl.col("status") != 1) & (pl.col("pad") > 3)).cast(float).alias("rare"),
        ((pl.col("fracture") == 1) & (pl.col("age") > 75)).cast(float).alias("sure"),
    )
)
COLUMNS = {
    "cox_efron": ["pad", "age", "male"],
    "cox_breslow": ["pad", "age", "male"],
    "cox_late": ["pad", "age"],
    "cox_one": ["pad"],
    "cox_monotone": ["rare", "age"],
    "logistic": ["pad", "age", "male"],
    "logistic_separated": ["sure", "age"],
}


def check(case: str, fit: FirthFit) -> None:
    wanted, first = R[case], 1 if case.startswith("logistic") else 0
    np.testing.assert_allclose(fit.coefficients, np.atleast_1d(wanted["coef"])[first:], rtol=1e-6)
    np.testing.assert_allclose(
        np.sqrt(np.diag(fit.covariance)), np.atleast_1d(wanted["se"])[first:], rtol=1e-6
    )
    found = profile_coefficient(fit, 0, 0.95)
    np.testing.assert_allclose([found.lower, found.upper], [wanted["lower"], wanted["upper"]], rtol=1e-6)
    assert found.p_value == pytest.approx(wanted["p"], rel=1e-6)
    assert found.value == pytest.approx(fit.coefficients[0])


@pytest.mark.parametrize("case", [name for name in COLUMNS if name.startswith("cox")])
def test_penalised_cox_models_equal_r(case: str) -> None:
    times = follow_up(DATA, late=case == "cox_late")
    design = DATA.select(COLUMNS[case]).to_numpy()
    ties = "breslow" if case == "cox_breslow" else "efron"
    check(case, fit_firth_cox(times, times.status == 1, design, ties=ties))


@pytest.mark.parametrize("case", ["logistic", "logistic_separated"])
def test_penalised_logistic_models_equal_r(case: str) -> None:
    check(case, fit_firth_logistic(DATA["fracture"].to_numpy() == 1, DATA.select(COLUMNS[case]).to_numpy()))


def test_the_penalty_fades_as_events_grow() -> None:
    rng = np.random.default_rng(3)
    x = rng.normal(size=(20_000, 2))
    exits = rng.exponential(np.exp(-0.3 * x[:, 0]))
    times = make_follow_up(np.zeros(20_000), exits, np.ones(20_000, dtype=np.int64))
    plain, penalised = (fit(times, times.status == 1, x) for fit in (fit_cox, fit_firth_cox))
    np.testing.assert_allclose(penalised.coefficients, plain.coefficients, atol=1e-4)


def test_what_cannot_be_fitted_is_told() -> None:
    times = follow_up(DATA, late=False)
    x = DATA.select("pad", "age").to_numpy()
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

"""People and follow-up: independent of cohort size, plausible, and faithful to the stated hazards."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lifelines import CoxPHFitter

from spinescore.core.phantom.followup import (
    DRAWS_PER_SUBJECT,
    HAZARDS,
    draw_event_years,
    draw_follow_up,
    draw_people,
    find_gap_log_hazard,
)
from spinescore.core.phantom.person import DRAWS, shape_population
from spinescore.core.phantom.truth import PadModel, fit_cox, fit_pad_model, large_sample_truth
from spinescore.domain import DAYS_PER_YEAR

GENERATING = ("age", "sex", "bmi", "smoking", "osteoporosis", "prevalent_vertebral_fracture")
EXACT = PadModel(intercept=0.0, per_year_of_age=0.0, per_year_of_gap=1.0, residual_sd_years=0.0)
NOISY = PadModel(intercept=1.0, per_year_of_age=0.0, per_year_of_gap=0.7, residual_sd_years=2.5)
ENDPOINTS = ("any_fracture", "vertebral_fracture", "nonvertebral_fracture", "death")


@settings(max_examples=15)
@given(seed=st.integers(0, 2**31), n=st.integers(1, 12), extra=st.integers(1, 12))
def test_a_subject_does_not_depend_on_how_many_are_drawn(seed, n, extra):
    few, many = (draw_people(k, seed=seed, cohort="vfa") for k in (n, n + extra))
    assert many[:n] == few
    assert draw_follow_up(many, seed=seed).head(n).equals(draw_follow_up(few, seed=seed))


@pytest.mark.parametrize(("cohort", "youngest", "oldest"), [("derivation", 40, 90), ("vfa", 65, 95)])
def test_ages_fill_the_range_and_follow_from_the_dates(cohort, youngest, oldest):
    people = draw_people(1500, seed=1, cohort=cohort)
    ages = np.array([p.age_years for p in people])
    assert youngest <= ages.min() < youngest + 2
    assert oldest - 3 < ages.max() <= oldest + 1 / 365
    assert all((p.study_date - p.birth_date).days / DAYS_PER_YEAR == p.age_years for p in people)


def test_subject_ids_of_cohorts_and_seeds_are_distinct():
    people = [p for s in (1, 2) for c in ("derivation", "vfa") for p in draw_people(50, seed=s, cohort=c)]
    assert len({p.subject_id for p in people}) == 200


def test_the_gap_is_four_years_wide_and_independent_of_age_and_sex():
    columns = shape_population(np.random.default_rng(3).random((50_000, len(DRAWS))), "derivation")
    assert columns["gap"].std() == pytest.approx(4.0, rel=0.02)
    for other in ("age", "female", "bmi", "smoking"):
        assert abs(np.corrcoef(columns["gap"], columns[other])[0, 1]) < 0.02
    for sign in ("osteoporosis", "prevalent_vertebral_fracture"):
        assert np.corrcoef(columns["gap"], columns[sign])[0, 1] > 0.05


@pytest.mark.parametrize("cohort", ["derivation", "vfa"])
def test_follow_up_is_plausible(cohort):
    table = draw_follow_up(draw_people(2500, seed=4, cohort=cohort), seed=4)
    assert 0.11 < table["any_fracture"].mean() < 0.23
    assert 0.04 < table["death"].mean() < 0.22
    alive = table.filter(pl.col("death") == 0)
    assert 5.0 < alive["death_years"].median() < 7.0
    assert (table.select(pl.min_horizontal(f"{e}_years" for e in ENDPOINTS)).to_series() > 0).all()


def test_any_fracture_is_the_first_of_both_and_death_ends_follow_up():
    table = draw_follow_up(draw_people(1500, seed=5, cohort="vfa"), seed=5)
    first = pl.min_horizontal("vertebral_fracture_years", "nonvertebral_fracture_years")
    assert table.select((pl.col("any_fracture_years") == first).all()).item()
    either = pl.max_horizontal("vertebral_fracture", "nonvertebral_fracture")
    assert table.select((pl.col("any_fracture") == either).all()).item()
    for endpoint in ENDPOINTS[:3]:
        assert table.select((pl.col(f"{endpoint}_years") <= pl.col("death_years")).all()).item()


def test_some_covariates_are_missing_and_the_gap_is_not_in_the_table():
    table = draw_follow_up(draw_people(1500, seed=6, cohort="derivation"), seed=6)
    share = {c: table[c].null_count() / table.height for c in table.columns}
    assert 0.03 < share["osteoporosis"] < 0.09
    assert 0 < share["bmi"] < 0.06
    assert share["prevalent_vertebral_fracture"] == share["any_fracture"] == share["age"] == 0
    assert not [c for c in table.columns if "gap" in c or "biological" in c]


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_a_cox_model_on_the_true_gap_recovers_the_stated_hazard(endpoint):
    found = large_sample_truth(EXACT, covariates=GENERATING, endpoint=endpoint, n=200_000, seed=7)
    per_four_years = found.log_hazard_ratio * 4.0 / found.pad_sd_years
    assert abs(per_four_years - find_gap_log_hazard(endpoint)) < 3.5 * found.se
    assert found.generating_hazard_ratio == math.exp(find_gap_log_hazard(endpoint))


def test_every_stated_coefficient_is_recovered():
    rng = np.random.default_rng(8)
    columns = shape_population(rng.random((150_000, len(DRAWS))), "derivation")
    event, years = draw_event_years(columns, rng.random((150_000, DRAWS_PER_SUBJECT)))["death"]
    stated = HAZARDS["death"].log_hazard_ratios
    design = np.column_stack([columns[name] / (4.0 if name == "gap" else 1.0) for name in stated])
    beta, se = fit_cox(design - design.mean(axis=0), years, event)
    assert np.all(np.abs(beta - np.array(list(stated.values()))) < 4 * se)


def test_an_estimated_gap_is_attenuated_and_no_gap_has_no_effect():
    exact = large_sample_truth(EXACT, covariates=GENERATING, n=100_000, seed=9)
    noisy = large_sample_truth(NOISY, covariates=GENERATING, n=100_000, seed=9)
    blind = large_sample_truth(
        PadModel(intercept=0.0, per_year_of_age=-0.3, per_year_of_gap=0.0, residual_sd_years=2.0),
        covariates=GENERATING,
        n=100_000,
        seed=9,
    )
    assert 1 < noisy.hazard_ratio < exact.hazard_ratio - 0.05
    assert abs(blind.log_hazard_ratio) < 3.5 * blind.se


def test_the_model_without_what_the_gap_causes_finds_a_larger_hazard_ratio():
    """Osteoporosis and prevalent fracture carry part of the gap's effect."""
    minimal = large_sample_truth(EXACT, covariates=("age", "sex"), n=200_000, seed=10)
    full = large_sample_truth(EXACT, covariates=GENERATING, n=200_000, seed=10)
    assert minimal.log_hazard_ratio > full.log_hazard_ratio + 0.02


def test_the_newton_fit_agrees_with_lifelines():
    rng = np.random.default_rng(11)
    columns = shape_population(rng.random((3000, len(DRAWS))), "vfa")
    event, years = draw_event_years(columns, rng.random((3000, DRAWS_PER_SUBJECT)))["any_fracture"]
    design = np.column_stack([columns["gap"] / 4, (columns["age"] - 75) / 10, columns["female"] - 0.5])
    beta, se = fit_cox(design, years, event)
    frame = pl.DataFrame(design, schema=["gap", "age", "female"]).to_dict(as_series=False)
    fitter = CoxPHFitter()
    pandas = pytest.importorskip("pandas")
    fitter.fit(pandas.DataFrame({**frame, "years": years, "event": event.astype(int)}), "years", "event")
    np.testing.assert_allclose(beta, fitter.params_.to_numpy(), rtol=1e-4)
    np.testing.assert_allclose(se, fitter.standard_errors_.to_numpy(), rtol=1e-4)


def test_the_pad_model_is_recovered_from_scored_phantoms():
    rng = np.random.default_rng(12)
    age, gap = rng.uniform(40, 90, 5000), rng.normal(0, 4, 5000)
    pad = 10 - 0.2 * age + 0.6 * gap + rng.normal(0, 2.2, 5000)
    model = fit_pad_model(pad, age, gap)
    assert model.per_year_of_age == pytest.approx(-0.2, abs=0.01)
    assert model.per_year_of_gap == pytest.approx(0.6, abs=0.03)
    assert model.residual_sd_years == pytest.approx(2.2, abs=0.1)

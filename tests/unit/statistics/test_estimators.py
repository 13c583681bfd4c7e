"""Estimators against brute force, lifelines, and what must hold of any of them."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.discrete.discrete_model import Logit

from spinescore.core.statistics.accuracy import measure_accuracy
from spinescore.core.statistics.competing_risks import estimate_cumulative_incidence, gray_test
from spinescore.core.statistics.concordance import (
    RankCounter,
    measure_concordance,
    measure_uno_concordance,
)
from spinescore.core.statistics.cox import compare_nested, fit_cox
from spinescore.core.statistics.criteria import Prediction, Yardstick
from spinescore.core.statistics.description import standardise_categories, standardise_difference
from spinescore.core.statistics.discrimination import measure_auc, trace_roc
from spinescore.core.statistics.kaplan_meier import estimate_survival
from spinescore.core.statistics.logistic import fit_logistic
from spinescore.core.statistics.pad_groups import cut_pad
from spinescore.core.statistics.prediction import SurvivalJudge
from spinescore.core.statistics.proportional_hazards import (
    TRANSFORMS,
    check_proportional_hazards,
    measure_residuals,
    transform_times,
)
from spinescore.core.statistics.times import FollowUp, make_follow_up
from spinescore.errors import AnalysisError


def tied_follow_up(seed: int, n: int = 60, *, late: bool = True) -> FollowUp:
    rng = np.random.default_rng(seed)
    exit = rng.integers(1, 12, n).astype(float)
    entry = np.where((rng.random(n) < 0.4) & late, np.floor(rng.random(n) * exit), 0.0)
    return make_follow_up(entry, exit, rng.integers(0, 3, n))


def brute_concordance(f: FollowUp, score: np.ndarray) -> float:
    agree = total = 0.0
    for i in np.flatnonzero(f.status == 1):
        for j in range(len(score)):
            outlives = f.exit[j] > f.exit[i] or (f.exit[j] == f.exit[i] and f.status[j] != 1)
            if i != j and outlives and f.entry[j] < f.exit[i]:
                total += 1
                agree += 1.0 if score[i] > score[j] else 0.5 if score[i] == score[j] else 0.0
    return agree / total


@pytest.mark.parametrize("seed", range(5))
def test_concordance_counts_the_pairs_one_by_one(seed: int) -> None:
    f = tied_follow_up(seed)
    score = np.random.default_rng(seed).integers(0, 9, len(f.exit)).astype(float)
    c = measure_concordance(f, f.status == 1, score)
    assert c.c == pytest.approx(brute_concordance(f, score), rel=1e-12)
    assert c.influence.sum() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_concordance_of_scores_without_ties_counts_the_pairs_too(seed: int, late: bool) -> None:
    f = tied_follow_up(seed, late=late)
    score = np.random.default_rng(seed).normal(size=len(f.exit))
    c = measure_concordance(f, f.status == 1, score)
    assert c.c == pytest.approx(brute_concordance(f, score), rel=1e-12)
    assert c.influence.sum() == pytest.approx(0, abs=1e-12)
    judge = SurvivalJudge(f, Yardstick((4.0,), 8.0, np.array([0.1])))
    found = judge.measure(Prediction(score, np.full((len(score), 1), 0.2)))[:2]
    assert found[0] == pytest.approx(c.c, rel=1e-12)
    if not late:
        uno = measure_uno_concordance(f, f.status == 1, score, 8.0)
        assert found[1] == pytest.approx(uno.c, rel=1e-12)


@given(st.lists(st.integers(0, 20), min_size=1, max_size=40), st.integers(0, 25), st.data())
@settings(max_examples=60)
def test_rank_counter_counts(ranks: list[int], value: int, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(ranks)))
    stop = data.draw(st.integers(start, len(ranks)))
    found = RankCounter(np.array(ranks)).sum_below(np.array([start]), np.array([stop]), np.array([value]))
    assert found[0] == sum(r < value for r in ranks[start:stop])
    weights = np.sqrt(np.arange(1, len(ranks) + 1))
    found = RankCounter(np.array(ranks), weights).sum_below(
        np.array([start]), np.array([stop]), np.array([value])
    )
    below = sum(w for r, w in zip(ranks[start:stop], weights[start:stop], strict=True) if r < value)
    assert found[0] == pytest.approx(below)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5)), min_size=2, max_size=50))
@settings(max_examples=60)
def test_auc_is_the_share_of_ordered_pairs(rows: list[tuple[bool, int]]) -> None:
    case, score = np.array([r[0] for r in rows]), np.array([r[1] for r in rows], dtype=float)
    if case.all() or not case.any():
        return
    pairs = np.sign(score[case][:, None] - score[~case][None, :])
    assert measure_auc(case, score).auc == pytest.approx((pairs.mean() + 1) / 2)
    fpr, tpr = trace_roc(case, score)
    assert np.trapezoid(tpr, fpr) == pytest.approx((pairs.mean() + 1) / 2)


def test_thinned_roc_keeps_its_area_and_ends() -> None:
    rng = np.random.default_rng(3)
    case = rng.random(20_000) < 0.3
    score = rng.normal(case.astype(float), 1)
    fpr, tpr = trace_roc(case, score)
    assert len(fpr) <= 400
    assert (fpr[0], tpr[0], fpr[-1], tpr[-1]) == (0, 0, 1, 1)
    assert np.trapezoid(tpr, fpr) == pytest.approx(measure_auc(case, score).auc, abs=2e-3)


@pytest.mark.parametrize("late", [False, True])
def test_cox_equals_lifelines(late: bool) -> None:
    import pandas as pd

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from lifelines import CoxPHFitter
    f = tied_follow_up(11, 300, late=late)
    x = np.random.default_rng(2).normal(size=(300, 2))
    fit = fit_cox(f, f.status == 1, x)
    table = pd.DataFrame(
        {"a": x[:, 0], "b": x[:, 1], "exit": f.exit, "e": f.status == 1, "entry": np.maximum(f.entry, 0)}
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = CoxPHFitter(penalizer=0.0).fit(
            table,
            "exit",
            "e",
            entry_col="entry" if late else None,
            formula="a + b",
            fit_options={"precision": 1e-10},
        )
    np.testing.assert_allclose(fit.coefficients, theirs.params_, rtol=1e-6)
    np.testing.assert_allclose(np.sqrt(np.diag(fit.covariance)), theirs.standard_errors_, rtol=1e-6)


def test_cox_does_not_mind_shift_scale_or_order() -> None:
    f = tied_follow_up(5, 200)
    x = np.random.default_rng(5).normal(size=(200, 2))
    fit = fit_cox(f, f.status == 1, x)
    order = np.random.default_rng(6).permutation(200)
    again = fit_cox(f.take(order), f.status[order] == 1, x[order] * [1000, 1] + [1e4, -3])
    np.testing.assert_allclose(again.coefficients * [1000, 1], fit.coefficients, rtol=1e-8)
    assert again.log_likelihood == pytest.approx(fit.log_likelihood, rel=1e-11)


@pytest.mark.parametrize("seed", range(10))
def test_cox_says_separation(seed: int) -> None:
    f = tied_follow_up(seed, 200, late=False)
    event = f.status == 1
    level = np.where(event, 0.0, np.random.default_rng(seed).random(200) < 0.3)
    age = np.random.default_rng(seed + 1).normal(size=200)
    fit = fit_cox(f, event, np.column_stack([age, level]))
    assert fit.problem == "separation"
    assert np.isnan(fit.covariance).all()


def test_cox_says_collinear_constant_and_no_events() -> None:
    f = tied_follow_up(1, 100)
    x = np.random.default_rng(1).normal(size=100)
    assert fit_cox(f, f.status == 1, np.column_stack([x, 2 * x + 1])).problem == "collinear"
    assert fit_cox(f, f.status == 1, np.ones((100, 1))).problem == "constant predictor"
    assert fit_cox(f, np.zeros(100, dtype=bool), x[:, None]).problem == "0 events"


def test_models_on_different_n_are_not_compared() -> None:
    f = tied_follow_up(1, 100)
    x = np.random.default_rng(1).normal(size=(100, 2))
    larger = fit_cox(f, f.status == 1, x)
    smaller = fit_cox(f.take(np.arange(90)), f.status[:90] == 1, x[:90, :1])
    assert compare_nested(smaller, larger).value is None


@pytest.mark.parametrize("seed", range(5))
def test_logistic_equals_statsmodels(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(300, 3)) * [1, 10, 0.1] + [0, 70, 5]
    case = rng.random(300) < 1 / (1 + np.exp(2 - x[:, 0]))
    fit = fit_logistic(case, x)
    theirs = Logit(case.astype(float), np.column_stack([np.ones(300), x])).fit(
        method="newton", tol=1e-12, disp=0
    )
    np.testing.assert_allclose(fit.coefficients, theirs.params[1:], rtol=1e-8)
    np.testing.assert_allclose(fit.covariance, theirs.cov_params()[1:, 1:], rtol=1e-7, atol=1e-14)
    assert fit.log_likelihood == pytest.approx(theirs.llf, rel=1e-12)
    fitted = 1 / (1 + np.exp(-fit.linear_predictor))
    assert fitted.sum() == pytest.approx(case.sum(), rel=1e-9)


def test_logistic_says_separation() -> None:
    x = np.arange(40.0)
    assert fit_logistic(x > 20, x[:, None]).problem == "separation"
    assert fit_logistic(np.ones(40, dtype=bool), x[:, None]).problem == "one class"
    assert fit_logistic(np.zeros(0, dtype=bool), np.empty((0, 1))).problem == "one class"


@pytest.mark.parametrize("late", [False, True])
def test_incidences_and_survival_add_up_to_one(late: bool) -> None:
    f = tied_follow_up(8, 200, late=late)
    one, two = (estimate_cumulative_incidence(f, cause, 0.95) for cause in (1, 2))
    free = estimate_survival(FollowUp(f.entry, f.exit, (f.status > 0).astype(int)), 0.95)
    np.testing.assert_allclose(one.values + two.values + free.values, 1, rtol=1e-12)


def test_one_minus_kaplan_meier_is_larger_where_events_compete() -> None:
    f = tied_follow_up(8, 200, late=False)
    km = estimate_survival(FollowUp(f.entry, f.exit, (f.status == 1).astype(int)), 0.95)
    assert 1 - km.values[-2] > estimate_cumulative_incidence(f, 1, 0.95).values[-2]


def test_gray_refuses_late_entry() -> None:
    f = tied_follow_up(8, 200)
    assert "left truncation" in (gray_test(f, np.arange(200) % 2, 2, 1).problem or "")


def test_near_ties_are_ties() -> None:
    f = make_follow_up(np.zeros(3), np.array([1.0, 1.0 + 1e-12, 2.0]), np.array([1, 0, 1]))
    assert f.exit[0] == f.exit[1]


@pytest.mark.parametrize(
    ("entry", "exit", "status"),
    [(2.0, 1.0, 1), (1.0, 1.0, 0), (0.0, -1.0, 0), (0.0, np.nan, 1), (0.0, 1.0, 3)],
)
def test_impossible_follow_up_is_refused(entry: float, exit: float, status: int) -> None:
    with pytest.raises(AnalysisError):
        make_follow_up(np.array([entry]), np.array([exit]), np.array([status]))


def test_tertiles_hold_their_upper_cut_and_numeric_groups_their_lower() -> None:
    groups = cut_pad(np.array([1.0, 2.0, 3.0, 4.0, np.nan]), "tertiles")
    assert groups.cuts == (2.0, 3.0)
    assert groups.members.tolist() == [0, 0, 1, 2, -1]
    assert cut_pad(np.array([-5.0, 4.9, 5.0, -5.1]), (-5, 5)).members.tolist() == [1, 1, 2, 0]


def test_ccc_interval_covers() -> None:
    """Lin's interval holds the truth in about 95 of 100 samples (600 replicates, seeded)."""
    rng, truth, hits = np.random.default_rng(4), 2 * 0.8 * 64 / (64 + 64 + 16), 0
    for _ in range(600):
        age = rng.normal(70, 8, 150)
        y = 70 + 4 + 0.8 * (age - 70) + rng.normal(0, np.sqrt(64 - 0.64 * 64), 150)
        ccc = measure_accuracy(age, y, 0.95)["ccc"]
        hits += ccc.lower < truth < ccc.upper
    assert 0.92 < hits / 600 < 0.975


def test_a_useless_model_looks_good_once_corrected() -> None:
    """METHOD.md: correction makes accuracy; so raw comes first."""
    rng = np.random.default_rng(0)
    age = rng.uniform(40, 90, 4000)
    y = 65 + 0.1 * (age - 65) + rng.normal(0, 1.6, 4000)
    a, b = np.polyfit(age, y - age, 1)
    raw, corrected = measure_accuracy(age, y, 0.95), measure_accuracy(age, y - (a * age + b), 0.95)
    assert raw["mae"].value > 10
    assert corrected["mae"].value < 2
    assert corrected["r"].value > 0.98
    assert corrected["slope"].value == pytest.approx(1)


def test_raw_gap_looks_protective_without_age_where_it_is_harmful() -> None:
    """METHOD.md: why a gap neither corrected nor age-adjusted is flagged."""
    rng = np.random.default_rng(7)
    age, gap = rng.normal(65, 10, 3000), rng.normal(0, 3, 3000)
    pad = 0.4 * age + 39 + gap - age
    time = rng.exponential(1 / (0.02 * np.exp(0.1 * (age - 65) + 0.08 * gap)))
    f = make_follow_up(np.zeros(3000), np.minimum(time, 10), (time < 10).astype(int))
    alone = fit_cox(f, f.status == 1, pad[:, None])
    adjusted = fit_cox(f, f.status == 1, np.column_stack([pad, age]))
    assert alone.coefficients[0] < -0.05
    assert adjusted.coefficients[0] == pytest.approx(0.08, abs=3 * np.sqrt(adjusted.covariance[0, 0]))


def test_standardised_differences() -> None:
    high, low = np.array([2.0, 4.0, 6.0]), np.array([1.0, 3.0, 5.0])
    assert standardise_difference(high, low).value == pytest.approx(0.5)
    p, q = 0.3, 0.5
    expected = abs(p - q) / np.sqrt((p * (1 - p) + q * (1 - q)) / 2)
    assert standardise_categories(np.array([70, 30]), np.array([50, 50])).value == pytest.approx(expected)


def test_hazards_cannot_be_judged_over_time_where_there_is_one_event_time() -> None:
    rng = np.random.default_rng(0)
    x, event = rng.normal(size=(100, 2)), rng.random(100) < 0.4
    f = make_follow_up(np.zeros(100), np.full(100, 3.0), event.astype(np.int64))
    found = measure_residuals(f, event, x, fit_cox(f, event, x))
    for transform in TRANSFORMS:
        g = transform_times(f, event, found.times, transform)
        tests = check_proportional_hazards(found, g, {"a": [0], "b": [1]})
        assert {t.problem for t in tests.values()} == {"one event time"}

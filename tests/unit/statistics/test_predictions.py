"""Predictions in the results: what each validation says, what it cannot say, and that seeds decide all."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from spinescore.core.analysis import analyze
from spinescore.core.statistics.assembly.prediction_rows import freeze_models, judge_predictions
from spinescore.core.statistics.assembly.setting import Setting, prepare_setting
from spinescore.core.statistics.criteria import Criterion, Yardstick
from spinescore.core.statistics.estimate import Estimate
from spinescore.core.statistics.outcomes import SurvivalOutcome, judge_resamples
from spinescore.core.statistics.times import make_follow_up
from spinescore.core.statistics.validation import (
    correct_optimism,
    draw_resamples,
    estimate_optimism,
)
from spinescore.domain import RESULT_KEYS, Cohort, Result
from tests.unit.statistics.made_up_cohort import SETTINGS, make_cohort, make_study

HERE, THERE = "vfa", "other"


def other(cohort: Cohort) -> Cohort:
    return replace(cohort, name=THERE)


def setting(cohort: Cohort, method: str = "beheshti", *, primary: bool = True, **analysis: Any) -> Setting:
    study = make_study(analysis={**SETTINGS["analysis"], "horizons_years": [5.0], **analysis})
    return prepare_setting(cohort, study, method, (), primary=primary)


def rows_of(at: Setting, endpoint: str, *, fitted_in: Setting | None = None) -> tuple[Result, ...]:
    return judge_predictions(at, endpoint, freeze_models(fitted_in or at, endpoint)).results


def pick(rows: Sequence[Result], /, **keys: Any) -> list[Result]:
    wanted = {"model": "Model 1", "subgroup": None} | keys
    return [row for row in rows if all(getattr(row, k) == v for k, v in wanted.items())]


def one(rows: Sequence[Result], /, **keys: Any) -> Result:
    found = pick(rows, **keys)
    assert len(found) == 1, (keys, found)
    return found[0]


@cache
def external(endpoint: str = "fracture") -> tuple[Result, ...]:
    return rows_of(setting(other(make_cohort(seed=5))), endpoint, fitted_in=setting(make_cohort()))


@cache
def resampled(endpoint: str = "fracture", seed: int = 1) -> tuple[Result, ...]:
    return rows_of(setting(make_cohort(), bootstraps=20, seed=seed), endpoint)


def test_without_bootstraps_only_the_apparent_is_said() -> None:
    rows = rows_of(setting(make_cohort()), "fracture")
    assert {row.validation for row in rows} == {"apparent"}
    assert all("apparent" in row.flags for row in rows)


@pytest.mark.parametrize("endpoint", ["fracture", "osteoporosis"])
def test_corrected_is_apparent_less_optimism_and_so_is_its_interval(endpoint: str) -> None:
    rows = resampled(endpoint)
    corrected = pick(rows, validation="optimism_corrected", statistic="brier")
    assert len(corrected) == 2
    for row in corrected:
        apparent = one(rows, validation="apparent", statistic="brier", predictor=row.predictor)
        shift = row.value - apparent.value
        assert shift > 0
        assert (row.se, row.n) == (apparent.se, apparent.n)
        assert row.upper - apparent.upper == pytest.approx(shift)
        assert f"optimism {-shift:.4g} in 20 bootstraps" in row.note
        assert "apparent" not in row.flags


def test_the_corrected_difference_is_that_of_the_corrected() -> None:
    rows = resampled()
    keys = {"validation": "optimism_corrected", "method": "harrell"}
    difference = one(rows, analysis="concordance_difference", **keys)
    without, with_pad = (
        one(rows, analysis="concordance", predictor=p, **keys) for p in (None, "pad_corrected")
    )
    assert difference.value == pytest.approx(with_pad.value - without.value)
    assert difference.p_value is None


def test_every_criterion_is_corrected() -> None:
    found = {
        (r.analysis, r.statistic, r.method)
        for r in pick(resampled(), validation="optimism_corrected", predictor="pad_corrected")
    }
    assert found >= {
        ("concordance", "c", "harrell"),
        ("concordance", "c", "uno"),
        ("time_dependent_auc", "auc", "ipcw"),
        ("brier", "brier", "ipcw"),
        ("ipa", "ipa", "ipcw"),
        ("calibration", "calibration_intercept", "cloglog"),
        ("calibration", "calibration_slope", "cloglog"),
        ("decision_curve", "net_benefit", "model"),
        ("decision_curve", "net_benefit_difference", "model"),
    }


def test_every_word_is_in_the_docs() -> None:
    words = set(re.findall(r"[a-z0-9_]+", (Path(__file__).parents[3] / "docs" / "results.md").read_text()))
    for row in (*resampled(), *resampled("osteoporosis"), *external()):
        assert {row.analysis, row.statistic, row.method, row.validation, *row.flags} <= words, row


def test_resamples_depend_on_seed_and_names_alone() -> None:
    first, again = ([rows.tolist() for rows in draw_resamples(1, ("a", "b"), 9, 3)] for _ in range(2))
    assert first == again
    for seed, names in ((2, ("a", "b")), (1, ("a", "c")), (1, ("ab",))):
        assert [rows.tolist() for rows in draw_resamples(seed, names, 9, 3)] != first
    assert resampled("osteoporosis", 2) != resampled("osteoporosis")


def test_corrected_numbers_do_not_depend_on_the_order_of_cohorts() -> None:
    cohorts = [make_cohort(120), other(make_cohort(120, seed=5))]
    study = make_study(
        analysis={"bootstraps": 2, "subgroups": ["sex"]},
        covariates={},
        models={"Model 1": ["age", "sex"]},
        endpoints={"death": SETTINGS["endpoints"]["death"]},
    )
    found = [
        {tuple(getattr(r, k) for k in RESULT_KEYS): r.value
         for r in analyze(order, study, correction_method="beheshti", correction_flags={}).results
         if r.validation == "optimism_corrected"}
        for order in (cohorts, cohorts[::-1])
    ]  # fmt: skip
    assert {key[0] for key in found[0]} == {HERE, THERE}
    assert found[0].keys() == found[1].keys()
    values = [[np.nan if part[key] is None else part[key] for key in found[0]] for part in found]
    np.testing.assert_allclose(values[0], values[1], rtol=1e-9, atol=1e-12)


def test_frozen_models_in_the_same_people_say_what_they_said_at_home() -> None:
    home = setting(make_cohort(), bootstraps=1)
    away = rows_of(setting(other(make_cohort())), "fracture", fitted_in=home)
    compared = 0
    for row in pick(away, validation="external"):
        keys = {name: getattr(row, name) for name in ("analysis", "statistic", "method", "term", "predictor")}
        if (row.analysis, row.method) in (("concordance", "harrell"), ("concordance_difference", "harrell")):
            continue
        apparent = one(away, validation="apparent", **keys)
        assert row.value == pytest.approx(apparent.value, rel=1e-9, abs=1e-12), row
        assert "apparent" not in row.flags
        compared += 1
    assert compared > 30


def test_external_rows_name_the_cohort_of_the_fit_and_have_an_error() -> None:
    rows = pick(external(), validation="external")
    assert all("fitted in vfa" in row.note for row in rows)
    for analysis, method in (("concordance", "harrell"), ("time_dependent_auc", "ipcw")):
        row = one(rows, analysis=analysis, method=method, predictor="pad_corrected", comparator=None)
        assert row.status == "ok"
        assert row.lower < row.value < row.upper


def test_only_the_fit_of_the_primary_cohort_travels() -> None:
    assert {row.cohort for row in external()} == {THERE}
    home = rows_of(setting(make_cohort()), "fracture")
    assert not pick(home, validation="external")


def test_a_level_the_model_has_not_seen_is_refused() -> None:
    cohort = make_cohort()
    new = pl.when(pl.col("bmi") > 30).then(pl.lit("pipe")).otherwise(pl.col("smoking")).alias("smoking")
    there = setting(replace(cohort, name=THERE, subjects=cohort.subjects.with_columns(new)))
    rows = rows_of(there, "fracture", fitted_in=setting(cohort))
    refused = pick(rows, validation="external", model="Model 3")
    assert refused
    assert all(row.note.startswith("level unknown in vfa: smoking=pipe") for row in refused)
    assert all(row.status == "ok" for row in pick(rows, validation="external", analysis="brier"))


def test_one_sex_at_home_is_no_model_of_two() -> None:
    women = make_cohort()
    women = replace(women, subjects=women.subjects.with_columns(pl.lit("F").alias("sex")))
    rows = rows_of(setting(other(make_cohort())), "fracture", fitted_in=setting(women))
    assert one(rows, validation="external", analysis="brier", predictor=None).note.startswith(
        "level unknown in vfa: sex=M"
    )


def test_pad_on_another_correction_is_refused() -> None:
    rows = rows_of(setting(other(make_cohort()), "none"), "fracture", fitted_in=setting(make_cohort()))
    found = pick(rows, validation="external", analysis="time_dependent_auc")
    assert {row.note.split(";")[0] for row in found} == {"PAD is not on the same correction as in vfa"}


def test_horizons_beyond_the_fit_are_refused() -> None:
    short = make_cohort()
    follow_up = {
        name: frame.with_columns(
            pl.when(pl.col("exit_years") > 4).then(0).otherwise(pl.col("status")).alias("status"),
            pl.col("exit_years").clip(upper_bound=4.0),
        )
        for name, frame in short.follow_up.items()
    }
    home = setting(replace(short, follow_up=follow_up))
    rows = rows_of(setting(other(make_cohort())), "fracture", fitted_in=home)
    found = pick(rows, validation="external", horizon_years=5.0, method="ipcw")
    assert found
    assert all(row.note.startswith("beyond follow-up of the cohort") for row in found)
    assert one(rows, validation="external", analysis="concordance", method="harrell", predictor=None).value


def test_late_entry_has_no_weights_and_says_so() -> None:
    rows = rows_of(setting(make_cohort(late=True)), "death")
    for keys in ({"method": "uno", "analysis": "concordance"}, {"statistic": "auc"}, {"statistic": "brier"}):
        row = one(rows, predictor="pad_corrected", **keys)
        assert row.note.startswith("left truncation"), row
    slope = one(rows, statistic="calibration_slope", predictor="pad_corrected")
    assert slope.value == pytest.approx(1, abs=0.5)


def test_few_events_and_small_cohorts_have_reasons() -> None:
    for rows in (
        rows_of(setting(make_cohort(event_rate=1e-4)), "fracture"),
        rows_of(setting(make_cohort(3)), "osteoporosis"),
        rows_of(setting(make_cohort(3)), "death"),
    ):
        assert rows
        assert all(row.status == "not_estimable" and row.note for row in rows)


def test_logistic_models_are_calibrated_where_they_are_fitted() -> None:
    rows = rows_of(setting(make_cohort()), "osteoporosis")
    keys = {"analysis": "calibration", "predictor": "pad_corrected"}
    ratio = one(rows, statistic="o_e_ratio", **keys)
    assert ratio.value == pytest.approx(1)
    assert ratio.p_value is None
    assert one(rows, statistic="calibration_intercept", **keys).value == pytest.approx(0, abs=1e-8)
    assert one(rows, statistic="calibration_slope", **keys).value == pytest.approx(1, rel=1e-6)


def test_subgroups_are_judged_by_the_model_of_all() -> None:
    rows = pick(external(), subgroup="sex=F", validation="external")
    assert {row.statistic for row in rows} >= {"c", "o_e_ratio", "calibration_slope"}
    parts = [one(external(), subgroup=f"sex={s}", validation="external", statistic="c").n for s in "FM"]
    assert (
        sum(parts)
        == one(external(), validation="external", statistic="c", method="harrell", predictor=None).n
    )


def test_curves_lie_where_their_rows_say() -> None:
    here = setting(make_cohort(), bootstraps=2)
    found = judge_predictions(here, "fracture", freeze_models(here, "fracture"))
    benefit = [
        c for c in found.curves
        if (c.analysis, c.model, c.validation, c.method, c.predictor, c.x)
        == ("decision_curve", "Model 1", "optimism_corrected", "model", "pad_corrected", 0.1)
    ]  # fmt: skip
    row = one(
        found.results, statistic="net_benefit", term="threshold=0.1", method="model",
        validation="optimism_corrected", predictor="pad_corrected",
    )  # fmt: skip
    assert [c.y for c in benefit] == [row.value]
    smooth = [c for c in found.curves if c.analysis == "calibration" and c.model == "Model 1"]
    assert len(smooth) == 2 * 61
    assert all(0 < c.x < 1 and 0 < c.y < 1 and c.horizon_years == 5 for c in smooth)


def test_failed_resamples_are_counted() -> None:
    def judge(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        failed = np.nan if rows[0] % 2 else 1.0
        return np.array([2.0, failed, np.nan]), np.array([1.5, 0.5, 0.0])

    found = estimate_optimism(judge, [np.array([i]) for i in range(10)])
    assert found.used.tolist() == [10, 5, 0]
    assert found.mean[:2].tolist() == [0.5, 0.5]
    lost = correct_optimism(Estimate(value=1.0), float(found.mean[2]), 0, 10)
    assert (lost.value, lost.problem) == (None, "10 of 10 bootstraps failed")


def test_corrected_c_is_near_that_in_new_people() -> None:
    """Twelve predictors, three of them real, in 150 people: the optimism is what new people take away."""
    rng = np.random.default_rng(11)
    beta = np.r_[0.6, 0.4, 0.3, np.zeros(9)]
    yardstick = Yardstick((2.0,), 2.0, np.array([0.2]))

    def draw(n: int) -> tuple[SurvivalOutcome, np.ndarray]:
        design = rng.normal(size=(n, 12))
        event, end = rng.exponential(4 * np.exp(-design @ beta)), rng.uniform(1, 6, n)
        status = (event <= end).astype(np.int64)
        return SurvivalOutcome(make_follow_up(np.zeros(n), np.minimum(event, end), status), yardstick), design

    c = Criterion("concordance", "c", "harrell")
    new, new_design = draw(4000)
    errors = []
    for _ in range(12):
        outcome, design = draw(150)
        fit = outcome.fit(design)
        apparent = outcome.judge().estimate([outcome.predict(fit.model, design)], 0.95).alone[0][c]
        optimism = estimate_optimism(
            judge_resamples(outcome, [design]), draw_resamples(1, ("truth",), 150, 40)
        )
        truth = new.judge().estimate([new.predict(fit.model, new_design)], 0.95).alone[0][c].value
        errors.append([apparent.value - truth, apparent.value - optimism.mean[0] - truth])
    bias = np.mean(errors, axis=0)
    assert bias[0] > 0.03
    assert abs(bias[1]) < 0.015

"""Imputation in the results: as many copies as asked for, the same whatever else runs, reasons where none."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from spinescore.core.statistics.assembly import imputation_rows as module
from spinescore.core.statistics.assembly.imputation_rows import imputation_rows
from spinescore.core.statistics.assembly.setting import Setting, prepare_setting, spread
from spinescore.core.statistics.imputation import (
    ChainedEquations,
    Variable,
    draw_by_matching,
    draw_categories,
    gelman_rubin,
)
from spinescore.core.statistics.pooling import pool_fits
from spinescore.domain import RESULT_KEYS, Cohort, Result
from tests.unit.statistics.coverage_of_imputation import count_covered
from tests.unit.statistics.coverage_of_repeats import honest_band
from tests.unit.statistics.made_up_cohort import SETTINGS, make_cohort, make_study

DOCS = (Path(__file__).parents[3] / "docs" / "results.md").read_text()
M = 20
MODELS = {"Model 1": ["age", "sex"], "Model 3": ["age", "sex", "bmi", "smoking"]}


def with_holes(n: int = 150, **changes: Any) -> Cohort:
    cohort = make_cohort(n, **changes)
    unknown = pl.int_range(pl.len()) % 7 == 3
    smoking = pl.when(unknown).then(None).otherwise("smoking").alias("smoking")
    return replace(cohort, subjects=cohort.subjects.with_columns(smoking))


def setting_of(cohort: Cohort, m: int = M, **analysis: Any) -> Setting:
    study = make_study(models=MODELS, analysis={**SETTINGS["analysis"], "imputations": m, **analysis})
    return prepare_setting(cohort, study, "beheshti", (), primary=True)


@cache
def rows(endpoint: str) -> tuple[Result, ...]:
    return tuple(imputation_rows(setting_of(with_holes()), endpoint))


def find(found: tuple[Result, ...], **keys: Any) -> list[Result]:
    return [row for row in found if all(getattr(row, k) == v for k, v in keys.items())]


def one(found: tuple[Result, ...], **keys: Any) -> Result:
    (row,) = find(found, **keys)
    return row


@pytest.mark.parametrize("endpoint", ["fracture", "osteoporosis"])
def test_every_row_has_its_own_key_finite_numbers_and_documented_names(endpoint: str) -> None:
    found = rows(endpoint)
    assert len({tuple(getattr(r, k) for k in RESULT_KEYS) for r in found}) == len(found)
    words = set(re.findall(r"[a-z0-9_]+", DOCS))
    for row in found:
        assert {row.analysis, row.statistic, *row.flags, row.method or "cox"} <= words, row
        assert row.value is None or math.isfinite(row.value)


def test_missing_values_are_counted_per_model_and_covariate_whether_imputed_or_not() -> None:
    cohort = with_holes()
    found = tuple(imputation_rows(setting_of(cohort, m=0), "fracture"))
    assert {row.analysis for row in found} == {"missing_data"}
    s = cohort.subjects
    either = (s["bmi"].is_null() | s["smoking"].is_null()).sum()
    count = {(r.statistic, r.term): r.value for r in found if r.model == "Model 3" and r.cause == "fracture"}
    assert count[("missing", "smoking")] == s["smoking"].null_count()
    assert count[("missing", "bmi")] == s["bmi"].null_count()
    assert count[("missing", "age")] == 0
    assert count[("n_dropped", None)] == either
    assert count[("n_complete", None)] == len(s) - either


def test_imputed_models_are_on_everybody_with_the_sd_of_the_main_fit() -> None:
    cohort = with_holes()
    row = one(rows("fracture"), statistic="hr_per_sd", model="Model 3")
    assert (row.variant, row.sample, row.n) == ("imputed", "own_n", 150)
    assert row.scale == pytest.approx(spread(cohort.subjects["pad_corrected"].to_numpy()))
    assert row.df is not None
    assert row.events is not None
    assert row.df < row.events - 6
    per_year = one(rows("fracture"), statistic="hr_per_year", model="Model 3")
    assert math.log(row.value or 0) == pytest.approx(math.log(per_year.value or 0) * (row.scale or 0))


def test_the_number_of_copies_comes_from_the_study(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []
    draw = ChainedEquations.draw
    monkeypatch.setattr(ChainedEquations, "draw", lambda self, rng: drawn.append(1) or draw(self, rng))
    found = tuple(imputation_rows(setting_of(with_holes(80), m=23), "fracture"))
    assert len(drawn) == 23
    assert find(found, statistic="fmi")


def test_the_same_seed_gives_the_same_numbers_another_seed_others() -> None:
    again = tuple(imputation_rows(setting_of(with_holes()), "fracture"))
    assert again == rows("fracture")
    other = tuple(imputation_rows(setting_of(with_holes(), seed=1), "fracture"))
    keys = {"statistic": "hr_per_sd", "model": "Model 3"}
    assert one(other, **keys).value != one(again, **keys).value
    assert one(other, **keys).value == pytest.approx(one(again, **keys).value, rel=0.03)


def test_nothing_depends_on_the_order_of_endpoints_or_models() -> None:
    setting = setting_of(with_holes())
    tuple(imputation_rows(setting, "osteoporosis"))
    turned = replace(setting, designs=dict(reversed(setting.designs.items())))
    found = tuple(imputation_rows(turned, "fracture"))
    key = {"statistic": "hr_per_sd", "model": "Model 3"}
    assert one(found, **key) == one(rows("fracture"), **key)


def test_where_nothing_is_missing_the_pooled_ratio_is_the_fits_own() -> None:
    model = find(rows("fracture"), model="Model 1", variant="imputed")
    assert {r.note for r in model} == {"no covariate missing"}
    assert one(tuple(model), statistic="fmi", term=None).value == 0
    assert one(tuple(model), statistic="fmi", term="age").value == 0


def test_copies_fewer_than_a_hundred_times_the_missing_information_are_flagged() -> None:
    flagged = {
        ("few_imputations" in r.flags, (r.value or 0) * 100 > M)
        for r in find(rows("fracture"), statistic="fmi")
    }
    assert flagged <= {(True, True), (False, False)}
    cohort = with_holes()
    mostly = pl.when(pl.int_range(pl.len()) % 5 > 1).then(None).otherwise("bmi").alias("bmi")
    cohort = replace(cohort, subjects=cohort.subjects.with_columns(mostly))
    found = tuple(imputation_rows(setting_of(cohort), "fracture"))
    assert "few_imputations" in one(found, statistic="fmi", term="bmi").flags


def test_a_joint_test_of_pad_is_the_test_of_its_ratio() -> None:
    keys = {"model": "Model 3", "variant": "imputed"}
    f = one(rows("fracture"), statistic="f", comparator="Model 3", **keys)
    assert f.p_value == pytest.approx(one(rows("fracture"), statistic="hr_per_sd", **keys).p_value)
    smoking = one(rows("fracture"), statistic="f", term="smoking", **keys)
    assert (smoking.df, smoking.method) == (2, "d1")


def test_a_chain_that_has_not_converged_is_flagged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "gelman_rubin", lambda traces: np.full(traces.shape[2], 1.5))
    found = tuple(imputation_rows(setting_of(with_holes(80)), "fracture"))
    assert {r.flags for r in find(found, statistic="rhat")} == {("not_converged",)}


def test_one_incomplete_covariate_is_drawn_without_a_chain() -> None:
    found = tuple(imputation_rows(setting_of(make_cohort(120)), "fracture"))
    row = one(found, statistic="rhat", term="bmi")
    assert row.status == "not_estimable"
    assert (row.note or "").startswith("one incomplete covariate")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"event_rate": 1e-6}, "0 events"),
        ({"n": 30, "event_rate": 0.005}, " events"),
        ({"n": 3}, " events"),
    ],
)
def test_too_few_events_are_told_in_every_row(changes: dict[str, Any], reason: str) -> None:
    found = tuple(imputation_rows(setting_of(with_holes(**{"n": 120, **changes})), "fracture"))
    imputed = find(found, variant="imputed", analysis="cox", model="Model 3")
    assert imputed
    for row in imputed:
        assert row.status == "not_estimable"
        assert reason in (row.note or "")


def test_a_covariate_missing_in_all_leaves_its_models_without_a_number() -> None:
    cohort = with_holes(120)
    none = pl.lit(None, dtype=pl.Float64).alias("bmi")
    cohort = replace(cohort, subjects=cohort.subjects.with_columns(none))
    found = tuple(imputation_rows(setting_of(cohort), "fracture"))
    row = one(found, statistic="hr_per_sd", model="Model 3")
    assert (row.note or "").startswith("`bmi` missing in all")
    assert one(found, statistic="hr_per_sd", model="Model 1").status == "ok"


def test_a_covariate_known_in_too_few_is_not_imputed() -> None:
    cohort = with_holes(120)
    few = pl.when(pl.int_range(pl.len()) < 6).then(26.0 + pl.int_range(pl.len())).alias("bmi")
    cohort = replace(cohort, subjects=cohort.subjects.with_columns(few))
    found = tuple(imputation_rows(setting_of(cohort), "fracture"))
    assert (one(found, statistic="rhat", term="bmi").note or "").startswith("6 known values, ")
    assert (one(found, statistic="hr_per_sd", model="Model 3").note or "").startswith(
        "`bmi` 6 known values, "
    )
    assert one(found, statistic="hr_per_sd", model="Model 3").status == "not_estimable"


def test_separation_in_some_copies_is_told() -> None:
    cohort = with_holes(200)
    cases = cohort.follow_up["fracture"].filter(pl.col("status") == 1)["subject_id"]
    never = pl.when(pl.col("subject_id").is_in(cases.implode())).then(pl.lit("never")).otherwise("smoking")
    cohort = replace(cohort, subjects=cohort.subjects.with_columns(never.alias("smoking")))
    found = tuple(imputation_rows(setting_of(cohort), "fracture"))
    row = one(found, statistic="hr_per_sd", model="Model 3")
    assert row.status == "not_estimable"
    assert re.match(rf"separation in \d+ of {M} imputations", row.note or "")


def test_matching_gives_only_values_that_are_known_and_follows_the_predictor() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=400)
    known = np.round(2 * x + rng.normal(size=400), 1)
    design = np.column_stack([np.ones(400), x])
    wanted = np.column_stack([np.ones(300), np.repeat([-2.0, 0.0, 2.0], 100)])
    drawn = draw_by_matching(known, design, wanted, rng)
    assert set(drawn) <= set(known)
    means = drawn.reshape(3, 100).mean(axis=1)
    assert means == pytest.approx([-4, 0, 4], abs=0.7)


def test_levels_are_drawn_as_often_as_their_model_says_and_separation_stays_finite() -> None:
    rng = np.random.default_rng(2)
    x = rng.normal(size=3000)
    p = np.exp(np.column_stack([0 * x, 0.5 * x, -0.5 + x]))
    p /= p.sum(axis=1, keepdims=True)
    codes = (rng.random(3000)[:, None] > p.cumsum(axis=1)).sum(axis=1)
    design = np.column_stack([np.ones(3000), x])
    drawn = draw_categories(codes, 3, design, design, rng)
    assert np.bincount(drawn, minlength=3) / 3000 == pytest.approx(p.mean(axis=0), abs=0.04)
    separated = draw_categories((x > 0).astype(int), 2, design, design, rng)
    assert ((separated == 1) == (x > 0)).mean() > 0.97


def test_the_order_of_variables_changes_no_draw() -> None:
    rng = np.random.default_rng(3)
    a, b = rng.normal(size=(2, 90))
    a[:20], b[50:60] = np.nan, np.nan
    given = [Variable("a", a, categorical=False), Variable("b", b, categorical=False)]
    first, second = (
        ChainedEquations(variables, rng.normal(size=(90, 1)) * 0 + np.arange(90)[:, None]).draw(
            np.random.default_rng(9)
        )
        for variables in (given, given[::-1])
    )
    np.testing.assert_array_equal(first.values["a"], second.values["a"])
    assert np.isfinite(first.values["b"]).all()


def test_chains_that_part_have_a_ratio_above_one() -> None:
    rng = np.random.default_rng(4)
    mixed = rng.normal(size=(20, 10, 1))
    parted = mixed + np.arange(20)[:, None, None]
    assert gelman_rubin(mixed)[0] == pytest.approx(1, abs=0.2)
    assert gelman_rubin(parted)[0] > 3
    assert np.isnan(gelman_rubin(mixed[:, :1])).all()


def test_fits_that_agree_have_no_missing_information() -> None:
    pooled = pool_fits([np.array([0.3])] * 5, [np.array([[0.04]])] * 5, 30.0)
    assert pooled.missing_information(0) == 0
    assert pooled.variance(0) == pytest.approx(0.04)


def test_pooled_intervals_hold_the_truth_as_often_as_they_say() -> None:
    """A short form of tests/soak/test_coverage_of_imputation.py."""
    covered, _ = count_covered(25, seed=5)
    low, _ = honest_band(25)
    assert all(count >= low for count in covered.values()), covered

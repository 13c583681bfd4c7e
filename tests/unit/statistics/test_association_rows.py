"""Variants of the Cox model, splines, subgroups, families, standardised rates: what must hold, and refusals."""

from __future__ import annotations

import copy
import math
import re
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from spinescore.core.analysis import analyze
from spinescore.core.statistics.assembly.check_rows import coefficient_curves
from spinescore.core.statistics.assembly.cox_rows import cox_rows
from spinescore.core.statistics.assembly.multiplicity_rows import adjust_families
from spinescore.core.statistics.assembly.sensitivity_rows import sensitivity_rows
from spinescore.core.statistics.assembly.setting import prepare_setting
from spinescore.core.statistics.assembly.spline_rows import spline_curves, spline_rows
from spinescore.core.statistics.assembly.standardised_rows import standardised_rows
from spinescore.core.statistics.assembly.subgroup_rows import subgroup_rows
from spinescore.core.statistics.incidence import estimate_rate, standardise_rate
from spinescore.domain import Analysis, Cohort, Result
from tests.unit.statistics.coverage_of_associations import count_held
from tests.unit.statistics.coverage_of_repeats import honest_band
from tests.unit.statistics.made_up_cohort import SETTINGS, make_cohort, make_study

DOCS = (Path(__file__).parents[3] / "docs" / "results.md").read_text()
VARIANTS = ("robust", "strata", "age_scale", "landmark", "age_spline")


def settings(**analysis: Any) -> dict[str, Any]:
    """Return the study's settings, smaller, with every analysis of association asked for."""
    made = copy.deepcopy(SETTINGS)
    made["endpoints"]["fracture"] |= {"strata": ["smoking"], "cluster": "ward"}
    made["endpoints"]["death"] |= {"strata": ["sex", "age_band"]}
    del made["endpoints"]["prevalent outcome"]
    made["covariates"]["ward"] = {"column": "ward", "type": "categorical"}
    made["models"] = {name: made["models"][name] for name in ("Model 1", "Model 3")}
    made["analysis"] |= {"landmark_years": [1.0, 60.0], "bootstraps": 0, "imputations": 0} | analysis
    return made


def with_ward(cohort: Cohort, wards: int = 50) -> Cohort:
    ward = (pl.int_range(pl.len()) * 7 % wards).cast(pl.String).alias("ward")
    return replace(cohort, subjects=cohort.subjects.with_columns(ward))


def run_all(*cohorts: Cohort, **analysis: Any) -> Analysis:
    study = make_study(**settings(**analysis))
    return analyze(cohorts, study, correction_method="beheshti", correction_flags={})


def run(cohort: Cohort, **analysis: Any) -> Analysis:
    """Return the rows and lines of association alone, of one cohort."""
    study = make_study(**settings(**analysis))
    setting = prepare_setting(cohort, study, "beheshti", (), primary=True)
    endpoints = study.survival_endpoints()
    parts = (standardised_rows, cox_rows, sensitivity_rows, spline_rows, subgroup_rows)
    lines = (spline_curves, coefficient_curves)
    return Analysis(
        tuple(row for name in endpoints for part in parts for row in part(setting, name)),
        tuple(point for name in endpoints for line in lines for point in line(setting, name)),
    )


def change(cohort: Cohort, **columns: pl.Expr) -> Cohort:
    return replace(cohort, subjects=cohort.subjects.with_columns(**columns))


@cache
def usual() -> Analysis:
    families = {"all": {}, "fractures": {"endpoints": ["fracture"], "models": ["Model 1"]}}
    return run_all(with_ward(make_cohort()), families=families)


def find(done: Analysis, /, **keys: Any) -> list[Result]:
    return [row for row in done.results if all(getattr(row, k) == v for k, v in keys.items())]


def one(done: Analysis, /, **keys: Any) -> Result:
    rows = find(done, **keys)
    assert len(rows) == 1, (keys, len(rows))
    return rows[0]


def variant(done: Analysis, name: str, **keys: Any) -> Result:
    place = {"analysis": "cox", "endpoint": "fracture", "cause": "fracture", "model": "Model 1"}
    wanted = place | {"predictor": "pad_corrected", "sample": "own_n", "statistic": "hr_per_sd"} | keys
    return one(done, variant=name, **wanted)


def test_every_word_of_these_rows_is_documented() -> None:
    words = set(re.findall(r"[a-z0-9_]+", DOCS))
    for row in usual().results:
        used = {row.analysis, row.statistic, row.variant, row.method, *row.flags} - {None}
        assert used <= words, used - words


def test_every_variant_has_the_main_models_sd() -> None:
    for predictor in ("pad_raw", "pad_corrected"):
        scale = variant(usual(), "main", predictor=predictor).scale
        rows = [r for name in VARIANTS for r in find(usual(), variant=name, predictor=predictor)]
        scales = {row.scale for row in rows if row.statistic == "hr_per_sd"}
        assert scales == {scale}
    scale = variant(usual(), "main").scale
    assert {r.scale for r in find(usual(), analysis="subgroup", statistic="hr_per_sd")} == {scale}


def test_robust_rows_have_the_main_estimate_and_errors_of_their_own() -> None:
    main = variant(usual(), "main")
    rows = [variant(usual(), "robust", method=m) for m in ("sandwich", "cluster")]
    assert [r.value for r in rows] == [main.value] * 2
    assert len({main.se, rows[0].se, rows[1].se}) == 3
    assert rows[1].note == "clusters: ward (50)"


def test_age_as_the_time_scale_counts_as_adjustment_for_age() -> None:
    row = variant(usual(), "age_scale", predictor="pad_raw")
    assert "uncorrected_unadjusted" not in row.flags
    assert row.n == variant(usual(), "main", predictor="pad_raw").n


def test_a_landmark_drops_whose_follow_up_has_ended() -> None:
    frame = make_cohort().follow_up["fracture"]
    row = variant(usual(), "landmark", horizon_years=1.0)
    assert row.n == frame.filter(pl.col("exit_years") > 1).height
    assert row.events == frame.filter((pl.col("exit_years") > 1) & (pl.col("status") == 1)).height


def test_a_landmark_beyond_follow_up_has_no_subjects() -> None:
    row = variant(usual(), "landmark", horizon_years=60.0)
    assert (row.status, row.note, row.n, row.events) == ("not_estimable", "no subjects", 0, 0)


def test_what_makes_the_strata_leaves_the_model() -> None:
    terms = {r.term for r in find(usual(), analysis="ph_test", endpoint="death", variant="strata")}
    assert {"pad_corrected", "age", "global"} <= terms
    assert "sex" not in terms


def test_no_events_leave_every_row_null_with_a_reason() -> None:
    cohort = with_ward(make_cohort())
    none = pl.when(pl.col("status") == 1).then(0).otherwise(pl.col("status")).alias("status")
    frames = {name: frame.with_columns(none) for name, frame in cohort.follow_up.items()}
    done = run(replace(cohort, follow_up=frames))
    rows = [r for name in VARIANTS for r in find(done, variant=name, endpoint="fracture")]
    rows += find(done, analysis="subgroup", endpoint="fracture")
    rows += [r for r in find(done, analysis="spline", endpoint="fracture") if r.statistic != "knot_years"]
    assert len(rows) > 60
    for row in rows:
        assert (row.status, row.value, row.se, row.p_value) == ("not_estimable", None, None, None)
        assert row.note.startswith(("0 events", "no subjects", "one group"))
    assert not [c for c in done.curves if c.analysis in ("spline", "ph_test")]
    rate = one(
        done,
        statistic="standardised_rate_per_1000_py",
        endpoint="fracture",
        cause="fracture",
        group="T1",
    )
    assert (rate.value, rate.lower) == (0, 0)
    assert rate.upper > 0


def test_a_term_that_is_a_multiple_of_pad_is_collinear() -> None:
    cohort = with_ward(make_cohort())
    done = run(change(cohort, bmi=pl.col("pad_corrected") * 2 + 20))
    for name in ("strata", "age_scale", "age_spline"):
        row = variant(done, name, model="Model 3")
        assert row.note.startswith("collinear"), name
    rows = find(done, analysis="spline", endpoint="fracture", model="Model 3", statistic="chi2")
    assert {row.note for row in rows} == {"collinear"}
    row = one(done, analysis="subgroup", endpoint="fracture", model="Model 3", subgroup="sex=F")
    assert row.note == "collinear"


def test_a_level_without_events_is_separation_in_every_variant() -> None:
    cohort = with_ward(make_cohort())
    events = cohort.follow_up["fracture"].filter(pl.col("status") == 1)["subject_id"]
    free = ~pl.col("subject_id").is_in(events.implode()) & (pl.col("bmi") > 27)
    done = run(change(cohort, prevalent=pl.when(free).then(2).otherwise(pl.col("prevalent"))))
    for name in ("strata", "age_scale", "age_spline"):
        assert variant(done, name, model="Model 3").note.startswith("separation"), name
    assert variant(done, "robust", model="Model 3", method="cluster").note.startswith("separation")


def test_strata_that_nobody_is_known_to_be_in_leave_no_subjects() -> None:
    done = run(change(with_ward(make_cohort()), smoking=pl.lit(None, dtype=pl.String)))
    row = variant(done, "strata")
    assert (row.status, row.n) == ("not_estimable", 0)
    assert row.note.startswith("no subjects")


def test_one_cluster_says_nothing_of_its_errors() -> None:
    done = run(change(with_ward(make_cohort()), ward=pl.lit("a")))
    row = variant(done, "robust", method="cluster")
    assert (row.status, row.value) == ("not_estimable", None)
    assert row.note.startswith("1 clusters, 3 parameters")
    assert "few_clusters" in row.flags


def test_an_age_of_two_values_makes_no_spline() -> None:
    cohort = with_ward(make_cohort())
    done = run(change(cohort, age_years=pl.when(pl.col("sex") == "F").then(60.0).otherwise(70.0)))
    row = variant(done, "age_spline")
    assert row.note.startswith("too few distinct values of age")


def test_a_pad_of_two_values_makes_no_spline() -> None:
    cohort = with_ward(make_cohort())
    halves = pl.when(pl.col("pad_corrected") > 0).then(3.0).otherwise(-2.0)
    done = run(change(cohort, pad_corrected=halves))
    rows = find(done, analysis="spline", endpoint="fracture", model="Model 1")
    assert {row.note for row in rows} == {"too few distinct values of PAD"}
    assert variant(done, "main").status == "ok"


@pytest.mark.parametrize("n", [3, 8, 30])
def test_tiny_cohorts_are_answered(n: int) -> None:
    done = run(with_ward(make_cohort(n=n), wards=4))
    rows = [r for name in VARIANTS for r in find(done, variant=name)]
    assert rows
    assert all(row.value is not None or row.note for row in rows)


def test_the_spline_is_one_at_its_reference_and_has_an_interval_elsewhere() -> None:
    line = [c for c in usual().curves if (c.analysis, c.endpoint, c.model) == ("spline", "death", "Model 1")]
    assert {c.comparator for c in line} == {"0"}
    before, after = max(c.x for c in line if c.x < 0), min(c.x for c in line if c.x > 0)
    assert all(abs(c.y - 1) < 0.05 for c in line if c.x in (before, after))
    assert all((c.lower or 9) < c.y < (c.upper or 0) for c in line)


def test_the_reference_of_a_spline_far_from_zero_is_the_median() -> None:
    cohort = with_ward(make_cohort(n=200))
    done = run(change(cohort, pad_corrected=pl.col("pad_corrected") + 100))
    found = {c.comparator for c in done.curves if c.analysis == "spline" and c.endpoint == "fracture"}
    assert len(found) == 1
    assert 95 < float(found.pop() or 0) < 105


def test_a_subgroup_of_few_events_is_null_and_left_out_of_the_interaction() -> None:
    rare = pl.when(pl.int_range(pl.len()) < 6).then(pl.lit("pipe")).otherwise(pl.col("smoking"))
    done = run(change(with_ward(make_cohort()), smoking=rare), subgroups=["smoking"])
    keys = {"analysis": "subgroup", "endpoint": "fracture", "model": "Model 1"}
    row = one(done, **keys, subgroup="smoking=pipe")
    assert (row.status, row.value) == ("not_estimable", None)
    assert row.note.startswith(f"{row.events} events")
    test = one(done, **keys, subgroup="smoking")
    assert test.note == "levels left out: pipe"
    assert test.df == 2


def test_a_subgroup_model_does_not_hold_the_subgroup_itself() -> None:
    row = one(usual(), analysis="subgroup", endpoint="fracture", model="Model 1", subgroup="sex=F")
    assert "constant_covariate_dropped" not in row.flags
    assert row.note is None


def test_subgroups_of_one_level_have_no_interaction() -> None:
    row = one(usual(), analysis="subgroup", endpoint="fracture", model="Model 1", subgroup="kind")
    assert (row.status, row.note) == ("not_estimable", "one group")


def test_families_adjust_main_estimates_and_nothing_else() -> None:
    bearing = [r for r in usual().results if r.family and r.analysis != "multiplicity"]
    places = {(r.analysis, r.statistic, r.sample, r.variant, r.predictor) for r in bearing}
    assert places == {
        ("cox", "hr_per_sd", "own_n", "main", "pad_corrected"),
        ("logistic", "or_per_sd", "own_n", "main", "pad_corrected"),
    }
    assert all(r.cause in (None, r.endpoint) for r in bearing)
    assert {r.family for r in bearing} == {"all"}
    assert len(bearing) == 6
    assert all(r.p_value <= r.p_adjusted <= 1 for r in bearing)
    smallest = min(bearing, key=lambda r: r.p_value)
    assert smallest.p_adjusted == pytest.approx(6 * smallest.p_value)
    rows = find(usual(), analysis="multiplicity", family="fractures", method="holm")
    assert [r.value for r in rows] == [variant(usual(), "main").p_value]


def test_benjamini_hochberg_is_nowhere_above_holm() -> None:
    holm, bh = (
        find(usual(), analysis="multiplicity", family="all", method=m) for m in ("holm", "benjamini_hochberg")
    )
    assert [r.endpoint for r in holm] == [r.endpoint for r in bh]
    assert all(a.value >= b.value for a, b in zip(holm, bh, strict=True))


def test_an_estimate_without_p_counts_for_no_test() -> None:
    cohort = with_ward(make_cohort())
    flat = cohort.follow_up["death"].with_columns(status=pl.lit(0))
    changed = replace(cohort, follow_up=cohort.follow_up | {"death": flat})
    study = make_study(**settings(families={"all": {}}))
    _, more = adjust_families(run(changed).results, study, {"vfa": "pad_corrected"})
    rows = [row for row in more if row.method == "holm"]
    assert [r.status for r in rows if r.endpoint == "death"] == ["not_estimable"] * 2
    assert {r.note for r in rows if r.endpoint != "death"} == {"2 tests"}


def test_without_families_nothing_is_adjusted() -> None:
    rows = list(run(with_ward(make_cohort(n=100))).results)
    adjusted, more = adjust_families(rows, make_study(**settings()), {"vfa": "pad_corrected"})
    assert adjusted == rows
    assert not more


def test_standardised_rates_of_groups_alike_in_age_and_sex_are_the_crude_ones() -> None:
    years = np.array([[100.0, 50.0, 50.0], [200.0, 100.0, 100.0]])
    events = np.array([[3.0, 4.0, 5.0], [6.0, 2.0, 9.0]])
    for own, happened in zip(years, events, strict=True):
        found = standardise_rate(happened, own, years.sum(axis=0), 0.95)
        assert found.value == pytest.approx(1000 * happened.sum() / own.sum())
        exact = estimate_rate(int(happened.sum()), float(own.sum()), 0.95)
        assert found.lower == pytest.approx(exact.lower)


def test_strata_without_a_group_are_left_out_of_all_groups_and_flagged() -> None:
    rows = find(usual(), statistic="standardised_rate_per_1000_py", endpoint="fracture", cause="fracture")
    assert [r.group for r in rows] == ["T1", "T2", "T3"]
    assert all("strata_left_out" in r.flags for r in rows)
    assert len({r.note for r in rows}) == 1
    assert all(r.lower < r.value < r.upper for r in rows)


def test_a_group_without_subjects_does_not_cost_the_others_their_rates() -> None:
    done = run(with_ward(make_cohort()), pad_groups=[-100.0, 0.0])
    keys = {"statistic": "standardised_rate_per_1000_py", "endpoint": "fracture", "cause": "fracture"}
    rows = find(done, **keys)
    assert [r.status for r in rows] == ["not_estimable", "ok", "ok"]
    assert rows[0].note.startswith("no subjects")


def test_a_standard_without_any_shared_stratum_gives_no_rate() -> None:
    nothing = np.zeros(2)
    assert standardise_rate(np.ones(2), np.ones(2), nothing, 0.95).problem == "no subjects"


def test_cohorts_are_compared_with_the_first() -> None:
    first, second = with_ward(make_cohort(n=100)), with_ward(make_cohort(seed=2, n=100))
    second = change(second, age_years=pl.col("age_years") + 4, smoking=pl.lit("pipe"))
    done = run_all(first, replace(second, name="other"))
    row = one(done, analysis="table_one", method="between_cohorts", term="age_years")
    ages = [c.subjects["age_years"].to_numpy() for c in (second, first)]
    pooled = math.sqrt((ages[0].var(ddof=1) + ages[1].var(ddof=1)) / 2)
    assert (row.cohort, row.comparator) == ("other", "vfa")
    assert row.value == pytest.approx((ages[0].mean() - ages[1].mean()) / pooled)
    smoking = one(done, analysis="table_one", method="between_cohorts", term="smoking")
    assert smoking.value > 1
    assert not find(usual(), method="between_cohorts")


def test_order_of_subjects_changes_nothing() -> None:
    cohort = with_ward(make_cohort(n=150))
    turned = replace(
        cohort,
        subjects=cohort.subjects.reverse(),
        follow_up={name: frame.reverse() for name, frame in cohort.follow_up.items()},
    )
    ours, theirs = run(cohort), run(turned)
    for a, b in zip(ours.results, theirs.results, strict=True):
        assert (a.analysis, a.statistic, a.status) == (b.analysis, b.statistic, b.status)
        if a.value is None or b.value is None:
            assert a.value is b.value, a
        else:
            assert a.value == pytest.approx(b.value, rel=1e-7, abs=1e-9), a


def test_intervals_and_tests_keep_to_their_level_in_a_hundred_cohorts() -> None:
    held = count_held(100, seed=3)
    low, high = honest_band(100)
    naive = held.pop("cluster, disregarded")
    assert naive < low
    assert {name: low <= count <= high for name, count in held.items()} == dict.fromkeys(held, True)

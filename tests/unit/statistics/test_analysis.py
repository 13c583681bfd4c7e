"""``analyze``: the rows are those docs/results.md promises, and METHOD.md's oracle facts hold in them."""

from __future__ import annotations

import importlib.util
import itertools
import math
import re
import sys
from collections import Counter
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from spinescore.core.analysis import analyze
from spinescore.domain import RESULT_KEYS, Analysis, Cohort, Result, as_row
from spinescore.errors import AnalysisError

_spec = importlib.util.spec_from_file_location(
    "made_up_cohort", Path(__file__).with_name("made_up_cohort.py")
)
assert _spec
assert _spec.loader
_module = importlib.util.module_from_spec(_spec)
sys.modules["made_up_cohort"] = _module
_spec.loader.exec_module(_module)
make_cohort, make_study, SETTINGS = _module.make_cohort, _module.make_study, _module.SETTINGS
DOCS = (Path(__file__).parents[3] / "docs" / "results.md").read_text()


def run(cohort: Cohort, method: str = "beheshti", **changes: Any) -> Analysis:
    flags = {cohort.name: ("same_cohort_correction",)}
    return analyze([cohort], make_study(**changes), correction_method=method, correction_flags=flags)


@cache
def analysis_of(**cohort: Any) -> Analysis:
    """Return the analysis of a made-up cohort, computed once however many tests look at it."""
    return run(make_cohort(**cohort))


def usual() -> Analysis:
    return analysis_of()


def find(done: Analysis, /, **keys: Any) -> list[Result]:
    return [row for row in done.results if all(getattr(row, k) == v for k, v in keys.items())]


def one(done: Analysis, /, **keys: Any) -> Result:
    rows = find(done, **keys)
    assert len(rows) == 1, (keys, len(rows))
    return rows[0]


def hazard(analysis: Analysis, predictor: str, statistic: str, model: str = "Model 1") -> Result:
    return one(
        analysis,
        analysis="cox",
        endpoint="fracture",
        cause="fracture",
        model=model,
        sample="own_n",
        variant="main",
        predictor=predictor,
        statistic=statistic,
        term=None,
        group=None,
    )


@pytest.mark.parametrize(
    "cohort", [{}, {"late": True}, {"event_rate": 1e-4}, {"n": 30}, {"n": 3}, {"n": 40, "seed": 9}], ids=str
)
def test_no_row_holds_nan_and_every_key_is_its_own(cohort: dict[str, Any]) -> None:
    analysis = analysis_of(**cohort)
    for row in analysis.results:
        for value in as_row(row).values():
            assert not (isinstance(value, float) and not math.isfinite(value)), row
        if row.status == "not_estimable":
            assert row.value is None
            assert row.note
        elif not row.statistic.startswith("cut_"):
            assert row.value is not None, row
        assert (row.conf_level is None) == (row.lower is None and row.upper is None)
    keys = Counter(tuple(getattr(row, k) for k in RESULT_KEYS) for row in analysis.results)
    assert max(keys.values()) == 1
    for point in analysis.curves:
        assert math.isfinite(point.x)
        assert math.isfinite(point.y)


def test_what_is_found_does_not_depend_on_how_many_endpoints_are_computed_at_a_time() -> None:
    cohort = make_cohort()
    flags = {cohort.name: ("same_cohort_correction",)}
    done = analyze([cohort], make_study(), correction_method="beheshti", correction_flags=flags, threads=3)
    assert done.results == usual().results
    assert done.curves == usual().curves


def test_every_analysis_statistic_and_flag_is_documented() -> None:
    rows = [*usual().results, *run(make_cohort(late=True, n=60), "none").results]
    words = set(re.findall(r"[a-z0-9_]+", DOCS))
    for name in {r.analysis for r in rows} | {r.statistic for r in rows} | {f for r in rows for f in r.flags}:
        assert name in words, name


def test_values_are_plain_python() -> None:
    allowed = (str, float, int, tuple, type(None))
    for item in (*usual().results, *usual().curves):
        assert all(type(v) in allowed for v in as_row(item).values()), item


def test_hazard_ratio_per_year_is_the_same_for_age_gap_and_beheshti() -> None:
    ratios = [
        hazard(usual(), p, "hr_per_year").value
        for p in ("spine_age_raw", "spine_age_corrected", "pad_raw", "pad_corrected")
    ]
    assert ratios == pytest.approx([ratios[0]] * 4, rel=1e-9)
    assert ratios[0] > 1.03


def test_cole_is_the_slope_times_beheshti_per_year_and_equal_per_sd() -> None:
    cohort = make_cohort()
    s = cohort.subjects
    a, b = np.polyfit(s["age_years"], s["spine_age_raw"], 1)
    cole = ((pl.col("spine_age_raw") - b) / a).alias("spine_age_corrected")
    subjects = s.with_columns(cole).with_columns(
        (pl.col("spine_age_corrected") - pl.col("age_years")).alias("pad_corrected")
    )
    other = run(replace(cohort, subjects=subjects), "cole")
    per_year = [hazard(x, "pad_corrected", "hr_per_year").value for x in (usual(), other)]
    assert math.log(per_year[1]) == pytest.approx(a * math.log(per_year[0]), rel=1e-8)
    per_sd = [hazard(x, "pad_corrected", "hr_per_sd") for x in (usual(), other)]
    assert per_sd[1].value == pytest.approx(per_sd[0].value, rel=1e-8)
    assert per_sd[1].scale == pytest.approx(per_sd[0].scale / a, rel=1e-9)


def test_raw_gap_without_age_is_flagged() -> None:
    analysis = usual()
    assert "uncorrected_unadjusted" in hazard(analysis, "pad_raw", "hr_per_sd", "No age").flags
    assert "uncorrected_unadjusted" not in hazard(analysis, "pad_raw", "hr_per_sd").flags
    assert "uncorrected_unadjusted" not in hazard(analysis, "pad_corrected", "hr_per_sd", "No age").flags


def test_sd_is_the_cohorts_on_own_n() -> None:
    row = hazard(usual(), "pad_corrected", "hr_per_sd", "Model 3")
    assert row.scale == pytest.approx(make_cohort().subjects["pad_corrected"].std())
    assert row.n < 500
    assert math.log(row.value) == pytest.approx(
        row.scale * math.log(hazard(usual(), "pad_corrected", "hr_per_year", "Model 3").value)
    )


def test_common_n_is_the_same_in_every_model() -> None:
    for endpoint in ("fracture", "death"):
        rows = find(usual(), analysis="cox", endpoint=endpoint, sample="common_n", statistic="hr_per_sd")
        assert len({r.n for r in rows}) == 1
        assert {r.model for r in rows} == set(SETTINGS["models"])


def test_likelihood_ratio_is_near_walds_square() -> None:
    lr = one(usual(), analysis="cox", endpoint="death", model="Model 1", statistic="lr_chi2")
    wald = one(
        usual(),
        analysis="cox",
        endpoint="death",
        model="Model 1",
        sample="common_n",
        predictor="pad_corrected",
        statistic="hr_per_sd",
    )
    assert lr.value == pytest.approx((math.log(wald.value) / wald.se) ** 2, rel=0.1)


def test_chronological_age_replaces_age() -> None:
    row = hazard(usual(), "chronological_age", "hr_per_year")
    assert row.status == "ok"
    assert row.correction is None


def test_primary_is_one_row() -> None:
    rows = [r for r in usual().results if "primary" in r.flags]
    assert [(r.statistic, r.predictor, r.model, r.sample, r.cause) for r in rows] == [
        ("hr_per_sd", "pad_corrected", "Model 1", "own_n", "fracture")
    ]


def test_primary_falls_to_raw_pad_without_correction() -> None:
    analysis = run(make_cohort(), "none")
    rows = [r for r in analysis.results if "primary" in r.flags]
    assert [r.predictor for r in rows] == ["pad_raw"]
    assert not [r for r in analysis.results if (r.predictor or "").endswith("_corrected")]
    assert all("groups_on_raw_pad" in r.flags for r in find(analysis, analysis="pad_groups"))


def test_correction_flags_are_on_every_corrected_row() -> None:
    for row in usual().results:
        corrected = (row.predictor or "").endswith("_corrected")
        if corrected and row.predictor == "spine_age_corrected":
            assert "corrected_contains_age" in row.flags
        if row.predictor:
            assert ("same_cohort_correction" in row.flags) == corrected, row


def test_competing_cause_is_reported_and_kaplan_meier_is_not() -> None:
    analysis = usual()
    assert find(analysis, analysis="cox", endpoint="fracture", cause="death", statistic="hr_per_sd")
    assert not find(analysis, analysis="kaplan_meier", endpoint="fracture")
    assert not find(analysis, analysis="cumulative_incidence", endpoint="death")
    assert {c.cause for c in analysis.curves if c.analysis == "cumulative_incidence"} == {"fracture", "death"}


def test_few_events_are_not_estimable_and_some_are_flagged() -> None:
    rare = analysis_of(event_rate=1e-4)
    row = hazard(rare, "pad_corrected", "hr_per_sd")
    assert (row.status, row.value) == ("not_estimable", None)
    assert row.note.startswith(f"{row.events} events")
    few = run(make_cohort(n=80, seed=3))
    assert "few_events" in hazard(few, "pad_corrected", "hr_per_sd", "Model 3").flags


def test_a_level_without_events_is_named_separation() -> None:
    cohort = make_cohort()
    events = cohort.follow_up["fracture"].filter(pl.col("status") == 1)["subject_id"]
    rare = pl.when(~pl.col("subject_id").is_in(events.implode()) & (pl.col("bmi") > 27)).then(pl.lit("rare"))
    subjects = cohort.subjects.with_columns(rare.otherwise(pl.col("smoking")).alias("smoking"))
    analysis = run(replace(cohort, subjects=subjects))
    row = hazard(analysis, "pad_corrected", "hr_per_sd", "Model 3")
    assert (row.status, row.note) == ("not_estimable", "separation")


def test_one_sex_only_drops_sex_and_says_so() -> None:
    cohort = make_cohort()
    women = replace(cohort, subjects=cohort.subjects.with_columns(pl.lit("F").alias("sex")))
    row = hazard(run(women), "pad_corrected", "hr_per_sd")
    assert row.status == "ok"
    assert "constant_covariate_dropped" in row.flags
    assert "sex" in row.note


def test_constant_predictor_is_not_estimable() -> None:
    cohort = make_cohort()
    flat = replace(cohort, subjects=cohort.subjects.with_columns(pl.lit(1.5).alias("pad_corrected")))
    row = hazard(run(flat), "pad_corrected", "hr_per_sd")
    assert (row.status, row.note) == ("not_estimable", "constant predictor")


def test_endpoint_leaves_its_own_model() -> None:
    rows = find(usual(), endpoint="prevalent outcome", model="Model 2", subgroup=None)
    assert rows
    assert all("endpoint_in_model" in r.flags and "prevalent" in r.note for r in rows)
    assert all(r.status == "ok" for r in rows)


def test_nested_models_get_no_p_for_their_areas() -> None:
    for analysis in ("auc_difference", "concordance_difference"):
        assert all(r.p_value is None for r in find(usual(), analysis=analysis) if r.model)
    contrast = one(
        usual(), analysis="auc_difference", endpoint="osteoporosis", predictor="spine_age_raw", model=None
    )
    assert contrast.p_value is not None
    assert contrast.comparator == "chronological_age"


def test_concordance_difference_is_the_difference() -> None:
    keys = {"endpoint": "death", "model": "Model 1", "method": "harrell", "subgroup": None}
    with_pad = one(usual(), analysis="concordance", predictor="pad_corrected", **keys)
    without = one(usual(), analysis="concordance", predictor=None, **keys)
    difference = one(usual(), analysis="concordance_difference", **keys)
    assert difference.value == pytest.approx(with_pad.value - without.value)
    assert with_pad.n == without.n == difference.n


def test_incidence_adds_up_over_groups() -> None:
    rows = find(
        usual(),
        analysis="incidence",
        endpoint="fracture",
        cause="fracture",
        statistic="rate_per_1000_py",
    )
    whole, parts = rows[0], rows[1:]
    assert whole.group is None
    assert sum(r.events for r in parts) == whole.events
    assert sum(r.person_years for r in parts) == pytest.approx(whole.person_years)
    assert whole.value == pytest.approx(1000 * whole.events / whole.person_years)


def test_curves_begin_at_the_start_and_end_at_the_end_of_follow_up() -> None:
    cohort = make_cohort()
    line = [
        c
        for c in usual().curves
        if c.analysis == "cumulative_incidence" and c.group is None and c.cause == c.endpoint
    ]
    assert (line[0].x, line[0].y, line[0].n_at_risk) == (0, 0, len(cohort.follow_up["fracture"]))
    assert line[-1].x == cohort.follow_up["fracture"]["exit_years"].max()
    assert line[-1].cumulative_events == (cohort.follow_up["fracture"]["status"] == 1).sum()
    assert all(a.y <= b.y for a, b in itertools.pairwise(line))


def test_numbers_at_risk_are_at_whole_years_and_add_up() -> None:
    points = [c for c in usual().curves if c.analysis == "number_at_risk" and c.endpoint == "death"]
    assert all(c.x == int(c.x) for c in points)
    at_two = {c.group: c.n_at_risk for c in points if c.x == 2}
    assert at_two[None] == at_two["T1"] + at_two["T2"] + at_two["T3"]


def test_table_one_counts_everybody() -> None:
    for term in ("age_years", "bmi", "smoking", "osteoporosis"):
        n = one(usual(), analysis="table_one", term=term, group="overall", statistic="n").value
        missing = one(usual(), analysis="table_one", term=term, group="overall", statistic="missing").value
        assert n + missing == 500
    percents = find(usual(), analysis="table_one", term="smoking", group="T1", statistic="percent")
    assert sum(r.value for r in percents) == pytest.approx(100)


def test_accuracy_gives_raw_before_corrected_everywhere() -> None:
    rows = find(usual(), analysis="accuracy", statistic="mae")
    assert [r.predictor for r in rows] == ["spine_age_raw", "spine_age_corrected"] * (len(rows) // 2)
    assert {r.subgroup for r in rows} >= {None, "sex=F", "manufacturer=ACME", "age_band=60-70"}


def test_coverage_counts_the_ages_within_the_central_intervals() -> None:
    cohort = make_cohort(n=100)
    shares = pl.Series("age_share", [None, 0.001, 0.03, 0.06, 0.2, 0.5, 0.74, 0.9, 0.96, 0.999] * 10)
    done = run(replace(cohort, subjects=cohort.subjects.with_columns(shares)))
    keys = {"analysis": "accuracy", "predictor": "spine_age_raw", "subgroup": None}
    counted = {50: 20, 80: 40, 90: 50, 95: 70}  # of 90: those of 0.25-0.75, 0.1-0.9, 0.05-0.95, 0.025-0.975
    for percent, n in counted.items():
        found = one(done, statistic=f"interval_coverage_{percent}", **keys)
        assert found.value == pytest.approx(n / 90)
        assert found.lower < found.value < found.upper
    of_women = one(done, statistic="interval_coverage_50", **{**keys, "subgroup": "sex=F"})
    assert 0 <= of_women.value <= 1
    assert not find(usual(), statistic="interval_coverage_90")


def test_points_hold_one_row_per_subject() -> None:
    assert usual().points.columns == ["cohort", "age_years", "spine_age_raw", "spine_age_corrected", "sex"]
    assert len(usual().points) == 500


def test_numeric_groups_and_quartiles() -> None:
    for rule, labels in (
        ("quartiles", ["Q1", "Q2", "Q3", "Q4"]),
        ((-3.0, 3.0), ["< -3", "-3 to < 3", ">= 3"]),
    ):
        settings = {**SETTINGS["analysis"], "pad_groups": rule}
        analysis = run(make_cohort(), models={"Model 1": ["age", "sex"]}, analysis=settings)
        assert [r.group for r in find(analysis, analysis="pad_groups", statistic="n")] == labels


def test_pad_missing_everywhere_is_refused() -> None:
    cohort = make_cohort()
    empty = cohort.subjects.with_columns(pl.lit(None, dtype=pl.Float64).alias("pad_raw"))
    with pytest.raises(AnalysisError, match="predicted age difference"):
        run(replace(cohort, subjects=empty))


def test_a_reference_level_nobody_has_is_refused() -> None:
    covariates = SETTINGS["covariates"] | {
        "smoking": {"column": "smoking", "type": "categorical", "reference": "nevr"}
    }
    with pytest.raises(AnalysisError, match="nevr"):
        run(make_cohort(), covariates=covariates)


def test_a_covariate_of_text_declared_continuous_is_refused() -> None:
    covariates = SETTINGS["covariates"] | {"smoking": {"column": "smoking"}}
    with pytest.raises(AnalysisError, match="smoking"):
        run(make_cohort(), covariates=covariates)


def test_two_outcome_rows_for_a_subject_are_refused() -> None:
    cohort = make_cohort()
    frame = cohort.follow_up["death"]
    doubled = {**cohort.follow_up, "death": pl.concat([frame, frame.head(1)])}
    with pytest.raises(AnalysisError, match="twice"):
        run(replace(cohort, follow_up=doubled))

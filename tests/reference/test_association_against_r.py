"""Sensitivity analyses, spline, subgroups, families and standardised rates equal R's (association.R).

Through the rows that a study gets, on ties, near-ties, zero times, late entry, missing covariates, a rare level.
"""

from __future__ import annotations

import json
import math
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from spinescore.core.analysis import analyze
from spinescore.core.statistics.assembly.setting import prepare_setting
from spinescore.core.statistics.assembly.spline_rows import fit_spline, trace_spline
from spinescore.core.statistics.assembly.survival_data import read_survival
from spinescore.core.statistics.concordance import estimate_concordance, measure_concordance
from spinescore.core.statistics.cox import fit_cox
from spinescore.core.statistics.cox_residuals import robust_covariance, score_residuals
from spinescore.core.statistics.multiplicity import adjust_benjamini_hochberg, adjust_holm
from spinescore.core.statistics.proportional_hazards import (
    TRANSFORMS,
    check_proportional_hazards,
    measure_residuals,
    transform_times,
)
from spinescore.core.statistics.times import FollowUp, make_follow_up, stratify
from spinescore.domain import Analysis, Cohort, CurvePoint, Result
from spinescore.study import Study

HERE = Path(__file__).parent
R = json.loads((HERE / "association.json").read_text())
TABLE = pl.read_csv(HERE / "association.csv", null_values="NA")
MODELS = {"short": ["age", "sex"], "long": ["age", "sex", "bmi", "smoking"]}
RTOL = 1e-8
CASES = pytest.mark.parametrize(("clock", "model"), [(c, m) for c in ("plain", "late") for m in MODELS])


def make_study() -> Study:
    survival = {"type": "survival", "event": "e", "time": "t", "time_origin": "image"}
    categorical = {"type": "categorical"}
    return Study.model_validate(
        {
            "study": {"title": "t", "database": "d.duckdb"},
            "subjects": {"file": "f.csv", "id": "id"},
            "cohorts": {"all": {"where": "true"}},
            "endpoints": {
                "plain": survival | {"strata": ["site", "sex"], "cluster": "ward", "competing": "other"},
                "late": survival | {"strata": ["site", "sex"], "cluster": "ward", "competing": "other"},
                "other": survival,
            },
            "covariates": {
                "bmi": {"column": "bmi"},
                "smoking": {"column": "smoking", "reference": "never", **categorical},
                "site": {"column": "site", **categorical},
                "ward": {"column": "ward", **categorical},
            },
            "models": MODELS,
            "analysis": {
                "landmark_years": [1.0, 2.5],
                "subgroups": ["sex", "age_band", "smoking", "site"],
                "families": {"plain": {"endpoints": ["plain"]}},
                "bootstraps": 0,
            },
        }
    )


def make_cohort() -> Cohort:
    subjects = TABLE.select(
        pl.col("id").cast(pl.String).alias("subject_id"),
        pl.col("id").cast(pl.String).alias("sop_instance_uid"),
        pl.lit("vfa").alias("kind"),
        "sex",
        pl.col("age").alias("age_years"),
        pl.lit("ACME").alias("manufacturer"),
        (pl.col("age") + pl.col("pad_raw")).alias("spine_age_raw"),
        pl.lit(2.0).alias("spine_age_sd"),
        (pl.col("age") + pl.col("pad")).alias("spine_age_corrected"),
        "pad_raw",
        pl.col("pad").alias("pad_corrected"),
        *("bmi", "smoking", "site", "ward"),
    )
    rows = TABLE.select(
        pl.col("id").cast(pl.String).alias("subject_id"),
        pl.col("entry").alias("entry_years"),
        pl.col("exit").alias("exit_years"),
        "status",
    )
    plain = rows.with_columns(entry_years=pl.lit(0.0))
    return Cohort(
        "all",
        subjects,
        {"plain": plain, "late": rows.filter(pl.col("exit_years") > 0), "other": plain},
        pl.DataFrame(),
    )


@cache
def done() -> Analysis:
    return analyze([make_cohort()], make_study(), correction_method="beheshti", correction_flags={})


def one(**keys: Any) -> Result:
    rows = [row for row in done().results if all(getattr(row, k) == v for k, v in keys.items())]
    assert len(rows) == 1, (keys, len(rows))
    return rows[0]


def points(clock: str, model: str, analysis: str) -> list[CurvePoint]:
    keys = (analysis, clock, model)
    return [c for c in done().curves if (c.analysis, c.endpoint, c.model) == keys]


def close(ours: Any, theirs: Any, rtol: float = RTOL) -> None:
    np.testing.assert_allclose(np.array(ours, float), np.array(theirs, float), rtol=rtol, atol=1e-12)


def same_ratio(row: Result, theirs: dict[str, Any], sd: str = "pad") -> None:
    scale = R["sd"][sd]
    assert row.value is not None
    close(row.scale, scale, 1e-12)
    close([math.log(row.value), row.se], [theirs["coef"] * scale, theirs["se"] * scale])
    assert (row.n, row.events) == (theirs["n"], theirs["events"])


def hazard(clock: str, model: str, variant: str, **keys: Any) -> Result:
    shared = {"predictor": "pad_corrected", "term": None, "group": None, "horizon_years": None}
    place = {"analysis": "cox", "endpoint": clock, "cause": clock, "model": model, "sample": "own_n"}
    return one(**place, variant=variant, statistic="hr_per_sd", **(shared | keys))


@CASES
def test_main_robust_and_cluster_robust_errors_equal_coxph(clock: str, model: str) -> None:
    theirs = R[clock][model]
    same_ratio(hazard(clock, model, "main"), theirs["main"])
    same_ratio(hazard(clock, model, "main", predictor="pad_raw"), theirs["main_raw"], "pad_raw")
    same_ratio(hazard(clock, model, "robust", method="sandwich"), theirs["robust"])
    raw = hazard(clock, model, "robust", method="sandwich", predictor="pad_raw")
    same_ratio(raw, theirs["robust_raw"], "pad_raw")
    same_ratio(hazard(clock, model, "robust", method="cluster"), theirs["cluster"])


@CASES
def test_strata_age_scale_landmarks_and_age_spline_equal_coxph(clock: str, model: str) -> None:
    theirs = R[clock][model]
    for variant in ("strata", "age_scale", "age_spline"):
        same_ratio(hazard(clock, model, variant), theirs[variant])
    for landmark in (1.0, 2.5):
        row = hazard(clock, model, "landmark", horizon_years=landmark)
        same_ratio(row, theirs[f"landmark_{landmark:g}"])


@CASES
@pytest.mark.parametrize(("variant", "key"), [("main", "zph"), ("strata", "strata_zph")])
def test_proportional_hazards_equal_cox_zph(clock: str, model: str, variant: str, key: str) -> None:
    terms = [t for t in ("pad_corrected", *MODELS[model], "global") if (t, variant) != ("sex", "strata")]
    for transform in TRANSFORMS:
        rows = [
            one(analysis="ph_test", endpoint=clock, model=model, variant=variant, method=transform, term=t)
            for t in terms
        ]
        theirs = R[clock][model][key][transform]
        close([r.value for r in rows], theirs["chisq"])
        close([r.df for r in rows], theirs["df"])
        close([r.p_value for r in rows], theirs["p"])


@CASES
def test_stratified_concordance_equals_survival(clock: str, model: str) -> None:
    theirs = R[clock][model]["strata_c"]
    keys = {"endpoint": clock, "model": model, "variant": "strata"}
    both = [one(analysis="concordance", predictor=p, **keys) for p in ("pad_corrected", None)]
    close([r.value for r in both], theirs["c"], 1e-9)
    close([r.se for r in both], theirs["se"], 1e-8)
    close(one(analysis="concordance_difference", **keys).se, theirs["se_difference"], 1e-7)


@CASES
def test_spline_equals_coxph_on_hmiscs_columns(clock: str, model: str) -> None:
    theirs = R[clock][model]["spline"]
    keys = {"analysis": "spline", "endpoint": clock, "model": model}
    knots = [one(**keys, term=f"knot {k}").value for k in range(1, 5)]
    close(knots, theirs["knots"], 1e-12)
    for term in ("global", "nonlinear"):
        close(one(**keys, term=term, method="wald").value, theirs[f"wald_{term}"])
        close(one(**keys, term=term, method="likelihood_ratio").value, theirs[f"lr_{term}"])
    line = points(clock, model, "spline")
    close([c.x for c in line], theirs["x"], 1e-12)
    close([math.log(c.y) for c in line], theirs["log_hr"], 1e-6)
    reach = [(math.log(c.upper or 0) - math.log(c.lower or 0)) / 2 / 1.959963984540054 for c in line]
    close(reach, theirs["se"])


def test_spline_equals_cph() -> None:
    setting = prepare_setting(make_cohort(), make_study(), "beheshti", (), primary=False)
    found = fit_spline(read_survival(setting, "plain"), "short")
    theirs = R["cph"]
    value, lower, upper = trace_spline(found, np.array(theirs["at"], float), 0.95)
    close(np.log(value), theirs["log_hr"])
    close(np.log(upper / lower) / 2 / 1.959963984540054, theirs["se"])
    for term in ("global", "nonlinear"):
        row = one(analysis="spline", endpoint="plain", model="short", term=term, method="wald")
        close(row.value, theirs[f"wald_{term}"])


@CASES
def test_beta_over_time_equals_a_natural_spline_through_rs_residuals(clock: str, model: str) -> None:
    theirs, scale = R[clock][model]["beta_t"], R["sd"]["pad"]
    line = points(clock, model, "ph_test")
    assert len(line) > 30
    at = np.searchsorted(np.array(theirs["time"]) + 1e-6, [c.x for c in line])
    close([c.x for c in line], np.array(theirs["time"])[at], 1e-9)
    close([c.y for c in line], np.array(theirs["value"])[at] * scale)
    reach = [((c.upper or 0) - (c.lower or 0)) / 2 / 1.959963984540054 for c in line]
    close(reach, np.array(theirs["se"])[at] * scale)


@CASES
@pytest.mark.parametrize("name", ["sex", "age_band", "smoking", "site"])
def test_subgroups_and_interactions_equal_coxph(clock: str, model: str, name: str) -> None:
    theirs = R[clock][model].get("subgroup_band" if name == "age_band" else f"subgroup_{name}")
    if theirs is None:
        assert (model, name) == ("short", "smoking")
        return
    keys = {"analysis": "subgroup", "endpoint": clock, "model": model}
    for level, part in theirs["levels"].items():
        label = level.strip("[)").replace(",", "-")
        row = one(**keys, subgroup=f"{name}={label}")
        if "coef" not in part or part["infinite"]:
            assert row.status == "not_estimable"
            continue
        same_ratio(row, part)
    row = one(**keys, subgroup=name)
    close([row.value, row.df], [theirs["lr"], theirs["df"]], 1e-6)
    assert row.n == theirs["n"]


def test_standardised_rates_equal_fay_and_feuers_formula() -> None:
    for label, theirs in zip(("T1", "T2", "T3"), R["standardised"], strict=True):
        statistic = "standardised_rate_per_1000_py"
        row = one(analysis="incidence", endpoint="plain", cause="plain", group=label, statistic=statistic)
        ours = (row.value, row.se, row.lower, row.upper, row.person_years, row.events)
        close(ours, [theirs[k] for k in ("rate", "se", "lower", "upper", "person_years", "events")], 1e-9)


def test_adjusted_p_values_equal_p_adjust() -> None:
    p = np.array(R["p_adjust"]["p"])
    close(adjust_holm(p), R["p_adjust"]["holm"], 1e-14)
    close(adjust_benjamini_hochberg(p), R["p_adjust"]["bh"], 1e-14)


TINY = pl.DataFrame(
    {
        "entry": [0.0, 0, 1, 0, 2, 0, 0, 1],
        "time": [1.0, 2, 2, 3, 3, 4, 5, 5],
        "event": [1, 1, 0, 1, 1, 0, 1, 0],
        "x": [2.5, -1, 0.3, 1.1, 0.4, -0.7, 0.9, -2],
        "z": [1.0, 0, 1, 1, 0, 0, 0, 1],
        "g": [1, 1, 2, 2, 1, 1, 2, 2],
    }
)


@pytest.mark.parametrize("case", ["one", "two", "late", "robust", "cluster", "strata"])
def test_eight_subjects_equal_coxph(case: str) -> None:
    theirs = R["tiny"][case]
    x = TINY.select(["x", "z"] if case == "two" else ["x"]).to_numpy()
    entry = TINY["entry"].to_numpy() if case == "late" else np.zeros(8)
    follow_up = make_follow_up(entry, TINY["time"].to_numpy(), TINY["event"].to_numpy())
    event = follow_up.status == 1
    strata = TINY["g"].to_numpy() - 1 if case == "strata" else None
    within: FollowUp = follow_up if strata is None else stratify(follow_up, strata)
    fit = fit_cox(within, event, x)
    covariance = fit.covariance
    if case in ("robust", "cluster"):
        clusters = TINY["g"].to_numpy() - 1 if case == "cluster" else None
        covariance = robust_covariance(score_residuals(within, event, x, fit), covariance, clusters)
    close(np.atleast_1d(fit.coefficients), np.atleast_1d(theirs["coef"]))
    close(np.sqrt(np.diag(covariance)), np.atleast_1d(theirs["se"]))
    c = estimate_concordance(measure_concordance(within, event, x @ fit.coefficients), 0.95)
    close(c.value, theirs["c"], 1e-12)
    if case != "cluster":  # survival sums the influence of a cluster, which no row here asks for
        close(c.se, theirs["c_se"], 1e-9)
    found = measure_residuals(follow_up, event, x, fit, strata)
    for transform in TRANSFORMS:
        g = transform_times(follow_up, event, found.times, transform)
        tests = check_proportional_hazards(found, g, {str(k): [k] for k in range(x.shape[1])})
        close([t.value for t in tests.values()], theirs["zph"][transform]["chisq"])

"""Firth's rows stand beside the main fit where events are few or it has no estimate, and only there."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest

from spinescore.core.statistics.assembly.firth_rows import firth_rows
from spinescore.core.statistics.assembly.setting import Setting, prepare_setting, spread
from spinescore.core.statistics.estimate import Estimate
from spinescore.core.statistics.firth import ratio_of
from spinescore.domain import RESULT_KEYS, Cohort, Result
from tests.unit.statistics.made_up_cohort import SETTINGS, make_cohort, make_study

MODELS = {"Model 1": ["age", "sex"], "Model 3": ["age", "sex", "bmi", "smoking", "prevalent"]}


def setting_of(cohort: Cohort, *, firth: bool = True) -> Setting:
    study = make_study(models=MODELS, analysis={**SETTINGS["analysis"], "firth": firth})
    return prepare_setting(cohort, study, "beheshti", (), primary=True)


def rows(cohort: Cohort, endpoint: str = "fracture") -> list[Result]:
    return list(firth_rows(setting_of(cohort), endpoint))


def one(found: list[Result], **keys: Any) -> Result:
    (row,) = (r for r in found if all(getattr(r, k) == v for k, v in keys.items()))
    return row


def with_status(cohort: Cohort, status: pl.Expr) -> Cohort:
    frame = cohort.follow_up["fracture"].with_columns(status.alias("status"))
    return replace(cohort, follow_up={**cohort.follow_up, "fracture": frame})


def test_there_is_no_row_unless_asked_for() -> None:
    cohort = make_cohort(60)
    for endpoint in ("fracture", "osteoporosis"):
        assert list(firth_rows(setting_of(cohort, firth=False), endpoint)) == []
        assert list(firth_rows(setting_of(cohort), endpoint)) != []


def test_rows_appear_where_there_are_fewer_than_ten_events_per_parameter() -> None:
    """About 50 events: enough for three parameters, too few for seven."""
    found = rows(make_cohort(170))
    assert {r.model for r in found} == {"Model 3"}
    assert all(30 <= (r.events or 0) < 70 for r in found)
    assert all("few_events" in r.flags for r in found)


def test_a_ratio_per_sd_is_that_per_year_to_the_power_of_the_sd() -> None:
    cohort = make_cohort(170)
    found = rows(cohort)
    per_sd, per_year = (one(found, statistic=f"hr_per_{x}") for x in ("sd", "year"))
    sd = spread(cohort.subjects["pad_corrected"].to_numpy())
    assert (per_sd.variant, per_sd.sample, per_sd.cause, per_sd.scale) == ("firth", "own_n", "fracture", sd)
    for name in ("value", "lower", "upper"):
        assert math.log(getattr(per_sd, name)) == pytest.approx(sd * math.log(getattr(per_year, name)))
    assert per_sd.p_value == per_year.p_value
    assert per_sd.lower is not None
    assert per_sd.value is not None
    assert per_sd.upper is not None
    assert 0 < per_sd.lower < per_sd.value < per_sd.upper


def test_a_monotone_likelihood_has_a_finite_estimate_and_an_open_side_or_a_wide_one() -> None:
    cohort = make_cohort(300)
    high = cohort.subjects.filter(pl.col("pad_corrected") > 8)["subject_id"]
    status = pl.col("subject_id").is_in(high.implode()).cast(pl.Int64)
    found = rows(with_status(cohort, status))
    row = one(found, statistic="hr_per_sd", model="Model 1")
    assert row.status == "ok"
    assert row.value is not None
    assert 1 < row.value < math.inf
    assert row.lower is not None
    assert row.lower > 1


def test_separation_of_a_binary_endpoint_has_a_finite_estimate() -> None:
    cohort = make_cohort(400)
    case = (pl.col("pad_corrected") > 1).cast(pl.Int64).alias("osteoporosis")
    cohort = replace(cohort, subjects=cohort.subjects.with_columns(case))
    row = one(rows(cohort, "osteoporosis"), statistic="or_per_sd", model="Model 1")
    assert (row.analysis, row.status, row.cause) == ("logistic", "ok", None)
    assert row.value is not None
    assert row.value > 10
    assert row.lower is not None
    assert row.lower > 1


@pytest.mark.parametrize("events", [0, 1, 3])
def test_from_one_event_on_there_is_an_estimate(events: int) -> None:
    cohort = make_cohort(120)
    status = (pl.int_range(pl.len()) < events).cast(pl.Int64)
    row = one(rows(with_status(cohort, status)), statistic="hr_per_sd", model="Model 1")
    assert row.events == events
    if events == 0:
        assert (row.status, row.note) == ("not_estimable", "0 events")
    else:
        assert row.status == "ok"
        assert row.value is not None


@pytest.mark.parametrize("n", [3, 30])
def test_tiny_cohorts_give_numbers_or_reasons(n: int) -> None:
    for endpoint in ("fracture", "osteoporosis"):
        found = rows(make_cohort(n), endpoint)
        assert len({tuple(getattr(r, k) for k in RESULT_KEYS) for r in found}) == len(found) > 0
        for row in found:
            assert (row.value is None) == (row.status == "not_estimable") == (row.value is None)
            assert row.value is not None or row.note


def test_collinear_covariates_are_told() -> None:
    cohort = make_cohort(60)
    subjects = cohort.subjects.with_columns(pl.col("age_years").alias("bmi"))
    found = rows(replace(cohort, subjects=subjects))
    assert one(found, statistic="hr_per_sd", model="Model 3").note == "collinear"


def test_a_bound_that_does_not_exist_stays_null() -> None:
    found = ratio_of(Estimate(value=2.0, se=1.0, lower=0.5, upper=None, p_value=0.01), 2.0)
    assert found.upper is None
    assert found.lower == pytest.approx(np.e)
    assert ratio_of(Estimate(problem="0 events"), 2.0).problem == "0 events"

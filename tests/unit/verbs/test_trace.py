"""trace: a number's subjects and images, as long as nothing has changed since; else why not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from spinescore.analyze import analyze
from spinescore.errors import TraceError
from spinescore.shell.identity import pseudonymiser
from spinescore.shell.warehouse import Warehouse, open_warehouse
from spinescore.study import Study
from spinescore.trace import trace_result
from tests.unit.verbs.test_analyze_again import prepared
from tests.unit.verbs.test_cohorts import KEY

HAZARD = {"cohort": "old", "analysis": "cox", "statistic": "hr_per_sd", "endpoint": "death", "cause": "death"}
OF_PAD = {"predictor": "pad_raw", "sample": "own_n"}


@pytest.fixture
def warehouse(database: Path) -> Iterator[Warehouse]:
    with open_warehouse(database, create=True) as opened:
        pseudonymiser(opened, keep_identifiers=True)
        yield opened


@pytest.fixture
def settings(tmp_path: Path, warehouse: Warehouse) -> Study:
    settings = prepared(tmp_path, warehouse)
    analyze(warehouse, settings, KEY)
    return settings


def test_a_hazard_ratio_leads_to_its_subjects_their_scores_and_files(
    warehouse: Warehouse, settings: Study
) -> None:
    found = trace_result(warehouse, settings, KEY, HAZARD | OF_PAD)
    assert found.exact
    assert found.n_subjects == found.result["n"] == found.images.height
    ages = dict(warehouse.table("images").select("subject_id", "age_years").rows())
    assert {ages[subject] >= 65 for subject in found.images["subject_id"]} == {True}
    scores = dict(warehouse.table("scores").select("sop_instance_uid", "spine_age").rows())
    for row in found.images.iter_rows(named=True):
        assert row["spine_age_raw"] == scores[row["sop_instance_uid"]]
        assert row["path"] is not None
        assert (row["model_id"], row["preprocessing_id"]) == (KEY.model_id, KEY.preprocessing_id)
    assert found.analysis_run["run_id"] == warehouse.table("runs")["run_id"].max()


def test_a_number_of_part_of_a_cohort_leads_to_the_cohort_and_says_so(
    warehouse: Warehouse, settings: Study
) -> None:
    keys = {"cohort": "old", "analysis": "accuracy", "statistic": "mae", "subgroup": "age_band=70-80"}
    found = trace_result(warehouse, settings, KEY, keys)
    assert not found.exact
    assert found.n_subjects > found.result["n"]


@pytest.mark.parametrize(
    ("keys", "match"),
    [
        (
            HAZARD | {"predictor": "pad_raw"},
            r"2 results have these keys\. They differ in sample \(common_n, own_n\)",
        ),
        (HAZARD | {"model": "Model 9"}, r"No result has these keys\. There is model = Model 1\."),
        ({"colour": "red"}, "no key `colour`"),
        ({}, "no primary estimate"),
    ],
)
def test_what_names_no_number_or_several_is_said(
    warehouse: Warehouse, settings: Study, keys: dict[str, str], match: str
) -> None:
    with pytest.raises(TraceError, match=match):
        trace_result(warehouse, settings, KEY, keys)


def test_after_a_change_nothing_is_told(warehouse: Warehouse, settings: Study) -> None:
    with warehouse.run("score", {}) as run:
        again = warehouse.table("scores").with_columns(pl.col("spine_age") + 1, run_id=pl.lit(run.run_id))
        warehouse.refill("scores", again)
    with pytest.raises(TraceError, match="has changed since analysis run"):
        trace_result(warehouse, settings, KEY, HAZARD | OF_PAD)


def test_without_an_analysis_it_says_what_to_run(tmp_path: Path, warehouse: Warehouse) -> None:
    with pytest.raises(TraceError, match=r"There is no analysis.*spinescore analyze"):
        trace_result(warehouse, prepared(tmp_path, warehouse), KEY, {})

"""Shares at cut-offs and reclassification: what they are without censoring, and what cannot be said."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spinescore.core.statistics.assembly.cutoff_rows import cutoff_rows
from spinescore.core.statistics.assembly.prediction_rows import freeze_models, judge_predictions
from spinescore.core.statistics.assembly.setting import prepare_setting
from spinescore.core.statistics.classification import (
    SHARES,
    classify_at_horizon,
    classify_cases,
    reclassify_at_horizon,
    reclassify_cases,
)
from spinescore.core.statistics.time_dependent import weigh_horizon
from spinescore.core.statistics.times import FollowUp, make_follow_up
from spinescore.domain import Result
from tests.unit.statistics.made_up_cohort import SETTINGS, make_cohort, make_study

CUTOFFS = {"pad_corrected": [-2.0, 5.0], "chronological_age": [70.0]}


def censored(n: int = 300, seed: int = 3) -> tuple[FollowUp, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    exits = np.vstack([rng.uniform(1, 8, n), rng.exponential(6 * np.exp(-x)), rng.exponential(12, n)])
    return make_follow_up(np.zeros(n), np.ceil(exits.min(axis=0) * 12) / 12, exits.argmin(axis=0)), x


def rows(**analysis: Any) -> tuple[list[Result], list[Result]]:
    study = make_study(analysis={**SETTINGS["analysis"], "horizons_years": [5.0], **analysis})
    setting = prepare_setting(make_cohort(), study, "beheshti", (), primary=True)
    cut, moved = [], []
    for endpoint in ("osteoporosis", "fracture"):
        cut.extend(cutoff_rows(setting, endpoint))
        moved.extend(judge_predictions(setting, endpoint, freeze_models(setting, endpoint)).results)
    return cut, [row for row in moved if row.analysis == "reclassification"]


def test_without_censoring_a_horizon_is_a_binary_outcome() -> None:
    rng = np.random.default_rng(1)
    exits, above = rng.exponential(3, 200), rng.random(200) < 0.4
    horizon = weigh_horizon(make_follow_up(np.zeros(200), exits, np.ones(200)), 2.0)
    case = exits <= 2
    plain, weighed = classify_cases(case, above, 0.95), classify_at_horizon(horizon, above, 0.95)
    for name in SHARES:
        assert weighed[name].value == pytest.approx(plain[name].value, rel=1e-12)
    before, after = rng.random(200), rng.random(200)
    first = reclassify_cases(case, before, after, 0.95)
    second = reclassify_at_horizon(horizon, before, after, 0.95)
    for name, found in first.items():
        assert second[name].value == pytest.approx(found.value, rel=1e-12)
        assert second[name].se == pytest.approx(found.se, rel=0.01)


def test_standard_errors_at_a_horizon_are_the_jackknifes() -> None:
    follow_up, x = censored()
    above, before, after = x > 0.5, 1 / (1 + np.exp(-x)), 1 / (1 + np.exp(-0.7 * x - 0.2))
    n = len(x)

    def measured(rows: np.ndarray) -> dict[str, Any]:
        horizon = weigh_horizon(follow_up.take(rows), 3.0)
        found = classify_at_horizon(horizon, above[rows], 0.95)
        return found | reclassify_at_horizon(horizon, before[rows], after[rows], 0.95)

    whole = measured(np.arange(n))
    left_out = [measured(np.delete(np.arange(n), i)) for i in range(n)]
    for name, estimate in whole.items():
        values = np.array([found[name].value for found in left_out])
        jackknife = np.sqrt((n - 1) ** 2 / n * values.var(ddof=1))
        assert estimate.se == pytest.approx(jackknife, rel=0.03), name


def test_cutoffs_have_rows_of_both_kinds_of_endpoint() -> None:
    found, _ = rows(cutoffs=CUTOFFS)
    assert {(r.predictor, r.term) for r in found} == {
        ("pad_corrected", "cutoff=-2"),
        ("pad_corrected", "cutoff=5"),
        ("chronological_age", "cutoff=70"),
    }
    assert {(r.endpoint, r.method, r.horizon_years) for r in found} == {
        ("osteoporosis", "wilson", None),
        ("fracture", "ipcw", 5.0),
    }
    assert len(found) == 2 * 3 * 4
    assert all(0 <= r.lower <= r.value <= r.upper <= 1 for r in found)


def test_every_word_is_in_the_docs() -> None:
    cut, moved = rows(cutoffs=CUTOFFS, reclassification=True)
    words = set(re.findall(r"[a-z0-9_]+", (Path(__file__).parents[3] / "docs" / "results.md").read_text()))
    for row in (*cut, *moved):
        assert {row.analysis, row.statistic, row.method, *row.flags} <= words, row


def test_nothing_is_said_unless_asked_for() -> None:
    assert rows() == ([], [])


def test_a_cutoff_nobody_reaches_has_no_predictive_value() -> None:
    found, _ = rows(cutoffs={"pad_corrected": [99.0]})
    assert {r.note for r in found if r.statistic == "ppv"} == {"nobody above the cut-off"}
    assert {r.value for r in found if r.statistic == "specificity"} == {1.0}
    assert classify_cases(np.zeros(4, dtype=bool), np.ones(4, dtype=bool), 0.95)["sensitivity"].problem == (
        "0 events"
    )


def test_reclassification_is_secondary_and_has_no_p() -> None:
    _, found = rows(reclassification=True)
    assert {(r.endpoint, r.statistic, r.method) for r in found} == {
        (endpoint, statistic, method)
        for endpoint, method in (("osteoporosis", "empirical"), ("fracture", "ipcw"))
        for statistic in ("idi", "continuous_nri")
    }
    assert all({"secondary", "apparent"} <= set(r.flags) and r.p_value is None for r in found)
    assert all(r.comparator == r.model and r.lower < r.value < r.upper for r in found)

"""IPCW AUC, Brier, IPA and Uno's C equal R's on heavily tied times (time_dependent.R made the numbers)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spinescore.core.statistics.concordance import (
    compare_concordance,
    estimate_concordance,
    measure_uno_concordance,
)
from spinescore.core.statistics.cox import fit_cox
from spinescore.core.statistics.time_dependent import (
    Measure,
    compare_measures,
    estimate_measure,
    measure_auc_at,
    measure_brier,
    measure_ipa,
    measure_null_brier,
    weigh_horizon,
)
from spinescore.core.statistics.times import FollowUp, make_follow_up
from tests.reference.test_survival_against_r import DATA, close

R = json.loads((Path(__file__).parent / "time_dependent.json").read_text())
AGE, PAD = DATA["age"].to_numpy(), DATA["pad"].to_numpy()
RISKS = {
    name: 1 / (1 + np.exp(-linear)) for name, linear in (("A", PAD / 4 + AGE / 20 - 4.5), ("B", AGE / 20 - 4))
}
CASES = [(case, horizon) for case in ("competing", "alone") for horizon in R["times"]]


def follow_up(case: str) -> FollowUp:
    status = DATA["status"].to_numpy()
    status = status if case == "competing" else (status == 1).astype(np.int64)
    return make_follow_up(np.zeros(DATA.height), DATA["exit"].to_numpy(), status)


def rows(case: str, table: str, horizon: float) -> Iterator[dict[str, Any]]:
    found = R[case][table]
    for values in zip(*found.values(), strict=True):
        row = dict(zip(found, values, strict=True))
        if row["times"] == horizon:
            yield row


@pytest.mark.parametrize(("case", "horizon"), CASES)
def test_auc_and_its_difference_equal_score(case: str, horizon: float) -> None:
    weighed = weigh_horizon(follow_up(case), horizon)
    areas = {name: measure_auc_at(weighed, risk) for name, risk in RISKS.items()}
    for row in rows(case, "auc", horizon):
        found = estimate_measure(areas[row["model"]], 0.95)
        close([found.value, found.se, found.lower, found.upper],
              [row["AUC"], row["se"], row["lower"], row["upper"]], 1e-9)  # fmt: skip
    (row,) = rows(case, "auc_contrasts", horizon)
    found = compare_measures(areas[row["model"]], areas[row["reference"]], 0.95, test=True)
    close([found.value, found.se, found.p_value], [row["delta.AUC"], row["se"], row["p"]], 1e-8)


@pytest.mark.parametrize(("case", "horizon"), CASES)
def test_brier_score_and_ipa_equal_score(case: str, horizon: float) -> None:
    times = follow_up(case)
    weighed = weigh_horizon(times, horizon)
    scores: dict[str, Measure] = {name: measure_brier(weighed, risk) for name, risk in RISKS.items()}
    scores["Null model"] = measure_null_brier(weighed, times, horizon)
    for row in rows(case, "brier", horizon):
        score = scores[row["model"]]
        close([score.value, score.se], [row["Brier"], row["se"]], 1e-9)
        close(measure_ipa(score, scores["Null model"]).value, row["IPA"], 1e-8)
    for row in rows(case, "brier_contrasts", horizon):
        found = compare_measures(scores[row["model"]], scores[row["reference"]], 0.95, test=True)
        close([found.value, found.se, found.p_value], [row["delta.Brier"], row["se"], row["p"]], 1e-7)


@pytest.mark.parametrize(("case", "until"), [("all", np.inf), ("until_5", 5.0)])
def test_uno_concordance_equals_survival(case: str, until: float) -> None:
    times = follow_up("alone")
    c = measure_uno_concordance(times, times.status == 1, DATA["spine_age"].to_numpy(), until)
    close([c.c, (c.influence**2).sum()], [R["uno"][case]["c"], R["uno"][case]["var"]], 1e-9)


def test_the_difference_of_two_uno_concordances_equals_survival() -> None:
    times = follow_up("alone")
    event = times.status == 1
    designs = (np.column_stack([PAD, AGE]), AGE[:, None])
    pair = [
        measure_uno_concordance(times, event, x @ fit_cox(times, event, x).coefficients, 5.0) for x in designs
    ]
    variance = np.array(R["uno"]["pair"]["var"])
    close([c.c for c in pair], R["uno"]["pair"]["c"], 1e-9)
    close([estimate_concordance(c, 0.95).se for c in pair], np.sqrt(np.diag(variance)), 1e-8)
    contrast = variance[0, 0] + variance[1, 1] - 2 * variance[0, 1]
    close(compare_concordance(pair[0], pair[1], 0.95).se, np.sqrt(contrast), 1e-7)


@pytest.mark.parametrize(
    ("status", "horizon", "reason"),
    [(0, 1.0, "0 events"), (2, 1.0, "0 events"), (1, 99.0, "beyond follow-up")],
)
def test_what_cannot_be_estimated_says_why(status: int, horizon: float, reason: str) -> None:
    exits = np.linspace(0.5, 3, 20)
    times = make_follow_up(np.zeros(20), exits, np.full(20, status))
    found = measure_auc_at(weigh_horizon(times, horizon), exits)
    assert estimate_measure(found, 0.95).problem == reason
    assert compare_measures(found, found, 0.95, test=True).problem == reason

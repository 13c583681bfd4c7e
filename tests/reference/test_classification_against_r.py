"""Shares at cut-offs, IDI and NRI equal R's (classification.R made the numbers)."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from spinescore.core.statistics.classification import (
    classify_at_horizon,
    classify_cases,
    reclassify_cases,
)
from spinescore.core.statistics.outcomes import BinaryOutcome
from spinescore.core.statistics.time_dependent import weigh_horizon
from tests.reference.reference_cohort import close
from tests.reference.test_absolute_risk_against_r import AGE, BMI, CASE, PAD, times

R = json.loads((Path(__file__).parent / "classification.json").read_text())
CUTS = list(enumerate(R["cuts"]))


@pytest.mark.parametrize(("i", "cut"), CUTS)
def test_shares_and_wilsons_intervals_equal_prop_test(i: int, cut: float) -> None:
    found = classify_cases(CASE, cut <= PAD, 0.95)
    for name, expected in R["wilson"][i].items():
        close([found[name].value, found[name].lower, found[name].upper], expected, 1e-9)


@pytest.mark.parametrize("kind", ["alone", "competing"])
@pytest.mark.parametrize(("i", "cut"), CUTS)
def test_sensitivity_and_specificity_at_a_horizon_are_on_scores_curve(kind: str, i: int, cut: float) -> None:
    weighed = weigh_horizon(times(competing=kind == "competing"), 2.5)
    found = classify_at_horizon(weighed, cut <= PAD, 0.95)
    for name, expected in R[kind][i].items():
        close(found[name].value, expected, 1e-9)


def test_idi_and_nri_equal_improve_prob() -> None:
    designs = np.column_stack([AGE, BMI]), np.column_stack([PAD, AGE, BMI])
    outcome = BinaryOutcome(CASE, np.array([0.1]))
    risks = [outcome.predict(outcome.fit(x).model, x).risk[:, 0] for x in designs]
    found = reclassify_cases(CASE, risks[0], risks[1], 0.95)
    expected = R["reclassification"]
    close([found["idi"].value, found["idi"].se], [expected["idi"], expected["idi_se"]], 1e-6)
    close([found["continuous_nri"].value, found["continuous_nri"].se],
          [expected["nri"], expected["nri_se"]], 1e-9)  # fmt: skip
    assert found["idi"].p_value is None

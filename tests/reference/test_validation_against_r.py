"""Optimism, resample for resample, and performance of fitted models equal R's (validation.R made the numbers)."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from spinescore.core.statistics.criteria import Criterion, Judgement, Yardstick
from spinescore.core.statistics.outcomes import BinaryOutcome, Outcome, SurvivalOutcome, judge_resamples
from spinescore.core.statistics.validation import estimate_optimism
from tests.reference.reference_cohort import close
from tests.reference.test_absolute_risk_against_r import AGE, BMI, CASE, DESIGN, PAD, times

R = json.loads((Path(__file__).parent / "validation.json").read_text())
THRESHOLDS = np.array(R["thresholds"])
YARDSTICK = Yardstick((R["horizon"],), R["tau"], THRESHOLDS)
DESIGNS = {"without": np.column_stack([AGE, DESIGN[:, 2], BMI]), "with": DESIGN}
KINDS = ("alone", "competing", "binary")


def outcome(kind: str) -> Outcome:
    if kind == "binary":
        return BinaryOutcome(CASE, THRESHOLDS)
    return SurvivalOutcome(times(competing=kind == "competing"), YARDSTICK)


def judged(kind: str) -> Judgement:
    found = outcome(kind)
    fits = [found.fit(design) for design in DESIGNS.values()]
    pairs = zip(fits, DESIGNS.values(), strict=True)
    return found.judge().estimate([found.predict(fit.model, design) for fit, design in pairs], 0.95)


@pytest.mark.parametrize("kind", KINDS)
def test_optimism_equals_r_on_the_same_resamples(kind: str) -> None:
    draws = [np.array(rows) for rows in R["draws"]]
    designs = list(DESIGNS.values())
    found = estimate_optimism(judge_resamples(outcome(kind), designs), draws)
    expected = [R["optimism"][kind][name]["optimism"] for name in DESIGNS]
    m = len(expected[0])
    assert found.used.tolist() == [4] * 3 * m
    np.testing.assert_allclose(found.mean[:m], expected[0], rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(found.mean[m : 2 * m], expected[1], rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(found.mean[2 * m :], np.subtract(*expected[::-1]), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_apparent_measures_equal_r(kind: str) -> None:
    criteria = outcome(kind).judge().criteria
    for name, found in zip(DESIGNS, judged(kind).alone, strict=True):
        values = [found[criterion].value for criterion in criteria]
        np.testing.assert_allclose(values, R["optimism"][kind][name]["apparent"], rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_fitted_models_standard_errors_equal_score(kind: str) -> None:
    found, expected = judged(kind), R["whole"][kind]
    method, horizon = ("ipcw", R["horizon"]) if kind != "binary" else ("mean_square", None)
    area = (
        Criterion("auc", "auc", "delong")
        if kind == "binary"
        else Criterion("time_dependent_auc", "auc", method, horizon)
    )
    brier, ipa = (Criterion(name, name, method, horizon) for name in ("brier", "ipa"))
    for k in range(2):
        auc = found.alone[k][area]
        close([auc.value, auc.se], [expected["auc"][c][k] for c in ("AUC", "se")], 1e-7)
        row = found.alone[k][brier]
        close([row.value, row.se], [expected["brier"][c][k + 1] for c in ("Brier", "se")], 1e-7)
        close(found.alone[k][ipa].value, expected["brier"]["IPA"][k + 1], 1e-6)
    for criterion, table in ((area, "auc"), (brier, "brier")):
        gain, contrasts = found.difference[criterion.difference], expected[f"{table}_contrasts"]
        last = [
            v[-1] if isinstance(v, list) else v
            for v in (contrasts[f"delta.{'AUC' if table == 'auc' else 'Brier'}"], contrasts["se"])
        ]
        close([gain.value, gain.se], last, 1e-6)
        assert gain.p_value is None


def test_pad_moves_the_risk() -> None:
    """The two models are not one: what is compared with R differs between them."""
    assert np.std(PAD) > 1
    c = [found[Criterion("concordance", "c", "harrell")].value for found in judged("alone").alone]
    assert c[1] > c[0] + 0.03

"""Bias corrections against the facts that any implementation must reproduce."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spinescore.core.correction import Reference, apply_correction, fit_correction
from spinescore.domain import Correction, CorrectionMethod
from spinescore.errors import CorrectionError

RNG = np.random.default_rng(5)
AGES = RNG.uniform(40, 90, 800)
SPINE_AGES = 20 + 0.7 * AGES + RNG.normal(0, 4, 800)


def fit(
    method: CorrectionMethod, ages: Any = AGES, spine_ages: Any = SPINE_AGES, **changes: Any
) -> Correction:
    reference: dict[str, Any] = {
        "cohort": "reference",
        "sha256": "0",
        "kind": "vfa",
        "ages": ages,
        "spine_ages": spine_ages,
    }
    scope: dict[str, Any] = {"kind": "vfa", "model_id": "m", "preprocessing_id": "p"}
    own = {name: value for name, value in changes.items() if name not in scope}
    scope |= {name: value for name, value in changes.items() if name in scope}
    return fit_correction(method, Reference(**(reference | own)), **scope)


def test_beheshti_leaves_no_slope_and_no_mean_on_its_own_reference() -> None:
    pad = apply_correction(fit("beheshti"), AGES, SPINE_AGES) - AGES
    slope, intercept = np.polyfit(AGES, pad, 1)
    assert slope == pytest.approx(0, abs=1e-12)
    assert intercept == pytest.approx(0, abs=1e-9)


def test_coles_pad_is_beheshtis_over_coles_slope() -> None:
    cole, beheshti = fit("cole"), fit("beheshti")
    assert cole.slope is not None
    others = RNG.uniform(50, 80, 100)
    raw = others + RNG.normal(0, 6, 100)
    pads = [apply_correction(c, others, raw) - others for c in (cole, beheshti)]
    assert pads[0] == pytest.approx(pads[1] / cole.slope, rel=1e-10)


def test_cole_needs_no_chronological_age() -> None:
    assert np.array_equal(
        apply_correction(fit("cole"), AGES, SPINE_AGES), apply_correction(fit("cole"), AGES + 30, SPINE_AGES)
    )


def test_cole_is_refused_where_the_model_hardly_reads_age() -> None:
    with pytest.raises(CorrectionError, match=r"slope of spine age on age, which is 0\.0"):
        fit("cole", AGES, 60 + RNG.normal(0, 3, 800) + 0.02 * AGES)


def test_an_age_level_takes_its_own_mean_away_and_borrows_where_it_is_thin() -> None:
    correction = fit("age-level")
    years = np.floor(AGES)
    pad = apply_correction(correction, AGES, SPINE_AGES) - AGES
    crowded = next(k for k, _, _, n in correction.levels if n == (years == k).sum())
    assert pad[years == crowded].mean() == pytest.approx(0, abs=1e-9)
    assert min(n for *_, n in correction.levels) >= 20
    thin = fit("age-level", np.append(AGES, 99.0), np.append(SPINE_AGES, 99.0))
    assert thin.levels[-1][0] == 99
    assert thin.levels[-1][3] >= 20


def test_a_useless_model_looks_excellent_after_correction() -> None:
    """Why corrected accuracy is never shown without the raw one (Butler 2021; de Lange 2022)."""
    useless = 65 + 0.03 * AGES + RNG.normal(0, 1, 800)
    corrected = apply_correction(fit("beheshti", AGES, useless), AGES, useless)
    assert np.corrcoef(useless, AGES)[0, 1] < 0.5
    assert np.corrcoef(corrected, AGES)[0, 1] > 0.99


def test_a_correction_of_another_kind_of_image_does_not_unbias() -> None:
    raw = AGES - 12
    assert abs((apply_correction(fit("beheshti"), AGES, raw) - AGES).mean()) > 5


def test_the_identity_is_the_content() -> None:
    one, same = fit("beheshti"), fit("beheshti")
    assert one == same
    assert (
        len({fit("beheshti", **c).correction_id for c in ({}, {"kind": "radiograph"}, {"model_id": "n"})})
        == 3
    )
    assert replace(one, slope=0.0) != one


@pytest.mark.parametrize(("ages", "complaint"), [(AGES[:19], "at least 20"), (np.full(50, 60.0), "one age")])
def test_too_little_to_fit_on_is_refused(ages: Any, complaint: str) -> None:
    with pytest.raises(CorrectionError, match=complaint):
        fit("beheshti", ages, SPINE_AGES[: ages.size])


@given(st.floats(-0.9, 2.0), st.floats(-40, 40))
def test_a_linear_bias_is_removed_exactly(slope: float, intercept: float) -> None:
    raw = AGES * (1 + slope) + intercept
    corrected = apply_correction(fit("beheshti", AGES, raw), AGES, raw)
    assert corrected == pytest.approx(AGES, abs=1e-8)

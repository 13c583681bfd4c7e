"""Bias corrections against the facts that any implementation must reproduce."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spinescore.core.correction import Reference, apply_correction, fit_correction, is_outside
from spinescore.core.statistics.cox import fit_cox
from spinescore.core.statistics.times import make_follow_up
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


def test_a_useless_model_comes_out_with_the_numbers_of_the_method() -> None:
    """METHOD: r 0.33 and MAE 12.0 before, r 0.99 and MAE 1.6 after (de Lange 2022; Butler 2021)."""
    rng = np.random.default_rng(1)
    age = rng.uniform(40, 90, 50_000)
    useless = 65 + 0.0485 * (age - 65) + rng.normal(0, 2.0, age.size)
    corrected = apply_correction(fit("beheshti", age, useless), age, useless)
    found = [(np.corrcoef(y, age)[0, 1], np.abs(y - age).mean()) for y in (useless, corrected)]
    assert found[0] == (pytest.approx(0.33, abs=0.01), pytest.approx(12.0, abs=0.1))
    assert found[1] == (pytest.approx(0.99, abs=0.005), pytest.approx(1.6, abs=0.02))


def followed(n: int = 1500) -> tuple[Any, Any, Any, Any]:
    """Return ages, spine ages, follow-up and its events: a gap beyond age is harmful, 0.08 per year."""
    rng = np.random.default_rng(12)
    age, gap = rng.uniform(45, 90, n), rng.normal(0, 4, n)
    time = rng.exponential(1 / (0.02 * np.exp(0.06 * (age - 65) + 0.08 * gap)))
    follow_up = make_follow_up(np.zeros(n), np.minimum(time, 8), (time < 8).astype(int))
    return age, 26 + 0.6 * age + gap, follow_up, follow_up.status == 1


def log_ratio(values: Any, age: Any, follow_up: Any, event: Any) -> float:
    return float(fit_cox(follow_up, event, np.column_stack([values, age])).coefficients[0])


def test_hazard_ratios_with_age_in_the_model_are_those_of_the_method() -> None:
    """METHOD: per year equal for y, PAD and Beheshti's, a' times that for Cole's; per SD Beheshti's is Cole's."""
    age, y, follow_up, event = followed()
    cole = fit("cole", age[:400], y[:400])
    assert cole.slope is not None
    assert abs(cole.slope - 0.6) < 0.1
    pads = {
        "y": y,
        "raw": y - age,
        "beheshti": apply_correction(fit("beheshti", age[:400], y[:400]), age, y) - age,
        "cole": apply_correction(cole, age, y) - age,
    }
    beta = {name: log_ratio(values, age, follow_up, event) for name, values in pads.items()}
    assert beta["raw"] == pytest.approx(beta["y"], rel=1e-8)
    assert beta["beheshti"] == pytest.approx(beta["y"], rel=1e-8)
    assert beta["cole"] == pytest.approx(cole.slope * beta["y"], rel=1e-8)
    per_sd = {name: beta[name] * values.std(ddof=1) for name, values in pads.items()}
    assert per_sd["cole"] == pytest.approx(per_sd["beheshti"], rel=1e-8)
    assert per_sd["raw"] / per_sd["y"] == pytest.approx(pads["raw"].std() / pads["y"].std(), rel=1e-8)
    assert beta["y"] > 0.05


def test_a_raw_gap_without_age_points_the_wrong_way_and_a_corrected_one_does_not() -> None:
    """METHOD: neither corrected nor adjusted for age, a harmful gap can look protective."""
    age, y, follow_up, event = followed()
    corrected = apply_correction(fit("beheshti", age, y), age, y) - age
    raw, mended = (fit_cox(follow_up, event, pad[:, None]).coefficients[0] for pad in (y - age, corrected))
    assert raw < -0.02
    assert mended > 0.02


def test_zhangs_z_is_no_linear_map_of_beheshtis_gap() -> None:
    """METHOD: z takes each level's own mean and SD; where the spread depends on age no line gives it."""
    rng = np.random.default_rng(3)
    age = rng.uniform(45, 90, 6000)
    y = 20 + 0.7 * age + rng.normal(0, 1, age.size) * (2 + 0.1 * (age - 45))
    correction = fit("age-level", age, y)
    years = np.clip(np.floor(age).astype(int) - correction.levels[0].age, 0, len(correction.levels) - 1)
    means, spreads = (
        np.array([getattr(lv, name) for lv in correction.levels])[years] for name in ("mean", "sd")
    )
    z = (y - age - means) / spreads
    assert (apply_correction(correction, age, y) - age) / spreads == pytest.approx(z, abs=1e-12)
    crowded = max(correction.levels, key=lambda level: level.n).age - correction.levels[0].age
    assert z[years == crowded].mean() == pytest.approx(0, abs=1e-9)
    assert z[years == crowded].std(ddof=1) == pytest.approx(1, abs=1e-9)
    pad = apply_correction(fit("beheshti", age, y), age, y) - age
    line = np.polyval(np.polyfit(pad, z, 1), pad)
    assert np.abs(z - line).max() > 0.5
    assert np.corrcoef(pad, z)[0, 1] < 0.98


def test_ages_beyond_the_fit_are_told_apart_fold_by_fold() -> None:
    ages = np.array([10.0, 60.0, 100.0])
    assert is_outside(fit("beheshti"), ages).tolist() == [True, False, True]
    old = AGES > 80
    folds = np.where(old, 0, 1 + np.arange(AGES.size) % 2)
    crossed = fit("beheshti", cross_fit=3, folds=folds, fold_seed=1)
    assert is_outside(crossed, np.full(2, 85.0), np.array([0, 1])).tolist() == [True, False]
    assert crossed.folds[0].age_range[1] < 80
    assert is_outside(crossed, np.full(2, 85.0)).tolist() == [False, False]


def test_a_fold_too_small_to_leave_the_rest_is_refused() -> None:
    folds = np.repeat([0, 1], [10, 15])
    with pytest.raises(CorrectionError, match=r"Only 15 reference subjects.*`reference without fold 0`"):
        fit("beheshti", AGES[:25], SPINE_AGES[:25], cross_fit=2, folds=folds, fold_seed=1)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_numbers_that_are_none_are_refused(bad: float) -> None:
    spoiled = np.append(SPINE_AGES[:50], bad)
    with pytest.raises(CorrectionError, match=r"1 reference subject\(s\) of `reference` have an age"):
        fit("beheshti", AGES[:51], spoiled)

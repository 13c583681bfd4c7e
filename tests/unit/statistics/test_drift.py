"""PSI, shift and agreement against hand-computed numbers, closed forms, and what chance alone gives."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2

from spinescore.core.statistics.drift import (
    fit_age_line,
    mean_shift,
    measure_agreement,
    population_stability_index,
)


def test_psi_by_hand_in_two_bins() -> None:
    """Median 1.5 of 0, 1, 2, 3 cuts; shares (2.5, 2.5)/5 and (0.5, 4.5)/5: (0.1 - 0.5) ln 0.2 + (0.9 - 0.5) ln 1.8."""
    found = population_stability_index(np.arange(4.0), np.array([2.0, 5.0, 9.0, 1.6]), bins=2)
    assert found is not None
    assert found.value == pytest.approx(-0.4 * math.log(0.2) + 0.4 * math.log(1.8))
    assert found.value == pytest.approx(0.87889, abs=1e-5)
    assert found.by_chance == pytest.approx(3.841459 * (1 / 4 + 1 / 4), abs=1e-5)


def test_psi_by_hand_in_ten_bins() -> None:
    """100 references, 10 per bin; of 100 images one bin loses its ten to another: 0.5 and 20.5 for 10.5 in 105."""
    reference = np.arange(100.0)
    current = np.concatenate([np.arange(10.0, 100.0), np.arange(90.0, 100.0)])
    found = population_stability_index(reference, current)
    p, gone, double = 10.5 / 105, 0.5 / 105, 20.5 / 105
    by_hand = (gone - p) * math.log(gone / p) + (double - p) * math.log(double / p)
    assert found is not None
    assert found.value == pytest.approx(by_hand)


@given(st.integers(0, 2**32 - 1), st.integers(1, 60), st.integers(20, 60))
def test_psi_is_never_negative_and_zero_of_a_sample_with_itself(seed: int, n: int, m: int) -> None:
    rng = np.random.default_rng(seed)
    reference, current = rng.normal(size=m), rng.normal(1, 2, size=n)
    found = population_stability_index(reference, current)
    same = population_stability_index(reference, reference)
    assert found is not None
    assert same is not None
    assert found.value >= 0
    assert same.value == 0


def test_psi_of_a_shift_nears_its_closed_form() -> None:
    """For normals a distance d apart, the index over ever finer bins is Jeffreys' divergence d^2; ten bins give less."""
    rng = np.random.default_rng(1)
    reference, current = rng.normal(size=400_000), rng.normal(0.5, 1, size=400_000)
    fine = population_stability_index(reference, current, bins=500)
    coarse = population_stability_index(reference, current)
    assert fine is not None
    assert coarse is not None
    assert fine.value == pytest.approx(0.25, abs=0.01)
    assert 0.2 < coarse.value < fine.value


def test_without_drift_five_in_a_hundred_pairs_exceed_what_chance_gives() -> None:
    rng = np.random.default_rng(2)
    n, m, runs = 200, 150, 2_000
    exceeded = 0
    for _ in range(runs):
        found = population_stability_index(rng.normal(size=m), rng.normal(size=n))
        assert found is not None
        exceeded += found.value > found.by_chance
    assert found.by_chance == pytest.approx(chi2.ppf(0.95, 9) * (1 / n + 1 / m))
    assert 0.02 < exceeded / runs < 0.07


def test_what_has_no_index_is_said() -> None:
    nothing, some = np.empty(0), np.arange(5.0)
    assert population_stability_index(nothing, some) is None
    assert population_stability_index(some, nothing) is None
    assert population_stability_index(np.ones(5), some) is None
    assert fit_age_line(some, np.ones(5)) is None
    assert measure_agreement(some[:1], some[:1]) is None
    assert mean_shift(some[:1], some).problem == "fewer than 2 images"


def test_residuals_are_what_is_left_of_the_reference_s_line() -> None:
    age = np.array([50.0, 60.0, 70.0, 80.0])
    line = fit_age_line(20 - 0.3 * age, age)
    assert line is not None
    assert (line.intercept, line.slope) == pytest.approx((20, -0.3))
    assert line.residuals(np.array([7.0]), np.array([50.0])) == pytest.approx([2.0])


def test_shift_by_hand() -> None:
    """Means 2 and 5, variances 1 and 4, n 3 and 3: se = sqrt(1/3 + 4/3)."""
    found = mean_shift(np.array([1.0, 2.0, 3.0]), np.array([3.0, 5.0, 7.0]))
    assert (found.value, found.se) == pytest.approx((3.0, math.sqrt(5 / 3)))
    assert found.lower == pytest.approx(3 - 1.959964 * math.sqrt(5 / 3), abs=1e-5)


def test_limits_of_agreement_by_hand() -> None:
    """Differences 1, 3 and 2: mean 2, SD 1, limits 2 +- 1.96."""
    found = measure_agreement(np.array([60.0, 70.0, 80.0]), np.array([61.0, 73.0, 82.0]))
    assert found is not None
    assert (found.n, found.mean, found.sd) == (3, pytest.approx(2.0), pytest.approx(1.0))
    assert (found.lower, found.upper) == pytest.approx((2 - 1.959964, 2 + 1.959964), abs=1e-5)

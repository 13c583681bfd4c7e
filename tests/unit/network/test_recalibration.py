"""Temperature and interval coverage against distributions whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest

from spinescore.core.network.age_distribution import expectation, softmax
from spinescore.core.network.recalibration import (
    age_quantile,
    cumulative_share,
    fit_temperature,
    interval_coverage,
    temper,
)
from spinescore.errors import RecalibrationError

FIRST_AGE, N_CLASSES, N = 20, 101, 4000
AGES_OF_CLASSES = np.arange(FIRST_AGE, FIRST_AGE + N_CLASSES)


def _people(claimed_sd: float, seed: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Logits of a normal distribution of SD ``claimed_sd`` about estimates that err with SD 5."""
    rng = np.random.default_rng(seed)
    ages = rng.uniform(45, 90, N)
    centres = ages + rng.normal(0, 5.0, N)
    return -np.square(AGES_OF_CLASSES - centres[:, None]) / (2 * claimed_sd**2), ages


def test_tempering_a_distribution_is_dividing_its_logits() -> None:
    logits, _ = _people(4.0)
    assert temper(softmax(logits), 2.5) == pytest.approx(softmax(logits / 2.5), abs=1e-6)
    assert np.array_equal(temper(softmax(logits), 1.0), softmax(logits))


@pytest.mark.parametrize("claimed_sd", [2.5, 5.0, 10.0])
def test_the_temperature_finds_the_width_of_the_errors(claimed_sd: float) -> None:
    # logits / T of a normal with SD s are those of SD s sqrt(T): the truth is T = (5 / s)^2
    logits, ages = _people(claimed_sd)
    fitted = fit_temperature(softmax(logits), ages, FIRST_AGE)
    standard_error = (5 / claimed_sd) ** 2 * np.sqrt(2 / N)
    assert fitted.temperature == pytest.approx((5 / claimed_sd) ** 2, abs=4 * standard_error)
    assert fitted.nll_after <= fitted.nll_before
    assert fitted.n == N


def test_intervals_cover_what_they_say_after_recalibration_and_not_before() -> None:
    logits, ages = _people(2.5)
    narrow = softmax(logits)
    half = N // 2
    fitted = fit_temperature(narrow[:half], ages[:half], FIRST_AGE)
    before = {c.level: c for c in interval_coverage(narrow[half:], ages[half:], FIRST_AGE)}
    after = interval_coverage(temper(narrow[half:], fitted.temperature), ages[half:], FIRST_AGE)
    # a normal of SD 2.5 about errors of SD 5: P(|z| < 1.645 / 2) = 0.589
    assert before[0.9].coverage.value == pytest.approx(0.589, abs=4 * np.sqrt(0.589 * 0.411 / half))
    for found in after:
        error = np.sqrt(found.level * (1 - found.level) / half)
        assert found.coverage.value == pytest.approx(found.level, abs=4 * error)
        assert found.n_covered == round(found.coverage.value * half)
    assert before[0.9].mean_width_years == pytest.approx(2 * 1.645 * 2.5, rel=0.02)


def test_the_spread_out_distribution_keeps_the_mean() -> None:
    p = softmax(np.random.default_rng(1).normal(0, 2, (20, 15)))
    shares = (np.arange(2000) + 0.5) / 2000
    quantiles = np.stack([age_quantile(p, 40, share) for share in shares])
    assert quantiles.mean(axis=0) == pytest.approx(expectation(p, 40), abs=0.01)


def test_quantile_and_share_undo_each_other() -> None:
    p = softmax(np.random.default_rng(2).normal(0, 2, (30, 61)))
    for share in (0.03, 0.5, 0.95):
        assert cumulative_share(p, age_quantile(p, 40, share), 40) == pytest.approx(share, abs=1e-9)


def test_ages_beyond_the_classes_lie_below_or_above_everything() -> None:
    p = np.full((2, 10), 0.1)
    assert cumulative_share(p, np.array([20.0, 99.0]), 40).tolist() == pytest.approx([0.0, 1.0])


def test_what_cannot_be_fitted_is_refused() -> None:
    logits, ages = _people(4.0)
    with pytest.raises(RecalibrationError, match="50 images or more; there are 12"):
        fit_temperature(softmax(logits[:12]), ages[:12], FIRST_AGE)
    unrelated = softmax(np.random.default_rng(3).normal(0, 30, (N, N_CLASSES)))
    with pytest.raises(RecalibrationError, match="fits these images best"):
        fit_temperature(unrelated, ages, FIRST_AGE)

"""Repeated images equal R: closed forms to 1e-9, REML to 1e-6 (repeated_images.R made the numbers)."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from spinescore.core.statistics.change_per_year import (
    average_change,
    describe_change,
    fit_slopes,
    share_beyond_error,
    spread_from_error,
    spread_of_change,
)
from spinescore.core.statistics.random_slopes import RandomSlopes, fit_random_slopes
from spinescore.core.statistics.repeated_images import (
    average_days,
    compare_in_order,
    detect_change,
    estimate_icc,
    estimate_within_subject_sd,
    pair_up,
)

HERE = Path(__file__).parent
R = json.loads((HERE / "repeated_images.json").read_text())
DATA = pl.read_csv(HERE / "repeats.csv", null_values="NA").sort("id", "day", "image")
SUBJECT, DAY = DATA["id"].to_numpy(), DATA["day"].to_numpy()
PAD = DATA["pad"].cast(pl.Float64).fill_null(np.nan).to_numpy()
DAYS = average_days(SUBJECT, DAY, PAD)
SLOPES = fit_slopes(DAYS, 0.5).slopes
WITHIN = estimate_within_subject_sd(DAYS, 0.95)


def close(ours: Any, theirs: Any, rtol: float = 1e-9) -> None:
    np.testing.assert_allclose(np.array(ours, dtype=float), np.array(theirs, float), rtol=rtol, atol=1e-13)


def test_the_data_hold_what_is_hard() -> None:
    sizes = DATA.drop_nulls().group_by("id", "day").len()["len"]
    assert set(sizes) == {1, 2, 3, 4}
    assert DATA["pad"].null_count() > 10
    assert DATA.filter(pl.col("id") == 3)["pad"].n_unique() == 1
    assert fit_slopes(DAYS, 0.5).n_span_too_short > 0
    assert DATA["pad"].n_unique() < DATA.height / 2


def test_within_subject_sd_equals_the_residuals_of_lm() -> None:
    close([WITHIN.value, WITHIN.df], [R["within"]["sd"], R["within"]["df"]])
    close([WITHIN.lower, WITHIN.upper], R["within"]["interval"])
    close(detect_change(WITHIN, 0.95).value, R["within"]["detectable"])


def test_icc_equals_anova_and_its_interval_solves_the_weighted_f() -> None:
    icc = estimate_icc(DAYS, 0.95)
    close([icc.value, icc.lower, icc.upper], [R["icc"][name] for name in ("value", "lower", "upper")])


def test_balanced_icc_equals_psych() -> None:
    first, second = pair_up(SUBJECT, DAY, PAD)
    k = len(first)
    pairs = average_days(
        np.repeat(np.arange(k), 2), np.zeros(2 * k, int), np.ravel(np.c_[PAD[first], PAD[second]])
    )
    icc = estimate_icc(pairs, 0.95)
    close([icc.value, icc.lower, icc.upper], [R["balanced"][name] for name in ("icc", "lower", "upper")])


def test_drift_equals_the_paired_t_test() -> None:
    first, second = pair_up(SUBJECT, DAY, PAD)
    drift = compare_in_order(PAD[first], PAD[second], 0.95)
    close([drift.value, drift.p_value], [R["drift"]["mean"], R["drift"]["p"]])
    close([drift.lower, drift.upper], R["drift"]["interval"])


def test_slopes_and_their_errors_equal_lm_subject_by_subject() -> None:
    assert len(SLOPES.change) == R["change"]["n"]
    close(SLOPES.change, R["change"]["slope"])
    close(SLOPES.error, R["change"]["error"])
    close(np.median(SLOPES.span_years), R["change"]["median_span"])


def test_summaries_of_change_equal_r() -> None:
    mean, spread = average_change(SLOPES, 0.95), spread_of_change(SLOPES, 0.95)
    close([mean.value, mean.lower, mean.upper], [R["change"]["mean"], *R["change"]["interval"]])
    close(mean.p_value, R["change"]["p"])
    close([spread.value, spread.lower, spread.upper], [R["change"]["sd"], *R["change"]["sd_interval"]])
    close([e.value for e in describe_change(SLOPES).values()], R["change"]["quantiles"])
    close(spread_from_error(SLOPES, WITHIN).value, R["change"]["sd_error"])
    share, _ = share_beyond_error(SLOPES, WITHIN, 0.95)
    close([share.value, share.lower, share.upper], [R["change"]["share"], *R["change"]["share_interval"]])


@pytest.mark.parametrize(
    ("package", "rtol"),
    [("lme4", 1e-6), ("nlme", 1e-5)],  # nlme stops short of the maximum: its log-likelihood is the lower one
)
def test_random_slopes_equal_r(package: str, rtol: float) -> None:
    fit = fit_random_slopes(SLOPES, 0.95)
    assert isinstance(fit, RandomSlopes)
    reference = R[package]
    close([fit.change.value, fit.change.se], [reference["change"], reference["se"]], rtol)
    close([fit.sd_change.value, fit.sd_residual], [reference["sd_change"], reference["sd_residual"]], rtol)
    close(fit.log_likelihood, reference["loglik"], 1e-9)
    assert fit.log_likelihood >= reference["loglik"] - 1e-9


def test_a_singular_fit_equals_lme4() -> None:
    """Without spread of the lines the covariance of level and change lies on its bound."""
    fit = fit_random_slopes(replace(SLOPES, change=np.zeros_like(SLOPES.change)), 0.95)
    assert isinstance(fit, RandomSlopes)
    close([fit.change.value, fit.change.se], [R["singular"]["change"], R["singular"]["se"]], 1e-6)
    close(fit.sd_residual, R["singular"]["sd_residual"], 1e-6)
    assert fit.log_likelihood == pytest.approx(R["singular"]["loglik"], abs=1e-6)

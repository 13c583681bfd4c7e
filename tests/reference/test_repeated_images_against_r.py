"""The data of the repeated images hold what is hard, and nlme agrees too (the shipped cases have the rest)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from spinescore.core.statistics.change_per_year import (
    fit_slopes,
)
from spinescore.core.statistics.random_slopes import RandomSlopes, fit_random_slopes
from spinescore.core.statistics.repeated_images import (
    average_days,
)

HERE = Path(__file__).parent
R = json.loads((HERE / "repeated_images.json").read_text())
DATA = pl.read_csv(HERE / "repeats.csv", null_values="NA").sort("id", "day", "image")
SUBJECT, DAY = DATA["id"].to_numpy(), DATA["day"].to_numpy()
PAD = DATA["pad"].cast(pl.Float64).fill_null(np.nan).to_numpy()
DAYS = average_days(SUBJECT, DAY, PAD)
SLOPES = fit_slopes(DAYS, 0.5).slopes


def close(ours: Any, theirs: Any, rtol: float = 1e-9) -> None:
    np.testing.assert_allclose(np.array(ours, dtype=float), np.array(theirs, float), rtol=rtol, atol=1e-13)


def test_the_data_hold_what_is_hard() -> None:
    sizes = DATA.drop_nulls().group_by("id", "day").len()["len"]
    assert set(sizes) == {1, 2, 3, 4}
    assert DATA["pad"].null_count() > 10
    assert DATA.filter(pl.col("id") == 3)["pad"].n_unique() == 1
    assert fit_slopes(DAYS, 0.5).n_span_too_short > 0
    assert DATA["pad"].n_unique() < DATA.height / 2


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

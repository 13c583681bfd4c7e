"""Shifts between devices: equal to R's lm with sandwich's HC3; truth is found; what can't be told is said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from spinescore.core.statistics.device_shift import measure_device_shift

HERE = Path(__file__).parent
R = json.loads((HERE / "device_shift.json").read_text())


def close(ours: Any, theirs: Any) -> None:
    np.testing.assert_allclose(np.array(ours, dtype=float), np.array(theirs, float), rtol=1e-9)


def test_shifts_and_their_test_are_those_of_r() -> None:
    rows = pl.read_csv(HERE / "cohort.csv", null_values="NA").drop_nulls(["pad", "region"])
    names = sorted(rows["region"].unique())
    levels = np.array([names.index(region) for region in rows["region"]])
    male = (rows["sex"] == "M").to_numpy().astype(float)
    found = measure_device_shift(rows["pad"].to_numpy(), rows["age"].to_numpy(), male, levels, 0.95)
    assert found is not None
    assert (names[found.reference], found.n, found.residual_df) == (R["reference"], R["n"], R["df"])
    shifts = [found.shifts[names.index(name)] for name in R["levels"]]
    for ours, theirs in {
        "value": "value",
        "se": "se",
        "lower": "lower",
        "upper": "upper",
        "p_value": "p",
    }.items():
        close([getattr(shift, ours) for shift in shifts], R[theirs])
    close([found.differ.value, found.differ.df, found.differ.p_value], [R["f"], R["f_df"], R["f_p"]])


def make_devices(n: int, shift: float, seed: int) -> tuple[np.ndarray, ...]:
    """Return PAD, age, sex and device, the second device older by ``shift`` and used on older people."""
    rng = np.random.default_rng(seed)
    device = (rng.random(n) < 0.3).astype(np.int64)
    age = rng.normal(65 + 8 * device, 7)
    male = (rng.random(n) < 0.4).astype(float)
    pad = 12 - 0.2 * age + 1.0 * male + shift * device + rng.normal(0, 3 + 3 * device)
    return pad, age, male, device


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    """Spreads differ by device and ages by device: of 400 95% intervals 365 to 392 (99.8% of binomial draws)."""
    held = 0
    for seed in range(400):
        found = measure_device_shift(*make_devices(200, 1.5, seed), 0.95)
        assert found is not None
        lower, upper = found.shifts[1].lower, found.shifts[1].upper
        assert lower is not None
        assert upper is not None
        held += lower <= 1.5 <= upper
    assert 365 <= held <= 392


@pytest.mark.parametrize(
    ("devices", "ages", "problem"),
    [
        ([0] * 50 + [1] * 9, None, "9 subjects"),
        ([0] * 30 + [1] * 30, [70.0] * 60, None),
        ([0] * 30 + [1] * 30, [60.0] * 30 + [80.0] * 30, "devices cannot be told from age and sex"),
    ],
)
def test_what_cannot_be_told_is_said(
    devices: list[int], ages: list[float] | None, problem: str | None
) -> None:
    rng = np.random.default_rng(3)
    n = len(devices)
    age = rng.normal(70, 5, n) if ages is None else np.array(ages)
    found = measure_device_shift(rng.normal(0, 3, n), age, np.zeros(n), np.array(devices), 0.95)
    assert found is not None
    assert found.shifts[1].problem == problem


def test_one_device_has_no_shift() -> None:
    assert measure_device_shift(*make_devices(40, 0, 1)[:3], np.zeros(40, dtype=np.int64), 0.95) is None

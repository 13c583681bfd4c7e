"""Reduced precision is taken only where it leaves the ages where fp32 puts them, and that is said."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from spinescore.core.imaging.preprocessing import PreprocessingSpec
from spinescore.errors import DeviceError
from spinescore.shell.inference.precision import draw_probes, measure_once, settle_precision, years_moved

MOVED = {"fp16": 0.2, "bf16": 0.01}


def settle(
    asked: str, offered: tuple[str, ...] = ("fp16", "bf16"), limit: float = 0.05
) -> tuple[str, list[str]]:
    said: list[str] = []
    taken = settle_precision(asked, offered, MOVED.__getitem__, limit_years=limit, announce=said.append)
    return taken, said


def test_fp32_is_the_default_and_measures_nothing() -> None:
    assert settle("fp32") == ("fp32", [])


def test_auto_takes_the_first_that_stays_within_the_limit() -> None:
    taken, said = settle("auto")
    assert taken == "bf16"
    assert said == [
        "fp16 moves the ages of 8 phantoms by up to 0.200 years (limit 0.05): "
        "fp32, unless --precision-limit allows more",
        "bf16 moves the ages of 8 phantoms by up to 0.010 years (limit 0.05): bf16",
    ]
    assert settle("auto", limit=0.001)[0] == "fp32"
    assert settle("auto", offered=()) == (
        "fp32",
        ["this device does not calculate in a reduced precision: fp32"],
    )


def test_one_that_is_named_is_refused_where_it_moves_ages_and_taken_where_that_is_allowed() -> None:
    assert settle("fp16")[0] == "fp32"
    assert settle("fp16", limit=0.3)[0] == "fp16"


def test_one_that_the_device_has_not_is_not_taken_for_another() -> None:
    assert settle("fp16", offered=("bf16",)) == ("fp32", ["this device does not calculate in fp16: fp32"])


def test_an_unknown_one_is_an_error() -> None:
    with pytest.raises(DeviceError, match=r"Choose auto, fp32, fp16, bf16\."):
        settle("fp8")


def test_ages_that_are_no_numbers_are_refused() -> None:
    exact = np.full((2, 3), 1 / 3, np.float32)
    assert years_moved(exact, np.array([[np.nan] * 3, [1 / 3] * 3], np.float32), 40) == np.inf


def test_a_measurement_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPINESCORE_HOME", str(tmp_path))
    answers = iter([0.25, 0.5, np.inf, 0.75])
    measure: Callable[[], float] = lambda: next(answers)  # noqa: E731
    assert [measure_once("a", measure) for _ in range(2)] == [0.25, 0.25]
    assert measure_once("b", measure) == 0.5
    assert measure_once("c", measure) == np.inf
    assert measure_once("c", measure) == 0.75


def test_the_probes_are_phantoms_of_both_kinds_and_always_the_same() -> None:
    spec = PreprocessingSpec(height=32, width=16)
    probes = draw_probes(spec)
    assert probes.shape == (8, 1, 32, 16)
    assert len({probe.tobytes() for probe in probes}) == 8
    assert probes.min() >= 0
    assert probes.max() <= 1

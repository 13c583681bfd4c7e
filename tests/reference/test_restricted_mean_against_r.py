"""Restricted mean and lost time equal survival's (restricted_mean.R made the numbers)."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from spinescore.core.statistics.restricted_mean import (
    estimate_restricted_mean,
    estimate_time_lost,
    subtract_estimates,
)
from spinescore.core.statistics.times import make_follow_up
from tests.reference.test_survival_against_r import DATA, close, follow_up

R = json.loads((Path(__file__).parent / "restricted_mean.json").read_text())


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("position", [0, 1])
def test_restricted_mean_and_lost_time_equal_survfit(position: int, late: bool) -> None:
    times, until = follow_up(DATA, late=late), R["until"][position]
    alone = R["alone_late" if late else "alone"][position]
    found = estimate_restricted_mean(times, until, 0.95)
    close([found.value, found.se], [alone["value"], alone["se"]], 1e-9)
    states = R["states_late" if late else "states"][position]
    lost = [estimate_time_lost(times, cause, until, 0.95) for cause in (1, 2)]
    close([estimate.value for estimate in lost], states["value"], 1e-9)
    close([estimate.se for estimate in lost], states["se"], 1e-9)


def test_beyond_follow_up_there_is_no_mean_and_no_difference() -> None:
    times = make_follow_up(np.zeros(9), np.linspace(1, 4, 9), np.ones(9, dtype=np.int64))
    found = estimate_restricted_mean(times, 4.5, 0.95)
    assert found.problem == "beyond follow-up"
    assert (
        subtract_estimates(estimate_restricted_mean(times, 4.0, 0.95), found, 0.95).problem == found.problem
    )


def test_who_loses_nothing_keeps_all_of_the_time() -> None:
    times = make_follow_up(np.zeros(9), np.linspace(1, 4, 9), np.zeros(9, dtype=np.int64))
    found = estimate_restricted_mean(times, 3.0, 0.95)
    assert (found.value, found.se) == (3.0, 0.0)

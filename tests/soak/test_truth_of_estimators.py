"""Intervals, tests and estimates over thousands of simulated cohorts of 400 subjects (`make soak`)."""

from __future__ import annotations

import pytest

from tests.unit.statistics.coverage_of_estimators import tally_estimators
from tests.unit.statistics.coverage_of_repeats import honest_band

REPLICATES = 2500
LARGEST_BIAS = 0.1  # SDs of the estimate: what intervals hardly notice; ratios are skew


@pytest.mark.timeout(3600)
def test_intervals_hold_the_truth_tests_keep_their_size_and_estimates_are_unbiased() -> None:
    tallies = tally_estimators(REPLICATES, seed=5)
    for name, tally in tallies.items():
        print(f"{name:45}{tally.held / tally.made:7.3f}{tally.bias:9.3f}")  # noqa: T201 - the soak's table
    low, high = honest_band(REPLICATES)
    outside = {
        n: t.held / t.made for n, t in tallies.items() if not low <= t.held * REPLICATES / t.made <= high
    }
    assert outside == {}
    assert {n: t.bias for n, t in tallies.items() if abs(t.bias) > LARGEST_BIAS} == {}

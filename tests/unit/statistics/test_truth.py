"""In a hundred simulated cohorts every estimator's interval holds the truth about as often as it says."""

from __future__ import annotations

from tests.unit.statistics.coverage_of_estimators import tally_estimators
from tests.unit.statistics.coverage_of_repeats import honest_band

REPLICATES = 100
LARGEST_BIAS = 0.4  # SDs of the estimate, four standard errors of the mean of a hundred


def test_intervals_tests_and_estimates_keep_to_the_truth() -> None:
    tallies = tally_estimators(REPLICATES, seed=4)
    low, _ = honest_band(REPLICATES)
    assert {n: t.held / t.made for n, t in tallies.items() if t.held * REPLICATES / t.made < low} == {}
    assert {n: t.bias for n, t in tallies.items() if abs(t.bias) > LARGEST_BIAS} == {}
    assert len(tallies) > 35

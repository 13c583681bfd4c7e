"""Intervals and tests of Cox models and their variants over thousands of simulated cohorts (`make soak`)."""

from __future__ import annotations

from tests.unit.statistics.coverage_of_associations import count_held
from tests.unit.statistics.coverage_of_repeats import honest_band

REPLICATES = 3000
EXACT = (
    *("main", "age scale", "landmark", "strata", "interaction", "non-linearity"),
    *("ph km", "ph rank", "ph identity"),
)
LEAST_WITH_CLUSTERS = 0.925  # 80 clusters: their sandwich is a little too small


def test_intervals_and_tests_keep_to_their_level() -> None:
    held = count_held(REPLICATES, seed=11)
    print({name: count / REPLICATES for name, count in held.items()})  # noqa: T201 - the soak's table
    low, high = honest_band(REPLICATES)
    assert {name: low <= held[name] <= high for name in EXACT} == dict.fromkeys(EXACT, True)
    assert LEAST_WITH_CLUSTERS <= held["cluster"] / REPLICATES <= high / REPLICATES
    assert held["cluster, disregarded"] < low
    assert held["standardised rate"] >= low

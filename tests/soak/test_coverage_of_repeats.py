"""Intervals of repeated images over thousands of simulated studies of 40 subjects (`make soak`)."""

from __future__ import annotations

from tests.unit.statistics.coverage_of_repeats import count_covered, honest_band

REPLICATES = 4000
EXACT = ("within_subject_sd", "smallest_detectable_change", "icc", "mean_of_slopes")
LEAST_MIXED_MODEL = (
    0.93  # its interval takes the variances as known: 94% of 40 subjects' studies, where 95% is due
)


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    covered = count_covered(REPLICATES, seed=7)
    print({name: count / REPLICATES for name, count in covered.items()})  # noqa: T201 - the soak's table
    low, high = honest_band(REPLICATES)
    assert {name: low <= covered[name] <= high for name in EXACT} == dict.fromkeys(EXACT, True)
    assert LEAST_MIXED_MODEL <= covered["mixed_model"] / REPLICATES <= high / REPLICATES

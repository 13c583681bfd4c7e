"""Pooled intervals over thousands of simulated studies of 120 subjects with missing covariates (`make soak`)."""

from __future__ import annotations

import pytest

from tests.unit.statistics.coverage_of_imputation import count_covered
from tests.unit.statistics.coverage_of_repeats import honest_band

REPLICATES = 2000
WIDE = 0.98  # intervals of imputed variables may be somewhat wide: donors and priors add to the spread


@pytest.mark.timeout(3600)
def test_pooled_intervals_hold_the_truth_as_often_as_they_say() -> None:
    covered, errors = count_covered(REPLICATES, seed=11)
    print({name: (count / REPLICATES, errors[name]) for name, count in covered.items()})  # noqa: T201 - the soak's table
    low, _ = honest_band(REPLICATES)
    assert {name: low <= count <= WIDE * REPLICATES for name, count in covered.items()} == dict.fromkeys(
        covered, True
    )

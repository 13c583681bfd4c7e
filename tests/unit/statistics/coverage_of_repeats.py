"""How often intervals of repeated images hold the truth they were simulated from."""

from __future__ import annotations

from collections import Counter

import numpy as np
from scipy.stats import binom

from spinescore.core.statistics.change_per_year import average_change, fit_slopes
from spinescore.core.statistics.estimate import Estimate
from spinescore.core.statistics.random_slopes import RandomSlopes, fit_random_slopes
from spinescore.core.statistics.repeated_images import (
    average_days,
    detect_change,
    estimate_icc,
    estimate_within_subject_sd,
)

N_SUBJECTS = 40
ERROR_SD, LEVEL_SD, CHANGE, CHANGE_SD = 2.0, 3.0, 0.3, 0.5
TRUTH = {
    "within_subject_sd": ERROR_SD,
    "smallest_detectable_change": 1.959963984540054 * 2**0.5 * ERROR_SD,
    "icc": LEVEL_SD**2 / (LEVEL_SD**2 + ERROR_SD**2),
    "mean_of_slopes": CHANGE,
    "mixed_model": CHANGE,
}


def count_covered(replicates: int, seed: int, conf_level: float = 0.95) -> Counter[str]:
    """Return how many of the replicates' intervals hold the truth, by statistic."""
    rng = np.random.default_rng(seed)
    covered: Counter[str] = Counter(dict.fromkeys(TRUTH, 0))
    for _ in range(replicates):
        for name, estimate in (_same_day(rng, conf_level) | _over_time(rng, conf_level)).items():
            assert estimate.lower is not None
            assert estimate.upper is not None
            covered[name] += estimate.lower <= TRUTH[name] <= estimate.upper
    return covered


def honest_band(replicates: int, conf_level: float = 0.95) -> tuple[int, int]:
    """Return the counts that a right interval stays within in all but one of 1,000 such tests."""
    low, high = binom.ppf([0.0005, 0.9995], replicates, conf_level)
    return int(low), int(high)


def _same_day(rng: np.random.Generator, conf_level: float) -> dict[str, Estimate]:
    subject = np.repeat(np.arange(N_SUBJECTS), rng.choice([1, 2, 3, 6], N_SUBJECTS))
    value = rng.normal(0, LEVEL_SD, N_SUBJECTS)[subject] + rng.normal(0, ERROR_SD, len(subject))
    days = average_days(subject, np.zeros_like(subject), value)
    within = estimate_within_subject_sd(days, conf_level)
    return {
        "within_subject_sd": within,
        "smallest_detectable_change": detect_change(within, conf_level),
        "icc": estimate_icc(days, conf_level),
    }


def _over_time(rng: np.random.Generator, conf_level: float) -> dict[str, Estimate]:
    subject = np.repeat(np.arange(N_SUBJECTS), rng.choice([2, 3, 5], N_SUBJECTS))
    day = np.sort(rng.integers(0, 3000, len(subject)) + 4000 * subject)
    years = (day - 4000 * subject) / 365.25
    change = rng.normal(CHANGE, CHANGE_SD, N_SUBJECTS)[subject]
    value = rng.normal(0, LEVEL_SD, N_SUBJECTS)[subject] + change * years
    days = average_days(subject, day, value + rng.normal(0, ERROR_SD, len(subject)))
    slopes = fit_slopes(days, 0.5).slopes
    model = fit_random_slopes(slopes, conf_level)
    assert isinstance(model, RandomSlopes)
    return {"mean_of_slopes": average_change(slopes, conf_level), "mixed_model": model.change}

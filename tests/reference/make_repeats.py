"""Make repeats.csv, the data of the R parity tests of repeated images: unequal numbers, ties, missing values.

python tests/reference/make_repeats.py && Rscript tests/reference/repeated_images.R
"""

from pathlib import Path

import numpy as np
import polars as pl

SEED = 20251125
N = 150
CONSTANT, SHORT = 3, 5  # a subject without variance, one whose days are too close


def make_repeats(seed: int = SEED, n: int = N) -> pl.DataFrame:
    """Return one row per image: subject, day, order within the day, PAD rounded to 0.1 years or missing."""
    rng = np.random.default_rng(seed)
    rows = []
    for subject in range(n):
        level, change = rng.normal(0, 4), 0.3 + rng.normal(0, 0.6)
        days = np.unique(rng.integers(0, 3000, rng.integers(1, 6)))
        days = np.array([100, 150]) if subject == SHORT else days
        for day in days:
            daily = level + change * day / 365.25 + rng.normal(0, 0.8)
            for order in range(rng.choice([1, 2, 3, 4], p=[0.6, 0.25, 0.1, 0.05])):
                value = 1.5 if subject == CONSTANT else round(daily + rng.normal(0, 1.2), 1)
                missing = subject != CONSTANT and rng.random() < 0.05
                rows.append((subject, int(day), order, None if missing else value))
    return pl.DataFrame(rows, schema=["id", "day", "image", "pad"], orient="row")


if __name__ == "__main__":
    make_repeats().write_csv(Path(__file__).parent / "repeats.csv", null_value="NA")

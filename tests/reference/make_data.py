"""Make cohort.csv, the data of the R parity tests: heavy ties, missing values, late entry, competing events.

python tests/reference/make_data.py && Rscript tests/reference/survival.R && Rscript tests/reference/roc.R
"""

from pathlib import Path

import numpy as np
import polars as pl

SEED = 20251125
N = 600


def make_cohort(seed: int = SEED, n: int = N) -> pl.DataFrame:
    """Return n made-up subjects; times are rounded to 0.25 years so that most are tied."""
    rng = np.random.default_rng(seed)
    age = rng.normal(70, 8, n).round(1)
    male = rng.random(n) < 0.4
    pad = rng.normal(0, 4, n).round(1)
    bmi = rng.normal(26, 4, n).round(1)
    region = rng.choice(["east", "north", "west"], n, p=[0.5, 0.3, 0.2])
    risk = 0.04 * (age - 70) + 0.1 * pad - 0.05 * (bmi - 26) + 0.5 * male
    event = rng.exponential(1 / (0.05 * np.exp(risk)))
    death = rng.exponential(1 / (0.03 * np.exp(0.07 * (age - 70) + 0.03 * pad)))
    censored = rng.uniform(1, 12, n)
    exit = np.ceil(np.minimum.reduce([event, death, censored]) * 4) / 4
    status = np.where(event <= np.minimum(death, censored), 1, np.where(death <= censored, 2, 0))
    late = (rng.random(n) < 0.4) * np.floor(rng.uniform(0, 3, n) * 4) / 4
    entry = np.where(late < exit, late, 0.0)
    spine_age = (age * 0.8 + 14 + pad + rng.normal(0, 3, n)).round(1)
    fracture = (rng.random(n) < 1 / (1 + np.exp(1.5 - 0.05 * (age - 70) - 0.12 * pad))).astype(int)
    return pl.DataFrame(
        {
            "id": np.arange(n),
            "entry": entry,
            "exit": exit,
            "status": status,
            "age": age,
            "sex": np.where(male, "M", "F"),
            "pad": pad,
            "bmi": np.where(rng.random(n) < 0.08, np.nan, bmi),
            "region": region,
            "spine_age": spine_age,
            "fracture": fracture,
            "group": np.searchsorted(np.quantile(pad, [1 / 3, 2 / 3]), pad),
        }
    ).with_columns(pl.col("bmi").fill_nan(None))


if __name__ == "__main__":
    make_cohort().write_csv(Path(__file__).parent / "cohort.csv", null_value="NA")

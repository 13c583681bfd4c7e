"""Make association.csv, the data of association.R: ties, near-ties, zero times, clusters, late entry, rare levels.

python tests/reference/make_association.py && Rscript tests/reference/association.R
"""

from pathlib import Path

import numpy as np
import polars as pl

SEED = 20251127
N = 450


def make_cohort(seed: int = SEED, n: int = N) -> pl.DataFrame:
    """Return n made-up subjects; half the times are multiples of half a year, some of them off by 1e-12."""
    rng = np.random.default_rng(seed)
    age = rng.normal(68, 9, n).round(1)
    male = rng.random(n) < 0.45
    pad_raw = (rng.normal(-0.2 * (age - 68), 5, n)).round(2)
    pad = (pad_raw + 0.2 * (age - 68)).round(2)
    bmi = np.where(rng.random(n) < 0.07, np.nan, rng.normal(26, 4, n).round(1))
    site = rng.choice(["a", "b", "c", "d"], n, p=[0.4, 0.3, 0.25, 0.05])
    ward = rng.integers(0, 60, n)
    smoking = rng.choice(["never", "past", "now", "pipe"], n, p=[0.5, 0.3, 0.17, 0.03])
    frailty = rng.gamma(2, 0.5, 60)[ward]
    risk = 0.05 * (age - 68) + 0.09 * pad - 0.001 * pad**2 + 0.4 * male + 0.3 * (site == "b")
    event = rng.exponential(1 / (0.07 * frailty * np.exp(risk)))
    death = rng.exponential(1 / (0.03 * np.exp(0.08 * (age - 68) + 0.03 * pad)))
    censored = rng.uniform(0.5, 12, n)
    times = np.minimum.reduce([event, death, censored])
    status = np.where(event <= np.minimum(death, censored), 1, np.where(death <= censored, 2, 0))
    tied = rng.random(n) < 0.6
    exit = np.where(tied, np.ceil(times * 2) / 2, times.round(4))
    exit = np.where(tied & (rng.random(n) < 0.2), exit * (1 + 1e-12), exit)
    exit = np.where(rng.random(n) < 0.015, 0.0, exit)
    late = (rng.random(n) < 0.4) * (rng.uniform(0, 3, n) * 4).round() / 4
    return pl.DataFrame(
        {
            "id": np.arange(n),
            "entry": np.where(late < exit - 0.1, late, 0.0),
            "exit": exit,
            "status": status,
            "age": age,
            "sex": np.where(male, "M", "F"),
            "pad_raw": pad_raw,
            "pad": pad,
            "bmi": bmi,
            "site": np.where(rng.random(n) < 0.03, None, site),
            "ward": ward,
            "smoking": smoking,
        }
    ).with_columns(pl.col("bmi").fill_nan(None))


if __name__ == "__main__":
    make_cohort().write_csv(Path(__file__).parent / "association.csv", null_value="NA")

"""The synthetic cohort that R's numbers were computed from, as the tests of single estimators take it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from spinescore.core.statistics.times import FollowUp, make_follow_up

DATA = pl.read_csv(Path(__file__).parent / "cohort.csv", null_values="NA")
COMPLETE = DATA.filter(pl.col("bmi").is_not_null())


def follow_up(data: pl.DataFrame, *, late: bool) -> FollowUp:
    entry = data["entry"].to_numpy() if late else np.zeros(len(data))
    return make_follow_up(entry, data["exit"].to_numpy(), data["status"].to_numpy())


def design(data: pl.DataFrame) -> np.ndarray:
    return data.select(
        "pad",
        "age",
        (pl.col("sex") == "M").cast(float),
        "bmi",
        (pl.col("region") == "north").cast(float).alias("n"),
        (pl.col("region") == "west").cast(float).alias("w"),
    ).to_numpy()


def close(ours: Any, theirs: Any, rtol: float) -> None:
    np.testing.assert_allclose(
        np.array(ours, dtype=float), np.array(theirs, dtype=float), rtol=rtol, atol=1e-14
    )

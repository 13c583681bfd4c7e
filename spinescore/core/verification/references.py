"""The shipped reference: R's numbers, and the synthetic data they were computed from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from spinescore.core.statistics.estimate import BoolArray, FloatArray
from spinescore.core.statistics.times import FollowUp, make_follow_up

SIX = ("pad", "age", "sex=M", "bmi", "region=north", "region=west")  # the columns of most models
ENTRIES = ((False, "plain"), (True, "late"))  # with late entry or without, and what R's numbers call it
OUTCOME = {False: "Surv(exit, status == 1)", True: "Surv(entry, exit, status == 1)"}


@dataclass(frozen=True, slots=True)
class References:
    """R's numbers by file, the tables, and the SHA-256 of each file.

    Parameters
    ----------
    numbers : mapping of file stem to what its JSON holds
    tables : mapping of file stem to DataFrame
    hashes : mapping of file name to SHA-256
    """

    numbers: Mapping[str, Mapping[str, Any]]
    tables: Mapping[str, pl.DataFrame]
    hashes: Mapping[str, str]

    @property
    def cohort(self) -> pl.DataFrame:
        """The 600 made-up subjects: times tied by quarters, late entry, competing events, missing BMI."""
        return self.tables["cohort"]

    @property
    def complete(self) -> pl.DataFrame:
        """Those of them whose BMI is known."""
        return self.cohort.filter(pl.col("bmi").is_not_null())

    def versions(self) -> dict[str, str]:
        """Return the versions of R and its packages that made the numbers."""
        found: dict[str, str] = {}
        for numbers in self.numbers.values():
            found |= {name: str(version) for name, version in numbers.get("versions", {}).items()}
        r = found.pop("R", "not recorded")
        return {"R": r.removeprefix("R version "), **dict(sorted(found.items()))}


def follow_up_of(data: pl.DataFrame, *, late: bool = False, competing: bool = True) -> FollowUp:
    """Return follow-up of a reference table, from entry or from 0, with or without competing events."""
    status = data["status"].to_numpy()
    entry = data["entry"].to_numpy() if late else np.zeros(data.height)
    kept = status if competing else (status == 1).astype(np.int64)
    return make_follow_up(entry, data["exit"].to_numpy(), kept)


def design_of(data: pl.DataFrame, names: Sequence[str]) -> FloatArray:
    """Return columns of the reference cohort: numbers as they are, ``name=level`` as 0 and 1."""
    columns = []
    for name in names:
        variable, _, level = name.partition("=")
        column = data[variable]
        columns.append((column == level).to_numpy() if level else column.to_numpy())
    return np.column_stack(columns).astype(np.float64)


def cases_of(data: pl.DataFrame) -> BoolArray:
    """Return who has the binary outcome."""
    return np.asarray(data["fracture"].to_numpy() == 1)

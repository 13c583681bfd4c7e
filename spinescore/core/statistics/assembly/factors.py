"""Traits of subjects that have levels: sex, age band, kind, manufacturer and categorical covariates."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import polars as pl

from spinescore.core.statistics.assembly.design import read_levels
from spinescore.core.statistics.assembly.setting import Setting
from spinescore.core.statistics.estimate import IntArray

AGE_BAND = "age_band"


@dataclass(frozen=True, slots=True)
class Factor:
    """Which level each subject has: ``codes`` count from 0 in the order of ``levels``, -1 where unknown."""

    name: str
    levels: tuple[str, ...]
    codes: IntArray

    def take(self, rows: IntArray) -> Factor:
        """Return the factor over some subjects."""
        return Factor(self.name, self.levels, self.codes[rows])

    def subgroup(self, level: int) -> str:
        """Return a level as the results name it: ``sex=F``."""
        return f"{self.name}={self.levels[level]}"


def read_factor(setting: Setting, name: str) -> Factor:
    """Read a trait over the cohort's subjects; age bands are those of the study, lower bounds included."""
    if name == AGE_BAND:
        return _age_bands(setting)
    levels, text = read_levels(setting.cohort.subjects, name)
    codes = text.cast(pl.Enum(levels)).to_physical().cast(pl.Int64).fill_null(-1)
    return Factor(name, tuple(levels), codes.to_numpy())


def _age_bands(setting: Setting) -> Factor:
    bounds = np.array(setting.study.analysis.age_bands, dtype=np.float64)
    levels = tuple(f"{low:g}-{high:g}" for low, high in itertools.pairwise(bounds.tolist()))
    age = setting.predictors["chronological_age"].values
    codes = np.searchsorted(bounds, age, side="right") - 1
    inside = np.isfinite(age) & (codes >= 0) & (codes < len(levels))
    return Factor(AGE_BAND, levels, np.where(inside, codes, -1).astype(np.int64))


def cross_factors(factors: list[Factor]) -> IntArray:
    """Number the combinations of levels that occur, from 0; -1 where a level is unknown."""
    known = np.all([factor.codes >= 0 for factor in factors], axis=0)
    crossed = np.zeros(len(known), dtype=np.int64)
    for factor in factors:
        crossed = crossed * len(factor.levels) + factor.codes
    numbers = np.full(len(known), -1, dtype=np.int64)
    numbers[known] = np.unique(crossed[known], return_inverse=True)[1]
    return numbers

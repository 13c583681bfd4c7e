"""What every part of an analysis needs to know of its cohort, worked out once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl

from spinescore.core.statistics.assembly.design import Design, build_design, read_numbers
from spinescore.core.statistics.estimate import BoolArray, FloatArray
from spinescore.core.statistics.pad_groups import PadGroups, cut_pad
from spinescore.domain import Cohort
from spinescore.errors import AnalysisError
from spinescore.study import Study

COLUMNS = {
    "pad_raw": "pad_raw",
    "pad_corrected": "pad_corrected",
    "spine_age_raw": "spine_age_raw",
    "spine_age_corrected": "spine_age_corrected",
    "chronological_age": "age_years",
}


@dataclass(frozen=True, slots=True)
class Predictor:
    """An age or age difference, over the cohort's subjects (NaN where unknown)."""

    name: str
    correction: str | None
    values: FloatArray
    flags: tuple[str, ...]

    @property
    def raw(self) -> bool:
        """Whether it is an uncorrected reading of the image."""
        return self.name.endswith("_raw")


@dataclass(frozen=True, slots=True)
class Setting:
    """A cohort with its study, predictors, PAD groups and the designs of the study's models.

    ``memo`` keeps what several parts of an analysis read: follow-up by endpoint.
    """

    cohort: Cohort
    study: Study
    predictors: Mapping[str, Predictor]
    pad: Predictor
    groups: PadGroups
    designs: Mapping[str, Design]
    primary: bool
    memo: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)

    @property
    def conf_level(self) -> float:
        """Return the study's confidence level."""
        return self.study.analysis.conf_level

    @property
    def group_flags(self) -> tuple[str, ...]:
        """Return the flags of rows by PAD group."""
        return (*self.pad.flags, "groups_on_raw_pad") if self.pad.raw else self.pad.flags

    def is_primary(self, endpoint: str, model: str) -> bool:
        """Whether this is the pre-declared estimate's cohort, endpoint and model."""
        declared = self.study.analysis.primary
        return bool(self.primary and declared and (declared.endpoint, declared.model) == (endpoint, model))

    def members(self, group: str | None) -> BoolArray:
        """Return who belongs to a PAD group; everybody for None."""
        if group is None:
            return np.ones(len(self.groups.members), dtype=bool)
        return np.asarray(self.groups.members == self.groups.labels.index(group))


def prepare_setting(
    cohort: Cohort, study: Study, correction_method: str, flags: tuple[str, ...], *, primary: bool
) -> Setting:
    """Work out predictors, groups and designs of one cohort.

    Raises
    ------
    AnalysisError
        When nobody in the cohort has a PAD, or a covariate is missing from its table.
    """
    subjects = cohort.subjects
    predictors = {name: _predictor(subjects, name, correction_method, flags) for name in COLUMNS}
    known = {name: p for name, p in predictors.items() if np.isfinite(p.values).any()}
    if "pad_raw" not in known:
        raise AnalysisError(
            f"No subject of cohort `{cohort.name}` has a predicted age difference.",
            "Score its images, or correct the cohort's `where`.",
        )
    if correction_method == "none":
        known = {name: p for name, p in known.items() if not name.endswith("_corrected")}
    pad = known.get("pad_corrected", known["pad_raw"])
    designs = {name: build_design(subjects, study, terms) for name, terms in study.models.items()}
    groups = cut_pad(pad.values, study.analysis.pad_groups)
    return Setting(cohort, study, known, pad, groups, designs, primary)


def _predictor(
    subjects: pl.DataFrame, name: str, correction_method: str, flags: tuple[str, ...]
) -> Predictor:
    values = read_numbers(subjects, COLUMNS[name])
    if name.endswith("_raw"):
        return Predictor(name, "none", values, ())
    if name.endswith("_corrected"):
        own = ("corrected_contains_age",) if name == "spine_age_corrected" else ()
        return Predictor(name, correction_method, values, (*own, *flags))
    return Predictor(name, None, values, ())


def spread(values: FloatArray) -> float:
    """Return the SD (ddof 1) of the known values, NaN below two."""
    known = values[np.isfinite(values)]
    return float(known.std(ddof=1)) if len(known) > 1 else float("nan")

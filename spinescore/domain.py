"""Frozen values that cross modules; nouns of the clinic, DICOM and the paper."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import date
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:  # a decoding process, of which there is one a core, would import it for nothing
    import polars as pl

Kind = Literal["radiograph", "vfa"]
State = Literal["indexed", "duplicate", "excluded", "rejected", "missing"]
CorrectionMethod = Literal["beheshti", "cole", "age-level", "none"]
DAYS_PER_YEAR = 365.25


def _empty_frame() -> pl.DataFrame:
    import polars

    return polars.DataFrame()


@dataclass(frozen=True, slots=True, kw_only=True)
class Radiograph:
    """One eligible image, as its header describes it; a row of ``images``."""

    sop_instance_uid: str
    study_instance_uid: str | None
    series_instance_uid: str | None
    subject_id: str | None
    kind: Kind
    age_years: float | None
    sex: Literal["F", "M"] | None
    study_date: date | None
    study_time: str | None
    modality: str | None
    manufacturer: str | None
    manufacturer_raw: str | None
    manufacturer_model: str | None
    manufacturer_model_raw: str | None
    software_versions: str | None
    view_position: str | None
    body_part: str | None
    protocol_name: str | None
    laterality: str | None
    photometric: str
    transfer_syntax: str
    rows: int
    columns: int
    bits_stored: int
    spacing_mm: float | None
    spacing_source: str | None
    kvp: float | None
    exposure_mas: float | None
    exposure_time_ms: float | None
    tube_current_ma: float | None
    source_detector_distance_mm: float | None
    exposure_index: float | None
    synthetic: bool
    eligibility_rule: str


class AgeLevel(NamedTuple):
    """One year of age of an age-level correction: mean and SD of PAD, and how many they are from."""

    age: int
    mean: float
    sd: float
    n: int


class AgeCell(NamedTuple):
    """Reference subjects of ``first`` to ``last`` completed years: PAD before and after correction."""

    first: int
    last: int
    n: int
    mean: float
    sd: float
    mean_after: float
    sd_after: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldFit:
    """The fit without the subjects of one fold, which corrects them."""

    fold: int
    slope: float | None
    intercept: float | None
    levels: tuple[AgeLevel, ...]
    n_reference: int
    age_range: tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Correction:
    """A fitted bias correction for one kind of image (METHOD: fitted once, applied to others).

    ``slope`` and ``intercept`` are Beheshti's a, b (PAD on age) or Cole's a', b'
    (spine age on age); ``levels`` are those of an age-level correction.

    Parameters
    ----------
    kind, fitted_kind : {"radiograph", "vfa"}
        Of the images it corrects, and of those it was fitted on.
    profile : tuple of AgeCell
        PAD by age in the reference set; thin years are pooled with their neighbours.
    manufacturers : tuple of (str, int)
        Reference subjects by manufacturer, most first; rare ones together as ``other``.
    subjects : tuple of str
        Fingerprints of the reference subjects' ids, sorted.
    subject_folds : tuple of int
        The fold of each of ``subjects``; empty without cross-fitting.
    cross_fit, fold_seed : int or None
        Number of folds, and the seed of the hash that deals subjects to them.
    folds : tuple of FoldFit
        The fits that correct each fold's own subjects; empty without cross-fitting.
    same_cohort : bool
        Whether it was meant to be used on the very subjects it was fitted on.
    n_trained_on : int
        Reference subjects that the network was trained on.
    synthetic : bool
        Whether some of them are made up.
    fitted_on, made_by : str
        Day (ISO 8601) and program; no part of the id.
    """

    correction_id: str
    method: CorrectionMethod
    kind: Kind
    model_id: str
    preprocessing_id: str
    slope: float | None
    intercept: float | None
    levels: tuple[AgeLevel, ...]
    n_reference: int
    reference_cohort: str
    reference_sha256: str
    age_range: tuple[float, float]
    fitted_kind: Kind
    profile: tuple[AgeCell, ...] = ()
    manufacturers: tuple[tuple[str, int], ...] = ()
    subjects: tuple[str, ...] = ()
    subject_folds: tuple[int, ...] = ()
    cross_fit: int | None = None
    fold_seed: int | None = None
    folds: tuple[FoldFit, ...] = ()
    same_cohort: bool = False
    n_trained_on: int = 0
    synthetic: bool = False
    fitted_on: str = ""
    made_by: str = ""

    @property
    def across_kinds(self) -> bool:
        """Whether it corrects images of another kind than it was fitted on."""
        return self.kind != self.fitted_kind


@dataclass(frozen=True, slots=True)
class Cohort:
    """An analysis set.

    Parameters
    ----------
    name : str
        The study file's name of the cohort.
    subjects : polars.DataFrame
        One row per subject: ``subject_id, sop_instance_uid, kind, sex, age_years, study_date,
        manufacturer, spine_age_raw, spine_age_sd, spine_age_corrected, pad_raw,
        pad_corrected``, then every covariate and every binary endpoint (0, 1 or null) of the
        study by its name.
    follow_up : mapping of endpoint name to polars.DataFrame
        One row per subject at risk: ``subject_id, entry_years, exit_years, status``;
        status is 0 censored, 1 event, 2 competing event.
    attrition : polars.DataFrame
        ``step, unit, endpoint, reason, n_excluded, n_remaining`` in order.
    images : polars.DataFrame
        One row per scored image of these subjects that satisfies the cohort's condition, index images among
        them: ``sop_instance_uid, subject_id, study_date, study_time, kind, sex, age_years, spine_age_raw,
        spine_age_sd, spine_age_corrected, pad_raw, pad_corrected, pixel_sha256`` (null where ages were
        imported).
    facts : polars.DataFrame
        ``fact, endpoint, unit, n, detail``: what was counted beside the steps (docs/cohorts.md).
    """

    name: str
    subjects: pl.DataFrame
    follow_up: Mapping[str, pl.DataFrame]
    attrition: pl.DataFrame
    images: pl.DataFrame = field(default_factory=_empty_frame)
    facts: pl.DataFrame = field(default_factory=_empty_frame)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One number and what it is; a row of ``results``. Keys that do not apply are None.

    Ratios (hazard, odds) carry ``value``, ``lower``, ``upper`` on the ratio scale, ``se`` on the log scale.
    """

    # keys
    cohort: str
    analysis: str
    statistic: str
    endpoint: str | None = None
    cause: str | None = None
    model: str | None = None
    sample: str | None = None
    variant: str | None = None
    validation: str | None = None
    predictor: str | None = None
    correction: str | None = None
    comparator: str | None = None
    term: str | None = None
    group: str | None = None
    subgroup: str | None = None
    horizon_years: float | None = None
    method: str | None = None
    # values
    value: float | None = None
    se: float | None = None
    lower: float | None = None
    upper: float | None = None
    conf_level: float | None = None
    p_value: float | None = None
    p_adjusted: float | None = None
    family: str | None = None
    df: float | None = None
    scale: float | None = None
    n: int | None = None
    events: int | None = None
    person_years: float | None = None
    status: Literal["ok", "not_estimable", "suppressed"] = "ok"
    flags: tuple[str, ...] = ()
    note: str | None = None


def read_result(row: Mapping[str, Any]) -> Result:
    """Return the result that a row of the table ``results`` holds."""
    fields: dict[str, Any] = {**row, "flags": tuple(row["flags"])}
    return Result(**fields)


RESULT_KEYS = (
    "cohort",
    "analysis",
    "endpoint",
    "cause",
    "model",
    "sample",
    "variant",
    "validation",
    "predictor",
    "correction",
    "comparator",
    "term",
    "group",
    "subgroup",
    "horizon_years",
    "method",
    "statistic",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CurvePoint:
    """One point of a line to draw (ROC, KM, CIF, fit, spline); a row of ``curves``; keys as in ``Result``."""

    cohort: str
    analysis: str
    x_name: str
    x: float
    y: float
    endpoint: str | None = None
    cause: str | None = None
    model: str | None = None
    sample: str | None = None
    variant: str | None = None
    validation: str | None = None
    predictor: str | None = None
    correction: str | None = None
    comparator: str | None = None
    term: str | None = None
    group: str | None = None
    subgroup: str | None = None
    horizon_years: float | None = None
    method: str | None = None
    lower: float | None = None
    upper: float | None = None
    n_at_risk: int | None = None
    cumulative_events: int | None = None
    cumulative_censored: int | None = None


@dataclass(frozen=True, slots=True)
class Findings:
    """Numbers and lines of one endpoint in one cohort."""

    results: tuple[Result, ...]
    curves: tuple[CurvePoint, ...]


@dataclass(frozen=True, slots=True)
class Analysis:
    """What ``analyze`` makes: numbers, lines, and rows of single subjects, which are never shareable.

    ``points`` are to scatter, ``changes`` the changes per year, ``repeats`` the pairs of images of one day.
    """

    results: tuple[Result, ...]
    curves: tuple[CurvePoint, ...]
    points: pl.DataFrame = field(default_factory=_empty_frame)
    changes: pl.DataFrame = field(default_factory=_empty_frame)
    repeats: pl.DataFrame = field(default_factory=_empty_frame)


def as_row(value: Any) -> dict[str, Any]:
    """Return a frozen dataclass's fields as a dict, shallowly (no deep copies).

    >>> as_row(CurvePoint(cohort="a", analysis="roc", x_name="fpr", x=0.0, y=0.0))["x_name"]
    'fpr'
    """
    return {f.name: getattr(value, f.name) for f in fields(value)}


@dataclass(frozen=True, slots=True)
class StageSummary:
    """What one stage of a run did; ``changed`` is False when there was nothing to do."""

    stage: str
    changed: bool
    message: str
    counts: Mapping[str, int] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    partial: bool = False

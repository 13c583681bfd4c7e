"""What a report is made from, and the names things go by in it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import polars as pl

from spinescore.core.reporting.formatting import FLAG_TEXT, format_number
from spinescore.core.reporting.language import gettext as _
from spinescore.core.reporting.language import marked
from spinescore.domain import Result
from spinescore.study import Study

LEFT_TO_CALLER = object()
MAIN_VARIANTS = (None, "main")  # what is read unless another fit of the same model is asked for
QUANTILE_GROUP = re.compile(r"[TQ]\d")
PREDICTOR_NAMES = {
    "pad_raw": marked("PAD, raw"),
    "pad_corrected": marked("PAD, corrected"),
    "spine_age_raw": marked("Spine age, raw"),
    "spine_age_corrected": marked("Spine age, corrected"),
    "chronological_age": marked("Chronological age"),
}
TERM_NAMES = {
    "age": marked("Age"),
    "sex": marked("Sex"),
    "age_years": marked("Age, years"),
    "kind": marked("Kind of image"),
    "manufacturer": marked("Manufacturer"),
    "spine_age_raw": marked("Spine age, raw, years"),
    "spine_age_corrected": marked("Spine age, corrected, years"),
    "pad_raw": marked("PAD, raw, years"),
    "pad_corrected": marked("PAD, corrected, years"),
}
LEVEL_NAMES = {
    "F": marked("Female"),
    "M": marked("Male"),
    "radiograph": marked("Radiograph"),
    "vfa": marked("DXA VFA"),
}
CORRECTION_FLAGS = (
    "same_cohort_correction",
    "cross_fit_correction",
    "across_kinds",
    "correction_trained_on",
    "trained_on",
)
CORRECTION_NAMES = {
    "beheshti": "Beheshti",
    "cole": "Cole",
    "age-level": marked("age-level"),
    "none": marked("none"),
}


class ResultTable:
    """The results of one analysis, found by their keys.

    ``find`` and ``every`` compare the keys they are given; ``group``, ``subgroup`` and ``term`` must be null
    unless named, ``variant`` ``main`` or null, and the other keys may be anything.
    """

    def __init__(self, results: Sequence[Result]) -> None:
        self._results = tuple(results)
        self._by_key: dict[tuple[object, ...], list[Result]] = {}
        for result in self._results:
            analysis = (result.cohort, result.analysis, result.statistic)
            for key in (analysis, (*analysis, result.endpoint)):
                self._by_key.setdefault(key, []).append(result)

    def __iter__(self) -> Iterator[Result]:
        return iter(self._results)

    def __len__(self) -> int:
        return len(self._results)

    def every(self, cohort: str, analysis: str, statistic: str, **keys: object) -> list[Result]:
        """Return the rows that have these keys, in the order they were computed."""
        wanted = {"group": None, "subgroup": None, "term": None} | keys
        wanted = {key: value for key, value in wanted.items() if value is not LEFT_TO_CALLER}
        of_endpoint = (wanted.pop("endpoint"),) if "endpoint" in wanted else ()
        return [
            result
            for result in self._by_key.get((cohort, analysis, statistic, *of_endpoint), [])
            if all(getattr(result, key) == value for key, value in wanted.items())
            and ("variant" in keys or result.variant in MAIN_VARIANTS)
        ]

    def find(self, cohort: str, analysis: str, statistic: str, **keys: object) -> Result | None:
        """Return the first row that has these keys, or None."""
        rows = self.every(cohort, analysis, statistic, **keys)
        return rows[0] if rows else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """Everything the report says, before it is put into words.

    Parameters
    ----------
    study : Study
        The study file.
    results, curves, points, attrition, repeats
        What ``analyze`` stored (docs/results.md).
    corrections : sequence of mappings
        The corrections in force, one per kind of image.
    images : sequence of mappings
        ``kind, n_images, n_subjects, first_date, last_date`` of what was scored.
    model : mapping
        ``model_id, preprocessing_id, name, version`` and the ``manifest``.
    runs : sequence of mappings
        The runs this report rests on.
    versions : mapping
        Versions of the software, by name.
    made_at : datetime
        When, UTC.
    hashes : mapping
        What fixes the inputs: study settings, analysis input.
    quality : sequence of mappings
        ``kind, manufacturer, n_images, n_subjects, n_scored, n_failed, n_flagged, sd_q1, sd_median, sd_q3``.
    findings : sequence of mappings
        ``what, code, kind, n``: why images were not scored, and flags.
    image_cards : sequence of mappings
        ``picture`` (PNG bytes), ``name, kind, age_years, spine_age, gap_at_age_years``; patient data.
    drift : sequence of mappings
        Fields of ``DriftRow``; empty where the study file has no [drift].
    """

    study: Study
    results: ResultTable
    curves: pl.DataFrame
    points: pl.DataFrame
    attrition: pl.DataFrame
    corrections: Sequence[Mapping[str, Any]]
    images: Sequence[Mapping[str, Any]]
    model: Mapping[str, Any]
    runs: Sequence[Mapping[str, Any]]
    versions: Mapping[str, str]
    made_at: datetime
    hashes: Mapping[str, str] = field(default_factory=dict)
    repeats: pl.DataFrame = field(default_factory=pl.DataFrame)
    quality: Sequence[Mapping[str, Any]] = ()
    findings: Sequence[Mapping[str, Any]] = ()
    image_cards: Sequence[Mapping[str, Any]] = ()
    drift: Sequence[Mapping[str, Any]] = ()

    @property
    def cohorts(self) -> tuple[str, ...]:
        """Names of the cohorts analysed."""
        return tuple(self.study.analysis_cohorts())

    @property
    def survival(self) -> tuple[str, ...]:
        """Names of the survival endpoints."""
        return tuple(self.study.survival_endpoints())

    @property
    def binary(self) -> tuple[str, ...]:
        """Names of the binary endpoints."""
        return tuple(self.study.binary_endpoints())

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the study's models."""
        return tuple(self.study.models)

    @property
    def demonstration(self) -> bool:
        """Whether the network was trained on phantoms."""
        return bool(self.model.get("manifest", {}).get("synthetic"))

    @property
    def imported(self) -> Mapping[str, Any] | None:
        """Where the ages came from if they came in a table: ``file_sha256, rows, settings``."""
        origin: Mapping[str, Any] | None = self.model.get("manifest", {}).get("imported")
        return origin

    @property
    def correction_caution(self) -> str:
        """What captions of figures of corrected numbers must say, as a sentence; empty where nothing must."""
        found = {flag for result in self.results for flag in result.flags}
        said = [_(FLAG_TEXT[flag]) for flag in CORRECTION_FLAGS if flag in found]
        return _(" Caution: {said}.").format(said="; ".join(said)) if said else ""

    @property
    def primary_endpoint(self) -> str | None:
        """The declared primary survival endpoint, else the first."""
        declared = self.study.analysis.primary
        if declared and declared.endpoint in self.survival:
            return declared.endpoint
        return next(iter(self.survival), None)

    @property
    def primary_model(self) -> str | None:
        """The declared primary model, else the first."""
        declared = self.study.analysis.primary
        return declared.model if declared else next(iter(self.models), None)

    @property
    def level_percent(self) -> str:
        """The confidence level, as ``95%``."""
        return f"{self.study.analysis.conf_level * 100:g}%"

    def cohort_title(self, cohort: str) -> str:
        """Return the study file's title of a cohort, else its name."""
        section = self.study.cohorts.get(cohort)
        return (section.title if section else None) or cohort

    def group_test(self, cohort: str, endpoint: str) -> Result | None:
        """Return the test between PAD groups: Gray's where events compete, else the log-rank test."""
        names = (
            ("cumulative_incidence", "gray_chi2")
            if self.competing(endpoint)
            else ("kaplan_meier", "logrank_chi2")
        )
        return self.results.find(cohort, *names, endpoint=endpoint, cause=endpoint)

    def endpoint_title(self, endpoint: str) -> str:
        """Return the study file's title of an endpoint, else its name, capitalised."""
        section = self.study.endpoints.get(endpoint)
        title = (section.title if section else None) or endpoint
        return title[:1].upper() + title[1:]

    def competing(self, endpoint: str) -> str | None:
        """Return the endpoint that competes with another, if one does."""
        section = self.study.endpoints.get(endpoint)
        return section.competing if section else None

    def term_title(self, term: str) -> str:
        """Return the name of a covariate, for people."""
        covariate = self.study.covariates.get(term)
        if covariate is not None:
            return covariate.title or term.replace("_", " ").capitalize()
        name = TERM_NAMES.get(term)
        return _(name) if name else self.endpoint_title(term)

    def pad(self, cohort: str) -> str:
        """Return which PAD stands for PAD in a cohort: corrected where there is one."""
        row = self.results.find(cohort, "pad_groups", "n", group=LEFT_TO_CALLER)
        return row.predictor if row is not None and row.predictor else "pad_raw"

    def groups(self, cohort: str) -> tuple[str, ...]:
        """Return the PAD groups of a cohort, lowest first."""
        rows = self.results.every(cohort, "pad_groups", "n", group=LEFT_TO_CALLER)
        return tuple(row.group for row in rows if row.group)

    def group_range(self, cohort: str, group: str) -> str:
        """Return the range of a PAD group in years, as ``≤ −2.1 y``."""
        if not QUANTILE_GROUP.fullmatch(group):
            return ""  # the name of a numeric group is its range
        lower = self._cut(cohort, "cut_lower", group)
        upper = self._cut(cohort, "cut_upper", group)
        if lower is None and upper is None:
            return ""
        if lower is None:
            return _("≤ {upper} y").format(upper=upper)
        if upper is None:
            return _("> {lower} y").format(lower=lower)
        return _("{lower} to {upper} y").format(lower=lower, upper=upper)

    def group_title(self, cohort: str, group: str) -> str:
        """Return the name of a PAD group with its range, as ``T1 ≤ −2.1 y``."""
        if QUANTILE_GROUP.fullmatch(group):
            return f"{group} {self.group_range(cohort, group)}".strip()
        plain = group.replace("-", "−").replace(">=", "≥").replace(" to ", _(" to "))
        return _("{group} y").format(group=plain)

    def _cut(self, cohort: str, statistic: str, group: str) -> str | None:
        row = self.results.find(cohort, "pad_groups", statistic, group=group)
        return None if row is None or row.value is None else format_number(row.value, 1)


def describe_fit(correction: Mapping[str, Any]) -> str:
    """Say what a reader must know of how a correction was fitted; nothing where it is as it should be."""
    notes = []
    if correction.get("fitted_kind", correction["kind"]) != correction["kind"]:
        notes.append(
            _("fitted on another kind of image, {fitted_kind}").format(
                fitted_kind=level_title(correction["fitted_kind"])
            )
        )
    if correction.get("cross_fit"):
        notes.append(_("cross-fitted in {cross_fit} folds").format(cross_fit=correction["cross_fit"]))
    if correction.get("same_cohort"):
        notes.append(_("meant for the subjects it was fitted on"))
    if correction.get("n_trained_on"):
        notes.append(_("{n_trained_on:,} of them trained on").format(n_trained_on=correction["n_trained_on"]))
    return ", ".join(notes)


def level_title(level: str) -> str:
    """Return the name of a level, for people."""
    return _(LEVEL_NAMES[level]) if level in LEVEL_NAMES else level


def in_sentence(title: str) -> str:
    """Return a title as it stands within a sentence; acronyms keep their capitals.

    >>> in_sentence("Any fracture"), in_sentence("BMI"), in_sentence("DXA T-score")
    ('any fracture', 'BMI', 'DXA T-score')
    """
    return title[:1].lower() + title[1:] if title[1:2].islower() or title[1:2] == " " else title

"""Values that are of the right type and cannot be meant: bounds the wrong way round, lists out of order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date
from itertools import pairwise

from spinescore.study.problems import Problem
from spinescore.study.rules.parts import Settings

INCREASING = ("horizons_years", "pad_groups", "age_bands", "landmark_years", "thresholds")
FEWEST_IMPUTATIONS = 20
YEARS = (1900, 2100)


def value_problems(settings: Settings) -> Iterator[Problem]:
    """Yield values that contradict each other."""
    yield from _sources(settings)
    yield from _engine(settings)
    yield from _identifiers(settings)
    yield from _correction(settings)
    yield from _cohorts(settings)
    yield from _covariates(settings)
    yield from _analysis(settings)
    yield from _dates(settings)


def _sources(settings: Settings) -> Iterator[Problem]:
    model = settings.part("model")
    if model.has("imported", "bundle"):
        yield model.problem(
            "`bundle` scores images and `imported` names ages of a table: keep one of them", "imported"
        )
    if model.has("imported") and settings.part("images").get("sources"):
        yield Problem(("images", "sources"), "would never be scored: model.imported names ages of a table")
    study = settings.part("study")
    if study.get("database") is not None and study.get("database") == study.get("output", "report"):
        yield study.problem("`database` is a file and `output` a folder; give them different names", "output")


def _engine(settings: Settings) -> Iterator[Problem]:
    model = settings.part("model")
    engine = model.get("engine") if model.has("engine") else "local"  # None where wrong, which is said
    if engine == "ray" and model.has("image_cache"):
        yield model.problem('is of one machine: leave it out, or `engine = "ray"`', "image_cache")
    for key in ("ray_address", "ray_shards"):
        if engine == "local" and model.has(key):
            yield model.problem('is of a Ray cluster: add `engine = "ray"`, or leave it out', key)


def _identifiers(settings: Settings) -> Iterator[Problem]:
    subjects, images = settings.part("subjects"), settings.part("images")
    widths = subjects.get("id_width"), images.get("id_width")
    if None not in widths and widths[0] != widths[1] and not settings.has("linkage"):
        yield subjects.problem(
            f"{widths[0]} here and {widths[1]} under [images]: ids of different lengths never match",
            "id_width",
        )
    if subjects.has("sex_codes") and not subjects.has("sex"):
        yield subjects.problem("are of `sex`, and no column of sex is named", "sex_codes")
    codes = subjects.get("sex_codes")
    if codes is not None and not codes:
        yield subjects.problem('is empty; e.g. { "1" = "M", "2" = "F" }', "sex_codes")


def _correction(settings: Settings) -> Iterator[Problem]:
    correction = settings.part("correction")
    for other, why in (
        ("method", "the file says by which method"),
        ("reference", "a file is applied, not fitted"),
        ("cross_fit", "a file is applied as it is; folds are made where it is fitted"),
    ):
        if correction.has("file", other):
            yield correction.problem(f"{why}: keep `file` or `{other}`", other)
    if correction.has("cross_fit") and correction.get("same_cohort"):
        yield correction.problem("is what cross_fit avoids: keep one of them", "same_cohort")


def _cohorts(settings: Settings) -> Iterator[Problem]:
    for _, cohort in settings.parts("cohorts"):
        youngest, oldest = cohort.get("min_age"), cohort.get("max_age")
        if youngest is not None and oldest is not None and youngest >= oldest:
            yield cohort.problem(
                f"{oldest:g} is not above min_age, {youngest:g}: nobody is of that age", "max_age"
            )


def _covariates(settings: Settings) -> Iterator[Problem]:
    for _, covariate in settings.parts("covariates"):
        kind = covariate.get("type") if covariate.has("type") else "continuous"
        if covariate.has("reference") and kind == "continuous":
            yield covariate.problem(
                'is of categorical covariates; add `type = "categorical"` or leave it out', "reference"
            )


def _analysis(settings: Settings) -> Iterator[Problem]:
    analysis = settings.part("analysis")
    for key in INCREASING:
        values = analysis.get(key)
        if isinstance(values, Sequence) and not isinstance(values, str):
            for earlier, later in pairwise(values):
                if later <= earlier:
                    yield analysis.problem(f"{later:g} comes after {earlier:g}; values must increase", key)
                    break
    imputations = analysis.get("imputations", 0)
    if 0 < imputations < FEWEST_IMPUTATIONS:
        yield analysis.problem(
            f"{imputations} is too few for stable intervals: {FEWEST_IMPUTATIONS} or more, or 0 for none",
            "imputations",
        )


def _dates(settings: Settings) -> Iterator[Problem]:
    for _, endpoint in settings.parts("endpoints"):
        day = endpoint.get("admin_censor_date")
        year = date.fromisoformat(str(day)[:10]).year if day is not None else YEARS[0]
        if not YEARS[0] <= year <= YEARS[1]:
            yield endpoint.problem(f"{day} is not between {YEARS[0]} and {YEARS[1]}", "admin_censor_date")

"""Names that must refer to something in the file."""

from __future__ import annotations

from collections.abc import Iterator

from spinescore.study.problems import Problem
from spinescore.study.rules.names import LEVELS_OF_IMAGES, MODEL_TERMS
from spinescore.study.rules.parts import Part, Settings


def reference_problems(settings: Settings) -> Iterator[Problem]:
    """Yield names that refer to nothing, or to what they cannot mean."""
    yield from _models(settings)
    yield from _competing(settings)
    yield from _correction(settings)
    yield from _primary(settings)
    yield from _families(settings)
    yield from _levels(settings)
    yield from _sections(settings)


def _models(settings: Settings) -> Iterator[Problem]:
    models, known = settings.part("models"), [*sorted(MODEL_TERMS), *settings.names("covariates")]
    for model, terms in models.values.items():
        for position, term in enumerate(terms):
            if terms.index(term) < position:
                yield models.problem(f"`{term}` is in this model twice", model, position)
            else:
                yield from models.must_be_known(term, "covariate", known, model, position)


def _competing(settings: Settings) -> Iterator[Problem]:
    types = {name: endpoint.get("type") for name, endpoint in settings.parts("endpoints")}
    for name, endpoint in settings.parts("endpoints"):
        competing = endpoint.get("competing")
        if competing == name:
            yield endpoint.problem("an endpoint does not compete with itself", "competing")
        elif types.get(competing) == "binary":
            yield endpoint.problem(
                f"`{competing}` is binary; what competes needs follow-up, as survival endpoints have",
                "competing",
            )
        else:
            known = [other for other in settings.names("endpoints") if types.get(other) != "binary"]
            yield from endpoint.must_be_known(competing, "survival endpoint", known, "competing")


def _correction(settings: Settings) -> Iterator[Problem]:
    correction, cohorts = settings.part("correction"), dict(settings.parts("cohorts"))
    for kind, cohort in correction.get("reference", {}).items():
        place = ("reference", kind)
        yield from correction.must_be_known(cohort, "cohort", settings.names("cohorts"), *place)
        if cohort in cohorts and not _is_reference(cohorts[cohort]) and not _on_evaluated(correction):
            yield correction.problem(
                f"cohort `{cohort}` is evaluated, so no correction may be fitted on it; "
                f'if it is not meant to be, add `role = "reference"` to it; to fit on it all the same, '
                f"and have that marked, say `cross_fit = 10` under [correction]",
                *place,
            )


def _primary(settings: Settings) -> Iterator[Problem]:
    primary = settings.part("analysis").get("primary", {})
    place, cohorts = ("analysis", "primary"), dict(settings.parts("cohorts"))
    part = Part(place, primary, primary)
    for key, section in (("cohort", "cohorts"), ("endpoint", "endpoints"), ("model", "models")):
        yield from part.must_be_known(primary.get(key), key, settings.names(section), key)
    cohort, endpoint = primary.get("cohort"), primary.get("endpoint")
    if cohort in cohorts and _is_reference(cohorts[cohort]):
        yield part.problem(f"cohort `{cohort}` is a reference, and not evaluated", "cohort")
    types = {name: e.get("type") for name, e in settings.parts("endpoints")}
    if types.get(endpoint) == "binary":
        yield part.problem(
            f"`{endpoint}` is binary; the primary estimate is a hazard ratio, of a survival endpoint",
            "endpoint",
        )


def _families(settings: Settings) -> Iterator[Problem]:
    for name, family in settings.part("analysis").get("families", {}).items():
        part = Part(("analysis", "families", name), family, family)
        for section in ("cohorts", "endpoints", "models"):
            for position, member in enumerate(family.get(section) or ()):
                yield from part.must_be_known(
                    member, section[:-1], settings.names(section), section, position
                )


def _levels(settings: Settings) -> Iterator[Problem]:
    """Subgroups, strata and clusters are levels: of the images, or of categorical covariates."""
    categorical = [
        name
        for name, covariate in settings.parts("covariates")
        if covariate.has("type") and covariate.get("type") != "continuous"
    ]
    known = [*LEVELS_OF_IMAGES, *categorical]
    analysis = settings.part("analysis")
    for position, name in enumerate(analysis.get("subgroups", ())):
        yield from analysis.must_be_known(name, "categorical covariate", known, "subgroups", position)
    for _, endpoint in settings.parts("endpoints"):
        for position, name in enumerate(endpoint.get("strata", ())):
            yield from endpoint.must_be_known(name, "categorical covariate", known, "strata", position)
        yield from endpoint.must_be_known(endpoint.get("cluster"), "categorical covariate", known, "cluster")


def _sections(settings: Settings) -> Iterator[Problem]:
    if not settings.has("subjects"):
        for section in ("endpoints", "covariates", "linkage"):
            if settings.has(section):
                yield Problem((section,), "needs a [subjects] table to be taken from")
    cohorts = dict(settings.parts("cohorts"))
    if cohorts and settings.has("endpoints") and all(map(_is_reference, cohorts.values())):
        yield Problem(("cohorts",), 'every cohort has `role = "reference"`; at least one has to be evaluated')


def _on_evaluated(correction: Part) -> bool:
    """Tell whether a fit on evaluated subjects is asked for; where its keys are misspelt it may be."""
    same_cohort = correction.has("same_cohort") and correction.get("same_cohort", True)
    return bool(correction.has("cross_fit") or same_cohort)


def _is_reference(cohort: Part) -> bool:
    """Tell whether a cohort is not evaluated; where its role is misspelt it may be either."""
    return bool(cohort.get("role", None if cohort.has("role") else "analysis") != "analysis")

"""Sensitivity analyses, splines, subgroups and families, as a study gets them, held against R."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from spinescore.core.statistics.estimate import Estimate, normal_quantile
from spinescore.core.statistics.multiplicity import adjust_benjamini_hochberg, adjust_holm
from spinescore.core.statistics.proportional_hazards import TRANSFORMS
from spinescore.core.verification.case import (
    CLOSED_FORM,
    ITERATED,
    Case,
    Comparison,
    Family,
    compare,
    compare_estimate,
)
from spinescore.core.verification.references import References
from spinescore.core.verification.study import CLOCKS, MODELS, ReferenceStudy
from spinescore.domain import CurvePoint, Result

VARIANTS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("main", "main", {}),
    ("robust errors", "robust", {"variant": "robust", "method": "sandwich"}),
    ("clustered errors", "cluster", {"variant": "robust", "method": "cluster"}),
    ("strata of site and sex", "strata", {"variant": "strata"}),
    ("age as the time scale", "age_scale", {"variant": "age_scale"}),
    ("age as a spline", "age_spline", {"variant": "age_spline"}),
    ("landmark at 1 year", "landmark_1", {"variant": "landmark", "horizon_years": 1.0}),
    ("landmark at 2.5 years", "landmark_2.5", {"variant": "landmark", "horizon_years": 2.5}),
)
SUBGROUPS = {"sex": "sex", "age_band": "band", "smoking": "smoking", "site": "site"}
OUTCOME = {"plain": "Surv(exit, status == 1)", "late": "Surv(entry, exit, status == 1)"}


def association_family(references: References) -> Family:
    """Return the cases that go through the rows of a study."""
    return Family("association", "Association, as a study's rows", tuple(_cases(references)))


def _cases(references: References) -> Iterator[Case]:
    study = ReferenceStudy(references)
    for clock in CLOCKS:
        for model, terms in MODELS.items():
            yield from _model_cases(
                study, clock, model, f"coxph({OUTCOME[clock]} ~ pad + {' + '.join(terms)})"
            )
    yield Case(
        key="standardised-rates",
        title="Age- and sex-standardised rates per 1,000 person-years",
        convention="direct, to all person-years; Fay and Feuer's interval",
        call="their formulae, written out (association.R)",
        source="association",
        compare=partial(_rates, study),
    )
    yield Case(
        key="adjusted-p",
        title="Adjusted p values",
        convention="Holm, and Benjamini and Hochberg",
        call='p.adjust(p, "holm"); p.adjust(p, "BH")',
        source="association",
        compare=partial(_adjusted, references),
    )


def _model_cases(study: ReferenceStudy, clock: str, model: str, call: str) -> Iterator[Case]:
    words = f"{model} model{', late entry' if clock == 'late' else ''}"
    for key, title, convention, function, compute in (
        (
            "variants",
            "Log hazard ratio per SD and its variants",
            "Efron's ties; the SD is of everybody",
            f"{call} with cluster(), strata(site, sex), rcspline.eval(age) ...",
            _variants,
        ),
        (
            "transforms",
            "Proportional hazards on three time scales, and within strata",
            "score test of survival >= 3.0; the time scale ignores strata",
            f"cox.zph({call}, transform)",
            _transforms,
        ),
        (
            "spline",
            "PAD as a restricted cubic spline",
            "4 knots at Harrell's quantiles; against PAD 0; Wald and likelihood-ratio tests",
            f"{call} on rcspline.eval(pad, nk = 4)",
            _spline,
        ),
        (
            "beta-over-time",
            "Log hazard ratio over time",
            "natural spline of 4 df through scaled Schoenfeld residuals",
            f"lm.fit(ns(cox.zph({call})$x), residuals)",
            _beta,
        ),
        (
            "subgroups",
            "Log hazard ratio per SD in subgroups, and interactions",
            "a model within each level; likelihood ratio of pad x level",
            f"{call} in each level; logLik with and without pad:level",
            _subgroups,
        ),
    ):
        yield Case(
            key=f"{key}-{clock}-{model}",
            title=f"{title}: {words}",
            convention=convention,
            call=function,
            source="association",
            compare=partial(compute, study, clock, model),
        )


def _theirs(study: ReferenceStudy, clock: str, model: str) -> dict[str, Any]:
    found: dict[str, Any] = study.references.numbers["association"][clock][model]
    return found


def _log_ratio(row: Result, theirs: dict[str, Any], scale: float, name: str) -> Iterator[Comparison]:
    value = None if row.value is None else math.log(row.value)
    reference = {"value": theirs["coef"] * scale, "se": theirs["se"] * scale}
    yield from compare_estimate(Estimate(value=value, se=row.se), reference, ITERATED, name)


def _variants(study: ReferenceStudy, clock: str, model: str) -> Iterator[Comparison]:
    theirs, sd = _theirs(study, clock, model), study.references.numbers["association"]["sd"]
    place = {"analysis": "cox", "endpoint": clock, "cause": clock, "model": model, "sample": "own_n"}
    shared = place | {"statistic": "hr_per_sd", "variant": "main", "term": None, "group": None}
    counts: list[tuple[int | None, int]] = []
    for name, key, keys in VARIANTS:
        row = study.row(**(shared | {"predictor": "pad_corrected", "horizon_years": None} | keys))
        yield from _log_ratio(row, theirs[key], sd["pad"], name)
        counts += [(row.n, theirs[key]["n"]), (row.events, theirs[key]["events"])]
    raw = study.row(**shared, predictor="pad_raw", horizon_years=None)
    yield from _log_ratio(raw, theirs["main_raw"], sd["pad_raw"], "raw PAD")
    yield compare("subjects and events of each", [ours for ours, _ in counts], [r for _, r in counts])


def _transforms(study: ReferenceStudy, clock: str, model: str) -> Iterator[Comparison]:
    theirs = _theirs(study, clock, model)
    keys = {"analysis": "ph_test", "endpoint": clock, "model": model}
    for variant, key in (("main", "zph"), ("strata", "strata_zph")):
        every = ("pad_corrected", *MODELS[model], "global")
        terms = [term for term in every if (term, variant) != ("sex", "strata")]
        for transform in TRANSFORMS:
            rows = [study.row(**keys, variant=variant, method=transform, term=term) for term in terms]
            name, numbers = f"{variant}, {transform}", theirs[key][transform]
            yield compare(
                f"{name}: chi-squared of each term", [r.value for r in rows], numbers["chisq"], ITERATED
            )
            yield compare(f"{name}: p of each term", [r.p_value for r in rows], numbers["p"], ITERATED)
    concordances = {"endpoint": clock, "model": model, "variant": "strata"}
    both = [study.row(analysis="concordance", predictor=p, **concordances) for p in ("pad_corrected", None)]
    numbers = theirs["strata_c"]
    yield compare("C within strata, with and without PAD", [r.value for r in both], numbers["c"])
    yield compare("their SE", [r.se for r in both], numbers["se"], ITERATED)
    difference = study.row(analysis="concordance_difference", **concordances)
    yield compare("SE of their difference", difference.se, numbers["se_difference"], ITERATED)


def _reach(points: list[CurvePoint], *, log: bool) -> list[float]:
    """Return the standard errors that intervals were made from."""
    z = normal_quantile(0.95)
    pairs = [(point.lower or 0.0, point.upper or 0.0) for point in points]
    return [(math.log(high / low) if log else high - low) / 2 / z for low, high in pairs]


def _spline(study: ReferenceStudy, clock: str, model: str) -> Iterator[Comparison]:
    theirs = _theirs(study, clock, model)["spline"]
    keys = {"analysis": "spline", "endpoint": clock, "model": model}
    yield compare("knots", [study.row(**keys, term=f"knot {k}").value for k in range(1, 5)], theirs["knots"])
    for term in ("global", "nonlinear"):
        for method, key in (("wald", "wald"), ("likelihood_ratio", "lr")):
            row = study.row(**keys, term=term, method=method)
            yield compare(f"{method.replace('_', ' ')}, {term}", row.value, theirs[f"{key}_{term}"], ITERATED)
    line = study.points("spline", clock, model)
    curve = compare(
        f"log hazard ratio at {len(line)} values", [math.log(p.y) for p in line], theirs["log_hr"], ITERATED
    )
    yield curve
    yield compare(f"SE at {len(line)} values", _reach(line, log=True), theirs["se"], ITERATED)


def _beta(study: ReferenceStudy, clock: str, model: str) -> Iterator[Comparison]:
    theirs, scale = (
        _theirs(study, clock, model)["beta_t"],
        study.references.numbers["association"]["sd"]["pad"],
    )
    line = study.points("ph_test", clock, model)
    at = np.searchsorted(np.array(theirs["time"]) + 1e-6, [p.x for p in line])
    value, se = (np.array(theirs[name])[at] * scale for name in ("value", "se"))
    yield compare(f"log hazard ratio at {len(line)} times", [p.y for p in line], value, ITERATED)
    yield compare(f"SE at {len(line)} times", _reach(line, log=False), se, ITERATED)


def _subgroups(study: ReferenceStudy, clock: str, model: str) -> Iterator[Comparison]:
    every, sd = _theirs(study, clock, model), study.references.numbers["association"]["sd"]["pad"]
    keys = {"analysis": "subgroup", "endpoint": clock, "model": model}
    for name, key in SUBGROUPS.items():
        theirs = every.get(f"subgroup_{key}")
        if theirs is None:
            continue
        for level, part in theirs["levels"].items():
            if "coef" not in part or part["infinite"]:
                continue  # too few events, or no maximum: null here, whatever R prints
            label = f"{name}={level.strip('[)').replace(',', '-')}"
            yield from _log_ratio(study.row(**keys, subgroup=label), part, sd, label)
        row = study.row(**keys, subgroup=name)
        yield compare(f"{name}: interaction, likelihood ratio", row.value, theirs["lr"], ITERATED)


def _rates(study: ReferenceStudy) -> Iterator[Comparison]:
    keys = {"analysis": "incidence", "endpoint": "plain", "cause": "plain"}
    numbers = study.references.numbers["association"]["standardised"]
    for label, theirs in zip(("T1", "T2", "T3"), numbers, strict=True):
        row = study.row(**keys, group=label, statistic="standardised_rate_per_1000_py")
        ours = Estimate(value=row.value, se=row.se, lower=row.lower, upper=row.upper)
        reference = {"value": theirs["rate"]} | {name: theirs[name] for name in ("se", "lower", "upper")}
        yield from compare_estimate(ours, reference, CLOSED_FORM, label)


def _adjusted(references: References) -> Iterator[Comparison]:
    theirs = references.numbers["association"]["p_adjust"]
    p = np.array(theirs["p"])
    yield compare(f"Holm, {len(p)} p values", adjust_holm(p), theirs["holm"])
    yield compare(f"Benjamini-Hochberg, {len(p)} p values", adjust_benjamini_hochberg(p), theirs["bh"])

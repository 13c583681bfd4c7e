"""Sensitivity analyses, splines, subgroups and families, as a study gets them, held against R."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from spinescore.core.statistics.assembly.setting import prepare_setting
from spinescore.core.statistics.assembly.spline_rows import fit_spline, trace_spline
from spinescore.core.statistics.assembly.survival_data import read_survival
from spinescore.core.statistics.estimate import Estimate, normal_quantile
from spinescore.core.statistics.multiplicity import adjust_benjamini_hochberg, adjust_holm
from spinescore.core.statistics.proportional_hazards import TRANSFORMS
from spinescore.core.verification.case import ITERATED, Case, Comparison, compare, compare_estimate
from spinescore.core.verification.references import ENTRIES, OUTCOME, References
from spinescore.core.verification.study import MODELS, ReferenceStudy
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
    ("raw PAD", "main_raw", {"predictor": "pad_raw"}),
    (
        "raw PAD, robust errors",
        "robust_raw",
        {"predictor": "pad_raw", "variant": "robust", "method": "sandwich"},
    ),
)
SUBGROUPS = {"sex": "sex", "age_band": "band", "smoking": "smoking", "site": "site"}


def association_cases(references: References) -> Iterator[Case]:
    """Yield the cases that go through the rows of a study."""
    study = ReferenceStudy(references)
    for late, clock in ENTRIES:
        for model, terms in MODELS.items():
            call = f"coxph({OUTCOME[late]} ~ pad + {' + '.join(terms)})"
            yield from _model_cases(study, clock, model, call)
    yield Case(
        key="spline-cph",
        title="PAD as a restricted cubic spline: short model, as rms has it",
        convention="4 knots; against PAD 0; near-ties rounded to ties beforehand",
        call="anova(cph(~ rcs(pad, 4) + age + sex)), contrast(..., list(pad = c(-5, 3, 6)), list(pad = 0))",
        source="association",
        compare=partial(_spline_of_rms, study),
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
    scales: list[tuple[float | None, float]] = []
    for name, key, keys in VARIANTS:
        row = study.row(**(shared | {"predictor": "pad_corrected", "horizon_years": None} | keys))
        scale = sd["pad_raw" if key.endswith("raw") else "pad"]
        yield from _log_ratio(row, theirs[key], scale, name)
        counts += [(row.n, theirs[key]["n"]), (row.events, theirs[key]["events"])]
        scales.append((row.scale, scale))
    for words, pairs in (("subjects and events of each", counts), ("SD of each", scales)):
        yield compare(words, [ours for ours, _ in pairs], [r for _, r in pairs])


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
            yield compare(f"{name}: df of each term", [r.df for r in rows], numbers["df"])
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
    yield compare(f"{len(line)} values", [p.x for p in line], theirs["x"])
    ratios = [math.log(p.y) for p in line]
    yield compare(f"log hazard ratio at {len(line)} values", ratios, theirs["log_hr"], ITERATED)
    yield compare(f"SE at {len(line)} values", _reach(line, log=True), theirs["se"], ITERATED)


def _spline_of_rms(study: ReferenceStudy) -> Iterator[Comparison]:
    theirs = study.references.numbers["association"]["cph"]
    setting = prepare_setting(study.cohort, study.study, "beheshti", (), primary=False)
    found = fit_spline(read_survival(setting, "plain"), "short")
    value, lower, upper = trace_spline(found, np.array(theirs["at"], dtype=np.float64), 0.95)
    yield compare("log hazard ratio at 3 values", np.log(value), theirs["log_hr"], ITERATED)
    errors = np.log(upper / lower) / 2 / normal_quantile(0.95)
    yield compare("SE at 3 values", errors, theirs["se"], ITERATED)
    keys = {"analysis": "spline", "endpoint": "plain", "model": "short", "method": "wald"}
    for term in ("global", "nonlinear"):
        yield compare(f"wald, {term}", study.row(**keys, term=term).value, theirs[f"wald_{term}"], ITERATED)


def _beta(study: ReferenceStudy, clock: str, model: str) -> Iterator[Comparison]:
    theirs = _theirs(study, clock, model)["beta_t"]
    scale = study.references.numbers["association"]["sd"]["pad"]
    line = study.points("ph_test", clock, model)
    at = np.searchsorted(np.array(theirs["time"]) + 1e-6, [p.x for p in line])
    value, se = (np.array(theirs[name])[at] * scale for name in ("value", "se"))
    yield compare(f"{len(line)} times", [p.x for p in line], np.array(theirs["time"])[at])
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
            label = f"{name}={level.strip('[)').replace(',', '-')}"
            own = study.row(**keys, subgroup=label)
            if "coef" not in part or part["infinite"]:  # null here, whatever R prints
                why = "fewer than 5 events" if "coef" not in part else "no finite maximum"
                yield compare(f"{label}: none, {why}", own.value, None)
                continue
            yield from _log_ratio(own, part, sd, label)
            counts = [own.n, own.events]
            yield compare(f"{label}: subjects and events", counts, [part["n"], part["events"]])
        row = study.row(**keys, subgroup=name)
        yield compare(f"{name}: interaction, likelihood ratio", row.value, theirs["lr"], ITERATED)
        yield compare(f"{name}: its df and subjects", [row.df, row.n], [theirs["df"], theirs["n"]])


def _rates(study: ReferenceStudy) -> Iterator[Comparison]:
    keys = {"analysis": "incidence", "endpoint": "plain", "cause": "plain"}
    numbers = study.references.numbers["association"]["standardised"]
    for label, theirs in zip(("T1", "T2", "T3"), numbers, strict=True):
        row = study.row(**keys, group=label, statistic="standardised_rate_per_1000_py")
        ours = Estimate(value=row.value, se=row.se, lower=row.lower, upper=row.upper)
        reference = {"value": theirs["rate"]} | {name: theirs[name] for name in ("se", "lower", "upper")}
        yield from compare_estimate(ours, reference, name=label)
        counts = [row.person_years, row.events]
        yield compare(f"{label}: person-years and events", counts, [theirs["person_years"], theirs["events"]])


def _adjusted(references: References) -> Iterator[Comparison]:
    theirs = references.numbers["association"]["p_adjust"]
    p = np.array(theirs["p"])
    yield compare(f"Holm, {len(p)} p values", adjust_holm(p), theirs["holm"])
    yield compare(f"Benjamini-Hochberg, {len(p)} p values", adjust_benjamini_hochberg(p), theirs["bh"])

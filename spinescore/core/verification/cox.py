"""Cox models: coefficients, errors of every kind, strata, late entry, likelihood ratios and PH tests."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
import polars as pl

from spinescore.core.statistics.concordance import measure_concordance
from spinescore.core.statistics.cox import compare_nested, fit_cox
from spinescore.core.statistics.cox_residuals import robust_covariance, score_residuals
from spinescore.core.statistics.proportional_hazards import (
    check_proportional_hazards,
    measure_residuals,
    transform_times,
)
from spinescore.core.statistics.times import stratify
from spinescore.core.verification.case import (
    ITERATED,
    Case,
    Comparison,
    compare,
    compare_coefficients,
    compare_each,
    compare_likelihoods,
)
from spinescore.core.verification.eight_subjects import eight_subject_cases
from spinescore.core.verification.references import ENTRIES, OUTCOME, SIX, References, design_of, follow_up_of

THREE = SIX[:3]
TERMS = {"pad": [0], "age": [1], "sex": [2], "bmi": [3], "region": [4, 5]}
EFRON = "Efron's ties, no penalty"
STRATA = {
    "strata": (pl.col("sex") + pl.col("region")).rank("dense") - 1,
    "strata_late": pl.col("region").rank("dense") - 1,
    "strata_cluster": pl.col("region").rank("dense") - 1,
}
CLUSTERS = {"robust": "cluster(id)", "cluster": "cluster(id %% 17)"}
RIGHT = "pad + age + sex + bmi + region"


def cox_cases(references: References) -> Iterator[Case]:
    """Yield the cases of Cox models."""
    for late, kind in ENTRIES:
        data = "late entry" if late else "heavy ties"
        yield Case(
            key=f"cox-{kind}",
            title=f"Cox model: {data}, incomplete covariates left out",
            convention=EFRON,
            call=f"coxph({OUTCOME[late]} ~ {RIGHT})",
            source="survival",
            compare=partial(_plain, references, late=late, kind=kind),
        )
        yield Case(
            key=f"zph-{kind}",
            title=f"Tests of proportional hazards{', late entry' if late else ''}",
            convention="score test of survival >= 3.0 on the Kaplan-Meier time scale; a categorical "
            "covariate is one term",
            call=f'cox.zph(coxph({OUTCOME[late]} ~ {RIGHT}), transform = "km")',
            source="survival",
            compare=partial(_zph, references, late=late, kind=kind),
        )
    yield Case(
        key="cox-competing",
        title="Cox model of the competing cause",
        convention=f"cause-specific: the other cause censors; {EFRON}",
        call="coxph(Surv(exit, status == 2) ~ pad + age)",
        source="survival",
        compare=partial(_competing, references),
    )
    for name, words in (("robust", "robust"), ("cluster", "cluster-robust (17 clusters)")):
        for late in (False, True):
            yield Case(
                key=f"cox-{name}{'-late' if late else ''}",
                title=f"Cox model, {words} standard errors{', late entry' if late else ''}",
                convention="sandwich of the score residuals under Efron's ties; no small-sample factor",
                call=f"coxph({OUTCOME[late]} ~ pad + age + sex + {CLUSTERS[name]})",
                source="cox_variants",
                compare=partial(_robust, references, name=name, late=late),
            )
    for name, more in (
        ("strata", ""),
        ("strata_late", ", late entry"),
        ("strata_cluster", ", cluster-robust errors"),
    ):
        strata = "strata(sex, region)" if name == "strata" else "strata(region)"
        cluster = f" + {CLUSTERS['cluster']}" if name == "strata_cluster" else ""
        yield Case(
            key=f"cox-{name.replace('_', '-')}",
            title=f"Stratified Cox model{more}",
            convention=f"a baseline hazard per stratum; {EFRON}",
            call=f"coxph({OUTCOME[name == 'strata_late']} ~ pad + age + {strata}{cluster})",
            source="cox_variants",
            compare=partial(_stratified, references, name),
        )
    yield from eight_subject_cases(references)


def _plain(references: References, *, late: bool, kind: str) -> Iterator[Comparison]:
    data, theirs = references.complete, references.numbers["survival"]["cox"]
    times, x = follow_up_of(data, late=late), design_of(data, SIX)
    event = np.asarray(times.status == 1)
    larger, smaller = fit_cox(times, event, x), fit_cox(times, event, x[:, 1:])
    for fit, name, terms, of in (
        (larger, kind, SIX, ""),
        (smaller, f"{kind}_without", SIX[1:], " (model without pad)"),
    ):
        yield from compare_coefficients(terms, fit.coefficients, fit.covariance, theirs[name], of=of)
        yield compare_likelihoods(fit, theirs[name]["loglik"], of)
    counts = [larger.n, larger.events]
    yield compare("subjects and events", counts, [theirs[kind]["n"], theirs[kind]["events"]])
    if not late:
        ratio = compare_nested(smaller, larger).value
        yield compare("likelihood ratio of adding pad", ratio, theirs["lr_plain"], ITERATED)


def _competing(references: References) -> Iterator[Comparison]:
    theirs, names = references.numbers["survival"]["cox"]["competing"], SIX[:2]
    times = follow_up_of(references.cohort)
    fit = fit_cox(times, np.asarray(times.status == 2), design_of(references.cohort, names))
    yield from compare_coefficients(names, fit.coefficients, fit.covariance, theirs)


def _zph(references: References, *, late: bool, kind: str) -> Iterator[Comparison]:
    data, theirs = references.complete, references.numbers["survival"]["zph"][kind]
    times, x = follow_up_of(data, late=late), design_of(data, SIX)
    event = np.asarray(times.status == 1)
    residuals = measure_residuals(times, event, x, fit_cox(times, event, x))
    scale = transform_times(times, event, residuals.times, "km")
    tests = check_proportional_hazards(residuals, scale, TERMS)
    names = (*TERMS, "global")
    yield from compare_each("chi-squared", names, [tests[n].value for n in names], theirs["chisq"])
    yield compare("degrees of freedom", [tests[n].df for n in names], theirs["df"])
    yield from compare_each("p", names, [tests[n].p_value for n in names], theirs["p"])


def _robust(references: References, *, name: str, late: bool) -> Iterator[Comparison]:
    data, theirs = references.complete, references.numbers["cox_variants"][f"{name}_late" if late else name]
    times, x = follow_up_of(data, late=late), design_of(data, THREE)
    event = np.asarray(times.status == 1)
    fit = fit_cox(times, event, x)
    clusters = (data["id"] % 17).to_numpy() if name == "cluster" else None
    covariance = robust_covariance(score_residuals(times, event, x, fit), fit.covariance, clusters)
    for label, found, name in (("SE", covariance, "se"), ("model-based SE", fit.covariance, "naive_se")):
        yield from compare_each(label, THREE, np.sqrt(np.diag(found)), theirs[name], ITERATED)


def _stratified(references: References, name: str) -> Iterator[Comparison]:
    data, theirs, names = references.complete, references.numbers["cox_variants"][name], SIX[:2]
    strata = data.select(STRATA[name].cast(pl.Int64)).to_series().to_numpy()
    times, x = stratify(follow_up_of(data, late=name == "strata_late"), strata), design_of(data, names)
    event = np.asarray(times.status == 1)
    fit = fit_cox(times, event, x)
    covariance = fit.covariance
    if name == "strata_cluster":
        clusters = (data["id"] % 17).to_numpy()
        covariance = robust_covariance(score_residuals(times, event, x, fit), covariance, clusters)
    yield from compare_coefficients(names, fit.coefficients, covariance, theirs)
    yield compare_likelihoods(fit, theirs["loglik"])
    found = measure_concordance(times, event, x @ fit.coefficients)
    yield compare("concordance within strata", found.c, theirs["c"])

"""Discrimination: ROC areas, concordance, areas and scores at horizons."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from spinescore.core.statistics.concordance import (
    Concordance,
    compare_concordance,
    estimate_concordance,
    measure_concordance,
    measure_uno_concordance,
)
from spinescore.core.statistics.cox import fit_cox
from spinescore.core.statistics.discrimination import compare_auc, estimate_auc, measure_auc
from spinescore.core.statistics.time_dependent import (
    Measure,
    compare_measures,
    estimate_measure,
    measure_auc_at,
    measure_brier,
    measure_ipa,
    measure_null_brier,
    weigh_horizon,
)
from spinescore.core.verification.case import (
    CLOSED_FORM,
    ITERATED,
    Case,
    Comparison,
    compare,
    compare_estimate,
)
from spinescore.core.verification.references import (
    ENTRIES,
    OUTCOME,
    SIX,
    References,
    cases_of,
    design_of,
    follow_up_of,
)

IPCW = (
    "cases weigh 1/G(T-), controls 1/G(t), G by Kaplan-Meier; at a tie events leave before censorings; half "
    "credit for tied scores"
)


def discrimination_cases(references: References) -> Iterator[Case]:
    """Yield the cases of discrimination."""
    yield from _binary_cases(references)
    for late, kind in ENTRIES:
        yield Case(
            key=f"harrell-{kind}",
            title=f"Harrell's C of two nested Cox models, and the difference{', late entry' if late else ''}",
            convention="infinitesimal-jackknife variance of the pair; events before censorings at a tie",
            call=f"concordance(coxph({OUTCOME[late]} ~ pad + ...), coxph({OUTCOME[late]} ~ ...))",
            source="survival",
            compare=partial(_harrell, references, late=late, kind=kind),
        )
    yield Case(
        key="harrell-single",
        title="Harrell's C of one predictor with tied values",
        convention="half credit for tied predictions",
        call="concordance(Surv(exit, status == 1) ~ spine_age, reverse = TRUE)",
        source="survival",
        compare=partial(_harrell_single, references),
    )
    for name, until in (("all", np.inf), ("until_5", 5.0)):
        more = "" if np.isinf(until) else ", ymax = 5"
        yield Case(
            key=f"uno-{name.replace('_', '-')}",
            title=f"Uno's C{'' if np.isinf(until) else ' until 5 years'}",
            convention="weights 1/G(T-)^2",
            call=f'concordance(Surv(exit, first) ~ spine_age, reverse = TRUE, timewt = "n/G2"{more})',
            source="time_dependent",
            compare=partial(_uno, references, name, until),
        )
    yield Case(
        key="uno-pair",
        title="Uno's C of two Cox models and their difference, until 5 years",
        convention="weights 1/G(T-)^2",
        call='concordance(coxph(~ pad + age), coxph(~ age), timewt = "n/G2", ymax = 5)',
        source="time_dependent",
        compare=partial(_uno_pair, references),
    )
    for kind in ("competing", "alone"):
        for metric in ("auc", "brier"):
            for horizon in references.numbers["time_dependent"]["times"]:
                yield _horizon_case(references, kind, metric, horizon)


def _horizon_case(references: References, kind: str, metric: str, horizon: float) -> Case:
    compete = kind == "competing"
    controls = "; competing events before t are controls of weight 1/G(T-)" if compete else ""
    outcome = "Hist(exit, status)" if compete else "Surv(exit, first)"
    title = "AUC" if metric == "auc" else "Brier score and IPA"
    years = "year" if horizon == 1 else "years"
    return Case(
        key=f"ipcw-{metric}-{kind}-{horizon:g}",
        title=f"{title} at {horizon:g} {years} where {'events compete' if compete else 'nothing competes'}",
        convention=IPCW + controls,
        call=f'Score(list(A, B), {outcome} ~ 1, times = {horizon:g}, metrics = "{metric}", '
        'cens.model = "km", conservative = FALSE)',
        source="time_dependent",
        compare=partial(_at_horizon, references, kind, metric, horizon),
    )


def _binary_cases(references: References) -> Iterator[Case]:
    yield Case(
        key="delong",
        title="ROC areas",
        convention="DeLong's variance; higher means disease, so an area may be below one half",
        call='ci.auc(roc(fracture, x, direction = "<"), method = "delong")',
        source="roc",
        compare=partial(_areas, references),
    )
    yield Case(
        key="delong-paired",
        title="Difference of two ROC areas of the same subjects",
        convention="paired DeLong test",
        call='roc.test(spine, age, method = "delong", paired = TRUE)',
        source="roc",
        compare=partial(_paired_areas, references),
    )


def _areas(references: References) -> Iterator[Comparison]:
    case = cases_of(references.cohort)
    for name in ("spine_age", "age", "pad"):
        theirs = references.numbers["roc"][name]
        found = estimate_auc(measure_auc(case, references.cohort[name].to_numpy()), 0.95)
        reference = {"value": theirs["auc"], "se": np.sqrt(theirs["var"])}
        reference |= {"lower": theirs["ci"][0], "upper": theirs["ci"][2]}
        yield from compare_estimate(found, reference, name=name)


def _paired_areas(references: References) -> Iterator[Comparison]:
    case, theirs = cases_of(references.cohort), references.numbers["roc"]["paired"]
    spine, age = (measure_auc(case, references.cohort[name].to_numpy()) for name in ("spine_age", "age"))
    found = compare_auc(spine, age, 0.95, test=True)
    reference = {
        "value": theirs["difference"],
        "se": theirs["difference"] / theirs["z"],
        "p_value": theirs["p"],
    }
    yield from compare_estimate(found, reference, name="spine_age less age")


def _pair(
    first: Concordance, second: Concordance, theirs: dict[str, Any], tolerance: float = CLOSED_FORM
) -> Iterator[Comparison]:
    """Compare two concordances, their standard errors and that of their difference."""
    variance = np.array(theirs["var"])
    names = ("with pad", "without pad")
    for position, (name, found) in enumerate(zip(names, (first, second), strict=True)):
        reference = {"value": theirs["c"][position], "se": np.sqrt(variance[position, position])}
        yield from compare_estimate(estimate_concordance(found, 0.95), reference, tolerance, name)
    contrast = float(variance[0, 0] + variance[1, 1] - 2 * variance[0, 1])
    reference = {"value": theirs["c"][0] - theirs["c"][1], "se": np.sqrt(contrast)}
    yield from compare_estimate(compare_concordance(first, second, 0.95), reference, ITERATED, "difference")


def _harrell(references: References, *, late: bool, kind: str) -> Iterator[Comparison]:
    data = references.complete
    times, x = follow_up_of(data, late=late), design_of(data, SIX)
    event = np.asarray(times.status == 1)
    larger, smaller = (
        measure_concordance(times, event, m @ fit_cox(times, event, m).coefficients) for m in (x, x[:, 1:])
    )
    yield from _pair(larger, smaller, references.numbers["survival"]["concordance"][kind])


def _harrell_single(references: References) -> Iterator[Comparison]:
    times, theirs = follow_up_of(references.cohort), references.numbers["survival"]["concordance"]["single"]
    score = references.cohort["spine_age"].to_numpy()
    found = measure_concordance(times, np.asarray(times.status == 1), score)
    reference = {"value": theirs["c"], "se": np.sqrt(theirs["var"])}
    yield from compare_estimate(estimate_concordance(found, 0.95), reference)


def _uno(references: References, name: str, until: float) -> Iterator[Comparison]:
    times, theirs = (
        follow_up_of(references.cohort, competing=False),
        references.numbers["time_dependent"]["uno"][name],
    )
    score = references.cohort["spine_age"].to_numpy()
    found = measure_uno_concordance(times, np.asarray(times.status == 1), score, until)
    reference = {"value": theirs["c"], "se": np.sqrt(theirs["var"])}
    yield from compare_estimate(estimate_concordance(found, 0.95), reference)


def _uno_pair(references: References) -> Iterator[Comparison]:
    times = follow_up_of(references.cohort, competing=False)
    event = np.asarray(times.status == 1)
    designs = (design_of(references.cohort, names) for names in (("pad", "age"), ("age",)))
    larger, smaller = (
        measure_uno_concordance(times, event, x @ fit_cox(times, event, x).coefficients, 5.0) for x in designs
    )
    yield from _pair(larger, smaller, references.numbers["time_dependent"]["uno"]["pair"], ITERATED)


def _risks(references: References) -> dict[str, Any]:
    age, pad = (references.cohort[name].to_numpy() for name in ("age", "pad"))
    linear = {"A": pad / 4 + age / 20 - 4.5, "B": age / 20 - 4}
    return {name: 1 / (1 + np.exp(-value)) for name, value in linear.items()}


def _rows(table: dict[str, list[Any]], horizon: float) -> Iterator[dict[str, Any]]:
    for values in zip(*table.values(), strict=True):
        row = dict(zip(table, values, strict=True))
        if row["times"] == horizon:
            yield row


def _at_horizon(references: References, kind: str, metric: str, horizon: float) -> Iterator[Comparison]:
    numbers = references.numbers["time_dependent"][kind]
    times = follow_up_of(references.cohort, competing=kind == "competing")
    weighed, risks = weigh_horizon(times, horizon), _risks(references)
    if metric == "auc":
        measures: dict[str, Measure] = {name: measure_auc_at(weighed, risk) for name, risk in risks.items()}
    else:
        measures = {name: measure_brier(weighed, risk) for name, risk in risks.items()}
        measures["Null model"] = measure_null_brier(weighed, times, horizon)
    yield from _scores(measures, _rows(numbers[metric], horizon), metric)
    yield from _contrasts(measures, _rows(numbers[f"{metric}_contrasts"], horizon), metric)


def _scores(
    measures: dict[str, Measure], rows: Iterator[dict[str, Any]], metric: str
) -> Iterator[Comparison]:
    column, bounds = ("AUC", ("lower", "upper")) if metric == "auc" else ("Brier", ())
    for row in rows:
        found = estimate_measure(measures[row["model"]], 0.95)
        reference = {"value": row[column], "se": row["se"]} | {bound: row[bound] for bound in bounds}
        yield from compare_estimate(found, reference, name=row["model"])
        if metric == "brier" and row["model"] != "Null model":
            ipa = measure_ipa(measures[row["model"]], measures["Null model"])
            yield compare(f"{row['model']}: IPA", ipa.value, row["IPA"], ITERATED)


def _contrasts(
    measures: dict[str, Measure], rows: Iterator[dict[str, Any]], metric: str
) -> Iterator[Comparison]:
    column = "delta.AUC" if metric == "auc" else "delta.Brier"
    for row in rows:
        found = compare_measures(measures[row["model"]], measures[row["reference"]], 0.95, test=True)
        reference = {"value": row[column], "se": row["se"], "p_value": row["p"]}
        name = f"{row['model']} less {row['reference']}"
        yield from compare_estimate(found, reference, ITERATED, name)

"""Performance of fitted models, their optimism on given resamples, shares at cut-offs, reclassification."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from spinescore.core.statistics.classification import (
    classify_at_horizon,
    classify_cases,
    reclassify_cases,
)
from spinescore.core.statistics.criteria import Criterion, Judgement, Prediction, Yardstick
from spinescore.core.statistics.estimate import FloatArray
from spinescore.core.statistics.outcomes import (
    BinaryOutcome,
    Outcome,
    SurvivalOutcome,
    judge_resamples,
)
from spinescore.core.statistics.time_dependent import weigh_horizon
from spinescore.core.statistics.validation import estimate_optimism
from spinescore.core.verification.case import (
    CLOSED_FORM,
    ITERATED,
    Case,
    Comparison,
    compare,
    compare_estimate,
)
from spinescore.core.verification.references import References, cases_of, design_of, follow_up_of

KINDS = {"alone": "one cause", "competing": "two causes", "binary": "binary endpoint"}
DESIGNS = {"without": ("age", "sex=M", "bmi"), "with": ("pad", "age", "sex=M", "bmi")}
HORIZON = 2.5


def validation_cases(references: References) -> Iterator[Case]:
    """Yield the cases of validation and classification."""
    for kind, words in KINDS.items():
        fitted = {"alone": "coxph", "competing": "CSC", "binary": "glm"}[kind]
        yield Case(
            key=f"performance-{kind}",
            title=f"Performance of fitted models: {words}",
            convention="judged on the subjects they were fitted to; errors take the models as known; weights "
            "as Score's",
            call=f"Score(list(without, with), times = {HORIZON}) of {fitted} fits; each measure's function",
            source="validation",
            compare=partial(_performance, references, kind),
        )
        yield Case(
            key=f"optimism-{kind}",
            title=f"Optimism of fitted models: {words}",
            convention="Harrell's bootstrap: in the resample less in the sample, the whole fit repeated; the "
            "same four resamples on both sides",
            call=f"rowMeans over resamples of measure({fitted}) of each",
            source="validation",
            compare=partial(_optimism, references, kind),
        )
    yield Case(
        key="cut-offs",
        title="Sensitivity, specificity and predictive values at cut-offs",
        convention="Wilson's interval",
        call="prop.test(k, n, correct = FALSE)$conf.int",
        source="classification",
        compare=partial(_cut_offs, references),
    )
    for kind in ("alone", "competing"):
        outcome = "Surv(exit, first)" if kind == "alone" else "Hist(exit, status)"
        yield Case(
            key=f"cut-offs-{kind}",
            title=f"Sensitivity and specificity at {HORIZON} years: {KINDS[kind]}",
            convention="IPCW, a point of Score's ROC curve",
            call=f'Score(list(pad), {outcome} ~ 1, plots = "ROC", cens.model = "km")',
            source="classification",
            compare=partial(_cut_offs_at_horizon, references, kind),
        )
    yield Case(
        key="reclassification",
        title="IDI and continuous NRI",
        convention="standard errors that take the risks as known",
        call="Hmisc::improveProb(without, with, fracture)",
        source="classification",
        compare=partial(_reclassification, references),
    )


def _outcome(references: References, kind: str) -> Outcome:
    numbers = references.numbers["validation"]
    thresholds = np.array(numbers["thresholds"])
    if kind == "binary":
        return BinaryOutcome(cases_of(references.complete), thresholds)
    times = follow_up_of(references.complete, competing=kind == "competing")
    return SurvivalOutcome(times, Yardstick((numbers["horizon"],), numbers["tau"], thresholds))


def _designs(references: References) -> dict[str, FloatArray]:
    return {name: design_of(references.complete, columns) for name, columns in DESIGNS.items()}


def _compare_criteria(
    name: str, criteria: Sequence[Criterion], ours: Sequence[float | None], theirs: Sequence[float]
) -> Iterator[Comparison]:
    """Compare criterion by criterion; both numbers of calibration, one of which may be 0, as one."""
    together: dict[str, list[tuple[float | None, float]]] = {}
    for criterion, mine, reference in zip(criteria, ours, theirs, strict=True):
        label = f"{criterion.statistic.replace('_', ' ')} ({criterion.method.replace('_', ' ')})"
        if criterion.analysis == "calibration":
            label = "calibration intercept and slope"
        elif criterion.threshold is not None:
            label = f"net benefit at two thresholds ({criterion.method.replace('_', ' ')})"
        together.setdefault(label, []).append((mine, reference))
    for label, pairs in together.items():
        sides = [mine for mine, _ in pairs], [reference for _, reference in pairs]
        found = compare(f"{name}: {label}", sides[0], sides[1], ITERATED)
        yield replace(found, of_one_scale=label.startswith("calibration"))


def _judged(references: References, kind: str) -> Judgement:
    outcome = _outcome(references, kind)
    predictions = [_predict(outcome, design) for design in _designs(references).values()]
    return outcome.judge().estimate(predictions, 0.95)


def _predict(outcome: Outcome, design: FloatArray) -> Prediction:
    """Fit a model and predict for whom it was fitted to."""
    model = outcome.fit(design).model
    if model is None:
        raise ValueError("a model could not be fitted")
    return outcome.predict(model, design)


def _performance(references: References, kind: str) -> Iterator[Comparison]:
    numbers, found = references.numbers["validation"], _judged(references, kind)
    criteria = _outcome(references, kind).judge().criteria
    for name, measured in zip(DESIGNS, found.alone, strict=True):
        theirs = numbers["optimism"][kind][name]["apparent"]
        yield from _compare_criteria(f"{name} pad", criteria, [measured[c].value for c in criteria], theirs)
    yield from _as_score(numbers["whole"][kind], found, kind)


def _as_score(theirs: dict[str, Any], found: Judgement, kind: str) -> Iterator[Comparison]:
    """Compare what Score gives: areas, Brier scores and IPA of the two models, and their differences."""
    method, horizon = ("mean_square", None) if kind == "binary" else ("ipcw", HORIZON)
    area = Criterion("time_dependent_auc", "auc", method, horizon)
    area = Criterion("auc", "auc", "delong") if kind == "binary" else area
    brier, ipa = (Criterion(name, name, method, horizon) for name in ("brier", "ipa"))
    both = slice(-len(DESIGNS), None)  # Score's null model, where there is one, comes first
    for measured, name, value in zip(found.alone, DESIGNS, theirs["brier"]["IPA"][both], strict=True):
        yield compare(f"IPA {name} pad", measured[ipa].value, value, ITERATED)
    for criterion, table, column in ((area, "auc", "AUC"), (brier, "brier", "Brier")):
        values, errors = (theirs[table][name][both] for name in (column, "se"))
        for measured, name, value, se in zip(found.alone, DESIGNS, values, errors, strict=True):
            reference = {"value": value, "se": se}
            yield from compare_estimate(measured[criterion], reference, ITERATED, f"{column} {name} pad")
        contrasts, difference = theirs[f"{table}_contrasts"], criterion.difference
        if difference is None:
            raise ValueError(f"{column} has no difference")
        reference = {"value": np.ravel(contrasts[f"delta.{column}"])[-1], "se": np.ravel(contrasts["se"])[-1]}
        gain = found.difference[difference]
        yield from compare_estimate(gain, reference, ITERATED, f"difference of {column}")


def _optimism(references: References, kind: str) -> Iterator[Comparison]:
    numbers, designs = references.numbers["validation"], list(_designs(references).values())
    outcome = _outcome(references, kind)
    draws = [np.array(rows) for rows in numbers["draws"]]
    found = estimate_optimism(judge_resamples(outcome, designs), draws)
    yield compare("resamples used of each", found.used, np.full(len(found.used), len(draws)))
    first, second = (np.array(numbers["optimism"][kind][name]["optimism"]) for name in DESIGNS)
    criteria = outcome.judge().criteria
    parts = zip(("without pad", "with pad", "difference"), (first, second, second - first), strict=True)
    for block, (name, theirs) in enumerate(parts):
        ours = found.mean[block * len(criteria) : (block + 1) * len(criteria)]
        yield from _compare_criteria(name, criteria, ours.tolist(), theirs.tolist())


def _cut_offs(references: References) -> Iterator[Comparison]:
    numbers = references.numbers["classification"]
    case, pad = cases_of(references.complete), references.complete["pad"].to_numpy()
    for cut, theirs in zip(numbers["cuts"], numbers["wilson"], strict=True):
        found = classify_cases(case, np.asarray(pad >= cut), 0.95)
        for name, (value, lower, upper) in theirs.items():
            reference = {"value": value, "lower": lower, "upper": upper}
            yield from compare_estimate(found[name], reference, name=f"{name} at {cut:g}")


def _cut_offs_at_horizon(references: References, kind: str) -> Iterator[Comparison]:
    numbers, pad = references.numbers["classification"], references.complete["pad"].to_numpy()
    weighed = weigh_horizon(follow_up_of(references.complete, competing=kind == "competing"), HORIZON)
    for cut, theirs in zip(numbers["cuts"], numbers[kind], strict=True):
        found = classify_at_horizon(weighed, np.asarray(pad >= cut), 0.95)
        for name, value in theirs.items():
            yield compare(f"{name} at {cut:g}", found[name].value, value)


def _reclassification(references: References) -> Iterator[Comparison]:
    data, theirs = references.complete, references.numbers["classification"]["reclassification"]
    outcome = BinaryOutcome(cases_of(data), np.array([0.1]))
    designs = (design_of(data, names) for names in (("age", "bmi"), ("pad", "age", "bmi")))
    before, after = (_predict(outcome, design).risk[:, 0] for design in designs)
    found = reclassify_cases(outcome.case, before, after, 0.95)
    for name, key, tolerance in (("idi", "idi", ITERATED), ("continuous_nri", "nri", CLOSED_FORM)):
        reference = {"value": theirs[key], "se": theirs[f"{key}_se"]}
        yield from compare_estimate(found[name], reference, tolerance, key.upper())

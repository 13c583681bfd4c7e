"""Description and binary models: fitted line, correlation, quantiles, logistic regression."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np

from spinescore.core.statistics.accuracy import draw_line, fit_line, measure_accuracy
from spinescore.core.statistics.description import describe_continuous
from spinescore.core.statistics.discrimination import measure_auc
from spinescore.core.statistics.logistic import compare_nested_logistic, fit_logistic
from spinescore.core.verification.case import (
    ITERATED,
    Case,
    Comparison,
    compare,
    compare_coefficients,
    compare_each,
    compare_estimate,
)
from spinescore.core.verification.references import SIX, References, cases_of, design_of

THREE = SIX[:3]


def description_cases(references: References) -> Iterator[Case]:
    """Yield the cases of description, agreement with age, and logistic models."""
    for key, title, convention, call, compute in (
        (
            "line",
            "Spine age on chronological age",
            "least squares; confidence band of the mean",
            'predict(lm(spine_age ~ age), interval = "confidence")',
            _line,
        ),
        (
            "correlation",
            "Pearson's correlation",
            "Fisher's z interval",
            "cor.test(spine_age, age)",
            _correlation,
        ),
        ("quantiles", "Quartiles", "type 7", "quantile(bmi, c(0.25, 0.5, 0.75), na.rm = TRUE)", _quantiles),
        (
            "logistic",
            "Logistic regression",
            "maximum likelihood, model-based errors",
            "glm(fracture ~ pad + age + sex, family = binomial)",
            _logistic,
        ),
    ):
        yield Case(
            key=key,
            title=title,
            convention=convention,
            call=call,
            source="roc",
            compare=partial(compute, references),
        )


def _line(references: References) -> Iterator[Comparison]:
    age, spine_age = (references.cohort[name].to_numpy() for name in ("age", "spine_age"))
    theirs, found = references.numbers["roc"]["line"], measure_accuracy(age, spine_age, 0.95)
    for position, name in enumerate(("intercept", "slope")):
        reference = {"value": theirs["coef"][position], "se": theirs["se"][position]}
        yield from compare_estimate(found[name], reference, name=name)
    drawn = draw_line(fit_line(age, spine_age), np.array([55.0, 70.0, 90.0]), 0.95)
    for ours, name in zip(drawn, ("fit", "lower", "upper"), strict=True):
        yield compare(f"{name} at ages 55, 70 and 90", ours, theirs[name])


def _correlation(references: References) -> Iterator[Comparison]:
    age, spine_age = (references.cohort[name].to_numpy() for name in ("age", "spine_age"))
    theirs = references.numbers["roc"]["r"]
    lower, upper = theirs["conf.int"]
    reference = {"value": theirs["estimate"], "lower": lower, "upper": upper, "p_value": theirs["p.value"]}
    yield from compare_estimate(measure_accuracy(age, spine_age, 0.95)["r"], reference, ITERATED)


def _quantiles(references: References) -> Iterator[Comparison]:
    bmi = references.cohort["bmi"].cast(float).fill_null(np.nan).to_numpy()
    found, names = describe_continuous(bmi), ("q1", "median", "q3")
    theirs = references.numbers["roc"]["quantile7"]
    yield from compare_each("quantile", names, [found[name].value for name in names], theirs)


def _logistic(references: References) -> Iterator[Comparison]:
    case, theirs = cases_of(references.cohort), references.numbers["roc"]["logistic"]
    x = design_of(references.cohort, THREE)
    fit = fit_logistic(case, x)
    yield from compare_coefficients(THREE, fit.coefficients, fit.covariance, theirs, "log odds ratio")
    ratio = compare_nested_logistic(fit_logistic(case, x[:, 1:]), fit)
    yield compare("likelihood ratio of adding pad", ratio.value, theirs["lr"], ITERATED)
    area = measure_auc(case, fit.linear_predictor).auc
    yield compare("AUC of the linear predictor", area, theirs["auc"]["auc"])

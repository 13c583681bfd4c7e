"""Repeated images: measurement error, agreement, change per year."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import numpy as np
import polars as pl

from spinescore.core.statistics.change_per_year import (
    Slopes,
    average_change,
    describe_change,
    fit_slopes,
    share_beyond_error,
    spread_from_error,
    spread_of_change,
)
from spinescore.core.statistics.estimate import Estimate, FloatArray, IntArray
from spinescore.core.statistics.random_slopes import fit_random_slopes
from spinescore.core.statistics.repeated_images import (
    Days,
    average_days,
    compare_in_order,
    detect_change,
    estimate_icc,
    estimate_within_subject_sd,
    pair_up,
)
from spinescore.core.verification.case import ITERATED, Case, Comparison, compare, compare_estimate
from spinescore.core.verification.references import References


def repeated_cases(references: References) -> Iterator[Case]:
    """Yield the cases of repeated images."""
    for key, title, convention, call, compute in (
        (
            "within-subject",
            "Within-subject SD from same-day repeats",
            "pooled variance, chi-square interval",
            'anova(lm(pad ~ subject_day))["Residuals", ]',
            _within,
        ),
        (
            "icc",
            "ICC(1,1), unequal numbers of repeats",
            "n0 for unequal numbers; Wald's exact interval",
            "anova(lm(pad ~ factor(id))), and uniroot of the weighted F",
            _icc,
        ),
        ("icc-balanced", "ICC(1,1) of pairs", "F interval", "psych::ICC(two, lmer = FALSE)", _balanced_icc),
        (
            "order",
            "Second image less first",
            "paired t test",
            "t.test(second, first, paired = TRUE)",
            _drift,
        ),
        (
            "change",
            "Change per year, subject by subject",
            "least squares through daily means",
            "lm(pad ~ years) within each subject",
            _slopes,
        ),
        (
            "change-summary",
            "Mean, SD, quantiles of change; share beyond measurement error",
            "t and chi-square intervals; type 7 quantiles; Clopper-Pearson",
            "t.test(slope); quantile(slope); binom.test(beyond, n)",
            _summaries,
        ),
        (
            "mixed-model",
            "Mixed model of change",
            "random intercepts and slopes, REML (nlme stops short of the maximum)",
            "lmer(pad ~ years + (years | id), REML = TRUE)",
            _mixed_model,
        ),
        (
            "mixed-model-singular",
            "Mixed model of change on its bound",
            "random intercepts and slopes, REML",
            "lmer(pad ~ years + (years | id), REML = TRUE)",
            _singular,
        ),
    ):
        yield Case(
            key=key,
            title=title,
            convention=convention,
            call=call,
            source="repeated_images",
            compare=partial(compute, references),
        )


def _columns(references: References) -> tuple[IntArray, IntArray, FloatArray]:
    data = references.tables["repeats"].sort("id", "day", "image")
    pad = data["pad"].cast(pl.Float64).fill_null(np.nan).to_numpy()
    return data["id"].to_numpy(), data["day"].to_numpy(), pad


def _days(references: References) -> Days:
    return average_days(*_columns(references))


def _lines(references: References) -> Slopes:
    return fit_slopes(_days(references), 0.5).slopes


def _bounds(interval: list[float]) -> dict[str, float]:
    return {"lower": interval[0], "upper": interval[1]}


def _within(references: References) -> Iterator[Comparison]:
    theirs = references.numbers["repeated_images"]["within"]
    found = estimate_within_subject_sd(_days(references), 0.95)
    reference = {"value": theirs["sd"], **_bounds(theirs["interval"]), "df": theirs["df"]}
    yield from compare_estimate(found, reference)
    yield compare("smallest detectable change", detect_change(found, 0.95).value, theirs["detectable"])


def _icc(references: References) -> Iterator[Comparison]:
    theirs = references.numbers["repeated_images"]["icc"]
    reference = {name: theirs[name] for name in ("value", "lower", "upper")}
    yield from compare_estimate(estimate_icc(_days(references), 0.95), reference)


def _balanced_icc(references: References) -> Iterator[Comparison]:
    subject, day, pad = _columns(references)
    theirs = references.numbers["repeated_images"]["balanced"]
    first, second = pair_up(subject, day, pad)
    k = len(first)
    each, days = np.repeat(np.arange(k), 2), np.zeros(2 * k, dtype=np.int64)
    pairs = average_days(each, days, np.ravel(np.c_[pad[first], pad[second]]))
    reference = {"value": theirs["icc"], "lower": theirs["lower"], "upper": theirs["upper"]}
    yield from compare_estimate(estimate_icc(pairs, 0.95), reference)


def _drift(references: References) -> Iterator[Comparison]:
    subject, day, pad = _columns(references)
    theirs = references.numbers["repeated_images"]["drift"]
    first, second = pair_up(subject, day, pad)
    found = compare_in_order(pad[first], pad[second], 0.95)
    reference = {"value": theirs["mean"], **_bounds(theirs["interval"]), "p_value": theirs["p"]}
    yield from compare_estimate(found, reference)


def _slopes(references: References) -> Iterator[Comparison]:
    slopes, theirs = _lines(references), references.numbers["repeated_images"]["change"]
    n = len(slopes.change)
    yield compare("subjects followed", n, theirs["n"])
    yield compare(f"slopes of {n} subjects", slopes.change, theirs["slope"])
    yield compare(f"their errors per unit of measurement error, {n} subjects", slopes.error, theirs["error"])
    yield compare("median span in years", np.median(slopes.span_years), theirs["median_span"])


def _summaries(references: References) -> Iterator[Comparison]:
    slopes, theirs = _lines(references), references.numbers["repeated_images"]["change"]
    within = estimate_within_subject_sd(_days(references), 0.95)
    mean = {"value": theirs["mean"], **_bounds(theirs["interval"]), "p_value": theirs["p"]}
    yield from compare_estimate(average_change(slopes, 0.95), mean, name="mean change")
    spread = {"value": theirs["sd"], **_bounds(theirs["sd_interval"])}
    yield from compare_estimate(spread_of_change(slopes, 0.95), spread, name="SD of change")
    quantiles = [estimate.value for estimate in describe_change(slopes).values()]
    yield compare("five quantiles", quantiles, theirs["quantiles"])
    from_error = spread_from_error(slopes, within).value
    yield compare("SD from measurement error alone", from_error, theirs["sd_error"])
    share = {"value": theirs["share"], **_bounds(theirs["share_interval"])}
    beyond = share_beyond_error(slopes, within, 0.95)[0]
    yield from compare_estimate(beyond, share, name="share beyond the detectable change")


def _mixed_model(references: References) -> Iterator[Comparison]:
    yield from _random_slopes(_lines(references), references, "lme4")


def _singular(references: References) -> Iterator[Comparison]:
    slopes = _lines(references)
    flat = replace(slopes, change=np.zeros_like(slopes.change))
    yield from _random_slopes(flat, references, "singular")


def _random_slopes(slopes: Slopes, references: References, name: str) -> Iterator[Comparison]:
    fit, theirs = fit_random_slopes(slopes, 0.95), references.numbers["repeated_images"][name]
    if isinstance(fit, Estimate | str):
        raise ValueError(f"no mixed model: {fit}")
    reference = {"value": theirs["change"], "se": theirs["se"]}
    yield from compare_estimate(fit.change, reference, ITERATED, "change per year")
    if name == "lme4":  # on the bound lme4's SD is only near zero
        yield compare("SD of true changes", fit.sd_change.value, theirs["sd_change"], ITERATED)
    yield compare("SD about the lines", fit.sd_residual, theirs["sd_residual"], ITERATED)
    yield compare("restricted log likelihood", fit.log_likelihood, theirs["loglik"])

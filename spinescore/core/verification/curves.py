"""Survival curves: Kaplan-Meier, medians, log-rank test, restricted mean, rates."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np

from spinescore.core.statistics.incidence import estimate_rate
from spinescore.core.statistics.kaplan_meier import (
    StepCurve,
    estimate_survival,
    find_median,
    log_rank,
    reverse_follow_up,
)
from spinescore.core.statistics.restricted_mean import estimate_restricted_mean
from spinescore.core.statistics.times import FollowUp, make_follow_up
from spinescore.core.verification.case import Case, Comparison, compare, compare_estimate
from spinescore.core.verification.references import ENTRIES, OUTCOME, References, follow_up_of

LOG_LOG = "log-log interval"
LIMITS = ("se", "lower", "upper")  # beside a curve's values in R's numbers


def curve_cases(references: References) -> Iterator[Case]:
    """Yield the cases of survival curves."""
    for late, kind in ENTRIES:
        more = ", late entry" if late else ""
        yield Case(
            key=f"kaplan-meier-{kind}",
            title=f"Kaplan-Meier curve{more}",
            convention=f"Greenwood's standard error; {LOG_LOG}",
            call=f'survfit({OUTCOME[late]} ~ 1, conf.type = "log-log")',
            source="survival",
            compare=partial(_kaplan_meier, references, late=late, kind=kind),
        )
        yield Case(
            key=f"restricted-mean-{kind}",
            title=f"Restricted mean survival{more}",
            convention="area under the step curve; variance of that area, not of min(T, tau)",
            call=f"summary(survfit({OUTCOME[late]} ~ 1), rmean = tau)",
            source="restricted_mean",
            compare=partial(_restricted_mean, references, late=late),
        )
    yield Case(
        key="medians",
        title="Medians, of follow-up by reverse Kaplan-Meier too",
        convention=f"{LOG_LOG} inverted; where the curve is flat at one half, the middle of the flat",
        call='quantile(survfit(Surv(exit, status == 0) ~ 1, conf.type = "log-log"), 0.5)',
        source="survival",
        compare=partial(_medians, references),
    )
    yield Case(
        key="log-rank",
        title="Log-rank test of three groups",
        convention="hypergeometric variance at ties",
        call="survdiff(Surv(exit, status == 1) ~ group)",
        source="survival",
        compare=partial(_log_rank, references),
    )
    yield Case(
        key="poisson",
        title="Rate per 1,000 person-years",
        convention="exact Poisson interval",
        call="poisson.test(17, 523.25)",
        source="survival",
        compare=partial(_rate, references),
    )


def _kaplan_meier(references: References, *, late: bool, kind: str) -> Iterator[Comparison]:
    theirs = references.numbers["survival"]["km"][kind]
    curve = estimate_survival(follow_up_of(references.cohort, late=late), 0.95)
    yield from compare_curve(curve, theirs["times"], [theirs[k] for k in ("surv", *LIMITS)], "survival")


def compare_curve(
    curve: StepCurve, times: Sequence[float], reference: Sequence[Any], words: str, of: str = ""
) -> Iterator[Comparison]:
    """Yield comparisons of a step curve, its standard errors and its interval at R's times."""
    rows = [curve.at(t) for t in times]
    sides = zip((curve.values, curve.se, curve.lower, curve.upper), reference, strict=True)
    for label, (ours, theirs) in zip((words, "SE", "lower bound", "upper bound"), sides, strict=True):
        yield compare(f"{of}{label} at {len(rows)} times", ours[rows], theirs)


def _restricted_mean(references: References, *, late: bool) -> Iterator[Comparison]:
    numbers = references.numbers["restricted_mean"]
    times = follow_up_of(references.cohort, late=late)
    for until, theirs in zip(numbers["until"], numbers["alone_late" if late else "alone"], strict=True):
        found = estimate_restricted_mean(times, until, 0.95)
        yield from compare_estimate(found, theirs, name=f"until {until:g} years")


def _medians(references: References) -> Iterator[Comparison]:
    times, theirs = follow_up_of(references.cohort), references.numbers["survival"]["median"]
    any_event = FollowUp(times.entry, times.exit, (times.status > 0).astype(np.int64))
    four = make_follow_up(np.zeros(4), np.arange(1.0, 5.0), np.ones(4, dtype=np.int64))
    for name, words, case in (
        ("any_event", "any event", any_event),
        ("reverse", "follow-up", reverse_follow_up(times)),
        ("flat", "four subjects, flat at one half", four),
    ):
        found = find_median(estimate_survival(case, 0.95))
        reference = dict(zip(("value", "lower", "upper"), theirs[name], strict=True))
        yield from compare_estimate(found, reference, name=words)


def _log_rank(references: References) -> Iterator[Comparison]:
    theirs = references.numbers["survival"]["logrank"]
    found = log_rank(follow_up_of(references.cohort), references.cohort["group"].to_numpy(), 3)
    yield compare("chi-squared", found.value, theirs["chisq"])
    yield compare("degrees of freedom", found.df, theirs["df"])


def _rate(references: References) -> Iterator[Comparison]:
    lower, upper = references.numbers["survival"]["poisson"]
    yield from compare_estimate(estimate_rate(17, 523.25, 0.95), {"lower": lower, "upper": upper})

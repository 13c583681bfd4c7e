"""Competing risks: cumulative incidence, Gray's test, lost time, Fine and Gray's model."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from spinescore.core.statistics.competing_risks import estimate_cumulative_incidence, gray_test
from spinescore.core.statistics.fine_gray import fit_fine_gray
from spinescore.core.statistics.restricted_mean import estimate_time_lost
from spinescore.core.verification.case import (
    Case,
    Comparison,
    compare,
    compare_coefficients,
    compare_estimate,
    compare_likelihoods,
)
from spinescore.core.verification.curves import LIMITS, compare_curve
from spinescore.core.verification.references import ENTRIES, SIX, References, design_of, follow_up_of

MODELS = (
    ("full", "six columns", None, SIX, 1),
    ("other_cause", "the competing cause", None, SIX, 2),
    ("single", "one column", None, SIX[:1], 1),
    ("few", "60 subjects", 60, SIX[:2], 1),
)


def competing_cases(references: References) -> Iterator[Case]:
    """Yield the cases of competing risks."""
    for late, kind in ENTRIES:
        more = ", late entry" if late else ""
        outcome = "Surv(entry, exit, state)" if late else "Surv(exit, state)"
        yield Case(
            key=f"aalen-johansen-{kind}",
            title=f"Cumulative incidence of both causes{more}",
            convention="Aalen and Johansen; infinitesimal-jackknife standard error; log-log interval",
            call=f'survfit({outcome} ~ 1, id = id, conf.type = "log-log")',
            source="survival",
            compare=partial(_incidence, references, late=late, kind=kind),
        )
        yield Case(
            key=f"time-lost-{kind}",
            title=f"Time lost to each cause{more}",
            convention="area under the cumulative incidence; infinitesimal-jackknife standard error",
            call=f'residuals(survfit({outcome} ~ 1, id = id), times = tau, type = "sojourn")',
            source="restricted_mean",
            compare=partial(_time_lost, references, late=late),
        )
    yield Case(
        key="gray",
        title="Gray's test of three groups",
        convention="rho = 0",
        call="cuminc(exit, status, group)",
        source="survival",
        compare=partial(_gray, references),
    )
    for name, words, n, columns, cause in MODELS:
        yield Case(
            key=f"fine-gray-{name.replace('_', '-')}",
            title=f"Fine and Gray's model: {words}",
            convention="crr's ties (survival::finegray's differ in the fourth digit); G(t-) from everybody; "
            "sandwich standard error",
            call=f"crr(exit, status, x[, 1:{len(columns)}], failcode = {cause}, gtol = 1e-10)",
            source="fine_gray",
            compare=partial(_fine_gray, references, name, n, columns, cause),
        )


def _incidence(references: References, *, late: bool, kind: str) -> Iterator[Comparison]:
    theirs = references.numbers["survival"]["aj"][kind]
    for cause in (1, 2):
        curve = estimate_cumulative_incidence(follow_up_of(references.cohort, late=late), cause, 0.95)
        columns = [[row[cause - 1] for row in theirs[name]] for name in ("p", *LIMITS)]
        yield from compare_curve(curve, theirs["times"], columns, "incidence", f"cause {cause}: ")


def _time_lost(references: References, *, late: bool) -> Iterator[Comparison]:
    numbers = references.numbers["restricted_mean"]
    times = follow_up_of(references.cohort, late=late)
    for until, theirs in zip(numbers["until"], numbers["states_late" if late else "states"], strict=True):
        for cause in (1, 2):
            found = estimate_time_lost(times, cause, until, 0.95)
            reference = {name: theirs[name][cause - 1] for name in ("value", "se")}
            yield from compare_estimate(found, reference, name=f"cause {cause}, until {until:g} years")


def _gray(references: References) -> Iterator[Comparison]:
    theirs = references.numbers["survival"]["gray"]
    group = references.cohort["group"].to_numpy()
    for cause in (1, 2):
        found = gray_test(follow_up_of(references.cohort), group, 3, cause)
        yield compare(f"cause {cause}: chi-squared", found.value, theirs["stat"][cause - 1])
        yield compare(f"cause {cause}: p", found.p_value, theirs["p"][cause - 1])


def _fine_gray(
    references: References, name: str, n: int | None, columns: tuple[str, ...], cause: int
) -> Iterator[Comparison]:
    theirs = references.numbers["fine_gray"][name]
    data = references.complete.head(n) if n else references.complete
    fit = fit_fine_gray(follow_up_of(data), cause, design_of(data, columns))
    yield from compare_coefficients(columns, fit.coefficients, fit.covariance, theirs)
    yield compare_likelihoods(fit, theirs["loglik"])

"""Cox models of eight subjects, half of them tied: what a reader can follow by hand."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
import polars as pl

from spinescore.core.statistics.concordance import estimate_concordance, measure_concordance
from spinescore.core.statistics.cox import fit_cox
from spinescore.core.statistics.cox_residuals import robust_covariance, score_residuals
from spinescore.core.statistics.proportional_hazards import (
    TRANSFORMS,
    check_proportional_hazards,
    measure_residuals,
    transform_times,
)
from spinescore.core.statistics.times import make_follow_up, stratify
from spinescore.core.verification.case import (
    ITERATED,
    Case,
    Comparison,
    compare_coefficients,
    compare_each,
    compare_estimate,
)
from spinescore.core.verification.references import References

EIGHT = pl.DataFrame(
    {
        "entry": [0.0, 0, 1, 0, 2, 0, 0, 1],
        "time": [1.0, 2, 2, 3, 3, 4, 5, 5],
        "event": [1, 1, 0, 1, 1, 0, 1, 0],
        "x": [2.5, -1, 0.3, 1.1, 0.4, -0.7, 0.9, -2],
        "z": [1.0, 0, 1, 1, 0, 0, 0, 1],
        "g": [1, 1, 2, 2, 1, 1, 2, 2],
    }
)
CALLS = {
    "one": ("one column", "coxph(Surv(time, event) ~ x)"),
    "two": ("two columns", "coxph(Surv(time, event) ~ x + z)"),
    "late": ("late entry", "coxph(Surv(entry, time, event) ~ x)"),
    "robust": ("robust errors", "coxph(Surv(time, event) ~ x + cluster(seq_along(x)))"),
    "cluster": ("two clusters", "coxph(Surv(time, event) ~ x + cluster(g))"),
    "strata": ("two strata", "coxph(Surv(time, event) ~ x + strata(g))"),
}


def eight_subject_cases(references: References) -> Iterator[Case]:
    """Yield a case for each kind of model."""
    for name, (words, call) in CALLS.items():
        yield Case(
            key=f"eight-{name}",
            title=f"Eight subjects: {words}",
            convention="Efron's ties; Harrell's C and tests of proportional hazards of the same fit",
            call=f"{call}, concordance(), cox.zph()",
            source="association",
            compare=partial(_eight, references, name),
        )


def _eight(references: References, name: str) -> Iterator[Comparison]:
    theirs = references.numbers["association"]["tiny"][name]
    names = ["x", "z"] if name == "two" else ["x"]
    x, group = EIGHT.select(names).to_numpy(), EIGHT["g"].to_numpy() - 1
    entry = EIGHT["entry"].to_numpy() if name == "late" else np.zeros(len(x))
    times = make_follow_up(entry, EIGHT["time"].to_numpy(), EIGHT["event"].to_numpy())
    event = np.asarray(times.status == 1)
    strata = group if name == "strata" else None
    within = times if strata is None else stratify(times, strata)
    fit = fit_cox(within, event, x)
    covariance = fit.covariance
    if name in ("robust", "cluster"):
        clusters = group if name == "cluster" else None
        covariance = robust_covariance(score_residuals(within, event, x, fit), covariance, clusters)
    yield from compare_coefficients(names, fit.coefficients, covariance, theirs)
    c = {"value": theirs["c"]} | ({} if name == "cluster" else {"se": theirs["c_se"]})
    # survival sums the influence of a cluster on C, which no row here asks for
    found = estimate_concordance(measure_concordance(within, event, x @ fit.coefficients), 0.95)
    yield from compare_estimate(found, c, name="C")
    residuals = measure_residuals(times, event, x, fit, strata)
    for transform in TRANSFORMS:
        scale = transform_times(times, event, residuals.times, transform)
        tests = check_proportional_hazards(residuals, scale, {term: [i] for i, term in enumerate(names)})
        for words, attribute, numbers in (("chi-squared", "value", "chisq"), ("p", "p_value", "p")):
            ours = [getattr(test, attribute) for test in tests.values()]
            label = f"{words} ({transform})"
            yield from compare_each(label, list(tests), ours, theirs["zph"][transform][numbers], ITERATED)

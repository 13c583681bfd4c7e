"""Prediction: absolute risks, calibration, net benefit, spline columns."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from spinescore.core.statistics.absolute_risk import fit_risk_model, freeze_cox, predict_risk
from spinescore.core.statistics.calibration import (
    SmoothCalibration,
    compare_binary_in_the_large,
    compare_in_the_large,
    estimate_binary_slope,
    estimate_calibration_slope,
    estimate_observed_risk,
    smooth_binary_calibration,
    smooth_calibration,
)
from spinescore.core.statistics.cox import fit_cox
from spinescore.core.statistics.decision_curve import trace_binary_net_benefit, trace_net_benefit
from spinescore.core.statistics.estimate import Estimate, FloatArray
from spinescore.core.statistics.splines import place_knots, restricted_cubic_spline
from spinescore.core.verification.case import (
    CLOSED_FORM,
    ITERATED,
    Case,
    Comparison,
    compare,
    compare_estimate,
)
from spinescore.core.verification.references import SIX, References, cases_of, design_of, follow_up_of

FOUR = SIX[:4]
SOME = slice(0, 40)
EXPONENTIAL = "exponential convention: S = exp(-H), as predict(CSC, product.limit = FALSE)"
RISKS = (
    ("one", "one cause", "survfit(coxph(Surv(exit, first) ~ pad + age + male + bmi), newdata)", False, False),
    ("late", "one cause, late entry", "survfit(coxph(Surv(entry, exit, first) ~ ...), newdata)", True, False),
    ("csc", "two causes", "predict(CSC(Hist(exit, status) ~ ...), product.limit = FALSE)", False, True),
    ("late_both", "two causes, late entry", "sums over basehaz() of both coxph fits", True, True),
)
CALIBRATIONS = (
    ("alone", 5.0, False),
    ("alone_early", 2.5, False),
    ("late", 5.0, True),
    ("competing", 5.0, False),
    ("competing_early", 2.5, False),
)


def prediction_cases(references: References) -> Iterator[Case]:
    """Yield the cases of prediction."""
    for name, words, call, late, competing in RISKS:
        yield Case(
            key=f"risk-{name.replace('_', '-')}",
            title=f"Absolute risks: {words}",
            convention=f"Efron's coefficients and hazards; {EXPONENTIAL}",
            call=call,
            source="absolute_risk",
            compare=partial(_risk, references, name, late=late, competing=competing),
        )
    for name, horizon, late in CALIBRATIONS:
        competing = name.startswith("competing")
        smooth = "crr" if competing else "coxph"
        yield Case(
            key=f"calibration-{name.replace('_', '-')}",
            title=f"Calibration at {horizon:g} years: {'events compete' if competing else 'one cause'}"
            f"{', late entry' if late else ''}",
            convention="observed risk by Aalen-Johansen or Kaplan-Meier; smooth by a restricted cubic spline "
            "of 4 knots on cloglog(predicted) (Austin 2020, 2022)",
            call=f"{smooth}(~ rcspline.eval(cloglog(p), nk = 4)), {smooth}(~ cloglog(p)), survfit(~ 1)",
            source="absolute_risk",
            compare=partial(_calibration, references, name, horizon, late=late, competing=competing),
        )
    yield Case(
        key="calibration-binary",
        title="Calibration of a binary endpoint",
        convention="smooth by a restricted cubic spline of 4 knots on logit(predicted)",
        call="glm(y ~ offset(logit(p))), glm(y ~ logit(p)), glm(y ~ rcspline.eval(logit(p), nk = 4))",
        source="absolute_risk",
        compare=partial(_binary_calibration, references),
    )
    yield Case(
        key="net-benefit",
        title="Net benefit",
        convention="Vickers and Elkin's formula; risk above a threshold by Kaplan-Meier or Aalen-Johansen",
        call="survfit(response[p >= t, ] ~ 1)",
        source="absolute_risk",
        compare=partial(_net_benefit, references),
    )
    yield Case(
        key="knots",
        title="Knots and columns of restricted cubic splines",
        convention="Harrell's quantiles, type 7; columns divided by the squared range of the knots",
        call="Hmisc::rcspline.eval(x, nk = 3..7)",
        source="absolute_risk",
        compare=partial(_knots, references),
    )


def _predictions(references: References) -> dict[str, FloatArray]:
    """Return risks that are wrong on purpose, so that there is something to calibrate."""
    pad, age = (references.complete[name].to_numpy() for name in ("pad", "age"))
    return {
        "alone": 1 - np.exp(-0.09 * np.exp(0.06 * pad + 0.05 * (age - 70))),
        "competing": 1 - np.exp(-0.07 * np.exp(0.15 * pad + 0.02 * (age - 70))),
        "binary": 1 / (1 + np.exp(1.2 - 0.08 * pad - 0.07 * (age - 70))),
    }


def _risk(references: References, name: str, *, late: bool, competing: bool) -> Iterator[Comparison]:
    numbers = references.numbers["absolute_risk"]
    data, theirs, horizons = references.complete, numbers["risk"], numbers["horizons"]
    times, design = follow_up_of(data, late=late, competing=competing), design_of(data, FOUR)
    found = fit_risk_model(times, design)
    if found.model is None:
        raise ValueError(f"no risks: {found.problem}")
    risk = predict_risk(found.model, design[SOME], horizons)
    for position, horizon in enumerate(horizons):
        words = f"risk at {horizon:g} years, 40 subjects"
        tolerance = ITERATED if competing else CLOSED_FORM
        yield compare(words, risk[:, position], theirs[name][position], tolerance)
    if competing:
        return
    event = np.asarray(times.status == 1)
    frozen = freeze_cox(times, event, design, fit_cox(times, event, design))
    expected = theirs["baseline_late" if late else "baseline"]
    ours = frozen.cumulative_at(np.array(expected["times"]))
    relative = np.exp(frozen.log_relative_hazard(np.array(expected["of"])))
    yield compare(f"baseline hazard at {len(ours)} times", ours * relative, expected["hazard"])


def _calibration(
    references: References, name: str, horizon: float, *, late: bool, competing: bool
) -> Iterator[Comparison]:
    times = follow_up_of(references.complete, late=late, competing=competing)
    predicted = _predictions(references)["competing" if competing else "alone"]
    theirs = references.numbers["absolute_risk"]["calibration"][name]
    observed = estimate_observed_risk(times, horizon, 0.95)
    reference = {"value": theirs["observed"], "se": theirs["se"]}
    yield from compare_estimate(observed, reference, name="observed risk")
    found = compare_in_the_large(predicted, observed, 0.95)
    found["calibration_slope"] = estimate_calibration_slope(times, predicted, horizon, 0.95)
    yield from _calibrated(found, theirs)
    yield from _smoothed(smooth_calibration(times, predicted, horizon, 4), theirs)


def _binary_calibration(references: References) -> Iterator[Comparison]:
    case, predicted = cases_of(references.complete), _predictions(references)["binary"]
    theirs = references.numbers["absolute_risk"]["calibration"]["binary"]
    found = compare_binary_in_the_large(case, predicted, 0.95)
    found["calibration_slope"] = estimate_binary_slope(case, predicted, 0.95)
    yield from _calibrated(found, theirs)
    yield from _smoothed(smooth_binary_calibration(case, predicted, 4), theirs)
    slope = found["calibration_slope"].value
    yield compare("slope (val.prob)", slope, theirs["val_prob_slope"], ITERATED)
    yield compare("Brier score (val.prob)", np.mean((case - predicted) ** 2), theirs["val_prob_brier"])


def _calibrated(found: dict[str, Estimate], theirs: dict[str, Any]) -> Iterator[Comparison]:
    for name, statistic, words, tolerance in (
        ("o_e", "o_e_ratio", "observed over expected", CLOSED_FORM),
        ("intercept", "calibration_intercept", "intercept", ITERATED),
        ("slope", "calibration_slope", "slope", ITERATED),
    ):
        reference = {"value": theirs[name]}
        if f"{name}_se" in theirs:
            reference["se"] = theirs[f"{name}_se"]
        yield from compare_estimate(found[statistic], reference, tolerance, words)


def _smoothed(
    smooth: tuple[SmoothCalibration | None, str | None], theirs: dict[str, Any]
) -> Iterator[Comparison]:
    curve, problem = smooth
    if curve is None:
        raise ValueError(f"no calibration curve: {problem}")
    for words, ours, name in (
        ("ICI", curve.ici, "ici"),
        ("E50", curve.e50, "e50"),
        ("E90", curve.e90, "e90"),
    ):
        yield compare(words, ours, theirs[name], ITERATED)
    fitted = theirs.get("observed.1", theirs["observed"])
    yield compare("smoothed risk, 40 subjects", curve.fitted[SOME], fitted, ITERATED)


def _net_benefit(references: References) -> Iterator[Comparison]:
    theirs, predicted = references.numbers["absolute_risk"]["decision"], _predictions(references)
    thresholds = np.array(theirs["thresholds"])
    for name, words in (("alone", "one cause"), ("late", "late entry"), ("competing", "events compete")):
        times = follow_up_of(references.complete, late=name == "late", competing=name == "competing")
        chosen = predicted["competing" if name == "competing" else "alone"]
        curve = trace_net_benefit(times, chosen, 5.0, thresholds)
        yield compare(f"{words}: model, {len(thresholds)} thresholds", curve.model, theirs[name])
        if name != "late":
            everybody = f"{words}: treat all, {len(thresholds)} thresholds"
            yield compare(everybody, curve.treat_all, theirs[f"{name}_all"])
    binary = trace_binary_net_benefit(cases_of(references.complete), predicted["binary"], thresholds)
    yield compare(f"binary: model, {len(thresholds)} thresholds", binary.model, theirs["binary"])


def _knots(references: References) -> Iterator[Comparison]:
    theirs = references.numbers["absolute_risk"]["spline"]
    pad, bmi = (references.complete[name].to_numpy() for name in ("pad", "bmi"))
    for name, words, values in (
        ("pad", "PAD", pad),
        ("pile", "half of PAD at one value", np.maximum(pad, 0)),
        ("both_piles", "piles at both ends", np.clip(pad, -3, 4)),
        ("few", "60 values", bmi[:60]),
    ):
        found = [knot for count in range(3, 8) for knot in place_knots(values, count)]
        expected = [knot for knots in theirs[name] for knot in knots]
        yield compare(f"{words}: knots where 3, 4, 5, 6 and 7 are asked for", found, expected)
    columns = restricted_cubic_spline(pad[SOME], place_knots(pad, 5)).T
    yield compare("columns for 5 knots, 40 subjects", columns, theirs["columns"])

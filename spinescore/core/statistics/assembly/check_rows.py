"""Checks of a fitted Cox model: concordance without and with PAD, proportional hazards, beta(t)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from spinescore.core.statistics.assembly.model_rows import fit_flags, model_keys
from spinescore.core.statistics.assembly.rows import dropped_note, make_row
from spinescore.core.statistics.assembly.setting import Setting, spread
from spinescore.core.statistics.assembly.survival_data import (
    ModelFit,
    SurvivalData,
    fit_model,
    read_survival,
)
from spinescore.core.statistics.concordance import (
    compare_concordance,
    estimate_concordance,
    measure_concordance,
)
from spinescore.core.statistics.estimate import Estimate, FloatArray
from spinescore.core.statistics.proportional_hazards import (
    TRANSFORMS,
    check_proportional_hazards,
    measure_residuals,
    smooth_coefficient,
    transform_times,
)
from spinescore.domain import CurvePoint, Result

SAMPLE = "own_n"


def concordance_rows(
    data: SurvivalData, model: str, found: ModelFit, base: ModelFit, *, variant: str | None = None
) -> Iterator[Result]:
    """Yield Harrell's C without and with PAD on the same subjects, and the difference; within any strata."""
    pad, level = data.setting.pad, data.setting.conf_level
    estimates = _concordances(found, base, level)
    notes = (f"{data.competing} censored" if data.competing else None, dropped_note(found.cases.dropped))
    shared = model_keys(data, model, pad, SAMPLE) | {
        "variant": variant,
        "validation": "apparent",
        "method": "harrell",
        "n": found.fit.n,
        "events": found.fit.events,
        "note": "; ".join(note for note in notes if note) or None,
        "flags": ("apparent", *fit_flags(data, model, pad, found)),
    }
    alone = shared | {"predictor": None, "correction": None, "flags": ("apparent",)}
    yield make_row(estimates[0], level, **alone, analysis="concordance", statistic="c")
    yield make_row(estimates[1], level, **shared, analysis="concordance", statistic="c")
    difference = shared | {"comparator": model}
    yield make_row(
        estimates[2], level, **difference, analysis="concordance_difference", statistic="c_difference"
    )


def _concordances(found: ModelFit, base: ModelFit, conf_level: float) -> list[Estimate]:
    problem = found.problem or base.problem
    if problem:
        return [Estimate(problem=problem)] * 3
    within = found.within
    without, with_pad = (
        measure_concordance(within, model.event, _linear_predictor(model)) for model in (base, found)
    )
    estimates = [estimate_concordance(c, conf_level) for c in (without, with_pad)]
    return [*estimates, compare_concordance(with_pad, without, conf_level)]


def _linear_predictor(found: ModelFit) -> FloatArray:
    if found.parameters == 0:
        return np.zeros(found.fit.n)
    return np.asarray(found.matrix @ found.fit.coefficients)


def proportionality_rows(
    data: SurvivalData, model: str, found: ModelFit, *, variant: str = "main"
) -> Iterator[Result]:
    """Yield the tests of each term and of all, for each transform of time; within strata if any."""
    pad = data.setting.pad
    columns: dict[str, list[int]] = {pad.name: [0]}
    for position, variable in enumerate(found.cases.covariates.variables):
        columns.setdefault(variable, []).append(position + 1)
    residuals = (
        None
        if found.problem
        else measure_residuals(
            found.follow_up, found.event, found.cases.matrix, found.fit, strata=found.strata
        )
    )
    for transform in TRANSFORMS:
        tests = {term: Estimate(problem=found.problem) for term in (*columns, "global")}
        if residuals is not None:
            g = transform_times(found.follow_up, found.event, residuals.times, transform)
            tests = check_proportional_hazards(residuals, g, columns)
        for term, estimate in tests.items():
            yield make_row(
                estimate,
                **model_keys(data, model, pad, SAMPLE, variant=variant),
                analysis="ph_test",
                statistic="chi2",
                term=term,
                method=transform,
                n=found.fit.n,
                events=found.fit.events,
                flags=fit_flags(data, model, pad, found),
            )


def coefficient_curves(setting: Setting, endpoint: str) -> Iterator[CurvePoint]:
    """Yield beta(t) of PAD per SD, from each model of one survival endpoint."""
    data, pad = read_survival(setting, endpoint), setting.pad
    for model in setting.study.models:
        found = fit_model(data, data.complete(model, data.values(pad)[:, None], SAMPLE), 1)
        if found.problem:
            continue
        residuals = measure_residuals(found.follow_up, found.event, found.cases.matrix, found.fit)
        g = transform_times(found.follow_up, found.event, residuals.times, "km")
        line = smooth_coefficient(residuals, g, 0, setting.conf_level)
        if line is None:
            continue
        scale = spread(pad.values)
        point = CurvePoint(
            **model_keys(data, model, pad, SAMPLE),
            analysis="ph_test",
            method="natural_spline",
            x_name="follow_up_years",
            term=pad.name,
            x=0.0,
            y=0.0,
        )
        for time, *heights in zip(line["time"], line["value"], line["lower"], line["upper"], strict=True):
            y, lower, upper = (float(height) * scale for height in heights)
            yield replace(point, x=float(time), y=y, lower=lower, upper=upper)

"""Cox models: hazard ratios of every predictor and covariate, PAD groups, likelihood ratio, C, PH test."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from spinescore.core.statistics.assembly.rows import dropped_note, make_row, model_flags
from spinescore.core.statistics.assembly.setting import Predictor, Setting, spread
from spinescore.core.statistics.assembly.survival_data import (
    ModelFit,
    SurvivalData,
    fit_model,
    model_variables,
    read_survival,
)
from spinescore.core.statistics.concordance import (
    compare_concordance,
    estimate_concordance,
    measure_concordance,
)
from spinescore.core.statistics.cox import compare_nested
from spinescore.core.statistics.estimate import Estimate, log_ratio_interval
from spinescore.core.statistics.proportional_hazards import check_proportional_hazards
from spinescore.domain import Result

SAMPLES = ("own_n", "common_n")


def cox_rows(setting: Setting, endpoint: str) -> Iterator[Result]:
    """Yield every row of the Cox models of one survival endpoint, its competing cause included."""
    data = read_survival(setting, endpoint)
    for model in setting.study.models:
        for sample in SAMPLES:
            for predictor in setting.predictors.values():
                found = _fit(data, model, predictor, sample, 1)
                yield from _hazard_ratios(data, model, predictor, sample, 1, found)
                if predictor is setting.pad:
                    yield from _pad_model_rows(data, model, sample, found)
            yield from _group_rows(data, model, sample)
            yield from _competing_rows(data, model, sample)


def _fit(data: SurvivalData, model: str, predictor: Predictor, sample: str, cause: int) -> ModelFit:
    columns = data.values(predictor)[:, None]
    age = predictor.name != "chronological_age"
    return fit_model(data, data.complete(model, columns, sample, age=age), cause)


def _competing_rows(data: SurvivalData, model: str, sample: str) -> Iterator[Result]:
    if data.competing is None:
        return
    predictors = data.setting.predictors
    for name in ("pad_raw", "pad_corrected"):
        if name in predictors:
            found = _fit(data, model, predictors[name], sample, 2)
            yield from _hazard_ratios(data, model, predictors[name], sample, 2, found)


def _keys(
    data: SurvivalData, model: str, predictor: Predictor, sample: str, cause: int = 1
) -> dict[str, Any]:
    return data.keys(
        cause=data.causes[cause],
        model=model,
        sample=sample,
        variant="main",
        predictor=predictor.name,
        correction=predictor.correction,
    )


def _flags(data: SurvivalData, model: str, predictor: Predictor, found: ModelFit) -> tuple[str, ...]:
    variables = model_variables(data, model)
    return model_flags(predictor, variables, found.fit.events, found.parameters, found.cases.dropped)


def _ratio(found: ModelFit, column: int, scale: float, conf_level: float) -> Estimate:
    if found.problem:
        return Estimate(problem=found.problem)
    coefficient = float(found.fit.coefficients[column]) * scale
    return log_ratio_interval(
        coefficient, float(np.sqrt(found.fit.covariance[column, column])) * scale, conf_level
    )


def _hazard_ratios(
    data: SurvivalData, model: str, predictor: Predictor, sample: str, cause: int, found: ModelFit
) -> Iterator[Result]:
    """Yield the hazard ratio per SD (STATISTICS.md's rule for the SD) and per year."""
    setting = data.setting
    values = data.values(predictor)[found.cases.rows] if sample == "common_n" else predictor.values
    declared = predictor is setting.pad and sample == "own_n" and cause == 1
    primary = declared and setting.is_primary(data.endpoint, model)
    flags = _flags(data, model, predictor, found)
    for statistic, scale in (("hr_per_sd", spread(values)), ("hr_per_year", 1.0)):
        yield make_row(
            _ratio(found, 0, scale, setting.conf_level),
            setting.conf_level,
            **_keys(data, model, predictor, sample, cause),
            analysis="cox",
            statistic=statistic,
            scale=scale,
            n=found.fit.n,
            events=found.fit.events,
            flags=("primary", *flags) if primary and statistic == "hr_per_sd" else flags,
            note=dropped_note(found.cases.dropped),
        )


def _pad_model_rows(data: SurvivalData, model: str, sample: str, found: ModelFit) -> Iterator[Result]:
    """Yield what the model with PAD gives: covariates; on common n the LR test; on own n C and PH tests."""
    yield from _covariate_rows(data, model, sample, found)
    base = fit_model(data, found.cases, 1, covariates_only=True)
    if sample == "common_n":
        yield _likelihood_ratio(data, model, found, base)
    else:
        yield from _concordances(data, model, found, base)
        yield from _ph_tests(data, model, found)


def _covariate_rows(data: SurvivalData, model: str, sample: str, found: ModelFit) -> Iterator[Result]:
    pad, level = data.setting.pad, data.setting.conf_level
    design = found.cases.covariates
    for position, (term, reference) in enumerate(zip(design.terms, design.references, strict=True)):
        yield make_row(
            _ratio(found, position + 1, 1.0, level),
            level,
            **_keys(data, model, pad, sample),
            analysis="cox",
            statistic="hr_per_unit" if reference is None else "hr_category",
            term=term,
            comparator=reference,
            scale=1.0 if reference is None else None,
            n=found.fit.n,
            events=found.fit.events,
            flags=_flags(data, model, pad, found),
        )


def _likelihood_ratio(data: SurvivalData, model: str, found: ModelFit, base: ModelFit) -> Result:
    problem = found.problem or base.problem
    return make_row(
        Estimate(problem=problem) if problem else compare_nested(base.fit, found.fit),
        **_keys(data, model, data.setting.pad, "common_n"),
        analysis="cox",
        statistic="lr_chi2",
        comparator=model,
        method="likelihood_ratio",
        n=found.fit.n,
        events=found.fit.events,
        flags=_flags(data, model, data.setting.pad, found),
        note=dropped_note(found.cases.dropped),
    )


def _concordances(data: SurvivalData, model: str, found: ModelFit, base: ModelFit) -> Iterator[Result]:
    """Yield Harrell's C without and with PAD on the same subjects, and the difference."""
    pad, level = data.setting.pad, data.setting.conf_level
    problem = found.problem or base.problem
    estimates = [Estimate(problem=problem)] * 3
    if not problem:
        scores = (
            base.cases.covariates.matrix @ base.fit.coefficients
            if base.parameters > 1
            else np.zeros(base.fit.n),
            found.cases.matrix @ found.fit.coefficients,
        )
        without, with_pad = (measure_concordance(found.follow_up, found.event, score) for score in scores)
        estimates = [estimate_concordance(c, level) for c in (without, with_pad)]
        estimates.append(compare_concordance(with_pad, without, level))
    notes = (f"{data.competing} censored" if data.competing else None, dropped_note(found.cases.dropped))
    shared = _keys(data, model, pad, "own_n") | {
        "variant": None,
        "validation": "apparent",
        "method": "harrell",
        "n": found.fit.n,
        "events": found.fit.events,
        "note": "; ".join(note for note in notes if note) or None,
        "flags": ("apparent", *_flags(data, model, pad, found)),
    }
    alone = shared | {"predictor": None, "correction": None, "flags": ("apparent",)}
    yield make_row(estimates[0], level, **alone, analysis="concordance", statistic="c")
    yield make_row(estimates[1], level, **shared, analysis="concordance", statistic="c")
    difference = shared | {"comparator": model}
    yield make_row(
        estimates[2], level, **difference, analysis="concordance_difference", statistic="c_difference"
    )


def _ph_tests(data: SurvivalData, model: str, found: ModelFit) -> Iterator[Result]:
    pad = data.setting.pad
    columns: dict[str, list[int]] = {pad.name: [0]}
    for position, variable in enumerate(found.cases.covariates.variables):
        columns.setdefault(variable, []).append(position + 1)
    tests = {term: Estimate(problem=found.problem) for term in (*columns, "global")}
    if not found.problem:
        tests = check_proportional_hazards(
            found.follow_up, found.event, found.cases.matrix, found.fit, columns
        )
    for term, estimate in tests.items():
        yield make_row(
            estimate,
            **_keys(data, model, pad, "own_n"),
            analysis="ph_test",
            statistic="chi2",
            term=term,
            method="km",
            n=found.fit.n,
            events=found.fit.events,
            flags=_flags(data, model, pad, found),
        )


def _group_rows(data: SurvivalData, model: str, sample: str) -> Iterator[Result]:
    """Yield PAD groups against the lowest, and the trend over 0..K-1."""
    members = data.group_index()
    known = members >= 0
    k = len(data.setting.groups.labels)
    step = np.where(known, members, np.nan)
    indicators = np.column_stack([np.where(known, members == g, np.nan) for g in range(1, k)])
    yield from _categories(
        data, model, sample, fit_model(data, data.complete(model, indicators, sample), 1), members
    )
    trend = fit_model(data, data.complete(model, step[:, None], sample), 1)
    yield make_row(
        _ratio(trend, 0, 1.0, data.setting.conf_level),
        data.setting.conf_level,
        **_keys(data, model, data.setting.pad, sample),
        analysis="cox",
        statistic="hr_trend",
        scale=1.0,
        n=trend.fit.n,
        events=trend.fit.events,
        flags=(*data.setting.group_flags, *_flags(data, model, data.setting.pad, trend)),
        note=dropped_note(trend.cases.dropped),
    )


def _categories(
    data: SurvivalData, model: str, sample: str, found: ModelFit, members: Sequence[int] | np.ndarray
) -> Iterator[Result]:
    setting = data.setting
    labels = setting.groups.labels
    inside = np.asarray(members)[found.cases.rows]
    n = [int((inside == g).sum()) for g in range(len(labels))]
    events = [int(found.event[inside == g].sum()) for g in range(len(labels))]
    problem = found.problem
    if problem in ("separation", "constant predictor"):
        empty = [f"{events[g]} events in {label}" for g, label in enumerate(labels) if events[g] == 0]
        problem = "; ".join(empty) or problem
    for g, label in enumerate(labels):
        estimate = Estimate(value=1.0) if g == 0 else _ratio(found, g - 1, 1.0, setting.conf_level)
        flags = (*setting.group_flags, *_flags(data, model, setting.pad, found))
        yield make_row(
            Estimate(problem=problem) if problem else estimate,
            setting.conf_level,
            **_keys(data, model, setting.pad, sample),
            analysis="cox",
            statistic="hr_category",
            group=label,
            comparator=labels[0],
            n=n[g],
            events=events[g],
            flags=("reference", *flags) if g == 0 else flags,
            note=dropped_note(found.cases.dropped),
        )

"""Cox models: hazard ratios of every predictor and covariate, PAD groups, likelihood ratio, C, PH test."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from spinescore.core.statistics.assembly.model_rows import (
    category_rows,
    fit_flags,
    group_indicators,
    model_keys,
    ratio,
)
from spinescore.core.statistics.assembly.rows import dropped_note, make_row
from spinescore.core.statistics.assembly.setting import Predictor, Setting, spread
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
from spinescore.core.statistics.cox import compare_nested
from spinescore.core.statistics.estimate import Estimate
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


def _hazard_ratios(
    data: SurvivalData, model: str, predictor: Predictor, sample: str, cause: int, found: ModelFit
) -> Iterator[Result]:
    """Yield the hazard ratio per SD (STATISTICS.md's rule for the SD) and per year."""
    setting = data.setting
    values = data.values(predictor)[found.cases.rows] if sample == "common_n" else predictor.values
    declared = predictor is setting.pad and sample == "own_n" and cause == 1
    primary = declared and setting.is_primary(data.endpoint, model)
    flags = fit_flags(data, model, predictor, found)
    for statistic, scale in (("hr_per_sd", spread(values)), ("hr_per_year", 1.0)):
        yield make_row(
            ratio(found, 0, scale, setting.conf_level),
            setting.conf_level,
            **model_keys(data, model, predictor, sample, cause),
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
            ratio(found, position + 1, 1.0, level),
            level,
            **model_keys(data, model, pad, sample),
            analysis="cox",
            statistic="hr_per_unit" if reference is None else "hr_category",
            term=term,
            comparator=reference,
            scale=1.0 if reference is None else None,
            n=found.fit.n,
            events=found.fit.events,
            flags=fit_flags(data, model, pad, found),
        )


def _likelihood_ratio(data: SurvivalData, model: str, found: ModelFit, base: ModelFit) -> Result:
    problem = found.problem or base.problem
    return make_row(
        Estimate(problem=problem) if problem else compare_nested(base.fit, found.fit),
        **model_keys(data, model, data.setting.pad, "common_n"),
        analysis="cox",
        statistic="lr_chi2",
        comparator=model,
        method="likelihood_ratio",
        n=found.fit.n,
        events=found.fit.events,
        flags=fit_flags(data, model, data.setting.pad, found),
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
    shared = model_keys(data, model, pad, "own_n") | {
        "variant": None,
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
            **model_keys(data, model, pad, "own_n"),
            analysis="ph_test",
            statistic="chi2",
            term=term,
            method="km",
            n=found.fit.n,
            events=found.fit.events,
            flags=fit_flags(data, model, pad, found),
        )


def _group_rows(data: SurvivalData, model: str, sample: str) -> Iterator[Result]:
    """Yield PAD groups against the lowest, and the trend over 0..K-1."""
    found = fit_model(data, data.complete(model, group_indicators(data), sample), 1)
    yield from category_rows(data, model, sample, found, analysis="cox", statistic="hr_category")
    members = data.group_index()
    step = np.where(members >= 0, members, np.nan)
    trend = fit_model(data, data.complete(model, step[:, None], sample), 1)
    yield make_row(
        ratio(trend, 0, 1.0, data.setting.conf_level),
        data.setting.conf_level,
        **model_keys(data, model, data.setting.pad, sample),
        analysis="cox",
        statistic="hr_trend",
        scale=1.0,
        n=trend.fit.n,
        events=trend.fit.events,
        flags=(*data.setting.group_flags, *fit_flags(data, model, data.setting.pad, trend)),
        note=dropped_note(trend.cases.dropped),
    )

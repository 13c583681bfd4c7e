"""Cox models: hazard ratios of predictors, covariates and PAD groups, likelihood ratio, checks."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from spinescore.core.statistics.assembly.check_rows import concordance_rows, proportionality_rows
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
from spinescore.core.statistics.cox import compare_nested
from spinescore.core.statistics.estimate import Estimate
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
        yield from concordance_rows(data, model, found, base)
        yield from proportionality_rows(data, model, found)


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

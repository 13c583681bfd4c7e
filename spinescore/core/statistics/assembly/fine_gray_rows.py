"""Subdistribution hazard ratios of PAD beside the cause-specific ones, where events compete."""

from __future__ import annotations

from collections.abc import Iterator

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
    SurvivalData,
    fit_subdistribution,
    read_survival,
)
from spinescore.domain import Result

SAMPLE = "own_n"


def fine_gray_rows(setting: Setting, endpoint: str) -> Iterator[Result]:
    """Yield the subdistribution models of one endpoint: nothing if no event competes with it."""
    data = read_survival(setting, endpoint)
    if data.competing is None:
        return
    for model in setting.study.models:
        for name in ("pad_raw", "pad_corrected"):
            if name in setting.predictors:
                yield from _ratios(data, model, setting.predictors[name])
        cases = data.complete(model, group_indicators(data), SAMPLE)
        found = fit_subdistribution(data, cases, 1)
        yield from category_rows(data, model, SAMPLE, found, analysis="fine_gray", statistic="shr_category")


def _ratios(data: SurvivalData, model: str, predictor: Predictor) -> Iterator[Result]:
    cases = data.complete(model, data.values(predictor)[:, None], SAMPLE)
    for cause in data.causes:
        found = fit_subdistribution(data, cases, cause)
        for statistic, scale in (("shr_per_sd", spread(predictor.values)), ("shr_per_year", 1.0)):
            yield make_row(
                ratio(found, 0, scale, data.setting.conf_level),
                data.setting.conf_level,
                **model_keys(data, model, predictor, SAMPLE, cause),
                analysis="fine_gray",
                statistic=statistic,
                scale=scale,
                n=found.fit.n,
                events=found.fit.events,
                flags=fit_flags(data, model, predictor, found),
                note=dropped_note(found.cases.dropped),
            )

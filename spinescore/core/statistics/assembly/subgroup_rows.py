"""The hazard ratio of PAD by level of each subgroup, and whether the levels differ (interaction)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from spinescore.core.statistics.assembly.design import Design, complete_cases
from spinescore.core.statistics.assembly.factors import AGE_BAND, Factor, read_factor
from spinescore.core.statistics.assembly.model_rows import fit_flags, model_keys, ratio
from spinescore.core.statistics.assembly.rows import FEWEST_EVENTS, dropped_note, make_row
from spinescore.core.statistics.assembly.setting import Setting, spread
from spinescore.core.statistics.assembly.survival_data import (
    ModelFit,
    SurvivalData,
    fit_model,
    read_survival,
)
from spinescore.core.statistics.cox import compare_nested
from spinescore.core.statistics.estimate import BoolArray, Estimate, FloatArray
from spinescore.domain import Result

SAMPLE = "own_n"


def subgroup_rows(setting: Setting, endpoint: str) -> Iterator[Result]:
    """Yield the hazard ratios of PAD per SD within each subgroup, and the test of interaction, by model."""
    data = read_survival(setting, endpoint)
    for name in dict.fromkeys(setting.study.analysis.subgroups):
        factor = read_factor(setting, name).take(data.index)
        for model in setting.study.models:
            for level in range(len(factor.levels)):
                yield _level_row(data, model, factor, level)
            yield _interaction_row(data, model, factor)


def _level_row(data: SurvivalData, model: str, factor: Factor, level: int) -> Result:
    setting, pad = data.setting, data.setting.pad
    design = setting.designs[model].without(factor.name).take(data.index)
    cases = complete_cases(data.values(pad)[:, None], design, factor.codes == level)
    found = fit_model(data, cases, 1)
    return make_row(
        ratio(found, 0, spread(pad.values), setting.conf_level),
        setting.conf_level,
        **model_keys(data, model, pad, SAMPLE),
        analysis="subgroup",
        statistic="hr_per_sd",
        subgroup=factor.subgroup(level),
        scale=spread(pad.values),
        n=found.fit.n,
        events=found.fit.events,
        flags=fit_flags(data, model, pad, found),
        note=dropped_note(cases.dropped),
    )


@dataclass(frozen=True, slots=True)
class _Interaction:
    """The models without and with PAD's own slope in each level, on the same subjects."""

    smaller: ModelFit
    larger: ModelFit
    left_out: tuple[str, ...]
    problem: str | None


def _interaction_row(data: SurvivalData, model: str, factor: Factor) -> Result:
    pad = data.setting.pad
    found = _fit_interaction(data, model, factor)
    notes = (
        f"levels left out: {', '.join(found.left_out)}" if found.left_out else None,
        dropped_note(found.larger.cases.dropped),
    )
    return make_row(
        Estimate(problem=found.problem)
        if found.problem
        else compare_nested(found.smaller.fit, found.larger.fit),
        **model_keys(data, model, pad, SAMPLE),
        analysis="subgroup",
        statistic="interaction_chi2",
        subgroup=factor.name,
        method="likelihood_ratio",
        n=found.larger.fit.n,
        events=found.larger.fit.events,
        flags=fit_flags(data, model, pad, found.larger),
        note="; ".join(note for note in notes if note) or None,
    )


def _fit_interaction(data: SurvivalData, model: str, factor: Factor) -> _Interaction:
    """Fit PAD, levels and covariates, without and with PAD x level, over all levels with enough events."""
    values = data.values(data.setting.pad)
    design = data.setting.designs[model].take(data.index)
    complete = np.isfinite(values) & np.isfinite(design.matrix).all(axis=1)
    counted = complete & (factor.codes >= 0)
    happened = factor.codes[counted & (data.follow_up.status == 1)]
    shown = np.flatnonzero(np.bincount(happened, minlength=len(factor.levels)) >= FEWEST_EVENTS)
    present = np.unique(factor.codes[counted])
    left_out = tuple(factor.levels[level] for level in present if level not in shown)
    among = complete & np.isin(factor.codes, shown)
    if len(shown) < 2:
        alone = _fit(data, values[:, None], design.without(factor.name), among)
        return _Interaction(alone, alone, left_out, "one group")
    indicators = np.column_stack([factor.codes == level for level in shown[1:]]).astype(np.float64)
    if factor.name not in design.variables or left_out:
        design = _with_levels(design, factor.name, indicators)
    smaller = _fit(data, values[:, None], design, among)
    slopes = np.hstack([values[:, None], values[:, None] * indicators])
    start = np.insert(smaller.fit.coefficients, 1, np.zeros(indicators.shape[1]))
    larger = _fit(data, slopes, design, among, start)
    return _Interaction(smaller, larger, left_out, larger.problem or smaller.problem)


def _with_levels(design: Design, name: str, indicators: FloatArray) -> Design:
    """Put the levels' own indicators in the place of the covariate they come from."""
    others = design.without(name) if name != AGE_BAND else design
    k = indicators.shape[1]
    return Design(
        np.hstack([others.matrix, indicators]),
        (*others.terms, *(f"{name}:{i}" for i in range(k))),
        (*others.variables, *(name,) * k),
        (*others.references, *("",) * k),
    )


def _fit(
    data: SurvivalData,
    predictors: FloatArray,
    design: Design,
    among: BoolArray,
    start: FloatArray | None = None,
) -> ModelFit:
    return fit_model(data, complete_cases(predictors, design, among), 1, start=start)

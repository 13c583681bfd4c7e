"""The hazard ratio of PAD by level of each subgroup, and whether the levels differ (interaction)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

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
from spinescore.core.statistics.estimate import Estimate, FloatArray, IntArray
from spinescore.domain import Result

SAMPLE = "own_n"
PAD = ""  # no covariate has this name


def subgroup_rows(setting: Setting, endpoint: str) -> Iterator[Result]:
    """Yield the hazard ratios of PAD per SD within each subgroup, and the test of interaction, by model."""
    data = read_survival(setting, endpoint)
    names = dict.fromkeys(setting.study.analysis.subgroups)
    factors = [read_factor(setting, name).take(data.index) for name in names]
    for model in setting.study.models:
        whole = _read_whole(data, model)
        for factor in factors:
            for level in range(len(factor.levels)):
                yield _level_row(whole, factor, level)
            yield _interaction_row(whole, factor)


@dataclass(frozen=True, slots=True)
class _Whole:
    """A study model over the endpoint's subjects, of whom subgroups are parts.

    ``estimates`` are PAD's and the covariates' coefficients in everybody, by term: where fits to parts begin.
    """

    data: SurvivalData
    model: str
    design: Design
    pad: FloatArray
    estimates: dict[str, float]

    def fit(self, predictors: FloatArray, design: Design, rows: IntArray) -> ModelFit:
        """Fit predictors (PAD first) and covariates to the complete cases among some rows."""
        cases = complete_cases(predictors[rows], design.take(rows))
        cases = replace(cases, rows=rows[cases.rows])
        own = [self.estimates[PAD]] + [0.0] * (predictors.shape[1] - 1)
        begin = [*own, *(self.estimates.get(term, 0.0) for term in cases.covariates.terms)]
        return fit_model(self.data, cases, 1, start=np.array(begin))


def _read_whole(data: SurvivalData, model: str) -> _Whole:
    pad = data.values(data.setting.pad)
    main = fit_model(data, data.complete(model, pad[:, None], SAMPLE), 1)
    terms = (PAD, *main.cases.covariates.terms)
    estimates = dict(zip(terms, main.fit.coefficients.tolist(), strict=True))
    return _Whole(data, model, data.setting.designs[model].take(data.index), pad, estimates)


def _level_row(whole: _Whole, factor: Factor, level: int) -> Result:
    data, model = whole.data, whole.model
    setting, pad = data.setting, data.setting.pad
    rows = np.flatnonzero(factor.codes == level)
    found = whole.fit(whole.pad[:, None], whole.design.without(factor.name), rows)
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
        note=dropped_note(found.cases.dropped),
    )


@dataclass(frozen=True, slots=True)
class _Interaction:
    """The models without and with PAD's own slope in each level, on the same subjects."""

    smaller: ModelFit
    larger: ModelFit
    left_out: tuple[str, ...]
    problem: str | None


def _interaction_row(whole: _Whole, factor: Factor) -> Result:
    data, model, pad = whole.data, whole.model, whole.data.setting.pad
    found = _fit_interaction(whole, factor)
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


def _fit_interaction(whole: _Whole, factor: Factor) -> _Interaction:
    """Fit PAD, levels and covariates, without and with PAD x level, over all levels with enough events."""
    values, design = whole.pad, whole.design
    counted = np.isfinite(values) & (factor.codes >= 0)
    for column in design.matrix.T:
        counted &= np.isfinite(column)
    happened = factor.codes[counted & (whole.data.follow_up.status == 1)]
    shown = np.flatnonzero(np.bincount(happened, minlength=len(factor.levels)) >= FEWEST_EVENTS)
    present = np.unique(factor.codes[counted])
    left_out = tuple(factor.levels[level] for level in present if level not in shown)
    rows = np.flatnonzero(counted & np.isin(factor.codes, shown))
    if len(shown) < 2:
        alone = whole.fit(values[:, None], design.without(factor.name), rows)
        return _Interaction(alone, alone, left_out, "one group")
    indicators = np.column_stack([factor.codes == level for level in shown[1:]]).astype(np.float64)
    if factor.name not in design.variables or left_out:
        design = _with_levels(design, factor.name, indicators)
    smaller = whole.fit(values[:, None], design, rows)
    larger = whole.fit(np.hstack([values[:, None], values[:, None] * indicators]), design, rows)
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

"""Models that predict an endpoint, without and with PAD: fitted in one cohort, frozen, applied in another."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from spinescore.core.statistics.absolute_risk import freeze_risk_model
from spinescore.core.statistics.assembly.binary_rows import read_binary
from spinescore.core.statistics.assembly.design import (
    CompleteCases,
    Design,
    complete_cases,
    is_continuous,
    read_levels,
    read_numbers,
)
from spinescore.core.statistics.assembly.rows import dropped_note, judge_events, model_flags
from spinescore.core.statistics.assembly.setting import Setting
from spinescore.core.statistics.assembly.survival_data import SurvivalData, fit_model, read_survival
from spinescore.core.statistics.criteria import Prediction, Yardstick
from spinescore.core.statistics.estimate import FloatArray, IntArray
from spinescore.core.statistics.outcomes import (
    BinaryOutcome,
    Fitted,
    Model,
    Outcome,
    SurvivalOutcome,
    read_fitted,
)

ROUND_THRESHOLDS = (0.05, 0.1, 0.2, 0.3)  # whose net benefit is a row; every other is a point of the curve
CURVE_POINTS = 50


@dataclass(frozen=True, slots=True)
class Sample:
    """Complete cases of a model and PAD in one cohort, with an endpoint's outcome.

    ``rows`` are those of the cohort's table; ``keys`` name the rows of results; ``notes`` and ``flags`` say
    what the model lost; ``freeze`` fits and freezes it, with PAD or without.
    """

    setting: Setting
    model: str
    keys: Mapping[str, Any]
    rows: IntArray
    cases: CompleteCases
    outcome: Outcome
    flags: tuple[str, ...]
    notes: tuple[str, ...]
    freeze: Callable[[bool], Fitted]

    @property
    def designs(self) -> tuple[FloatArray, FloatArray]:
        """Return the columns of the model without and with PAD."""
        return self.cases.covariates.matrix, self.cases.matrix

    @property
    def identity(self) -> tuple[str, str]:
        """Return endpoint and model."""
        return str(self.keys["endpoint"]), self.model

    def flags_of(self, *, pad: bool) -> tuple[str, ...]:
        """Return the flags of the model without or with PAD."""
        variables = self.cases.covariates.variables
        predictor = self.setting.pad
        parameters = len(variables) + int(pad)
        found = model_flags(
            predictor, variables, self.outcome.fewest_events(), parameters, self.cases.dropped
        )
        own = ("uncorrected_unadjusted", *predictor.flags)
        return (*self.flags, *(flag for flag in found if pad or flag not in own))


@dataclass(frozen=True, slots=True)
class FrozenPair:
    """A model without and with PAD as they were fitted in one cohort, or the reason there are none.

    ``covariates`` has the columns' names and no rows; ``levels`` are those of each categorical covariate
    that the cohort had.
    """

    cohort: str
    covariates: Design
    levels: Mapping[str, frozenset[str]]
    pad: tuple[str, str | None]
    models: tuple[Model, ...]
    problem: str | None
    notes: tuple[str, ...]
    last_years: float


def set_yardstick(setting: Setting) -> Yardstick:
    """Return when and at which thresholds a study's predictions are judged."""
    analysis = setting.study.analysis
    low, high = analysis.thresholds
    inside = [t for t in ROUND_THRESHOLDS if low <= t <= high]
    thresholds = np.unique(np.round(np.concatenate([np.linspace(low, high, CURVE_POINTS), inside]), 12))
    horizons = tuple(float(h) for h in analysis.horizons_years)
    return Yardstick(horizons, float(analysis.tau_years or max(horizons)), thresholds)


def read_samples(setting: Setting, endpoint: str) -> Iterator[Sample]:
    """Yield the sample of each of the study's models for a binary or survival endpoint."""
    if endpoint in setting.study.binary_endpoints():
        yield from _binary_samples(setting, endpoint)
    else:
        yield from _survival_samples(setting, endpoint)


def _binary_samples(setting: Setting, endpoint: str) -> Iterator[Sample]:
    data = read_binary(setting, endpoint)
    thresholds = set_yardstick(setting).thresholds
    for model, design in data.designs.items():
        cases = complete_cases(setting.pad.values[:, None], design, data.known)
        note = data.note_of(model, cases.dropped)
        outcome = BinaryOutcome(data.case[cases.rows], thresholds)
        yield Sample(
            setting,
            model,
            data.keys(model=model, sample="own_n"),
            cases.rows,
            cases,
            outcome,
            data.flags_of(model),
            (note,) if note else (),
            partial(_freeze_logistic, outcome, cases),
        )


def _survival_samples(setting: Setting, endpoint: str) -> Iterator[Sample]:
    data = read_survival(setting, endpoint)
    yardstick = set_yardstick(setting)
    for model in setting.study.models:
        cases = data.complete(model, data.values(setting.pad)[:, None], "own_n")
        note = dropped_note(cases.dropped)
        yield Sample(
            setting,
            model,
            data.keys(model=model, sample="own_n", cause=endpoint),
            data.index[cases.rows],
            cases,
            SurvivalOutcome(data.follow_up.take(cases.rows), yardstick),
            (),
            (note,) if note else (),
            partial(_freeze_cox, data, cases),
        )


def _freeze_logistic(outcome: BinaryOutcome, cases: CompleteCases, with_pad: bool) -> Fitted:
    return outcome.fit(cases.matrix if with_pad else cases.covariates.matrix)


def _freeze_cox(data: SurvivalData, cases: CompleteCases, with_pad: bool) -> Fitted:
    """Freeze the fits that the hazard ratios come from."""
    own = fit_model(data, cases, 1, covariates_only=not with_pad)
    competing = (
        fit_model(data, cases, 2, covariates_only=not with_pad).fit
        if (own.follow_up.status == 2).any()
        else None
    )
    design = cases.matrix if with_pad else cases.covariates.matrix
    return read_fitted(freeze_risk_model(own.follow_up, design, own.fit, competing))


def freeze_pair(sample: Sample) -> FrozenPair:
    """Fit a model without and with PAD to a sample; both or neither are shown."""
    outcome, setting = sample.outcome, sample.setting
    problem = judge_events(outcome.fewest_events(), sample.designs[1].shape[1])
    if outcome.size == 0:
        problem = "no subjects"
    fits = [] if problem else [sample.freeze(with_pad) for with_pad in (False, True)]
    problem = problem or next((fit.problem for fit in reversed(fits) if fit.problem), None)
    lost = next((fit.simplified for fit in reversed(fits) if fit.simplified), None)
    return FrozenPair(
        setting.cohort.name,
        sample.cases.covariates.take(np.empty(0, dtype=np.int64)),
        _levels_of(sample),
        (setting.pad.name, setting.pad.correction),
        () if problem else tuple(fit.model for fit in fits if fit.model is not None),
        problem,
        (f"competing event without covariates: {lost}",) if lost else (),
        outcome.last_years,
    )


def _categorical(sample: Sample) -> list[str]:
    study = sample.setting.study
    terms = dict.fromkeys((*sample.cases.covariates.variables, *_dropped_variables(sample)))
    return [name for name in terms if not is_continuous(study, name)]


def _dropped_variables(sample: Sample) -> tuple[str, ...]:
    return tuple(term.split("=", 1)[0] for term in sample.cases.dropped)


def _levels_of(sample: Sample) -> dict[str, frozenset[str]]:
    subjects = sample.setting.cohort.subjects
    found = {}
    for name in _categorical(sample):
        text = read_levels(subjects, name)[1].gather(sample.rows)
        found[name] = frozenset(text.drop_nulls().unique().to_list())
    return found


def carry_over(pair: FrozenPair, sample: Sample) -> tuple[tuple[FloatArray, FloatArray], str | None]:
    """Return a sample's columns as a frozen pair has them, or why it cannot be applied there."""
    nothing = (np.empty((0, 0)), np.empty((0, 0)))
    if pair.problem:
        return nothing, pair.problem
    if sample.outcome.size == 0:
        return nothing, "no subjects"
    if pair.pad != (sample.setting.pad.name, sample.setting.pad.correction):
        return nothing, f"PAD is not on the same correction as in {pair.cohort}"
    subjects = sample.setting.cohort.subjects
    for name, known in pair.levels.items():
        levels = frozenset(read_levels(subjects, name)[1].gather(sample.rows).drop_nulls().unique().to_list())
        if levels - known:
            return nothing, f"level unknown in {pair.cohort}: {name}={min(levels - known)}"
    columns = [
        _column(sample, name, term)
        for name, term in zip(pair.covariates.variables, pair.covariates.terms, strict=True)
    ]
    matrix = np.column_stack(columns) if columns else np.empty((sample.outcome.size, 0))
    return (matrix, np.hstack([sample.cases.predictors, matrix])), None


def _column(sample: Sample, name: str, term: str) -> FloatArray:
    subjects = sample.setting.cohort.subjects
    if is_continuous(sample.setting.study, name):
        return read_numbers(subjects, "age_years" if name == "age" else name)[sample.rows]
    text = read_levels(subjects, name)[1].gather(sample.rows)
    return np.asarray((text == term.split("=", 1)[1]).to_numpy(), dtype=np.float64)


def predict_pair(
    outcome: Outcome, pair: FrozenPair, designs: tuple[FloatArray, FloatArray]
) -> list[Prediction]:
    """Return the predictions of a frozen pair; empty where there is none."""
    return [outcome.predict(model, design) for model, design in zip(pair.models, designs, strict=False)]

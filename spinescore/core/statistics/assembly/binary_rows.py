"""Binary endpoints: ROC areas and their differences, logistic models, ROC curves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from spinescore.core.statistics.assembly.design import (
    CompleteCases,
    Design,
    complete_cases,
    read_numbers,
)
from spinescore.core.statistics.assembly.rows import dropped_note, judge_events, make_row, model_flags
from spinescore.core.statistics.assembly.setting import Predictor, Setting, spread
from spinescore.core.statistics.discrimination import compare_auc, estimate_auc, measure_auc, trace_roc
from spinescore.core.statistics.equivalent_fits import Fits
from spinescore.core.statistics.estimate import BoolArray, Estimate, FloatArray, log_ratio_interval
from spinescore.core.statistics.logistic import LogisticFit, compare_nested_logistic, fit_logistic
from spinescore.domain import CurvePoint, Result


@dataclass(frozen=True, slots=True)
class BinaryData:
    """A binary endpoint over the cohort: who is a case (known rows only) and the models without it."""

    setting: Setting
    endpoint: str
    known: BoolArray
    case: BoolArray
    designs: dict[str, Design]
    removed: dict[str, tuple[str, ...]]
    common: BoolArray
    fits: Fits[LogisticFit] = field(default_factory=Fits, compare=False, repr=False)

    def keys(self, **more: Any) -> dict[str, Any]:
        """Return the keys every row of this endpoint has."""
        return {"cohort": self.setting.cohort.name, "endpoint": self.endpoint, **more}

    def flags_of(self, model: str) -> tuple[str, ...]:
        """Flag a model that lost the endpoint itself from its covariates."""
        return ("endpoint_in_model",) if self.removed[model] else ()

    def note_of(self, model: str, dropped: tuple[str, ...]) -> str | None:
        """Name what the model lost."""
        removed = self.removed[model]
        parts = [f"left out as the endpoint itself: {', '.join(removed)}" if removed else None]
        return "; ".join(part for part in (*parts, dropped_note(dropped)) if part) or None


def read_binary(setting: Setting, endpoint: str) -> BinaryData:
    """Read an endpoint's cases, take it out of the models' covariates, and find the common complete cases."""
    values = read_numbers(setting.cohort.subjects, endpoint)
    known = np.isfinite(values)
    study = setting.study
    column = study.endpoints[endpoint].column
    same = {name for name, c in study.covariates.items() if name == endpoint or c.column == column}
    removed = {model: tuple(sorted(same & set(d.variables))) for model, d in setting.designs.items()}
    designs = {model: design.without(*same) for model, design in setting.designs.items()}
    ages = [setting.predictors["pad_raw"].values, setting.pad.values]
    common = known & np.isfinite(np.column_stack(ages)).all(axis=1)
    for design in designs.values():
        common &= np.isfinite(design.matrix).all(axis=1)
    return BinaryData(setting, endpoint, known, np.asarray(values == 1), designs, removed, common)


def binary_rows(setting: Setting, endpoint: str) -> Iterator[Result]:
    """Yield every row of one binary endpoint."""
    data = read_binary(setting, endpoint)
    yield from _single_areas(data)
    yield from _age_contrast(data)
    for model in data.designs:
        yield from _model_areas(data, model)
        for sample in ("own_n", "common_n"):
            yield from _odds_ratios(data, model, sample)
        yield from _likelihood_ratio(data, model)


def _single_areas(data: BinaryData) -> Iterator[Result]:
    for predictor in data.setting.predictors.values():
        use = data.known & np.isfinite(predictor.values)
        estimate = _area(data.case[use], predictor.values[use], data.setting.conf_level)
        yield make_row(
            estimate,
            data.setting.conf_level,
            **data.keys(analysis="auc", statistic="auc", sample="own_n", method="delong"),
            predictor=predictor.name,
            correction=predictor.correction,
            n=int(use.sum()),
            events=int(data.case[use].sum()),
            flags=predictor.flags,
        )


def _area(case: BoolArray, score: FloatArray, conf_level: float) -> Estimate:
    if case.all() or not case.any():
        return Estimate(problem="one class")
    return estimate_auc(measure_auc(case, score), conf_level)


def _age_contrast(data: BinaryData) -> Iterator[Result]:
    first, second = (data.setting.predictors[n] for n in ("spine_age_raw", "chronological_age"))
    use = data.known & np.isfinite(first.values) & np.isfinite(second.values)
    case, level = data.case[use], data.setting.conf_level
    estimate = Estimate(problem="one class")
    if case.any() and not case.all():
        spine, age = (measure_auc(case, p.values[use]) for p in (first, second))
        estimate = compare_auc(spine, age, level, test=True)
    yield make_row(
        estimate,
        level,
        **data.keys(analysis="auc_difference", statistic="auc_difference", sample="own_n", method="delong"),
        predictor=first.name,
        correction=first.correction,
        comparator=second.name,
        n=int(use.sum()),
        events=int(case.sum()),
    )


def _cases_of(data: BinaryData, model: str, predictor: Predictor, sample: str) -> CompleteCases:
    design = data.designs[model]
    if predictor.name == "chronological_age":
        design = design.without("age")
    return complete_cases(
        predictor.values[:, None], design, data.common if sample == "common_n" else data.known
    )


def _fit(
    data: BinaryData, cases: CompleteCases, *, covariates_only: bool = False
) -> tuple[LogisticFit, str | None]:
    case = data.case[cases.rows]
    fit = data.fits.get(
        "logistic",
        cases.rows,
        cases.predictors[:, :0] if covariates_only else cases.predictors,
        cases.covariates.matrix,
        lambda matrix: fit_logistic(case, matrix),
    )
    fewest = min(fit.events, fit.n - fit.events)
    return fit, judge_events(fewest, len(fit.coefficients)) or fit.problem


def _model_areas(data: BinaryData, model: str) -> Iterator[Result]:
    pad, level = data.setting.pad, data.setting.conf_level
    cases = _cases_of(data, model, pad, "own_n")
    case = data.case[cases.rows]
    fits = [_fit(data, cases, covariates_only=alone) for alone in (True, False)]
    problem = fits[1][1] or fits[0][1]
    areas = [] if problem else [measure_auc(case, fit.linear_predictor) for fit, _ in fits]
    shared = data.keys(model=model, sample="own_n", validation="apparent", method="delong") | {
        "n": len(case),
        "events": int(case.sum()),
        "note": data.note_of(model, cases.dropped),
    }
    flags = ("apparent", *data.flags_of(model))
    for index, predictor in enumerate((None, pad)):
        yield make_row(
            estimate_auc(areas[index], level) if areas else Estimate(problem=problem),
            level,
            **shared,
            analysis="auc",
            statistic="auc",
            predictor=predictor.name if predictor else None,
            correction=predictor.correction if predictor else None,
            flags=(*flags, *(predictor.flags if predictor else ())),
        )
    yield make_row(
        compare_auc(areas[1], areas[0], level, test=False) if areas else Estimate(problem=problem),
        level,
        **shared,
        analysis="auc_difference",
        statistic="auc_difference",
        predictor=pad.name,
        correction=pad.correction,
        comparator=model,
        flags=(*flags, *pad.flags),
    )


def _odds_ratios(data: BinaryData, model: str, sample: str) -> Iterator[Result]:
    setting = data.setting
    for predictor in setting.predictors.values():
        cases = _cases_of(data, model, predictor, sample)
        fit, problem = _fit(data, cases)
        sd = spread(predictor.values if sample == "own_n" else predictor.values[cases.rows])
        fewest = min(fit.events, fit.n - fit.events)
        variables = data.designs[model].variables
        flags = model_flags(predictor, variables, fewest, cases.matrix.shape[1], cases.dropped)
        for statistic, scale in (("or_per_sd", sd), ("or_per_year", 1.0)):
            main = statistic == "or_per_sd" and predictor is setting.pad and sample == "own_n"
            primary = ("primary",) if main and setting.is_primary(data.endpoint, model) else ()
            yield make_row(
                Estimate(problem=problem) if problem else _ratio(fit, scale, setting.conf_level),
                setting.conf_level,
                **data.keys(
                    analysis="logistic", statistic=statistic, model=model, sample=sample, variant="main"
                ),
                predictor=predictor.name,
                correction=predictor.correction,
                scale=scale,
                n=fit.n,
                events=fit.events,
                flags=(*primary, *flags, *data.flags_of(model)),
                note=data.note_of(model, cases.dropped),
            )


def _ratio(fit: LogisticFit, scale: float, conf_level: float) -> Estimate:
    se = float(np.sqrt(fit.covariance[0, 0]))
    return log_ratio_interval(float(fit.coefficients[0]) * scale, se * scale, conf_level)


def _likelihood_ratio(data: BinaryData, model: str) -> Iterator[Result]:
    pad = data.setting.pad
    cases = _cases_of(data, model, pad, "common_n")
    (smaller, first), (larger, second) = (_fit(data, cases, covariates_only=alone) for alone in (True, False))
    problem = second or first
    yield make_row(
        Estimate(problem=problem) if problem else compare_nested_logistic(smaller, larger),
        **data.keys(analysis="logistic", statistic="lr_chi2", model=model, sample="common_n", variant="main"),
        predictor=pad.name,
        correction=pad.correction,
        comparator=model,
        method="likelihood_ratio",
        n=larger.n,
        events=larger.events,
        flags=(*pad.flags, *data.flags_of(model)),
        note=data.note_of(model, cases.dropped),
    )


def roc_curves(setting: Setting, endpoint: str) -> Iterator[CurvePoint]:
    """Yield the ROC curves of the single predictors of one binary endpoint."""
    values = read_numbers(setting.cohort.subjects, endpoint)
    for name in dict.fromkeys(
        ("spine_age_raw", "spine_age_corrected", "chronological_age", setting.pad.name)
    ):
        if name not in setting.predictors:
            continue
        predictor = setting.predictors[name]
        use = np.isfinite(values) & np.isfinite(predictor.values)
        case = values[use] == 1
        if case.all() or not case.any():
            continue
        for fpr, tpr in zip(*trace_roc(case, predictor.values[use]), strict=True):
            yield CurvePoint(
                cohort=setting.cohort.name,
                analysis="roc",
                x_name="false_positive_rate",
                x=float(fpr),
                y=float(tpr),
                endpoint=endpoint,
                predictor=name,
                correction=predictor.correction,
            )

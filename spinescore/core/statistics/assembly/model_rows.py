"""What rows of every model of follow-up have in common: keys, flags, ratios, and PAD groups in a model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from spinescore.core.statistics.assembly.rows import dropped_note, make_row, model_flags
from spinescore.core.statistics.assembly.setting import Predictor
from spinescore.core.statistics.assembly.survival_data import ModelFit, SurvivalData, model_variables
from spinescore.core.statistics.estimate import Estimate, FloatArray, log_ratio_interval
from spinescore.domain import Result


def model_keys(
    data: SurvivalData, model: str, predictor: Predictor, sample: str, cause: int = 1, variant: str = "main"
) -> dict[str, Any]:
    """Return the keys of a model's rows for one cause."""
    return data.keys(
        cause=data.causes[cause],
        model=model,
        sample=sample,
        variant=variant,
        predictor=predictor.name,
        correction=predictor.correction,
    )


def fit_flags(data: SurvivalData, model: str, predictor: Predictor, found: ModelFit) -> tuple[str, ...]:
    """Return the flags of a fitted model's rows."""
    variables = model_variables(data, model)
    return model_flags(predictor, variables, found.fit.events, found.parameters, found.cases.dropped)


def group_indicators(data: SurvivalData) -> FloatArray:
    """Return a column per PAD group above the lowest; NaN where the group is unknown."""
    members = data.group_index()
    groups = range(1, len(data.setting.groups.labels))
    known = members >= 0
    return np.column_stack([np.where(known, members == g, np.nan) for g in groups])


def ratio(found: ModelFit, column: int, scale: float, conf_level: float) -> Estimate:
    """Return the ratio of one column per ``scale`` of it, or why there is none."""
    if found.problem:
        return Estimate(problem=found.problem)
    coefficient = float(found.fit.coefficients[column]) * scale
    return log_ratio_interval(
        coefficient, float(np.sqrt(found.fit.covariance[column, column])) * scale, conf_level
    )


def category_rows(
    data: SurvivalData,
    model: str,
    sample: str,
    found: ModelFit,
    *,
    analysis: str,
    statistic: str,
) -> Iterator[Result]:
    """Yield the PAD groups against the lowest, the reference group with its own row."""
    members = data.group_index()
    setting = data.setting
    labels = setting.groups.labels
    inside = members[found.cases.rows]
    n = [int((inside == g).sum()) for g in range(len(labels))]
    events = [int(found.event[inside == g].sum()) for g in range(len(labels))]
    problem = found.problem
    if problem in ("separation", "constant predictor"):
        empty = [f"{events[g]} events in {label}" for g, label in enumerate(labels) if events[g] == 0]
        problem = "; ".join(empty) or problem
    for g, label in enumerate(labels):
        estimate = Estimate(value=1.0) if g == 0 else ratio(found, g - 1, 1.0, setting.conf_level)
        flags = (*setting.group_flags, *fit_flags(data, model, setting.pad, found))
        yield make_row(
            Estimate(problem=problem) if problem else estimate,
            setting.conf_level,
            **model_keys(data, model, setting.pad, sample),
            analysis=analysis,
            statistic=statistic,
            group=label,
            comparator=labels[0],
            n=n[g],
            events=events[g],
            flags=("reference", *flags) if g == 0 else flags,
            note=dropped_note(found.cases.dropped),
        )

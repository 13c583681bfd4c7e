"""Estimates made into rows, with the rules on when a number may be shown."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from spinescore.core.statistics.assembly.setting import Predictor
from spinescore.core.statistics.estimate import Estimate
from spinescore.domain import Result

NUMBERS = ("value", "se", "lower", "upper", "p_value", "df", "scale", "person_years")
FEWEST_EVENTS = 5
EVENTS_PER_PARAMETER = 10


def make_row(estimate: Estimate, conf_level: float | None = None, **fields: Any) -> Result:
    """Return the row of an estimate; a problem, or a number that is not finite, becomes ``not_estimable``."""
    values = {name: getattr(estimate, name) for name in ("value", "se", "lower", "upper", "p_value", "df")}
    row = Result(**fields, **values)
    if estimate.problem:
        row = replace(row, note=_join(estimate.problem, row.note), status="not_estimable")
    return tidy_row(row, conf_level)


def tidy_row(row: Result, conf_level: float | None = None) -> Result:
    """Turn what is not finite into null, a null estimate into ``not_estimable``; drop repeated flags."""
    changes: dict[str, Any] = {
        name: None
        for name in NUMBERS
        if (number := getattr(row, name)) is not None and not math.isfinite(number)
    }
    if "value" in changes:
        changes |= dict.fromkeys(("se", "lower", "upper", "p_value"))
        changes |= {"status": "not_estimable", "note": _join("separation", row.note)}
    changes["flags"] = tuple(dict.fromkeys(row.flags))
    row = replace(row, **changes)
    has_interval = row.lower is not None or row.upper is not None
    return replace(row, conf_level=conf_level if has_interval else None)


def _join(first: str, second: str | None) -> str:
    return f"{first}; {second}" if second else first


def judge_events(events: int, parameters: int) -> str | None:
    """Return why a model of so many parameters is not shown, or None.

    >>> judge_events(4, 2)
    '4 events'
    >>> judge_events(6, 8)
    '6 events, 8 parameters'
    """
    if events < FEWEST_EVENTS:
        return f"{events} events"
    if events <= parameters:
        return f"{events} events, {parameters} parameters"
    return None


def model_flags(
    predictor: Predictor, variables: tuple[str, ...], events: int, parameters: int, dropped: tuple[str, ...]
) -> tuple[str, ...]:
    """Return the flags of a fitted model's rows: the traps of STATISTICS.md that depend on the model."""
    flags = list(predictor.flags)
    if predictor.raw and "age" not in variables:
        flags.append("uncorrected_unadjusted")
    if events < EVENTS_PER_PARAMETER * parameters:
        flags.append("few_events")
    if dropped:
        flags.append("constant_covariate_dropped")
    return tuple(flags)


def dropped_note(dropped: tuple[str, ...]) -> str | None:
    """Name the covariates left out because they do not vary."""
    return f"left out as constant: {', '.join(dropped)}" if dropped else None

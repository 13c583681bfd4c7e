"""Firth's penalised fits where events are few: ``variant = "firth"`` beside ``main``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from spinescore.core.statistics.assembly.binary_rows import BinaryData, read_binary
from spinescore.core.statistics.assembly.design import complete_cases
from spinescore.core.statistics.assembly.model_rows import fit_flags, model_keys
from spinescore.core.statistics.assembly.rows import (
    EVENTS_PER_PARAMETER,
    dropped_note,
    make_row,
    model_flags,
)
from spinescore.core.statistics.assembly.setting import Setting, spread
from spinescore.core.statistics.assembly.survival_data import SurvivalData, fit_model, read_survival
from spinescore.core.statistics.firth import (
    FirthFit,
    fit_firth_cox,
    fit_firth_logistic,
    profile_coefficient,
    ratio_of,
)
from spinescore.core.statistics.logistic import fit_logistic
from spinescore.domain import Result


def firth_rows(setting: Setting, endpoint: str) -> Iterator[Result]:
    """Yield penalised ratios of PAD for the models of an endpoint that have few events or no estimate."""
    if not setting.study.analysis.firth:
        return
    if setting.study.endpoints[endpoint].type == "survival":
        yield from _hazard_ratios(read_survival(setting, endpoint))
    else:
        yield from _odds_ratios(read_binary(setting, endpoint))


def _hazard_ratios(data: SurvivalData) -> Iterator[Result]:
    pad = data.setting.pad
    for model in data.setting.designs:
        cases = data.complete(model, data.values(pad)[:, None], "own_n")
        main = fit_model(data, cases, 1)
        if not main.problem and not _few(main.fit.events, main.parameters):
            continue
        fit = fit_firth_cox(main.follow_up, main.event, cases.matrix)
        keys = model_keys(data, model, pad, "own_n") | {
            "analysis": "cox",
            "flags": fit_flags(data, model, pad, main),
            "note": dropped_note(cases.dropped),
        }
        yield from _ratio_rows(data.setting, fit, "hr", keys)


def _odds_ratios(data: BinaryData) -> Iterator[Result]:
    pad = data.setting.pad
    for model, design in data.designs.items():
        cases = complete_cases(pad.values[:, None], design, data.known)
        case, matrix = data.case[cases.rows], cases.matrix
        fewest, parameters = int(min(case.sum(), (~case).sum())), matrix.shape[1]
        if not _few(fewest, parameters) and not fit_logistic(case, matrix).problem:
            continue
        flags = model_flags(pad, design.variables, fewest, parameters, cases.dropped)
        keys = data.keys(analysis="logistic", model=model, sample="own_n") | {
            "predictor": pad.name,
            "correction": pad.correction,
            "flags": (*flags, *data.flags_of(model)),
            "note": data.note_of(model, cases.dropped),
        }
        yield from _ratio_rows(data.setting, fit_firth_logistic(case, matrix), "or", keys)


def _few(events: int, parameters: int) -> bool:
    return events < EVENTS_PER_PARAMETER * parameters


def _ratio_rows(setting: Setting, fit: FirthFit, ratio: str, keys: dict[str, Any]) -> Iterator[Result]:
    """Yield the ratio per SD and per year: one profile, rescaled."""
    level, sd = setting.conf_level, spread(setting.pad.values)
    coefficient = profile_coefficient(fit, 0, level)
    for statistic, scale in ((f"{ratio}_per_sd", sd), (f"{ratio}_per_year", 1.0)):
        yield make_row(
            ratio_of(coefficient, scale),
            level,
            **keys | {"variant": "firth", "statistic": statistic, "scale": scale},
            n=fit.n,
            events=fit.events,
        )

"""Sensitivity, specificity and predictive values at the study's cut-offs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from spinescore.core.statistics.assembly.binary_rows import read_binary
from spinescore.core.statistics.assembly.rows import make_row
from spinescore.core.statistics.assembly.setting import Predictor, Setting
from spinescore.core.statistics.assembly.survival_data import read_survival
from spinescore.core.statistics.classification import classify_at_horizon, classify_cases
from spinescore.core.statistics.estimate import BoolArray, Estimate
from spinescore.core.statistics.time_dependent import weigh_horizon
from spinescore.domain import Result


def cutoff_rows(setting: Setting, endpoint: str) -> Iterator[Result]:
    """Yield the shares at each cut-off of each predictor that has some and that the cohort has."""
    if not setting.study.analysis.cutoffs:
        return
    if endpoint in setting.study.binary_endpoints():
        yield from _binary(setting, endpoint)
    else:
        yield from _at_horizons(setting, endpoint)


def _cutoffs(setting: Setting) -> Iterator[tuple[Predictor, float]]:
    for name, cutoffs in setting.study.analysis.cutoffs.items():
        if name in setting.predictors:
            for cutoff in cutoffs:
                yield setting.predictors[name], float(cutoff)


def _binary(setting: Setting, endpoint: str) -> Iterator[Result]:
    data = read_binary(setting, endpoint)
    for predictor, cutoff in _cutoffs(setting):
        known = data.known & np.isfinite(predictor.values)
        case = data.case[known]
        found = classify_cases(case, predictor.values[known] >= cutoff, setting.conf_level)
        keys = data.keys(method="wilson", n=len(case), events=int(case.sum()))
        yield from _rows(setting, predictor, cutoff, found, keys)


def _at_horizons(setting: Setting, endpoint: str) -> Iterator[Result]:
    data = read_survival(setting, endpoint)
    for predictor, cutoff in _cutoffs(setting):
        values = data.values(predictor)
        known: BoolArray = np.isfinite(values)
        follow_up = data.follow_up.take(known)
        for horizon in setting.study.analysis.horizons_years:
            weighed = weigh_horizon(follow_up, horizon)
            found = classify_at_horizon(weighed, values[known] >= cutoff, setting.conf_level)
            keys = data.keys(
                method="ipcw",
                cause=endpoint,
                horizon_years=float(horizon),
                n=int(known.sum()),
                events=int(((follow_up.status == 1) & (follow_up.exit <= horizon)).sum()),
            )
            yield from _rows(setting, predictor, cutoff, found, keys)


def _rows(
    setting: Setting,
    predictor: Predictor,
    cutoff: float,
    found: Mapping[str, Estimate],
    keys: Mapping[str, Any],
) -> Iterator[Result]:
    for statistic, estimate in found.items():
        yield make_row(
            estimate,
            setting.conf_level,
            **keys,
            analysis="cutoff",
            statistic=statistic,
            sample="own_n",
            predictor=predictor.name,
            correction=predictor.correction,
            term=f"cutoff={cutoff:g}",
            flags=predictor.flags,
        )

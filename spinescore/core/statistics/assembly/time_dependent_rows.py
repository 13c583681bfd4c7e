"""How well each age separates, at a horizon, those with the event by then from those without."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from spinescore.core.statistics.assembly.rows import make_row
from spinescore.core.statistics.assembly.setting import Predictor, Setting
from spinescore.core.statistics.assembly.survival_data import SurvivalData, read_survival
from spinescore.core.statistics.estimate import BoolArray
from spinescore.core.statistics.time_dependent import (
    Measure,
    compare_measures,
    estimate_measure,
    measure_auc_at,
    weigh_horizon,
)
from spinescore.domain import Result

CONTRAST = ("spine_age_raw", "chronological_age")
METHOD = "ipcw"


def time_dependent_rows(setting: Setting, endpoint: str) -> Iterator[Result]:
    """Yield the AUC of every single predictor at each horizon, and spine age against chronological age."""
    data = read_survival(setting, endpoint)
    for horizon in setting.study.analysis.horizons_years:
        for predictor in setting.predictors.values():
            known = np.isfinite(data.values(predictor))
            estimate = estimate_measure(_auc(data, predictor, known, horizon), setting.conf_level)
            yield make_row(
                estimate,
                setting.conf_level,
                **data.keys(analysis="time_dependent_auc", statistic="auc", cause=endpoint, sample="own_n"),
                method=METHOD,
                horizon_years=float(horizon),
                predictor=predictor.name,
                correction=predictor.correction,
                n=int(known.sum()),
                events=_events(data, known, horizon),
                flags=predictor.flags,
            )
        yield _contrast(data, horizon)


def _contrast(data: SurvivalData, horizon: float) -> Result:
    first, second = (data.setting.predictors[name] for name in CONTRAST)
    known = np.isfinite(data.values(first)) & np.isfinite(data.values(second))
    pair = [_auc(data, predictor, known, horizon) for predictor in (first, second)]
    level = data.setting.conf_level
    return make_row(
        compare_measures(pair[0], pair[1], level, test=True),
        level,
        **data.keys(analysis="time_dependent_auc", statistic="auc_difference", cause=data.endpoint),
        sample="own_n",
        method=METHOD,
        horizon_years=float(horizon),
        predictor=first.name,
        correction=first.correction,
        comparator=second.name,
        n=int(known.sum()),
        events=_events(data, known, horizon),
        flags=first.flags,
    )


def _auc(data: SurvivalData, predictor: Predictor, known: BoolArray, horizon: float) -> Measure:
    if not known.any():
        return Measure(np.nan, np.zeros(0), "no subjects")
    return measure_auc_at(weigh_horizon(data.follow_up.take(known), horizon), data.values(predictor)[known])


def _events(data: SurvivalData, known: BoolArray, horizon: float) -> int:
    follow_up = data.follow_up
    return int((known & (follow_up.status == 1) & (follow_up.exit <= horizon)).sum())

"""Calibration along a smooth curve, and discrimination and calibration by subgroup."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from spinescore.core.statistics.assembly.factors import read_factor
from spinescore.core.statistics.assembly.rows import make_row
from spinescore.core.statistics.assembly.trials import TOO_LATE, Trial, draw_point
from spinescore.core.statistics.calibration import SmoothCalibration
from spinescore.core.statistics.criteria import Criterion
from spinescore.core.statistics.estimate import Estimate, FloatArray
from spinescore.domain import CurvePoint, Result

SMOOTH_POINTS = 61
SHOWN_RISKS = (0.01, 0.99)  # quantiles of predicted risk between which the curve is drawn
ERRORS = ("ici", "e50", "e90")


def calibration_lines(trial: Trial) -> tuple[list[Result], list[CurvePoint]]:
    """Return curves of observed on predicted risk at each horizon, and how far they are from the diagonal."""
    rows: list[Result] = []
    line: list[CurvePoint] = []
    knots = trial.sample.setting.study.analysis.knots
    for i, horizon in enumerate(trial.sample.outcome.horizons):
        criterion = Criterion("calibration", "ici", "spline", horizon)
        late = TOO_LATE if trial.too_late(criterion) else None
        for pad in (False, True):
            problem, curve = trial.problem or late, None
            if not problem:
                risk = trial.predictions[pad].risk[:, i]
                curve, problem = trial.sample.outcome.smooth(risk, horizon, knots)
                line.extend(_draw(trial, criterion, curve, risk, pad=pad))
            rows.extend(_errors(trial, horizon, curve, problem, pad=pad))
    return rows, line


def _errors(
    trial: Trial, horizon: float | None, curve: SmoothCalibration | None, problem: str | None, *, pad: bool
) -> Iterator[Result]:
    for name in ERRORS:
        estimate = Estimate(problem=problem) if curve is None else Estimate(value=getattr(curve, name))
        yield make_row(estimate, **trial.fields(Criterion("calibration", name, "spline", horizon), pad=pad))


def _draw(
    trial: Trial, criterion: Criterion, curve: SmoothCalibration | None, risk: FloatArray, *, pad: bool
) -> Iterator[CurvePoint]:
    if curve is None:
        return
    low, high = np.quantile(risk, SHOWN_RISKS).tolist()
    x = np.linspace(low, high, SMOOTH_POINTS)
    for at, y in zip(x.tolist(), curve.at(x).tolist(), strict=True):
        yield draw_point(trial, criterion, at, y, pad=pad)


def subgroup_rows(trial: Trial) -> Iterator[Result]:
    """Yield discrimination and calibration of the model with PAD within each level of each subgroup."""
    setting = trial.sample.setting
    for name in dict.fromkeys(setting.study.analysis.subgroups):
        factor = read_factor(setting, name).take(trial.sample.rows)
        if len(factor.levels) < 2:
            continue  # everybody, of whom the other rows are
        for level in range(len(factor.levels)):
            members = np.asarray(factor.codes == level)
            part = trial.sample.outcome.take(members)
            judge = part.judge()
            if trial.problem:
                found = {judge.criteria[0]: Estimate(problem=trial.problem)}
            else:
                found = judge.estimate_briefly(trial.predictions[1].take(members), setting.conf_level)
            for criterion, estimate in found.items():
                kept = Estimate(problem=TOO_LATE) if trial.too_late(criterion) else estimate
                counts = {"n": part.size, "events": part.events_by(criterion.horizon_years)}
                fields = trial.fields(criterion, pad=True) | counts
                yield make_row(kept, setting.conf_level, **fields, subgroup=factor.subgroup(level))

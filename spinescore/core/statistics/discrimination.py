"""Areas under ROC curves with DeLong's variance, paired differences, and the curve itself."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spinescore.core.statistics.cox import count_ties
from spinescore.core.statistics.estimate import (
    BoolArray,
    Estimate,
    FloatArray,
    clip_to_unit,
    normal_interval,
)


@dataclass(frozen=True, slots=True)
class RocArea:
    """AUC with each case's and each control's placement value."""

    auc: float
    case_placements: FloatArray
    control_placements: FloatArray


def measure_auc(case: BoolArray, score: FloatArray) -> RocArea:
    """Return P(score of a case > score of a control), ties half, with placement values.

    Estimator: Mann-Whitney, counted along one sort, O(n log n). Direction fixed: higher means case, so it
    may be below 0.5. Needs one case and one control.

    Source: DeLong 1988, Biometrics 44:837; Sun and Xu 2014, IEEE Signal Process Lett 21:1389.

    >>> measure_auc(np.array([False, True, True]), np.array([1.0, 1.0, 2.0])).auc
    0.75
    """
    n_cases = int(case.sum())
    order = np.argsort(score)
    _, starts, group, size = count_ties(score[order])
    cases = np.add.reduceat(case[order].astype(np.int64), starts)
    controls = size - cases
    controls_below = np.cumsum(controls) - controls / 2  # ties half
    cases_above = n_cases - np.cumsum(cases) + cases / 2
    placements = np.empty(len(score))
    placements[order] = np.where(case[order], controls_below[group], cases_above[group])
    case_placements = placements[case] / (len(score) - n_cases)
    return RocArea(float(case_placements.mean()), case_placements, placements[~case] / n_cases)


def _delong_se(case_values: FloatArray, control_values: FloatArray) -> float:
    variances = (float(v.var(ddof=1)) / len(v) for v in (case_values, control_values))
    return float(np.sqrt(sum(variances)))


def _problem(area: RocArea) -> str | None:
    cases, controls = len(area.case_placements), len(area.control_placements)
    if min(cases, controls) == 0:
        return "one class"
    if min(cases, controls) < 2:
        return f"{cases} cases, {controls} controls"
    return None


def estimate_auc(area: RocArea, conf_level: float) -> Estimate:
    """Return the AUC with DeLong's standard error and normal interval, clipped to [0, 1] as pROC does."""
    if problem := _problem(area):
        return Estimate(problem=problem)
    se = _delong_se(area.case_placements, area.control_placements)
    return clip_to_unit(normal_interval(area.auc, se, conf_level))


def compare_auc(first: RocArea, second: RocArea, conf_level: float, *, test: bool) -> Estimate:
    """Return first minus second AUC on the same subjects, by paired DeLong.

    Limits: ``test`` must be False for nested models fitted to these subjects (Demler 2012, Stat Med 31:2577).
    """
    if problem := _problem(first):
        return Estimate(problem=problem)
    se = _delong_se(
        first.case_placements - second.case_placements, first.control_placements - second.control_placements
    )
    return normal_interval(first.auc - second.auc, se, conf_level, test=test)


def trace_roc(case: BoolArray, score: FloatArray, max_points: int = 400) -> tuple[FloatArray, FloatArray]:
    """Return false and true positive rates from (0, 0) to (1, 1), thinned evenly along the curve."""
    from sklearn.metrics import roc_curve  # 1.4 s to import: only where a curve is asked for

    fpr, tpr, _ = roc_curve(case, score, drop_intermediate=True)
    if len(fpr) > max_points:
        targets = np.linspace(0, 2, max_points)
        keep = np.unique(np.clip(np.searchsorted(fpr + tpr, targets), 0, len(fpr) - 1))
        fpr, tpr = fpr[keep], tpr[keep]
    return fpr, tpr

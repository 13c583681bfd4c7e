"""Predictions of an outcome known of everybody, and what they are judged by."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np

from spinescore.core.statistics.calibration import (
    FEWEST_EVENTS,
    compare_binary_in_the_large,
    estimate_binary_slope,
)
from spinescore.core.statistics.criteria import (
    Criterion,
    Judgement,
    Prediction,
    merge_judgements,
    weigh_benefits,
)
from spinescore.core.statistics.decision_curve import trace_binary_net_benefit
from spinescore.core.statistics.discrimination import compare_auc, estimate_auc, measure_auc
from spinescore.core.statistics.estimate import BoolArray, Estimate, FloatArray
from spinescore.core.statistics.time_dependent import (
    Measure,
    compare_measures,
    estimate_measure,
    measure_ipa,
)


def measure_binary_brier(case: BoolArray, risk: FloatArray | float) -> Measure:
    """Return the mean squared difference of predicted probability and outcome.

    Source: Brier 1950; ``riskRegression::Score`` and ``rms::val.prob`` for binary outcomes.

    >>> measure_binary_brier(np.array([True, False]), np.array([0.5, 0.5])).value
    0.25
    """
    n = len(case)
    errors = (case - np.broadcast_to(risk, n)) ** 2
    value = float(errors.mean()) if n else np.nan
    return Measure(value, (errors - value) / max(n, 1))


class BinaryJudge:
    """Subjects with their outcome, ready to judge any prediction of it.

    Parameters
    ----------
    case : boolean array of shape (n,)
    thresholds : array of shape (k,), ascending
    """

    def __init__(self, case: BoolArray, thresholds: FloatArray) -> None:
        self.case, self.thresholds = case, thresholds
        cases = int(case.sum())
        controls = len(case) - cases
        self.problem: str | None = None
        if min(cases, controls) < FEWEST_EVENTS:
            one = min(cases, controls) == 0
            self.problem = "one class" if one else f"{cases} cases, {controls} controls"
        self.null = measure_binary_brier(case, cases / max(len(case), 1))

    @cached_property
    def criteria(self) -> tuple[Criterion, ...]:
        """Return what predictions are judged by, in the order of ``measure``."""
        return (
            Criterion("auc", "auc", "delong"),
            Criterion("brier", "brier", "mean_square"),
            Criterion("ipa", "ipa", "mean_square"),
            Criterion("calibration", "calibration_intercept", "logit"),
            Criterion("calibration", "calibration_slope", "logit"),
            *(Criterion("decision_curve", "net_benefit", "model", None, t) for t in self.thresholds.tolist()),
        )

    def measure(self, prediction: Prediction) -> FloatArray:
        """Return the values of all criteria without their errors, NaN where there is none: for resamples."""
        if self.problem:
            return np.full(len(self.criteria), np.nan)
        risk = prediction.risk[:, 0]
        brier = measure_binary_brier(self.case, risk)
        values = [measure_auc(self.case, prediction.score).auc, brier.value]
        values.append(measure_ipa(brier, self.null).value)
        large = compare_binary_in_the_large(self.case, risk, 0.95)["calibration_intercept"]
        for estimate in (large, estimate_binary_slope(self.case, risk, 0.95)):
            values.append(np.nan if estimate.value is None else estimate.value)
        benefit = trace_binary_net_benefit(self.case, risk, self.thresholds).model
        return np.concatenate([values, benefit])

    def estimate(
        self, predictions: Sequence[Prediction], conf_level: float, *, first: bool = True
    ) -> Judgement:
        """Return every estimate, as ``Judge`` has it; ``first`` is the area under the ROC curve."""
        risks = [p.risk[:, 0] for p in predictions]
        curves = [trace_binary_net_benefit(self.case, risk, self.thresholds) for risk in risks]
        calibration = [self._calibrate(risk, conf_level) for risk in risks]
        return merge_judgements(
            [
                *([self._estimate_area(predictions, conf_level)] if first else []),
                self._estimate_accuracy(risks, conf_level),
                Judgement(tuple(calibration), {}),
                weigh_benefits(curves, None, self.problem),
            ]
        )

    def estimate_briefly(self, prediction: Prediction, conf_level: float) -> dict[Criterion, Estimate]:
        """Return area under the ROC curve and calibration: what is said of subgroups."""
        area = self._estimate_area([prediction], conf_level).alone[0]
        return area | self._calibrate(prediction.risk[:, 0], conf_level)

    def _estimate_area(self, predictions: Sequence[Prediction], conf_level: float) -> Judgement:
        criterion = Criterion("auc", "auc", "delong")
        gain = Criterion("auc_difference", "auc_difference", "delong")
        if self.problem:
            nothing = Estimate(problem=self.problem)
            return Judgement(tuple({criterion: nothing} for _ in predictions), {gain: nothing})
        areas = [measure_auc(self.case, p.score) for p in predictions]
        difference = compare_auc(areas[-1], areas[0], conf_level, test=False)
        return Judgement(tuple({criterion: estimate_auc(a, conf_level)} for a in areas), {gain: difference})

    def _estimate_accuracy(self, risks: Sequence[FloatArray], conf_level: float) -> Judgement:
        briers = [measure_binary_brier(self.case, risk) for risk in risks]
        alone: list[dict[Criterion, Estimate]] = [{} for _ in risks]
        difference: dict[Criterion, Estimate] = {}
        ipas = [measure_ipa(brier, self.null) for brier in briers]
        for name, measures in (("brier", briers), ("ipa", ipas)):
            criterion = Criterion(name, name, "mean_square")
            for found, measure in zip(alone, measures, strict=True):
                estimate = estimate_measure(measure, conf_level, bounded=name != "ipa")
                found[criterion] = Estimate(problem=self.problem) if self.problem else estimate
            contrast = compare_measures(measures[-1], measures[0], conf_level, test=False)
            kept = Estimate(problem=self.problem) if self.problem else contrast
            difference[Criterion(name, f"{name}_difference", "mean_square")] = kept
        return Judgement(tuple(alone), difference)

    def _calibrate(self, risk: FloatArray, conf_level: float) -> dict[Criterion, Estimate]:
        found = compare_binary_in_the_large(self.case, risk, conf_level)
        slope = estimate_binary_slope(self.case, risk, conf_level)
        found["calibration_slope"] = Estimate(problem=self.problem) if self.problem else slope
        return {Criterion("calibration", name, "logit"): estimate for name, estimate in found.items()}

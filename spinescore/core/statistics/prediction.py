"""Predictions of follow-up and what they are judged by, in the subjects of the model or in any others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property

import numpy as np

from spinescore.core.statistics.calibration import (
    FEWEST_EVENTS,
    compare_in_the_large,
    estimate_calibration_slope,
    estimate_observed_risk,
    judge_horizon,
    trace_observed_risk,
)
from spinescore.core.statistics.censoring import estimate_censoring
from spinescore.core.statistics.concordance import (
    Concordance,
    compare_concordance,
    estimate_concordance,
    measure_concordance,
    measure_uno_concordance,
)
from spinescore.core.statistics.criteria import (
    Criterion,
    Judgement,
    Prediction,
    Yardstick,
    merge_judgements,
    weigh_benefits,
)
from spinescore.core.statistics.decision_curve import trace_net_benefit
from spinescore.core.statistics.estimate import BoolArray, Estimate, FloatArray
from spinescore.core.statistics.kaplan_meier import StepCurve
from spinescore.core.statistics.time_dependent import (
    Horizon,
    Measure,
    compare_measures,
    estimate_measure,
    measure_auc_at,
    measure_brier,
    measure_ipa,
    weigh_horizon,
)
from spinescore.core.statistics.times import FollowUp

LARGEST_PAIRS = 4_000_000  # events times subjects compared one by one
TRUNCATED = "left truncation: Uno's C is not defined for it here"


class SurvivalJudge:
    """Subjects with their follow-up, ready to judge any prediction of it.

    Parameters
    ----------
    follow_up : FollowUp of n subjects
    yardstick : Yardstick
    """

    def __init__(self, follow_up: FollowUp, yardstick: Yardstick) -> None:
        self.follow_up, self.yardstick = follow_up, yardstick
        self.event: BoolArray = np.asarray(follow_up.status == 1)
        self._observed: dict[tuple[float, float], Estimate] = {}
        self._curves: dict[float, StepCurve] = {}
        self.problems = [judge_horizon(follow_up, horizon) for horizon in yardstick.horizons_years]

    @cached_property
    def _weighed(self) -> list[Horizon]:
        return [weigh_horizon(self.follow_up, horizon) for horizon in self.yardstick.horizons_years]

    @cached_property
    def _incidence(self) -> list[float]:
        curve = self._curve_at(0.95)
        last = [curve.at(horizon) for horizon in self.yardstick.horizons_years]
        return [float(curve.values[i]) if i >= 0 else 0.0 for i in last]

    def _curve_at(self, conf_level: float) -> StepCurve:
        if conf_level not in self._curves:
            self._curves[conf_level] = trace_observed_risk(self.follow_up, conf_level)
        return self._curves[conf_level]

    @cached_property
    def _null(self) -> list[Measure]:
        """Return the Brier score of giving everybody the sample's own risk."""
        return [measure_brier(w, f) for w, f in zip(self._weighed, self._incidence, strict=True)]

    @cached_property
    def criteria(self) -> tuple[Criterion, ...]:
        """Return what predictions are judged by, in the order of ``measure``."""
        return tuple(self._list_criteria())

    def _list_criteria(self) -> Iterator[Criterion]:
        yield Criterion("concordance", "c", "harrell")
        yield Criterion("concordance", "c", "uno", self.yardstick.tau_years)
        for horizon in self.yardstick.horizons_years:
            yield Criterion("time_dependent_auc", "auc", "ipcw", horizon)
            yield Criterion("brier", "brier", "ipcw", horizon)
            yield Criterion("ipa", "ipa", "ipcw", horizon)
            yield Criterion("calibration", "calibration_intercept", "cloglog", horizon)
            yield Criterion("calibration", "calibration_slope", "cloglog", horizon)
            for threshold in self.yardstick.thresholds.tolist():
                yield Criterion("decision_curve", "net_benefit", "model", horizon, threshold)

    def measure(self, prediction: Prediction) -> FloatArray:
        """Return the values of all criteria without their errors, NaN where there is none: for resamples."""
        values = [np.array(self._count_concordance(prediction.score))]
        for i, horizon in enumerate(self.yardstick.horizons_years):
            values.append(self._measure_at(i, horizon, prediction.risk[:, i]))
        return np.concatenate(values)

    def _measure_at(self, i: int, horizon: float, risk: FloatArray) -> FloatArray:
        thresholds = self.yardstick.thresholds
        if self.problems[i]:
            return np.full(5 + len(thresholds), np.nan)
        auc, brier = measure_auc_at(self._weighed[i], risk), measure_brier(self._weighed[i], risk)
        observed = Estimate(value=self._incidence[i], se=0.0)
        large = compare_in_the_large(risk, observed, 0.95)["calibration_intercept"]
        slope = estimate_calibration_slope(self.follow_up, risk, horizon, 0.95)
        benefit = trace_net_benefit(self.follow_up, risk, horizon, thresholds).model
        calibration = [np.nan if e.value is None else e.value for e in (large, slope)]
        ipa = measure_ipa(brier, self._null[i]).value
        return np.concatenate([[auc.value, brier.value, ipa, *calibration], benefit])

    @cached_property
    def _uno_weights(self) -> FloatArray:
        follow_up = FollowUp(self.follow_up.entry, self.follow_up.exit, self.event.astype(np.int64))
        curve = estimate_censoring(follow_up)
        counted = self.event & (follow_up.exit <= self.yardstick.tau_years)
        uncensored = curve.uncensored[curve.inverse]
        return np.divide(1.0, uncensored**2, out=np.zeros(len(counted)), where=counted)[self.event]

    @cached_property
    def _comparable(self) -> BoolArray:
        """Whose event comes before whose exit; shape (events, n)."""
        follow_up = self.follow_up
        times = follow_up.exit[self.event][:, None]
        outlives = (follow_up.exit > times) | ((follow_up.exit == times) & ~self.event)
        return np.asarray(outlives & (follow_up.entry < times))

    def _count_concordance(self, score: FloatArray) -> tuple[float, float]:
        """Return Harrell's and Uno's C; pair by pair in small samples."""
        if int(self.event.sum()) * len(score) > LARGEST_PAIRS:
            return self._measure_concordance(score, "harrell").c, self._measure_concordance(score, "uno").c
        order = np.sign(score[self.event][:, None] - score) + 1
        agree = np.einsum("ij,ij->i", order, self._comparable) / 2
        pairs = self._comparable.sum(axis=1)
        with np.errstate(invalid="ignore"):  # no pairs: NaN
            harrell = float(np.float64(agree.sum()) / pairs.sum())
            weights = self._uno_weights
            uno = np.nan if self.follow_up.truncated else float(weights @ agree / (weights @ pairs))
        return harrell, uno

    def _measure_concordance(self, score: FloatArray, method: str) -> Concordance:
        if method == "harrell":
            return measure_concordance(self.follow_up, self.event, score)
        if self.follow_up.truncated:
            return Concordance(np.nan, np.zeros(len(score)), 0.0)
        return measure_uno_concordance(self.follow_up, self.event, score, self.yardstick.tau_years)

    def estimate(
        self, predictions: Sequence[Prediction], conf_level: float, *, first: bool = True
    ) -> Judgement:
        """Return every estimate, as ``Judge`` has it; ``first`` is Harrell's C."""
        methods = ("harrell", "uno") if first else ("uno",)
        parts = [self._estimate_concordance(predictions, conf_level, methods)]
        for i, horizon in enumerate(self.yardstick.horizons_years):
            parts.append(self._estimate_accuracy(i, predictions, conf_level))
            calibration = [self._calibrate(i, p.risk[:, i], conf_level) for p in predictions]
            parts.append(Judgement(tuple(calibration), {}))
            thresholds = self.yardstick.thresholds
            curves = [
                trace_net_benefit(self.follow_up, p.risk[:, i], horizon, thresholds) for p in predictions
            ]
            parts.append(weigh_benefits(curves, horizon, self.problems[i]))
        return merge_judgements(parts)

    def estimate_briefly(self, prediction: Prediction, conf_level: float) -> dict[Criterion, Estimate]:
        """Return Harrell's C, and calibration at the longest horizon: what is said of subgroups."""
        found = dict(self._estimate_concordance([prediction], conf_level, ("harrell",)).alone[0])
        last = len(self.yardstick.horizons_years) - 1
        return found | self._calibrate(last, prediction.risk[:, last], conf_level)

    def _estimate_concordance(
        self, predictions: Sequence[Prediction], conf_level: float, methods: tuple[str, ...]
    ) -> Judgement:
        events = int(self.event.sum())
        few = f"{events} events" if events < FEWEST_EVENTS else None
        alone: list[dict[Criterion, Estimate]] = [{} for _ in predictions]
        difference: dict[Criterion, Estimate] = {}
        for criterion in [c for c in self.criteria[:2] if c.method in methods]:
            truncated = criterion.method == "uno" and self.follow_up.truncated
            problem = few or (TRUNCATED if truncated else None)
            nothing = Estimate(problem=problem)
            measured = [self._measure_concordance(p.score, criterion.method) for p in predictions]
            for found, c in zip(alone, measured, strict=True):
                found[criterion] = nothing if problem else estimate_concordance(c, conf_level)
            contrast = compare_concordance(measured[-1], measured[0], conf_level)
            difference |= {d: nothing if problem else contrast for d in [criterion.difference] if d}
        return Judgement(tuple(alone), difference)

    def _estimate_accuracy(self, i: int, predictions: Sequence[Prediction], conf_level: float) -> Judgement:
        """Return IPCW AUC, Brier score and IPA; an IPA may be negative, so only the others are cut at 0."""
        horizon, weighed = self.yardstick.horizons_years[i], self._weighed[i]
        problem = self.problems[i] or weighed.problem
        alone: list[dict[Criterion, Estimate]] = [{} for _ in predictions]
        difference: dict[Criterion, Estimate] = {}
        briers = [measure_brier(weighed, p.risk[:, i]) for p in predictions]
        areas = [measure_auc_at(weighed, p.risk[:, i]) for p in predictions]
        for name, measures in (
            ("auc", areas),
            ("brier", briers),
            ("ipa", [measure_ipa(b, self._null[i]) for b in briers]),
        ):
            analysis = "time_dependent_auc" if name == "auc" else name
            criterion = Criterion(analysis, name, "ipcw", horizon)
            for found, measure in zip(alone, measures, strict=True):
                estimate = estimate_measure(measure, conf_level, bounded=name != "ipa")
                found[criterion] = Estimate(problem=problem) if problem else estimate
            contrast = compare_measures(measures[-1], measures[0], conf_level, test=False)
            kept = Estimate(problem=problem) if problem else contrast
            difference |= {d: kept for d in [criterion.difference] if d}
        return Judgement(tuple(alone), difference)

    def _observe(self, horizon: float, conf_level: float) -> Estimate:
        key = horizon, conf_level
        if key not in self._observed:
            curve = self._curve_at(conf_level)
            self._observed[key] = estimate_observed_risk(self.follow_up, horizon, conf_level, curve)
        return self._observed[key]

    def _calibrate(self, i: int, risk: FloatArray, conf_level: float) -> dict[Criterion, Estimate]:
        horizon = self.yardstick.horizons_years[i]
        observed = self._observe(horizon, conf_level)
        found = {"observed_risk": observed} | compare_in_the_large(risk, observed, conf_level)
        found["calibration_slope"] = estimate_calibration_slope(self.follow_up, risk, horizon, conf_level)
        return {
            Criterion("calibration", name, "cloglog", horizon): estimate for name, estimate in found.items()
        }

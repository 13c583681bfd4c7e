"""Outcomes that can be predicted: fit a model, predict by one, be judged, be resampled; of two kinds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np

from spinescore.core.statistics.absolute_risk import (
    FittedRisk,
    FrozenLogistic,
    RiskModel,
    fit_risk_model,
    freeze_logistic,
    predict_risk,
)
from spinescore.core.statistics.binary_prediction import BinaryJudge
from spinescore.core.statistics.calibration import (
    SmoothCalibration,
    judge_horizon,
    smooth_binary_calibration,
    smooth_calibration,
)
from spinescore.core.statistics.classification import reclassify_at_horizon, reclassify_cases
from spinescore.core.statistics.criteria import Criterion, Judgement, Prediction, Yardstick
from spinescore.core.statistics.estimate import BoolArray, Estimate, FloatArray, IntArray
from spinescore.core.statistics.logistic import fit_logistic
from spinescore.core.statistics.prediction import SurvivalJudge
from spinescore.core.statistics.time_dependent import weigh_horizon
from spinescore.core.statistics.times import FollowUp

Model = RiskModel | FrozenLogistic


@dataclass(frozen=True, slots=True)
class Fitted:
    """A frozen model, or the reason there is none; ``simplified`` says what it could not take in."""

    model: Model | None
    problem: str | None = None
    simplified: str | None = None


class Judge(Protocol):
    """Subjects whose outcome is known, ready to judge predictions."""

    @property
    def criteria(self) -> tuple[Criterion, ...]:
        """What predictions are judged by."""

    def measure(self, prediction: Prediction) -> FloatArray:
        """Return values alone, in the order of the criteria."""

    def estimate(
        self, predictions: Sequence[Prediction], conf_level: float, *, first: bool = True
    ) -> Judgement:
        """Return the estimates of every criterion of each prediction, and of the last against the first.

        Parameters
        ----------
        predictions : sequence of Prediction
        conf_level : float
        first : bool
            False leaves the first criterion out.
        """

    def estimate_briefly(self, prediction: Prediction, conf_level: float) -> dict[Criterion, Estimate]:
        """Return discrimination by the first criterion, and calibration."""


class Outcome(Protocol):
    """An outcome of n subjects."""

    @property
    def size(self) -> int:
        """The number of subjects."""

    @property
    def horizons(self) -> tuple[float | None, ...]:
        """When it is judged; (None,) where there is no follow-up."""

    @property
    def last_years(self) -> float:
        """When the last subject's follow-up ends; infinity where there is none."""

    def take(self, rows: BoolArray | IntArray) -> Self:
        """Return the outcome of some subjects."""

    def fewest_events(self) -> int:
        """Count events, or the smaller class."""

    def events_by(self, horizon: float | None) -> int:
        """Count events by a horizon, all of them for None."""

    def fit(self, design: FloatArray) -> Fitted:
        """Fit a model to these subjects and freeze it."""

    def predict(self, model: Model, design: FloatArray) -> Prediction:
        """Predict by a frozen model."""

    def judge(self) -> Judge:
        """Make the subjects ready to judge predictions."""

    def smooth(
        self, risk: FloatArray, horizon: float | None, knots: int
    ) -> tuple[SmoothCalibration | None, str | None]:
        """Return observed risk as a smooth function of the predicted, or why there is none."""

    def reclassify(
        self, before: FloatArray, after: FloatArray, horizon: float | None, conf_level: float
    ) -> dict[str, Estimate]:
        """Return IDI and continuous NRI of the second risks against the first."""


def read_fitted(found: FittedRisk) -> Fitted:
    """Return a model of absolute risk as a fitted model of any kind."""
    return Fitted(found.model, found.problem, found.simplified)


@dataclass(frozen=True, slots=True)
class SurvivalOutcome:
    """Follow-up, predicted by Cox models (cause-specific ones of both causes where events compete)."""

    follow_up: FollowUp
    yardstick: Yardstick

    @property
    def size(self) -> int:
        """Return the number of subjects."""
        return len(self.follow_up.exit)

    @property
    def horizons(self) -> tuple[float | None, ...]:
        """Return when it is judged."""
        return self.yardstick.horizons_years

    @property
    def last_years(self) -> float:
        """Return when the last subject's follow-up ends."""
        return float(self.follow_up.exit.max(initial=0.0))

    def take(self, rows: BoolArray | IntArray) -> SurvivalOutcome:
        """Return the outcome of some subjects."""
        return SurvivalOutcome(self.follow_up.take(rows), self.yardstick)

    def fewest_events(self) -> int:
        """Count events of interest."""
        return int((self.follow_up.status == 1).sum())

    def events_by(self, horizon: float | None) -> int:
        """Count events of interest by a horizon."""
        until = np.inf if horizon is None else horizon
        return int(((self.follow_up.status == 1) & (self.follow_up.exit <= until)).sum())

    def fit(self, design: FloatArray) -> Fitted:
        """Fit the Cox models of all causes and freeze coefficients and baselines."""
        return read_fitted(fit_risk_model(self.follow_up, design))

    def predict(self, model: Model, design: FloatArray) -> Prediction:
        """Return log relative hazards of the event and risks at the horizons."""
        assert isinstance(model, RiskModel)
        risk = predict_risk(model, design, self.yardstick.horizons_years)
        return Prediction(model.own.log_relative_hazard(design), risk)

    def judge(self) -> SurvivalJudge:
        """Weigh the subjects at each horizon."""
        return SurvivalJudge(self.follow_up, self.yardstick)

    def smooth(
        self, risk: FloatArray, horizon: float | None, knots: int
    ) -> tuple[SmoothCalibration | None, str | None]:
        """Return the calibration curve at a horizon, or why there is none."""
        assert horizon is not None
        return smooth_calibration(self.follow_up, risk, horizon, knots)

    def reclassify(
        self, before: FloatArray, after: FloatArray, horizon: float | None, conf_level: float
    ) -> dict[str, Estimate]:
        """Return IDI and continuous NRI at a horizon."""
        assert horizon is not None
        if problem := judge_horizon(self.follow_up, horizon):
            return dict.fromkeys(("idi", "continuous_nri"), Estimate(problem=problem))
        return reclassify_at_horizon(weigh_horizon(self.follow_up, horizon), before, after, conf_level)


@dataclass(frozen=True, slots=True)
class BinaryOutcome:
    """Cases and controls, predicted by logistic models."""

    case: BoolArray
    thresholds: FloatArray

    @property
    def size(self) -> int:
        """Return the number of subjects."""
        return len(self.case)

    @property
    def horizons(self) -> tuple[float | None, ...]:
        """Return None alone: nothing is followed."""
        return (None,)

    @property
    def last_years(self) -> float:
        """Return infinity: nothing is followed."""
        return float("inf")

    def take(self, rows: BoolArray | IntArray) -> BinaryOutcome:
        """Return the outcome of some subjects."""
        return BinaryOutcome(self.case[rows], self.thresholds)

    def fewest_events(self) -> int:
        """Count the smaller class."""
        cases = int(self.case.sum())
        return min(cases, len(self.case) - cases)

    def events_by(self, horizon: float | None) -> int:
        """Count cases."""
        return int(self.case.sum()) if horizon is None else 0

    def fit(self, design: FloatArray) -> Fitted:
        """Fit the logistic model and freeze it."""
        fit = fit_logistic(self.case, design)
        if fit.problem:
            return Fitted(None, fit.problem)
        return Fitted(freeze_logistic(design, fit))

    def predict(self, model: Model, design: FloatArray) -> Prediction:
        """Return linear predictors and probabilities."""
        assert isinstance(model, FrozenLogistic)
        return Prediction(model.intercept + design @ model.coefficients, model.predict(design)[:, None])

    def judge(self) -> BinaryJudge:
        """Make the subjects ready to judge predictions."""
        return BinaryJudge(self.case, self.thresholds)

    def smooth(
        self, risk: FloatArray, horizon: float | None, knots: int
    ) -> tuple[SmoothCalibration | None, str | None]:
        """Return the calibration curve, or why there is none."""
        assert horizon is None
        return smooth_binary_calibration(self.case, risk, knots)

    def reclassify(
        self, before: FloatArray, after: FloatArray, horizon: float | None, conf_level: float
    ) -> dict[str, Estimate]:
        """Return IDI and continuous NRI."""
        assert horizon is None
        return reclassify_cases(self.case, before, after, conf_level)


def judge_resamples(
    outcome: Outcome, designs: Sequence[FloatArray]
) -> Callable[[IntArray], tuple[FloatArray, FloatArray]]:
    """Return what judges a resample, for ``estimate_optimism``: one fit of each model serves all criteria.

    The measures are those of each model in turn, then those of the last less the first.

    Parameters
    ----------
    outcome : Outcome of n subjects
    designs : sequence of arrays of shape (n, p), one a model
    """
    whole = outcome.judge()
    nothing = np.full(len(whole.criteria), np.nan)

    def judge(rows: IntArray) -> tuple[FloatArray, FloatArray]:
        sample = outcome.take(rows)
        inside = sample.judge()
        within, without = [], []
        for design in designs:
            model = sample.fit(design[rows]).model
            within.append(nothing if model is None else inside.measure(sample.predict(model, design[rows])))
            without.append(nothing if model is None else whole.measure(outcome.predict(model, design)))
        within.append(within[-1] - within[0])
        without.append(without[-1] - without[0])
        return np.concatenate(within), np.concatenate(without)

    return judge

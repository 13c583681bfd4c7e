"""What predictions are judged by: criteria, yardsticks, and estimates by criterion."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from spinescore.core.statistics.decision_curve import DecisionCurve
from spinescore.core.statistics.estimate import BoolArray, Estimate, FloatArray, IntArray


@dataclass(frozen=True, slots=True)
class Criterion:
    """What a prediction is judged by: the keys of its row in the results."""

    analysis: str
    statistic: str
    method: str
    horizon_years: float | None = None
    threshold: float | None = None

    @property
    def difference(self) -> Criterion | None:
        """Return the criterion of the difference of two models; None for calibration."""
        if self.analysis == "calibration":
            return None
        own = self.analysis in ("concordance", "auc")
        analysis = f"{self.analysis}_difference" if own else self.analysis
        name = f"{self.statistic}_difference"
        return Criterion(analysis, name, self.method, self.horizon_years, self.threshold)


@dataclass(frozen=True, slots=True)
class Prediction:
    """Scores, shape (n,), the higher the worse; risks, shape (n, horizons), one column without follow-up."""

    score: FloatArray
    risk: FloatArray

    def take(self, rows: BoolArray | IntArray) -> Prediction:
        """Return the prediction of some subjects."""
        return Prediction(self.score[rows], self.risk[rows])


@dataclass(frozen=True, slots=True)
class Yardstick:
    """When predictions are judged, and at which thresholds of risk (ascending)."""

    horizons_years: tuple[float, ...]
    tau_years: float
    thresholds: FloatArray


@dataclass(frozen=True, slots=True)
class Judgement:
    """Estimates by criterion of each prediction, and of the last one's difference from the first."""

    alone: tuple[dict[Criterion, Estimate], ...]
    difference: dict[Criterion, Estimate]


def merge_judgements(parts: Sequence[Judgement]) -> Judgement:
    """Return all estimates of judgements of the same predictions."""
    alone: list[dict[Criterion, Estimate]] = [{} for _ in parts[0].alone]
    difference: dict[Criterion, Estimate] = {}
    for part in parts:
        for found, more in zip(alone, part.alone, strict=True):
            found |= more
        difference |= part.difference
    return Judgement(tuple(alone), difference)


def weigh_benefits(
    curves: Sequence[DecisionCurve], horizon_years: float | None, problem: str | None
) -> Judgement:
    """Return the net benefits of predictions at each threshold, and that of treating all with the first.

    Standard errors are not given: those of the models' risks would be taken as known.
    """
    alone: list[dict[Criterion, Estimate]] = []
    for curve in curves:
        lines = {"model": curve.model} | ({} if alone else {"treat_all": curve.treat_all})
        alone.append(
            {
                Criterion("decision_curve", "net_benefit", method, horizon_years, t): _known(y, problem)
                for method, line in lines.items()
                for t, y in zip(curve.thresholds.tolist(), line.tolist(), strict=True)
            }
        )
    gain = (curves[-1].model - curves[0].model).tolist()
    name = ("decision_curve", "net_benefit_difference", "model", horizon_years)
    thresholds = curves[0].thresholds.tolist()
    return Judgement(
        tuple(alone),
        {Criterion(*name, t): _known(y, problem) for t, y in zip(thresholds, gain, strict=True)},
    )


def _known(value: float, problem: str | None) -> Estimate:
    missing = problem or ("beyond follow-up" if value != value else None)
    return Estimate(problem=missing) if missing else Estimate(value=value)

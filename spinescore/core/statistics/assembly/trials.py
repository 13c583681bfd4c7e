"""Predictions in a sample, by whom and how they came about, and the keys of their rows and lines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from spinescore.core.statistics.assembly.prediction_models import Sample
from spinescore.core.statistics.criteria import Criterion, Prediction
from spinescore.domain import CurvePoint

TOO_LATE = "beyond follow-up of the cohort the model was fitted in"


@dataclass(frozen=True, slots=True)
class Trial:
    """A pair of models' predictions in a sample, and how they came about."""

    sample: Sample
    validation: str
    predictions: tuple[Prediction, ...]
    problem: str | None
    notes: tuple[str, ...]
    last_years: float

    def fields(self, criterion: Criterion, *, pad: bool, gain: bool = False) -> dict[str, Any]:
        """Return keys, counts, flags and note of a criterion's row."""
        sample, predictor = self.sample, self.sample.setting.pad
        threshold = None if criterion.threshold is None else f"threshold={criterion.threshold:g}"
        flags = ("apparent",) if self.validation == "apparent" else ()
        return {
            **sample.keys,
            "analysis": criterion.analysis,
            "statistic": criterion.statistic,
            "method": criterion.method,
            "horizon_years": criterion.horizon_years,
            "validation": self.validation,
            "term": threshold,
            "predictor": predictor.name if pad else None,
            "correction": predictor.correction if pad else None,
            "comparator": sample.model if gain else None,
            "n": sample.outcome.size,
            "events": sample.outcome.events_by(criterion.horizon_years),
            "flags": (*flags, *sample.flags_of(pad=pad)),
            "note": "; ".join((*self._censored(criterion), *self.notes, *sample.notes)) or None,
        }

    def _censored(self, criterion: Criterion) -> tuple[str, ...]:
        """Name what censors in concordance: the competing endpoint."""
        endpoint = self.sample.setting.study.endpoints[self.sample.keys["endpoint"]]
        competing = endpoint.competing if criterion.analysis.startswith("concordance") else None
        return (f"{competing} censored",) if competing else ()

    def too_late(self, criterion: Criterion) -> bool:
        """Whether the models were not followed until the criterion's horizon."""
        if criterion.analysis.startswith("concordance"):
            return False
        return criterion.horizon_years is not None and criterion.horizon_years > self.last_years


def draw_point(trial: Trial, criterion: Criterion, x: float, y: float, *, pad: bool) -> CurvePoint:
    """Return a point of the line of a model without or with PAD."""
    sample, predictor = trial.sample, trial.sample.setting.pad
    return CurvePoint(
        **sample.keys,
        analysis=criterion.analysis,
        x_name="predicted_risk" if criterion.threshold is None else "threshold",
        x=x,
        y=y,
        validation=trial.validation,
        predictor=predictor.name if pad else None,
        correction=predictor.correction if pad else None,
        method=criterion.method,
        horizon_years=criterion.horizon_years,
    )

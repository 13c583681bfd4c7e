"""The hazard ratio over PAD by restricted cubic spline: tests, knots, and the line to draw."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from spinescore.core.statistics.assembly.model_rows import fit_flags, model_keys
from spinescore.core.statistics.assembly.rows import dropped_note, make_row
from spinescore.core.statistics.assembly.setting import Setting
from spinescore.core.statistics.assembly.survival_data import (
    ModelFit,
    SurvivalData,
    fit_model,
    read_survival,
)
from spinescore.core.statistics.cox import compare_nested, measure_wald
from spinescore.core.statistics.estimate import Estimate, FloatArray, normal_quantile
from spinescore.core.statistics.splines import place_knots, restricted_cubic_spline
from spinescore.domain import CurvePoint, Result

SAMPLE = "own_n"
LINE_POINTS = 101
DRAWN = (0.01, 0.99)  # quantiles of PAD between which the line is drawn


@dataclass(frozen=True, slots=True)
class SplineFit:
    """A model of follow-up on a spline of PAD (the first columns), and the models it is compared with."""

    curved: ModelFit
    straight: ModelFit
    without: ModelFit
    pad: FloatArray
    knots: FloatArray

    @property
    def problem(self) -> str | None:
        """Return why nothing can be said of the shape."""
        if len(self.knots) < 3:
            return "too few distinct values of PAD"
        return self.curved.problem or self.straight.problem or self.without.problem

    @property
    def reference(self) -> float:
        """Return the PAD that others are compared with: 0 if between the outer knots, else the median."""
        inside = self.knots[0] <= 0.0 <= self.knots[-1]
        return 0.0 if inside else float(np.median(self.pad))


def fit_spline(data: SurvivalData, model: str) -> SplineFit:
    """Fit a study model with PAD curved, straight and left out, to the same subjects."""
    column = data.values(data.setting.pad)[:, None]
    cases = data.complete(model, column, SAMPLE)
    straight = fit_model(data, cases, 1)
    without = fit_model(data, cases, 1, covariates_only=True)
    pad = cases.predictors[:, 0]
    knots = place_knots(pad, data.setting.study.analysis.knots) if pad.size else np.empty(0)
    curved = straight
    if len(knots) >= 3:
        start = np.insert(straight.fit.coefficients, 1, np.zeros(len(knots) - 2))
        basis = replace(cases, predictors=restricted_cubic_spline(pad, knots))
        curved = fit_model(data, basis, 1, start=start)
    return SplineFit(curved, straight, without, pad, knots)


def spline_rows(setting: Setting, endpoint: str) -> Iterator[Result]:
    """Yield, of each model of one survival endpoint, the tests of PAD's spline and its knots."""
    data = read_survival(setting, endpoint)
    for model in setting.study.models:
        found = fit_spline(data, model)
        shared = {
            **model_keys(data, model, setting.pad, SAMPLE),
            "analysis": "spline",
            "n": found.curved.fit.n,
            "events": found.curved.fit.events,
            "flags": fit_flags(data, model, setting.pad, found.curved),
            "note": dropped_note(found.curved.cases.dropped),
        }
        for term, method, estimate in _tests(found):
            statistic = "chi2" if method == "wald" else "lr_chi2"
            yield make_row(estimate, **shared, statistic=statistic, term=term, method=method)
        for number, knot in enumerate(found.knots.tolist(), start=1):
            yield make_row(Estimate(value=knot), **shared, statistic="knot_years", term=f"knot {number}")


def _tests(found: SplineFit) -> Iterator[tuple[str, str, Estimate]]:
    """Yield the tests of PAD altogether and of its being curved."""
    columns = len(found.knots) - 1
    for term, first, smaller in (("global", 0, found.without), ("nonlinear", 1, found.straight)):
        if found.problem:
            wald = ratio = Estimate(problem=found.problem)
        else:
            wald = measure_wald(found.curved.fit, list(range(first, columns)))
            ratio = compare_nested(smaller.fit, found.curved.fit)
        yield term, "wald", wald
        yield term, "likelihood_ratio", ratio


def spline_curves(setting: Setting, endpoint: str) -> Iterator[CurvePoint]:
    """Yield the hazard ratio over PAD against the reference, with pointwise intervals, model by model."""
    data = read_survival(setting, endpoint)
    for model in setting.study.models:
        found = fit_spline(data, model)
        if found.problem:
            continue
        point = CurvePoint(
            **model_keys(data, model, setting.pad, SAMPLE),
            analysis="spline",
            x_name="pad_years",
            x=0.0,
            y=1.0,
            comparator=f"{found.reference:.6g}",
        )
        low, high = (float(q) for q in np.quantile(found.pad, DRAWN))
        x = np.linspace(low, high, LINE_POINTS)
        for at, y, lower, upper in zip(x, *trace_spline(found, x, setting.conf_level), strict=True):
            yield replace(point, x=float(at), y=float(y), lower=float(lower), upper=float(upper))


def trace_spline(
    found: SplineFit, x: FloatArray, conf_level: float
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the hazard ratio against the reference at some PADs, and its pointwise interval.

    Source: Harrell 2015, 2.4; equal to ``contrast`` of ``rms::cph``.
    """
    basis = restricted_cubic_spline(x, found.knots)
    basis = basis - restricted_cubic_spline(np.array([found.reference]), found.knots)
    k = basis.shape[1]
    value = basis @ found.curved.fit.coefficients[:k]
    covariance = found.curved.fit.covariance[:k, :k]
    se = np.sqrt(np.maximum(np.einsum("ij,jk,ik->i", basis, covariance, basis), 0.0))
    reach = normal_quantile(conf_level) * se
    return np.exp(value), np.exp(value - reach), np.exp(value + reach)

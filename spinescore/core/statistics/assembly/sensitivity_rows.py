"""The hazard ratio of PAD under other assumptions: ``variant`` beside ``main``, per SD and per year."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from spinescore.core.statistics.assembly.check_rows import concordance_rows, proportionality_rows
from spinescore.core.statistics.assembly.design import CompleteCases, Design, complete_cases
from spinescore.core.statistics.assembly.factors import Factor, cross_factors, read_factor
from spinescore.core.statistics.assembly.model_rows import fit_flags, model_keys, ratio
from spinescore.core.statistics.assembly.rows import dropped_note, make_row
from spinescore.core.statistics.assembly.setting import Predictor, Setting, spread
from spinescore.core.statistics.assembly.survival_data import (
    ModelFit,
    SurvivalData,
    fit_model,
    fit_within,
    read_survival,
)
from spinescore.core.statistics.cox import CoxFit
from spinescore.core.statistics.cox_residuals import robust_covariance, score_residuals
from spinescore.core.statistics.equivalent_fits import Fits
from spinescore.core.statistics.estimate import BoolArray, FloatArray, IntArray
from spinescore.core.statistics.splines import place_knots, restricted_cubic_spline
from spinescore.core.statistics.times import FollowUp, make_follow_up
from spinescore.domain import Result

SAMPLE = "own_n"
FEW_CLUSTERS = 40


@dataclass(frozen=True, slots=True)
class Variant:
    """One way of doing it otherwise, over the endpoint's subjects at risk.

    Parameters
    ----------
    name : str
        The key ``variant``.
    follow_up : FollowUp
        Of those with ``usable``; what stands for others means nothing.
    usable : boolean array of shape (n,)
    without : tuple of str
        Covariates that leave the model.
    strata : integer array of shape (n,), optional
        -1 where unknown.
    horizon_years : float, optional
        The landmark.
    note : str, optional
    """

    name: str
    follow_up: FollowUp
    usable: BoolArray
    without: tuple[str, ...] = ()
    strata: IntArray | None = None
    horizon_years: float | None = None
    note: str | None = None


def sensitivity_rows(setting: Setting, endpoint: str) -> Iterator[Result]:
    """Yield the models of one survival endpoint with PAD, raw and corrected, under other assumptions."""
    data = read_survival(setting, endpoint)
    clusters = _read(data, setting.study.endpoints[endpoint].cluster)
    variants = list(_variants(data))
    for model in setting.study.models:
        yield from _robust(data, model, None)
        if clusters is not None:
            yield from _robust(data, model, clusters)
        for variant in variants:
            yield from _refitted(data, model, variant)
        if "age" in setting.designs[model].variables:
            for predictor in _predictors(setting):
                yield from _curved_age(data, model, predictor)


def _predictors(setting: Setting) -> list[Predictor]:
    names = ("pad_raw", "pad_corrected")
    return [setting.predictors[name] for name in names if name in setting.predictors]


def _read(data: SurvivalData, name: str | None) -> Factor | None:
    return None if name is None else read_factor(data.setting, name).take(data.index)


def _variants(data: SurvivalData) -> Iterator[Variant]:
    declared = data.setting.study.endpoints[data.endpoint].strata
    if declared:
        yield _stratified(data, declared)
    yield _on_age(data)
    for landmark in sorted(set(data.setting.study.analysis.landmark_years)):
        yield _from_landmark(data, float(landmark))


def _stratified(data: SurvivalData, names: tuple[str, ...]) -> Variant:
    strata = cross_factors([read_factor(data.setting, name) for name in names])[data.index]
    count = len(np.unique(strata[strata >= 0]))
    note = f"strata: {', '.join(names)} ({count})"
    return Variant("strata", data.follow_up, strata >= 0, names, strata, note=note)


def _on_age(data: SurvivalData) -> Variant:
    """Count time from birth: watched from the age at imaging (or at entry) to the age at exit."""
    age = data.setting.predictors["chronological_age"].values[data.index]
    entry = age + np.where(np.isfinite(data.follow_up.entry), data.follow_up.entry, 0.0)
    exit = age + data.follow_up.exit
    known = np.isfinite(age)
    # ages merge if nearer than the tolerance: whoever is left without time at risk leaves, as in R
    scale = float(np.mean(np.abs(exit[known]))) if known.any() else 1.0
    usable = known & (exit - entry > 1e-8 * scale)
    late = usable & (entry > 0)
    follow_up = make_follow_up(
        np.where(late, entry, 0.0), np.where(usable, exit, 1.0 + scale), data.follow_up.status
    )
    lost = int((known & ~usable).sum())
    note = f"no time at risk on this scale: {lost}" if lost else None
    return Variant("age_scale", follow_up, usable, ("age",), note=note)


def _from_landmark(data: SurvivalData, landmark: float) -> Variant:
    """Drop whose follow-up ends by the landmark, and restart the clock there."""
    usable = data.follow_up.exit > landmark
    entry = np.where(np.isfinite(data.follow_up.entry), data.follow_up.entry - landmark, 0.0)
    exit = np.where(usable, data.follow_up.exit - landmark, 1.0)
    follow_up = make_follow_up(np.where(usable & (entry > 0), entry, 0.0), exit, data.follow_up.status)
    return Variant("landmark", follow_up, usable, horizon_years=landmark)


def _refitted(data: SurvivalData, model: str, variant: Variant) -> Iterator[Result]:
    design = data.setting.designs[model].without(*variant.without).take(data.index)
    fits: Fits[CoxFit] = Fits()
    for predictor in _predictors(data.setting):
        cases = complete_cases(data.values(predictor)[:, None], design, variant.usable)
        follow_up = variant.follow_up.take(cases.rows)
        strata = None if variant.strata is None else variant.strata[cases.rows]
        found = fit_within(fits, cases, follow_up, strata)
        yield from _ratios(data, model, predictor, found, variant)
        if strata is not None and predictor is data.setting.pad:
            base = fit_within(fits, cases, follow_up, strata, covariates_only=True)
            yield from concordance_rows(data, model, found, base, variant=variant.name)
            yield from proportionality_rows(data, model, found, variant=variant.name)


def _ratios(
    data: SurvivalData,
    model: str,
    predictor: Predictor,
    found: ModelFit,
    variant: Variant,
    *,
    method: str | None = None,
    more_flags: tuple[str, ...] = (),
) -> Iterator[Result]:
    """Yield the hazard ratio per SD (one SD for all variants: the cohort's) and per year."""
    level = data.setting.conf_level
    flags = (*fit_flags(data, model, predictor, found), *more_flags)
    if variant.name == "age_scale":  # the time scale adjusts for age
        flags = tuple(flag for flag in flags if flag != "uncorrected_unadjusted")
    notes = (variant.note, dropped_note(found.cases.dropped))
    for statistic, scale in (("hr_per_sd", spread(predictor.values)), ("hr_per_year", 1.0)):
        yield make_row(
            ratio(found, 0, scale, level),
            level,
            **model_keys(data, model, predictor, SAMPLE, variant=variant.name),
            analysis="cox",
            statistic=statistic,
            horizon_years=variant.horizon_years,
            method=method,
            scale=scale,
            n=found.fit.n,
            events=found.fit.events,
            flags=flags,
            note="; ".join(note for note in notes if note) or None,
        )


def _robust(data: SurvivalData, model: str, clusters: Factor | None) -> Iterator[Result]:
    """Yield the main estimates with the sandwich variance, of subjects or of clusters."""
    design = data.setting.designs[model].take(data.index)
    known = None if clusters is None else clusters.codes >= 0
    variant = Variant("robust", data.follow_up, np.empty(0, dtype=bool))
    method = "sandwich" if clusters is None else "cluster"
    fits: Fits[CoxFit] = Fits()
    for predictor in _predictors(data.setting):
        cases = complete_cases(data.values(predictor)[:, None], design, known)
        found, numbers = fit_model(data, cases, 1), None
        flags: tuple[str, ...] = ()
        if clusters is not None:
            _, numbers = np.unique(clusters.codes[cases.rows], return_inverse=True)
            count = int(numbers.max(initial=-1)) + 1
            variant = replace(variant, note=f"clusters: {clusters.name} ({count})")
            flags = ("few_clusters",) if count < FEW_CLUSTERS else ()
            if count <= found.parameters and not found.problem:  # the covariance would be singular
                found = replace(found, problem=f"{count} clusters, {found.parameters} parameters")
        found = _with_robust(fits, found, numbers)
        yield from _ratios(data, model, predictor, found, variant, method=method, more_flags=flags)


def _with_robust(fits: Fits[CoxFit], found: ModelFit, clusters: IntArray | None) -> ModelFit:
    """Return the fit with the sandwich for its covariance, which follows lines as the model's own does."""
    if found.problem:
        return found

    def make(matrix: FloatArray) -> CoxFit:
        residuals = score_residuals(found.follow_up, found.event, matrix, found.fit)
        return replace(found.fit, covariance=robust_covariance(residuals, found.fit.covariance, clusters))

    cases = found.cases
    robust = fits.get("sandwich", cases.rows, cases.predictors, cases.covariates.matrix, make)
    return replace(found, fit=replace(found.fit, covariance=robust.covariance))


def _curved_age(data: SurvivalData, model: str, predictor: Predictor) -> Iterator[Result]:
    """Yield the estimates adjusted for age by a restricted cubic spline."""
    cases = data.complete(model, data.values(predictor)[:, None], SAMPLE)
    variables = cases.covariates.variables
    variant = Variant("age_spline", data.follow_up, np.empty(0, dtype=bool))
    age = cases.covariates.matrix[:, [i for i, name in enumerate(variables) if name == "age"]]
    knots = place_knots(age[:, 0], data.setting.study.analysis.knots) if age.size else np.empty(0)
    if len(knots) < 3:
        found = replace(fit_model(data, cases, 1), problem="too few distinct values of age")
    else:
        found = fit_model(data, _with_columns(cases, restricted_cubic_spline(age[:, 0], knots)), 1)
        variant = replace(variant, note=f"knots: {', '.join(f'{knot:.6g}' for knot in knots)}")
    yield from _ratios(data, model, predictor, found, variant)


def _with_columns(cases: CompleteCases, columns: np.ndarray) -> CompleteCases:
    others = cases.covariates.without("age")
    k = columns.shape[1]
    covariates = Design(
        np.hstack([columns, others.matrix]),
        (*("age" + "'" * i for i in range(k)), *others.terms),
        (*("age",) * k, *others.variables),
        (*(None,) * k, *others.references),
    )
    return replace(cases, covariates=covariates)

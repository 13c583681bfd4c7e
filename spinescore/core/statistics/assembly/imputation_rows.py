"""Models on imputed copies of incomplete covariates, pooled: ``variant = "imputed"`` beside ``main``."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from spinescore.core.statistics.assembly.binary_rows import read_binary
from spinescore.core.statistics.assembly.design import CompleteCases, Design, complete_cases
from spinescore.core.statistics.assembly.rows import dropped_note, judge_events, make_row, model_flags
from spinescore.core.statistics.assembly.setting import Setting, spread
from spinescore.core.statistics.assembly.survival_data import read_survival
from spinescore.core.statistics.cox import fit_cox
from spinescore.core.statistics.estimate import BoolArray, Estimate, FloatArray
from spinescore.core.statistics.imputation import (
    ChainedEquations,
    Variable,
    accumulate_hazard,
    gelman_rubin,
)
from spinescore.core.statistics.logistic import fit_logistic
from spinescore.core.statistics.pooling import Pooled, estimate_pooled_ratio, joint_test, pool_fits
from spinescore.core.statistics.times import FollowUp
from spinescore.domain import Result

ANALYSES = {"survival": ("cox", "hr"), "binary": ("logistic", "or")}
NOT_CONVERGED = 1.2  # of Gelman and Rubin's ratio


@dataclass(frozen=True, slots=True)
class _Fit:
    coefficients: FloatArray
    covariance: FloatArray
    problem: str | None


@dataclass(frozen=True, slots=True)
class ImputedEndpoint:
    """An endpoint among those whose outcome and PAD are known, and the designs of its models there.

    Parameters
    ----------
    setting : Setting
    endpoint : str
    pad : array of shape (n,)
    designs : mapping of model to Design of n rows
        NaN where a covariate is unknown.
    outcome : array of shape (n, k)
        What the equations know of the outcome.
    follow_up : FollowUp, optional
        Of a survival endpoint.
    case : boolean array of shape (n,)
        Events of interest.
    removed : mapping of model to covariates
        Left out of it as the endpoint itself.
    """

    setting: Setting
    endpoint: str
    pad: FloatArray
    designs: dict[str, Design]
    outcome: FloatArray
    follow_up: FollowUp | None
    case: BoolArray
    removed: dict[str, tuple[str, ...]]

    @property
    def analysis(self) -> tuple[str, str]:
        """Return the analysis whose rows these stand beside, and what its ratios' names begin with."""
        return ANALYSES["binary" if self.follow_up is None else "survival"]

    @property
    def events(self) -> int:
        """Return how many events bound the number of parameters: of the rarer class where binary."""
        events = int(self.case.sum())
        return events if self.follow_up is not None else min(events, len(self.case) - events)

    def keys(self, **more: Any) -> dict[str, Any]:
        """Return the keys every row of this endpoint has."""
        cause = None if self.follow_up is None else self.endpoint
        return {"cohort": self.setting.cohort.name, "endpoint": self.endpoint, "cause": cause, **more}

    def removed_flags(self, model: str) -> tuple[str, ...]:
        """Flag a model that lost the endpoint itself from its covariates."""
        return ("endpoint_in_model",) if self.removed.get(model) else ()

    def removed_note(self, model: str) -> str | None:
        """Name what the model lost so."""
        removed = self.removed.get(model)
        return f"left out as the endpoint itself: {', '.join(removed)}" if removed else None

    def fit(self, matrix: FloatArray) -> _Fit:
        """Fit the endpoint's model to one completed copy."""
        if self.follow_up is None:
            logistic = fit_logistic(self.case, matrix)
            return _Fit(logistic.coefficients, logistic.covariance, logistic.problem)
        cox = fit_cox(self.follow_up, self.case, matrix)
        return _Fit(cox.coefficients, cox.covariance, cox.problem)


def imputation_rows(setting: Setting, endpoint: str) -> Iterator[Result]:
    """Yield what is missing in each model of an endpoint and, where asked for, its models imputed."""
    survival = setting.study.endpoints[endpoint].type == "survival"
    data = _read_survival(setting, endpoint) if survival else _read_binary(setting, endpoint)
    yield from _missing_rows(data)
    wanted = setting.study.analysis.imputations
    if wanted:
        yield from _imputed_rows(data, wanted)


def _read_survival(setting: Setting, endpoint: str) -> ImputedEndpoint:
    data = read_survival(setting, endpoint)
    known = np.flatnonzero(np.isfinite(data.values(setting.pad)))
    follow_up, index = data.follow_up.take(known), data.index[known]
    parts = [
        column
        for cause in data.causes
        for column in (follow_up.status == cause, accumulate_hazard(follow_up, cause))
    ]
    return ImputedEndpoint(
        setting,
        endpoint,
        setting.pad.values[index],
        {model: design.take(index) for model, design in setting.designs.items()},
        np.column_stack(parts).astype(np.float64),
        follow_up,
        np.asarray(follow_up.status == 1),
        {},
    )


def _read_binary(setting: Setting, endpoint: str) -> ImputedEndpoint:
    data = read_binary(setting, endpoint)
    index = np.flatnonzero(data.known & np.isfinite(setting.pad.values))
    case = data.case[index]
    return ImputedEndpoint(
        setting,
        endpoint,
        setting.pad.values[index],
        {model: design.take(index) for model, design in data.designs.items()},
        case[:, None].astype(np.float64),
        None,
        case,
        data.removed,
    )


def _missing_rows(data: ImputedEndpoint) -> Iterator[Result]:
    """Yield, per model, its complete cases, those dropped, and how many lack each covariate."""
    for model, design in data.designs.items():
        unknown = np.isnan(design.matrix)
        dropped = int(unknown.any(axis=1).sum())
        counts: list[tuple[str, str | None, int]] = [
            ("n_complete", None, len(data.pad) - dropped),
            ("n_dropped", None, dropped),
        ]
        by_variable = dict(zip(design.variables, unknown.sum(axis=0).tolist(), strict=True))
        counts += [("missing", variable, count) for variable, count in by_variable.items()]
        for statistic, term, count in counts:
            yield make_row(
                Estimate(value=float(count)),
                **data.keys(analysis="missing_data", statistic=statistic, model=model, term=term),
                n=count,
                flags=data.removed_flags(model),
                note=data.removed_note(model),
            )


def _variables(data: ImputedEndpoint) -> dict[str, Variable]:
    """Return every covariate of the endpoint's models once; levels coded by their column, 0 the reference."""
    found: dict[str, Variable] = {}
    for design in data.designs.values():
        for name in dict.fromkeys(design.variables):
            columns = [i for i, variable in enumerate(design.variables) if variable == name]
            part = design.matrix[:, columns]
            if design.references[columns[0]] is None:
                found[name] = Variable(name, part[:, 0], categorical=False)
            else:
                found[name] = Variable(name, part @ np.arange(1.0, len(columns) + 1), categorical=True)
    return found


def _completed(design: Design, values: dict[str, FloatArray]) -> Design:
    matrix = design.matrix.copy()
    level = dict.fromkeys(design.variables, 0)
    for column, (name, reference) in enumerate(zip(design.variables, design.references, strict=True)):
        level[name] += 1
        if name in values:
            matrix[:, column] = values[name] if reference is None else values[name] == level[name]
    return replace(design, matrix=matrix)


def _seed(data: ImputedEndpoint, imputation: int) -> np.random.Generator:
    """Seed one copy by what it is of: nothing depends on the order of cohorts, endpoints or copies."""
    what = [data.setting.study.analysis.seed, data.setting.cohort.name, data.endpoint, imputation]
    digest = hashlib.sha256(json.dumps(what).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "big"))


def _equations(data: ImputedEndpoint) -> tuple[ChainedEquations, dict[str, str]]:
    """Set the equations up of what can be imputed; say of what cannot be why."""
    variables = _variables(data)
    impossible = {name: "missing in all" for name, v in variables.items() if len(v.levels) == 0}
    given = np.column_stack([data.pad, data.outcome])
    while True:
        usable = [v for name, v in variables.items() if name not in impossible]
        equations = ChainedEquations(usable, given)
        more = equations.cannot_impute()
        if not more:
            return equations, impossible
        impossible |= more


def _imputed_rows(data: ImputedEndpoint, wanted: int) -> Iterator[Result]:
    problem = judge_events(data.events, 1) or (None if len(data.pad) else "no subjects")
    if problem:
        for model, design in data.designs.items():
            cases = complete_cases(data.pad[:, None], design)
            yield from _model_rows(data, _Model(model, cases, (), problem))
        return
    equations, impossible = _equations(data)
    fits: dict[str, list[_Fit]] = {model: [] for model in data.designs}
    cases_of: dict[str, CompleteCases] = {}
    traces = []
    for imputation in range(wanted):
        completion = equations.draw(_seed(data, imputation))
        traces.append(completion.trace)
        for model, design in data.designs.items():
            if impossible.keys() & set(design.variables):
                continue
            if imputation and not np.isnan(design.matrix).any():
                fits[model].append(fits[model][0])
                continue
            cases_of[model] = complete_cases(data.pad[:, None], _completed(design, completion.values))
            fits[model].append(data.fit(cases_of[model].matrix))
    yield from _chain_rows(data, equations, np.stack(traces), impossible)
    for model, design in data.designs.items():
        reasons = [f"`{v}` {impossible[v]}" for v in dict.fromkeys(design.variables) if v in impossible]
        cases = cases_of.get(model) or complete_cases(data.pad[:, None], design)
        yield from _model_rows(data, _Model(model, cases, fits[model], "; ".join(reasons) or None))


def _chain_rows(
    data: ImputedEndpoint, equations: ChainedEquations, traces: FloatArray, impossible: dict[str, str]
) -> Iterator[Result]:
    """Yield how far the chains have forgotten their beginnings, by incomplete covariate."""
    keys = data.keys(analysis="imputation", statistic="rhat", variant="imputed", method="chained_equations")
    ratios = gelman_rubin(traces)
    for position, variable in enumerate(equations.incomplete):
        value = float(ratios[position])
        problem = None if np.isfinite(value) else "one incomplete covariate: drawn without a chain"
        yield make_row(
            Estimate(problem=problem) if problem else Estimate(value=value),
            **keys,
            term=variable.name,
            n=len(variable.missing),
            flags=("not_converged",) if value > NOT_CONVERGED else (),
        )
    for name, reason in impossible.items():
        yield make_row(Estimate(problem=reason), **keys, term=name)


@dataclass(frozen=True, slots=True)
class _Model:
    """A study model with its fits to the completed copies, or why there are none to show."""

    name: str
    cases: CompleteCases
    fits: Sequence[_Fit]
    reason: str | None

    def pool(self, data: ImputedEndpoint) -> Pooled | str:
        """Pool the fits, or say why they are not shown."""
        parameters = self.cases.matrix.shape[1]
        problem = self.reason or judge_events(data.events, parameters)
        failed = [fit.problem for fit in self.fits if fit.problem]
        if problem or failed:
            return problem or f"{failed[0]} in {len(failed)} of {len(self.fits)} imputations"
        return pool_fits(
            [fit.coefficients for fit in self.fits],
            [fit.covariance for fit in self.fits],
            float(data.events - parameters),
        )


def _model_rows(data: ImputedEndpoint, model: _Model) -> Iterator[Result]:
    """Yield a model's pooled ratios, its fractions of missing information, and the joint tests."""
    pad, level = data.setting.pad, data.setting.conf_level
    analysis, ratio = data.analysis
    pooled = model.pool(data)
    shared = _shared(data, model) | {"analysis": analysis}
    scales = ((f"{ratio}_per_sd", spread(pad.values)), (f"{ratio}_per_year", 1.0))
    for statistic, scale in scales:
        estimate = _ratio(pooled, 0, scale, level)
        yield make_row(estimate, level, **shared, statistic=statistic, scale=scale)
    yield _missing_information(pooled, 0, shared)
    design = model.cases.covariates
    for position, (term, reference) in enumerate(zip(design.terms, design.references, strict=True)):
        keys = shared | {"term": term, "comparator": reference}
        statistic = f"{ratio}_per_unit" if reference is None else f"{ratio}_category"
        estimate = _ratio(pooled, position + 1, 1.0, level)
        per_unit = 1.0 if reference is None else None
        yield make_row(estimate, level, **keys, statistic=statistic, scale=per_unit)
        yield _missing_information(pooled, position + 1, keys)
    yield from _joint_rows(model, pooled, shared)


def _joint_rows(model: _Model, pooled: Pooled | str, shared: dict[str, Any]) -> Iterator[Result]:
    """Yield D1 of adding PAD and of each covariate of several columns, with the denominator's df."""
    variables = model.cases.covariates.variables
    tested: list[tuple[dict[str, Any], list[int]]] = [({"comparator": model.name}, [0])]
    for name in dict.fromkeys(variables):
        columns = [i + 1 for i, variable in enumerate(variables) if variable == name]
        if len(columns) > 1:
            tested.append(({"term": name}, columns))
    for keys, columns in tested:
        keys = shared | keys | {"method": "d1"}
        if isinstance(pooled, str):
            yield make_row(Estimate(problem=pooled), **keys, statistic="f")
            continue
        test = joint_test(pooled, columns)
        yield make_row(test.estimate, **keys, statistic="f")
        yield make_row(Estimate(value=test.denominator_df), **keys, statistic="denominator_df")


def _shared(data: ImputedEndpoint, model: _Model) -> dict[str, Any]:
    pad = data.setting.pad
    variables = data.designs[model.name].variables
    parameters = model.cases.matrix.shape[1]
    notes = (
        data.removed_note(model.name),
        dropped_note(model.cases.dropped),
        None if np.isnan(data.designs[model.name].matrix).any() else "no covariate missing",
    )
    return data.keys(
        model=model.name,
        sample="own_n",
        variant="imputed",
        predictor=pad.name,
        correction=pad.correction,
        n=len(data.pad),
        events=int(data.case.sum()),
        flags=(
            *model_flags(pad, variables, data.events, parameters, model.cases.dropped),
            *data.removed_flags(model.name),
        ),
        note="; ".join(note for note in notes if note) or None,
    )


def _ratio(pooled: Pooled | str, column: int, scale: float, conf_level: float) -> Estimate:
    if isinstance(pooled, str):
        return Estimate(problem=pooled)
    return estimate_pooled_ratio(pooled, column, scale, conf_level)


def _missing_information(pooled: Pooled | str, column: int, keys: dict[str, Any]) -> Result:
    """Return the fraction of missing information; flagged where m is less than a hundred times it.

    Source of the rule: White, Royston and Wood 2011, Stat Med 30:377.
    """
    if isinstance(pooled, str):
        return make_row(Estimate(problem=pooled), **keys, statistic="fmi")
    share = pooled.missing_information(column)
    few = ("few_imputations",) if pooled.m < 100 * share else ()
    return make_row(Estimate(value=share), **keys | {"flags": (*keys["flags"], *few)}, statistic="fmi")

"""Everything a study asks of its cohorts, as rows: pure assembly of ``core.statistics``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import MappingProxyType

import polars as pl

from spinescore.core.analysis_units import Unit
from spinescore.core.statistics.assembly.accuracy_rows import (
    accuracy_rows,
    fitted_lines,
    scatter_points,
)
from spinescore.core.statistics.assembly.binary_rows import binary_rows, roc_curves
from spinescore.core.statistics.assembly.check_rows import coefficient_curves
from spinescore.core.statistics.assembly.cohort_rows import cohort_rows
from spinescore.core.statistics.assembly.correction_rows import correction_rows
from spinescore.core.statistics.assembly.cox_rows import cox_rows
from spinescore.core.statistics.assembly.cutoff_rows import cutoff_rows
from spinescore.core.statistics.assembly.device_rows import device_rows
from spinescore.core.statistics.assembly.fine_gray_rows import fine_gray_rows
from spinescore.core.statistics.assembly.firth_rows import firth_rows
from spinescore.core.statistics.assembly.follow_up_rows import follow_up_curves, follow_up_rows
from spinescore.core.statistics.assembly.imputation_rows import imputation_rows
from spinescore.core.statistics.assembly.multiplicity_rows import adjust_families
from spinescore.core.statistics.assembly.prediction_rows import FrozenModels, freeze_models, judge_predictions
from spinescore.core.statistics.assembly.repeated_rows import (
    Repeated,
    change_curves,
    read_repeats,
    repeated_rows,
    same_day_pairs,
    subject_changes,
)
from spinescore.core.statistics.assembly.restricted_mean_rows import restricted_mean_rows
from spinescore.core.statistics.assembly.sensitivity_rows import sensitivity_rows
from spinescore.core.statistics.assembly.setting import Setting, prepare_setting
from spinescore.core.statistics.assembly.spline_rows import spline_curves, spline_rows
from spinescore.core.statistics.assembly.standardised_rows import standardised_rows
from spinescore.core.statistics.assembly.subgroup_rows import subgroup_rows
from spinescore.core.statistics.assembly.table_rows import group_rows, table_rows
from spinescore.core.statistics.assembly.time_dependent_rows import time_dependent_rows
from spinescore.domain import RESULT_KEYS, Analysis, Cohort, CurvePoint, Findings, Result
from spinescore.errors import AnalysisError
from spinescore.study import Study


def analyze(
    cohorts: Sequence[Cohort],
    study: Study,
    *,
    correction_method: str,
    correction_flags: Mapping[str, tuple[str, ...]],
    kept: Mapping[Unit, Findings] = MappingProxyType({}),
    threads: int = 1,
) -> Analysis:
    """Compute every number, line and point of the report (docs/results.md lists them).

    Parameters
    ----------
    cohorts : sequence of Cohort
        The analysis cohorts, in the report's order.
    study : Study
    correction_method : str
        What made ``*_corrected``: ``beheshti``, ``cole``, ``age-level`` or ``none``.
    correction_flags : mapping of cohort name to flag codes
        Copied to the flags of every corrected row of that cohort.
    kept : mapping of (cohort, endpoint) to Findings
        What an earlier analysis found where nothing has changed since; it is not computed again.
    threads : int
        How many endpoints of a cohort are computed at a time; what is found does not depend on it.

    Raises
    ------
    AnalysisError
        When a cohort lacks what the study asks for, or a reference level occurs in no cohort.
    """
    _check_references(cohorts, study)
    primary = name_primary(cohorts, study)
    settings: list[Setting] = []
    results: list[Result] = []
    curves: list[CurvePoint] = []
    rows: dict[str, list[pl.DataFrame]] = {"points": [], "changes": [], "repeats": []}
    for cohort in cohorts:
        flags = correction_flags.get(cohort.name, ())
        setting = prepare_setting(cohort, study, correction_method, flags, primary=cohort.name == primary)
        settings.append(setting)
    trained = _Trained(next((s for s in settings if s.primary), next(iter(settings), None)))
    for setting in settings:
        repeated = read_repeats(setting)
        results.extend(_cohort_rows(setting, repeated))
        curves.extend((*fitted_lines(setting), *change_curves(setting, repeated)))
        for found in _find_all(setting, trained, kept, threads):
            results.extend(found.results)
            curves.extend(found.curves)
        rows["points"].append(scatter_points(setting))
        rows["changes"].append(subject_changes(setting, repeated))
        rows["repeats"].append(same_day_pairs(setting, repeated))
        setting.memo.clear()
    results.extend(cohort_rows(settings))
    results, of_families = adjust_families(results, study, {s.cohort.name: s.pad.name for s in settings})
    results.extend(of_families)
    _check_keys(results)
    frames = {name: pl.concat(parts) for name, parts in rows.items() if parts}
    return Analysis(tuple(results), tuple(curves), **frames)


def name_primary(cohorts: Sequence[Cohort], study: Study) -> str:
    """Return the cohort of the pre-declared estimate, else the first; its models go to the others."""
    declared = study.analysis.primary
    return (declared.cohort if declared else None) or next((cohort.name for cohort in cohorts), "")


class _Trained:
    """The primary cohort's models, fitted when they are first asked for."""

    def __init__(self, setting: Setting | None) -> None:
        self._setting = setting
        self._by_endpoint: dict[str, FrozenModels] = {}

    def __getitem__(self, endpoint: str) -> FrozenModels:
        if endpoint not in self._by_endpoint:
            models = freeze_models(self._setting, endpoint) if self._setting else {}
            self._by_endpoint[endpoint] = models
        return self._by_endpoint[endpoint]


def _find_all(
    setting: Setting, trained: _Trained, kept: Mapping[Unit, Findings], threads: int
) -> Iterator[Findings]:
    """Yield what a cohort says of each endpoint, in the study's order."""

    def find(endpoint: str) -> Findings:
        unit = (setting.cohort.name, endpoint)
        return kept[unit] if unit in kept else _find(setting, endpoint, trained)

    endpoints = (*setting.study.binary_endpoints(), *setting.study.survival_endpoints())
    with ThreadPoolExecutor(threads) as pool:
        yield from pool.map(find, endpoints)


def _find(setting: Setting, endpoint: str, trained: _Trained) -> Findings:
    """Compute what a cohort says of one endpoint."""
    survival = endpoint in setting.study.survival_endpoints()
    rows = _survival_rows if survival else _binary_rows
    lines = _survival_lines if survival else roc_curves
    predictions = judge_predictions(setting, endpoint, trained[endpoint])
    return Findings(
        (*rows(setting, endpoint), *predictions.results), (*lines(setting, endpoint), *predictions.curves)
    )


def _cohort_rows(setting: Setting, repeated: tuple[Repeated, ...]) -> Iterator[Result]:
    yield from group_rows(setting)
    yield from table_rows(setting)
    yield from correction_rows(setting)
    yield from accuracy_rows(setting)
    yield from device_rows(setting)
    yield from repeated_rows(setting, repeated)


def _binary_rows(setting: Setting, endpoint: str) -> Iterator[Result]:
    yield from binary_rows(setting, endpoint)
    yield from cutoff_rows(setting, endpoint)
    yield from firth_rows(setting, endpoint)
    yield from imputation_rows(setting, endpoint)


def _survival_rows(setting: Setting, endpoint: str) -> Iterator[Result]:
    yield from follow_up_rows(setting, endpoint)
    yield from standardised_rows(setting, endpoint)
    yield from restricted_mean_rows(setting, endpoint)
    yield from cox_rows(setting, endpoint)
    yield from sensitivity_rows(setting, endpoint)
    yield from spline_rows(setting, endpoint)
    yield from subgroup_rows(setting, endpoint)
    yield from fine_gray_rows(setting, endpoint)
    yield from time_dependent_rows(setting, endpoint)
    yield from cutoff_rows(setting, endpoint)
    yield from firth_rows(setting, endpoint)
    yield from imputation_rows(setting, endpoint)


def _survival_lines(setting: Setting, endpoint: str) -> Iterator[CurvePoint]:
    yield from follow_up_curves(setting, endpoint)
    yield from coefficient_curves(setting, endpoint)
    yield from spline_curves(setting, endpoint)


def _check_references(cohorts: Sequence[Cohort], study: Study) -> None:
    for name, covariate in study.covariates.items():
        tables = [c.subjects[name] for c in cohorts if name in c.subjects.columns]
        if covariate.reference is None or not tables:
            continue
        found = sorted({str(value) for table in tables for value in table.drop_nulls().unique().to_list()})
        if found and covariate.reference not in {*found, *(value.removesuffix(".0") for value in found)}:
            raise AnalysisError(
                f"covariates.{name}.reference is `{covariate.reference}`, which no subject has.",
                f"Levels found: {', '.join(found)}.",
            )


def _check_keys(results: Sequence[Result]) -> None:
    """A second row under one key is a defect here, never the user's."""
    counts = Counter(tuple(getattr(row, key) for key in RESULT_KEYS) for row in results)
    twice = [key for key, count in counts.items() if count > 1]
    assert not twice, f"results rows share a key: {twice[:3]}"

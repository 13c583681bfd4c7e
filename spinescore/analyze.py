"""Scores and outcomes -> results, curves, points and attrition, in one transaction."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping

import polars as pl
from threadpoolctl import threadpool_limits

from spinescore import __version__
from spinescore.core.analysis import analyze as analyze_cohorts
from spinescore.core.analysis import name_primary
from spinescore.core.analysis_units import Unit, fingerprint_units
from spinescore.domain import (
    Analysis,
    Cohort,
    CurvePoint,
    Findings,
    Result,
    StageSummary,
    as_row,
    read_result,
)
from spinescore.errors import AnalysisError
from spinescore.shell.analysis_inputs import fingerprint_inputs
from spinescore.shell.cohorts import ModelKey, build_cohorts, unmatched_rows
from spinescore.shell.consistency import run_checks
from spinescore.shell.corrections import correction_method
from spinescore.shell.warehouse import Warehouse
from spinescore.study import Study

WORTH_A_WARNING = (
    "sex_conflict",
    "age_conflict",
    "sex_differs",
    "birth_date_differs",
    "competing_unknown",
    "outside_fitted_ages",
)
COHORT_FLAGS = (
    "same_cohort_correction",
    "cross_fit_correction",
    "across_kinds",
    "correction_trained_on",
    "trained_on",
)
OF_ALL_ENDPOINTS = ("multiplicity",)  # analyses whose rows bear an endpoint and depend on others too
WORTH_THREADS = 50_000  # subjects
MOST_THREADS = 4  # each holds arrays of its own
POINT_COLUMNS = ("cohort", "age_years", "spine_age_raw", "spine_age_corrected", "sex")


def analyze(
    warehouse: Warehouse, study: Study, key: ModelKey, *, announce: Callable[[str], None] = lambda _: None
) -> StageSummary:
    """Compute every number the study file asks for and store it; nothing if nothing changed.

    Raises
    ------
    AnalysisError
        If the study declares no cohort or a cohort turns out empty; nothing is written then.
    """
    if not study.analysis_cohorts():
        raise AnalysisError(
            "The study file names no cohort to analyse.", 'Add [cohorts.NAME] with `where = "..."`.'
        )
    fingerprint = fingerprint_inputs(warehouse, study, key)
    if warehouse.last_run("analyze", fingerprint) is not None:
        return StageSummary("analyze", changed=False, message="results unchanged")
    cohorts = build_cohorts(warehouse, study, key)
    announce(", ".join(f"{cohort.name}: {cohort.subjects.height:,} subjects" for cohort in cohorts))
    flags = {cohort.name: _cohort_flags(cohort) for cohort in cohorts}
    method = correction_method(study, key)
    units = fingerprint_units(
        cohorts,
        study,
        primary=name_primary(cohorts, study),
        correction_method=method,
        correction_flags=flags,
        version=__version__,
    )
    kept = _keep_unchanged(warehouse, units, key)
    # one thread of BLAS: the order in which it sums, and so the last digit, is then the same at every run
    with threadpool_limits(limits=1, user_api="blas"):
        analysis = analyze_cohorts(
            cohorts,
            study,
            correction_method=method,
            correction_flags=flags,
            kept=kept,
            threads=_threads(cohorts),
        )
    arguments = {"study": study.study.title, "cohorts": list(study.analysis_cohorts())}
    with (
        warehouse.run("analyze", arguments, model_id=key.model_id, input_sha256=fingerprint) as run,
        warehouse.transaction(),
    ):
        _store(warehouse, analysis, cohorts, key, run.run_id)
        _store_units(warehouse, units, key, run.run_id)
        _refuse_contradictions(warehouse, run.run_id)
        run.counts = {"results": len(analysis.results), "cohorts": len(cohorts)}
    not_estimable = sum(result.status == "not_estimable" for result in analysis.results)
    message = f"{len(analysis.results):,} results, {not_estimable:,} of them not estimable (each says why)"
    if kept:
        message += f"; {len(kept)} of {len(units)} endpoints unchanged"
    return StageSummary(
        "analyze",
        changed=True,
        message=message,
        counts=run.counts,
        warnings=tuple(_warnings(cohorts, study)),
    )


def _threads(cohorts: list[Cohort]) -> int:
    """Return how many endpoints to compute at a time: large arrays leave Python to others while they work."""
    largest = max(cohort.subjects.height for cohort in cohorts)
    return min(MOST_THREADS, os.cpu_count() or 1) if largest >= WORTH_THREADS else 1


def _keep_unchanged(warehouse: Warehouse, units: Mapping[Unit, str], key: ModelKey) -> dict[Unit, Findings]:
    """Return what the model's latest analysis found of the endpoints on which nothing has changed."""
    stored = warehouse.fetch("analyze/units", model_id=key.model_id)
    same = {
        (row["cohort"], row["endpoint"])
        for row in stored.iter_rows(named=True)
        if units.get((row["cohort"], row["endpoint"])) == row["fingerprint"]
    }
    if not same:
        return {}
    run_id = stored["run_id"][0]
    results: dict[Unit, list[Result]] = {unit: [] for unit in same}
    for row in warehouse.fetch("report/results", run_id=run_id).iter_rows(named=True):
        unit = (row["cohort"], row["endpoint"])
        if unit in results and row["analysis"] not in OF_ALL_ENDPOINTS:
            results[unit].append(read_result(row | {"family": None, "p_adjusted": None}))
    curves: dict[Unit, list[CurvePoint]] = {unit: [] for unit in same}
    for row in warehouse.fetch("report/curves", run_id=run_id).iter_rows(named=True):
        unit = (row["cohort"], row["endpoint"])
        if unit in curves:
            curves[unit].append(CurvePoint(**row))
    return {unit: Findings(tuple(results[unit]), tuple(curves[unit])) for unit in same}


def _store_units(warehouse: Warehouse, units: Mapping[Unit, str], key: ModelKey, run_id: int) -> None:
    rows = [
        {"cohort": cohort, "endpoint": endpoint, "fingerprint": fingerprint}
        for (cohort, endpoint), fingerprint in units.items()
    ]
    if rows:
        of_run = (pl.lit(run_id).alias("run_id"), pl.lit(key.model_id).alias("model_id"))
        warehouse.append("analysis_units", pl.DataFrame(rows).with_columns(of_run))


def _warnings(cohorts: list[Cohort], study: Study) -> Iterator[str]:
    """Say what was counted and should be looked at; docs/cohorts.md explains each."""
    if study.images.index_image == "last":
        yield (
            "index_image = last: follow-up begins at the last image, so whoever lived long enough to have "
            "another counts only from it on"
        )
    for cohort in cohorts:
        found = cohort.facts.filter((pl.col("n") > 0) & pl.col("fact").is_in(WORTH_A_WARNING))
        for n, unit, detail in found.select("n", "unit", "detail").iter_rows():
            yield f"{cohort.name}: {n:,} {unit}: {detail}"


def _refuse_contradictions(warehouse: Warehouse, run_id: int) -> None:
    """Prove what was just written against the rest of the database.

    Raises
    ------
    AnalysisError
        Naming every check of sql/checks/ that found something.
    """
    failed = run_checks(warehouse, run_id)
    if failed:
        found = "; ".join(f"`{check.name}`: {check.rows.height:,} row(s)" for check in failed)
        raise AnalysisError(
            f"The database contradicts itself ({found}), so nothing was stored.",
            f"sql/checks/{failed[0].name}.sql: {failed[0].meaning}",
        )


def _cohort_flags(cohort: Cohort) -> tuple[str, ...]:
    """Return what must be said of every corrected number of a cohort: what holds for some subject."""
    of_subjects = set(cohort.subjects["correction_flags"].drop_nulls().unique())
    found = {flag for flags in of_subjects for flag in flags.split()}
    if "train" in cohort.subjects["split"].to_list():
        found.add("trained_on")
    return tuple(flag for flag in COHORT_FLAGS if flag in found)


def _store(
    warehouse: Warehouse, analysis: Analysis, cohorts: list[Cohort], key: ModelKey, run_id: int
) -> None:
    made_by = (pl.lit(run_id).alias("run_id"), pl.lit(key.model_id).alias("model_id"))
    results = pl.DataFrame([_result_row(result) for result in analysis.results], infer_schema_length=None)
    warehouse.append("results", results.with_columns(made_by))
    curves = pl.DataFrame([as_row(point) for point in analysis.curves], infer_schema_length=None)
    warehouse.append("curves", curves.with_columns(made_by))
    warehouse.append("points", analysis.points.select(POINT_COLUMNS).with_columns(made_by[0]))
    warehouse.append("changes", analysis.changes.with_columns(made_by[0]))
    warehouse.append("repeats", analysis.repeats.with_columns(made_by[0]))
    warehouse.append("unmatched", unmatched_rows(warehouse).with_columns(made_by[0]))
    for cohort in cohorts:
        of_cohort = (made_by[0], pl.lit(cohort.name).alias("cohort"))
        warehouse.append("attrition", cohort.attrition.with_columns(of_cohort))
        warehouse.append("cohort_facts", cohort.facts.with_columns(of_cohort))


def _result_row(result: Result) -> dict[str, object]:
    return as_row(result) | {"flags": list(result.flags)}

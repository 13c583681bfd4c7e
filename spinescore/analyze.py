"""Scores and outcomes -> results, curves, points and attrition, in one transaction."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator

import polars as pl

from spinescore import __version__
from spinescore.core.analysis import analyze as analyze_cohorts
from spinescore.domain import Analysis, Cohort, Result, StageSummary, as_row
from spinescore.errors import AnalysisError
from spinescore.shell.cohorts import ModelKey, build_cohorts, unmatched_rows
from spinescore.shell.consistency import run_checks
from spinescore.shell.warehouse import Warehouse
from spinescore.study import Study

WORTH_A_WARNING = ("sex_conflict", "age_conflict", "sex_differs", "birth_date_differs", "competing_unknown")
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
    fingerprint = _fingerprint(warehouse, study, key)
    if warehouse.last_run("analyze", fingerprint) is not None:
        return StageSummary("analyze", changed=False, message="results unchanged")
    cohorts = build_cohorts(warehouse, study, key)
    announce(", ".join(f"{cohort.name}: {cohort.subjects.height:,} subjects" for cohort in cohorts))
    flags = {cohort.name: _cohort_flags(cohort) for cohort in cohorts}
    analysis = analyze_cohorts(
        cohorts, study, correction_method=study.correction.method, correction_flags=flags
    )
    arguments = {"study": study.study.title, "cohorts": list(study.analysis_cohorts())}
    with (
        warehouse.run("analyze", arguments, model_id=key.model_id, input_sha256=fingerprint) as run,
        warehouse.transaction(),
    ):
        _store(warehouse, analysis, cohorts, key, run.run_id)
        _refuse_contradictions(warehouse, run.run_id)
        run.counts = {"results": len(analysis.results), "cohorts": len(cohorts)}
    not_estimable = sum(result.status == "not_estimable" for result in analysis.results)
    return StageSummary(
        "analyze",
        changed=True,
        message=f"{len(analysis.results):,} results, {not_estimable:,} of them not estimable (each says why)",
        counts=run.counts,
        warnings=tuple(_warnings(cohorts, study)),
    )


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
    trained = "train" in cohort.subjects["split"].to_list()
    return ("trained_on",) if trained else ()


def _fingerprint(warehouse: Warehouse, study: Study, key: ModelKey) -> str:
    inputs = warehouse.fetch(
        "analyze/inputs", model_id=key.model_id, preprocessing_id=key.preprocessing_id
    ).row(0, named=True)
    parts = [study.fingerprint(), json.dumps(inputs, sort_keys=True), __version__, key.model_id]
    return hashlib.sha256("|".join(parts).encode()).hexdigest()


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

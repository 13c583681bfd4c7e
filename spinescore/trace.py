"""From a number in a report back to the images it rests on: subjects, scores, files, and the runs between."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from spinescore.domain import RESULT_KEYS, Cohort
from spinescore.errors import TraceError
from spinescore.shell.analysis_inputs import fingerprint_inputs
from spinescore.shell.cohorts import ModelKey, build_cohorts
from spinescore.shell.corrections import correction_method
from spinescore.shell.warehouse import Warehouse
from spinescore.study import Study

SHOWN = 12
ANALYZE = "Run `spinescore analyze STUDY.toml`, then trace."
PREDICTOR_COLUMNS = {"chronological_age": "age_years"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """The way back from one number.

    Parameters
    ----------
    result : mapping
        The stored row.
    analysis_run : mapping
        The run that computed it.
    images : polars.DataFrame
        One row per image: ``subject_id, sop_instance_uid, path, size_bytes, pixel_sha256, input_sha256,
        ingest_run, score_run, model_id, preprocessing_id, device, precision, spine_age_raw,
        spine_age_corrected, correction_id, correction_fold, calibrate_run``.
    n_subjects : int
        Subjects of ``images``.
    exact : bool
        Whether these are the very subjects the number was computed on; else they are its cohort's.
    """

    result: Mapping[str, Any]
    analysis_run: Mapping[str, Any]
    images: pl.DataFrame
    n_subjects: int
    exact: bool


def trace_result(warehouse: Warehouse, study: Study, key: ModelKey, wanted: Mapping[str, str]) -> Trace:
    """Return the chain of one stored result of the latest analysis, by its keys; none: the primary estimate.

    The cohort is built again from the database, which only says what the analysis saw if nothing has changed
    since: that is checked first, by the fingerprint that the analysis stored.

    Raises
    ------
    TraceError
        If there is no analysis, its input has changed since, or the keys name no result or several.
    """
    runs = warehouse.fetch("report/latest_analysis", model_id=key.model_id)
    if runs.is_empty():
        raise TraceError(f"There is no analysis of model {key.model_id}.", ANALYZE)
    run = runs.row(0, named=True)
    if fingerprint_inputs(warehouse, study, key) != run["input_sha256"]:
        raise TraceError(
            f"The study file, the database or spinescore has changed since analysis run {run['run_id']}: "
            "what it saw cannot be told any more.",
            ANALYZE,
        )
    result = _find(warehouse.fetch("report/results", run_id=run["run_id"]), wanted)
    cohort = next(c for c in build_cohorts(warehouse, study, key) if c.name == result["cohort"])
    subjects, exact = _subjects(cohort, study, result)
    images = _images(warehouse, study, key, cohort, subjects)
    return Trace(
        result=result,
        analysis_run=run,
        images=images,
        n_subjects=images["subject_id"].n_unique(),
        exact=exact,
    )


def _find(results: pl.DataFrame, wanted: Mapping[str, str]) -> dict[str, Any]:
    unknown = [name for name in wanted if name not in RESULT_KEYS]
    if unknown:
        raise TraceError(f"A result has no key `{unknown[0]}`.", f"Its keys are {', '.join(RESULT_KEYS)}.")
    if not wanted:
        found = results.filter(pl.col("flags").list.contains("primary"))
        if found.is_empty():
            raise TraceError("The study declares no primary estimate.", "Name one: `analysis=cox model=...`.")
        return found.row(0, named=True)
    found = results.filter(*(pl.col(name).cast(pl.String) == value for name, value in wanted.items()))
    if found.is_empty():
        raise TraceError("No result has these keys.", _alternatives(results, wanted))
    if found.height > 1 and "variant" not in wanted:
        main = found.filter(pl.col("variant").is_null() | (pl.col("variant") == "main"))
        found = main if main.height else found
    if found.height > 1:
        apart = [name for name in RESULT_KEYS if name not in wanted and found[name].n_unique() > 1]
        values = (f"{name} ({', '.join(_values(found, name)[:SHOWN])})" for name in apart)
        raise TraceError(f"{found.height:,} results have these keys.", f"They differ in {'; '.join(values)}.")
    return found.row(0, named=True)


def _alternatives(results: pl.DataFrame, wanted: Mapping[str, str]) -> str:
    """Say which values there are of the first key that leaves nothing."""
    rows = results
    for name, value in wanted.items():
        left = rows.filter(pl.col(name).cast(pl.String) == value)
        if left.is_empty():
            return f"There is {name} = {', '.join(_values(rows, name)[:SHOWN]) or 'nothing'}."
        rows = left
    return ""


def _values(rows: pl.DataFrame, name: str) -> list[str]:
    return sorted(str(value) for value in rows[name].unique().to_list() if value is not None)


def _subjects(cohort: Cohort, study: Study, result: Mapping[str, Any]) -> tuple[pl.Series, bool]:
    """Return who the number was computed on where that can be told, else the whole cohort."""
    rows = cohort.subjects
    endpoint = result["endpoint"]
    if endpoint in cohort.follow_up:
        rows = rows.join(cohort.follow_up[endpoint].select("subject_id"), on="subject_id", how="semi")
    elif endpoint is not None and endpoint in rows.columns:
        rows = rows.filter(pl.col(endpoint).is_not_null())
    needed = [_column(name) for name in study.models.get(result["model"] or "", ())]
    needed += [PREDICTOR_COLUMNS.get(result["predictor"], result["predictor"])] if result["predictor"] else []
    for name in needed:
        if name in rows.columns:
            values = rows[name]
            known = values.is_not_null() & (values.is_not_nan() if values.dtype.is_float() else True)
            rows = rows.filter(known)
    if result["subgroup"] is None and result["group"] is None and rows.height == result["n"]:
        return rows["subject_id"], True
    return cohort.subjects["subject_id"], cohort.subjects.height == result["n"]


def _column(term: str) -> str:
    return "age_years" if term == "age" else term


def _images(
    warehouse: Warehouse, study: Study, key: ModelKey, cohort: Cohort, subjects: pl.Series
) -> pl.DataFrame:
    """Return the images that stand for subjects, with where their ages come from."""
    chosen = cohort.subjects.filter(pl.col("subject_id").is_in(subjects.implode()))
    pairs = chosen.select("subject_id", "sop_instance_uid")
    if study.images.index_image == "mean":
        of_day = cohort.images.join(chosen, on=["subject_id", "study_date"], how="semi", nulls_equal=True)
        pairs = of_day.select("subject_id", "sop_instance_uid")
    scores = warehouse.fetch(
        "trace/scores",
        wanted=pairs.select("sop_instance_uid"),
        model_id=key.model_id,
        preprocessing_id=key.preprocessing_id,
        method=correction_method(study, key),
    )
    return pairs.join(scores, on="sop_instance_uid", how="left", maintain_order="left").sort("subject_id")

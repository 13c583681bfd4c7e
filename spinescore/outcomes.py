"""Follow-up tables -> the database, keyed by the same pseudonyms as the images."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import polars as pl

from spinescore.core.follow_up_table import read_subjects
from spinescore.domain import StageSummary
from spinescore.errors import StudyError
from spinescore.shell.identity import pseudonymiser
from spinescore.shell.tabular import find_table, hash_table
from spinescore.shell.warehouse import Warehouse
from spinescore.study import Study


def import_outcomes(warehouse: Warehouse, study: Study) -> StageSummary:
    """Read the study's follow-up table into ``subjects`` and ``outcomes``, if it or the settings changed.

    Raises
    ------
    TableError
        If the table is not what the study says; nothing is written then.
    """
    if study.subjects is None:
        raise StudyError("The study file has no [subjects] table.", "Add [subjects] with `file` and `id`.")
    fingerprint = _fingerprint(study)
    if warehouse.has_table("subjects") and warehouse.last_run("outcomes", fingerprint) is not None:
        return StageSummary("outcomes", changed=False, message="follow-up table unchanged")
    found = find_table(study.subjects.file, study.subjects)
    follow_up = read_subjects(found.rows, study, pseudonymiser(warehouse), delimiter=found.delimiter)
    subjects, outcomes = follow_up.subjects, follow_up.outcomes
    detected = {**found.detected, **follow_up.detected}
    arguments = {"file": str(study.subjects.file), "detected": detected}
    with warehouse.run("outcomes", arguments, input_sha256=fingerprint) as run:
        with warehouse.transaction():
            warehouse.replace("subjects", subjects)
            warehouse.execute("outcomes/delete_all")
            warehouse.append("outcomes", outcomes.with_columns(pl.lit(run.run_id).alias("run_id")))
        run.counts = {"subjects": subjects.height, "outcomes": outcomes.height}
    return StageSummary(
        "outcomes",
        changed=True,
        message=f"{subjects.height:,} subjects, {len(study.endpoints)} endpoints read ({_spoken(detected)})",
        counts=run.counts,
        warnings=follow_up.warnings,
    )


def _spoken(detected: Mapping[str, str]) -> str:
    """Say what was detected of a table, in one line."""
    table_format, *rest = detected.items()
    return "; ".join([table_format[1], *(f"{what}: {found}" for what, found in rest)])


def _fingerprint(study: Study) -> str:
    assert study.subjects is not None
    settings = study.model_dump_json(include={"subjects", "endpoints", "covariates"})
    return hashlib.sha256(f"{hash_table(study.subjects.file)}{settings}".encode()).hexdigest()

"""A made-up study, analysed from its rows, so that what is published can be held against the truth."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import polars as pl
import pytest

from spinescore.core.analysis import analyze
from spinescore.core.disclosure.audit import Release, read_release
from spinescore.core.disclosure.relations import Cell
from spinescore.core.disclosure.release import Shareable, make_shareable
from spinescore.core.reporting.material import Material, ResultTable
from spinescore.domain import Cohort, as_row
from spinescore.study import Study
from tests.unit.statistics.made_up_cohort import SETTINGS, make_cohort, make_study

K = 5
STEPS = (
    ("files found", "files", None, "", 0, 434),
    ("eligible images", "files", None, "rejected", 3, 431),
    ("eligible images", "files", None, "no spine", 18, 413),
    ("one image each", "images", None, "later image", 107, 306),
    ("with a known age", "subjects", None, "no age", 3, 303),
    ("follow-up", "subjects", "fracture", "missing", 2, 301),
    ("follow-up", "subjects", "fracture", "day 0", 11, 290),
)


@dataclass(frozen=True, slots=True)
class Made:
    """The material, what is shared of it, and the rows it was made from."""

    material: Material
    shareable: Shareable
    cohorts: tuple[Cohort, ...]
    rows: dict[str, list[dict[str, Any]]]

    def read(self, cell: Cell) -> float | None:
        """Return what is published at a place."""
        value = self.rows[cell.source][cell.row][cell.column]
        return None if value is None else float(value)


def made_study() -> Study:
    settings = copy.deepcopy(SETTINGS)
    settings["cohorts"] = {"Derivation": {"where": "true"}, "External": {"where": "subject_id <> 's7'"}}
    settings["models"] = {"Model 1": ["age", "sex"], "Model 2": ["age", "sex", "bmi", "smoking"]}
    settings["analysis"] |= {"horizons_years": [2.0, 5.0], "cutoffs": {"pad_corrected": [5]}}
    return make_study(**settings)


def made_cohort(name: str, n: int, seed: int, event_rate: float) -> Cohort:
    made = make_cohort(n, seed, event_rate=event_rate)
    rare = pl.when(pl.int_range(pl.len()) < 3).then(pl.lit("Rare maker")).otherwise("manufacturer")
    return replace(made, name=name, subjects=made.subjects.with_columns(rare.alias("manufacturer")))


def make_material(cohorts: tuple[Cohort, ...], study: Study) -> Material:
    found = analyze(cohorts, study, correction_method="beheshti", correction_flags={})
    names = ("step", "unit", "endpoint", "reason", "n_excluded", "n_remaining")
    steps = [
        {"cohort": cohort.name, "position": i, **dict(zip(names, step, strict=True))}
        for cohort in cohorts
        for i, step in enumerate(STEPS)
    ]
    return Material(
        study=study,
        results=ResultTable(found.results),
        curves=pl.DataFrame([as_row(point) for point in found.curves], infer_schema_length=None),
        points=found.points,
        repeats=found.repeats,
        attrition=pl.DataFrame(steps, infer_schema_length=None),
        corrections=[],
        images=[],
        model={
            "model_id": "m",
            "preprocessing_id": "p",
            "name": "demo",
            "version": "1",
            "manifest": {"synthetic": True, "trained_on": ["a-secret-fingerprint"]},
        },
        runs=[],
        versions={"spinescore": "0.1.0"},
        made_at=datetime(2026, 1, 2, tzinfo=UTC),
        hashes={"Analysis input": "a-hash-of-the-data"},
    )


@pytest.fixture(scope="session")
def made() -> Made:
    cohorts = (made_cohort("Derivation", 300, 1, 0.05), made_cohort("External", 221, 5, 0.02))
    material = make_material(cohorts, made_study())
    shareable = make_shareable(material, K)
    rows = {
        "results": [as_row(row) for row in shareable.material.results],
        "curves": shareable.material.curves.to_dicts(),
        "attrition": shareable.material.attrition.to_dicts(),
    }
    return Made(material, shareable, cohorts, rows)


@pytest.fixture(scope="session")
def release(made: Made) -> Release:
    return read_release(made.shareable.relations, made.read)

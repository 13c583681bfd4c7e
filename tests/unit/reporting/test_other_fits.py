"""Variants and transforms beside the main rows do not enter the report's sentences on the main ones."""

from __future__ import annotations

from dataclasses import fields, replace

from spinescore.core.reporting.material import Material, ResultTable
from spinescore.core.reporting.summary import warnings
from spinescore.domain import Result


def sentences(material: Material, *rows: Result) -> list[str]:
    values = {f.name: getattr(material, f.name) for f in fields(material)}
    return list(warnings(Material(**values | {"results": ResultTable(rows)})))


def test_one_transform_of_time_is_named_once(material: Material) -> None:
    row = Result(
        cohort=material.cohorts[0],
        analysis="ph_test",
        statistic="chi2",
        endpoint=material.survival[0],
        model=material.primary_model,
        variant="main",
        predictor="pad_raw",
        term="global",
        method="km",
        value=20.0,
        df=3.0,
        p_value=1e-6,
    )
    alone = sentences(material, row)
    others = [replace(row, method=method) for method in ("rank", "identity")]
    assert sentences(material, row, *others, replace(row, variant="strata")) == alone
    assert any("whole model" in text for text in alone)


def test_few_events_are_counted_over_main_fits(material: Material) -> None:
    row = Result(
        cohort=material.cohorts[0],
        analysis="cox",
        statistic="hr_per_sd",
        variant="main",
        value=1.5,
        p_value=0.01,
        flags=("few_events",),
    )
    found = sentences(material, row, replace(row, variant="robust"), replace(row, variant="landmark"))
    assert any(text.startswith("1 of 1 hazard") for text in found)

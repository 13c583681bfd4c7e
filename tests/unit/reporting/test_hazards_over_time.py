"""Hazard ratio over follow-up: ratios of the stored logs, the Cox model's own beside them, within the axis."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import polars as pl
import pytest

from spinescore.core.reporting.formatting import state_p
from spinescore.core.reporting.hazards_over_time import hazards_figure
from spinescore.core.reporting.material import Material, ResultTable
from spinescore.domain import CurvePoint, Result, as_row
from tests.unit.reporting.charts import check_chart
from tests.unit.reporting.conftest import COHORTS, DEATH, FRACTURE

KEYS: dict[str, Any] = {"cohort": COHORTS[0], "endpoint": FRACTURE, "cause": FRACTURE, "model": "Model 1"}
PAD: dict[str, Any] = {"sample": "own_n", "predictor": "pad_corrected", "correction": "beheshti"}


def curve(variant: str | None = "main", logs: tuple[float, ...] = (0.0, 0.5, -9.0)) -> list[CurvePoint]:
    fields = {
        "analysis": "ph_test",
        "x_name": "follow_up_years",
        "variant": variant,
        "method": "natural_spline",
    }
    return [
        CurvePoint(
            x=float(year), y=log, lower=log - 1, upper=log + 1, term="pad_corrected", **fields, **KEYS, **PAD
        )
        for year, log in enumerate(logs)
    ]


@pytest.fixture
def tested(material: Material) -> Material:
    test = Result(
        analysis="ph_test",
        statistic="chi2",
        value=4.0,
        p_value=0.0461,
        term="pad_corrected",
        method="km",
        **KEYS,
        **PAD,
    )
    points = [*curve(), *curve("strata", (3.0, 3.0))]
    curves = pl.DataFrame([as_row(point) for point in points], infer_schema_length=None)
    return replace(material, curves=curves, results=ResultTable([test, *material.results]))


def drawn(material: Material) -> list[list[dict[str, Any]]]:
    figure = hazards_figure(material, FRACTURE)
    assert figure is not None
    check_chart(figure)
    return list(figure.spec["datasets"].values())


def test_logs_are_drawn_as_ratios_of_the_main_model(tested: Material) -> None:
    line = next(rows for rows in drawn(tested) if "x" in rows[0])
    assert [row["x"] for row in line] == [0.0, 1.0, 2.0]
    assert [row["y"] for row in line] == pytest.approx([1.0, math.exp(0.5), math.exp(-9.0)], rel=1e-4)
    assert line[1]["upper"] == pytest.approx(math.exp(1.5), rel=1e-4)


def test_the_cox_models_own_ratio_and_the_test_stand_beside(tested: Material) -> None:
    levels = [rows[0]["y"] for rows in drawn(tested) if list(rows[0]) == ["y"]]
    assert sorted(levels) == [1, 1.744]
    figure = hazards_figure(tested, FRACTURE)
    assert figure is not None
    assert state_p(0.0461) in str(figure.spec).replace("\\xa0", "\xa0")
    assert "'domain': [0.1, 4.4817" in str(figure.spec)


def test_an_endpoint_without_a_curve_has_no_figure(tested: Material) -> None:
    assert hazards_figure(tested, DEATH) is None

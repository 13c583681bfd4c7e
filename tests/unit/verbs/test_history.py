"""runs, runs show and runs diff: what is recorded, what changed between two analyses, what cannot be compared."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from typer.testing import CliRunner

from spinescore.cli import app
from spinescore.domain import Result, as_row
from spinescore.errors import HistoryError
from spinescore.history import compare_runs, read_run
from spinescore.shell.warehouse import Warehouse, open_warehouse

KEYS: dict[str, Any] = {"cohort": "c", "analysis": "cox", "endpoint": "death", "model": "Model 1"}


def hazard(statistic: str, **fields: Any) -> Result:
    return Result(statistic=statistic, n=100, events=20, **KEYS, **fields)


BEFORE = [
    hazard("hr_per_sd", value=1.5, lower=1.1, upper=2.0, p_value=0.01),
    hazard("hr_per_year", value=1.2, p_value=0.02),
    hazard("hr_trend", value=None, status="not_estimable", note="3 events"),
    hazard("lr_chi2", value=4.0),
]
AFTER = [
    hazard("hr_per_sd", value=1.5 * (1 + 1e-13), lower=1.1, upper=2.0, p_value=0.01),
    hazard("hr_per_year", value=1.8, p_value=0.02),
    hazard("hr_trend", value=1.1, p_value=0.4),
    hazard("hr_category", value=2.0),
]


@pytest.fixture
def warehouse(tmp_path: Path) -> Iterator[Warehouse]:
    with open_warehouse(tmp_path / "c.duckdb", create=True) as warehouse:
        with warehouse.run("ingest", {"sources": ["a\x1b[31m"]}) as run:
            run.counts = {"seen": 3}
        for conf_level, results in ((0.95, BEFORE), (0.9, AFTER)):
            with warehouse.run("analyze", {"conf_level": conf_level, "seed": 1}) as run:
                rows = pl.DataFrame([as_row(result) for result in results], infer_schema_length=None)
                made_by = pl.lit(run.run_id, dtype=pl.Int64).alias("run_id")
                of_model = pl.lit("m").alias("model_id")
                warehouse.append("results", rows.with_columns(made_by, of_model))
                run.counts = {"results": len(results)}
        yield warehouse


def test_a_run_is_shown_with_its_settings_and_what_is_left_of_it(warehouse: Warehouse) -> None:
    run = read_run(warehouse, 2)
    assert run["arguments"] == {"conf_level": 0.95, "seed": 1}
    assert (run["outcome"], run["results_computed"], run["scores_made"]) == ("done", 4, 0)


def test_what_changed_between_analyses_is_found_number_by_number(warehouse: Warehouse) -> None:
    found = compare_runs(warehouse, 2, 3)
    assert found.fields.rows() == [("arguments.conf_level", "0.95", "0.9")]
    assert found.n_same == 1  # hr_per_sd, but for the last digits
    changes = {row["statistic"]: row for row in found.results.iter_rows(named=True)}
    assert {name: row["change"] for name, row in changes.items()} == {
        "hr_per_year": "changed",
        "hr_trend": "changed",
        "hr_category": "added",
        "lr_chi2": "removed",
    }
    assert found.results["statistic"][0] == "hr_per_year"
    assert (changes["hr_per_year"]["value"], changes["hr_per_year"]["value_after"]) == (1.2, 1.8)
    assert (changes["hr_trend"]["status"], changes["hr_trend"]["status_after"]) == ("not_estimable", "ok")


def test_a_run_is_equal_to_itself(warehouse: Warehouse) -> None:
    found = compare_runs(warehouse, 2, 2)
    assert (found.fields.height, found.results.height, found.n_same) == (0, 0, 4)


@pytest.mark.parametrize(
    ("pair", "match"), [((2, 9), "no run 9 .*runs 1 to 3"), ((1, 2), "`ingest`.*`analyze`")]
)
def test_what_cannot_be_compared_is_said(warehouse: Warehouse, pair: tuple[int, int], match: str) -> None:
    with pytest.raises(HistoryError, match=match):
        compare_runs(warehouse, *pair)


def test_the_commands_say_it(warehouse: Warehouse) -> None:
    path = str(warehouse.path)
    warehouse.__exit__()
    runner = CliRunner()
    listed = runner.invoke(app, ["runs", "-d", path])
    assert listed.exit_code == 0
    assert listed.output.count("analyze") == 2
    shown = runner.invoke(app, ["runs", "show", "1", "-d", path])
    assert "seen" in shown.output
    assert "\x1b[31m" not in shown.output
    told = runner.invoke(app, ["runs", "diff", "2", "3", "-d", path], env={"COLUMNS": "200"})
    assert "1 the same, 1 added, 2 changed, 1 removed" in told.output
    assert "1.2, n 100, events 20" in told.output
    whole = json.loads(runner.invoke(app, ["runs", "diff", "2", "3", "-d", path, "--json"]).output)
    assert len(whole["results"]) == 4
    assert runner.invoke(app, ["runs"], env={"SPINESCORE_DATABASE": ""}).exit_code == 2

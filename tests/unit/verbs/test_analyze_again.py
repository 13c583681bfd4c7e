"""An analysis made again computes what changed, and gives what one made afresh would."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from spinescore.analyze import analyze
from spinescore.core import analysis as computed
from spinescore.outcomes import import_outcomes
from spinescore.shell.identity import pseudonymiser
from spinescore.shell.warehouse import Warehouse, open_warehouse
from spinescore.study import Study
from tests.unit.verbs.test_cohorts import KEY, fill, study, table

PEOPLE = 240
SECTIONS = """
[cohorts.young]
where = "age_years < 65"
[cohorts.old]
where = "age_years >= 65"
[endpoints.death]
type = "survival"
event = "dead"
end_date = "end"
[endpoints.fracture]
type = "survival"
event = "broken"
end_date = "broken_end"
competing = "death"
[endpoints.op]
type = "binary"
column = "op"
[models]
"Model 1" = ["age"]
[analysis]
horizons_years = [2]
bootstraps = 2
[analysis.families.all]
"""


@pytest.fixture
def warehouse(database: Path) -> Iterator[Warehouse]:
    with open_warehouse(database, create=True) as opened:
        pseudonymiser(opened, keep_identifiers=True)
        yield opened


def outcomes(folder: Path, *, fractures: int = 3) -> None:
    rng = np.random.default_rng(1)
    rows = []
    for n in range(PEOPLE):
        end = date(2016, 1, 1) + timedelta(days=int(rng.integers(0, 1500)))
        broken = int(n % fractures == 1)
        rows.append(f"s{n},{int(rng.random() < 0.3)},{end},{broken},{end},{int(rng.random() < 0.4)}")
    table(folder, *rows, header="pid,dead,end,broken,broken_end,op")


def prepared(folder: Path, warehouse: Warehouse) -> Study:
    rng = np.random.default_rng(2)
    people = [
        {"subject_id": f"s{n}", "age_years": 50 + n % 30 + 0.5, "spine_age": 55 + n % 30 + rng.normal(0, 5)}
        for n in range(PEOPLE)
    ]
    fill(warehouse, *people)
    outcomes(folder)
    settings = study(folder, SECTIONS)
    import_outcomes(warehouse, settings)
    return settings


def stored(warehouse: Warehouse, name: str) -> pl.DataFrame:
    rows = warehouse.table(name)
    return rows.filter(pl.col("run_id") == rows["run_id"].max()).drop("run_id")


def watch(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Note which endpoints are computed."""
    seen: list[tuple[str, str]] = []
    original = computed._find

    def noted(setting: Any, endpoint: str, trained: Any) -> Any:
        seen.append((setting.cohort.name, endpoint))
        return original(setting, endpoint, trained)

    monkeypatch.setattr(computed, "_find", noted)
    return seen


def test_only_what_changed_is_computed_and_the_rest_is_as_it_was(
    tmp_path: Path, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = prepared(tmp_path, warehouse)
    seen = watch(monkeypatch)
    assert analyze(warehouse, settings, KEY).changed
    assert len(seen) == 6
    results, curves = stored(warehouse, "results"), stored(warehouse, "curves")
    assert results.filter(pl.col("validation") == "external").height > 0
    seen.clear()

    titled = settings.model_copy(update={"study": settings.study.model_copy(update={"title": "another"})})
    again = analyze(warehouse, titled, KEY)
    assert seen == []
    assert "6 of 6 endpoints unchanged" in again.message
    assert stored(warehouse, "results").equals(results)
    assert stored(warehouse, "curves").equals(curves)

    outcomes(tmp_path, fractures=4)
    import_outcomes(warehouse, titled)
    assert "4 of 6 endpoints unchanged" in analyze(warehouse, titled, KEY).message
    assert sorted(seen) == [("old", "fracture"), ("young", "fracture")]
    seen.clear()

    models = {"Model 1": ("age",), "Model 2": ("age", "sex")}
    analyze(warehouse, titled.model_copy(update={"models": models}), KEY)
    assert len(seen) == 6


def test_what_is_kept_equals_what_is_computed_afresh(
    tmp_path: Path, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = prepared(tmp_path, warehouse)
    analyze(warehouse, settings, KEY)
    outcomes(tmp_path, fractures=5)
    import_outcomes(warehouse, settings)
    analyze(warehouse, settings, KEY)
    kept = {name: stored(warehouse, name) for name in ("results", "curves")}
    warehouse._connection.execute("delete from analysis_units")
    seen = watch(monkeypatch)
    other = settings.model_copy(update={"study": settings.study.model_copy(update={"title": "another"})})
    analyze(warehouse, other, KEY)
    assert len(seen) == 6
    for name, rows in kept.items():
        assert stored(warehouse, name).equals(rows), name


def test_a_change_in_the_primary_cohort_reaches_the_cohorts_its_models_are_applied_to(
    tmp_path: Path, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = prepared(tmp_path, warehouse)
    analyze(warehouse, settings, KEY)
    seen = watch(monkeypatch)
    warehouse._connection.execute(
        "update scores set spine_age = spine_age + 1 where sop_instance_uid = '1.3'"  # a subject of 53
    )
    other = settings.model_copy(update={"study": settings.study.model_copy(update={"title": "another"})})
    analyze(warehouse, other, KEY)
    assert len(seen) == 6, "young is the first cohort: its models are applied to old"

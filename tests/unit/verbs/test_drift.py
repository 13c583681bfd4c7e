"""Drift: found where it was put, silent where it was not, told once of a changed model, and said by status 4."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from spinescore import run
from spinescore.cli import app
from spinescore.core.drift import compare_kind, compare_scores, count_failures
from spinescore.core.reporting.drift_section import drift_lines, drift_table
from spinescore.domain import StageSummary
from spinescore.drift import assess_drift
from spinescore.run import model_key
from spinescore.shell.cohorts import ModelKey
from spinescore.shell.warehouse import Warehouse, open_warehouse
from spinescore.study import read_study
from spinescore.study.drift_section import DriftSection
from tests.unit.verbs.made_up_scores import make_database, make_people, make_study

SETTINGS = DriftSection()
RUNNER = CliRunner()


def images(
    n: int, *, shift: float = 0, seed: int = 1, maker: str = "GE", device: str = "iDXA"
) -> pl.DataFrame:
    rng = np.random.default_rng([seed, n])
    age = rng.uniform(50, 90, n)
    return pl.DataFrame(
        {
            "subject_id": [f"{seed}-{i}" for i in range(n)],
            "age_years": age,
            "pad_raw": 20 - 0.3 * age + rng.normal(shift, 4, n),
            "manufacturer": maker,
            "manufacturer_model": device,
            "protocol_name": "LVA",
        }
    )


def expected_shift(reference: pl.DataFrame, own: pl.DataFrame) -> float:
    """Return the mean of raw PAD less what the reference's line expects at each age."""
    line = np.polynomial.Polynomial.fit(reference["age_years"], reference["pad_raw"], 1)
    return float(np.mean(own["pad_raw"].to_numpy() - line(own["age_years"].to_numpy())))


def found(rows: list[Any], measure: str, group: str | None = None) -> Any:
    (row,) = [row for row in rows if (row.measure, row.group) == (measure, group)]
    return row


def test_images_like_the_reference_are_no_drift() -> None:
    rows = compare_kind("vfa", images(300), images(150, seed=2), SETTINGS)
    assert [row.measure for row in rows] == ["psi", "shift_years"]
    assert not any(row.beyond for row in rows)


def test_a_shift_of_one_maker_is_found_in_it() -> None:
    others = pl.concat([images(150, seed=2), images(120, seed=3, shift=6, maker="Hologic", device="Horizon")])
    rows = compare_kind("vfa", images(300), others, SETTINGS)
    assert not found(rows, "psi", "GE").beyond
    shifted = found(rows, "psi", "Hologic")
    assert shifted.beyond
    assert (shifted.against, shifted.n, shifted.n_reference) == ("kind", 120, 300)
    shift = found(rows, "shift_years", "Hologic")
    assert shift.value == pytest.approx(expected_shift(images(300), others.filter(manufacturer="Hologic")))
    assert shift.lower > 4
    assert found(rows, "new_manufacturer", "Hologic").beyond
    assert found(rows, "new_device", "Horizon").value == 120


def test_an_index_that_chance_may_give_is_no_drift() -> None:
    few = DriftSection(min_images=20, max_psi=0.01)
    row = found(compare_kind("vfa", images(40), images(40, seed=2), few), "psi")
    assert few.max_psi < row.value < row.upper
    assert not row.beyond


def test_only_the_images_that_came_last_count_and_one_of_a_subject() -> None:
    early, late = images(400, seed=2), images(200, seed=3, shift=5)
    assert found(compare_kind("vfa", images(300), pl.concat([early, late]), SETTINGS), "psi").beyond
    assert not found(compare_kind("vfa", images(300), pl.concat([late, early]), SETTINGS), "psi").beyond
    twice = pl.concat([late.head(60), late.head(60)])
    assert found(compare_kind("vfa", images(300), twice, SETTINGS), "psi").n == 60


def test_a_single_new_device_is_listed_and_no_drift() -> None:
    others = pl.concat([images(100, seed=2), images(2, seed=3, device="Prodigy")])
    row = found(compare_kind("vfa", images(300), others, SETTINGS), "new_device", "rarer ones")
    assert (row.value, row.beyond) == (2, False)


def test_what_cannot_be_compared_says_why() -> None:
    assert compare_kind("vfa", images(300), images(10, seed=2), SETTINGS)[0].note == "too_few"
    assert compare_kind("vfa", images(300).clear(), images(90, seed=2), SETTINGS)[0].note == "no_reference"
    assert count_failures("vfa", [True] * 10, SETTINGS).note == "too_few"


@pytest.mark.parametrize(("n_failed", "beyond"), [(10, False), (11, True)])
def test_failures_are_counted_among_those_tried_last(n_failed: int, beyond: bool) -> None:
    tried = [True] * 500 + [True] * n_failed + [False] * (200 - n_failed)
    row = count_failures("vfa", tried, SETTINGS)
    assert (row.value, row.beyond) == (n_failed / 200, beyond)


@pytest.mark.parametrize(
    ("moved", "told", "beyond"), [(0.6, False, True), (0.6, True, False), (-0.4, False, False)]
)
def test_a_changed_model_is_drift_once(moved: float, told: bool, beyond: bool) -> None:
    ages = pl.DataFrame({"age_before": [60.0, 70.0], "age_now": [60.0 + moved, 70.0 + moved]})
    row = compare_scores("vfa", "m 1", ages, SETTINGS, told_before=told)
    assert row is not None
    assert (row.value, row.beyond) == (pytest.approx(moved), beyond)


@pytest.fixture
def drifted(tmp_path: Path) -> Path:
    """Return a study of which the VFA images that are not of the reference read six years higher."""
    people = make_people()
    make_database(tmp_path, people)
    study = make_study(tmp_path, more="[drift]\nmin_images = 20\n")
    with open_warehouse(study.study.database) as warehouse:
        reference = set(_reference_ids(warehouse, study))
    for person in people:
        person["raw"] += 6 * (person["kind"] == "vfa" and person["pid"] not in reference)
    make_database(tmp_path, people)
    return tmp_path / "study.toml"


def _reference_ids(warehouse: Warehouse, study: Any) -> list[str]:
    from spinescore.shell.cohorts import subject_images

    found = subject_images(warehouse, study, model_key(warehouse, study))
    return found.filter(pl.col("split") == "reference")["image_subject_id"].to_list()


def test_a_run_that_finds_drift_says_so_in_words_and_by_status_4_again_and_again(
    drifted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rendered = StageSummary("report", changed=True, message="")
    monkeypatch.setattr(run, "render_report", lambda *_: rendered)
    for mark in ("done", "same"):
        ended = RUNNER.invoke(app, ["run", str(drifted)])
        assert ended.exit_code == 4, ended.output
        assert f"drift      {mark}" in ended.stdout
        assert "drift: DXA VFA: at fixed age, the" in ended.stdout
        assert "drift: Radiograph" not in ended.stdout
    with open_warehouse(drifted.parent / "c.duckdb") as warehouse:
        assert warehouse.table("drift")["run_id"].n_unique() == 1


def score_rows(model: str, run_id: int, ages: list[float]) -> pl.DataFrame:
    n = len(ages)
    return pl.DataFrame(
        {
            "sop_instance_uid": [f"1.2.{i}" for i in range(n)],
            "model_id": model,
            "preprocessing_id": "p",
            "spine_age": ages,
            "spine_age_rounded": [round(age) for age in ages],
            "spine_age_sd": 4.0,
            "age_distribution": [[1.0]] * n,
            "pixel_sha256": "x",
            "kind": "vfa",
            "device": "cpu",
            "precision": "fp32",
            "size_bytes": 1,
            "modified_ns": 1,
            "run_id": run_id,
        },
        schema_overrides={"age_distribution": pl.List(pl.Float32)},
    )


@pytest.fixture
def rescored(tmp_path: Path) -> Iterator[tuple[Warehouse, Any]]:
    """Return a database whose images two models have scored, the second two years higher on average."""
    make_database(tmp_path, make_people())
    study = make_study(tmp_path, more="[drift]\n")
    with open_warehouse(study.study.database) as warehouse:
        for run_id, model in ((5, "old"), (6, "new")):
            manifest = {"model_id": model, "name": model, "version": "1", "manifest": "{}", "run_id": run_id}
            warehouse.append("models", pl.DataFrame([manifest]))
        warehouse.append("scores", score_rows("old", 5, [60.0, 70.0, 80.0]))
        warehouse.append("scores", score_rows("new", 6, [61.0, 73.0, 82.0]))
        yield warehouse, study


def test_scores_of_the_model_before_are_compared_image_by_image_and_told_once(
    rescored: tuple[Warehouse, Any],
) -> None:
    warehouse, study = rescored
    key = ModelKey("new", "p")
    first = assess_drift(warehouse, study, key, study.drift)
    stored = warehouse.fetch("drift/latest", model_id="new", preprocessing_id="p")
    (change,) = stored.filter(pl.col("measure") == "change_years").to_dicts()
    assert (change["against"], change["n"], change["value"], change["sd"]) == ("old 1 (old, p)", 3, 2.0, 1.0)
    assert drift_lines([change])[0].startswith("DXA VFA: ages are 2.00 years higher on average than by old 1")
    counts = [
        first.counts["beyond"],
        *(assess_drift(warehouse, study, key, study.drift).counts["beyond"] for _ in "ab"),
    ]
    assert counts == [1, 0, 0]
    assert assess_drift(warehouse, study, key, study.drift).changed is False


def test_the_report_lists_what_was_compared(rescored: tuple[Warehouse, Any]) -> None:
    warehouse, study = rescored
    assess_drift(warehouse, study, ModelKey("new", "p"), study.drift)
    rows = warehouse.fetch("drift/latest", model_id="new", preprocessing_id="p").to_dicts()

    class Shown:
        drift = rows

    table = drift_table(Shown())  # type: ignore[arg-type]
    texts = [[cell.text for cell in row.cells] for row in table.rows]
    assert len(texts) == len(rows)
    (change,) = [row for row in texts if "Change of ages" in row[0]]
    assert change[1:] == ["3", "–", "2.00 (0.04 to 3.96)", "±0.5", "yes"]


def test_thresholds_change_no_result(tmp_path: Path) -> None:
    make_database(tmp_path, make_people())
    plain = make_study(tmp_path).fingerprint()
    assert make_study(tmp_path, more="[drift]\nmax_psi = 0.1\n").fingerprint() == plain
    assert read_study(tmp_path / "study.toml").drift == DriftSection(max_psi=0.1)

"""A laptop-size training run, from DICOM files to a bundle whose parts cohorts see; and fine-tuning from it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from typer.testing import CliRunner

from spinescore.cli import app
from spinescore.core.phantom.dicom import dataset
from spinescore.core.phantom.person import draw_people
from spinescore.core.phantom.radiograph import render
from spinescore.errors import TrainingError
from spinescore.ingest import IngestRequest, ingest
from spinescore.run import bundle_key
from spinescore.score import ScoreRequest, score
from spinescore.shell.bundles import load_bundle
from spinescore.shell.cohorts import subject_images
from spinescore.shell.training_set import TrainingPlace, prepare_training
from spinescore.shell.warehouse import open_warehouse
from spinescore.study import read_study

STUDY = """
[study]
title = "Laptop"
database = "c.duckdb"

[images]
sources = ["in"]

[correction]
method = "none"

[cohorts.everyone]
where = "true"

[train]
backbone = "efficientnet-b0"
height = 64
width = 32
epochs = 1
batch_size = 8
"""
N = 30
TWICE = 10  # people with an image of either kind


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ingested database of phantoms, and a bundle trained on it by the command."""
    folder = tmp_path_factory.mktemp("laptop")
    (folder / "in").mkdir()
    for number, who in enumerate(draw_people(N, seed=5, cohort="derivation")):
        for kind in ("radiograph", "vfa") if number < TWICE else ("radiograph",):
            rendered = render(who, kind=kind, seed=5, height=160)
            dataset(rendered, who, seed=5).save_as(
                folder / "in" / f"{number}-{kind}.dcm", enforce_file_format=True
            )
    (folder / "study.toml").write_text(STUDY, encoding="utf-8")
    with open_warehouse(folder / "c.duckdb", create=True) as warehouse:
        ingest(warehouse, IngestRequest([folder / "in"], workers=1))
    return folder


def run(*arguments: object) -> Any:
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done


@pytest.fixture(scope="module")
def said(folder: Path) -> dict[str, Any]:
    done = run("train", folder / "study.toml", "--output", folder / "bundle", "--json")
    return dict(json.loads(done.stdout))


def test_the_command_says_what_it_made(folder: Path, said: dict[str, Any]) -> None:
    assert said["model_id"] == load_bundle(folder / "bundle").model_id
    assert Path(said["learning_curves"]).is_file()
    assert set(said["seconds"]) == {"data", "forward", "backward", "validation"}
    assert said["metrics"]["test"]["all"]["n"] > 0
    assert [line["epoch"] for line in said["epochs"]] == [0]
    assert load_bundle(folder / "bundle").demonstration
    weights = (folder / "bundle" / "weights.safetensors").read_bytes()
    again = run("train", folder / "study.toml", "--output", folder / "bundle")  # finished: trains no further
    assert (folder / "bundle" / "weights.safetensors").read_bytes() == weights
    assert "MAE raw" in again.stdout
    assert "bound by" in again.stdout
    assert "Traceback" not in again.stdout


def test_stopped_the_command_says_how_to_go_on(
    folder: Path, said: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    assert said
    monkeypatch.setattr("spinescore.train.train", stopped)
    done = run("train", folder / "study.toml", "--output", folder / "bundle")
    assert done.exit_code == 130
    assert f"To go on: spinescore train {folder}/study.toml --output {folder}/bundle" in done.stderr
    assert "--finish" in done.stderr


def test_cohorts_of_the_model_see_the_parts_that_training_stored(folder: Path, said: dict[str, Any]) -> None:
    bundle = load_bundle(Path(said["bundle"]))
    with open_warehouse(folder / "c.duckdb") as warehouse:
        stored = warehouse.table("splits").select("subject_id", "kind", "split")
        score(warehouse, ScoreRequest(bundle, device="cpu", workers=1))
        images = subject_images(warehouse, read_study(folder / "study.toml"), bundle_key(bundle))
    assert stored.height == N + TWICE
    assert set(stored["split"]) == {"train", "validation", "test"}
    assert stored.group_by("subject_id").agg(pl.col("split").n_unique())["split"].max() == 1
    seen = images.select(
        pl.col("image_subject_id").alias("subject_id"), "kind", pl.col("split").alias("seen")
    )
    both = stored.join(seen, on=["subject_id", "kind"])
    assert both.height == N + TWICE
    for split, seen_as in both.select("split", "seen").iter_rows():
        assert seen_as == split if split != "test" else seen_as in ("test", "reference")


def test_ids_of_one_subject_are_in_one_part(folder: Path, tmp_path: Path) -> None:
    with open_warehouse(folder / "c.duckdb") as warehouse:
        ids = warehouse.table("images")["subject_id"].unique().sort().to_list()
        links = pl.DataFrame(
            {
                "image_subject_id": ids,
                "subject_id": [f"person {i // 4}" for i in range(len(ids))],
                "run_id": 1,
            }
        )
        with warehouse.rehearsal():
            warehouse.append("subject_links", links)
            request = prepare_training(
                warehouse,
                read_study(folder / "study.toml"),
                TrainingPlace(output=tmp_path / "b", work=tmp_path / "w"),
            )
            stored = warehouse.table("splits")
    parts = request.split_images()
    people = [set(part["subject_id"]) for part in parts.values()]
    assert len(set.union(*people)) == sum(map(len, people)) == -(-len(ids) // 4)
    joined = stored.join(links, left_on="subject_id", right_on="image_subject_id")
    assert joined.group_by("subject_id_right").agg(pl.col("split").n_unique())["split"].max() == 1


def fine_tune(folder: Path, work: Path, changes: str) -> Path:
    """Train on VFA alone from the folder's bundle, with 30% of the subjects; return the new bundle's folder."""
    text = STUDY.replace("[images]", '[images]\nkind = "vfa"').replace("c.duckdb", f"{folder}/c.duckdb")
    work.mkdir(exist_ok=True)
    (work / "study.toml").write_text(f"{text}share = 0.6\n{changes}", encoding="utf-8")
    run("train", work / "study.toml", "--output", work / "tuned", "--from", folder / "bundle")
    return work / "tuned"


def test_a_network_is_tuned_to_the_other_kind_and_nobody_it_saw_tests_it(
    folder: Path, said: dict[str, Any], tmp_path: Path
) -> None:
    first, tuned = (
        load_bundle(Path(said["bundle"])),
        load_bundle(fine_tune(folder, tmp_path, "learning_rate = 1e-9")),
    )
    with open_warehouse(folder / "c.duckdb") as warehouse:
        ids = warehouse.table("images")["subject_id"].unique().to_list()
    assert first.trained_on(ids) <= tuned.trained_on(ids)
    assert not first.validated_on(ids) & tuned.trained_on(ids)
    assert tuned.manifest["metrics"]["parts"]["test"]["images"] > 0
    assert set(tuned.manifest["metrics"]["test"]) == {"all", "vfa"}
    before, after = first.read_weights(), tuned.read_weights()
    kernel = "model._conv_stem.weight"
    assert after[kernel] == pytest.approx(before[kernel], abs=1e-6)
    assert first.model_id in tuned.manifest["training_data"]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ("first_age = 30", "first_age, n_classes = 40, 61, not 30, 61 \\(each output stands for one year"),
        ("n_classes = 50", "first_age, n_classes = 40, 61, not 40, 50"),
    ],
)
def test_a_bundle_that_does_not_fit_is_no_beginning(
    folder: Path, said: dict[str, Any], tmp_path: Path, changes: str, reason: str
) -> None:
    assert said
    with pytest.raises(TrainingError, match=reason):
        fine_tune(folder, tmp_path, changes)

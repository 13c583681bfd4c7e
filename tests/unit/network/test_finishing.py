"""What a finished bundle says: raw errors first, everything fitted on the validation part, nothing on the test part."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from safetensors.torch import load_file

from spinescore.core.correction_artefact import read_corrections
from spinescore.core.network.age_distribution import expectation, softmax
from spinescore.core.network.recalibration import fit_temperature, temper
from spinescore.core.network.training_plan import Stage
from spinescore.errors import TrainingError
from spinescore.shell.bundles import CORRECTION, fingerprint_subject, load_bundle
from spinescore.shell.image_cache import ImageCache
from spinescore.shell.training.model_card import write_model_card
from spinescore.shell.training.position import BEST
from spinescore.train import TrainingRequest, finish_training, read_metrics, train
from tests.unit.network.training_case import make_request

N = 300
QUICK = (Stage(epochs=2, shrink=2, batch_size=8, images_per_epoch=16),)


def request(folder: Path, **changes: Any) -> TrainingRequest:
    return make_request(
        folder, N, stages=QUICK, model_card=write_model_card, checkpoint_every_s=1e9, **changes
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished")
    train(request(folder))
    return folder


def test_another_test_part_changes_nothing_but_what_is_measured_on_it(finished: Path, tmp_path: Path) -> None:
    """Its images replaced by others, and its ages: same weights, same stopping, same correction, same temperature."""
    first = request(finished)
    tested = first.split_images()["test"]
    images = first.cache.images.copy()
    images[tested["row"].to_numpy()] = 255 - images[tested["row"].to_numpy()] // 2
    older = pl.when(pl.col("row").is_in(tested["row"].implode())).then(140 - pl.col("age_years"))
    table = first.cache.table.with_columns(older.otherwise("age_years").alias("age_years"))
    train(request(tmp_path, cache=ImageCache(images, table, first.cache.spec)))
    one, other = (load_bundle(folder / "bundle") for folder in (finished, tmp_path))
    best, again = (load_file(folder / "work" / BEST) for folder in (finished, tmp_path))
    assert all((best[name] == again[name]).all() for name in best)
    histories = [read_metrics(folder / "work") for folder in (finished, tmp_path)]
    assert [line["validation"] for line in histories[0]] == [line["validation"] for line in histories[1]]
    assert one.temperature == other.temperature != 1.0
    lines = [
        [(c.kind, c.slope, c.intercept) for c in read_corrections(bundle.read_file(CORRECTION), "bundle")]
        for bundle in (one, other)
    ]
    assert lines[0] == lines[1]
    assert one.manifest["metrics"]["test"] != other.manifest["metrics"]["test"]


def test_correction_and_temperature_are_those_of_the_validation_part(finished: Path) -> None:
    from spinescore.shell.training.finishing import _Predictor

    made = request(finished)
    bundle = load_bundle(finished / "bundle")
    validation = made.split_images()["validation"]
    distribution = _Predictor(made, load_file(made.work / BEST), 2)(validation)
    assert softmax(np.log(distribution)) == pytest.approx(distribution, abs=1e-5)
    fitted = fit_temperature(distribution, validation["age_years"].to_numpy(), 40)
    assert bundle.temperature == pytest.approx(fitted.temperature, rel=1e-6)
    corrections = {c.kind: c for c in read_corrections(bundle.read_file(CORRECTION), "bundle")}
    assert set(corrections) == {"radiograph", "vfa"}
    ages = validation["age_years"].to_numpy()
    gap = expectation(temper(distribution, fitted.temperature), 40) - ages
    for kind, correction in corrections.items():
        own = (validation["kind"] == kind).to_numpy()
        slope, intercept = np.polyfit(ages[own], gap[own], 1)
        assert correction.slope == pytest.approx(slope, abs=1e-6)
        assert correction.intercept == pytest.approx(intercept, abs=1e-4)
        assert correction.model_id == bundle.model_id
        assert correction.preprocessing_id == bundle.spec.preprocessing_id
        prints = {fingerprint_subject(s) for s in validation.filter(pl.col("kind") == kind)["subject_id"]}
        assert set(correction.subjects) == prints


def test_errors_are_shown_by_sex_age_band_and_manufacturer_raw_first(finished: Path) -> None:
    metrics = load_bundle(finished / "bundle").manifest["metrics"]
    n = metrics["test"]["all"]["n"]
    for by in ("sex", "age", "manufacturer"):
        assert sum(g["n"] for g in metrics["test_groups"] if (g["kind"], g["by"]) == ("all", by)) == n
    large = [group for group in metrics["test_groups"] if group["n"] >= 5]
    assert large
    for group in large:
        assert group["corrected"]["n"] == group["n"]
    for kind in ("all", "radiograph", "vfa"):
        assert {"n", "mae_years", "bias_years"} <= set(metrics["test_corrected"][kind])
    assert [found["level"] for found in metrics["coverage"]["all"]] == [0.5, 0.8, 0.9, 0.95]
    card = load_bundle(finished / "bundle").read_file("MODEL_CARD.md").decode()
    heads = [line for line in card.splitlines() if "MAE raw" in line]
    assert len(heads) == 4
    assert all(line.index("MAE raw") < line.index("MAE corrected") for line in heads)
    assert "Corrected ages contain chronological age" in card
    assert "| all, F |" in card
    assert "| vfa, not known |" in card


def test_too_few_subjects_are_said_to_be_too_few(tmp_path: Path) -> None:
    made = make_request(tmp_path, stages=QUICK, model_card=write_model_card)
    train(made)
    bundle = load_bundle(made.output)
    assert CORRECTION not in bundle.manifest["files"]
    assert bundle.temperature == 1.0
    notes = bundle.manifest["metrics"]["notes"]
    assert [note.split(":")[0] for note in notes] == [
        "No temperature",
        "No correction for radiograph",
        "No correction for vfa",
    ]
    assert bundle.manifest["metrics"]["test_corrected"]["all"] is None


def test_the_learning_curves_are_one_page_that_asks_for_nothing(finished: Path) -> None:
    page = (finished / "work" / "learning_curves.html").read_text(encoding="utf-8")
    assert "default-src 'none'" in page
    addresses = re.findall(r"""(?:src|href|url)\s*[=(]\s*["']?([^"')\s>]+)""", page)
    assert {a for a in addresses if not a.startswith(("data:", "#"))} == set()
    assert "<script" not in page
    for title in ("Losses", "Mean absolute error", "Learning rate", "Where the time went", "Every epoch"):
        assert f"<h2>{title}</h2>" in page
    assert page.count("<svg") == 4
    assert page.count("<tr>") == 1 + 2
    assert "made up" in page
    assert "bound by" in page


def test_a_run_can_be_ended_early_and_keeps_its_best(tmp_path: Path) -> None:
    made = make_request(tmp_path, stages=(replace(QUICK[0], epochs=9),))

    def stop(line: dict[str, Any]) -> None:
        if line["epoch"] == 1:
            raise KeyboardInterrupt

    with pytest.raises(TrainingError, match="No epoch has been finished"):
        finish_training(made)
    with pytest.raises(KeyboardInterrupt):
        train(made, announce=stop)
    finish_training(made)
    epochs = load_bundle(made.output).manifest["metrics"]["epochs"]
    assert (epochs["trained"], epochs["planned"]) == (2, 9)

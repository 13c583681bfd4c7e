"""model coverage, perturb and saliency on a small scored database, as their commands are used."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import duckdb
import numpy as np
import polars as pl
import pytest
from PIL import Image
from typer.testing import CliRunner

from spinescore.cli import app
from spinescore.core.imaging.perturbation import PERTURBATIONS
from spinescore.core.network.age_distribution import expectation
from spinescore.core.network.recalibration import temper
from spinescore.core.phantom.dicom import dataset
from spinescore.core.phantom.person import draw_people
from spinescore.core.phantom.radiograph import render
from spinescore.coverage import measure_coverage, recalibrate
from spinescore.errors import AnalysisError, BundleError, RecalibrationError
from spinescore.ingest import IngestRequest, ingest
from spinescore.perturbation import measure_perturbation_spread
from spinescore.score import ScoreRequest, score
from spinescore.shell.backends import open_backend
from spinescore.shell.bundles import CORRECTION, Bundle, demo_bundle_path, fingerprint_subject, load_bundle
from spinescore.shell.overlays import draw_saliency
from spinescore.shell.warehouse import Warehouse, open_warehouse

N_RADIOGRAPHS, N_VFA = 5, 4
AGES = np.arange(40, 101)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("compiled")


@pytest.fixture(autouse=True)
def _one_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPINESCORE_HOME", str(home))


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return load_bundle(demo_bundle_path())


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory, bundle: Bundle, home: Path) -> Path:
    """Return a database of nine scored phantoms; its files lie beside it."""
    folder = tmp_path_factory.mktemp("scored")
    (folder / "in").mkdir()
    people = [("radiograph", who) for who in draw_people(N_RADIOGRAPHS, seed=5, cohort="derivation")]
    people += [("vfa", who) for who in draw_people(N_VFA, seed=5, cohort="vfa")]
    for number, (kind, who) in enumerate(people):
        rendered = render(who, kind=kind, seed=5, height=300)
        dataset(rendered, who, seed=5).save_as(folder / "in" / f"{number}.dcm", enforce_file_format=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPINESCORE_HOME", str(home))
        with open_warehouse(folder / "cohort.duckdb", create=True) as warehouse:
            ingest(warehouse, IngestRequest([folder / "in"], workers=1))
            score(warehouse, ScoreRequest(bundle, device="cpu", workers=1))
    return folder / "cohort.duckdb"


@pytest.fixture
def known_errors(scored: Path, tmp_path: Path) -> Path:
    """Return a copy whose 400 people have distributions of SD 2.5 about estimates that err with SD 5."""
    path = tmp_path / "known.duckdb"
    shutil.copy(scored, path)
    rng = np.random.default_rng(8)
    ages = rng.uniform(50, 90, 400)
    centres = ages + rng.normal(0, 5, 400)
    p = np.exp(-np.square(AGES - centres[:, None]) / (2 * 2.5**2))
    p /= p.sum(axis=1, keepdims=True)
    people = pl.DataFrame({"n": np.arange(400), "age": ages, "p": p.astype(np.float32).tolist()})
    with duckdb.connect(path) as connection:
        connection.register("people", people.to_arrow())
        connection.execute(
            "create temp table i as select images.* replace (sop_instance_uid || '.' || n as sop_instance_uid,"
            " 'S' || n as subject_id, age as age_years) from (select * from images limit 1) as images, people"
        )
        connection.execute(
            "create temp table s as select scores.* replace (sop_instance_uid || '.' || n as sop_instance_uid,"
            " p as age_distribution) from scores, people where sop_instance_uid in"
            " (select sop_instance_uid from images limit 1)"
        )
        connection.execute("delete from scores; insert into images from i; insert into scores from s")
    return path


def test_coverage_is_that_of_the_stored_distributions(known_errors: Path, bundle: Bundle) -> None:
    with open_warehouse(known_errors) as warehouse:
        found = measure_coverage(warehouse, bundle)
    of_all = {one.level: one for one in found.by_kind["all"]}
    assert of_all[0.9].n == 400
    # a normal of SD 2.5 about errors of SD 5: P(|z| < 1.645 / 2) = 0.589
    assert of_all[0.9].coverage.value == pytest.approx(0.589, abs=4 * np.sqrt(0.589 * 0.411 / 400))


def test_recalibration_makes_a_bundle_whose_scores_are_tempered(
    known_errors: Path, bundle: Bundle, tmp_path: Path
) -> None:
    with open_warehouse(known_errors) as warehouse:
        made = recalibrate(warehouse, bundle, tmp_path / "wider")
    fitted = made.fitted.temperature
    assert fitted == pytest.approx(4.0, abs=4 * 4 * np.sqrt(2 / 200))
    after = {one.level: one.coverage.value for one in made.after.by_kind["all"]}
    assert after[0.9] == pytest.approx(0.9, abs=4 * np.sqrt(0.09 / 200))
    assert made.after.by_kind["all"][0].n + made.fitted.n == 400
    assert made.bundle.temperature == pytest.approx(bundle.temperature * fitted)
    assert made.bundle.model_id != bundle.model_id
    assert made.bundle.read_weights().keys() == bundle.read_weights().keys()
    assert CORRECTION not in made.bundle.manifest["files"]
    assert f"{made.bundle.temperature:.4f}" in made.bundle.read_file("MODEL_CARD.md").decode()
    images = np.random.default_rng(0).random((2, 1, bundle.spec.height, bundle.spec.width), np.float32)
    ours, theirs = (open_backend(b, device="cpu").predict(images) for b in (made.bundle, bundle))
    assert ours == pytest.approx(temper(theirs, fitted), abs=1e-5)


def test_subjects_the_network_was_trained_on_take_no_part(
    known_errors: Path, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = {"S1", "S2", "S3"}
    monkeypatch.setattr(Bundle, "trained_on", lambda _, ids: {i for i in ids if i in trained})
    with open_warehouse(known_errors) as warehouse:
        found = measure_coverage(warehouse, bundle)
        assert found.n_trained_left_out == 3
        assert found.by_kind["all"][0].n == 397
        monkeypatch.setattr(Bundle, "trained_on", lambda _, ids: set(ids))
        with pytest.raises(RecalibrationError, match="400 are of subjects the network was trained on"):
            measure_coverage(warehouse, bundle)
    assert fingerprint_subject("S1") != fingerprint_subject("S2")


def test_recalibration_replaces_nothing_that_is_no_bundle_and_refuses_too_few(
    scored: Path, bundle: Bundle, tmp_path: Path
) -> None:
    (tmp_path / "mine").mkdir()
    with open_warehouse(scored) as warehouse:
        with pytest.raises(BundleError, match="exists and is no bundle"):
            recalibrate(warehouse, bundle, tmp_path / "mine")
        with pytest.raises(RecalibrationError, match="50 images or more"):
            recalibrate(warehouse, bundle, tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_the_perturbation_spread_is_stored_and_adds_up(scored: Path, bundle: Bundle, tmp_path: Path) -> None:
    path = tmp_path / "copy.duckdb"
    shutil.copy(scored, path)
    with open_warehouse(path) as warehouse:
        found = measure_perturbation_spread(warehouse, bundle, n_images=3, device="cpu")
        stored = warehouse.table("perturbed_scores")
        scores = warehouse.table("scores").select("sop_instance_uid", "spine_age")
        again = measure_perturbation_spread(warehouse, bundle, n_images=3, device="cpu")
        assert warehouse.table("perturbed_scores").height == stored.height
    assert again.images.sort(pl.all()).equals(found.images.sort(pl.all()))
    assert stored.height == 6 * len(PERTURBATIONS)
    assert dict(found.summarise().select("kind", "n").rows()) == {"radiograph": 3, "vfa": 3}
    # the unchanged image gives the stored age, so a change is from what was scored
    base = stored.join(scores, on="sop_instance_uid", suffix="_scored")
    difference = base["spine_age"] - base["change_years"] - base["spine_age_scored"]
    assert difference.abs().max() < 1e-4
    one = stored.filter(pl.col("sop_instance_uid") == stored["sop_instance_uid"][0])[
        "change_years"
    ].to_numpy()
    spread = found.by_image().filter(pl.col("sop_instance_uid") == stored["sop_instance_uid"][0])
    assert spread["spread_years"].item() == pytest.approx(np.sqrt((one**2).mean()))
    assert stored["change_years"].abs().max() > 0.01


def test_a_file_that_is_gone_is_named_and_the_others_are_measured(
    scored: Path, bundle: Bundle, tmp_path: Path
) -> None:
    path = tmp_path / "copy.duckdb"
    shutil.copy(scored, path)
    with duckdb.connect(path) as connection:
        connection.execute("update images set size_bytes = 1 where kind = 'vfa'")
    with open_warehouse(path) as warehouse:
        found = measure_perturbation_spread(warehouse, bundle, n_images=2, device="cpu")
    assert [reason for _, reason in found.failures] == ["changed", "changed"]
    assert found.summarise()["kind"].to_list() == ["radiograph"]
    result = CliRunner().invoke(
        app, ["model", "perturb", "demo", "-d", str(path), "--images", "2", "--device", "cpu"]
    )
    assert result.exit_code == 3
    assert "(changed)" in result.output


def test_saliency_draws_the_extremes_without_naming_anyone(
    scored: Path, bundle: Bundle, tmp_path: Path
) -> None:
    with open_warehouse(scored) as warehouse:
        overlays, failures = draw_saliency(warehouse, bundle, tmp_path / "out", extremes=1)
        scores = dict(warehouse.table("scores").select("sop_instance_uid", "spine_age").rows())
        subjects = set(warehouse.table("images")["subject_id"])
    assert not failures
    assert len(overlays) == 4
    assert {round(o.spine_age, 3) for o in overlays} <= {round(age, 3) for age in scores.values()}
    gaps = sorted((o.kind, o.gap_at_age_years) for o in overlays)
    assert [gap < 0 for _, gap in gaps] == [True, False, True, False]
    for overlay in overlays:
        assert overlay.path.stat().st_mode & 0o777 == 0o600
        with Image.open(overlay.path) as picture:
            assert picture.mode == "RGB"
            assert not picture.info
    written = (
        "".join(p.name for p in (tmp_path / "out").iterdir()) + (tmp_path / "out/index.json").read_text()
    )
    assert not any(secret in written for secret in subjects | set(scores))
    assert len(json.loads((tmp_path / "out/index.json").read_text())["overlays"]) == 4


def test_no_extreme_is_shown_that_says_it_carries_text(scored: Path, bundle: Bundle, tmp_path: Path) -> None:
    """Phantoms carry a mark and say so; were they of patients, it could be a name."""
    copy = tmp_path / "real.duckdb"
    shutil.copy(scored, copy)
    with open_warehouse(copy) as warehouse:
        real = warehouse.table("images").with_columns(pl.lit(False).alias("synthetic"))
        warehouse.refill("images", real)
        with pytest.raises(AnalysisError, match="No image was chosen"):
            draw_saliency(warehouse, bundle, tmp_path / "out", extremes=1)
    assert not (tmp_path / "out").exists()


def test_saliency_of_an_unknown_image_or_none_is_refused(
    scored: Path, bundle: Bundle, tmp_path: Path
) -> None:
    with open_warehouse(scored) as warehouse:
        with pytest.raises(AnalysisError, match=r"scored no image of the UID 1\.2\.3 \(1 of 1 so\)"):
            draw_saliency(warehouse, bundle, tmp_path / "out", sop_instance_uids=["1.2.3"])
        with pytest.raises(AnalysisError, match="No image was chosen"):
            draw_saliency(warehouse, bundle, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_commands_speak_to_people_and_machines(known_errors: Path, scored: Path, tmp_path: Path) -> None:
    runner = CliRunner()
    spoken = runner.invoke(app, ["model", "coverage", "demo", "-d", str(known_errors)])
    assert spoken.exit_code == 0
    assert "holds the age" in spoken.output
    told = runner.invoke(app, ["model", "coverage", "demo", "-d", str(known_errors), "--json"])
    levels = [one["level"] for one in json.loads(told.output)["coverage"]["all"]]
    assert levels == [0.5, 0.8, 0.9, 0.95]
    uid = _any_uid(scored)
    drawn = runner.invoke(
        app, ["model", "saliency", "demo", "-d", str(scored), "--out", str(tmp_path / "o"), "--image", uid]
    )
    assert drawn.exit_code == 0, drawn.output
    assert len(list((tmp_path / "o").glob("*.png"))) == 1


def _any_uid(path: Path) -> str:
    with open_warehouse(path) as warehouse:
        return str(_scores(warehouse)["sop_instance_uid"][0])


def _scores(warehouse: Warehouse) -> pl.DataFrame:
    return warehouse.table("scores").sort("sop_instance_uid")


def test_ages_of_the_tempered_distribution_stay_close(known_errors: Path, bundle: Bundle) -> None:
    with open_warehouse(known_errors) as warehouse:
        p = np.array(_scores(warehouse)["age_distribution"].to_list())
    assert np.abs(expectation(temper(p, 2.0), 40) - expectation(p, 40)).max() < 1.0

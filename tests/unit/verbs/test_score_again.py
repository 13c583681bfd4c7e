"""Scoring from archives, facts about pixels on the way, and files that were only touched."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import polars as pl
import pydicom
import pytest

from spinescore.core.phantom.dicom import dataset
from spinescore.core.phantom.person import draw_people
from spinescore.core.phantom.radiograph import render
from spinescore.ingest import IngestRequest, ingest
from spinescore.score import ScoreRequest, score
from spinescore.shell.bundles import Bundle, demo_bundle_path, load_bundle
from spinescore.shell.warehouse import open_warehouse


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return load_bundle(demo_bundle_path())


@pytest.fixture(scope="module")
def compiled_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("compiled")


@pytest.fixture(autouse=True)
def _one_home(compiled_once: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPINESCORE_HOME", str(compiled_once))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    for number, who in enumerate(draw_people(3, seed=5, cohort="derivation")):
        rendered = render(who, kind="radiograph", seed=5, height=300)
        dataset(rendered, who, seed=5).save_as(folder / f"{number}.dcm", enforce_file_format=True)
    return folder


def score_all(database: Path, source: Path, bundle: Bundle) -> pl.DataFrame:
    with open_warehouse(database, create=True) as warehouse:
        ingest(warehouse, IngestRequest([source], workers=1))
        score(warehouse, ScoreRequest(bundle, device="cpu", workers=1))
        return warehouse.table("scores").sort("sop_instance_uid")


def test_a_touched_file_keeps_its_score_and_a_changed_one_gets_another(
    source: Path, database: Path, bundle: Bundle
) -> None:
    first = score_all(database, source, bundle)
    os.utime(source / "0.dcm", ns=(7, 7))
    header = pydicom.dcmread(source / "1.dcm")
    if header.file_meta.TransferSyntaxUID.is_compressed:
        header.decompress(generate_instance_uid=False)
    header.PixelData = header.PixelData[::-1] if header.BitsAllocated == 8 else _flipped(header)
    header.save_as(source / "1.dcm")
    second = score_all(database, source, bundle)
    touched = pydicom.dcmread(source / "0.dcm", stop_before_pixels=True).SOPInstanceUID
    both = first.join(second, on="sop_instance_uid", suffix="_2").with_columns(
        same_run=pl.col("run_id") == pl.col("run_id_2"), same_age=pl.col("spine_age") == pl.col("spine_age_2")
    )
    rows = {row["sop_instance_uid"]: row for row in both.iter_rows(named=True)}
    assert rows[touched]["same_run"]
    assert rows[touched]["modified_ns_2"] == 7
    assert not rows[header.SOPInstanceUID]["same_run"]
    assert not rows[header.SOPInstanceUID]["same_age"]
    assert both["same_run"].sum() == 2


def _flipped(header: pydicom.Dataset) -> bytes:
    return bytes(header.pixel_array[::-1].tobytes())


def test_members_of_an_archive_are_scored_as_files_are(source: Path, tmp_path: Path, bundle: Bundle) -> None:
    archive = tmp_path / "all.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as members:
        for file in source.iterdir():
            members.write(file, f"deep/{file.name}")
    from_folder = score_all(tmp_path / "a.duckdb", source, bundle)
    from_archive = score_all(tmp_path / "b.duckdb", archive, bundle)
    columns = ["sop_instance_uid", "spine_age", "pixel_sha256", "input_sha256"]
    assert from_folder.select(columns).equals(from_archive.select(columns))


def test_scoring_leaves_facts_about_the_pixels(source: Path, database: Path, bundle: Bundle) -> None:
    header = pydicom.dcmread(source / "0.dcm")
    header.PatientID, header.SOPInstanceUID = "ANOTHER", "1.2.3"
    header.save_as(source / "leak.dcm")
    scores = score_all(database, source, bundle)
    with open_warehouse(database) as warehouse:
        facts = warehouse.table("pixel_facts")
        flagged = warehouse.table("files").filter(pl.col("flags").list.contains("pixels_seen_before"))
    assert set(facts["pixel_sha256"]) == set(scores["pixel_sha256"])
    assert facts["spine_likeness"].is_between(0, 1).all()
    assert {Path(path).name for path in flagged["path"]} == {"0.dcm", "leak.dcm"}


def test_each_score_knows_how_long_its_stages_took(source: Path, database: Path, bundle: Bundle) -> None:
    times = score_all(database, source, bundle).select("decode_s", "quality_s", "preprocess_s", "forward_s")
    assert times.null_count().row(0) == (0, 0, 0, 0)
    assert min(times.min().row(0)) > 0

"""What changes between two looks at an archive: gone, moved, swapped, touched, decided by other rules."""

from __future__ import annotations

import os
import random
import shutil
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import polars as pl
import pydicom
import pytest

from spinescore.core.phantom.dicom import dataset
from spinescore.core.phantom.person import draw_people
from spinescore.core.phantom.radiograph import render
from spinescore.ingest import IngestRequest, IngestSummary, ingest
from spinescore.shell.indexing.rules import read_rules
from spinescore.shell.warehouse import open_warehouse

SEED = 4711


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with images of four people: 0.dcm to 3.dcm."""
    folder = tmp_path_factory.mktemp("originals")
    for number, who in enumerate(draw_people(4, seed=SEED, cohort="derivation")):
        rendered = render(who, kind="radiograph", seed=SEED, height=320)
        dataset(rendered, who, seed=SEED).save_as(folder / f"{number}.dcm", enforce_file_format=True)
    return folder


@pytest.fixture
def source(originals: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(originals, tmp_path / "in"))


def look(database: Path, *sources: Path, workers: int = 1, **settings: Any) -> IngestSummary:
    with open_warehouse(database, create=True) as warehouse:
        return ingest(warehouse, IngestRequest(sources, workers=workers, **settings))


def files(database: Path) -> dict[str, tuple[str, str | None]]:
    with open_warehouse(database) as warehouse:
        table = warehouse.table("files")
    assert table["path_bytes"].is_unique().all()
    return {
        Path(path).name: (state, reason) for path, state, reason in table["path", "state", "reason"].rows()
    }


def images(database: Path) -> dict[str, str]:
    """Return where each indexed image is read from, by its subject."""
    with open_warehouse(database) as warehouse:
        table = warehouse.table("images")
    return {os.fsdecode(path): uid for path, uid in table["path_bytes", "sop_instance_uid"].rows()}


def save_with(path: Path, out: Path, **changes: object) -> Path:
    header = pydicom.dcmread(path)
    for keyword, value in changes.items():
        setattr(header, keyword, value)
    header.save_as(out)
    return out


def test_a_deleted_file_is_marked_and_its_image_kept(source: Path, database: Path) -> None:
    look(database, source)
    (source / "1.dcm").unlink()
    again = look(database, source)
    assert (again.n_read, again.n_gone) == (0, 1)
    assert files(database)["1.dcm"] == ("missing", "deleted")
    assert len(images(database)) == 4
    assert look(database, source).n_gone == 0


def test_a_file_that_comes_back_is_read_again(source: Path, originals: Path, database: Path) -> None:
    look(database, source)
    (source / "1.dcm").rename(source.parent / "aside.dcm")
    look(database, source)
    (source.parent / "aside.dcm").rename(source / "1.dcm")
    assert look(database, source).n_read == 1
    assert files(database)["1.dcm"] == ("indexed", None)


def test_only_what_lies_below_the_sources_can_be_gone(source: Path, database: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(source, tmp_path / "input-2"))
    for number in range(4):
        save_with(other / f"{number}.dcm", other / f"{number}.dcm", SOPInstanceUID=f"1.2.3.{number}")
    look(database, source, other)
    shutil.rmtree(other)
    assert look(database, source).n_gone == 0


def test_a_further_copy_takes_over_when_the_kept_file_goes(source: Path, database: Path) -> None:
    shutil.copy(source / "0.dcm", source / "z.dcm")
    look(database, source)
    assert files(database)["z.dcm"] == ("duplicate", "identical")
    (source / "0.dcm").unlink()
    look(database, source)
    assert files(database)["z.dcm"] == ("indexed", None)
    assert files(database)["0.dcm"][0] == "missing"
    assert os.fspath(source / "z.dcm") in images(database)
    assert len(images(database)) == 4


def test_a_further_copy_takes_over_when_the_kept_file_breaks(source: Path, database: Path) -> None:
    shutil.copy(source / "0.dcm", source / "z.dcm")
    look(database, source)
    (source / "0.dcm").write_bytes((source / "0.dcm").read_bytes()[:700])
    look(database, source)
    assert files(database)["0.dcm"] == ("rejected", "truncated")
    assert files(database)["z.dcm"] == ("indexed", None)
    assert len(images(database)) == 4


def test_two_files_that_swap_their_names_are_both_read(source: Path, database: Path) -> None:
    look(database, source)
    before = images(database)
    (source / "0.dcm").rename(source / "x")
    (source / "1.dcm").rename(source / "0.dcm")
    (source / "x").rename(source / "1.dcm")
    os.utime(source / "0.dcm", ns=(1, 1))
    os.utime(source / "1.dcm", ns=(2, 2))
    look(database, source)
    after = images(database)
    assert after[os.fspath(source / "0.dcm")] == before[os.fspath(source / "1.dcm")]
    assert after[os.fspath(source / "1.dcm")] == before[os.fspath(source / "0.dcm")]
    assert {state for state, _ in files(database).values()} == {"indexed"}


def test_the_table_does_not_depend_on_workers_or_on_the_order_of_sources(
    source: Path, database: Path, tmp_path: Path
) -> None:
    other = Path(shutil.copytree(source, tmp_path / "also"))
    save_with(source / "2.dcm", other / "2.dcm", PatientSex="O")
    tables = []
    for number, (sources, workers) in enumerate((((source, other), 1), ((other, source), 2))):
        place = tmp_path / f"{number}.duckdb"
        look(place, *sources, workers=workers)
        with open_warehouse(place) as warehouse:
            tables.append(warehouse.table("files").drop("run_id").sort("path_bytes"))
    assert tables[0].equals(tables[1])
    assert tables[0].filter(pl.col("state") == "duplicate").height == 4


def archive_of(folder: Path, path: Path) -> Path:
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for file in sorted(folder.iterdir()):
                archive.write(file, f"study/{file.name}")
    else:
        with tarfile.open(path, f"w:{path.suffix[1:] if path.suffix != '.tar' else ''}") as archive:
            for file in sorted(folder.iterdir()):
                archive.add(file, f"study/{file.name}")
    return path


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tar.gz"])
def test_an_archive_is_read_in_place_and_looked_into_again_when_it_changed(
    name: str, source: Path, database: Path, tmp_path: Path
) -> None:
    (tmp_path / "archives").mkdir()
    archive = archive_of(source, tmp_path / "archives" / name)
    look(database, tmp_path / "archives", check_pixels=True)
    assert files(database) == {
        name: ("excluded", "archive"),
        **{f"{number}.dcm": ("indexed", None) for number in range(4)},
    }
    assert look(database, tmp_path / "archives").n_read == 0
    (source / "3.dcm").unlink()
    archive_of(source, archive)
    os.utime(archive, ns=(5, 5))
    look(database, tmp_path / "archives")
    assert files(database)["3.dcm"] == ("missing", "deleted")
    with open_warehouse(database) as warehouse:
        facts = warehouse.table("pixel_facts")
    assert facts["pixel_sha256"].n_unique() == 4


def test_a_damaged_archive_is_named_and_what_it_still_holds_is_read(
    source: Path, database: Path, tmp_path: Path
) -> None:
    archive = archive_of(source, tmp_path / "a.tar")
    archive.write_bytes(archive.read_bytes()[: archive.stat().st_size // 2])
    look(database, archive)
    found = files(database)
    assert found["a.tar"] == ("rejected", "archive_damaged")
    assert found["0.dcm"] == ("indexed", None)


def test_a_list_of_paths_is_as_good_as_a_folder(source: Path, database: Path) -> None:
    named = [os.fsencode(source / f"{number}.dcm") for number in (2, 0)]
    look(database, listed=iter([*named, os.fsencode(source / "nowhere.dcm"), named[0]]))
    assert files(database) == {
        "2.dcm": ("indexed", None),
        "0.dcm": ("indexed", None),
        "nowhere.dcm": ("missing", "not_found"),
    }


def test_rules_of_ones_own_decide_anew_over_what_is_known(
    source: Path, database: Path, tmp_path: Path
) -> None:
    look(database, source)
    strict = tmp_path / "rules.toml"
    strict.write_text(
        '[[rule]]\nname = "not-this-year"\nwhen = { modality = "." }\nreason = "local_not_wanted"\n'
    )
    again = look(database, source, rules=read_rules(strict))
    assert again.n_read == 4
    assert set(files(database).values()) == {("excluded", "local_not_wanted")}
    assert images(database) == {}
    assert look(database, source, rules=read_rules(strict)).n_read == 0
    look(database, source)
    assert set(files(database).values()) == {("indexed", None)}


def test_every_decision_is_stored_with_its_rule_and_what_it_saw(source: Path, database: Path) -> None:
    save_with(source / "0.dcm", source / "ct.dcm", Modality="CT", SOPInstanceUID="1.2.9")
    look(database, source)
    with open_warehouse(database) as warehouse:
        table = warehouse.table("files").join(warehouse.table("rule_inputs"), on="input_id")
    assert table.height == 5
    assert table["rule"].null_count() == 0
    assert table.filter(pl.col("path").str.ends_with("ct.dcm"))["modality"].to_list() == ["CT"]


def test_the_same_pixels_under_another_subject_are_flagged_both_times(source: Path, database: Path) -> None:
    save_with(source / "0.dcm", source / "leak.dcm", PatientID="SOMEONE ELSE", SOPInstanceUID="1.2.77")
    look(database, source, check_pixels=True)
    assert flagged(database, "pixels_seen_before") == {"0.dcm", "leak.dcm"}
    (source / "leak.dcm").unlink()
    save_with(source / "1.dcm", source / "0.dcm")  # another image under the first one's name
    look(database, source, check_pixels=True)
    assert "0.dcm" not in flagged(database, "pixels_seen_before")


def test_a_study_of_two_patients_is_flagged(source: Path, database: Path) -> None:
    study = pydicom.dcmread(source / "0.dcm", stop_before_pixels=True).StudyInstanceUID
    save_with(source / "1.dcm", source / "1.dcm", StudyInstanceUID=study)
    look(database, source)
    assert flagged(database, "study_two_patients") == {"0.dcm", "1.dcm"}


def flagged(database: Path, flag: str) -> set[str]:
    with open_warehouse(database) as warehouse:
        rows = warehouse.table("files").filter(pl.col("flags").list.contains(flag))
    return {Path(path).name for path in rows["path"]}


def test_broken_pixels_leave_the_index_with_their_reason(source: Path, database: Path) -> None:
    header = pydicom.dcmread(source / "0.dcm")
    if header.file_meta.TransferSyntaxUID.is_compressed:
        header.decompress()
    header.PixelData = b"\7\0" * (len(header.PixelData) // 2)
    header.save_as(source / "0.dcm")
    look(database, source, check_pixels=True)
    assert files(database)["0.dcm"] == ("rejected", "constant_image")
    assert len(images(database)) == 3
    assert look(database, source, check_pixels=True).n_read == 0


def test_a_folder_that_cannot_be_listed_does_not_make_its_files_gone(source: Path, database: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root can list any folder")
    inner = source / "inner"
    inner.mkdir()
    (source / "3.dcm").rename(inner / "3.dcm")
    look(database, source)
    inner.chmod(0)
    try:
        look(database, source)
        assert files(database)["3.dcm"] == ("indexed", None)
        assert files(database)["inner"] == ("rejected", "permission")
    finally:
        inner.chmod(0o700)


def test_random_histories_end_as_a_fresh_look_would(source: Path, tmp_path: Path) -> None:
    """After any sequence of changes, the states below the source equal those of a new database."""
    rng = random.Random(7)
    database = tmp_path / "old.duckdb"
    pool = [path.read_bytes() for path in sorted(source.iterdir())]
    for step in range(8):
        for number in rng.sample(range(6), 3):
            path = source / f"{number}.dcm"
            match rng.choice(["remove", "write", "cut"]):
                case "remove":
                    path.unlink(missing_ok=True)
                case "write":
                    path.write_bytes(rng.choice(pool))
                case "cut":
                    path.write_bytes(rng.choice(pool)[:900])
        (source / "notes.txt").write_text(f"step {step}")
        look(database, source)
        fresh = tmp_path / f"{step}.duckdb"
        look(fresh, source)
        known = {name: row for name, row in files(database).items() if row[0] != "missing"}
        assert {name: row[0] for name, row in known.items() if row[0] not in ("indexed", "duplicate")} == {
            name: row[0] for name, row in files(fresh).items() if row[0] not in ("indexed", "duplicate")
        }
        present = {uid for path, uid in images(database).items() if Path(path).exists()}
        assert present == set(images(fresh).values())

"""Every path seen ends in one state with a reason, and a second look costs nothing."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pydicom
import pytest

from spinescore.core.phantom.dicom import dataset
from spinescore.core.phantom.person import Person, draw_people
from spinescore.core.phantom.radiograph import render
from spinescore.domain import Kind
from spinescore.errors import DatabaseError, SourceError
from spinescore.ingest import IngestRequest, ingest
from spinescore.shell.warehouse import Warehouse, open_warehouse

SEED = 4711
SMALL_ROWS = 320


def person(number: int = 0) -> Person:
    return draw_people(number + 1, seed=SEED, cohort="derivation")[number]


def write(path: Path, who: Person, kind: Kind = "radiograph") -> Path:
    rendered = render(who, kind=kind, seed=SEED, height=SMALL_ROWS)
    dataset(rendered, who, seed=SEED).save_as(path, enforce_file_format=True)
    return path


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("archive")
    for number in range(6):
        write(folder / f"{number}.dcm", person(number))
        write(folder / f"v{number}.dcm", person(number), "vfa")
    return folder


def states(warehouse: Warehouse) -> dict[str, tuple[str, str | None]]:
    rows = warehouse.table("files").select("path", "state", "reason").iter_rows()
    return {Path(path).name: (state, reason) for path, state, reason in rows}


def test_phantoms_of_both_kinds_are_indexed_with_age_and_sex(archive: Path, database: Path) -> None:
    with open_warehouse(database, create=True) as warehouse:
        ingest(warehouse, IngestRequest([archive]))
        images = warehouse.table("images").sort("kind")
    assert images["kind"].value_counts().sort("kind").rows() == [("radiograph", 6), ("vfa", 6)]
    assert set(images["age_years"].round(6)) == {round(person(n).age_years, 6) for n in range(6)}
    assert set(images["sex"]) <= {"F", "M"}
    assert images["synthetic"].all()


def test_patient_ids_are_pseudonyms_unless_asked_otherwise(archive: Path, tmp_path: Path) -> None:
    with open_warehouse(tmp_path / "a.duckdb", create=True) as warehouse:
        ingest(warehouse, IngestRequest([archive]))
        assert not any(s.startswith("DER") for s in warehouse.table("images")["subject_id"])
        with pytest.raises(DatabaseError, match="holds pseudonyms"):
            ingest(warehouse, IngestRequest([archive], keep_identifiers=True))
    with open_warehouse(tmp_path / "b.duckdb", create=True) as warehouse:
        ingest(warehouse, IngestRequest([archive], keep_identifiers=True))
        assert all(s.startswith("DER") for s in warehouse.table("images")["subject_id"])


def test_another_key_is_an_error_and_never_a_new_key(
    archive: Path, database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_warehouse(database, create=True) as warehouse:
        ingest(warehouse, IngestRequest([archive]))
    monkeypatch.setenv("SPINESCORE_HOME", str(tmp_path / "elsewhere"))
    with open_warehouse(database) as warehouse, pytest.raises(DatabaseError, match="pseudonym key"):
        ingest(warehouse, IngestRequest([archive]))
    assert not (tmp_path / "elsewhere" / "pseudonym.key").exists()


def test_the_key_and_the_database_are_private(archive: Path, database: Path) -> None:
    with open_warehouse(database, create=True) as warehouse:
        ingest(warehouse, IngestRequest([archive]))
    key = Path(os.environ["SPINESCORE_HOME"]) / "pseudonym.key"
    assert key.stat().st_mode & 0o777 == 0o600
    assert database.stat().st_mode & 0o077 == 0


def test_a_second_run_reads_nothing_and_a_changed_file_is_read_again(tmp_path: Path, database: Path) -> None:
    file = write(tmp_path / "a.dcm", person())
    with open_warehouse(database, create=True) as warehouse:
        assert ingest(warehouse, IngestRequest([tmp_path / "a.dcm"])).n_read == 1
        assert ingest(warehouse, IngestRequest([tmp_path / "a.dcm"])).n_read == 0
        changed = pydicom.dcmread(file)
        changed.PatientSex = "M" if person().sex == "F" else "F"
        changed.save_as(file)
        assert ingest(warehouse, IngestRequest([file])).n_read == 1
        images = warehouse.table("images")
    assert images["sex"].to_list() == [changed.PatientSex]


def test_each_way_to_be_left_out_has_its_name(tmp_path: Path, database: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    good = write(folder / "a.dcm", person())
    shutil.copy(good, folder / "copy.dcm")
    header = pydicom.dcmread(good)
    header.PatientSex = "O"
    header.save_as(folder / "header.dcm")
    (folder / "notes.txt").write_text("not DICOM")
    (folder / "empty.dcm").touch()
    native = next(n for n in range(40) if person_is_native(n, tmp_path))
    whole = write(tmp_path / "whole.dcm", person(native)).read_bytes()
    (folder / "short.dcm").write_bytes(whole[: len(whole) * 2 // 3])
    (folder / "gone.dcm").symlink_to(folder / "nowhere")
    frontal = pydicom.dcmread(write(tmp_path / "f.dcm", person(1)))
    frontal.ViewPosition, frontal.PatientOrientation = "AP", ["L", "F"]
    if "ViewCodeSequence" in frontal:
        del frontal.ViewCodeSequence
    frontal.SeriesDescription = frontal.StudyDescription = frontal.ProtocolName = "spine"
    frontal.save_as(folder / "frontal.dcm")
    with open_warehouse(database, create=True) as warehouse:
        summary = ingest(warehouse, IngestRequest([folder]))
        found = states(warehouse)
    assert found == {
        "a.dcm": ("indexed", None),
        "copy.dcm": ("duplicate", "identical"),
        "header.dcm": ("duplicate", "header_differs"),
        "notes.txt": ("excluded", "not_dicom"),
        "empty.dcm": ("rejected", "empty"),
        "short.dcm": ("rejected", "truncated"),
        "gone.dcm": ("excluded", "symlink_dangling"),
        "frontal.dcm": ("excluded", "view_not_lateral"),
    }
    assert summary.states["n"].sum() == len(found)
    assert summary.has_rejects


def person_is_native(number: int, folder: Path) -> bool:
    path = write(folder / "probe.dcm", person(number))
    return not pydicom.dcmread(path, stop_before_pixels=True).file_meta.TransferSyntaxUID.is_compressed


@pytest.mark.parametrize("name", [b"caf\xe9.dcm", "척추.dcm".encode(), b"line\nbreak.dcm"])
def test_names_in_any_encoding_are_kept(name: bytes, tmp_path: Path, database: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    file = write(tmp_path / "a.dcm", person())
    os.rename(os.fsencode(file), os.path.join(os.fsencode(folder), name))
    with open_warehouse(database, create=True) as warehouse:
        ingest(warehouse, IngestRequest([folder]))
        files = warehouse.table("files")
    assert files["state"].to_list() == ["indexed"]
    assert files["path_bytes"][0].endswith(name)


def test_a_moved_archive_keeps_its_images_and_their_scores_key(tmp_path: Path, database: Path) -> None:
    (tmp_path / "old").mkdir()
    write(tmp_path / "old" / "a.dcm", person())
    with open_warehouse(database, create=True) as warehouse:
        ingest(warehouse, IngestRequest([tmp_path / "old"]))
        (tmp_path / "old").rename(tmp_path / "new")
        ingest(warehouse, IngestRequest([tmp_path / "new"]))
        images, files = warehouse.table("images"), warehouse.table("files")
    assert images["path_bytes"].to_list() == [os.fsencode(tmp_path / "new" / "a.dcm")]
    assert set(files.select("path", "state", "reason").rows()) == {
        (str(tmp_path / "old" / "a.dcm"), "missing", "moved"),
        (str(tmp_path / "new" / "a.dcm"), "indexed", None),
    }


def test_a_missing_source_stops_before_anything_is_read(
    archive: Path, database: Path, tmp_path: Path
) -> None:
    with open_warehouse(database, create=True) as warehouse:
        with pytest.raises(SourceError, match="No file or folder"):
            ingest(warehouse, IngestRequest([archive, tmp_path / "typo"]))
        assert warehouse.table("files").is_empty()


def test_an_empty_folder_says_so(database: Path, tmp_path: Path) -> None:
    (tmp_path / "void").mkdir()
    with (
        open_warehouse(database, create=True) as warehouse,
        pytest.raises(SourceError, match="no file under"),
    ):
        ingest(warehouse, IngestRequest([tmp_path / "void"]))

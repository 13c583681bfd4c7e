"""Copies carry nothing that identifies, the pixels that were meant, and go where nothing is lost."""

from __future__ import annotations

import csv
import errno
import os
import re
import shutil
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import polars as pl
import pydicom
import pytest

from spinescore.core.deidentification.replacement import Replacements
from spinescore.errors import DatabaseError, ExportError
from spinescore.ingest import IngestRequest, ingest
from spinescore.shell.copies import deidentified_files
from spinescore.shell.copies.copy_manifest import MANIFEST
from spinescore.shell.copies.deidentified_copies import (
    ExportRequest,
    ExportSummary,
    export_deidentified,
)
from spinescore.shell.copies.deidentified_files import make_copy, write_once
from spinescore.shell.warehouse import Warehouse, open_warehouse
from tests.unit.shell.deidentified_cases import (
    how,
    item,
    rules_with,
    write_phantom,
)

UNKNOWN_TO_VALIDATOR = "not a recognized standard attribute - (0x0008,0x001c)"
PHANTOM_MARK = """
[[blank]]
name = "phantom-mark"
when = { study_description = '.' }
regions = [[0.0, 0.9, 0.5, 0.1]]
"""


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("archive")
    for number in range(10):
        write_phantom(folder / f"r{number}.dcm", number)
        write_phantom(folder / f"v{number}.dcm", number, "vfa")
    return folder


def export(database: Path, sources: list[Path], folder: Path, **options: Any) -> ExportSummary:
    with open_warehouse(database, create=True) as warehouse:
        ingest(warehouse, IngestRequest(sources))
        return export_deidentified(warehouse, ExportRequest(folder, **{"workers": 1} | options))


def manifest(folder: Path) -> pl.DataFrame:
    with (folder / MANIFEST).open(encoding="utf-8", newline="") as handle:
        return pl.DataFrame(list(csv.DictReader(handle)))


# --- the copies of whole cohorts


def test_copies_of_both_kinds_are_indexed_again_with_kind_age_and_sex(archive: Path, tmp_path: Path) -> None:
    """The age of a copy is in completed years: within a year of the original's, and 90 from 90 on."""
    summary = export(tmp_path / "a.duckdb", [archive], tmp_path / "out", workers=2)
    assert (summary.n_images, summary.n_written, summary.n_refused) == (20, 20, 0)
    assert set(manifest(tmp_path / "out")["eligible_as"]) == {"radiograph", "vfa"}
    with open_warehouse(tmp_path / "a.duckdb") as warehouse:
        replacements = Replacements(
            bytes.fromhex((Path(os.environ["SPINESCORE_HOME"]) / "pseudonym.key").read_text())
        )
        before = {
            replacements.uid(row["sop_instance_uid"]): row for row in warehouse.table("images").to_dicts()
        }
    with open_warehouse(tmp_path / "b.duckdb", create=True) as warehouse:
        ingest(warehouse, IngestRequest([tmp_path / "out"]))
        after = {row["sop_instance_uid"]: row for row in warehouse.table("images").to_dicts()}
    assert set(after) == set(before)
    for uid, copy in after.items():
        original = before[uid]
        assert (copy["kind"], copy["sex"]) == (original["kind"], original["sex"])
        assert copy["age_years"] == min(int(original["age_years"]), 90)
        assert (copy["spacing_mm"], copy["rows"]) == (original["spacing_mm"], original["rows"])
        assert (copy["transfer_syntax"], copy["photometric"]) == (
            original["transfer_syntax"],
            original["photometric"],
        )


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dicom3tools is not installed")
def test_dciodvfy_finds_no_error_in_a_copy(archive: Path, tmp_path: Path) -> None:
    export(tmp_path / "a.duckdb", [archive], tmp_path / "out")
    seen = set()
    for path in (tmp_path / "out").rglob("*.dcm"):
        done = subprocess.run(["dciodvfy", path], capture_output=True, text=True, check=False)
        said = (done.stdout + done.stderr).splitlines()
        assert [line for line in said if "Error" in line and UNKNOWN_TO_VALIDATOR not in line] == []
        seen.update(name for line in said for name in ("CRImage", "DXImage", "SCImage") if name in line)
    assert seen == {"CRImage", "DXImage", "SCImage"}


def test_no_value_that_names_a_phantom_is_in_any_copy_or_the_manifest(archive: Path, tmp_path: Path) -> None:
    export(tmp_path / "a.duckdb", [archive], tmp_path / "out")
    names = set()
    for path in archive.iterdir():
        image = pydicom.dcmread(path)
        names |= {str(image[k].value).encode() for k in IDENTIFYING if k in image and image[k].value}
    assert len(names) > 60
    for path in [*(tmp_path / "out").rglob("*.dcm"), tmp_path / "out" / MANIFEST]:
        content = path.read_bytes()
        assert [name for name in names if name in content] == []


IDENTIFYING = (
    "PatientID",
    "PatientName",
    "AccessionNumber",
    "SOPInstanceUID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "InstitutionName",
    "ImageComments",
)


def test_files_of_a_study_stay_together_and_keep_their_intervals(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    days = ["20120101", "20120101", "20150610", "20200229"]
    for number, day in enumerate(days):
        study = "1.2.7" if number < 2 else f"1.2.{number}"
        write_phantom(
            folder / f"{number}.dcm",
            0,
            SOPInstanceUID=f"1.3.{number}",
            StudyInstanceUID=study,
            StudyDate=day,
            FrameOfReferenceUID="1.4.1",
        )
    export(tmp_path / "a.duckdb", [folder], tmp_path / "out")
    images = sorted(
        (pydicom.dcmread(p) for p in (tmp_path / "out").rglob("*.dcm")), key=lambda d: d.StudyDate
    )
    assert len({image.StudyInstanceUID for image in images}) == 3
    assert len({image.FrameOfReferenceUID for image in images}) == 1
    assert images[0].StudyInstanceUID == images[1].StudyInstanceUID
    shifted = pl.Series([image.StudyDate for image in images]).str.to_date("%Y%m%d")
    original = pl.Series(days).str.to_date("%Y%m%d")
    assert (original - shifted).n_unique() == 1
    assert (original - shifted)[0].days >= 1


def test_databases_under_one_key_give_equal_copies(archive: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        export(tmp_path / f"{name}.duckdb", [archive], tmp_path / name)
    files = [
        {p.relative_to(tmp_path / n): p.read_bytes() for p in (tmp_path / n).rglob("*.dcm")} for n in "ab"
    ]
    assert files[0] == files[1]


def test_dates_are_kept_when_asked_and_never_mixed(archive: Path, tmp_path: Path) -> None:
    export(tmp_path / "a.duckdb", [archive], tmp_path / "out", dates="keep")
    kept = {pydicom.dcmread(path).StudyDate for path in (tmp_path / "out").rglob("*.dcm")}
    assert kept == {pydicom.dcmread(path).StudyDate for path in archive.iterdir()}
    with pytest.raises(ExportError, match="dates of the other kind"):
        export(tmp_path / "a.duckdb", [archive], tmp_path / "out", dates="shift")


def test_the_layout_is_subject_study_image_and_private(archive: Path, tmp_path: Path) -> None:
    export(tmp_path / "a.duckdb", [archive], tmp_path / "out")
    for path in (tmp_path / "out").rglob("*"):
        assert path.lstat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600)
    for path in (tmp_path / "out").rglob("*.dcm"):
        subject, study, name = path.relative_to(tmp_path / "out").parts
        image = pydicom.dcmread(path)
        assert (subject, study, name) == (
            image.PatientID,
            image.StudyInstanceUID,
            f"{image.SOPInstanceUID}.dcm",
        )
        assert re.fullmatch(r"[0-9a-f]{32}", subject)


def test_a_second_run_does_only_what_is_new(archive: Path, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    shutil.copytree(archive, folder)
    export(tmp_path / "a.duckdb", [folder], tmp_path / "out")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.dcm")}
    listed = manifest(tmp_path / "out")
    again = export(tmp_path / "a.duckdb", [folder], tmp_path / "out")
    assert (again.n_written, again.n_unchanged) == (0, 20)
    assert manifest(tmp_path / "out").equals(listed)
    write_phantom(folder / "new.dcm", 10)
    victim = next(iter(before))
    victim.unlink()
    more = export(tmp_path / "a.duckdb", [folder], tmp_path / "out")
    assert (more.n_written, more.n_unchanged) == (2, 19)
    assert all(path.stat().st_mtime_ns == when for path, when in before.items() if path != victim)


def test_without_its_row_an_equal_copy_is_recognised_and_another_file_is_never_overwritten(
    archive: Path, tmp_path: Path
) -> None:
    export(tmp_path / "a.duckdb", [archive], tmp_path / "out")
    other, *_ = (tmp_path / "out").rglob("*.dcm")
    other.write_bytes(b"something else")
    header, *_ = (tmp_path / "out" / MANIFEST).read_text().splitlines(keepends=True)
    (tmp_path / "out" / MANIFEST).write_text(header)
    again = export(tmp_path / "a.duckdb", [archive], tmp_path / "out")
    assert (again.n_unchanged, again.n_refused) == (19, 1)
    assert again.refusals.rows() == [("target_differs", 1)]
    assert other.read_bytes() == b"something else"


def test_members_of_an_archive_are_copied(archive: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as packed:
        packed.write(archive / "r0.dcm", "deep/r0.dcm")
    assert export(tmp_path / "a.duckdb", [tmp_path / "in.zip"], tmp_path / "out").n_written == 1


def test_every_refusal_is_counted_and_listed_with_its_reason(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    write_phantom(folder / "good.dcm", 0)
    write_phantom(folder / "nobody.dcm", 1, PatientID="")
    write_phantom(folder / "text.dcm", 2, BurnedInAnnotation="YES")
    changed, gone = write_phantom(folder / "changed.dcm", 3), write_phantom(folder / "gone.dcm", 4)
    with open_warehouse(tmp_path / "a.duckdb", create=True) as warehouse:
        ingest(warehouse, IngestRequest([folder]))
        changed.write_bytes(b"no longer DICOM")
        gone.unlink()
        seen: list[tuple[int, int]] = []
        summary = export_deidentified(
            warehouse, ExportRequest(tmp_path / "out"), progress=lambda *step: seen.append(step)
        )
        runs = warehouse.table("runs")
    reasons = {"patientid_missing": 1, "burned_in": 1, "changed": 1, "missing": 1}
    assert dict(summary.refusals.rows()) == reasons
    listed = manifest(tmp_path / "out")
    assert dict(listed.filter(pl.col("state") == "refused")["reason"].value_counts().rows()) == reasons
    assert sum(n for n, _ in seen) == summary.n_images == 5
    assert runs.sort("run_id")["command"].to_list() == ["ingest", "export-deidentified"]
    assert len(list((tmp_path / "out").rglob("*.dcm"))) == 1


def test_a_database_of_verbatim_ids_is_refused_with_the_way_out(archive: Path, tmp_path: Path) -> None:
    with open_warehouse(tmp_path / "a.duckdb", create=True) as warehouse:
        ingest(warehouse, IngestRequest([archive], keep_identifiers=True))
        with pytest.raises(DatabaseError, match="without --keep-identifiers"):
            export_deidentified(warehouse, ExportRequest(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


# --- where copies cannot go


@pytest.fixture
def indexed(archive: Path, tmp_path: Path) -> Any:
    with open_warehouse(tmp_path / "a.duckdb", create=True) as warehouse:
        ingest(warehouse, IngestRequest([archive]))
        yield warehouse


@pytest.mark.parametrize("content", ["other", "manifest"])
def test_a_foreign_folder_is_left_alone(indexed: Warehouse, tmp_path: Path, content: str) -> None:
    (tmp_path / "out").mkdir()
    name = MANIFEST if content == "manifest" else "thesis.doc"
    (tmp_path / "out" / name).write_text("mine,not yours\n")
    with pytest.raises(ExportError, match="empty or a new folder"):
        export_deidentified(indexed, ExportRequest(tmp_path / "out"))
    assert [path.name for path in (tmp_path / "out").iterdir()] == [name]
    assert (tmp_path / "out" / name).read_text() == "mine,not yours\n"


def test_a_file_where_the_folder_should_be_is_an_error(indexed: Warehouse, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    with pytest.raises(ExportError, match="no folder"):
        export_deidentified(indexed, ExportRequest(tmp_path / "out"))


def test_a_folder_within_a_source_is_refused(indexed: Warehouse, archive: Path) -> None:
    with pytest.raises(ExportError, match="would be indexed"):
        export_deidentified(indexed, ExportRequest(archive / "out"))
    assert not (archive / "out").exists()


def test_a_folder_that_takes_no_file_is_an_error_that_says_why(indexed: Warehouse) -> None:
    with pytest.raises(ExportError, match="cannot be written"):
        export_deidentified(indexed, ExportRequest(Path("/proc/copies")))


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes anywhere")
def test_a_read_only_folder_is_an_error(indexed: Warehouse, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir(mode=0o500)
    with pytest.raises(ExportError, match="Permission denied"):
        export_deidentified(indexed, ExportRequest(tmp_path / "out"))


def test_a_full_disk_stops_the_export_and_leaves_no_half_file(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """/dev/full is what the kernel has for this; the file that is being written goes there."""
    settings, wanted = how(tmp_path / "out"), item(archive / "r0.dcm")
    (tmp_path / "out").mkdir()
    opened = os.open

    def open_full(path: Any, flags: int, mode: int = 0o777) -> int:
        made = opened(path, flags, mode)
        if not str(path).endswith(".partial"):
            return made
        os.close(made)
        return opened("/dev/full", os.O_WRONLY)

    monkeypatch.setattr(deidentified_files.os, "open", open_full)
    outcome = make_copy(wanted, settings=settings)
    monkeypatch.undo()
    assert (outcome.state, outcome.reason) == ("stopped", os.strerror(errno.ENOSPC))
    assert [path for path in (tmp_path / "out").rglob("*") if path.is_file()] == []


def test_a_link_in_place_of_a_subjects_folder_is_not_followed(indexed: Warehouse, tmp_path: Path) -> None:
    export_deidentified(indexed, ExportRequest(tmp_path / "out"))
    subject = next(path for path in (tmp_path / "out").iterdir() if path.is_dir())
    shutil.rmtree(subject)
    (tmp_path / "elsewhere").mkdir()
    subject.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ExportError, match="Something else is where a folder belongs"):
        export_deidentified(indexed, ExportRequest(tmp_path / "out"))
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_what_a_killed_run_left_half_written_is_replaced(tmp_path: Path) -> None:
    target = tmp_path / "a" / "b.dcm"
    target.parent.mkdir()
    (target.parent / ".b.dcm.partial").write_bytes(b"half")
    assert write_once(target, b"whole", below=tmp_path) == "written"
    assert [path.name for path in target.parent.iterdir()] == ["b.dcm"]
    assert target.read_bytes() == b"whole"


def test_phantoms_as_they_are_made_say_burned_in_and_are_blanked_by_a_rule(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    write_phantom(folder / "r.dcm", 0, BurnedInAnnotation="YES")
    write_phantom(folder / "v.dcm", 0, "vfa", BurnedInAnnotation="YES")
    refused = export(tmp_path / "a.duckdb", [folder], tmp_path / "one")
    assert refused.refusals.rows() == [("burned_in", 2)]
    rules = rules_with(tmp_path, PHANTOM_MARK)
    blanked = export(tmp_path / "a.duckdb", [folder], tmp_path / "two", rules=rules, burned_in="blank")
    assert (blanked.n_written, blanked.n_refused) == (2, 0)
    assert manifest(tmp_path / "two")["pixels"].to_list() == ["blanked", "blanked"]

"""Bad input: one clear line with the next step, the documented exit status, and nothing lost."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pydicom
import pytest

from tests.reliability.conftest import Demo, Offline
from tests.reliability.test_demo import leave_out_pdfs

N_RADIOGRAPHS, N_VFA = 150, 120  # of the demo's 180 and 120: at 30%, once in a million too few to correct by


@pytest.fixture
def copy(demo: Demo, tmp_path: Path) -> Path:
    """A copy of the demo that a test may break."""
    folder = tmp_path / "demo"
    shutil.copytree(demo.folder, folder)
    return folder


def first_line(text: str) -> str:
    return next(line for line in text.splitlines() if line.strip())


def assert_one_clear_error(result_stderr: str, *words: str) -> None:
    assert first_line(result_stderr).startswith("error: ")
    assert "Traceback" not in result_stderr
    for word in words:
        assert word in result_stderr


def test_a_missing_folder(offline: Offline, tmp_path: Path) -> None:
    result = offline.run("ingest", str(tmp_path / "typo"), "-d", str(tmp_path / "a.duckdb"), status=1)
    assert_one_clear_error(result.stderr, "No file or folder at", "share mounted")


def test_an_empty_folder(offline: Offline, tmp_path: Path) -> None:
    (tmp_path / "void").mkdir()
    result = offline.run("ingest", str(tmp_path / "void"), "-d", str(tmp_path / "a.duckdb"), status=1)
    assert_one_clear_error(result.stderr, "no file under")


def test_a_folder_of_text_files_is_indexed_as_such(offline: Offline, tmp_path: Path) -> None:
    folder = tmp_path / "texts"
    folder.mkdir()
    for number in range(3):
        (folder / f"{number}.txt").write_text("hello")
    result = offline.run("ingest", str(folder), "-d", str(tmp_path / "a.duckdb"))
    assert "not_dicom" in result.stdout
    assert "No lateral spine image is among these files." in result.stdout
    assert "--list excluded" in result.stdout


def test_a_corrupt_file_is_one_row_and_the_others_are_scored(demo: Demo, copy: Path) -> None:
    files = sorted((copy / "dicom" / "radiograph").glob("*.dcm"))
    for file in files[N_RADIOGRAPHS:]:
        file.unlink()
    files = files[:N_RADIOGRAPHS]
    native = next(file for file in files if not is_compressed(file))
    compressed = next(file for file in files if is_compressed(file))
    identifier = pydicom.dcmread(native, stop_before_pixels=True).PatientID
    native.write_bytes(native.read_bytes()[: native.stat().st_size // 2])
    content = bytearray(compressed.read_bytes())
    content[-len(content) // 2 :] = b"\xa5" * (len(content) // 2)
    compressed.write_bytes(content)
    (copy / "cohort.duckdb").unlink()
    leave_out_pdfs(copy / "study.toml")
    result = demo.offline.run("run", str(copy / "study.toml"), "--json", status=3)
    summary = json.loads(result.stdout)
    scored = next(s for s in summary["stages"] if s["stage"] == "score")
    assert scored["counts"]["failed"] == 0  # both are found out by their headers
    assert scored["counts"]["scored_total"] == N_RADIOGRAPHS + N_VFA - 2
    listed = demo.offline.run(
        "ingest",
        str(copy / "dicom"),
        "-d",
        str(copy / "cohort.duckdb"),
        "--list",
        "rejected",
        "--json",
        status=3,
    )
    found = {Path(row["path"]).name: row["reason"] for row in json.loads(listed.stdout)["listed"]}
    assert found.keys() == {native.name, compressed.name}
    assert found[native.name] == "truncated"
    assert identifier not in result.stdout


def is_compressed(file: Path) -> bool:
    return bool(pydicom.dcmread(file, stop_before_pixels=True).file_meta.TransferSyntaxUID.is_compressed)


def test_a_bundle_with_a_flipped_byte(demo: Demo, tmp_path: Path) -> None:
    from spinescore.shell.bundles import demo_bundle_path

    bundle = tmp_path / "bundle"
    shutil.copytree(demo_bundle_path(), bundle)
    weights = bytearray((bundle / "weights.safetensors").read_bytes())
    weights[len(weights) // 2] ^= 1
    (bundle / "weights.safetensors").write_bytes(weights)
    result = demo.offline.run(
        "score", "-d", str(demo.folder / "cohort.duckdb"), "--model", str(bundle), status=1
    )
    assert_one_clear_error(result.stderr, "weights.safetensors")


def test_demo_weights_refuse_anything_but_phantoms_unless_forced(demo: Demo, tmp_path: Path) -> None:
    image = next((demo.folder / "dicom" / "radiograph").glob("*.dcm"))
    real = pydicom.dcmread(image)
    del real.SyntheticData
    real.save_as(tmp_path / "real.dcm")
    database = str(tmp_path / "a.duckdb")
    demo.offline.run("ingest", str(tmp_path / "real.dcm"), "-d", database)
    result = demo.offline.run("score", "-d", database, status=1)
    assert_one_clear_error(result.stderr, "demonstration only", "--force-demo-on-real-images")
    forced = demo.offline.run("score", "-d", database, "--force-demo-on-real-images", "--json")
    assert json.loads(forced.stdout)["new"] == 1


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('pad_groups = "tertiles"', 'pad_gruops = "tertiles"', ("pad_gruops", "did you mean `pad_groups`")),
        ('id = "subject_id"', 'id = "subjectid"', ("no column `subjectid`", "did you mean `subject_id`")),
        ('bundle = "demo" ', 'bundle = "nowhere" ', ("nowhere",)),
        ("and age_years >= 65", "and agee >= 65", ("cohorts.External VFA", "agee")),
        ("kind = 'vfa' and split = 'reference'", "kind = 'vfa'", ("also in `VFA reference`", "disjoint")),
    ],
)
def test_a_study_file_that_is_wrong(
    old: str, new: str, words: tuple[str, ...], demo: Demo, copy: Path
) -> None:
    study = copy / "study.toml"
    text = study.read_text()
    assert old in text
    study.write_text(text.replace(old, new))
    report = (copy / "report" / "report.html").read_bytes()
    result = demo.offline.run("run", str(study), status=1)
    assert_one_clear_error(result.stderr, *words)
    assert (copy / "report" / "report.html").read_bytes() == report


def test_event_codes_one_and_two(demo: Demo, copy: Path) -> None:
    table = copy / "follow-up.csv"
    lines = table.read_text().splitlines()
    column = lines[0].split(",").index("death")
    rows = [line.split(",") for line in lines[1:]]
    for row in rows:
        row[column] = str(int(row[column]) + 1)
    table.write_text("\n".join([lines[0], *(",".join(row) for row in rows)]))
    result = demo.offline.run("report", str(copy / "study.toml"), status=1)
    assert_one_clear_error(result.stderr, "endpoints.death", "codes =")


def test_a_usage_error_has_status_two(offline: Offline) -> None:
    assert offline.run("ingest", "--nonsense", status=2).stderr


def test_help_is_light(offline: Offline) -> None:
    code = (
        "import sys; sys.argv = ['spinescore', '--help']\n"
        "from spinescore.cli import app\n"
        "app(standalone_mode=False)\n"
        "heavy = 'torch monai openvino ray weasyprint altair duckdb pandas numba polars'.split()\n"
        "print('heavy:', [m for m in heavy if m in sys.modules])"
    )
    import subprocess
    import sys

    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "heavy: []" in shown.stdout

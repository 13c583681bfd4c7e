"""A disk that fills, rights that are revoked and a clock that jumps while a run is under way."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import duckdb
import polars as pl
import pytest

from tests.reliability.test_demo import leave_out_pdfs

IMAGES = ("--radiographs", "100", "--vfa", "100")
N_IMAGES, N_VFA = 200, 100
FAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1")
WITHOUT_ROOTS_RIGHTS = ("setpriv", "--bounding-set=-dac_override,-dac_read_search")
# Commits often and tells of it; before the report it turns the clock back.
RUN = """
from pathlib import Path
import spinescore.run as run
import spinescore.score as score
from spinescore.cli import main
commit, render, here = score._commit, run.render_report, Path(__file__).parent
def commit_and_tell(*arguments):
    commit(*arguments)
    (here / "committed").touch()
    (here / "clock").write_text("+1d")
def render_the_day_before(*arguments, **options):
    (here / "clock").write_text("-1d")
    return render(*arguments, **options)
if __name__ == "__main__":
    score.COMMIT_IMAGES, score._commit, run.render_report = 8, commit_and_tell, render_the_day_before
    main()
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished demo without PDFs."""
    folder = tmp_path_factory.mktemp("made") / "demo"
    spinescore("demo", "--out", folder, *IMAGES)
    leave_out_pdfs(folder / "study.toml")
    spinescore("report", folder / "study.toml")
    return folder


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 48 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", folder], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting a small file system needs root")
    yield folder
    subprocess.run(["umount", folder], check=True)


def spinescore(*arguments: str | Path, status: int = 0, before: tuple[str, ...] = ()) -> str:
    command = [*before, sys.executable, "-m", "spinescore", *map(str, arguments)]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert ended.returncode == status, ended.stderr
    return ended.stdout if status in (0, 3) else ended.stderr


def script(folder: Path) -> Path:
    path = folder / "run.py"
    path.write_text(RUN)
    return path


def count_scores(database: Path) -> int:
    with duckdb.connect(str(database), read_only=True) as connection:
        ((n, distinct),) = connection.execute(
            "select count(*), count(distinct sop_instance_uid) from scores"
        ).fetchall()
    assert n == distinct
    return int(n)


def fill(disk: Path, leaving_bytes: int) -> Path:
    path = disk / "fill"
    free = shutil.disk_usage(disk).free
    with path.open("wb") as stream:
        os.posix_fallocate(stream.fileno(), 0, free - leaving_bytes)
    return path


@pytest.mark.parametrize("leaving_bytes", [4_096, 30_000, 60_000, 120_000])
def test_a_disk_that_fills_while_scores_are_committed(made: Path, disk: Path, leaving_bytes: int) -> None:
    database = disk / "a.duckdb"
    spinescore("ingest", made / "dicom", "-d", database, "--keep-identifiers", "-q")
    run = script(disk)
    filled = fill(disk, leaving_bytes)
    ended = subprocess.run(
        [sys.executable, run, "score", "-d", database], capture_output=True, text=True, timeout=300
    )
    assert ended.returncode == 1
    assert "No space left on device. What was committed is kept." in ended.stderr
    assert "spinescore broke" not in ended.stderr
    filled.unlink()
    done = count_scores(database)
    assert json.loads(spinescore("score", "-d", database, "--json"))["new"] == N_IMAGES - done
    assert count_scores(database) == N_IMAGES


def test_a_disk_that_fills_while_a_report_is_written(made: Path, disk: Path) -> None:
    for name in ("cohort.duckdb", "follow-up.csv", "study.toml"):
        shutil.copy(made / name, disk)
    shutil.copytree(made / "report", disk / "report", ignore=shutil.ignore_patterns("figures", "*.pdf"))
    before = {path: path.read_bytes() for path in (disk / "report").rglob("*.*")}
    filled = fill(disk, 1_000_000)
    said = spinescore("report", disk / "study.toml", "--only", status=1)
    assert "No space left on device. What was committed is kept." in said
    assert {path: path.read_bytes() for path in (disk / "report").rglob("*.*")} == before
    filled.unlink()
    spinescore("report", disk / "study.toml", "--only")


@pytest.mark.skipif(os.geteuid() != 0, reason="setpriv takes root's own rights away")
def test_rights_revoked_while_it_scores(made: Path, tmp_path: Path) -> None:
    images, database = shutil.copytree(made / "dicom" / "vfa", tmp_path / "in"), tmp_path / "a.duckdb"
    spinescore("ingest", images, "-d", database, "--keep-identifiers", "-q")
    command = [
        *WITHOUT_ROOTS_RIGHTS,
        sys.executable,
        script(tmp_path),
        "score",
        "-d",
        database,
        "--workers",
        "1",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        while process.poll() is None and not (tmp_path / "committed").exists():
            time.sleep(0.01)
        images.chmod(0)
        said, _ = process.communicate(timeout=300)
    images.chmod(0o700)
    assert process.returncode == 3
    assert "Permission denied" in said
    done = count_scores(database)
    assert 0 < done < N_VFA
    again = json.loads(spinescore("score", "-d", database, "--retry", "--json"))
    assert (again["new"], count_scores(database)) == (N_VFA - done, N_VFA)


@pytest.mark.skipif(not FAKETIME.exists(), reason="Debian's faketime is not installed")
def test_a_clock_that_jumps_a_day_on_and_two_back(made: Path, tmp_path: Path) -> None:
    for name in ("follow-up.csv", "study.toml"):
        shutil.copy(made / name, tmp_path)
    (tmp_path / "dicom").symlink_to(made / "dicom")
    clock = tmp_path / "clock"
    clock.write_text("+0")
    spinescore("ingest", tmp_path / "dicom", "-d", tmp_path / "cohort.duckdb", "--keep-identifiers", "-q")
    jumping = {
        "LD_PRELOAD": str(FAKETIME),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    summary = tmp_path / "summary.json"
    command = [sys.executable, script(tmp_path), "run", tmp_path / "study.toml", "--summary", summary]
    ended = subprocess.run(command, env=os.environ | jumping, capture_output=True, text=True, timeout=500)
    assert ended.returncode == 0, ended.stderr
    account = json.loads(summary.read_text())
    assert account["ended_at"] < account["started_at"]  # it did jump
    assert 0 < account["seconds"] < 500
    assert all(0 <= stage["seconds"] < 500 for stage in account["stages"])
    results = [pl.read_parquet(folder / "report" / "results.parquet") for folder in (made, tmp_path)]
    assert results[0].equals(results[1])
    assert "nothing was done" in spinescore("run", tmp_path / "study.toml")

"""A killed ingest loses nothing that was committed, doubles nothing, and the next one reads the rest."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import duckdb

from spinescore.ingest import IngestRequest, ingest
from spinescore.shell.warehouse import open_warehouse
from tests.benchmarks.archive_of_headers import make_archive

N_FILES = 20_000
WAITS_S = (0.3, 0.6, 0.9)
RUN = """
import sys
import spinescore.ingest
from spinescore.cli import main
if __name__ == "__main__":
    spinescore.ingest.COMMIT_SECONDS = 0.05
    main()
"""


def test_a_killed_ingest_goes_on_where_it_was(tmp_path: Path) -> None:
    make_archive(tmp_path / "in", N_FILES)
    database = tmp_path / "cohort.duckdb"
    script = tmp_path / "run.py"
    script.write_text(RUN)
    committed = [0]
    for wait_s in WAITS_S:
        command = [sys.executable, script, "ingest", tmp_path / "in", "-d", database, "--quiet"]
        victim = subprocess.Popen(command, start_new_session=True)
        _wait_for_growth(database, victim)
        time.sleep(wait_s)
        os.killpg(victim.pid, signal.SIGKILL)
        victim.wait()
        with duckdb.connect(str(database)) as connection:
            ((n_files, n_paths),) = connection.sql(
                "select count(*), count(distinct path_bytes) from files"
            ).fetchall()
        assert n_files == n_paths >= committed[-1]
        committed.append(n_files)
    with open_warehouse(database) as warehouse:
        summary = ingest(warehouse, IngestRequest([tmp_path / "in"]))
        files, images = warehouse.table("files"), warehouse.table("images")
    assert any(0 < n < N_FILES for n in committed), "no kill came in between"
    assert summary.n_read == N_FILES - committed[-1]
    assert files.height == files["path_bytes"].n_unique() == N_FILES
    assert images.height == (files["state"] == "indexed").sum()


def _wait_for_growth(database: Path, process: subprocess.Popen[bytes]) -> None:
    """Wait until the run has begun to commit: its write-ahead log grows."""
    log = database.with_name(database.name + ".wal")
    begun = log.stat().st_size if log.exists() else 0
    for _ in range(600):
        if process.poll() is not None or (log.exists() and log.stat().st_size > begun + 20_000):
            return
        time.sleep(0.02)

"""Killed or interrupted while it scores: what was committed stays, nothing is there twice, and it goes on."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import duckdb
import pytest

from tests.reliability.conftest import Demo


@pytest.fixture
def unscored(demo: Demo, tmp_path: Path) -> Path:
    """An indexed database without scores."""
    database = tmp_path / "a.duckdb"
    demo.offline.run("ingest", str(demo.folder / "dicom"), "-d", str(database), "--keep-identifiers", "-q")
    return database


def stop_scoring(demo: Demo, database: Path, how: signal.Signals, after_s: float) -> tuple[int, str]:
    """Start scoring in a process of its own, send it a signal, and return its status and last words."""
    command = [sys.executable, "-m", "spinescore", "score", "-d", str(database), "--workers", "1"]
    environment = os.environ | {"SPINESCORE_HOME": str(demo.offline.home)}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        time.sleep(after_s)
        process.send_signal(how)
        _, words = process.communicate(timeout=60)
    return process.returncode, words


def count_scores(database: Path) -> tuple[int, int]:
    with duckdb.connect(str(database), read_only=True) as connection:
        ((n, distinct),) = connection.execute(
            "select count(*), count(distinct sop_instance_uid) from scores"
        ).fetchall()
    return n, distinct


def finish(demo: Demo, database: Path) -> int:
    """Score the rest and return how many were left to do."""
    return int(json.loads(demo.offline.run("score", "-d", str(database), "--json").stdout)["new"])


def test_an_interruption_keeps_what_is_done_and_says_how_to_go_on(demo: Demo, unscored: Path) -> None:
    status, words = stop_scoring(demo, unscored, signal.SIGINT, 3.0)
    assert status == 130
    assert "the same command to go on" in words
    assert "Traceback" not in words
    done, distinct = count_scores(unscored)
    assert done == distinct
    assert finish(demo, unscored) == 300 - done
    assert count_scores(unscored) == (300, 300)


@pytest.mark.parametrize("after_s", [1.0, 2.5, 4.0, 5.5])
def test_a_kill_at_any_moment_loses_no_committed_score_and_doubles_none(
    after_s: float, demo: Demo, unscored: Path, tmp_path: Path
) -> None:
    stop_scoring(demo, unscored, signal.SIGKILL, after_s)
    copy = shutil.copytree(unscored.parent, tmp_path / "evidence", ignore=shutil.ignore_patterns("evidence"))
    done, distinct = count_scores(Path(copy) / "a.duckdb")
    assert done == distinct
    assert finish(demo, unscored) == 300 - done
    assert count_scores(unscored) == (300, 300)

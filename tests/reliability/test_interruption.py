"""Killed or interrupted while it scores: what was committed stays, nothing is there twice, and it goes on."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import duckdb
import pytest

from tests.reliability.conftest import Demo

N_IMAGES = 120
WAITS_S = (0.0, 0.2, 0.5, 1.0)  # after the first commit of a run
# Commits often enough that a kill falls between two commits, or into one, and says when it has. A shell's job in
# the background ignores Ctrl-C, and so would all that it starts.
RUN = """
import signal
import spinescore.score as score
from pathlib import Path
from spinescore.cli import main
commit = score._commit
def commit_and_tell(*arguments):
    commit(*arguments)
    Path(__file__).with_name("committed").touch()
if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    score.COMMIT_IMAGES, score._commit = 5, commit_and_tell
    main()
"""


@pytest.fixture(scope="module")
def indexed(demo: Demo, tmp_path_factory: pytest.TempPathFactory) -> Path:
    database = tmp_path_factory.mktemp("indexed") / "a.duckdb"
    images = str(demo.folder / "dicom" / "vfa")
    demo.offline.run("ingest", images, "-d", str(database), "--keep-identifiers", "-q")
    return database


@pytest.fixture
def unscored(indexed: Path, tmp_path: Path) -> Path:
    """An indexed database without scores."""
    return Path(shutil.copy(indexed, tmp_path / "a.duckdb"))


def stop_scoring(demo: Demo, database: Path, how: signal.Signals, wait_s: float) -> tuple[int, str]:
    """Start scoring in a process of its own, signal it after its first commit; return status and last words."""
    script = database.with_name("run.py")
    script.write_text(RUN)
    command = [sys.executable, str(script), "score", "-d", str(database), "--workers", "1"]
    environment = os.environ | {"SPINESCORE_HOME": str(demo.offline.home)}
    committed = script.with_name("committed")
    committed.unlink(missing_ok=True)
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        while process.poll() is None and not committed.exists():
            time.sleep(0.01)
        time.sleep(wait_s)
        process.send_signal(how)
        _, words = process.communicate(timeout=60)
    return process.returncode, words


def read_scores(database: Path) -> Counter[tuple[str, float]]:
    with duckdb.connect(str(database), read_only=True) as connection:
        return Counter(connection.execute("select sop_instance_uid, spine_age from scores").fetchall())


def read_evidence(database: Path, folder: Path) -> Counter[tuple[str, float]]:
    """Read a copy, so that the next run finds what the kill left."""
    folder.mkdir()
    for path in database.parent.glob(f"{database.name}*"):
        shutil.copy(path, folder)
    return read_scores(folder / database.name)


def finish(demo: Demo, database: Path) -> int:
    """Score the rest and return how many were left to do."""
    return int(json.loads(demo.offline.run("score", "-d", str(database), "--json").stdout)["new"])


def assert_whole(scores: Counter[tuple[str, float]]) -> None:
    assert len({uid for uid, _ in scores}) == scores.total() == N_IMAGES


def test_an_interruption_keeps_what_is_done_and_says_how_to_go_on(demo: Demo, unscored: Path) -> None:
    status, words = stop_scoring(demo, unscored, signal.SIGINT, 0.3)
    assert status == 130
    assert "the same command to go on" in words
    assert "Traceback" not in words
    done = read_scores(unscored)
    assert 0 < done.total() < N_IMAGES
    assert finish(demo, unscored) == N_IMAGES - done.total()
    assert done <= read_scores(unscored)
    assert_whole(read_scores(unscored))


def test_kills_at_any_moment_lose_no_committed_score_and_double_none(
    demo: Demo, unscored: Path, tmp_path: Path
) -> None:
    """One after the other, so that runs that go on are killed too."""
    done: Counter[tuple[str, float]] = Counter()
    for number, wait_s in enumerate(WAITS_S):
        status, _ = stop_scoring(demo, unscored, signal.SIGKILL, wait_s)
        assert status == -signal.SIGKILL
        before, done = done, read_evidence(unscored, tmp_path / str(number))
        assert before < done
        assert max(done.values()) == 1
    assert finish(demo, unscored) == N_IMAGES - done.total() > 0
    assert done < read_scores(unscored)
    assert_whole(read_scores(unscored))

"""`kill -9` at random moments of scoring, a hundred times (SPINESCORE_SOAK_KILLS): see docs/reliability.md.

A third of the kills are aimed at a run's start, a third at a commit, a third at what lies between commits. After every
kill: the database opens, no committed score is gone or changed, none is there twice, and no worker is left behind. A
cohort that is finished is begun again.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import pytest

from spinescore.core.phantom.dicom import dataset
from spinescore.core.phantom.person import draw_people
from spinescore.core.phantom.radiograph import render
from spinescore.ingest import IngestRequest, ingest
from spinescore.shell.warehouse import open_warehouse

N_IMAGES = 80
SEED = 17
RUN = """
import os

import spinescore.score as score
from spinescore.cli import main

commit = score._commit


def tell_and_commit(*arguments):
    os.write(1, b"<")
    commit(*arguments)
    os.write(1, b">")


if __name__ == "__main__":
    score.COMMIT_IMAGES = 5  # so that a run has many
    score._commit = tell_and_commit
    main()
"""
BETWEEN_COMMITS_S = 0.5
COMMITTING_S = 0.02


@dataclass
class Tally:
    """What the kills met."""

    kills: int = 0
    cohorts: int = 0
    within_a_commit: int = 0
    after_a_commit: int = 0
    ended_before_the_kill: int = 0
    committed: dict[str, float] = field(default_factory=dict)


def index(folder: Path) -> Path:
    """Return a database of phantoms without scores."""
    images = folder / "images"
    images.mkdir()
    for number, who in enumerate(draw_people(N_IMAGES, seed=SEED, cohort="derivation")):
        rendered = render(who, kind="radiograph", seed=SEED, height=300)
        dataset(rendered, who, seed=SEED).save_as(images / f"{number}.dcm", enforce_file_format=True)
    database = folder / "indexed.duckdb"
    with open_warehouse(database, create=True) as warehouse:
        ingest(warehouse, IngestRequest([images], workers=1))
    return database


def start(database: Path, script: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, str(script), "score", "-q", "-d", str(database), "--device", "cpu"]
    return subprocess.Popen(
        command, start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0
    )


def kill_at_random(process: subprocess.Popen[bytes], rng: random.Random, whole_s: float) -> str:
    """Kill a run somewhere, if it has not ended by then; return what it said of its commits."""
    assert process.stdout
    said = ""
    if aim := rng.choice(["", "<", ">"]):
        n_commits = rng.randint(1, 4)
        while said.count(aim) < n_commits and (byte := process.stdout.read(1)):
            said += byte.decode()
        time.sleep(rng.uniform(0, COMMITTING_S if aim == "<" else BETWEEN_COMMITS_S))
    else:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(rng.uniform(0, whole_s))
    process.send_signal(signal.SIGKILL)
    said += process.stdout.read().decode()
    assert process.wait() in (0, -signal.SIGKILL)
    return said


def read_scores(database: Path, folder: Path) -> list[tuple[str, float]]:
    """Read a copy, so that the next run finds what the kill left."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for path in database.parent.glob(f"{database.name}*"):
        shutil.copy(path, folder)
    with duckdb.connect(str(folder / database.name)) as connection:
        return connection.execute("select sop_instance_uid, spine_age from scores").fetchall()


def wait_for_workers(group: int) -> None:
    """Wait until nobody of a killed run's session is left; workers end when their pipe does."""
    until = time.monotonic() + 30
    while time.monotonic() < until:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, 0)
            time.sleep(0.05)
            continue
        return
    raise AssertionError("a worker outlived the run that was killed")


@pytest.mark.timeout(0)
def test_no_kill_loses_or_doubles_a_score(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPINESCORE_HOME", str(tmp_path / "home"))
    n_kills = int(os.environ.get("SPINESCORE_SOAK_KILLS", "100"))
    rng = random.Random(int(os.environ.get("SPINESCORE_SOAK_SEED", SEED)))
    (tmp_path / "run.py").write_text(RUN)
    indexed, database = index(tmp_path), tmp_path / "a.duckdb"
    whole_s = 0.0
    for _ in range(2):  # the first converts the network
        shutil.copy(indexed, database)
        began = time.monotonic()
        with start(database, tmp_path / "run.py") as process:
            assert process.wait() == 0  # its few bytes fit the pipe
        whole_s = time.monotonic() - began
    tally = Tally()
    while tally.kills < n_kills:
        if not tally.committed:
            database.with_name(f"{database.name}.wal").unlink(missing_ok=True)
            shutil.copy(indexed, database)
            tally.cohorts += 1
        with start(database, tmp_path / "run.py") as process:
            said = kill_at_random(process, rng, whole_s)
        if process.returncode == 0:
            tally.ended_before_the_kill += 1
        else:
            tally.kills += 1
            tally.within_a_commit += said.endswith("<")
            tally.after_a_commit += said.endswith(">")
        wait_for_workers(process.pid)
        scores = read_scores(database, tmp_path / "evidence")
        found = dict(scores)
        assert len(found) == len(scores)
        assert found.items() >= tally.committed.items()
        assert len(found) - len(tally.committed) >= 5 * said.count(">") or len(found) == N_IMAGES
        tally.committed = {} if len(found) == N_IMAGES else found
        sys.stdout.write((said[-1:] or ".") if process.returncode else "e")
        sys.stdout.flush()
    sys.stdout.write(
        f"\n{tally.kills} kills, {tally.within_a_commit} of them within a commit and {tally.after_a_commit} after "
        f"one; {tally.cohorts} cohorts of {N_IMAGES} begun, {whole_s:.1f} s each uninterrupted; "
        f"{tally.ended_before_the_kill} runs that ended first\n"
    )
    assert tally.within_a_commit
    assert tally.after_a_commit

"""An unattended run: summed up however it ends, one at a time, watched from outside, told to other programs."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from spinescore import run
from spinescore.cli import app
from spinescore.core.run_account import RunAccount
from spinescore.domain import StageSummary
from spinescore.errors import DatabaseLockedError, StudyError
from spinescore.listener import Listener
from spinescore.shell.run_commands import refuse_others_commands, run_command
from spinescore.shell.run_status import StatusFile, read_status, status_file
from spinescore.shell.snapshots import open_to_read, snapshot_file, write_snapshot
from spinescore.shell.waiting import open_when_free
from spinescore.shell.warehouse import open_warehouse
from spinescore.unattended import RunRequest, run_unattended
from tests.unit.verbs.made_up_scores import make_database, make_people, make_study

RUNNER = CliRunner()
HOLD = """
import itertools, sys, time
from pathlib import Path
from spinescore.shell.run_status import StatusFile
from spinescore.shell.warehouse import open_warehouse
database = Path(sys.argv[1])
with open_warehouse(database, create=True) as warehouse:
    status = StatusFile(database, "spinescore run", "t", clock=itertools.count().__next__)
    status.begin("score")
    status.advance(12, 40, lambda: 3)
    print("held", flush=True)
    time.sleep(float(sys.argv[2]))
"""


@pytest.fixture(autouse=True, scope="module")
def _without_rendering() -> Iterator[None]:
    """Spare a quarter of a minute each run: the pages are other tests' matter."""
    with pytest.MonkeyPatch.context() as patch:
        rendered = StageSummary("report", changed=True, message="")
        patch.setattr(run, "render_report", lambda *_: rendered)
        yield


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[RunAccount]]:
    """Return the folder of a study that was run twice, and both accounts."""
    folder = tmp_path_factory.mktemp("made")
    before = os.environ.get("SPINESCORE_HOME")
    os.environ["SPINESCORE_HOME"] = str(folder / "home")
    try:
        people = make_people()
        make_database(folder, people)
        make_study(folder)
        request = RunRequest(
            study_file=folder / "study.toml", summary=folder / "sum.json", log=folder / "log.jsonl"
        )
        accounts = [run_unattended(request, Listener())]
        for person in people[-20:]:
            person["raw"] += 3
        make_database(folder, people)
        accounts.append(run_unattended(request, Listener()))
    finally:
        os.environ.pop("SPINESCORE_HOME") if before is None else os.environ.update(SPINESCORE_HOME=before)
    return folder, accounts


@contextmanager
def held(database: Path, seconds: float = 60) -> Iterator[subprocess.Popen[str]]:
    """Let another process hold a database in the middle of a stage."""
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(database), str(seconds)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        yield holder
    finally:
        holder.kill()
        holder.wait()
        assert holder.stdout is not None
        holder.stdout.close()


def test_a_run_is_summed_up_with_what_is_new_since_the_one_before(
    made: tuple[Path, list[RunAccount]],
) -> None:
    folder, (first, second) = made
    stages = ["outcomes", "calibrate", "analyze", "report"]
    assert [stage.stage for stage, _ in first.stages] == stages
    assert first.since_last_run is not None
    assert (first.since_last_run["first"], first.since_last_run["results"]) == (True, None)
    written = json.loads((folder / "sum.json").read_text(encoding="utf-8"))
    assert written == second.as_document()
    assert (written["exit_status"], written["outcome"], written["error"]) == (0, "done", None)
    assert [stage["stage"] for stage in written["stages"] if stage["seconds"] > 0] == stages
    new = written["since_last_run"]
    assert new["images"] | {"read": 0} == {"before": 280, "now": 280, "read": 0}
    assert new["results"]["changed"] > 0
    assert sum(new["results"].values()) > new["results"]["changed"] + new["results"]["removed"]
    assert stat.S_IMODE((folder / "sum.json").stat().st_mode) == 0o600


def test_the_log_has_a_line_per_event_without_names_and_paths(made: tuple[Path, list[RunAccount]]) -> None:
    folder, _ = made
    text = (folder / "log.jsonl").read_text(encoding="utf-8")
    lines = [json.loads(line) for line in text.splitlines()]
    assert [line["event"] for line in lines] == 2 * ["start", *4 * ["stage"], "end"]
    assert [line["exit_status"] for line in lines if line["event"] == "end"] == [0, 0]
    assert "/" not in text
    assert not any(f'"s{n}"' in text for n in range(280))


def test_readers_find_the_snapshot_of_the_last_stage(made: tuple[Path, list[RunAccount]]) -> None:
    folder, _ = made
    database = folder / "c.duckdb"
    assert stat.S_IMODE(snapshot_file(database).stat().st_mode) == 0o600
    with held(database):
        spoken = RUNNER.invoke(app, ["runs", "-d", str(database), "--json"])
        shown = RUNNER.invoke(app, ["status", "-d", str(database), "--json"])
        export = ["scores", "export", str(folder / "scores.csv"), "-d", str(database), "--json"]
        exported = RUNNER.invoke(app, export)
    assert [spoken.exit_code, shown.exit_code, exported.exit_code] == [0, 0, 0]
    assert "Read from the snapshot of" in spoken.stderr
    commands = [run["command"] for run in json.loads(spoken.stdout)["runs"]]
    assert commands.count("analyze") == 2
    going = json.loads(shown.stdout)["run"]
    assert (going["state"], going["stage"], going["done"], going["total"]) == ("running", "score", 12, 40)
    assert going["failures"] == 3
    assert json.loads(exported.stdout)["rows"] == 280


def test_a_second_run_names_the_holder_and_exits_5(
    made: tuple[Path, list[RunAccount]], tmp_path: Path
) -> None:
    folder, _ = made
    summary = tmp_path / "second.json"
    with held(folder / "c.duckdb") as holder:
        refused = RUNNER.invoke(app, ["run", str(folder / "study.toml"), "--summary", str(summary)])
    assert refused.exit_code == 5
    assert f"in use by process {holder.pid}" in refused.stderr
    assert "score 12 of 40" in refused.stderr
    error = json.loads(summary.read_text(encoding="utf-8"))["error"]
    assert (error["slug"], error["stage"]) == ("database-locked", "")


def test_a_second_run_waits_as_long_as_told(tmp_path: Path) -> None:
    database, told = tmp_path / "c.duckdb", []
    with (
        held(database, seconds=1.5),
        open_when_free(database, create=True, wait_minutes=1, announce=told.append) as warehouse,
    ):
        assert warehouse.path == database
    assert len(told) == 1
    assert told[0].startswith("waiting up to 1 min:")
    times = iter([0.0, 30.0, 59.0, 60.0])
    slept: list[float] = []
    with held(database), pytest.raises(DatabaseLockedError, match="in use by process"):
        open_when_free(
            database,
            create=True,
            wait_minutes=1,
            announce=told.append,
            clock=lambda: next(times),
            sleep=slept.append,
        )
    assert slept == [2.0, 1.0]


def test_what_fails_is_in_the_summary_with_its_stage_and_next_step(tmp_path: Path) -> None:
    make_database(tmp_path, make_people())
    make_study(tmp_path)
    (tmp_path / "f.csv").unlink()
    summary = tmp_path / "deep" / "sum.json"
    failed = RUNNER.invoke(app, ["run", str(tmp_path / "study.toml"), "--summary", str(summary), "--json"])
    written = json.loads(summary.read_text(encoding="utf-8"))
    assert failed.exit_code == written["exit_status"] == 1
    assert json.loads(failed.stdout) == written
    assert (written["error"]["stage"], written["outcome"]) == ("outcomes", "failed")
    assert "f.csv" in written["error"]["message"]
    assert written["error"]["next_step"]
    going = read_status(tmp_path / "c.duckdb")
    assert going is not None
    assert (going.state, going.exit_status) == ("ended", 1)


def test_a_broken_study_file_is_summed_up_too(tmp_path: Path) -> None:
    (tmp_path / "study.toml").write_text("[study]\n", encoding="utf-8")
    account = run_unattended(
        RunRequest(study_file=tmp_path / "study.toml", summary=tmp_path / "s.json"), Listener()
    )
    assert account.exit_status == 1
    assert json.loads((tmp_path / "s.json").read_text(encoding="utf-8"))["error"]["slug"] == "study"


def test_what_nobody_foresaw_is_summed_up_and_raised(tmp_path: Path) -> None:
    make_database(tmp_path, make_people())
    make_study(tmp_path)

    def fall(_: str) -> None:
        raise RuntimeError("/secret/patient")

    request = RunRequest(study_file=tmp_path / "study.toml", summary=tmp_path / "s.json")
    with pytest.raises(RuntimeError):
        run_unattended(request, Listener(stage=fall))
    text = (tmp_path / "s.json").read_text(encoding="utf-8")
    assert json.loads(text)["error"]["message"] == "RuntimeError"
    assert "secret" not in text


def test_a_run_that_is_told_to_stop_says_so(tmp_path: Path) -> None:
    make_database(tmp_path, make_people())
    make_study(tmp_path)
    study, summary = tmp_path / "study.toml", tmp_path / "s.json"
    with held(tmp_path / "c.duckdb"):
        waiting = subprocess.Popen(
            [sys.executable, "-m", "spinescore", "run", str(study), "--wait", "5", "--summary", str(summary)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert waiting.stdout is not None
        assert "waiting up to 5 min" in waiting.stdout.readline()
        waiting.send_signal(signal.SIGTERM)
        assert waiting.wait(timeout=60) == 130
        waiting.stdout.close()
    written = json.loads(summary.read_text(encoding="utf-8"))
    assert (written["exit_status"], written["outcome"]) == (130, "interrupted")


def test_a_program_is_told_of_the_summary_and_its_failure_changes_nothing(tmp_path: Path) -> None:
    make_database(tmp_path, make_people())
    telling = tmp_path / "tell"
    telling.write_text(
        f'#!/bin/sh\ncat "$SPINESCORE_SUMMARY" > {tmp_path}/told\necho "$*" > {tmp_path}/words\nexit 7\n'
    )
    telling.chmod(0o755)
    section = f'[run]\non_success = ["{telling}", "a; touch {tmp_path}/pwned", "$HOME"]\n'
    make_study(tmp_path, more=section)
    account = run_unattended(RunRequest(study_file=tmp_path / "study.toml"), Listener())
    assert account.exit_status == 0
    assert account.commands == [{"when": "on_success", "program": str(telling), "outcome": "exit status 7"}]
    assert account.warnings == [f"on_success command {telling}: exit status 7"]
    assert json.loads((tmp_path / "told").read_text(encoding="utf-8"))["outcome"] == "done"
    assert (tmp_path / "words").read_text() == f"a; touch {tmp_path}/pwned $HOME\n"
    assert not (tmp_path / "pwned").exists()


@pytest.mark.parametrize(
    ("words", "outcome"),
    [
        (["/bin/true"], "done"),
        (["/bin/sleep", "9"], "stopped after 0.2 s"),
        (["/nowhere"], "could not be started: No such file or directory"),
    ],
)
def test_how_a_program_ended_is_said(words: list[str], outcome: str) -> None:
    assert run_command(words, {}, 0.2) == outcome


def test_commands_that_others_could_have_written_are_not_run(tmp_path: Path) -> None:
    study = tmp_path / "study.toml"
    study.touch(mode=0o644)
    refuse_others_commands(study)
    study.chmod(0o646)
    with pytest.raises(StudyError, match="written by everybody"):
        refuse_others_commands(study)


def account_of(stage: StageSummary, drift: list[dict[str, Any]]) -> RunAccount:
    return RunAccount(identity={}, started_at="", stages=[(stage, 0.0)], drift=drift)


def test_drift_is_said_before_images_that_failed() -> None:
    failed = StageSummary("score", changed=True, message="", partial=True)
    assert account_of(failed, []).exit_status == 3
    assert account_of(failed, []).succeeded
    drifted = account_of(failed, [{"beyond": True}, {"beyond": False}])
    assert (drifted.exit_status, drifted.succeeded) == (4, False)


def test_a_process_that_died_is_told_from_one_that_runs(tmp_path: Path) -> None:
    database = tmp_path / "c.duckdb"
    with held(database):
        going = read_status(database)
        assert going is not None
        assert going.state == "running"
    assert going.state == "killed"
    assert "ended without a word in stage score" in going.line()
    spoken = RUNNER.invoke(app, ["status", "-d", str(database)])
    assert "ended without a word" in spoken.stdout


def test_progress_has_a_rate_and_what_is_left(tmp_path: Path) -> None:
    times = iter([0.0, 0.0, 0.0, 10.0, 10.0, 10.5])
    status = StatusFile(tmp_path / "c.duckdb", "spinescore run", "t", clock=lambda: next(times))
    status.begin("score")
    status.advance(20, 100, lambda: 1)
    status.advance(1, 100, lambda: 2)  # too soon to be written
    found = read_status(tmp_path / "c.duckdb")
    assert found is not None
    assert (found.done, found.rate_per_s, found.eta_s, found.failures) == (20, 2.0, 40.0, 1)
    told = datetime.fromisoformat(found.updated_at)
    assert "score 20 of 100, 2.0/s, 40 s left, 1 failed" in found.line(told)
    assert stat.S_IMODE(status_file(tmp_path / "c.duckdb").stat().st_mode) == 0o600


def test_a_snapshot_is_taken_away_where_none_is_wanted_and_readers_are_told(tmp_path: Path) -> None:
    database = tmp_path / "c.duckdb"
    with open_warehouse(database, create=True) as warehouse:
        write_snapshot(warehouse, "auto")
        made = snapshot_file(database).stat().st_mtime_ns
        time.sleep(0.02)
        write_snapshot(warehouse, "auto", stale_only=True)
        assert snapshot_file(database).stat().st_mtime_ns == made
        with open_to_read(database, snapshot=True).warehouse as copy:
            assert copy.fetch("run/list").is_empty()
        write_snapshot(warehouse, "never")
    with pytest.raises(Exception, match="no snapshot to read"):
        open_to_read(database, snapshot=True)

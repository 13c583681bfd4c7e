"""What other terminals are told of work that goes on, and that telling it never ends the work."""

from __future__ import annotations

import errno
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from spinescore.cli import app
from spinescore.cli.console import _Bar
from spinescore.domain import StageSummary
from spinescore.errors import AnalysisError
from spinescore.listener import Listener, told_elsewhere
from spinescore.shell.run_status import RunStatus, StatusFile, read_status
from spinescore.shell.warehouse import open_warehouse
from tests.unit.verbs.made_up_scores import make_database, make_people, make_study

RUNNER = CliRunner()


def status_of(database: Path) -> RunStatus:
    found = read_status(database)
    assert found is not None
    return found


def test_progress_is_heard_here_and_read_elsewhere(database: Path) -> None:
    heard: list[Any] = []
    here = Listener(stage=heard.append, advance=lambda *counts: heard.append(counts), done=heard.append)
    with (
        open_warehouse(database, create=True) as warehouse,
        told_elsewhere(here, warehouse, "spinescore score") as told,
    ):
        told.stage("score")
        assert (status_of(database).state, status_of(database).stage) == ("running", "score")
        told.advance(128, 300)
        assert status_of(database).line().startswith("spinescore score, process ")
        told.done(StageSummary("score", changed=True, message="", partial=True))
    assert heard[:2] == ["score", (128, 300)]
    assert heard[2].partial
    assert (status_of(database).state, status_of(database).exit_status) == ("ended", 3)


@pytest.mark.parametrize(
    ("error", "exit_status"), [(AnalysisError("no"), 1), (KeyboardInterrupt(), 130), (ValueError(), 1)]
)
def test_the_status_says_how_it_ended(database: Path, error: BaseException, exit_status: int) -> None:
    with (
        open_warehouse(database, create=True) as warehouse,
        pytest.raises(type(error)),
        told_elsewhere(Listener(), warehouse, "spinescore score"),
    ):
        raise error
    assert status_of(database).exit_status == exit_status


def test_a_status_that_cannot_be_written_ends_nothing(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    heard: list[Any] = []
    monkeypatch.setattr("spinescore.shell.run_status.write_private", refuse)
    with (
        open_warehouse(database, create=True) as warehouse,
        told_elsewhere(Listener(stage=heard.append), warehouse, "spinescore score") as told,
    ):
        told.stage("score")
        told.advance(1, 2)
    assert heard == ["score"]
    assert read_status(database) is None


@pytest.mark.parametrize(
    ("arguments", "command"),
    [
        (["ingest", "{folder}", "-d", "{database}"], "spinescore ingest"),
        (["score", "-d", "{database}"], "spinescore score"),
    ],
)
def test_commands_on_a_database_leave_a_status(
    arguments: list[str], command: str, database: Path, tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "empty.dcm").touch()
    with open_warehouse(database, create=True):
        pass
    places = {"folder": tmp_path / "in", "database": database}
    ended = RUNNER.invoke(app, [word.format(**places) for word in arguments])
    found = status_of(database)
    assert (found.command, found.state, found.exit_status) == (command, "ended", ended.exit_code)


def test_commands_on_a_study_leave_a_status_with_its_title(tmp_path: Path) -> None:
    make_database(tmp_path, make_people())
    make_study(tmp_path)
    RUNNER.invoke(app, ["analyze", str(tmp_path / "study.toml")])
    found = status_of(tmp_path / "c.duckdb")
    assert (found.command, bool(found.study), found.state) == ("spinescore analyze", True, "ended")
    (tmp_path / "f.csv").unlink()
    ended = RUNNER.invoke(app, ["report", str(tmp_path / "study.toml")])
    found = status_of(tmp_path / "c.duckdb")
    assert (found.command, found.exit_status, ended.exit_code) == ("spinescore report", 1, 1)


def test_the_rate_is_that_of_the_work_and_what_is_left_runs_down(database: Path) -> None:
    times = iter([0.0, 0.0, 0.0, 60.0, 60.0, 90.0, 90.0])
    status = StatusFile(database, "spinescore score", "", clock=lambda: next(times))
    status.begin("score")
    status.advance(100, 700, lambda: 0)  # a minute, most of it until the network was loaded
    status.advance(300, 700, lambda: 2)
    found = status_of(database)
    assert (found.rate_per_s, found.eta_s) == (10.0, 30.0)
    told = datetime.fromisoformat(found.updated_at).astimezone(UTC)
    assert "10.0/s, 30 s left, 2 failed" in found.line(told)
    assert "10.0/s, 10 s left, 2 failed" in found.line(told + timedelta(seconds=20))
    assert found.line(told + timedelta(seconds=75)).endswith(
        "0 s left, 2 failed; last heard of 1 min 15 s ago"
    )


def test_the_bar_of_a_terminal_says_the_same_and_moves_between_words_of_progress() -> None:
    now = [0.0]
    bar = _Bar(lambda: now[0])
    now[0] = 25.0
    assert str(bar) == "25 s"
    for at, n in ((60.0, 100), (90.0, 300)):
        now[0] = at
        bar.advance(n, 700)
    bar.failed(2)
    assert str(bar) == "400 of 700, 10.0/s, 30 s left, 2 failed"
    now[0] = 95.0
    assert str(bar) == "400 of 700, 10.0/s, 25 s left, 2 failed"
    bar.begin()
    assert str(bar) == "0 s"

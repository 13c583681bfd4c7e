"""With [study] group a group may read database and report; it has to exist, and without it nobody may."""

from __future__ import annotations

import grp
import os
import stat
from pathlib import Path

import pytest
from typer.testing import CliRunner

from spinescore import run
from spinescore.cli import app
from spinescore.domain import StageSummary
from spinescore.errors import StudyError
from spinescore.shell.private_files import write_private
from spinescore.shell.run_status import read_status, status_file
from spinescore.shell.sharing import group_number
from spinescore.shell.snapshots import open_to_read, snapshot_file
from tests.unit.verbs.made_up_scores import make_database, make_people, make_study

RUNNER = CliRunner()
OWN = grp.getgrgid(os.getegid()).gr_name


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A study whose report is a page in a table's folder."""

    def render(_warehouse: object, study: object, *_: object, **__: object) -> StageSummary:
        write_private(tmp_path / "report" / "report.html", "<p>")
        write_private(tmp_path / "report" / "tables" / "table-01-x.csv", "1")
        return StageSummary("report", changed=True, message="")

    monkeypatch.setattr(run, "render_report", render)
    make_database(tmp_path, make_people())
    make_study(tmp_path)
    return tmp_path


def share(folder: Path, group: str) -> Path:
    study = folder / "study.toml"
    text = study.read_text(encoding="utf-8")
    assert "[study]\n" in text
    study.write_text(text.replace("[study]\n", f'[study]\ngroup = "{group}"\n'), encoding="utf-8")
    return study


def modes(*paths: Path) -> set[int]:
    return {stat.S_IMODE(path.stat().st_mode) for path in paths}


@pytest.mark.parametrize("command", ["run", "report"])
def test_database_and_report_can_be_read_by_the_group_and_nobody_else(folder: Path, command: str) -> None:
    ended = RUNNER.invoke(app, [command, str(share(folder, OWN))], catch_exceptions=False)
    assert ended.exit_code == 0
    database, report = folder / "c.duckdb", folder / "report"
    assert modes(database, status_file(database), *report.rglob("*.*")) == {0o640}
    assert modes(report, report / "tables") == {0o750}
    assert {path.stat().st_gid for path in (database, *report.rglob("*"))} == {grp.getgrnam(OWN).gr_gid}
    key = Path(os.environ["SPINESCORE_HOME"]) / "pseudonym.key"
    assert not key.exists() or modes(key) == {0o600}


def test_without_a_group_nobody_else_may(folder: Path) -> None:
    RUNNER.invoke(app, ["run", str(folder / "study.toml")], catch_exceptions=False)
    database = folder / "c.duckdb"
    assert modes(database, snapshot_file(database), status_file(database)) == {0o600}


def test_a_group_that_is_not_there_is_refused_before_anything_is_done(folder: Path) -> None:
    ended = RUNNER.invoke(app, ["run", str(share(folder, "no-such-group"))])
    assert ended.exit_code == 1
    assert "study.group: there is no group `no-such-group` on this machine." in ended.output
    assert OWN in ended.output
    assert not (folder / "report").exists()
    assert read_status(folder / "c.duckdb") is None


def test_a_group_one_does_not_belong_to_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    other = next(entry for entry in grp.getgrall() if entry.gr_gid not in {os.getegid(), *os.getgroups()})
    monkeypatch.setattr(os, "geteuid", lambda: 12_345)
    with pytest.raises(StudyError, match=f"you are no member of the group `{other.gr_name}`"):
        group_number(other.gr_name)


def test_a_status_written_anew_keeps_its_group_and_no_other_mode(tmp_path: Path) -> None:
    path = tmp_path / "status.json"
    for mode, kept in ((0o640, 0o640), (0o644, 0o600), (0o660, 0o600), (0o600, 0o600)):
        write_private(path, "old")
        path.chmod(mode)
        write_private(path, "new")
        assert (path.read_text(), modes(path)) == ("new", {kept})


def test_who_may_only_read_a_database_reads_its_snapshot(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    RUNNER.invoke(app, ["run", str(folder / "study.toml")], catch_exceptions=False)
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)
    reading = open_to_read(folder / "c.duckdb")
    with reading.warehouse as warehouse:
        assert warehouse.path == snapshot_file(folder / "c.duckdb")
    assert "you may read the database" in reading.note

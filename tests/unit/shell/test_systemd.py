"""Timers of the user's systemd: units that systemd accepts, calendars it reads, what is said and put back."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from spinescore.cli import app
from spinescore.errors import ScheduleError
from spinescore.schedule import (
    ScheduleRequest,
    find_schedule,
    list_schedules,
    remove_schedule,
    schedule_study,
)
from spinescore.shell.systemd import check_calendar, list_installed
from spinescore.shell.systemd_units import Job

RUNNER = CliRunner()
SYSTEMCTL = """#!/bin/sh
echo "$*" >> "$STAND_IN/asked"
case "$*" in
  *show-environment*) exit "$(cat "$STAND_IN/up")";;
  *enable*) if [ -f "$STAND_IN/refuses" ]; then echo "no such bus" >&2; exit 1; fi;;
  *.timer*show*|*show*.timer*) echo "NextElapseUSecRealtime=Mon 2026-11-30 02:03:00 UTC";;
  *show*.service*) echo "Result=success"; echo "ExecMainStatus=3";;
esac
"""
LOGINCTL = '#!/bin/sh\necho "$(cat "$STAND_IN/linger")"\n'
CRONTAB = """#!/bin/sh
if [ "$1" = "-l" ]; then
  if [ -f "$STAND_IN/entries" ]; then cat "$STAND_IN/entries"; else echo "no crontab for me" >&2; exit 1; fi
else cat > "$STAND_IN/entries"; fi
"""
needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="no systemd-analyze here (Debian: systemd)"
)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of a stand-in for a machine on which a systemd of the user's runs."""
    programs = tmp_path / "machine"
    programs.mkdir()
    for name, text in (("systemctl", SYSTEMCTL), ("loginctl", LOGINCTL), ("crontab", CRONTAB)):
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    (programs / "up").write_text("0")
    (programs / "linger").write_text("no")
    monkeypatch.setenv("STAND_IN", str(programs))
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("USER", "kim")
    return programs


@pytest.fixture
def study(tmp_path: Path) -> Path:
    folder = tmp_path / "a b%"
    folder.mkdir()
    text = '[study]\ntitle = "t"\ndatabase = "c.duckdb"\noutput = "../pages"\n'
    (folder / "study.toml").write_text(text, encoding="utf-8")
    return folder / "study.toml"


def asked(machine: Path) -> list[str]:
    return (machine / "asked").read_text().splitlines()


def job(folder: Path, **settings: object) -> Job:
    given = {
        "job_id": "0123abcd",
        "study": folder / 'it\'s "50%" of $HOME, 척추' / "study.toml",
        "calendar": "Mon *-*-* 02:00:00",
        "python": shutil.which("python3") or "/usr/bin/python3",
        "home": folder / "home",
        "writable": (folder / "out put", folder / "home"),
    }
    return Job(**(given | settings))  # type: ignore[arg-type]


@needs_systemd
@pytest.mark.parametrize("settings", [{}, {"sandbox": False}, {"private_tmp": False, "delay_minutes": 0}])
def test_systemd_finds_nothing_wrong_with_the_units(
    settings: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "runtime").mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "runtime"))
    files = []
    for name, text in job(tmp_path, **settings).units().items():
        (tmp_path / name).write_text(text, encoding="utf-8")
        files.append(str(tmp_path / name))
    verified = subprocess.run(["systemd-analyze", "verify", "--user", *files], capture_output=True, text=True)
    assert (verified.returncode, verified.stdout, verified.stderr) == (0, "", "")


def test_units_hold_what_an_unattended_run_needs(tmp_path: Path) -> None:
    service, timer = job(tmp_path).units().values()
    for line in ("SuccessExitStatus=3", "NoNewPrivileges=yes", "ProtectSystem=strict", "MemoryMax=75%"):
        assert line in service.splitlines()
    assert f'ReadWritePaths="{tmp_path}/out put" "{tmp_path}/home"' in service
    assert r"""it's \"50%%\" of $$HOME, 척추/study.toml""" in service
    for line in ("Persistent=true", "RandomizedDelaySec=5min", "WantedBy=timers.target"):
        assert line in timer.splitlines()
    assert "ProtectSystem" not in job(tmp_path, sandbox=False).units()["spinescore-0123abcd.service"]
    with pytest.raises(ScheduleError, match="line break"):
        job(tmp_path, study=tmp_path / "a\nExecStart=evil").units()


@needs_systemd
@pytest.mark.parametrize(
    ("text", "calendar"),
    [
        ("Mon 02:00", "Mon *-*-* 02:00:00"),
        ("daily 02:00", "*-*-* 02:00:00"),
        ("Mon,Thu 2:30", "Mon,Thu *-*-* 02:30:00"),
        ("Mon 02:00 Asia/Seoul", "Mon *-*-* 02:00:00 Asia/Seoul"),
        ("Mon *-*-1..7 03:00", "Mon *-*-01..07 03:00:00"),
    ],
)
def test_calendars_are_read_as_systemd_reads_them(text: str, calendar: str) -> None:
    found, next_run = check_calendar(text)
    assert found == calendar
    assert "20" in next_run


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("soon", "no time"),
        ("Mon 25:00", "no time"),
        ("--help", "no time"),
        ("0 2 * * 1", "--backend cron|cron's"),
    ],
)
def test_what_systemd_cannot_keep_is_refused(text: str, match: str) -> None:
    with pytest.raises(ScheduleError, match=match):
        check_calendar(text)


@needs_systemd
def test_a_time_that_never_comes_is_refused() -> None:
    with pytest.raises(ScheduleError, match="never comes"):
        check_calendar("2001-01-01 02:00")


def test_without_systemd_analyze_only_plain_times_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert check_calendar("daily 02:00") == ("02:00", "")
    with pytest.raises(ScheduleError, match="no time"):
        check_calendar("Mon *-*-1..7 03:00")


@needs_systemd
def test_a_schedule_goes_to_systemd_where_that_runs_is_shown_and_taken_away(
    machine: Path, study: Path
) -> None:
    added = RUNNER.invoke(app, ["schedule", "add", str(study), "--calendar", "Mon 02:00"])
    assert added.exit_code == 0, added.output
    assert "by systemd: Mon *-*-* 02:00:00" in added.output
    assert "sudo loginctl enable-linger kim" in added.output
    (installed,) = list_installed()
    assert (installed.study, installed.calendar) == (study, "Mon *-*-* 02:00:00")
    assert [stat.S_IMODE(path.stat().st_mode) for path in installed.files] == [0o600, 0o600]
    assert f"--user enable --now spinescore-{installed.job_id}.timer" in asked(machine)
    assert (study.parents[1] / "pages").is_dir()
    shown = json.loads(RUNNER.invoke(app, ["schedule", "show", str(study), "--json"]).stdout)
    assert (shown["next"], shown["exit_status"]) == ("Mon 2026-11-30 02:03:00 UTC", "3")
    removed = RUNNER.invoke(app, ["schedule", "remove", installed.job_id])
    assert removed.exit_code == 0, removed.output
    assert f"--user disable --now spinescore-{installed.job_id}.timer" in asked(machine)
    assert list_schedules() == []
    with pytest.raises(ScheduleError, match="no schedule"):
        find_schedule(str(study))


@needs_systemd
def test_a_study_is_kept_by_one_of_them_alone(machine: Path, study: Path) -> None:
    for calendar, backend in (("0 2 * * 1", "cron"), ("Mon 02:00", "systemd"), ("1 2 * * 1", "cron")):
        schedule_study(ScheduleRequest(study_file=study, calendar=calendar))
        (found,) = list_schedules()
        assert found.backend == backend
    assert remove_schedule(str(study)).backend == "cron"
    assert list_schedules() == []


@pytest.mark.parametrize("runs", [True, False])
def test_without_a_systemd_of_the_user_s_it_goes_to_cron(
    machine: Path, study: Path, monkeypatch: pytest.MonkeyPatch, runs: bool
) -> None:
    monkeypatch.setattr("spinescore.schedule.cron_runs", lambda: runs)
    (machine / "up").write_text("1")
    found = schedule_study(ScheduleRequest(study_file=study, calendar="daily 02:00"))
    assert (found.backend, found.when) == ("cron", "0 2 * * *")
    assert "does not make up for runs missed" in found.notes[0]
    assert ("No cron runs here" in found.notes[-1]) == (not runs)
    assert " -m spinescore run " in (machine / "entries").read_text()


@needs_systemd
def test_what_is_only_printed_is_not_kept(machine: Path, study: Path) -> None:
    command = ["schedule", "add", str(study), "--calendar", "Mon 02:00", "--memory", "8G", "--print"]
    printed = RUNNER.invoke(app, command)
    assert "MemoryMax=8G" in printed.output
    assert list_schedules() == []
    assert not (study.parents[1] / "pages").exists()


@needs_systemd
def test_units_that_systemd_refuses_are_taken_away_again(machine: Path, study: Path) -> None:
    (machine / "refuses").touch()
    with pytest.raises(ScheduleError, match="enable failed: no such bus"):
        schedule_study(ScheduleRequest(study_file=study, calendar="Mon 02:00"))
    assert list_installed() == []

"""Schedules in a crontab of their own (a stand-in program that keeps one in a file)."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spinescore.errors import ScheduleError
from spinescore.schedule import ScheduleRequest, schedule_study
from spinescore.shell.timer import add_entry, list_entries, make_entry, parse_calendar, remove_entry

CRONTAB = """#!/bin/sh
file="$CRONTAB_FILE"
if [ "$1" = "-l" ]; then
  if [ -f "$file" ]; then cat "$file"; else echo "no crontab for me" >&2; exit 1; fi
else cat > "$file"; fi
"""


@pytest.fixture
def crontab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    program = tmp_path / "bin" / "crontab"
    program.parent.mkdir()
    program.write_text(CRONTAB)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("CRONTAB_FILE", str(tmp_path / "crontab"))
    return tmp_path / "crontab"


@pytest.mark.parametrize(
    ("text", "cron"),
    [
        ("Mon 02:00", "0 2 * * 1"),
        ("mon,thursday 2:30", "30 2 * * 1,4"),
        ("daily 23:59", "59 23 * * *"),
        ("04:05", "5 4 * * *"),
        ("*/15 * * * *", "*/15 * * * *"),
    ],
)
def test_times_are_read(text: str, cron: str) -> None:
    assert parse_calendar(text) == cron


@pytest.mark.parametrize(
    "text", ["", "Mon 25:00", "Mon 02:61", "soon", "Foo 02:00", "* * * *; rm -rf /", "* * * * $(x)"]
)
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ScheduleError, match="no time"):
        parse_calendar(text)


@given(st.integers(0, 23), st.integers(0, 59))
def test_every_time_of_day_is_read(hour: int, minute: int) -> None:
    assert parse_calendar(f"daily {hour:02d}:{minute:02d}") == f"{minute} {hour} * * *"


def test_an_entry_goes_in_once_is_listed_and_leaves_others_alone(crontab: Path, tmp_path: Path) -> None:
    crontab.write_text("0 1 * * * /theirs\n")
    study = tmp_path / "my study.toml"
    for calendar in ("daily 02:00", "Mon 03:00"):
        add_entry(make_entry(study, calendar, tmp_path / "log"))
    (entry,) = list_entries()
    assert (entry.expression, entry.study) == ("0 3 * * 1", study)
    remove_entry(entry.entry_id)
    assert crontab.read_text() == "0 1 * * * /theirs\n"
    with pytest.raises(ScheduleError, match="No schedule"):
        remove_entry(entry.entry_id)


@pytest.mark.parametrize("name", ["a b", "100%", "it's", "$(touch pwned)", "척추"])
def test_a_path_reaches_the_shell_as_it_is(name: str, tmp_path: Path) -> None:
    study = tmp_path / name / "study.toml"
    entry = make_entry(study, "daily 02:00", tmp_path / "log")
    command = entry.command.replace(r"\%", "%").split(" -m spinescore ")[1].split(" >> ")[0]
    shown = subprocess.run(
        ["sh", "-c", f"printf '%s' {command.removeprefix('run ')}"], capture_output=True, text=True
    )
    assert shown.stdout == str(study)
    assert "%" not in entry.command.replace(r"\%", "")


def test_a_broken_study_is_not_scheduled(crontab: Path, tmp_path: Path) -> None:
    study = tmp_path / "study.toml"
    study.write_text("[study]\n")
    with pytest.raises(Exception, match=r"study\.title"):
        schedule_study(ScheduleRequest(study_file=study, calendar="daily 02:00"))
    assert not crontab.exists()

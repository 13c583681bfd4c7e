"""The user's crontab: scheduled runs of studies, each an entry of two lines that are ours."""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from spinescore.errors import ScheduleError

MARK = "# spinescore:"
DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
CRON_FIELD = r"[\d*/,\-A-Za-z]+"
TIME_OF_DAY = re.compile(r"(?:(?P<days>[A-Za-z,]+)\s+)?(?P<hour>\d{1,2}):(?P<minute>\d{2})")


@dataclass(frozen=True, slots=True)
class Entry:
    """One scheduled study: its id, cron expression, study file and log."""

    entry_id: str
    expression: str
    study: Path
    command: str

    def lines(self) -> list[str]:
        """Return the entry as crontab lines."""
        return [f"{MARK}{self.entry_id} {self.study}", f"{self.expression} {self.command}"]


def parse_calendar(text: str) -> str:
    """Turn ``Mon 02:00``, ``Mon,Thu 02:00``, ``daily 02:00``, ``02:00`` or five cron fields into those.

    Raises
    ------
    ScheduleError
        If the text is none of these.

    >>> parse_calendar("Mon,Thu 02:30")
    '30 2 * * 1,4'
    """
    if is_cron(text):
        return " ".join(text.split())
    match = TIME_OF_DAY.fullmatch(text.strip())
    if match is None or int(match["hour"]) > 23 or int(match["minute"]) > 59:
        raise unreadable(text)
    days = (match["days"] or "daily").lower()
    if days == "daily":
        return f"{int(match['minute'])} {int(match['hour'])} * * *"
    numbers = [str(DAYS.index(day[:3])) for day in days.split(",") if day[:3] in DAYS]
    if len(numbers) != len(days.split(",")):
        raise unreadable(text)
    return f"{int(match['minute'])} {int(match['hour'])} * * {','.join(numbers)}"


def make_entry(study: Path, calendar: str, log: Path) -> Entry:
    """Return the crontab entry that runs a study: absolute paths, quiet, output to a log file."""
    study = study.resolve()
    environment = ""
    if home := os.environ.get("SPINESCORE_HOME"):
        environment = f"SPINESCORE_HOME={shlex.quote(str(Path(home).resolve()))} "
    nice = shutil.which("nice")
    words = [*((nice, "-n", "10") if nice else ()), sys.executable, "-m", "spinescore", "run", str(study)]
    command = f"{environment}{shlex.join(words)} >> {shlex.quote(str(log))} 2>&1"
    if "\n" in command:
        raise ScheduleError(
            f"{study} has a line break in its path; crontab cannot hold it.", "Rename the folder."
        )
    return Entry(entry_id(study), parse_calendar(calendar), study, command.replace("%", r"\%"))


def entry_id(study: Path) -> str:
    """Return the short id of a study file's schedule: equal paths, equal ids."""
    return hashlib.sha256(os.fsencode(study.resolve())).hexdigest()[:8]


def list_entries() -> list[Entry]:
    """Return the entries of ours in the user's crontab."""
    lines = _read_crontab()
    found = []
    for mark, line in pairwise(lines):
        if mark.startswith(MARK):
            identity, study = mark.removeprefix(MARK).split(" ", 1)
            fields = line.split(" ", 5)
            found.append(Entry(identity, " ".join(fields[:5]), Path(study), fields[5]))
    return found


def add_entry(entry: Entry) -> None:
    """Write an entry into the user's crontab, in the place of one of the same study."""
    _write_crontab([*_without(_read_crontab(), entry.entry_id), *entry.lines()])


def remove_entry(identity: str) -> None:
    """Take an entry out of the user's crontab.

    Raises
    ------
    ScheduleError
        If it is not there.
    """
    lines = _read_crontab()
    kept = _without(lines, identity)
    if kept == lines:
        raise ScheduleError(f"No schedule {identity} in the crontab.", "See `spinescore schedule list`.")
    _write_crontab(kept)


def _without(lines: Sequence[str], identity: str) -> list[str]:
    kept, skip = [], False
    for line in lines:
        if skip:
            skip = False
        elif line.startswith(f"{MARK}{identity} "):
            skip = True
        else:
            kept.append(line)
    return kept


def _read_crontab() -> list[str]:
    result = subprocess.run([_crontab(), "-l"], capture_output=True, text=True, check=False)
    if result.returncode != 0 and "no crontab" not in result.stderr.lower():
        raise ScheduleError(f"crontab -l failed: {result.stderr.strip()}", "May this user use cron?")
    return result.stdout.splitlines()


def _write_crontab(lines: Sequence[str]) -> None:
    text = "".join(f"{line}\n" for line in lines)
    result = subprocess.run([_crontab(), "-"], input=text, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise ScheduleError(f"crontab refused the entry: {result.stderr.strip()}", "May this user use cron?")


def _crontab() -> str:
    program = shutil.which("crontab")
    if program is None:
        raise ScheduleError(
            "There is no `crontab` on this machine.", "Install cron (Debian: apt-get install cron)."
        )
    return program


def is_cron(text: str) -> bool:
    """Tell whether a text is five cron fields."""
    words = text.split()
    return len(words) == 5 and all(re.fullmatch(CRON_FIELD, word) for word in words)


def unreadable(text: str) -> ScheduleError:
    """Return the error that a text is no time."""
    return ScheduleError(
        f"`{text}` is no time spinescore can read.",
        'Write "Mon 02:00", "daily 02:00", five cron fields, or what `systemd-analyze calendar` takes where '
        "systemd keeps it.",
    )

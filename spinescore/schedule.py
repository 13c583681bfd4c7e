"""A study -> a scheduled run of it."""

from __future__ import annotations

from pathlib import Path

from spinescore.shell.resources import home
from spinescore.shell.timer import Entry, add_entry, make_entry
from spinescore.study import read_study


def schedule_study(study_file: Path, calendar: str) -> tuple[Entry, Path]:
    """Check the study file and put a run of it into the user's crontab.

    Returns
    -------
    entry : Entry
        What was written.
    log : Path
        Where the runs' output goes.

    Raises
    ------
    StudyError, ScheduleError
        If the study file or the calendar cannot be read, or crontab refuses.
    """
    read_study(study_file)
    entry = make_entry(study_file, calendar, _log_file(study_file))
    add_entry(entry)
    return entry, _log_file(study_file)


def _log_file(study_file: Path) -> Path:
    folder = home() / "logs"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder / f"{study_file.resolve().stem}.log"

"""The user's own systemd: calendars checked, units written, enabled, listed and taken away."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from spinescore.errors import ScheduleError
from spinescore.shell.private_files import write_private
from spinescore.shell.systemd_units import PREFIX, Job, read_timer
from spinescore.shell.timer import TIME_OF_DAY, is_cron, unreadable

SECONDS_TO_ANSWER = 30


@dataclass(frozen=True, slots=True)
class Installed:
    """A timer of ours: its id, calendar, study and unit files."""

    job_id: str
    calendar: str
    study: Path
    files: tuple[Path, ...]


def user_instance_runs() -> bool:
    """Tell whether a systemd of the user's own is there to be asked."""
    return shutil.which("systemctl") is not None and _ask("systemctl", "--user", "show-environment")[0] == 0


def check_calendar(text: str) -> tuple[str, str]:
    """Return a calendar as systemd writes it, and when it is next; ``daily 02:00`` is read too.

    Raises
    ------
    ScheduleError
        If it is no time, five cron fields, or cannot be checked here.
    """
    if is_cron(text):
        raise ScheduleError(
            f"`{text}` is cron's way to write a time, and systemd is asked to keep it.",
            'Write it as "Mon 02:00", or add --backend cron.',
        )
    wanted = re.sub(r"^daily\s+", "", text.strip(), flags=re.IGNORECASE)
    if shutil.which("systemd-analyze") is None:
        if not TIME_OF_DAY.fullmatch(wanted):
            raise unreadable(text)
        return wanted, ""
    status, said = _ask("systemd-analyze", "calendar", "--", wanted)
    found = dict(re.findall(r"^\s*(Normalized form|Next elapse): (.+)$", said, flags=re.MULTILINE))
    if status or "Normalized form" not in found:
        raise unreadable(text)
    if found.get("Next elapse") == "never":
        raise ScheduleError(f"`{text}` never comes again.", 'Write "Mon 02:00" or "daily 02:00".')
    return found["Normalized form"], found.get("Next elapse", "")


def install(job: Job) -> None:
    """Write a job's units and enable its timer.

    Raises
    ------
    ScheduleError
        If systemd refuses; the units are taken away again.
    """
    for name, text in job.units().items():
        write_private(_folder() / name, text)
    for arguments in (("daemon-reload",), ("enable", "--now", job.timer)):
        status, said = _ask("systemctl", "--user", *arguments)
        if status:
            _remove_files(job.job_id)
            raise ScheduleError(f"systemctl --user {arguments[0]} failed: {said}", "Or add --backend cron.")


def list_installed() -> list[Installed]:
    """Return the timers of ours."""
    found = []
    for timer in sorted(_folder().glob(f"{PREFIX}*.timer")):
        own = read_timer(timer.read_text(encoding="utf-8"))
        if own:
            job_id = timer.stem.removeprefix(PREFIX)
            files = (timer.with_suffix(".service"), timer)
            found.append(Installed(job_id, own["Calendar"], Path(own["Study"]), files))
    return found


def uninstall(job_id: str) -> bool:
    """Stop and take away a timer; tell whether it was there."""
    if job_id not in {installed.job_id for installed in list_installed()}:
        return False
    if shutil.which("systemctl") is not None:
        _ask("systemctl", "--user", "disable", "--now", f"{PREFIX}{job_id}.timer")
    _remove_files(job_id)
    if shutil.which("systemctl") is not None:
        _ask("systemctl", "--user", "daemon-reload")
    return True


def next_and_last(job_id: str) -> dict[str, str]:
    """Return when a timer next goes off, when it last did, and how that ended, as systemd says it."""
    _, timer = _ask(
        "systemctl",
        "--user",
        "show",
        f"{PREFIX}{job_id}.timer",
        "--property=NextElapseUSecRealtime,LastTriggerUSec",
    )
    _, service = _ask(
        "systemctl", "--user", "show", f"{PREFIX}{job_id}.service", "--property=Result,ExecMainStatus"
    )
    found = dict(line.split("=", 1) for line in f"{timer}\n{service}".splitlines() if "=" in line)
    names = {
        "NextElapseUSecRealtime": "next",
        "LastTriggerUSec": "last",
        "Result": "result",
        "ExecMainStatus": "exit_status",
    }
    return {name: found[theirs] for theirs, name in names.items() if found.get(theirs)}


def lingers() -> bool | None:
    """Tell whether the user's timers go on after logout; None where that is not known."""
    if shutil.which("loginctl") is None:
        return None
    status, said = _ask("loginctl", "show-user", user_name(), "--property=Linger", "--value")
    return {"yes": True, "no": False}.get(said.strip()) if status == 0 else None


def user_name() -> str:
    """Return the user's name, or number where there is none."""
    return os.environ.get("USER") or str(os.getuid())


def _folder() -> Path:
    configured = os.environ.get("XDG_CONFIG_HOME")
    return (Path(configured) if configured else Path.home() / ".config") / "systemd" / "user"


def _remove_files(job_id: str) -> None:
    for suffix in ("service", "timer"):
        (_folder() / f"{PREFIX}{job_id}.{suffix}").unlink(missing_ok=True)


def _ask(*words: str) -> tuple[int, str]:
    """Return how a program of systemd's ended, and what it said."""
    try:
        ended = subprocess.run(
            words,
            capture_output=True,
            text=True,
            check=False,
            timeout=SECONDS_TO_ANSWER,
            env={**os.environ, "LC_ALL": "C"},
        )
    except subprocess.TimeoutExpired:
        return 1, f"{words[0]} does not answer"
    return ended.returncode, (ended.stdout or ended.stderr).strip()

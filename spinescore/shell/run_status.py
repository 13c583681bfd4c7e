"""``<database>.status.json``: what the process that holds a database is doing, for those it keeps out."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from spinescore.core.pace import Pace, duration, say_progress
from spinescore.shell.private_files import write_private

SECONDS_BETWEEN_WRITES = 1.0
SECONDS_OF_SILENCE = 60.0  # a commit of scores comes every 15 s; some stages count nothing


@dataclass(slots=True, kw_only=True)
class RunStatus:
    """How far a run is.

    Parameters
    ----------
    command, study : str
        What runs; the study's title, empty where the command takes no study.
    pid, pid_started, host
        Which process; its start in clock ticks since boot tells it from a later one of that number.
    started_at, updated_at : str
        ISO 8601, UTC.
    stage : str
    done, total : int
        Of the stage, in files or images; 0 where it has no count.
    rate_per_s, eta_s : float or None
        As of ``updated_at``.
    failures : int
        Images that this run could not score so far.
    ended_at, exit_status
        None while it runs.
    """

    command: str
    study: str
    pid: int
    pid_started: int | None
    host: str
    started_at: str
    updated_at: str
    stage: str = ""
    done: int = 0
    total: int = 0
    rate_per_s: float | None = None
    eta_s: float | None = None
    failures: int = 0
    ended_at: str | None = None
    exit_status: int | None = None

    @property
    def state(self) -> str:
        """``running``, ``ended``, ``killed``, or ``elsewhere``: on another host, where it may run or not."""
        if self.ended_at is not None:
            return "ended"
        if self.host != socket.gethostname():
            return "elsewhere"
        return "running" if _is_alive(self.pid, self.pid_started) else "killed"

    def as_document(self) -> dict[str, Any]:
        """Return it with its state, for machines."""
        return {"state": self.state, **asdict(self)}

    def line(self, now: datetime | None = None) -> str:
        """Return it as a sentence for a person, who reads it at a time."""
        of_study = f" of `{self.study}`" if self.study else ""
        text = f"{self.command}{of_study}, process {self.pid} on {self.host} since {self.started_at}"
        if self.ended_at is not None:
            return f"{text}: ended {self.ended_at}, exit status {self.exit_status}"
        if self.state == "killed":
            return f"{text}: ended without a word in stage {self.stage or 'start'}; the same command goes on"
        silent_s = max(
            0.0, ((now or datetime.now(UTC)) - datetime.fromisoformat(self.updated_at)).total_seconds()
        )
        left_s = None if self.eta_s is None else self.eta_s - silent_s
        said = say_progress(self.done, self.total, self.rate_per_s, left_s, self.failures)
        text = f"{text}: {self.stage or 'starting'} {said}".rstrip()
        return f"{text}; last heard of {duration(silent_s)} ago" if silent_s >= SECONDS_OF_SILENCE else text


class StatusFile:
    """The status of this process, written as it goes, once a second at most."""

    def __init__(
        self, database: Path, command: str, study: str, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.path, self._clock = status_file(database), clock
        self._pace, self._written = Pace(clock()), float("-inf")
        now, pid = utc_now(), os.getpid()
        self.status = RunStatus(
            command=command,
            study=study,
            pid=pid,
            pid_started=_start_of(pid),
            host=socket.gethostname(),
            started_at=now,
            updated_at=now,
        )

    def begin(self, stage: str) -> None:
        """Say that a stage begins."""
        status = self.status
        status.stage, status.done, status.total = stage, 0, 0
        status.rate_per_s = status.eta_s = None
        self._pace = Pace(self._clock())
        self._try_to_write()

    def advance(self, n: int, total: int, count_failures: Callable[[], int]) -> None:
        """Say that ``n`` more of ``total`` are done; failures are counted only where it is written."""
        status, pace, now = self.status, self._pace, self._clock()
        pace.advance(n, total, now)
        status.done, status.total = pace.done, pace.total
        status.rate_per_s, status.eta_s = pace.rate_per_s, pace.left_s
        if now - self._written >= SECONDS_BETWEEN_WRITES:
            status.failures = count_failures()
            self._try_to_write()

    def end(self, exit_status: int) -> None:
        """Say how it ended."""
        self.status.ended_at, self.status.exit_status = utc_now(), exit_status
        self._write()

    def _try_to_write(self) -> None:
        """Write, but let no full disk end the work that this would only tell of."""
        with contextlib.suppress(OSError):
            self._write()

    def _write(self) -> None:
        self.status.updated_at, self._written = utc_now(), self._clock()
        write_private(self.path, json.dumps(asdict(self.status), ensure_ascii=False, indent=2))


def status_file(database: Path) -> Path:
    """Return where a database's status is written."""
    return database.with_name(f"{database.name}.status.json")


def read_status(database: Path) -> RunStatus | None:
    """Return what is written of the process that holds a database, or held it last; None if nothing is."""
    try:
        return RunStatus(**json.loads(status_file(database).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def describe_holder(database: Path, pid: int) -> str:
    """Say what a process that holds a database is doing, as far as it has written it; else nothing."""
    status = read_status(database)
    return status.line() if status is not None and status.pid == pid and status.ended_at is None else ""


def utc_now() -> str:
    """Return the time as ISO 8601, UTC, to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _is_alive(pid: int, started: int | None) -> bool:
    if started is not None:
        return _start_of(pid) == started
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _start_of(pid: int) -> int | None:
    """Return when a process began, in clock ticks since boot (proc(5), field 22); None without /proc."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    state, *fields = text.rpartition(")")[2].split()
    return None if state in "ZX" else int(fields[18])

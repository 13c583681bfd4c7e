"""A study -> a scheduled run of it: a timer of the user's systemd where that runs, else a crontab entry."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from spinescore.errors import ScheduleError
from spinescore.shell import systemd
from spinescore.shell.diagnosis.machine import cron_runs
from spinescore.shell.resources import home
from spinescore.shell.systemd_units import Job
from spinescore.shell.timer import (
    Entry,
    add_entry,
    entry_id,
    is_cron,
    list_entries,
    make_entry,
    parse_calendar,
    remove_entry,
)
from spinescore.study import Study, read_study

Backend = Literal["systemd", "cron"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleRequest:
    """Which study, when, and by what; ``backend`` None takes systemd where a user instance runs."""

    study_file: Path
    calendar: str
    backend: Backend | None = None
    memory: str = "75%"
    delay_minutes: float = 5
    sandbox: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Scheduled:
    """A schedule: its id, what keeps it, when, its study, the text kept by name, and what is to be said."""

    schedule_id: str
    backend: Backend
    when: str
    study: Path
    texts: Mapping[str, str]
    log: str
    next_run: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def schedule_study(request: ScheduleRequest, *, only_show: bool = False) -> Scheduled:
    """Check study file and calendar, and schedule a run of it in the place of a schedule it has.

    Raises
    ------
    StudyError, ScheduleError
        If the study file or the calendar cannot be read, or systemd or crontab refuses.
    """
    study = read_study(request.study_file)
    backend = request.backend or _choose(request.calendar)
    planned, act = _for_systemd(request, study) if backend == "systemd" else _for_cron(request)
    if only_show:
        return planned
    act()
    _forget_other(planned)
    return planned


def list_schedules() -> list[Scheduled]:
    """Return the schedules of ours, of systemd and of the crontab."""
    of_systemd = [
        Scheduled(
            schedule_id=found.job_id,
            backend="systemd",
            when=found.calendar,
            study=found.study,
            texts={str(path): path.read_text(encoding="utf-8") for path in found.files if path.is_file()},
            log=_journal(found.job_id),
        )
        for found in systemd.list_installed()
    ]
    entries = list_entries() if shutil.which("crontab") else []
    return [*of_systemd, *(_of_entry(entry) for entry in entries)]


def find_schedule(target: str) -> Scheduled:
    """Return the schedule of a study file or of an id, with what is known of its runs.

    Raises
    ------
    ScheduleError
        If there is none.
    """
    known = {found.schedule_id: found for found in list_schedules()}
    found = known.get(target) or known.get(entry_id(Path(target)))
    if found is None:
        raise ScheduleError(f"There is no schedule of {target}.", "See `spinescore schedule list`.")
    if found.backend == "cron":
        return found
    facts = systemd.next_and_last(found.schedule_id)
    return Scheduled(
        schedule_id=found.schedule_id,
        backend=found.backend,
        when=found.when,
        study=found.study,
        texts=found.texts,
        log=found.log,
        next_run=facts.pop("next", ""),
        facts=facts,
        notes=_about_logout(),
    )


def remove_schedule(target: str) -> Scheduled:
    """Take a schedule away and return what it was.

    Raises
    ------
    ScheduleError
        If there is none.
    """
    found = find_schedule(target)
    if found.backend == "systemd":
        systemd.uninstall(found.schedule_id)
    else:
        remove_entry(found.schedule_id)
    return found


def _choose(calendar: str) -> Backend:
    return "systemd" if not is_cron(calendar) and systemd.user_instance_runs() else "cron"


def _for_systemd(request: ScheduleRequest, study: Study) -> tuple[Scheduled, Callable[[], None]]:
    calendar, next_run = systemd.check_calendar(request.calendar)
    file = request.study_file.resolve()
    job = Job(
        job_id=entry_id(file),
        study=file,
        calendar=calendar,
        python=sys.executable,
        home=home().resolve(),
        writable=_written_folders(study),
        memory=request.memory,
        delay_minutes=request.delay_minutes,
        sandbox=request.sandbox,
        private_tmp=not _lies_in_tmp(file, study),
    )
    planned = Scheduled(
        schedule_id=job.job_id,
        backend="systemd",
        when=calendar,
        study=file,
        texts=job.units(),
        log=_journal(job.job_id),
        next_run=next_run,
        notes=_about_logout(),
    )

    def act() -> None:
        for folder in job.writable:  # systemd lets nothing be written to a folder that was not there
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        systemd.install(job)

    return planned, act


def _for_cron(request: ScheduleRequest) -> tuple[Scheduled, Callable[[], None]]:
    parse_calendar(request.calendar)
    log = home() / "logs" / f"{request.study_file.resolve().stem}.log"
    entry = make_entry(request.study_file, request.calendar, log)

    def act() -> None:
        log.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        add_entry(entry)

    return _of_entry(entry, str(log)), act


def _of_entry(entry: Entry, log: str = "") -> Scheduled:
    return Scheduled(
        schedule_id=entry.entry_id,
        backend="cron",
        when=entry.expression,
        study=entry.study,
        texts={"crontab": "\n".join([*entry.lines(), ""])},
        log=log or entry.command.rpartition(" >> ")[2].removesuffix(" 2>&1"),
        notes=_about_cron(),
    )


def _about_cron() -> tuple[str, ...]:
    missed = "cron does not make up for runs missed while the machine was off; the next one does it all."
    stopped = "No cron runs here, so nothing would be started: `systemctl enable --now cron`."
    return (missed,) if cron_runs() else (missed, stopped)


def _written_folders(study: Study) -> tuple[Path, ...]:
    """Return the folders a run of a study writes to, each once, without those inside another."""
    files = [study.study.database, study.run.summary, study.run.log]
    folders = [home(), study.study.output, *(file.parent for file in files if file is not None)]
    whole = sorted({folder.resolve() for folder in folders})
    return tuple(one for one in whole if not any(other in one.parents for other in whole))


def _lies_in_tmp(file: Path, study: Study) -> bool:
    """Tell whether something a run reads or writes is in a folder that a private /tmp would hide."""
    tables = [table.file for table in (study.subjects, study.linkage) if table is not None]
    touched = [file, home(), study.study.output, study.study.database, *study.images.sources, *tables]
    touched += [Path(study.model.bundle)]
    shared = (Path("/tmp"), Path("/var/tmp"))
    return any(folder in path.resolve().parents for path in touched for folder in shared)


def _forget_other(planned: Scheduled) -> None:
    """Take the study's schedule away from what does not keep it any more."""
    if planned.backend == "cron":
        systemd.uninstall(planned.schedule_id)
    elif shutil.which("crontab") and planned.schedule_id in {entry.entry_id for entry in list_entries()}:
        remove_entry(planned.schedule_id)


def _about_logout() -> tuple[str, ...]:
    if systemd.lingers() is not False:
        return ()
    return (
        "User timers stop when you log out; to keep them going: "
        f"sudo loginctl enable-linger {systemd.user_name()}",
    )


def _journal(job_id: str) -> str:
    return f"journalctl --user --unit spinescore-{job_id}"

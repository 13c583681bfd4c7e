"""A study run as nobody watches: waited for, watched by files, summed up, and told to other programs."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from spinescore import __version__
from spinescore.core.run_account import EXIT_FAILED, EXIT_INTERRUPTED, Failure, RunAccount
from spinescore.domain import StageSummary
from spinescore.errors import DatabaseError, SpineScoreError
from spinescore.listener import Listener, telling_status
from spinescore.run import model_key, run_stages
from spinescore.shell.event_log import EventLog
from spinescore.shell.private_files import write_private
from spinescore.shell.run_commands import refuse_others_commands, run_command
from spinescore.shell.run_status import StatusFile, utc_now
from spinescore.shell.sharing import shared_with_group
from spinescore.shell.snapshots import write_snapshot
from spinescore.shell.waiting import open_when_free
from spinescore.shell.warehouse import Warehouse
from spinescore.since_last_run import compare_with_last_run, remember_run
from spinescore.study import Study, read_study
from spinescore.study.run_section import RunSection


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """Which study to run, and what is said beside its [run] section; None leaves that to it."""

    study_file: Path
    wait_minutes: float | None = None
    summary: Path | None = None
    log: Path | None = None
    on_success: tuple[str, ...] | None = None
    on_failure: tuple[str, ...] | None = None


def run_unattended(request: RunRequest, listener: Listener) -> RunAccount:
    """Run a study, and say how that went in every way that is asked for, however it ended.

    An error of ours is in the account and not raised. Whatever else ends the run is raised again once the
    summary is written and the commands have run.
    """
    run = _Run(request, listener)
    try:
        run.go()
    except SpineScoreError as error:
        run.fail(error.slug, error.message, error.next_step, error.exit_status)
    except KeyboardInterrupt:
        run.fail("interrupted", "Interrupted.", "The same command goes on.", EXIT_INTERRUPTED)
        run.close()
        raise
    except BaseException as error:
        run.fail("unexpected", type(error).__name__, "Run it again in a terminal.", EXIT_FAILED)
        run.close()
        raise
    run.close()
    return run.account


class _Run:
    """One run, and those who are told of it."""

    def __init__(self, request: RunRequest, listener: Listener) -> None:
        self._request, self._listener = request, listener
        self._began = self._stage_began = time.monotonic()
        self._stage, self._settings = "", RunSection()
        self._database: Path | None = None
        self._status: StatusFile | None = None
        self._share: Callable[[], None] = lambda: None
        self._log = EventLog(request.log)
        self.account = RunAccount(
            identity={
                "version": __version__,
                "study_file": str(request.study_file.resolve()),
                "host": socket.gethostname(),
                "pid": os.getpid(),
            },
            started_at=utc_now(),
        )

    def go(self) -> None:
        """Run all stages, and compare with the run before."""
        study = read_study(self._request.study_file)
        self._take(study)
        self._log.write("start")
        with (
            shared_with_group(study) as self._share,
            open_when_free(
                study.study.database,
                create=study.model.imported is None,
                wait_minutes=self._settings.wait_minutes,
                announce=self._listener.announce,
            ) as warehouse,
        ):
            self._status = StatusFile(study.study.database, "spinescore run", study.study.title)
            self._snapshot(warehouse, stale_only=True)
            run_stages(warehouse, study, self._watching(warehouse))
            key = model_key(warehouse, study)
            of_model = {"model_id": key.model_id, "preprocessing_id": key.preprocessing_id}
            self.account.failures = warehouse.fetch("run/failures", **of_model).to_dicts()
            if study.drift is not None:
                self.account.drift = warehouse.fetch("drift/latest", **of_model).to_dicts()
            self.account.since_last_run = compare_with_last_run(warehouse, study.study.title)
            remember_run(warehouse, study.study.title)

    def fail(self, slug: str, message: str, next_step: str, exit_status: int) -> None:
        """Note what ended the run."""
        self.account.failure = Failure(self._stage, slug, message, next_step, exit_status)

    def close(self) -> None:
        """Write summary, status and the last line of the log, and start the command that is due."""
        account = self.account
        account.ended_at, account.seconds = utc_now(), time.monotonic() - self._began
        self._tell(self._end_status, "The status file")
        self._tell(self._end_log, "The log")
        command = self._settings.on_success if account.succeeded else self._settings.on_failure
        summary = self._summary_file(bool(command))
        self._write_summary(summary)
        if command:
            self._start(command, summary)
            self._write_summary(summary)

    def _end_status(self) -> None:
        if self._status is not None:
            self._status.end(self.account.exit_status)

    def _end_log(self) -> None:
        account, failure = self.account, self.account.failure
        self._log.write(
            "end",
            exit_status=account.exit_status,
            seconds=round(account.seconds, 3),
            error=failure.slug if failure else None,
            stage=failure.stage if failure else None,
        )

    def _take(self, study: Study) -> None:
        """Take what the study file says, under what the command line says."""
        own, said = self._request, study.run
        from_study = (said.on_success and own.on_success is None) or (
            said.on_failure and own.on_failure is None
        )
        if from_study:
            refuse_others_commands(own.study_file)
        given = {
            name: value
            for name in ("wait_minutes", "summary", "log", "on_success", "on_failure")
            if (value := getattr(own, name)) is not None
        }
        self._settings = said.model_copy(update=given)
        self._log = EventLog(self._settings.log, pid=os.getpid(), study=study.fingerprint()[:8])
        self._database = study.study.database
        self.account.identity = {
            **self.account.identity,
            "study": study.study.title,
            "database": str(study.study.database),
            "report": str(study.study.output),
        }

    def _watching(self, warehouse: Warehouse) -> Listener:
        """Return a listener that passes on what it hears, and writes status, log and snapshot."""
        status = self._status
        heard = self._listener if status is None else telling_status(self._listener, status, warehouse)

        def stage(name: str) -> None:
            self._stage, self._stage_began = name, time.monotonic()
            heard.stage(name)

        def done(summary: StageSummary) -> None:
            seconds = time.monotonic() - self._stage_began
            self.account.stages.append((summary, seconds))
            self._log.write(
                "stage",
                stage=summary.stage,
                changed=summary.changed,
                seconds=round(seconds, 3),
                counts=dict(summary.counts),
                warnings=len(summary.warnings),
            )
            heard.done(summary)
            if summary.changed:
                self._snapshot(warehouse)
                self._share()

        return replace(heard, stage=stage, done=done)

    def _snapshot(self, warehouse: Warehouse, *, stale_only: bool = False) -> None:
        """Copy the database for readers; a disk too full for that does not end the run."""
        try:
            write_snapshot(warehouse, self._settings.snapshot, stale_only=stale_only)
        except DatabaseError as error:
            self._warn(f"no snapshot: {error.message}")

    def _summary_file(self, wanted: bool) -> Path | None:
        """Return where the summary goes; beside the database where only a command needs it."""
        if self._settings.summary or self._request.summary or not wanted or self._database is None:
            return self._settings.summary or self._request.summary
        return self._database.with_name(f"{self._database.name}.summary.json")

    def _write_summary(self, path: Path | None) -> None:
        if path is not None:
            text = json.dumps(self.account.as_document(), ensure_ascii=False, indent=2, default=str)
            self._tell(lambda: write_private(path, f"{text}\n"), f"The summary {path}")

    def _start(self, command: Sequence[str], summary: Path | None) -> None:
        account = self.account
        variables = {
            "SPINESCORE_SUMMARY": str(summary.resolve()) if summary else "",
            "SPINESCORE_EXIT_STATUS": str(account.exit_status),
        }
        outcome = run_command(command, variables, self._settings.command_seconds)
        when = "on_success" if account.succeeded else "on_failure"
        account.commands.append({"when": when, "program": command[0], "outcome": outcome})
        if outcome != "done":
            self._warn(f"{when} command {command[0]}: {outcome}")

    def _tell(self, write: Callable[[], None], what: str) -> None:
        """Write to a file that is beside the run; that this fails does not change what was stored."""
        try:
            write()
        except OSError as error:
            self._warn(f"{what} could not be written: {error.strerror}")

    def _warn(self, text: str) -> None:
        self.account.warnings.append(text)

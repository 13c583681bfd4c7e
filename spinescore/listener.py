"""Who is told while work goes on: a terminal, a log, and the status file that other terminals read."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from spinescore.core.run_account import EXIT_DONE, EXIT_FAILED, EXIT_INTERRUPTED, EXIT_PARTIAL
from spinescore.domain import StageSummary
from spinescore.errors import SpineScoreError
from spinescore.shell.run_status import StatusFile
from spinescore.shell.warehouse import Warehouse


@dataclass(frozen=True, slots=True)
class Listener:
    """Who is told while a run goes on; by default nobody.

    ``advance`` hears how many are done since its last call, of how many; ``failed`` how many images this run
    could not score so far.
    """

    stage: Callable[[str], None] = lambda _: None
    advance: Callable[[int, int], None] = lambda *_: None
    failed: Callable[[int], None] = lambda _: None
    announce: Callable[[str], None] = lambda _: None
    done: Callable[[StageSummary], None] = lambda _: None


def telling_status(heard: Listener, status: StatusFile, warehouse: Warehouse) -> Listener:
    """Return a listener that passes on what it hears, and writes how far the stage is into a status file."""
    since = int(warehouse.fetch("run/extent", since=0)["run_id"][0])

    def count_failures() -> int:
        n = int(warehouse.fetch("run/extent", since=since)["scores_failed"][0])
        heard.failed(n)
        return n

    def stage(name: str) -> None:
        status.begin(name)
        heard.stage(name)

    def advance(n: int, total: int) -> None:
        status.advance(n, total, count_failures)
        heard.advance(n, total)

    return replace(heard, stage=stage, advance=advance)


@contextlib.contextmanager
def told_elsewhere(
    heard: Listener, warehouse: Warehouse, command: str, study: str = ""
) -> Iterator[Listener]:
    """Yield a listener that also keeps the database's status file, from start to exit status.

    A status that cannot be written changes nothing about the work it would tell of.
    """
    status = StatusFile(warehouse.path, command, study)
    partial = False

    def done(summary: StageSummary) -> None:
        nonlocal partial
        partial = partial or summary.partial
        heard.done(summary)

    exit_status = EXIT_FAILED
    try:
        told = telling_status(heard, status, warehouse)
        yield replace(told, done=done)
        exit_status = EXIT_PARTIAL if partial else EXIT_DONE
    except SpineScoreError as error:
        exit_status = error.exit_status
        raise
    except KeyboardInterrupt:
        exit_status = EXIT_INTERRUPTED
        raise
    finally:
        with contextlib.suppress(OSError):
            status.end(exit_status)

"""Supervised worker processes: one bad item costs that item, never the run.

``ProcessPoolExecutor`` breaks whole when one worker dies, so each worker here is
watched by itself: a worker that dies, hangs or has done its share is replaced.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import queue
import resource
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar

from spinescore.errors import WorkerStartError, describe_fault

Item = TypeVar("Item")
Result = TypeVar("Result")

SPAWN = multiprocessing.get_context("spawn")
POLL_S = 0.2
DECODER_MEMORY_BYTES = 6 << 30  # address space: the libraries and the largest image allowed, twice over
MOST_FAILED_STARTS = 3
START_ALLOWANCE_S = 30.0  # importing a worker's modules on a busy machine
_END = object()


@dataclass(frozen=True, slots=True)
class WorkerFailure:
    """What became of an item that has no result.

    Parameters
    ----------
    reason : str
        A reason code: ``decoder_crashed``, ``timeout``, or what the raised error names.
    detail : str
        What was seen.
    """

    reason: str
    detail: str


@dataclass(slots=True)
class _Worker:
    process: BaseProcess
    pipe: Connection
    item: Any = None
    busy: bool = False
    started: bool = False
    deadline: float = 0.0
    n_done: int = 0


def map_supervised(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    workers: int,
    timeout_s: float,
    ahead: int | None = None,
    recycle_after: int = 1000,
    memory_limit_bytes: int | None = None,
) -> Iterator[tuple[Item, Result | WorkerFailure]]:
    """Map a function over items in spawned processes; every item comes back exactly once.

    Results come as they finish, not in order. Work goes on in the background while the caller
    handles a result, up to ``ahead`` finished results.

    Parameters
    ----------
    function : callable
        Picklable (defined at a module's top level); its module should not import torch.
    items : iterable
        Picklable; read from another thread, one at a time, as workers become free.
    workers : int
        Number of processes.
    timeout_s : float
        Longest time one item may take, seconds.
    ahead : int, optional
        Finished results that may wait for the caller; twice the workers if left out.
    recycle_after : int
        Items after which a worker is replaced (decoders leak).
    memory_limit_bytes : int, optional
        Address space a worker may have.

    Yields
    ------
    (item, result or WorkerFailure)

    Raises
    ------
    WorkerStartError
        If three workers in a row die before they can begin.
    """
    supervisor = _Supervisor(function, iter(items), timeout_s, recycle_after, memory_limit_bytes)
    results: queue.Queue[Any] = queue.Queue(maxsize=ahead or 2 * workers)
    thread = threading.Thread(
        target=supervisor.run, args=(workers, results), name="worker-supervisor", daemon=True
    )
    thread.start()
    try:
        while (answer := results.get()) is not _END:
            if isinstance(answer, BaseException):
                raise answer
            yield answer
    finally:
        supervisor.stopped.set()
        thread.join()


class _Supervisor:
    """Keeps the workers busy, watches them and replaces them; lives in one thread."""

    def __init__(
        self,
        function: Callable[[Any], Any],
        items: Iterator[Any],
        timeout_s: float,
        recycle_after: int,
        memory_limit_bytes: int | None,
    ) -> None:
        self.function = function
        self.items = items
        self.timeout_s = timeout_s
        self.recycle_after = recycle_after
        self.memory_limit_bytes = memory_limit_bytes
        self.stopped = threading.Event()
        self.returned: list[Any] = []  # items of workers that never started
        self.n_failed_starts = 0

    def run(self, n_workers: int, results: queue.Queue[Any]) -> None:
        """Feed and watch until every item has an answer or the caller has gone."""
        team: list[_Worker] = []
        try:
            while not self.stopped.is_set():
                self._feed(team, n_workers)
                if not team:
                    break
                for answer in self._collect(team):
                    self._hand_over(results, answer)
        except BaseException as error:  # noqa: BLE001 - carried to the caller's thread and raised there
            self._hand_over(results, error)
        finally:
            for worker in team:
                _dismiss(worker)
            self._hand_over(results, _END)

    def _hand_over(self, results: queue.Queue[Any], answer: Any) -> None:
        while not self.stopped.is_set():
            try:
                results.put(answer, timeout=POLL_S)
            except queue.Full:
                continue
            return

    def _feed(self, team: list[_Worker], n_workers: int) -> None:
        """Give every idle worker an item; hire for items, dismiss who has none left."""
        for worker in [w for w in team if not w.busy]:
            item = _END if worker.n_done >= self.recycle_after else self._next_item()
            if item is _END:
                team.remove(worker)
                _dismiss(worker)
            else:
                self._assign(worker, item)
        while len(team) < n_workers and (item := self._next_item()) is not _END:
            team.append(self._hire())
            self._assign(team[-1], item)

    def _next_item(self) -> Any:
        return self.returned.pop() if self.returned else next(self.items, _END)

    def _assign(self, worker: _Worker, item: Any) -> None:
        worker.item, worker.busy = item, True
        allowance = 0.0 if worker.started else START_ALLOWANCE_S
        worker.deadline = time.monotonic() + self.timeout_s + allowance
        if worker.started:
            _send(worker, item)

    def _hire(self) -> _Worker:
        """Start a process; it is sent the function once it reads: a write to one that died would wait."""
        ours, theirs = SPAWN.Pipe()
        process = SPAWN.Process(target=_work, args=(theirs, self.memory_limit_bytes), daemon=True)
        process.start()
        theirs.close()
        return _Worker(process, ours)

    def _collect(self, team: list[_Worker]) -> Iterator[tuple[Any, Any]]:
        """Wait a moment for answers; then name the dead and the late."""
        ready = wait([w.pipe for w in team], POLL_S)
        now = time.monotonic()
        for worker in list(team):
            if worker.pipe in ready:
                try:
                    message = worker.pipe.recv()
                except (EOFError, OSError):
                    if worker.started:
                        yield self._give_up(worker, team, "decoder_crashed")
                    else:
                        self._take_back(worker, team, "decoder_crashed")
                    continue
                if message is _HELLO:
                    _send(worker, self.function)
                elif message is _READY:
                    worker.started, self.n_failed_starts = True, 0
                    worker.deadline = now + self.timeout_s
                    _send(worker, worker.item)
                else:
                    worker.busy, worker.n_done = False, worker.n_done + 1
                    yield worker.item, message
            elif now > worker.deadline and not worker.started:
                self._take_back(worker, team, "timeout")
            elif now > worker.deadline:
                yield self._give_up(worker, team, "timeout")

    def _take_back(self, worker: _Worker, team: list[_Worker], reason: str) -> None:
        """Keep the item of a worker that died, or got nowhere, before it could begin: it is not to blame."""
        _, failure = self._give_up(worker, team, reason)
        self.returned.append(worker.item)
        self.n_failed_starts += 1
        if self.n_failed_starts >= MOST_FAILED_STARTS:
            raise WorkerStartError(
                f"Worker processes cannot start: {failure.detail}.",
                "Look at what they print above; is there memory left, and is the installation whole?",
            )

    def _give_up(self, worker: _Worker, team: list[_Worker], reason: str) -> tuple[Any, WorkerFailure]:
        team.remove(worker)
        if reason == "timeout":
            detail = f"no answer within {self.timeout_s:g} s"
            worker.process.kill()
        worker.process.join(5)
        if reason != "timeout":
            detail = f"the worker ended with status {worker.process.exitcode}"
        _dismiss(worker)
        return worker.item, WorkerFailure(reason, detail)


class _Signal(Enum):
    """What a worker says beside answers."""

    HELLO = "it runs, and reads"
    READY = "it has what it needs"


_HELLO, _READY = _Signal.HELLO, _Signal.READY


def _send(worker: _Worker, message: Any) -> None:
    """Send to a worker; that one has died is seen, and answered for, where it is listened to."""
    with contextlib.suppress(OSError):
        worker.pipe.send(message)


def _dismiss(worker: _Worker) -> None:
    worker.pipe.close()  # an idle worker reads the end of the pipe and leaves
    if worker.busy:
        worker.process.kill()
    worker.process.join(2)
    if worker.process.is_alive():
        worker.process.kill()
        worker.process.join()


def _work(pipe: Connection, memory_limit_bytes: int | None) -> None:
    """Answer items until the pipe closes (the life of one worker process)."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides when to stop
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # read when numpy is imported; a worker has one core
    if memory_limit_bytes is not None:
        resource.setrlimit(resource.RLIMIT_AS, (memory_limit_bytes, memory_limit_bytes))
    pipe.send(_HELLO)
    try:
        function: Callable[[Any], Any] = pipe.recv()
    except (EOFError, OSError):
        return
    pipe.send(_READY)
    while True:
        try:
            item = pipe.recv()
        except (EOFError, OSError):
            return
        try:
            answer = function(item)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # noqa: BLE001 - Rust decoders panic with a BaseException; it is reported
            reason = getattr(error, "reason", "decode_failed")
            answer = WorkerFailure(str(reason), describe_fault(error))
        pipe.send(answer)

"""One bad item costs that item, never the run."""

from __future__ import annotations

import os
import signal
import time
from functools import partial
from pathlib import Path

import pytest

from spinescore.errors import DecodingError, WorkerStartError
from spinescore.shell.workers import WorkerFailure, map_supervised


class Panic(BaseException):
    """What a Rust decoder raises."""


def misbehave(item: tuple[str, int]) -> int:
    what, value = item
    if what == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "hang":
        time.sleep(60)
    if what == "panic":
        raise Panic("out of range")
    if what == "refuse":
        raise DecodingError("truncated", "half is missing")
    return value * value


def tell_process(item: int) -> int:
    return os.getpid()


def count_algebra_threads(item: int) -> list[int]:
    import numpy as np
    from threadpoolctl import threadpool_info

    np.ones((2, 2)) @ np.ones((2, 2))
    return [pool["num_threads"] for pool in threadpool_info() if pool["internal_api"] == "openblas"]


def slowly(item: int, *, seconds: float) -> int:
    time.sleep(seconds)
    return item


def test_every_item_comes_back_once_whatever_happens_to_its_worker() -> None:
    odd = {5: "die", 11: "hang", 17: "panic", 23: "refuse"}
    items = [(odd.get(i, "fine"), i) for i in range(30)]
    answers = dict(map_supervised(misbehave, items, workers=2, timeout_s=1.5))
    assert set(answers) == set(items)
    reasons = {i: answers[what, i].reason for i, what in odd.items()}  # type: ignore[union-attr]
    assert reasons == {5: "decoder_crashed", 11: "timeout", 17: "decode_failed", 23: "truncated"}
    assert all(answers["fine", i] == i * i for i in range(30) if i not in odd)


def test_workers_calculate_on_one_core_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    [(_, threads)] = map_supervised(count_algebra_threads, [1], workers=1, timeout_s=30)
    assert threads == [1]


def test_details_say_what_was_seen() -> None:
    [(_, failure)] = map_supervised(misbehave, [("refuse", 1)], workers=1, timeout_s=30)
    assert failure == WorkerFailure("truncated", "DecodingError: half is missing")


def test_no_items_start_no_process() -> None:
    started = time.monotonic()
    assert list(map_supervised(tell_process, [], workers=2, timeout_s=1)) == []
    assert time.monotonic() - started < 1


def test_workers_are_replaced_after_their_share() -> None:
    answers = [
        pid for _, pid in map_supervised(tell_process, range(6), workers=1, timeout_s=30, recycle_after=2)
    ]
    assert len(set(answers)) == 3


def test_a_caller_that_leaves_ends_the_workers() -> None:
    results = map_supervised(partial(slowly, seconds=0.05), iter(range(10_000)), workers=2, timeout_s=30)
    assert isinstance(next(results)[1], int)
    started = time.monotonic()
    results.close()  # type: ignore[attr-defined]
    assert time.monotonic() - started < 8


def test_an_error_among_the_items_reaches_the_caller() -> None:
    def items():  # type: ignore[no-untyped-def]
        yield 1
        raise OSError("the list ended early")

    with pytest.raises(OSError, match="ended early"):
        list(map_supervised(tell_process, items(), workers=1, timeout_s=30))


class Unloadable:
    """A function that no worker can unpickle, as when a module it needs is broken."""

    def __reduce__(self) -> tuple[object, ...]:
        return _fail_to_load, ()

    def __call__(self, item: int) -> int:
        return item


def _fail_to_load() -> None:
    raise ImportError("a module of the worker is broken")


def test_workers_that_cannot_start_are_an_error_and_no_item_is_blamed() -> None:
    with pytest.raises(WorkerStartError, match="cannot start"):
        list(map_supervised(Unloadable(), [1, 2, 3], workers=2, timeout_s=30))


def measure_load(item: int, *, load: bytes) -> int:
    return len(load)


def test_workers_that_die_before_they_read_are_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    large = partial(measure_load, load=bytes(1 << 20))  # more than a pipe takes unread
    assert list(map_supervised(large, [1], workers=1, timeout_s=30)) == [(1, 1 << 20)]
    (tmp_path / "sitecustomize.py").write_text("import os; os._exit(3)")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(WorkerStartError, match="ended with status 3"):
        list(map_supervised(large, [1], workers=1, timeout_s=30))


def test_no_item_is_blamed_for_workers_that_get_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sitecustomize.py").write_text("import time; time.sleep(60)")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr("spinescore.shell.workers.START_ALLOWANCE_S", 0.2)
    with pytest.raises(WorkerStartError, match=r"no answer within 0\.2 s"):
        list(map_supervised(tell_process, [1, 2, 3], workers=1, timeout_s=0.2))

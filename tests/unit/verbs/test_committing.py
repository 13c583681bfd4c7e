"""Scores are committed as they come: by number, by time, and what came before an interruption."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from spinescore.score import COMMIT_IMAGES, COMMIT_S, _commit_as_they_come
from spinescore.shell.pipeline import Outcome
from spinescore.shell.preparation import PendingImage, Prepared


def outcomes(n: int) -> Iterator[Outcome]:
    """Draw some, named by number."""
    for number in range(n):
        yield Outcome(PendingImage(str(number), "vfa", b"", 1, 1), Prepared(None))


def run(source: Iterator[Outcome], commit: Callable[[list[str]], None], seconds_each: float = 0.0) -> None:
    """Commit names; each look at the clock takes some seconds."""
    times = iter(range(10_000))
    _commit_as_they_come(
        source,
        lambda batch: commit([o.image.sop_instance_uid for o in batch]),
        clock=lambda: next(times) * seconds_each,
    )


def test_every_outcome_is_committed_once_and_in_order() -> None:
    committed: list[list[str]] = []
    run(outcomes(2 * COMMIT_IMAGES + 3), committed.append)
    assert [len(batch) for batch in committed] == [COMMIT_IMAGES, COMMIT_IMAGES, 3]
    assert [name for batch in committed for name in batch] == [str(n) for n in range(2 * COMMIT_IMAGES + 3)]


def test_slow_images_do_not_wait_for_the_others() -> None:
    committed: list[list[str]] = []
    run(outcomes(4), committed.append, seconds_each=COMMIT_S + 1)
    assert committed == [["0"], ["1"], ["2"], ["3"]]


def test_an_interruption_keeps_what_came_before_it() -> None:
    def interrupted() -> Iterator[Outcome]:
        yield from outcomes(5)
        raise KeyboardInterrupt

    committed: list[list[str]] = []
    with pytest.raises(KeyboardInterrupt):
        run(interrupted(), committed.append)
    assert committed == [["0", "1", "2", "3", "4"]]


def test_what_could_not_be_committed_is_not_tried_again() -> None:
    tried: list[list[str]] = []

    def full(batch: list[str]) -> None:
        tried.append(batch)
        raise OSError("no space")

    with pytest.raises(OSError, match="no space"):
        run(outcomes(3), full)
    assert tried == [["0", "1", "2"]]

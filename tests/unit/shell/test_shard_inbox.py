"""What comes in from other machines is taken once, and kept until it is committed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from spinescore.shell.pipeline import Outcome
from spinescore.shell.preparation import PendingImage, Prepared
from spinescore.shell.shard_inbox import ShardInbox
from spinescore.shell.shards import write_shard

IMAGES = [PendingImage(str(n), "vfa", b"/a", 10, 1) for n in range(6)]


def scored(*numbers: int) -> list[Outcome]:
    return [Outcome(IMAGES[n], Prepared(None, "p", "i"), np.ones(3, np.float32), 0.1) for n in numbers]


def failed(*numbers: int) -> list[Outcome]:
    return [Outcome(IMAGES[n], Prepared(None, reason="missing", detail="gone")) for n in numbers]


def names(outcomes: Iterable[Outcome]) -> list[str]:
    return sorted(outcome.image.sop_instance_uid for outcome in outcomes)


def left(inbox: ShardInbox) -> list[str]:
    return sorted(image.sop_instance_uid for image in inbox.waiting)


def test_what_an_earlier_run_left_is_taken_first_and_its_failures_are_not(tmp_path: Path) -> None:
    write_shard(tmp_path, scored(0, 1) + failed(2))
    inbox = ShardInbox(tmp_path, IMAGES)
    assert names(inbox.take_left_over()) == ["0", "1"]
    assert left(inbox) == ["2", "3", "4", "5"]
    write_shard(tmp_path, failed(2) + scored(3))
    assert names(inbox.take()) == ["2", "3"]


def test_a_shard_stays_until_the_last_of_it_is_committed(tmp_path: Path) -> None:
    path = write_shard(tmp_path, scored(0, 1))
    inbox = ShardInbox(tmp_path, IMAGES)
    first, second = inbox.take()
    inbox.committed([first])
    assert path.exists()
    inbox.committed([second])
    assert not path.exists()


def test_a_shard_of_nothing_that_is_waited_for_is_deleted(tmp_path: Path) -> None:
    changed = replace(IMAGES[0], modified_ns=2)
    write_shard(tmp_path, scored(0))
    (tmp_path / "torn.parquet").write_bytes(b"PAR1")
    inbox = ShardInbox(tmp_path, [changed])
    assert list(inbox.take()) == []
    assert list(tmp_path.iterdir()) == []
    assert left(inbox) == ["0"]


def test_a_shard_that_is_named_is_taken_once_whether_listed_or_not(tmp_path: Path) -> None:
    path = write_shard(tmp_path, scored(0))
    inbox = ShardInbox(tmp_path, IMAGES)
    assert names(inbox.take([path.name])) == ["0"]
    assert list(inbox.take([path.name])) == []
    assert path.exists()


@settings(max_examples=20)  # each writes and syncs files
@given(st.lists(st.lists(st.integers(0, 5), max_size=6, unique=True), max_size=8))
def test_whatever_comes_how_often_each_image_is_taken_once(
    tmp_path_factory,
    shards: list[list[int]],  # type: ignore[no-untyped-def]
) -> None:
    folder = tmp_path_factory.mktemp("shards")
    inbox = ShardInbox(folder, IMAGES)
    taken: list[Outcome] = []
    for numbers in shards:
        write_shard(folder, scored(*numbers))
        taken += inbox.take()
    came = sorted({str(n) for numbers in shards for n in numbers})
    assert names(taken) == came
    assert left(inbox) == sorted({str(n) for n in range(6)} - set(came))
    inbox.committed(taken)
    assert list(folder.iterdir()) == []

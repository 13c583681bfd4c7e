"""The network works on while the caller handles what it has answered."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from spinescore.errors import DeviceError
from spinescore.shell import pipeline
from spinescore.shell.pipeline import predict
from spinescore.shell.preparation import PendingImage, Prepared
from spinescore.shell.workers import WorkerFailure

N = 7


class Watched:
    """A backend that says when it is asked, and may fail."""

    device, precision, description, batch_images = "cuda", "fp16", "", 2

    def __init__(self, fails_at: int = N) -> None:
        self.fails_at = fails_at
        self.asked = [threading.Event() for _ in range(N)]
        self.n_calls = 0

    def predict(self, images: np.ndarray) -> np.ndarray:
        self.asked[self.n_calls].set()
        self.n_calls += 1
        if self.n_calls > self.fails_at:
            raise DeviceError("The device failed.")
        return images[:, 0, 0]


def score_with(backend: Watched, monkeypatch: pytest.MonkeyPatch) -> Iterator[pipeline.Outcome]:
    """Return the outcomes of seven images; the fourth killed its decoder."""
    images = [PendingImage(str(n), "vfa", b"", 0, 0) for n in range(N)]
    results: list[tuple[PendingImage, Any]] = [
        (image, Prepared(np.full((1, 3), n, np.float32), input_sha256=str(n)))
        for n, image in enumerate(images)
    ]
    results[3] = (images[3], WorkerFailure("decoder_crashed", "the worker ended with status -9"))
    monkeypatch.setattr(pipeline, "map_supervised", lambda *_, **__: iter(results))
    return predict(images, backend, lambda image: Prepared(None), workers=1)


def test_the_next_batch_is_in_the_network_while_one_is_handled(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = Watched()
    outcomes = score_with(backend, monkeypatch)
    first = next(outcomes)
    assert backend.asked[1].wait(30)
    rest = list(outcomes)
    found = [first, *rest]
    assert [outcome.image.sop_instance_uid for outcome in found] == [str(n) for n in range(N)]
    assert [outcome.prepared.reason for outcome in found] == [""] * 3 + ["decoder_crashed"] + [""] * 3
    values = [outcome.distribution[0] for outcome in found if outcome.distribution is not None]
    assert values == [0, 1, 2, 4, 5, 6]
    assert {(o.device, o.precision) for o in found if not o.failed} == {("cuda", "fp16")}


def test_what_was_answered_before_a_fault_is_handed_over_first(monkeypatch: pytest.MonkeyPatch) -> None:
    outcomes = score_with(Watched(fails_at=2), monkeypatch)
    assert [next(outcomes).image.sop_instance_uid for _ in range(4)] == ["0", "1", "2", "3"]
    with pytest.raises(DeviceError, match="The device failed"):
        next(outcomes)


def test_a_caller_that_goes_leaves_nothing_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = Watched()
    outcomes = score_with(backend, monkeypatch)
    next(outcomes)
    outcomes.close()
    for thread in threading.enumerate():
        if thread.name.startswith("network"):
            thread.join(30)
    assert backend.n_calls <= 2

"""Images -> age distributions: workers decode and preprocess while the network infers in batches."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from spinescore.shell.backends import Backend, RawBackend
from spinescore.shell.preparation import PendingImage, Prepared
from spinescore.shell.workers import DECODER_MEMORY_BYTES, WorkerFailure, map_supervised

IMAGE_TIMEOUT_S = 60.0
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one image.

    Parameters
    ----------
    image : PendingImage
    prepared : Prepared
        Its input to the network, or why there is none.
    distribution : ndarray of float32, shape (K,), or None
        Probabilities of the ages; none where preparation failed, nor where a touched file gives the network
        what it saw before.
    forward_s : float or None
        The image's share of its batch's time in the network, seconds.
    device, precision : str or None
        What answered, where that may change within a run.
    """

    image: PendingImage
    prepared: Prepared
    distribution: NDArray[np.float32] | None = None
    forward_s: float | None = None
    device: str | None = None
    precision: str | None = None

    @property
    def failed(self) -> bool:
        """Whether there was no input to the network; its pixels are not carried from another machine."""
        return bool(self.prepared.reason)


def predict(
    images: Sequence[PendingImage],
    backend: Backend,
    prepare: Callable[[PendingImage], Prepared],
    *,
    workers: int,
) -> Iterator[Outcome]:
    """Prepare and infer; every image comes back exactly once, in no order.

    Parameters
    ----------
    images : sequence of PendingImage
    backend : Backend
        The loaded network.
    prepare : callable
        Run in the workers; picklable.
    workers : int
        Processes that decode and preprocess; they work on while the network infers, up to one batch ahead.
    """
    prepared = map_supervised(
        prepare,
        images,
        workers=workers,
        timeout_s=IMAGE_TIMEOUT_S,
        ahead=max(backend.batch_images, 2 * workers),
        memory_limit_bytes=DECODER_MEMORY_BYTES,
    )
    batches = (
        [(image, _as_prepared(result)) for image, result in chunk]
        for chunk in in_chunks(prepared, backend.batch_images)
    )
    yield from infer_ahead(batches, backend)


def infer_ahead(
    batches: Iterator[Sequence[tuple[PendingImage, Prepared]]], backend: Backend
) -> Iterator[Outcome]:
    """Infer one batch while the caller handles the one before: a device that waits for a commit is idle."""
    network = ThreadPoolExecutor(1, "network")
    try:
        under_way: Future[list[Outcome]] | None = None
        for batch in batches:
            following = network.submit(_infer_all, batch, backend)
            if under_way is not None:
                yield from under_way.result()
            under_way = following
        if under_way is not None:
            yield from under_way.result()
    finally:
        network.shutdown(wait=False, cancel_futures=True)


def _infer_all(batch: Sequence[tuple[PendingImage, Prepared]], backend: Backend) -> list[Outcome]:
    return list(infer(batch, backend))


def infer(batch: Sequence[tuple[PendingImage, Prepared]], backend: Backend) -> Iterator[Outcome]:
    """Run one batch of prepared images, or of raw ones, through the network."""
    if any(prepared.raw is not None for _, prepared in batch):
        yield from _infer_raw(batch, backend)
        return
    ready = [p.image for image, p in batch if p.image is not None and not _is_known(image, p)]
    began = time.perf_counter()
    distributions = iter(backend.predict(np.stack(ready)[:, None]) if ready else ())
    share_s = (time.perf_counter() - began) / max(len(ready), 1)
    for image, prepared in batch:
        if prepared.image is None or _is_known(image, prepared):
            yield Outcome(image, prepared)
        else:
            yield Outcome(image, prepared, next(distributions), share_s, backend.device, backend.precision)


def _infer_raw(batch: Sequence[tuple[PendingImage, Prepared]], backend: Backend) -> Iterator[Outcome]:
    """Let the backend preprocess what is raw; an image it finds nothing in failed as in a worker."""
    assert isinstance(backend, RawBackend)
    raw = [prepared.raw for _, prepared in batch if prepared.raw is not None]
    began = time.perf_counter()
    answers = iter(backend.predict_raw(raw))
    share_s = (time.perf_counter() - began) / len(raw)
    for image, prepared in batch:
        if prepared.raw is None:
            yield Outcome(image, prepared)
            continue
        answer = next(answers)
        if answer.reason:
            yield Outcome(image, Prepared(None, reason=answer.reason, detail=answer.detail))
            continue
        seen = replace(prepared, raw=None, input_sha256=answer.input_sha256)
        touched = image.scored_input_sha256 == answer.input_sha256
        distribution = None if touched else answer.distribution
        yield Outcome(image, seen, distribution, share_s, backend.device, backend.precision)


def _is_known(image: PendingImage, prepared: Prepared) -> bool:
    """Tell whether only the file was touched: the network saw this very input before."""
    return prepared.image is not None and image.scored_input_sha256 == prepared.input_sha256


def _as_prepared(result: Prepared | WorkerFailure) -> Prepared:
    if isinstance(result, WorkerFailure):
        return Prepared(None, reason=result.reason, detail=result.detail)
    return result


def in_chunks(items: Iterator[T], size: int) -> Iterator[list[T]]:
    """Yield lists of up to ``size`` items."""
    while chunk := list(islice(items, size)):
        yield chunk

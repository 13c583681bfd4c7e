"""Images -> age distributions: workers decode and preprocess while the network infers in batches."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from spinescore.shell.backends import Backend
from spinescore.shell.preparation import PendingImage, Prepared
from spinescore.shell.workers import DECODER_MEMORY_BYTES, WorkerFailure, map_supervised

BATCH_IMAGES = 16
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
    """

    image: PendingImage
    prepared: Prepared
    distribution: NDArray[np.float32] | None = None
    forward_s: float | None = None

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
        ahead=max(BATCH_IMAGES, 2 * workers),
        memory_limit_bytes=DECODER_MEMORY_BYTES,
    )
    for chunk in in_chunks(prepared, BATCH_IMAGES):
        yield from infer([(image, _as_prepared(result)) for image, result in chunk], backend)


def infer(batch: Sequence[tuple[PendingImage, Prepared]], backend: Backend) -> Iterator[Outcome]:
    """Run one batch of prepared images through the network."""
    ready = [p.image for image, p in batch if p.image is not None and not _is_known(image, p)]
    began = time.perf_counter()
    distributions = iter(backend.predict(np.stack(ready)[:, None]) if ready else ())
    share_s = (time.perf_counter() - began) / max(len(ready), 1)
    for image, prepared in batch:
        if prepared.image is None or _is_known(image, prepared):
            yield Outcome(image, prepared)
        else:
            yield Outcome(image, prepared, next(distributions), share_s)


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

"""The part of a run that needs no decoding: images whose inputs lie in the cache."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

from spinescore.shell.backends import Backend
from spinescore.shell.input_cache import InputCache
from spinescore.shell.pipeline import Outcome, in_chunks, infer_ahead
from spinescore.shell.preparation import PendingImage, Prepared, read_kept

READERS = 2


@dataclass(frozen=True, slots=True)
class Keeping:
    """Prepares as ``prepare`` does, and keeps the inputs of images that are marked for that; picklable."""

    prepare: Callable[[PendingImage], Prepared]
    cache: InputCache

    def __call__(self, image: PendingImage) -> Prepared:
        """Prepare one image."""
        prepared = self.prepare(image)
        if image.keep and prepared.image is not None:
            self.cache.write(prepared.input_sha256, prepared.image)
        return prepared


@dataclass(frozen=True, slots=True)
class KeptInputs:
    """What a cache does for a run.

    Parameters
    ----------
    cache : InputCache
    found : sequence of PendingImage
        Whose inputs are there.
    others : sequence of PendingImage
        To be decoded; those that there is room for are marked to be kept.
    description : str
        One sentence for a person.
    """

    cache: InputCache
    found: Sequence[PendingImage]
    others: Sequence[PendingImage]
    description: str

    def predict(self, backend: Backend, missed: list[PendingImage]) -> Iterator[Outcome]:
        """Infer what was found; what has gone since, or whose file has changed, is added to ``missed``."""
        ready = self._ready(missed, 2 * backend.batch_images)
        yield from infer_ahead(in_chunks(ready, backend.batch_images), backend)

    def _ready(self, missed: list[PendingImage], ahead: int) -> Iterator[tuple[PendingImage, Prepared]]:
        for image, prepared in self._read_ahead(ahead):
            if prepared is None:
                missed.append(replace(image, keep=True))
            else:
                yield image, prepared

    def _read_ahead(self, ahead: int) -> Iterator[tuple[PendingImage, Prepared | None]]:
        """Read in threads while the network infers, so many images ahead."""
        waiting: deque[tuple[PendingImage, Future[Prepared | None]]] = deque()
        with ThreadPoolExecutor(READERS) as readers:
            try:
                for image in self.found:
                    waiting.append((image, readers.submit(read_kept, image, self.cache)))
                    if len(waiting) > ahead:
                        first, reading = waiting.popleft()
                        yield first, reading.result()
                for first, reading in waiting:
                    yield first, reading.result()
            finally:
                readers.shutdown(wait=False, cancel_futures=True)


def plan_kept_inputs(cache: InputCache, images: Sequence[PendingImage]) -> KeptInputs:
    """Look up which images the cache has inputs of, and make room for those of the others.

    A cache that cannot be used is done without; the description says why.
    """
    found = [i for i in images if i.has_facts and i.kept_input_sha256 and cache.holds(i.kept_input_sha256)]
    known = {image.sop_instance_uid for image in found}
    others = [image for image in images if image.sop_instance_uid not in known]
    try:
        room = cache.make_room(len(others))
    except OSError as error:
        reason = error.strerror or "it cannot be read"
        return KeptInputs(cache, found, others, f"No inputs are kept: {cache.folder}: {reason.lower()}")
    kept = [replace(image, keep=True) for image in others[:room]]
    said = f"{len(found):,} of {len(images):,} inputs from the cache"
    if room < len(others):
        said += f", no room for {len(others) - room:,} more (--image-cache-gb)"
    return KeptInputs(cache, found, [*kept, *others[room:]], said)

"""How many images go through the network at once: as many as pay, and fit."""

from __future__ import annotations

import threading
from collections.abc import Callable

LARGEST_BATCH = 256
GAIN = 1.05  # what twice the images must bring in images per second


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether torch, a library below it or Python found too little memory."""
    if isinstance(error, MemoryError):
        return True
    if not isinstance(error, RuntimeError):
        return False
    text = str(error).lower()
    causes = "out of memory", "alloc_failed", "can't allocate memory"
    return type(error).__name__ == "OutOfMemoryError" or any(cause in text for cause in causes)


def find_batch_size(time_batch: Callable[[int], float], *, largest: int = LARGEST_BATCH) -> int:
    """Double the batch as long as that brings a twentieth more images per second, and fits.

    Parameters
    ----------
    time_batch : callable
        Seconds that a batch of a size takes; raises an out-of-memory error where it does not fit.
    largest : int
        No more than this.

    Raises
    ------
    Exception
        What ``time_batch`` raises of one image, and what is not an out-of-memory error of more.

    Examples
    --------
    >>> find_batch_size(lambda size: max(size, 8) / 8)
    8
    """
    size = 1
    rate = 1 / time_batch(1)
    while 2 * size <= largest:
        try:
            doubled = 2 * size / time_batch(2 * size)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            return size
        if doubled < GAIN * rate:
            return size
        size, rate = 2 * size, doubled
    return size


class Remaining:
    """The images of one call that are still to be answered; several devices take from it at once."""

    def __init__(self, n_images: int) -> None:
        self._parts = [range(n_images)] if n_images else []
        self._lock = threading.Lock()

    def __bool__(self) -> bool:
        return bool(self._parts)

    def take(self, most: int) -> range:
        """Return up to ``most`` neighbouring images nobody has, in order; an empty range if none are left."""
        with self._lock:
            if not self._parts:
                return range(0)
            part = self._parts.pop(0)
            if len(part) > most:
                self._parts.insert(0, part[most:])
            return part[:most]

    def give_back(self, part: range) -> None:
        """Let others have images that were taken and not answered."""
        with self._lock:
            self._parts.insert(0, part)

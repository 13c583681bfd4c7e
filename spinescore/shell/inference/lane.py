"""One device's way up, through and down.

While a batch is in the network, the next goes up and the last comes down.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Forward = Callable[[Tensor], Tensor]
N_SLOTS = 2


class Slot:
    """Room for one batch, on the device and in pinned memory of the host.

    Parameters
    ----------
    shape : (int, int, int)
        Images, height and width.
    device : torch.device
    """

    def __init__(self, shape: tuple[int, int, int], device: torch.device) -> None:
        n_images, height, width = shape
        self.device = device
        self.pinned = device.type == "cuda"
        size = (n_images, 1, height, width)
        layout = torch.channels_last
        self.images = torch.empty(size, device=device, memory_format=layout)
        self.host_images = torch.empty(size, pin_memory=self.pinned)
        self.host_logits: Tensor | None = None
        library = device_library(device)
        self.uploaded, self.computed, self.downloaded = (library.Event() for _ in range(3))
        self.logits: Tensor | None = None
        self.usable: Tensor | None = None  # of raw images: which left something to look at
        self.part = range(0)

    def put_images(self, images: NDArray[np.float32]) -> None:
        """Send prepared images (n, 1, H, W) up."""
        n = len(images)
        self.host_images[:n].copy_(torch.from_numpy(images))
        self.images[:n].copy_(self.host_images[:n], non_blocking=True)

    def put(self, array: NDArray[Any]) -> Tensor:
        """Return an array on the device; on its way there from pinned memory when this returns."""
        tensor = torch.from_numpy(array)
        if self.pinned:
            tensor = tensor.pin_memory()  # torch keeps it until the copy is done, and then for the next
        return tensor.to(self.device, non_blocking=True)

    def fetch_logits(self) -> None:
        """Send the logits down."""
        assert self.logits is not None
        n, n_classes = self.logits.shape
        if self.host_logits is None:
            self.host_logits = torch.empty((len(self.images), n_classes), pin_memory=self.pinned)
        self.host_logits[:n].copy_(self.logits, non_blocking=True)

    def answer(self) -> NDArray[np.float32]:
        """Return the logits (n, K), once they are down."""
        self.downloaded.synchronize()
        assert self.host_logits is not None
        return self.host_logits[: len(self.part)].numpy().copy()


class Lane:
    """Streams and slots of one device.

    Parameters
    ----------
    forward : callable
        Images (n, 1, H, W) on the device to logits (n, K).
    shape : (int, int, int)
        Images of the largest batch, height and width.
    device : torch.device
    """

    def __init__(self, forward: Forward, shape: tuple[int, int, int], device: torch.device) -> None:
        library = device_library(device)
        self.device = device
        self.batch_size = shape[0]
        self._forward = forward
        self._library = library
        with on_device(device):
            self._up, self._through, self._down = (library.Stream() for _ in range(3))
            self._slots = [Slot(shape, device) for _ in range(N_SLOTS)]
            library.synchronize(device)  # the slots' memory may have been another stream's

    def run(
        self, take: Callable[[], range], fill: Callable[[Slot, range], None], *, keep_images: bool
    ) -> Iterator[tuple[Slot, NDArray[np.float32]]]:
        """Yield each batch's slot and logits (n, K), in order, two batches in flight.

        Parameters
        ----------
        take : callable
            The next batch's images; an empty range ends.
        fill : callable
            Sends a batch up into a slot's ``images``.
        keep_images : bool
            Fetch the images as well, into the slot's ``host_images``: they were made on the device.
        """
        flying: deque[Slot] = deque()
        turn = 0
        while part := take():
            slot = self._slots[turn % N_SLOTS]
            turn += 1
            slot.part = part
            self._launch(slot, fill, keep_images=keep_images)
            flying.append(slot)
            if len(flying) == N_SLOTS:
                yield self._land(flying)
        while flying:
            yield self._land(flying)

    def finish(self) -> None:
        """Wait until nothing is on its way, so that the slots may be given up."""
        with contextlib.suppress(RuntimeError):  # what went wrong has been said by whoever met it first
            self._library.synchronize(self.device)

    def _launch(self, slot: Slot, fill: Callable[[Slot, range], None], *, keep_images: bool) -> None:
        n = len(slot.part)
        with on_device(self.device), torch.inference_mode():
            with self._library.stream(self._up):
                fill(slot, slot.part)
                slot.uploaded.record(self._up)
            with self._library.stream(self._through):
                self._through.wait_event(slot.uploaded)
                slot.logits = self._forward(slot.images[:n]).float()
                slot.computed.record(self._through)
            with self._library.stream(self._down):
                self._down.wait_event(slot.computed)
                slot.fetch_logits()
                if keep_images:
                    slot.host_images[:n].copy_(slot.images[:n], non_blocking=True)
                slot.downloaded.record(self._down)

    @staticmethod
    def _land(flying: deque[Slot]) -> tuple[Slot, NDArray[np.float32]]:
        slot = flying.popleft()
        return slot, slot.answer()


def device_library(device: torch.device) -> Any:
    """Return torch's streams and events of a device: the CPU's do nothing, so the same code runs there."""
    return torch.cuda if device.type == "cuda" else torch.cpu


def on_device(device: torch.device) -> contextlib.AbstractContextManager[Any]:
    """Return a context in which a CUDA device is the current one."""
    return torch.cuda.device(device) if device.type == "cuda" else contextlib.nullcontext()

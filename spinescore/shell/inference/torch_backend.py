"""A torch network on one device: batches as large as fit, two in flight, none lost when memory runs out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from spinescore.core.imaging.raw_image import RawImage
from spinescore.errors import DeviceError, DeviceMemoryError, describe_fault
from spinescore.shell.bundles import Bundle
from spinescore.shell.inference.batch_size import LARGEST_BATCH, Remaining, find_batch_size, is_out_of_memory
from spinescore.shell.inference.cache_place import recall, remember
from spinescore.shell.inference.calls import PreparedCall, RawCall
from spinescore.shell.inference.forward import (
    PLAIN,
    choose_forward,
    free_memory,
    record_graph,
    run_plainly,
    time_forward,
)
from spinescore.shell.inference.lane import Forward, Lane, Slot, on_device
from spinescore.shell.inference.precision import Precision
from spinescore.shell.inference.raw_answer import RawAnswer
from spinescore.shell.inference.torch_network import build_network

CPU_BATCH = 4
GRAPH = "CUDA graph"
MEMORY_CLASSES = 8


class Call(Protocol):
    """What is asked of a device: to send parts of it up, and to take their logits."""

    keep_images: bool
    n_images: int

    def fill(self, slot: Slot, part: range) -> None:
        """Send a part up."""

    def receive(self, slot: Slot, logits: NDArray[np.float32]) -> None:
        """Keep the answer to a slot's part."""


class TorchBackend:
    """The network on one device; fp32 is without TF32, memory format channels last.

    Parameters
    ----------
    bundle : Bundle
    device : str
        ``cpu``, ``cuda`` or ``cuda:N``.
    batch_size : int, optional
        Images at once; on CUDA found by trying if left out, and remembered.
    precision : {"fp32", "fp16", "bf16"}
    announce : callable
        Called with one line about what was found, and about memory that ran out.
    build : callable
        Makes the network of a bundle.

    Raises
    ------
    DeviceMemoryError
        If not one image fits.
    DeviceError
        If the device fails otherwise.
    """

    def __init__(
        self,
        bundle: Bundle,
        device: str,
        batch_size: int | None = None,
        *,
        precision: Precision = "fp32",
        announce: Callable[[str], None] = lambda _: None,
        build: Callable[[Bundle], Any] = build_network,
    ) -> None:
        self._place = torch.device(device)
        self.device: Literal["cpu", "cuda"] = "cuda" if self._place.type == "cuda" else "cpu"
        self.precision = precision
        self._bundle = bundle
        self._temperature = np.float32(bundle.temperature)
        self._announce = announce
        self._lane: Lane | None = None
        self._is_found = batch_size is None
        self.name = name_device(self._place)
        self._memory_class = classify_memory(self._place)
        _be_exact()
        with on_device(self._place):
            self._network = build(bundle).to(device=self._place, memory_format=torch.channels_last)
            self._forward = run_plainly(self._network, self._place, precision)
            self._way = PLAIN
            with _explained(self.name):
                self.batch_size = batch_size or self._find_batch_size()
                while self.device == "cuda" and not self._choose_forward():
                    self._halve()

    @property
    def batch_images(self) -> int:
        """Images that a call should bring, for two batches to be in flight."""
        return 4 * self.batch_size

    @property
    def description(self) -> str:
        """What runs where."""
        way = "" if self._way == PLAIN else f", {self._way}"
        return f"torch {torch.__version__} on {self.name}, {self.precision}, {self.batch_size} at once{way}"

    def predict(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return probabilities (N, K) of images (N, 1, H, W) in [0, 1].

        Raises
        ------
        DeviceMemoryError
            If not one image fits any more.
        """
        call = PreparedCall(images)
        self.work(call, Remaining(call.n_images))
        return call.answer(self._temperature)

    def predict_raw(self, images: Sequence[RawImage]) -> list[RawAnswer]:
        """Return what became of decoded images that are prepared on the device.

        Raises
        ------
        DeviceMemoryError
            If not one image fits any more.
        """
        call = RawCall(images, self._bundle.spec)
        self.work(call, Remaining(call.n_images))
        return call.answer(self._temperature)

    def work(self, call: Call, remaining: Remaining) -> None:
        """Answer what remains of a call, half as many at once whenever memory runs out.

        Raises
        ------
        DeviceMemoryError
            If not one image fits; what was taken has then been given back.
        DeviceError
            If the device fails otherwise.
        """
        while remaining:
            with _explained(self.name):
                if not self._work_at_this_size(call, remaining):
                    self._halve()

    def _work_at_this_size(self, call: Call, remaining: Remaining) -> bool:
        """Tell whether memory sufficed; what was under way when it did not is given back."""
        taken: list[range] = []

        def take() -> range:
            part = remaining.take(self.batch_size)
            taken.append(part)
            return part

        try:
            if self._lane is None:
                self._lane = self._open_lane()
            for slot, logits in self._lane.run(take, call.fill, keep_images=call.keep_images):
                call.receive(slot, logits)
                taken.remove(slot.part)
        except Exception as error:
            for part in reversed(taken):
                remaining.give_back(part)
            if not is_out_of_memory(error):
                raise
            return False
        return True

    def _open_lane(self) -> Lane:
        spec = self._bundle.spec
        return Lane(self._forward, (self.batch_size, spec.height, spec.width), self._place)

    def _halve(self) -> None:
        """Give the memory up that larger batches took, and remember that they do not fit."""
        if self._lane is not None:
            self._lane.finish()
        self._lane = None
        self._forward, self._way = run_plainly(self._network, self._place, self.precision), PLAIN
        if self.device == "cuda":
            torch.cuda.empty_cache()
        if self.batch_size == 1:
            raise _too_little_memory(self.name)
        was, self.batch_size = self.batch_size, self.batch_size // 2
        if self._is_found:
            remember(self._key("batch"), self.batch_size)
        self._announce(f"{self.name}: out of memory at {was} images at once, going on with {self.batch_size}")

    def _find_batch_size(self) -> int:
        known = recall(self._key("batch"))
        if isinstance(known, int) and 1 <= known <= LARGEST_BATCH:
            return known
        if self.device == "cpu":
            return CPU_BATCH
        size = find_batch_size(self._time_batch)
        torch.cuda.empty_cache()
        remember(self._key("batch"), size)
        return size

    def _time_batch(self, size: int) -> float:
        return time_forward(self._forward, self._blank(size))

    def _blank(self, size: int) -> torch.Tensor:
        spec = self._bundle.spec
        blank = torch.rand(size, 1, spec.height, spec.width, device=self._place)
        return blank.to(memory_format=torch.channels_last)

    def _choose_forward(self) -> bool:
        """Take a CUDA graph where it is faster here, and tell whether a batch fits at all."""
        try:
            example = self._blank(self.batch_size)
            ways: dict[str, Callable[[], Forward]] = {
                PLAIN: lambda: self._forward,
                GRAPH: partial(record_graph, self._forward, example),
            }
            with torch.inference_mode():
                chosen = choose_forward(ways, example)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            return False
        self._forward, self._way = chosen.forward, chosen.name
        self._announce(f"{self.name}: {self.batch_size} images at once, {chosen.why}")
        return True

    def _key(self, what: str) -> str:
        """Return what a measurement on this device depends on."""
        name = name_device(torch.device(self._place.type))
        parts = what, self._bundle.model_id, name, self.precision, torch.__version__, self._memory_class
        return "|".join(parts)


def name_device(place: torch.device) -> str:
    """Return what a device is called."""
    if place.type != "cuda":
        return "the CPU"
    name = torch.cuda.get_device_name(place)
    return name if place.index is None else f"{name} ({place.index})"


def classify_memory(place: torch.device) -> str:
    """Return how many eighths of a CUDA device's memory are free: others may hold the rest."""
    if place.type != "cuda":
        return ""
    free, total = free_memory(place)
    return f"{MEMORY_CLASSES * free // total} eighths free"


def _be_exact() -> None:
    """Let fp32 be fp32, and the same input give the same output."""
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True


@contextmanager
def _explained(name: str) -> Iterator[None]:
    """Turn what torch raises of a device into an error with a next step."""
    try:
        yield
    except RuntimeError as error:
        if is_out_of_memory(error):
            raise _too_little_memory(name) from error
        raise DeviceError(
            f"{name} failed: {describe_fault(error)}.",
            "What is scored is kept: run again, with --device cpu if it fails again.",
        ) from error


def _too_little_memory(name: str) -> DeviceMemoryError:
    return DeviceMemoryError(f"{name} has too little free memory for one image.", "Use --device cpu.")

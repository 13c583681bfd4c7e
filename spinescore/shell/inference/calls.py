"""What a call asks of the devices: prepared images, or raw ones that the device prepares."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from spinescore.core.imaging.device_preprocessing import can_prepare, prepare_on_device
from spinescore.core.imaging.preprocessing import FloatImage, PreprocessingSpec
from spinescore.core.imaging.raw_image import RawImage
from spinescore.errors import DecodingError
from spinescore.shell.inference.lane import Slot
from spinescore.shell.inference.raw_answer import RawAnswer, prepare_or_refuse, soften
from spinescore.shell.input_cache import hash_input

N_HASHERS = 2


class PreparedCall:
    """Images (N, 1, H, W) as the network takes them."""

    keep_images = False

    def __init__(self, images: NDArray[np.float32]) -> None:
        self.images = np.ascontiguousarray(images, np.float32)
        self.n_images = len(images)
        self._logits: list[NDArray[np.float32] | None] = [None] * len(images)

    def fill(self, slot: Slot, part: range) -> None:
        """Send a part up."""
        slot.put_images(self.images[part.start : part.stop])

    def receive(self, slot: Slot, logits: NDArray[np.float32]) -> None:
        """Keep the answer to a slot's part."""
        self._logits[slot.part.start : slot.part.stop] = list(logits)

    def answer(self, temperature: np.float32) -> NDArray[np.float32]:
        """Return probabilities (N, K)."""
        return soften(np.array(self._logits), temperature)


class RawCall:
    """Decoded images; the device prepares what it can prepare exactly, the host the others."""

    keep_images = True

    def __init__(self, images: Sequence[RawImage], spec: PreprocessingSpec) -> None:
        self.images = images
        self.n_images = len(images)
        self.spec = spec
        self._answers: list[_Answered | None] = [None] * len(images)
        self._hashers = ThreadPoolExecutor(N_HASHERS)

    def fill(self, slot: Slot, part: range) -> None:
        """Send a part up and prepare it there."""
        usable = []
        for place, index in enumerate(part):
            raw = self.images[index].in_sixteen_bits()
            if raw is not None and can_prepare(raw, self.spec):
                made = prepare_on_device(raw, self.spec, slot.put)
                slot.images[place, 0].copy_(made.canvas)
                usable.append(made.usable)
            else:
                canvas = self._prepare_here(self.images[index])
                if canvas is not None:
                    slot.images[place, 0].copy_(slot.put(canvas))
                usable.append(torch.full((), canvas is not None, device=slot.device))
        slot.usable = torch.stack(usable)

    def _prepare_here(self, raw: RawImage) -> FloatImage | None:
        try:
            return raw.preprocess(self.spec)
        except DecodingError:  # said again when the answer is asked for
            return None

    def receive(self, slot: Slot, logits: NDArray[np.float32]) -> None:
        """Keep the answer to a slot's part, and hash what the network saw."""
        assert slot.usable is not None
        canvases = slot.host_images[: len(slot.part), 0].numpy().copy()
        usable = slot.usable.cpu().numpy()
        for place, index in enumerate(slot.part):
            hashed = self._hashers.submit(hash_input, canvases[place])
            self._answers[index] = _Answered(logits[place], bool(usable[place]), hashed)

    def answer(self, temperature: np.float32) -> list[RawAnswer]:
        """Return what became of each image."""
        answers = [self._answer(i, answered, temperature) for i, answered in enumerate(self._answers)]
        self._hashers.shutdown()
        return answers

    def _answer(self, index: int, answered: _Answered | None, temperature: np.float32) -> RawAnswer:
        assert answered is not None
        if not answered.usable:
            return prepare_or_refuse(self.images[index], self.spec)[1]
        distribution = soften(answered.logits[None], temperature)[0]
        return RawAnswer(distribution, answered.input_sha256.result())


@dataclass(frozen=True, slots=True)
class _Answered:
    logits: NDArray[np.float32]
    usable: bool
    input_sha256: Future[str]

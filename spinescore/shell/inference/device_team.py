"""Several devices, or one, that share the images of each call, and the CPU behind them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from spinescore.core.imaging.preprocessing import PreprocessingSpec
from spinescore.core.imaging.raw_image import RawImage
from spinescore.errors import DeviceMemoryError
from spinescore.shell.inference.batch_size import Remaining
from spinescore.shell.inference.calls import PreparedCall, RawCall
from spinescore.shell.inference.raw_answer import RawAnswer, answer_on_host
from spinescore.shell.inference.torch_backend import Call, TorchBackend


class DeviceTeam:
    """Torch backends of one bundle, one per device; each takes batches of a call until none are left.

    A device whose memory is too small for one image leaves the team, and the others answer its images. Once
    all have left, the CPU answers the whole call and every later one: a call's scores are of one device.

    Parameters
    ----------
    members : sequence of TorchBackend
    spec : PreprocessingSpec
        Of their bundle.
    temperature : float32
        Likewise.
    open_behind : callable
        Opens the backend that goes on when no member is left.
    announce : callable
        Called with one line when a member leaves.
    """

    def __init__(
        self,
        members: Sequence[TorchBackend],
        *,
        spec: PreprocessingSpec,
        temperature: np.float32,
        open_behind: Callable[[], Any],
        announce: Callable[[str], None],
    ) -> None:
        self._members = list(members)
        self._spec = spec
        self._temperature = temperature
        self._open_behind = open_behind
        self._announce = announce
        self._behind: Any = None

    @property
    def device(self) -> Literal["cpu", "cuda"]:
        """Where the last call was answered."""
        leader = self._behind or self._members[0]
        device: Literal["cpu", "cuda"] = leader.device
        return device

    @property
    def precision(self) -> str:
        """In which precision the last call was answered."""
        return str((self._behind or self._members[0]).precision)

    @property
    def description(self) -> str:
        """What runs where."""
        if self._behind is not None:
            return str(self._behind.description)
        return "; ".join(member.description for member in self._members)

    @property
    def batch_images(self) -> int:
        """Images that a call should bring, for every member to have two batches in flight."""
        if self._behind is not None:
            return int(self._behind.batch_images)
        return sum(member.batch_images for member in self._members)

    def predict(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return probabilities (N, K) of images (N, 1, H, W) in [0, 1], in their order."""
        if self._behind is None:
            call = PreparedCall(images)
            if self._share(call):
                return call.answer(self._temperature)
        answer: NDArray[np.float32] = self._behind.predict(images)
        return answer

    def predict_raw(self, images: Sequence[RawImage]) -> list[RawAnswer]:
        """Return what became of decoded images, in their order."""
        if self._behind is None:
            call = RawCall(images, self._spec)
            if self._share(call):
                return call.answer(self._temperature)
        return answer_on_host(images, self._spec, self._behind.predict)

    def _share(self, call: Call) -> bool:
        """Let the members answer a call, and tell whether they could."""
        remaining = Remaining(call.n_images)
        while remaining and self._members:
            with ThreadPoolExecutor(len(self._members)) as threads:
                working = {m: threads.submit(m.work, call, remaining) for m in self._members}
            for member, work in working.items():
                error = work.exception()
                if isinstance(error, DeviceMemoryError):
                    self._members.remove(member)
                    self._announce(f"{error.message} {len(self._members)} left.")
                elif error is not None:
                    raise error
        if remaining:
            self._behind = self._open_behind()
            self._announce(f"going on with {self._behind.description}")
        return not remaining

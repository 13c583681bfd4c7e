"""Which network session scores: torch on CUDA where there is a device, OpenVINO on the CPU, torch elsewhere.

Scoring from a converted network that lies in the cache imports neither torch nor MONAI.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from spinescore.core.imaging.raw_image import RawImage
from spinescore.errors import DeviceError, DeviceMemoryError
from spinescore.shell.bundles import Bundle
from spinescore.shell.inference.precision import (
    Precision,
    draw_probes,
    measure_once,
    settle_precision,
    years_moved,
)
from spinescore.shell.inference.raw_answer import RawAnswer
from spinescore.shell.inference.tuning import Tuning

Device = Literal["cpu", "cuda"]
Images = NDArray[np.float32]
DRIVER_NODES = "/dev/nvidiactl", "/dev/dxg"
CUDA_PRECISIONS: tuple[Precision, ...] = "fp16", "bf16"  # the most exact first


class Backend(Protocol):
    """A loaded network.

    ``description`` says what runs where; ``device`` and ``precision``, those of the last call, are stored
    with each score; ``batch_images`` is how many images a call should bring.
    """

    @property
    def description(self) -> str:
        """What runs where."""

    @property
    def device(self) -> Device:
        """Where the last call was answered."""

    @property
    def precision(self) -> str:
        """In which precision the last call was answered."""

    @property
    def batch_images(self) -> int:
        """Images that a call should bring."""

    def predict(self, images: Images) -> NDArray[np.float32]:
        """Return probabilities (N, K) of images (N, 1, H, W) in [0, 1]."""


@runtime_checkable
class RawBackend(Protocol):
    """A backend that also takes decoded images and prepares them where the network runs."""

    def predict_raw(self, images: Sequence[RawImage]) -> list[RawAnswer]:
        """Return what became of each image, in order."""


DEFAULT = Tuning()


def open_backend(
    bundle: Bundle,
    *,
    device: str = "auto",
    tuning: Tuning = DEFAULT,
    announce: Callable[[str], None] = lambda _: None,
) -> Backend:
    """Load a bundle's network where it runs best.

    Parameters
    ----------
    bundle : Bundle
        Checked already.
    device : str
        ``auto``, ``cpu``, ``cuda`` (every device there is) or ``cuda:N``.
    tuning : Tuning
    announce : callable
        Called with one line about each thing worth knowing: why this device, a network that is converted, a
        precision that is refused, memory that ran out.

    Raises
    ------
    DeviceError
        If the device asked for is not there or fails, or there is no such device or precision.
    BundleError
        If the weights do not fit the network.
    """
    places, why = _choose_places(device)
    if not places:
        return _open_on_cpu(bundle, tuning, announce, why)
    try:
        return _open_on_cuda(bundle, places, tuning, announce)
    except DeviceMemoryError as error:
        announce(f"{error.message} Going on with the CPU.")
        return _open_on_cpu(bundle, tuning, announce)


def _choose_places(device: str) -> tuple[list[str], str]:
    """Return the CUDA devices to use, none for the CPU, and why, where the user left it open."""
    kind, _, index = device.partition(":")
    if device not in ("auto", "cpu", "cuda") and not (kind == "cuda" and index.isdecimal()):
        raise DeviceError(f"There is no device {device!r}.", "Choose auto, cpu, cuda or cuda:0.")
    if device == "cpu":
        return [], ""
    n_devices, absent = count_cuda()
    if device == "auto":
        return [f"cuda:{n}" for n in range(n_devices)], absent
    if absent:
        raise DeviceError(f"CUDA was asked for, but {absent}.", "Use `--device cpu`.")
    if index and int(index) >= n_devices:
        raise DeviceError(
            f"{device} was asked for; there are {n_devices}, from cuda:0.", "Use `--device cuda`."
        )
    return [device] if index else [f"cuda:{n}" for n in range(n_devices)], ""


def count_cuda() -> tuple[int, str]:
    """Return how many CUDA devices torch can use, or 0 and why; torch is imported only where a driver is."""
    if not any(Path(node).exists() for node in DRIVER_NODES):
        return 0, "no NVIDIA driver is here"
    import torch

    if torch.version.cuda is None:
        return 0, "an NVIDIA driver is here, but this torch was built for the CPU"
    n_devices = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return n_devices, "" if n_devices else "torch finds no CUDA device that works"


def has_cuda() -> bool:
    """Return whether torch can use a CUDA device."""
    return count_cuda()[0] > 0


def _open_on_cpu(bundle: Bundle, tuning: Tuning, announce: Callable[[str], None], why: str = "") -> Backend:
    if importlib.util.find_spec("openvino") is None:
        from spinescore.shell.inference.torch_backend import TorchBackend

        announce("OpenVINO is not installed: torch on the CPU, several times slower")
        _settle(bundle, tuning, (), lambda _: None, announce)
        return TorchBackend(bundle, "cpu", tuning.batch_size, announce=announce)
    from spinescore.shell.inference.openvino_backend import BATCH_SIZE, OpenVinoBackend, reduced_precisions

    def open_in(precision: Precision) -> OpenVinoBackend:
        size = tuning.batch_size or BATCH_SIZE
        return OpenVinoBackend(bundle, size, precision=precision, why=why, announce=announce)

    offered = () if tuning.precision == "fp32" else reduced_precisions()
    return open_in(_settle(bundle, tuning, offered, open_in, announce))


def _open_on_cuda(
    bundle: Bundle, places: Sequence[str], tuning: Tuning, announce: Callable[[str], None]
) -> Backend:
    from spinescore.shell.inference.device_team import DeviceTeam
    from spinescore.shell.inference.torch_backend import TorchBackend

    def probe(precision: Precision) -> TorchBackend:
        return TorchBackend(bundle, places[0], 1, precision=precision)

    precision = _settle(bundle, tuning, CUDA_PRECISIONS, probe, announce)
    members = []
    for place in places:
        try:
            members.append(
                TorchBackend(bundle, place, tuning.batch_size, precision=precision, announce=announce)
            )
        except DeviceMemoryError as error:
            if place == places[-1] and not members:
                raise
            announce(f"{error.message} Going on without it.")
    return DeviceTeam(
        members,
        spec=bundle.spec,
        temperature=np.float32(bundle.temperature),
        open_behind=lambda: _open_on_cpu(bundle, DEFAULT, announce),
        announce=announce,
    )


def _settle(
    bundle: Bundle,
    tuning: Tuning,
    offered: Sequence[Precision],
    open_in: Callable[[Precision], Any],
    announce: Callable[[str], None],
) -> Precision:
    """Return the precision to score in, by the rule and what was measured on this bundle and device."""

    def measure(precision: Precision) -> float:
        reduced = open_in(precision)
        where = reduced.description.split(", ")[0]

        def moved() -> float:
            probes = draw_probes(bundle.spec)
            exact = open_in("fp32").predict(probes)
            return years_moved(exact, reduced.predict(probes), bundle.first_age)

        return measure_once(f"moved|{bundle.model_id}|{where}|{precision}", moved)

    return settle_precision(
        tuning.precision,
        offered,
        measure,
        limit_years=tuning.precision_limit_years,
        announce=announce,
    )

"""OpenVINO on the CPU: from a network converted before, neither torch nor MONAI is imported."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from spinescore.shell.bundles import Bundle
from spinescore.shell.inference.network_cache import (
    find_network,
    network_folder,
    one_at_a_time,
    store_network,
)
from spinescore.shell.inference.precision import Precision
from spinescore.shell.inference.raw_answer import soften

BATCH_SIZE = 4
EXAMPLE_SIDE = 64  # tracing a small example takes seconds, a full canvas over a minute
HINTS: dict[Precision, str] = {"fp32": "f32", "bf16": "bf16", "fp16": "f16"}
CAPABILITIES: dict[Precision, str] = {"fp16": "FP16", "bf16": "BF16"}


class OpenVinoBackend:
    """OpenVINO on the CPU, from an intermediate representation kept by the model's id.

    Parameters
    ----------
    bundle : Bundle
    batch_size : int
        Images at once.
    precision : {"fp32", "fp16", "bf16"}
        One the processor calculates in (:func:`reduced_precisions`).
    why : str
        Why the CPU, where the user left that open.
    announce : callable
        Called with one line before the network is converted.
    """

    device: Literal["cpu", "cuda"] = "cpu"

    def __init__(
        self,
        bundle: Bundle,
        batch_size: int = BATCH_SIZE,
        *,
        precision: Precision = "fp32",
        why: str = "",
        announce: Callable[[str], None] = lambda _: None,
    ) -> None:
        openvino = import_openvino()
        self.batch_size = batch_size
        self.precision = str(precision)
        self._temperature = np.float32(bundle.temperature)
        core = openvino.Core()
        model, origin = _load(openvino, core, bundle, announce)
        self._network = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": HINTS[precision]})
        where = f"the CPU ({why})" if why else "the CPU"
        self.description = f"OpenVINO {_version(openvino)} on {where}, {precision}, {origin}"

    @property
    def batch_images(self) -> int:
        """Images that a call should bring."""
        return 4 * self.batch_size

    def predict(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return probabilities (N, K) of images (N, 1, H, W) in [0, 1]."""
        images = np.ascontiguousarray(images, np.float32)
        size = self.batch_size
        batches = [images[start : start + size] for start in range(0, len(images), size)]
        return soften(np.concatenate([np.array(self._network([b])[0]) for b in batches]), self._temperature)


def reduced_precisions() -> list[Precision]:
    """Return the reduced precisions that this processor calculates in, the most exact first."""
    capabilities = import_openvino().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return [precision for precision, name in CAPABILITIES.items() if name in capabilities]


def import_openvino() -> Any:
    """Import OpenVINO without its telemetry, which would call an analytics host and write an id."""
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
    import openvino

    return openvino


def _version(openvino: Any) -> str:
    return str(openvino.__version__.split("-")[0])


def _load(openvino: Any, core: Any, bundle: Bundle, announce: Callable[[str], None]) -> tuple[Any, str]:
    """Return the converted network and where it is from; converted at most once, and again if damaged."""
    folder = network_folder(bundle.model_id, _version(openvino))
    model = _read(core, folder)
    if model is not None:
        return model, "converted before"
    with one_at_a_time(folder, announce):
        model = _read(core, folder)
        if model is not None:
            return model, "converted before"
        state = "the converted network in the cache is damaged: " if folder.exists() else ""
        announce(f"{state}converting {bundle.name} once for this processor, about 10 s")
        model = _convert(openvino, bundle)
        store_network(folder, partial(_save, openvino, model))
    return model, "converted now"


def _read(core: Any, folder: Path) -> Any:
    path = find_network(folder)
    if path is None:
        return None
    try:
        return core.read_model(path)
    except RuntimeError:  # whole, and yet not for this OpenVINO
        return None


def _save(openvino: Any, model: Any, path: Path) -> None:
    openvino.save_model(model, path, compress_to_fp16=False)


def _convert(openvino: Any, bundle: Bundle) -> Any:
    """Trace the network on a small example and leave batch, height and width open."""
    import torch

    from spinescore.shell.inference.torch_network import build_network

    network = build_network(bundle)
    example = torch.zeros(1, 1, EXAMPLE_SIDE, EXAMPLE_SIDE)
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=DeprecationWarning)  # OpenVINO takes what torch.jit traced
        trace: Any = torch.jit.trace
        traced = trace(network, example, check_trace=False)  # the check takes longer than all the rest
        model = openvino.convert_model(traced, example_input=example, input=[-1, 1, -1, -1])
    spec = bundle.spec
    model.reshape([-1, 1, spec.height, spec.width])
    return model

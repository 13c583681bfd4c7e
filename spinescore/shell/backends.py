"""Sessions that turn images into age distributions: OpenVINO on the CPU, torch on CUDA, torch anywhere.

Scoring from a compiled network that lies in the cache imports neither torch nor MONAI.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from spinescore.core.network.age_distribution import softmax
from spinescore.errors import BundleError
from spinescore.shell.bundles import Bundle

Device = Literal["cpu", "cuda"]
Images = NDArray[np.float32]
BATCH_SIZE: dict[str, int] = {"cpu": 4, "cuda": 32}
EXAMPLE_SIDE = 64  # tracing a small example takes seconds, a full canvas over a minute
IR_VERSION = 1  # raised when the conversion changes; an older cache is then left aside


class Backend(Protocol):
    """A loaded network.

    ``description`` says what runs where and why; ``device`` and ``precision`` are stored with each score.
    """

    description: str
    device: Device
    precision: str

    def predict(self, images: Images) -> NDArray[np.float32]:
        """Return probabilities (N, K) of images (N, 1, H, W) in [0, 1]."""


def open_backend(bundle: Bundle, *, device: str = "auto", batch_size: int | None = None) -> Backend:
    """Load a bundle's network where it runs best.

    Parameters
    ----------
    bundle : Bundle
        Checked already.
    device : {"auto", "cpu", "cuda"}
        ``auto`` takes CUDA if there is a device, else the CPU.
    batch_size : int, optional
        Images per pass; a default per device if left out.

    Raises
    ------
    BundleError
        If CUDA was asked for and is not there, or the weights do not fit the network.
    """
    if device == "cuda" or (device == "auto" and has_cuda()):
        if not has_cuda():
            raise BundleError("CUDA was asked for, but torch finds no CUDA device.", "Use `--device cpu`.")
        return TorchBackend(bundle, "cuda", batch_size or BATCH_SIZE["cuda"])
    size = batch_size or BATCH_SIZE["cpu"]
    if importlib.util.find_spec("openvino") is not None:
        return OpenVinoBackend(bundle, size)
    return TorchBackend(bundle, "cpu", size)


def has_cuda() -> bool:
    """Return whether torch can use a CUDA device; torch is imported only where a driver is present."""
    if not any(Path(node).exists() for node in ("/dev/nvidiactl", "/dev/dxg")):
        return False
    import torch

    return bool(torch.cuda.is_available())


def cache_folder() -> Path:
    """Return where compiled networks are kept: SPINESCORE_HOME/cache, or the XDG cache."""
    home = os.environ.get("SPINESCORE_HOME")
    if home:
        return Path(home) / "cache"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "spinescore"


class OpenVinoBackend:
    """OpenVINO on the CPU, fp32, from an intermediate representation kept by the model's id."""

    device: Device = "cpu"
    precision = "fp32"

    def __init__(self, bundle: Bundle, batch_size: int) -> None:
        openvino = _import_openvino()
        self.batch_size = batch_size
        self._temperature = np.float32(bundle.temperature)
        stored = cache_folder() / f"{bundle.model_id}-{IR_VERSION}.xml"
        cached = stored.exists() and stored.with_suffix(".bin").exists()
        core = openvino.Core()
        if cached:
            model = core.read_model(stored)
        else:
            model = _convert(openvino, bundle)
            _store(openvino, model, stored)
        self._network = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        origin = "compiled before" if cached else "compiled now"
        self.description = f"OpenVINO {openvino.__version__.split('-')[0]} on the CPU, fp32, {origin}"

    def predict(self, images: Images) -> NDArray[np.float32]:
        """Return probabilities (N, K) of images (N, 1, H, W) in [0, 1]."""
        logits = _in_batches(images, self.batch_size, lambda batch: self._network([batch])[0])
        return softmax(logits / self._temperature)


class TorchBackend:
    """Plain torch, fp32 without TF32, channels last."""

    precision = "fp32"

    def __init__(self, bundle: Bundle, device: Device, batch_size: int) -> None:
        import torch

        self.device = device
        self.batch_size = batch_size
        self._temperature = np.float32(bundle.temperature)
        self._torch = torch
        torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cudnn.allow_tf32 = False
        network = build_network(bundle).to(device=device, memory_format=torch.channels_last)
        self._network = network
        where = torch.cuda.get_device_name() if device == "cuda" else "the CPU (OpenVINO is not installed)"
        self.description = f"torch {torch.__version__} on {where}, fp32"

    def predict(self, images: Images) -> NDArray[np.float32]:
        """Return probabilities (N, K) of images (N, 1, H, W) in [0, 1]."""
        return softmax(_in_batches(images, self.batch_size, self._logits) / self._temperature)

    def _logits(self, batch: Images) -> NDArray[Any]:
        torch = self._torch
        with torch.inference_mode():
            tensor = torch.from_numpy(batch).to(self.device, memory_format=torch.channels_last)
            logits: NDArray[Any] = self._network(tensor).float().cpu().numpy()
        return logits


def _in_batches(images: Images, size: int, run: Any) -> NDArray[np.float32]:
    """Return the logits (N, K) of images run in batches."""
    images = np.ascontiguousarray(images, np.float32)
    return np.concatenate(
        [np.array(run(images[start : start + size])) for start in range(0, len(images), size)]
    )


def _import_openvino() -> Any:
    """Import OpenVINO without its telemetry, which would call an analytics host and write an id."""
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
    import openvino

    return openvino


def build_network(bundle: Bundle) -> Any:
    """Return the bundle's network in torch, ready to infer."""
    import torch

    from spinescore.core.network.architecture import SpineAgeNetwork

    network = SpineAgeNetwork(bundle.backbone, bundle.n_classes)
    weights = {name: torch.from_numpy(np.array(t)) for name, t in bundle.read_weights().items()}
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise BundleError(
            f"The weights of {bundle.name} do not fit a {bundle.backbone} with {bundle.n_classes} ages.",
            "Get the bundle again from where it came from.",
        ) from error
    return network.eval()


def _convert(openvino: Any, bundle: Bundle) -> Any:
    """Trace the network on a small example and leave batch, height and width open."""
    import torch

    network = build_network(bundle)
    example = torch.zeros(1, 1, EXAMPLE_SIDE, EXAMPLE_SIDE)
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=DeprecationWarning)  # OpenVINO still calls torch.jit.trace
        model = openvino.convert_model(network, example_input=example, input=[-1, 1, -1, -1])
    spec = bundle.spec
    model.reshape([-1, 1, spec.height, spec.width])
    return model


def _store(openvino: Any, model: Any, path: Path) -> None:
    """Keep a converted network, whole or not at all; a cache that cannot be written is done without."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
            openvino.save_model(model, Path(scratch) / path.name, compress_to_fp16=False)
            for suffix in (".bin", ".xml"):  # the xml last: it is what the cache is known by
                (Path(scratch) / path.name).with_suffix(suffix).replace(path.with_suffix(suffix))
    except OSError:
        return

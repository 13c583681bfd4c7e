"""OpenVINO and torch read the same ages, and a cached network needs no torch."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from spinescore.core.imaging.preprocessing import PreprocessingSpec
from spinescore.core.network.age_distribution import expectation
from spinescore.core.network.architecture import SpineAgeNetwork
from spinescore.errors import BundleError
from spinescore.shell.backends import (
    OpenVinoBackend,
    TorchBackend,
    _import_openvino,
    _store,
    has_cuda,
    open_backend,
)
from spinescore.shell.bundles import Bundle, load_bundle, write_bundle
from tests.unit.tiny_bundle import TINY


def draw_images(n: int, seed: int) -> np.ndarray:
    """Draw images (n, 1, 128, 64) that differ in coarse pattern and brightness."""
    rng = np.random.default_rng(seed)
    coarse = rng.random((n, 1, 8, 4), dtype=np.float32) * rng.random((n, 1, 1, 1), dtype=np.float32)
    return np.kron(coarse, np.ones((1, 1, 16, 16), np.float32))


IMAGES = draw_images(5, 2)
SCORE = """
import sys
from pathlib import Path
import numpy as np
from spinescore.shell.backends import open_backend
from spinescore.shell.bundles import load_bundle
backend = open_backend(load_bundle(Path(sys.argv[1])), device="cpu")
assert "compiled before" in backend.description, backend.description
p = backend.predict(np.zeros((2, 1, 128, 64), np.float32))
assert p.shape == (2, 61) and abs(p.sum() - 2) < 1e-4
print(sorted({"torch", "monai", "openvino_telemetry"} & {m for m, v in sys.modules.items() if v is not None}))
"""


def build_network() -> SpineAgeNetwork:
    """Return an untrained network whose logits differ from image to image by about 1."""
    torch.manual_seed(0)
    network = SpineAgeNetwork("efficientnet-b0", 61).train()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None  # a plain mean over the batches seen
    images = torch.from_numpy(IMAGES)
    with torch.no_grad():
        for _ in range(3):
            network(images)
        logits = network.eval()(images)
        scale = 1 / logits.std(dim=0).mean()
        network.fclayer2.weight.mul_(scale)
        network.fclayer2.bias.mul_(scale).sub_(logits.mean(dim=0) * scale)
    return network


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    network = build_network()
    return write_bundle(
        tmp_path_factory.mktemp("bundle") / "untrained",
        TINY,
        PreprocessingSpec(height=128, width=64),
        {name: tensor.numpy() for name, tensor in network.state_dict().items()},
        training_subjects=[],
        model_card="",
    )


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(autouse=True)
def _one_cache(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPINESCORE_HOME", str(home))


def test_openvino_and_torch_agree_to_a_thousandth_of_a_year(bundle: Bundle) -> None:
    by_openvino = OpenVinoBackend(bundle, batch_size=2).predict(IMAGES)
    by_torch = TorchBackend(bundle, "cpu", batch_size=3).predict(IMAGES)
    ages = expectation(by_openvino, 40)
    assert by_openvino.shape == (5, 61)
    assert np.ptp(ages) > 0.01
    assert np.abs(ages - expectation(by_torch, 40)).max() < 1e-3


def test_the_batch_size_does_not_matter(bundle: Bundle) -> None:
    one, many = (open_backend(bundle, device="cpu", batch_size=n).predict(IMAGES) for n in (1, 5))
    assert np.abs(one - many).max() < 1e-5


def test_scoring_from_the_cache_imports_neither_torch_nor_monai(bundle: Bundle, home: Path) -> None:
    OpenVinoBackend(bundle, batch_size=2)
    assert list((home / "cache").glob(f"{bundle.model_id}*.xml"))
    done = subprocess.run(
        [sys.executable, "-c", SCORE, str(bundle.path)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


def test_a_cache_that_cannot_be_written_is_done_without(bundle: Bundle, home: Path, tmp_path: Path) -> None:
    OpenVinoBackend(bundle, batch_size=2)
    openvino = _import_openvino()
    model = openvino.Core().read_model(next((home / "cache").glob("*.xml")))
    (tmp_path / "file").write_text("in the way")
    _store(openvino, model, tmp_path / "file" / "model.xml")
    _store(openvino, model, tmp_path / "folder" / "model.xml")
    assert sorted(path.name for path in (tmp_path / "folder").iterdir()) == ["model.bin", "model.xml"]
    assert (tmp_path / "file").read_text() == "in the way"


@pytest.mark.skipif(has_cuda(), reason="there is a CUDA device")
def test_cuda_without_a_device_is_an_error_with_a_way_out(bundle: Bundle) -> None:
    with pytest.raises(BundleError, match="--device cpu"):
        open_backend(bundle, device="cuda")


def test_weights_of_another_network_are_refused(bundle: Bundle, tmp_path: Path) -> None:
    stranger = replace(
        load_bundle(bundle.path), manifest=bundle.manifest | {"n_classes": 60}, model_id="other"
    )
    with pytest.raises(BundleError, match="do not fit"):
        TorchBackend(stranger, "cpu", 1)

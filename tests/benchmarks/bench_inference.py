"""The demo network and EfficientNet-B4: OpenVINO as scoring uses it against eager torch, side by side.

    python tests/benchmarks/bench_inference.py

Prints images per second of both and the ratio, alternating runs, and the largest difference in spine age; then
what a start costs, each in a process of its own: the first with an empty cache, which converts the network, and
later ones, which import neither torch nor MONAI.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from spinescore.core.imaging.preprocessing import PreprocessingSpec
from spinescore.core.network.age_distribution import expectation
from spinescore.core.network.architecture import SpineAgeNetwork
from spinescore.shell.bundles import Bundle, BundleDescription, demo_bundle_path, load_bundle, write_bundle
from spinescore.shell.inference.openvino_backend import OpenVinoBackend
from spinescore.shell.inference.torch_backend import TorchBackend

BATCH = 4
REPEATS = 5
LATER_STARTS = 3
START = """
import json, sys, time
from pathlib import Path
import numpy as np
from spinescore.shell.backends import open_backend
from spinescore.shell.bundles import load_bundle
began = float(sys.argv[2])
bundle = load_bundle(Path(sys.argv[1]))
said = []
backend = open_backend(bundle, device="cpu", announce=said.append)
opened = time.time()
backend.predict(np.zeros((1, 1, bundle.spec.height, bundle.spec.width), np.float32))
heavy = sorted({"torch", "monai"} & set(sys.modules))
print(json.dumps({"open": opened - began, "batch": time.time() - began, "cpu": time.process_time(), "heavy": heavy}))
"""
UNTRAINED = BundleDescription(
    name="untrained",
    version="1",
    intended_use="benchmarks",
    licence="MIT",
    backbone="efficientnet-b4",
    first_age=40,
    n_classes=61,
    age_range=(40.0, 100.0),
    training_data="none",
    synthetic=True,
    metrics={},
)


def write_untrained(
    folder: Path, spec: PreprocessingSpec, seed: int = 0, backbone: str = UNTRAINED.backbone
) -> Bundle:
    """Write a bundle of an untrained network: as slow as a trained one."""
    torch.manual_seed(seed)
    weights = {k: v.numpy() for k, v in SpineAgeNetwork(backbone).state_dict().items()}
    description = replace(UNTRAINED, backbone=backbone)
    return write_bundle(folder, description, spec, weights, training_subjects=[], model_card="")


def compare(name: str, bundle: Bundle) -> None:
    """Time both backends on the same images in turn."""
    rng = np.random.default_rng(0)
    images = rng.random((BATCH, 1, bundle.spec.height, bundle.spec.width), np.float32)
    backends = {"torch": TorchBackend(bundle, "cpu", BATCH), "openvino": OpenVinoBackend(bundle, BATCH)}
    ages = {key: expectation(b.predict(images), bundle.first_age) for key, b in backends.items()}
    seconds: dict[str, list[float]] = {key: [] for key in backends}
    for _ in range(REPEATS):
        for key, backend in backends.items():
            start = time.perf_counter()
            backend.predict(images)
            seconds[key].append(time.perf_counter() - start)
    rate = {key: BATCH / statistics.median(times) for key, times in seconds.items()}
    difference = float(np.abs(ages["torch"] - ages["openvino"]).max())
    ratio = rate["openvino"] / rate["torch"]
    size = f"{bundle.spec.height}x{bundle.spec.width}"
    print(
        f"{name:<22} {size:>9} {rate['torch']:>12.2f} {rate['openvino']:>12.2f} {ratio:>7.1f} {difference:>12.6f}"
    )


def start(bundle: Bundle, home: Path) -> dict[str, float | list[str]]:
    """Return the seconds from the start of a process to an open network and to its first image."""
    found = subprocess.run(
        [sys.executable, "-c", START, str(bundle.path), str(time.time())],
        env=os.environ | {"SPINESCORE_HOME": str(home)},
        capture_output=True,
        check=True,
    )
    answer: dict[str, float | list[str]] = json.loads(found.stdout)
    return answer


def compare_starts(name: str, bundle: Bundle, home: Path) -> None:
    """Print what the first start costs, and the median of later ones."""
    first = start(bundle, home)
    later = [start(bundle, home) for _ in range(LATER_STARTS)]
    for when, starts in (("first, converts", [first]), ("later", later)):
        opened, batch, cpu = (statistics.median(s[key] for s in starts) for key in ("open", "batch", "cpu"))
        heavy = " and ".join(starts[0]["heavy"]) or "neither torch nor MONAI"
        print(f"{name:<22} {when:<16} {opened:>8.2f} {batch:>15.2f} {cpu:>12.2f}   {heavy}")


def main() -> None:
    """Compare on the demo bundle and on an untrained B4 at the study's size."""
    print(
        f"{'network':<22} {'canvas':>9} {'torch, /s':>12} {'OpenVINO, /s':>12} {'ratio':>7} {'years apart':>12}"
    )
    compare("demo (b0)", load_bundle(demo_bundle_path()))
    with tempfile.TemporaryDirectory() as folder:
        spec = replace(PreprocessingSpec(), height=1024, width=512)
        b4 = write_untrained(Path(folder) / "b4", spec)
        print(f"\n{'start':<39} {'open, s':>8} {'first image, s':>15} {'of CPU, s':>12}   imports")
        for name, bundle in (("demo (b0)", load_bundle(demo_bundle_path())), ("EfficientNet-B4", b4)):
            compare_starts(name, bundle, Path(folder) / name)
        print()
        compare("EfficientNet-B4", b4)


if __name__ == "__main__":
    main()

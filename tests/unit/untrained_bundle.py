"""A small network without training, whose ages differ from image to image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from spinescore.core.imaging.preprocessing import PreprocessingSpec
from spinescore.core.network.architecture import SpineAgeNetwork
from spinescore.shell.bundles import Bundle, write_bundle
from tests.unit.tiny_bundle import TINY

SPEC = PreprocessingSpec(height=128, width=64)


def draw_images(n: int, seed: int) -> np.ndarray:
    """Draw images (n, 1, 128, 64) that differ in coarse pattern and brightness."""
    rng = np.random.default_rng(seed)
    coarse = rng.random((n, 1, 8, 4), dtype=np.float32) * rng.random((n, 1, 1, 1), dtype=np.float32)
    return np.kron(coarse, np.ones((1, 1, 16, 16), np.float32))


IMAGES = draw_images(5, 2)


def make_network(seed: int = 0) -> SpineAgeNetwork:
    """Return an untrained network whose logits differ from image to image by about 1."""
    torch.manual_seed(seed)
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


def write_untrained(folder: Path, spec: PreprocessingSpec = SPEC, seed: int = 0) -> Bundle:
    """Write the network as a bundle."""
    weights = {name: tensor.numpy() for name, tensor in make_network(seed).state_dict().items()}
    return write_bundle(folder, TINY, spec, weights, training_subjects=[], model_card="")

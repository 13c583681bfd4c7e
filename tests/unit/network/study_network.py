"""The study's network built from ``efficientnet_pytorch``, as its public code describes it."""

from __future__ import annotations

import torch
from efficientnet_pytorch import EfficientNet
from torch import Tensor, nn


class StudyNetwork(nn.Module):
    """``EfficientNet -> 100 -> 100 -> K`` on three channels, under the names of a VERTE-X checkpoint."""

    def __init__(self, backbone: str, n_classes: int) -> None:
        super().__init__()
        self.model = EfficientNet.from_name(backbone, num_classes=100)
        self.fclayer1 = nn.Linear(100, 100)
        self.fclayer2 = nn.Linear(100, n_classes)

    def forward(self, images: Tensor) -> Tensor:
        return self.fclayer2(self.fclayer1(self.model(images)))


def draw_grey_images(n: int, height: int, width: int, seed: int = 8) -> Tensor:
    """Draw images (n, 1, height, width) that are coarse and smooth, with structure at the borders."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(n, 1, 16, 8, generator=generator)
    return nn.functional.interpolate(coarse, size=(height, width), mode="bilinear").contiguous()


def build_study_network(backbone: str, n_classes: int = 61, seed: int = 3) -> StudyNetwork:
    """Return a network with random weights, whose batch norms shift and scale and know those images' statistics.

    The images are those of ``draw_grey_images(2, 256, 128)``; on others, the signal of random
    weights grows with depth, and rounding with it.
    """
    torch.manual_seed(seed)
    network = StudyNetwork(backbone, n_classes).eval()
    for name, module in network.named_modules():
        if isinstance(module, nn.BatchNorm2d):
            residual = name.endswith("_bn2")  # small, as in trained networks, or rounding grows with depth
            nn.init.uniform_(module.weight, *((0.1, 0.5) if residual else (0.8, 1.2)))
            nn.init.normal_(module.bias, 0, 0.5)
            module.momentum = None  # a plain mean over the batches seen
            module.train()  # they alone: dropped connections would not be there when statistics are used
    with torch.no_grad():
        network(draw_grey_images(2, 256, 128).repeat(1, 3, 1, 1))
    return network.eval()

"""The spine age network: EfficientNet -> 100 -> 100 -> K ages (METHOD.md, Network)."""

from __future__ import annotations

from typing import cast

from monai.networks.blocks.activation import MemoryEfficientSwish, Swish
from monai.networks.nets.efficientnet import EfficientNetBN
from torch import Tensor, nn

N_FEATURES = 100


class SpineAgeNetwork(nn.Module):
    """An EfficientNet with the study's two linear layers, without an activation between them.

    The names of the parts (``model``, ``fclayer1``, ``fclayer2``) are those of the study's checkpoints.

    Parameters
    ----------
    backbone : str
        ``efficientnet-b0`` ... ``efficientnet-b7``.
    n_classes : int
        K, one class per year of age.
    in_channels : int
        Image channels; 1 for ours, 3 for an unfolded imported stem.
    """

    def __init__(self, backbone: str = "efficientnet-b0", n_classes: int = 61, in_channels: int = 1) -> None:
        super().__init__()
        self.model = EfficientNetBN(
            backbone, pretrained=False, spatial_dims=2, in_channels=in_channels, num_classes=N_FEATURES
        )
        _use_fused_swish(self.model)
        self.fclayer1 = nn.Linear(N_FEATURES, N_FEATURES)
        self.fclayer2 = nn.Linear(N_FEATURES, n_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (N, K) of images (N, C, H, W) in [0, 1]."""
        features = self.model(images)  # (N, 100)
        return cast(Tensor, self.fclayer2(self.fclayer1(features)))  # (N, K)


def _use_fused_swish(module: nn.Module) -> None:
    """Put torch's SiLU in the place of MONAI's swish: the same function, faster and traceable."""
    for name, child in module.named_children():
        if isinstance(child, Swish | MemoryEfficientSwish):
            setattr(module, name, nn.SiLU())
        else:
            _use_fused_swish(child)

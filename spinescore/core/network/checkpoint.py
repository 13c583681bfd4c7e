"""A VERTE-X checkpoint's tensors -> ours (METHOD.md, Network).

``efficientnet_pytorch`` and MONAI's ``EfficientNetBN`` compute the same network and hold
the same state in the same order under different names; so tensors go across in order.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from spinescore.core.network.architecture import SpineAgeNetwork
from spinescore.errors import BundleError

LAST_WEIGHT = "fclayer2.weight"


def convert_checkpoint(state: Mapping[str, Tensor], backbone: str) -> dict[str, Tensor]:
    """Return a one-channel ``SpineAgeNetwork`` state from a VERTE-X state dict.

    The stem's kernel is summed over its input channels: the published network saw grey
    replicated three times, so one channel gives the same output.

    Parameters
    ----------
    state : mapping of str to Tensor
        The checkpoint, with or without the ``module.`` prefix of data-parallel training.
    backbone : str
        ``efficientnet-b4`` for the published network.

    Returns
    -------
    dict of str to Tensor
        Loads strictly into ``SpineAgeNetwork(backbone, n_classes, in_channels=1)``.

    Raises
    ------
    BundleError
        If a tensor is missing or of another shape than the backbone has.
    """
    theirs = {name.removeprefix("module."): tensor for name, tensor in state.items()}
    if LAST_WEIGHT not in theirs:
        raise BundleError(
            f"The checkpoint has no {LAST_WEIGHT}.", "Pass the state dict of a VERTE-X spine age network."
        )
    ours = SpineAgeNetwork(backbone, n_classes=theirs[LAST_WEIGHT].shape[0]).state_dict()
    if len(theirs) != len(ours):
        raise BundleError(
            f"The checkpoint has {len(theirs)} tensors, {backbone} has {len(ours)}.",
            "Name the backbone the checkpoint was trained with.",
        )
    converted = {}
    for (name, expected), (their_name, tensor) in zip(ours.items(), theirs.items(), strict=True):
        if name.startswith("model._conv_stem") and name.endswith("weight"):
            tensor = tensor.sum(dim=1, keepdim=True)
        if tensor.shape != expected.shape:
            raise BundleError(
                f"Tensor {their_name} has the shape {tuple(tensor.shape)}, not {tuple(expected.shape)}.",
                "Name the backbone the checkpoint was trained with.",
            )
        converted[name] = tensor.contiguous()
    return converted

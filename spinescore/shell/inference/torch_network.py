"""A bundle -> its network in torch."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from spinescore.core.network.architecture import SpineAgeNetwork
from spinescore.errors import BundleError
from spinescore.shell.bundles import Bundle


def build_network(bundle: Bundle) -> Any:
    """Return the bundle's network in torch, ready to infer."""
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

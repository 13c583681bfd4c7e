"""The network a run begins with: random weights that know the ages' distribution, or a bundle's."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from spinescore.core.imaging.preprocessing import PreprocessingSpec
from spinescore.core.network.age_distribution import age_class
from spinescore.core.network.architecture import SpineAgeNetwork
from spinescore.errors import TrainingError
from spinescore.shell.bundles import Bundle, BundleDescription

BATCH_NORM_MOMENTUM = 0.05  # the backbone's 0.01 lags behind when an epoch has few steps


def start_network(
    description: BundleDescription, ages: NDArray[np.float64], *, seed: int, initial: Bundle | None
) -> SpineAgeNetwork:
    """Return the network before its first step.

    Parameters
    ----------
    description : BundleDescription
        Backbone and classes.
    ages : ndarray
        Of the training part, years.
    seed : int
        Of random weights.
    initial : Bundle, optional
        Whose weights to begin with.
    """
    torch.manual_seed(seed)
    network = SpineAgeNetwork(description.backbone, description.n_classes)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = BATCH_NORM_MOMENTUM
    if initial is None:
        _start_from_prior(network, ages, description)
    else:
        load_weights(network, initial)
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


@torch.no_grad()
def _start_from_prior(
    network: SpineAgeNetwork, ages: NDArray[np.float64], description: BundleDescription
) -> None:
    """Let the untrained network answer with the ages' own distribution: that much it need not learn."""
    classes = age_class(ages, description.first_age, description.n_classes)
    counts = np.bincount(classes, minlength=description.n_classes) + 1.0
    network.fclayer2.bias.copy_(torch.from_numpy(np.log(counts / counts.sum())))


@torch.no_grad()
def load_weights(network: SpineAgeNetwork, bundle: Bundle) -> None:
    """Copy a bundle's weights into a network, by name.

    Raises
    ------
    TrainingError
        If names or shapes differ; names the first.
    """
    weights = {name: torch.from_numpy(np.array(array)) for name, array in bundle.read_weights().items()}
    own = network.state_dict()
    wrong = sorted(set(own) ^ set(weights)) or [n for n in own if own[n].shape != weights[n].shape]
    if wrong:
        raise TrainingError(
            f"The weights of {bundle.path} do not fit the network ({len(wrong)} differ, e.g. {wrong[0]}).",
            "Start from a bundle that spinescore wrote for this backbone and these ages.",
        )
    network.load_state_dict(weights)


@dataclass(frozen=True, slots=True)
class _Claim:
    """What [train] says beside what the initial bundle is."""

    keys: str
    asked: object
    found: object
    reason: str


def check_initial(bundle: Bundle, description: BundleDescription, spec: PreprocessingSpec) -> None:
    """Refuse an initial bundle that the run cannot go on from.

    Parameters
    ----------
    bundle : Bundle
        Whose weights to begin with.
    description, spec
        What is to be trained.

    Raises
    ------
    TrainingError
        With every difference, why it matters, and what to set.
    """
    claims = (
        _Claim("backbone", description.backbone, bundle.backbone, "its layers have other shapes"),
        _Claim(
            "first_age, n_classes",
            (description.first_age, description.n_classes),
            (bundle.first_age, bundle.n_classes),
            "each output stands for one year of age, and would come to mean another",
        ),
        _Claim(
            "height, width",
            (spec.height, spec.width),
            (bundle.spec.height, bundle.spec.width),
            "what it knows is the size of vertebrae in pixels",
        ),
    )
    wrong = [
        f"{c.keys} = {_say(c.found)}, not {_say(c.asked)} ({c.reason})" for c in claims if c.asked != c.found
    ]
    if wrong:
        raise TrainingError(
            f"Training cannot begin with {bundle.path}, which has " + "; ".join(wrong) + ".",
            "Set the bundle's own values in [train], or train without an initial bundle.",
        )


def check_canvas(description: BundleDescription, height: int, width: int) -> None:
    """Refuse images that the network's layers would shrink to less than their kernels.

    Raises
    ------
    TrainingError
        If images of this size, pixels, cannot pass.
    """
    with torch.device("meta"), torch.no_grad():  # shapes only: nothing is computed
        network = SpineAgeNetwork(description.backbone, description.n_classes).eval()
        try:
            network(torch.empty(1, 1, height, width))
        except RuntimeError as error:
            raise TrainingError(
                f"Images of {height} x {width} pixels are too small for {description.backbone}.",
                "Set a larger height and width in [train].",
            ) from error


def _say(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)

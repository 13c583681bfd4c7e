"""The network's shape, and a VERTE-X checkpoint's way into it."""

from __future__ import annotations

import pytest
import torch

from spinescore.core.network.architecture import SpineAgeNetwork
from spinescore.core.network.augmentation import Augmentation, augment
from spinescore.core.network.checkpoint import convert_checkpoint
from spinescore.errors import BundleError


@pytest.fixture(scope="module")
def three_channels() -> SpineAgeNetwork:
    torch.manual_seed(1)
    return SpineAgeNetwork("efficientnet-b0", n_classes=55, in_channels=3).eval()


def test_there_are_as_many_tensors_as_the_study_has() -> None:
    """METHOD.md: both EfficientNet-B4 implementations hold 706 entries; two linear layers add four."""
    assert len(SpineAgeNetwork("efficientnet-b4", 61).state_dict()) == 706 + 4


def test_logits_have_one_column_per_age() -> None:
    with torch.no_grad():
        assert SpineAgeNetwork(n_classes=61).eval()(torch.rand(2, 1, 64, 64)).shape == (2, 61)


def test_a_checkpoint_becomes_the_same_network_on_one_channel(three_channels: SpineAgeNetwork) -> None:
    theirs = {f"module.{name}": tensor for name, tensor in three_channels.state_dict().items()}
    ours = SpineAgeNetwork("efficientnet-b0", n_classes=55)
    ours.load_state_dict(convert_checkpoint(theirs, "efficientnet-b0"))
    grey = torch.rand(2, 1, 128, 64)
    with torch.no_grad():
        difference = (ours.eval()(grey) - three_channels(grey.repeat(1, 3, 1, 1))).abs().max()
    assert float(difference) < 1e-5


def test_a_checkpoint_of_another_backbone_is_refused(three_channels: SpineAgeNetwork) -> None:
    with pytest.raises(BundleError, match="efficientnet-b1 has"):
        convert_checkpoint(three_channels.state_dict(), "efficientnet-b1")
    with pytest.raises(BundleError, match="fclayer2"):
        convert_checkpoint({"weight": torch.zeros(1)}, "efficientnet-b0")


def test_augmentation_of_strength_zero_changes_nothing() -> None:
    images = torch.rand(3, 1, 32, 16)
    still = Augmentation(rotation_deg=0, scale=0, shift=0, log_gamma=0, noise_sd=0, flip=False)
    assert torch.allclose(augment(images, still), images, atol=1e-5)


def test_augmentation_keeps_the_range_and_follows_the_generator() -> None:
    images = torch.rand(3, 1, 32, 16)
    torch.manual_seed(4)
    first = augment(images, Augmentation())
    torch.manual_seed(4)
    assert torch.equal(first, augment(images, Augmentation()))
    assert 0 <= float(first.min()) <= float(first.max()) <= 1
    assert not torch.allclose(first, images, atol=0.05)

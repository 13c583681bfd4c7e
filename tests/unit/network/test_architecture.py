"""The network's shape, and what its training images go through."""

from __future__ import annotations

import torch

from spinescore.core.network.architecture import SpineAgeNetwork
from spinescore.core.network.augmentation import Augmentation, augment


def test_there_are_as_many_tensors_as_the_study_has() -> None:
    """METHOD.md: both EfficientNet-B4 implementations hold 706 entries; two linear layers add four."""
    assert len(SpineAgeNetwork("efficientnet-b4", 61).state_dict()) == 706 + 4


def test_logits_have_one_column_per_age() -> None:
    with torch.no_grad():
        assert SpineAgeNetwork(n_classes=61).eval()(torch.rand(2, 1, 64, 64)).shape == (2, 61)


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

"""Grad-CAM of the spine age against its definition, by finite differences."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from spinescore.core.network.architecture import SpineAgeNetwork
from spinescore.core.network.saliency import OLDER, YOUNGER, draw_overlay, grad_cam

FIRST_AGE = 40


@pytest.fixture(scope="module")
def network() -> SpineAgeNetwork:
    torch.manual_seed(4)
    return SpineAgeNetwork("efficientnet-b0", 61).double().eval()


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.random.default_rng(0).random((2, 1, 96, 64))


def _age_with_scaled_place(
    network: SpineAgeNetwork, images: np.ndarray, place: tuple[int, int], share: float
) -> np.ndarray:
    def scale(_: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        features = inputs[0].clone()
        features[:, :, place[0], place[1]] *= 1 + share
        return (features,)

    handle = network.model._avg_pooling.register_forward_pre_hook(scale)
    with torch.no_grad():
        p = network(torch.from_numpy(images)).softmax(dim=1).numpy()
    handle.remove()
    return np.asarray(p @ np.arange(FIRST_AGE, FIRST_AGE + 61))


def test_the_map_is_the_derivative_of_the_age_by_the_strength_of_a_place(
    network: SpineAgeNetwork, images: np.ndarray
) -> None:
    found = grad_cam(network, images, first_age=FIRST_AGE)
    assert found.maps.shape == (2, 3, 2)
    step = 1e-4
    for place in ((0, 0), (1, 1), (2, 0)):
        up = _age_with_scaled_place(network, images, place, step)
        down = _age_with_scaled_place(network, images, place, -step)
        assert found.maps[:, place[0], place[1]] == pytest.approx((up - down) / (2 * step), rel=1e-4)


def test_the_age_is_the_networks_and_the_network_is_left_as_it_was(
    network: SpineAgeNetwork, images: np.ndarray
) -> None:
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    found = grad_cam(network, images, first_age=FIRST_AGE, temperature=2.0)
    with torch.no_grad():
        p = (network(torch.from_numpy(images)) / 2.0).softmax(dim=1).numpy()
    assert found.spine_age == pytest.approx(p @ np.arange(40, 101), abs=1e-9)
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
    assert not network.model._avg_pooling._forward_pre_hooks
    assert all(parameter.grad is None for parameter in network.parameters())


def test_other_weights_give_another_map(network: SpineAgeNetwork, images: np.ndarray) -> None:
    # Adebayo et al., NeurIPS 2018: a map that does not depend on the weights explains nothing
    torch.manual_seed(5)
    other = SpineAgeNetwork("efficientnet-b0", 61).double().eval()
    ours, theirs = (grad_cam(n, images, first_age=FIRST_AGE).maps.ravel() for n in (network, other))
    assert abs(float(np.corrcoef(ours, theirs)[0, 1])) < 0.9


def test_the_overlay_shows_older_and_younger_in_their_colours() -> None:
    image = np.full((64, 32), 0.5, np.float32)
    saliency = np.zeros((8, 4), np.float32)
    saliency[:4], saliency[4:] = 1.0, -1.0
    picture = np.asarray(draw_overlay(image, saliency, height=128)).astype(int)
    assert picture.shape[1] == 64
    grey = 127.5
    for place, colour in (((20, 32), OLDER), ((108, 32), YOUNGER)):
        expected = grey * 0.35 + np.array(colour) * 0.65
        assert picture[place] == pytest.approx(expected, abs=1.0)


def test_a_map_of_zeros_leaves_the_image_grey() -> None:
    image = np.full((64, 32), 0.5, np.float32)
    picture = np.asarray(draw_overlay(image, np.zeros((8, 4), np.float32), height=64))
    assert np.all(picture[:64, :, 0] == picture[:64, :, 2])

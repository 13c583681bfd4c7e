"""Grad-CAM of the spine age: *where* an image told the network age, never why (Selvaraju et al., ICCV 2017).

The target is not a class but the spine age m itself, so a map has a sign: where it is positive the image
makes the spine look older, where it is negative younger.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch import Tensor
from torch.nn import functional

from spinescore.core.network.architecture import SpineAgeNetwork

OLDER = (213, 94, 0)  # vermillion and blue of Okabe and Ito's palette: told apart by every eye
YOUNGER = (0, 114, 178)
STRONGEST = 0.65  # opacity of the strongest place
CAPTION_ROWS = 34
CAPTION = "Grad-CAM: where, not why"


@dataclass(frozen=True, slots=True, kw_only=True)
class Saliency:
    """Maps of N images.

    Parameters
    ----------
    spine_age : ndarray, shape (N,)
        m, years.
    maps : ndarray of float32, shape (N, h, w)
        Change of m, in years, per unit of relative strength of the features at each place of the last
        convolution's grid (for a 1024 x 512 canvas 32 x 16 places).
    """

    spine_age: NDArray[np.float64]
    maps: NDArray[np.float32]


def grad_cam(
    network: SpineAgeNetwork, images: NDArray[np.float32], *, first_age: int, temperature: float = 1.0
) -> Saliency:
    """Return the Grad-CAM maps of the spine age.

    Parameters
    ----------
    network : SpineAgeNetwork
        In evaluation mode; left as it was.
    images : ndarray, shape (N, 1, H, W)
        Preprocessed, in [0, 1].
    first_age : int
        Age of the first class, years.
    temperature : float
        By which the logits are divided.

    Notes
    -----
    With features A (K channels on an h x w grid), averaged over the grid before the linear layers,
    the map is sum_k dm/dA_kij A_kij: the derivative of m when the features at place ij grow by a
    share. Its sum over the grid is that of growing them everywhere. No ReLU: younger is evidence too.
    """
    with _keep_features(network) as kept:
        logits = network(torch.from_numpy(np.ascontiguousarray(images))) / temperature
        ages = torch.arange(first_age, first_age + logits.shape[1], dtype=logits.dtype)
        spine_age = (logits.softmax(dim=1) * ages).sum(dim=1)
        (features,) = kept
        (gradient,) = torch.autograd.grad(spine_age.sum(), features)
    maps = (gradient * features).sum(dim=1)
    return Saliency(
        spine_age=spine_age.detach().numpy().astype(np.float64), maps=maps.detach().numpy().astype(np.float32)
    )


@contextmanager
def _keep_features(network: SpineAgeNetwork) -> Iterator[list[Tensor]]:
    """Keep what goes into the average over the grid, with its gradient."""
    kept: list[Tensor] = []

    def keep(_: torch.nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        features = inputs[0].detach().requires_grad_(True)  # nothing before it needs a gradient
        kept.append(features)
        return (features,)

    handle = network.model._avg_pooling.register_forward_pre_hook(keep)
    try:
        with torch.enable_grad():
            yield kept
    finally:
        handle.remove()


def draw_overlay(
    image: NDArray[np.float32], saliency: NDArray[np.float32], *, height: int = 900
) -> Image.Image:
    """Return a picture: the image in grey, older places reddish, younger bluish, with a caption.

    Parameters
    ----------
    image : ndarray, shape (H, W)
        Preprocessed, in [0, 1].
    saliency : ndarray, shape (h, w)
        Its map; scaled by its own strongest place.
    height : int
        Rows of the picture without its caption; the width follows.
    """
    width = round(height * image.shape[1] / image.shape[0])
    size = (height, width)
    grey = _resize(image, size).clip(0, 1)[..., None] * 255
    signed = _resize(saliency / max(float(np.abs(saliency).max()), 1e-12), size).clip(-1, 1)
    colour = np.where(signed[..., None] > 0, np.array(OLDER), np.array(YOUNGER))
    opacity = np.abs(signed)[..., None] * STRONGEST
    mixed = (grey * (1 - opacity) + colour * opacity).round().astype(np.uint8)
    picture = Image.new("RGB", (width, height + CAPTION_ROWS), "white")
    picture.paste(Image.fromarray(mixed), (0, 0))
    _caption(ImageDraw.Draw(picture), height)
    return picture


def _resize(values: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    tensor = torch.from_numpy(np.asarray(values, np.float32))[None, None]
    resized = functional.interpolate(tensor, size, mode="bilinear", align_corners=False)
    return np.asarray(resized[0, 0].numpy())


def _caption(draw: ImageDraw.ImageDraw, top: int) -> None:
    draw.rectangle((6, top + 5, 16, top + 15), fill=OLDER)
    draw.text((20, top + 4), "older", fill="black")
    draw.rectangle((60, top + 5, 70, top + 15), fill=YOUNGER)
    draw.text((74, top + 4), "younger", fill="black")
    draw.text((6, top + 18), CAPTION, fill="black")

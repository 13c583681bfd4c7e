"""Random changes to training images that leave the age as it is."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True, slots=True, kw_only=True)
class Augmentation:
    """How far training images are changed; everything 0 leaves them as they are.

    Parameters
    ----------
    rotation_deg : float
        Largest rotation either way.
    scale : float
        Largest relative change of size.
    shift : float
        Largest shift, as a share of the canvas.
    log_gamma : float
        Largest change of the logarithm of gamma.
    noise_sd : float
        Largest standard deviation of added noise, of [0, 1].
    flip : bool
        Mirror every second image (patients face either way).
    """

    rotation_deg: float = 4.0
    scale: float = 0.08
    shift: float = 0.03
    log_gamma: float = 0.2
    noise_sd: float = 0.03
    flip: bool = True


def augment(images: Tensor, strength: Augmentation) -> Tensor:
    """Return images (N, 1, H, W) in [0, 1], changed at random by torch's generator where they are."""
    n, _, height, width = images.shape
    matrices = draw_affine(n, height / width, strength, images.device)
    grid = functional.affine_grid(matrices, [n, 1, height, width], align_corners=False)
    moved = functional.grid_sample(images, grid, align_corners=False)
    gamma = (_uniform(n, images.device) * strength.log_gamma).exp().reshape(n, 1, 1, 1)
    noise_sd = torch.rand(n, 1, 1, 1, device=images.device) * strength.noise_sd
    return (moved.clamp(1e-6, 1).pow(gamma) + torch.randn_like(moved) * noise_sd).clamp(0, 1)


def draw_affine(n: int, aspect: float, strength: Augmentation, device: torch.device | None = None) -> Tensor:
    """Draw affine maps (N, 2, 3) from target to source in coordinates that run from -1 to 1.

    ``aspect`` is height / width; without it a rotation would shear.
    """
    angle = _uniform(n, device) * math.radians(strength.rotation_deg)
    size = 1 + _uniform(n, device) * strength.scale
    mirror = torch.ones(n, device=device)
    if strength.flip:
        mirror = torch.where(torch.rand(n, device=device) < 0.5, -1.0, 1.0)
    cos, sin = angle.cos() * size, angle.sin() * size
    matrices = torch.zeros(n, 2, 3, device=device)
    matrices[:, 0, 0], matrices[:, 0, 1] = cos * mirror, -sin * aspect
    matrices[:, 1, 0], matrices[:, 1, 1] = sin * mirror / aspect, cos
    matrices[:, :, 2] = torch.stack([_uniform(n, device), _uniform(n, device)], dim=1) * strength.shift * 2
    return matrices


def _uniform(n: int, device: torch.device | None) -> Tensor:
    return torch.rand(n, device=device) * 2 - 1

"""Small changes to an image's pixels that leave its spine as it is: shifts, rotations, exposures.

How far they move the age is the perturbation spread. It is no test-retest error: a second image of the
same person differs in more than these ways.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from spinescore.core.imaging.preprocessing import PaddingValue, find_padding

Floats = NDArray[np.float32]
LARGEST = 65535  # changed values run from 1 to this; 0 is padding
PADDING = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Perturbation:
    """One change.

    Parameters
    ----------
    family : str
        shift, rotation or exposure.
    down, right : float
        Shift, as a share of the image's height and width.
    degrees : float
        Rotation about the image's middle, counter-clockwise.
    gamma : float
        Of the values scaled to [0, 1].
    noise_sd : float
        Standard deviation of added noise, of [0, 1].
    """

    family: str
    down: float = 0.0
    right: float = 0.0
    degrees: float = 0.0
    gamma: float = 1.0
    noise_sd: float = 0.0


PERTURBATIONS: Mapping[str, Perturbation] = MappingProxyType(
    {
        "up 2%": Perturbation(family="shift", down=-0.02),
        "down 2%": Perturbation(family="shift", down=0.02),
        "left 2%": Perturbation(family="shift", right=-0.02),
        "right 2%": Perturbation(family="shift", right=0.02),
        "-3 degrees": Perturbation(family="rotation", degrees=-3.0),
        "-1 degree": Perturbation(family="rotation", degrees=-1.0),
        "+1 degree": Perturbation(family="rotation", degrees=1.0),
        "+3 degrees": Perturbation(family="rotation", degrees=3.0),
        "gamma 0.8": Perturbation(family="exposure", gamma=0.8),
        "gamma 1.25": Perturbation(family="exposure", gamma=1.25),
        "noise 1%": Perturbation(family="exposure", noise_sd=0.01),
        "noise 2%": Perturbation(family="exposure", noise_sd=0.02),
    }
)


def perturb(
    pixels: NDArray[Any], change: Perturbation, *, padding_value: PaddingValue = None, seed: int = 0
) -> tuple[NDArray[np.uint16], int | None]:
    """Return changed pixels, reduced to 1..65535 over their own range, and their padding value.

    Parameters
    ----------
    pixels : ndarray, shape (H, W)
        As decoded, not inverted.
    change : Perturbation
        What to do.
    padding_value : int, (low, high) or None
        As in :func:`spinescore.core.imaging.preprocessing.preprocess`; padding is moved with the image
        and stays padding.
    seed : int
        Of the noise.

    Notes
    -----
    What comes into view beside the image takes the value of its edge. Preprocessing equalises the
    histogram, so that brightness moves little; the noise that comes with a low exposure does.
    """
    padding = find_padding(pixels, padding_value)
    values = _scale(np.asarray(pixels, np.float32), padding)
    moved = _move(values, change, Image.Resampling.BILINEAR)
    moved = np.power(np.clip(moved, 0, 1), np.float32(change.gamma))
    if change.noise_sd:
        grain = np.random.default_rng(seed).standard_normal(moved.shape, dtype=np.float32)
        moved = moved + np.float32(change.noise_sd) * grain
    changed = (1 + np.rint(np.clip(moved, 0, 1) * (LARGEST - 1))).astype(np.uint16)
    if padding_value is None:
        return changed, None
    changed[_move(padding.astype(np.float32), change, Image.Resampling.NEAREST) > 0.5] = PADDING
    return changed, PADDING


def _scale(values: Floats, padding: NDArray[np.bool_]) -> Floats:
    kept = values[~padding]
    if not kept.size:
        return np.zeros_like(values)
    low, high = float(kept.min()), float(kept.max())
    return np.asarray(np.clip((values - low) / max(high - low, 1e-6), 0, 1), np.float32)


def _move(values: Floats, change: Perturbation, resampling: Image.Resampling) -> Floats:
    """Shift, then rotate; the edge is carried on outwards."""
    rows, columns = values.shape
    y = np.clip(np.arange(rows) - round(change.down * rows), 0, rows - 1)
    x = np.clip(np.arange(columns) - round(change.right * columns), 0, columns - 1)
    shifted = values[np.ix_(y, x)] if change.down or change.right else values
    if not change.degrees:
        return shifted
    border = int(max(rows, columns) * np.sin(np.radians(abs(change.degrees)))) + 2
    padded = np.pad(shifted, border, mode="edge")
    turned = Image.fromarray(padded).rotate(change.degrees, resampling)
    return np.asarray(turned, np.float32)[border : border + rows, border : border + columns]

"""Images that are no lateral spine: drawn in a few strokes, in the polarity of MONOCHROME2."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage

Pixels = NDArray[Any]
HEIGHT, WIDTH = 512, 384


def finish(image: Pixels, rng: np.random.Generator, blur: float = 1.5) -> Pixels:
    shown = ndimage.gaussian_filter(np.asarray(image, np.float64), blur)
    shown = shown + rng.normal(0, 0.01 * np.ptp(shown) + 1e-6, shown.shape)
    low, high = shown.min(), shown.max()
    return np.rint((shown - low) / (high - low) * 4095).astype(np.uint16)


def chest(rng: np.random.Generator) -> Pixels:
    """Two dark lungs, a bright mediastinum, ribs that slope away on both sides."""
    y, x = np.mgrid[:HEIGHT, :WIDTH] / HEIGHT
    image = np.full((HEIGHT, WIDTH), 0.6)
    pitch = rng.uniform(0.07, 0.1)
    for side in (-1, 1):
        centre = 0.375 + side * 0.17
        lung = ((x - centre) / 0.14) ** 2 + ((y - 0.42) / 0.33) ** 2 < 1
        ribs = 0.12 * (
            np.sin((y + 0.9 * (x - centre) ** 2 + 0.35 * side * (x - centre)) * 2 * np.pi / pitch) > 0.3
        )
        image = np.where(lung, 0.15 + ribs, image)
    image += 0.25 * np.exp(-(((x - 0.42) / 0.1) ** 2) - ((y - 0.55) / 0.12) ** 2)
    return finish(image, rng, 3)


def hand(rng: np.random.Generator) -> Pixels:
    """Five fans of rods with gaps at the joints."""
    canvas = Image.new("L", (WIDTH, HEIGHT), 10)
    draw = ImageDraw.Draw(canvas)
    wrist = np.array([WIDTH / 2, HEIGHT * 0.85])
    for angle in np.deg2rad([-38, -18, -3, 12, 28]) + rng.normal(0, 0.03):
        way = np.array([np.sin(angle), -np.cos(angle)])
        for start, end in ((0.05, 0.32), (0.34, 0.52), (0.54, 0.65), (0.67, 0.74)):
            a, b = wrist + way * start * HEIGHT, wrist + way * end * HEIGHT
            draw.line([*a, *b], fill=180, width=22)
    return finish(np.asarray(canvas), rng)


def text_page(rng: np.random.Generator) -> Pixels:
    """Lines of words, as a scanned report."""
    image = np.ones((HEIGHT, WIDTH))
    pitch = int(rng.integers(12, 26))
    for top in range(30, HEIGHT - 30, pitch):
        left = 30
        while left < WIDTH - 60:
            word = int(rng.integers(10, 50))
            image[top : top + pitch // 2, left : min(left + word, WIDTH - 30)] = rng.random(
                (pitch // 2, min(left + word, WIDTH - 30) - left)
            )
            left += word + 8
    return finish(image, rng, 0.7)


def white_noise(rng: np.random.Generator) -> Pixels:
    return finish(rng.normal(size=(HEIGHT, WIDTH)), rng, 0.01)


def clouds(rng: np.random.Generator) -> Pixels:
    return finish(rng.normal(size=(HEIGHT, WIDTH)), rng, float(rng.uniform(3, 20)))


def ramp(rng: np.random.Generator) -> Pixels:
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    return finish(y * rng.normal() + x * rng.normal(), rng)


def blobs(rng: np.random.Generator) -> Pixels:
    image = np.zeros((HEIGHT, WIDTH))
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    for _ in range(6):
        radius = rng.uniform(20, 90)
        image += (y - rng.uniform(0, HEIGHT)) ** 2 + (x - rng.uniform(0, WIDTH)) ** 2 < radius**2
    return finish(image, rng)


def knee(rng: np.random.Generator) -> Pixels:
    """Two thick shafts that widen towards one gap."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    away = np.abs(y - HEIGHT / 2) / HEIGHT
    width = 45 + 60 * np.exp(-((away / 0.12) ** 2)) + rng.normal(0, 2)
    bone = (np.abs(x - WIDTH / 2) < width) & (away > 0.012)
    return finish(0.3 * (np.abs(x - WIDTH / 2) < 140) + bone, rng, 2)


def skull(rng: np.random.Generator) -> Pixels:
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    radius = np.hypot((y - 230) / 200, (x - 190) / 160)
    image = 0.5 * (radius < 1) + 0.5 * (np.abs(radius - 0.97) < 0.04)
    image += 0.3 * (np.hypot(y - 300, x - 110 + rng.normal(0, 5)) < 40)
    return finish(image, rng, 2)


IMPOSTORS: dict[str, Callable[[np.random.Generator], Pixels]] = {
    "chest": chest,
    "hand": hand,
    "text page": text_page,
    "white noise": white_noise,
    "clouds": clouds,
    "ramp": ramp,
    "blobs": blobs,
    "knee": knee,
    "skull": skull,
}

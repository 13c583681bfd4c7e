"""Preprocessing: ours against the plain OpenCV composition of the same steps, side by side, one core.

    python tests/benchmarks/bench_preprocessing.py

Prints, per image size and depth, the median CPU time of each and the ratio; alternating runs, so that a machine that
changes speed changes it for both.
"""

from __future__ import annotations

import math
import os
import statistics
import time
from itertools import product

os.environ.setdefault("OMP_NUM_THREADS", "1")

import cv2
import numpy as np

from spinescore.core.imaging.preprocessing import PreprocessingSpec, fit_size, preprocess

SIZES = ((1500, 1200), (2840, 2320), (2320, 2840))
BITS = (12, 16)
REPEATS = 15


def compose_with_opencv(pixels: np.ndarray, spec: PreprocessingSpec) -> np.ndarray:
    """Reduce to 8 bit, equalise, scale, crop, resize and pad, one step after the other."""
    values = pixels.astype(np.float64)
    low, high = values.min(), values.max()
    equalised = cv2.equalizeHist(np.floor((values - low) / (high - low) * 255).astype(np.uint8))
    scaled = equalised.astype(np.float32)
    scaled = (scaled - scaled.min()) / (scaled.max() - scaled.min())
    side = math.sqrt(spec.area_kept_radiograph)
    rows, columns = int(scaled.shape[0] * side), int(scaled.shape[1] * side)
    top, left = (scaled.shape[0] - rows) // 2, (scaled.shape[1] - columns) // 2
    height, width = fit_size(rows, columns, spec)
    cropped = scaled[top : top + rows, left : left + columns]
    resized = cv2.resize(cropped, (width, height), interpolation=cv2.INTER_LINEAR)
    canvas = np.zeros((spec.height, spec.width), np.float32)
    y, x = (spec.height - height) // 2, (spec.width - width) // 2
    canvas[y : y + height, x : x + width] = resized
    return canvas


def main() -> None:
    """Time both on synthetic 12- and 16-bit images and print the ratios."""
    cv2.setNumThreads(1)
    spec = PreprocessingSpec()
    rng = np.random.default_rng(1)
    print(
        f"{'pixels':>10} {'bits':>5} {'OpenCV, ms':>11} {'ours, ms':>9} {'OpenCV / ours':>14} {'max difference':>15}"
    )
    for shape, bits in product(SIZES, BITS):
        greatest = (1 << bits) - 1
        coarse = rng.normal(greatest / 2, greatest / 7, (shape[0] // 20, shape[1] // 20))
        noise = rng.normal(0, greatest / 250, shape)
        pixels = (cv2.resize(coarse, shape[::-1]) + noise).clip(0, greatest).astype(np.uint16)
        theirs, ours = [], []
        for _ in range(REPEATS):
            start = time.process_time()
            reference = compose_with_opencv(pixels, spec)
            middle = time.process_time()
            made = preprocess(pixels, kind="radiograph", photometric="MONOCHROME2", spec=spec)
            theirs.append(middle - start)
            ours.append(time.process_time() - middle)
        difference = float(np.abs(reference - made).max())
        one, two = statistics.median(theirs) * 1000, statistics.median(ours) * 1000
        size = f"{shape[0]}x{shape[1]}"
        print(f"{size:>10} {bits:>5} {one:>11.1f} {two:>9.1f} {one / two:>14.2f} {difference:>15.7f}")


if __name__ == "__main__":
    main()

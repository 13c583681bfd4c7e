"""Measure image quality on phantoms, clean and damaged: the numbers of docs/image-quality.md.

    python examples/phantom/measure_quality.py

100 radiographs and 100 VFA images of a seed of their own, as large as `ingest` meets them. About two minutes.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import ndimage

from spinescore.core.imaging.quality import measure_quality
from spinescore.core.phantom.person import CohortName, draw_people
from spinescore.core.phantom.radiograph import Rendered, render
from spinescore.domain import Kind

SEED, N = 6006, 100
COHORTS: dict[Kind, CohortName] = {"radiograph": "derivation", "vfa": "vfa"}
LOW_CONTRAST_LEVELS = 10
BLUR_SHARE, OPEN_SHARE = 0.01, 0.25
Pixels = NDArray[Any]


def damage(image: Rendered) -> dict[str, Pixels]:
    """Return damaged copies by what is wrong with them."""
    full = (1 << image.bits_stored) - 1
    bright = image.pixels if image.photometric == "MONOCHROME2" else full - image.pixels
    rows, columns = bright.shape
    few = np.floor(bright / (full / LOW_CONTRAST_LEVELS))
    hot = few.copy()
    hot[rows // 2, columns // 2] = full
    clipped = np.minimum(bright, full // 2)
    blurred = ndimage.gaussian_filter(bright.astype(np.float32), BLUR_SHARE * rows)
    closed = np.zeros_like(bright)
    side = np.sqrt(OPEN_SHARE)
    top, left = int(rows * (1 - side) / 2), int(columns * (1 - side) / 2)
    closed[top : rows - top, left : columns - left] = bright[top : rows - top, left : columns - left]
    copies = {"hot pixel": hot, "clipped": clipped, "blurred": blurred, "collimated": closed}
    return {
        name: (copy if image.photometric == "MONOCHROME2" else full - copy).astype(image.pixels.dtype)
        for name, copy in copies.items()
    }


def measure(kind: Kind) -> pl.DataFrame:
    """Return one row of measures per phantom and damage; ``state`` is clean or the damage."""
    rows = []
    for person in draw_people(N, seed=SEED, cohort=COHORTS[kind]):
        image = render(person, kind=kind, seed=SEED)
        for state, pixels in {"clean": image.pixels, **damage(image)}.items():
            found = asdict(measure_quality(pixels, photometric=image.photometric))
            rows.append({"kind": kind, "state": state, **found})
    return pl.DataFrame(rows)


def main() -> None:
    """Print percentiles of clean images and medians of damaged ones."""
    with pl.Config(tbl_rows=-1, tbl_cols=-1, tbl_width_chars=200):
        for kind in COHORTS:
            measured = measure(kind)
            clean = measured.filter(pl.col("state") == "clean").drop("kind", "state")
            shares = (0.0, 0.01, 0.02, 0.05, 0.5, 0.99, 1.0)
            print(kind, "clean, by percentile")
            print(pl.concat([clean.quantile(q).select(pl.lit(q).alias("q"), pl.all()) for q in shares]))
            print(kind, "damaged, medians")
            print(measured.drop("kind").group_by("state").median().sort("state"))


if __name__ == "__main__":
    main()

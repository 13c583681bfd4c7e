"""How far small changes to an image's pixels move its age: the perturbation spread of a sample of images."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from spinescore.core.imaging.perturbation import PERTURBATIONS
from spinescore.core.network.age_distribution import expectation
from spinescore.errors import AnalysisError
from spinescore.shell.backends import open_backend
from spinescore.shell.bundles import Bundle
from spinescore.shell.preparation import PendingImage, prepare_perturbed
from spinescore.shell.warehouse import Warehouse
from spinescore.shell.workers import DECODER_MEMORY_BYTES, WorkerFailure, map_supervised

IMAGE_TIMEOUT_S = 120.0
KINDS = ("radiograph", "vfa")


@dataclass(frozen=True, slots=True, kw_only=True)
class PerturbationSpread:
    """What came of it.

    Parameters
    ----------
    images : polars.DataFrame
        One row per image and change: ``sop_instance_uid, kind, perturbation, family, spine_age,
        change_years``.
    failures : tuple of (str, str)
        SOP instance UID and reason of each image that could not be read.
    """

    images: pl.DataFrame
    failures: tuple[tuple[str, str], ...]

    def by_image(self) -> pl.DataFrame:
        """Return each image's spread: the root mean square change over all perturbations, and the largest."""
        return self.images.group_by("sop_instance_uid", "kind").agg(
            pl.col("change_years").pow(2).mean().sqrt().alias("spread_years"),
            pl.col("change_years").abs().max().alias("largest_years"),
        )

    def summarise(self) -> pl.DataFrame:
        """Return, per kind: n, the spread over all images, its 95th percentile, the largest change."""
        return (
            self.by_image()
            .group_by("kind")
            .agg(
                pl.len().alias("n"),
                pl.col("spread_years").pow(2).mean().sqrt(),
                pl.col("spread_years").quantile(0.95, "linear").alias("spread_p95_years"),
                pl.col("largest_years").max(),
            )
            .sort("kind")
        )

    def by_perturbation(self) -> pl.DataFrame:
        """Return, per kind and change: mean change, root mean square change and the largest, years."""
        order = {name: position for position, name in enumerate(PERTURBATIONS)}
        return (
            self.images.group_by("kind", "family", "perturbation")
            .agg(
                pl.col("change_years").mean().alias("mean_years"),
                pl.col("change_years").pow(2).mean().sqrt().alias("rms_years"),
                pl.col("change_years").abs().max().alias("largest_years"),
            )
            .sort("kind", pl.col("perturbation").replace_strict(order))
        )


def measure_perturbation_spread(
    warehouse: Warehouse,
    bundle: Bundle,
    *,
    n_images: int = 100,
    seed: int = 0,
    device: str = "auto",
    announce: Callable[[str], None] = lambda _: None,
    progress: Callable[[int, int], None] = lambda *_: None,
) -> PerturbationSpread:
    """Score a sample of scored images again under every perturbation, and keep what came out.

    Parameters
    ----------
    warehouse : Warehouse
        Which holds the model's scores; rows of ``perturbed_scores`` are written for the sample.
    bundle : Bundle
        The model.
    n_images : int
        Images per kind, one per subject at most, chosen by a seeded hash.
    seed : int
        Of the choice and of the noise.
    device : {"auto", "cpu", "cuda"}
        As in ``score``.
    announce, progress : callable
        As in ``score``.

    Raises
    ------
    AnalysisError
        If the model has scored no image, or none of the sample can be read.
    """
    sample = _choose(warehouse, bundle, n_images, seed)
    backend = open_backend(bundle, device=device, announce=announce)
    announce(backend.description)
    rows: list[dict[str, Any]] = []
    failures: list[tuple[str, str]] = []
    for image, answer in _prepare(sample, bundle, seed):
        progress(1, sample.height)
        if isinstance(answer, str):
            failures.append((image.sop_instance_uid, answer))
        else:
            ages = expectation(backend.predict(answer[:, None]), bundle.first_age)
            rows += _rows(image, ages)
    if not rows:
        raise AnalysisError(
            f"None of {sample.height} images could be read; the first: {failures[0][1]}.",
            "Ingest the images again.",
        )
    found = PerturbationSpread(images=pl.DataFrame(rows), failures=tuple(failures))
    _store(warehouse, bundle, found.images)
    return found


def _choose(warehouse: Warehouse, bundle: Bundle, n_images: int, seed: int) -> pl.DataFrame:
    scored = warehouse.fetch(
        "perturbation/images", model_id=bundle.model_id, preprocessing_id=bundle.spec.preprocessing_id
    )
    if scored.is_empty():
        raise AnalysisError(
            f"{warehouse.path} holds no image that `{bundle.name}` {bundle.version} has scored.",
            f"Score them first: spinescore score --model {bundle.path}",
        )
    scored = scored.filter(pl.col("nth_of_subject") == 1)
    draws = [hashlib.sha256(f"{seed}|{uid}".encode()).hexdigest() for uid in scored["sop_instance_uid"]]
    return scored.with_columns(pl.Series("draw", draws)).sort("draw").group_by("kind").head(n_images)


def _prepare(
    sample: pl.DataFrame, bundle: Bundle, seed: int
) -> Iterator[tuple[PendingImage, NDArray[np.float32] | str]]:
    """Yield each image with its canvases (1 + changes, H, W), the unchanged first, or why there are none."""
    columns = ("sop_instance_uid", "kind", "path_bytes", "size_bytes", "modified_ns")
    images = [PendingImage(*row) for row in sample.select(columns).iter_rows()]
    prepared = map_supervised(
        partial(prepare_perturbed, spec=bundle.spec, changes=tuple(PERTURBATIONS.values()), seed=seed),
        images,
        workers=os.cpu_count() or 1,
        timeout_s=IMAGE_TIMEOUT_S,
        memory_limit_bytes=DECODER_MEMORY_BYTES,
    )
    for image, answer in prepared:
        yield image, answer.reason if isinstance(answer, WorkerFailure) else answer


def _rows(image: PendingImage, ages: NDArray[np.float64]) -> list[dict[str, Any]]:
    return [
        {
            "sop_instance_uid": image.sop_instance_uid,
            "kind": image.kind,
            "perturbation": name,
            "family": change.family,
            "spine_age": float(age),
            "change_years": float(age - ages[0]),
        }
        for (name, change), age in zip(PERTURBATIONS.items(), ages[1:], strict=True)
    ]


def _store(warehouse: Warehouse, bundle: Bundle, images: pl.DataFrame) -> None:
    key = {"model_id": bundle.model_id, "preprocessing_id": bundle.spec.preprocessing_id}
    with warehouse.run("perturb", {"bundle": bundle.name}, model_id=bundle.model_id) as run:
        keyed = images.drop("kind").with_columns(
            *(pl.lit(value).alias(name) for name, value in key.items()), pl.lit(run.run_id).alias("run_id")
        )
        with warehouse.transaction():
            warehouse.delete(
                "perturbed_scores", keyed.select("sop_instance_uid", "model_id", "preprocessing_id").unique()
            )
            warehouse.append("perturbed_scores", keyed)
        run.counts = {"images": images["sop_instance_uid"].n_unique(), "ages": images.height}

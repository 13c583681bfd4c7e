"""The indexed images of a study -> what ``train`` takes."""

from __future__ import annotations

import os
from pathlib import Path

import polars as pl

from spinescore.core.imaging.preprocessing import PreprocessingSpec
from spinescore.errors import TrainingError
from spinescore.shell.bundles import BundleDescription
from spinescore.shell.image_cache import CacheItem, ImageCache, build_cache
from spinescore.shell.warehouse import Warehouse
from spinescore.study import Study


def load_training_images(warehouse: Warehouse, study: Study, folder: Path) -> tuple[ImageCache, bool]:
    """Decode and preprocess every image a network can learn from, once, into ``folder``.

    Returns
    -------
    cache : ImageCache
        The images that could be read.
    synthetic : bool
        Whether any of them is a phantom.

    Raises
    ------
    TrainingError
        If the database holds no image with a subject and an age in range.
    """
    settings = study.train
    rows = warehouse.fetch(
        "score/trainable", first_age=settings.first_age, last_age=settings.first_age + settings.n_classes
    )
    if study.images.kind != "auto":
        rows = rows.filter(pl.col("kind") == study.images.kind)
    if rows.is_empty():
        raise TrainingError(
            f"{warehouse.path} holds no image with a subject and an age in range.", "Ingest the images first."
        )
    items = [
        CacheItem(subject_id=subject, kind=kind, age_years=age, source=path)
        for subject, kind, age, path, _ in rows.iter_rows()
    ]
    spec = PreprocessingSpec(height=settings.height, width=settings.width)
    cache = build_cache(items, spec, folder, workers=os.cpu_count() or 1)
    return cache, bool(rows["synthetic"].any())


def describe_bundle(study: Study, name: str, n_images: int, *, synthetic: bool) -> BundleDescription:
    """Return what the manifest will say of a network trained on the study's images."""
    return BundleDescription(
        name=name,
        version="1",
        intended_use=(
            "Demonstration and tests on phantoms; never on images of people."
            if synthetic
            else "Research on cohorts; not a medical device, no decision about a patient."
        ),
        licence="as its owner says",
        backbone=study.train.backbone,
        first_age=study.train.first_age,
        n_classes=study.train.n_classes,
        age_range=(float(study.train.first_age), float(study.train.first_age + study.train.n_classes)),
        training_data=f"{n_images} images of the study `{study.study.title}`.",
        synthetic=synthetic,
        metrics={},
    )


def write_model_card(description: BundleDescription) -> str:
    """Return a model card, Markdown: what it is, what it was trained on, what it achieves."""
    rows = [
        f"| {kind} | {measured['n']:.0f} | {measured['mae_years']:.2f} | {measured.get('r', '')} |"
        for kind, measured in description.metrics["test"].items()
    ]
    network = f"{description.backbone} -> 100 -> 100 -> {description.n_classes} ages"
    lines = [
        f"# {description.name} {description.version}",
        "",
        description.intended_use,
        "",
        f"- Network: {network}, mean-variance loss.",
        f"- Trained on: {description.training_data}",
        f"- Ages in training: {description.ages_in_training}.",
        "",
        "Raw accuracy on the test part (subjects never trained on, no bias correction):",
        "",
        "| images | n | MAE, years | r |",
        "|---|---|---|---|",
        *rows,
        "",
    ]
    return "\n".join(lines)

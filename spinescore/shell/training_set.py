"""The indexed images of a study -> what ``train`` takes; and who is in which part, back into the database."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl

from spinescore.core.cohort.training_split import shares_of
from spinescore.core.imaging.preprocessing import PreprocessingSpec
from spinescore.core.network.augmentation import Augmentation
from spinescore.core.network.training_plan import Stage
from spinescore.errors import TrainingError
from spinescore.shell.bundles import Bundle, BundleDescription
from spinescore.shell.image_cache import CacheItem, ImageCache, build_cache
from spinescore.shell.training.model_card import write_model_card
from spinescore.shell.training.request import Hardware, TrainingRequest
from spinescore.shell.warehouse import Warehouse
from spinescore.study import Study
from spinescore.study.sections import TrainSection


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingPlace:
    """Where a study's network is made: the bundle's folder, the working folder, what to begin with."""

    output: Path
    work: Path
    initial: Bundle | None = None


def prepare_training(warehouse: Warehouse, study: Study, place: TrainingPlace) -> TrainingRequest:
    """Read a study's images once, decide who is in which part, store that, and return what to train.

    Raises
    ------
    TrainingError
        If the database holds no image to train on, the canvas cannot be, a part is empty, or an initial
        bundle does not fit.
    """
    spec = _choose_spec(study, place.initial)
    cache, synthetic = load_training_images(warehouse, study, spec, place.work / "images")
    description = describe_bundle(
        study, place.output.name, cache.table.height, synthetic=synthetic, initial=place.initial
    )
    request = _request(study.train, place, cache, description)
    store_parts(warehouse, request)
    return request


def _request(
    settings: TrainSection, place: TrainingPlace, cache: ImageCache, description: BundleDescription
) -> TrainingRequest:
    return TrainingRequest(
        cache=cache,
        work=place.work / "run",
        output=place.output,
        description=description,
        model_card=write_model_card,
        stages=(
            Stage(
                epochs=settings.epochs,
                batch_size=settings.batch_size,
                learning_rate=settings.learning_rate,
                mean_weight=settings.mean_weight,
                variance_weight=settings.variance_weight,
            ),
        ),
        split=shares_of(settings.share),
        seed=settings.seed,
        augmentation=Augmentation(
            rotation_deg=settings.rotation_deg, scale=settings.scaling, noise_sd=settings.noise
        ),
        weight_decay=settings.weight_decay,
        accumulate=settings.accumulate,
        patience=settings.patience,
        initial=place.initial,
        hardware=_choose_hardware(settings),
    )


def _choose_hardware(settings: TrainSection) -> Hardware:
    return Hardware(
        accelerator=settings.accelerator,
        devices=settings.devices,
        strategy=settings.strategy,
        precision=settings.precision,
        workers=settings.workers,
    )


def _choose_spec(study: Study, initial: Bundle | None) -> PreprocessingSpec:
    """Return the preprocessing: the study's canvas, and all else as an initial bundle has it."""
    base = PreprocessingSpec() if initial is None else initial.spec
    try:
        spec = replace(base, height=study.train.height, width=study.train.width)
    except ValueError as error:
        raise TrainingError(f"[train] height and width: {error}.", "Exchange or correct them.") from None
    if initial is not None:
        from spinescore.shell.training.starting import check_initial

        check_initial(initial, describe_bundle(study, "", 0, synthetic=False), spec)
    return spec


def load_training_images(
    warehouse: Warehouse, study: Study, spec: PreprocessingSpec, folder: Path
) -> tuple[ImageCache, bool]:
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
        CacheItem(
            subject_id=row["subject_id"],
            image_subject_id=row["image_subject_id"],
            kind=row["kind"],
            age_years=row["age_years"],
            source=row["path_bytes"],
            sex=row["sex"],
            manufacturer=row["manufacturer"],
        )
        for row in rows.iter_rows(named=True)
    ]
    cache = build_cache(items, spec, folder, workers=os.cpu_count() or 1)
    return cache, bool(rows["synthetic"].any())


def store_parts(warehouse: Warehouse, request: TrainingRequest) -> None:
    """Store in ``splits`` who trains, validates and tests: what cohorts of the trained model will see.

    Corrections and analyses of another model put its own parts in their place.
    """
    parts = [
        part.select(pl.col("image_subject_id").alias("subject_id"), "kind")
        .unique()
        .with_columns(pl.lit(name).alias("split"), pl.lit(request.seed).cast(pl.Int64).alias("seed"))
        for name, part in request.split_images().items()
    ]
    rows = pl.concat(parts).sort("subject_id", "kind")
    counts = {f"{name}_images": part.height for name, part in request.split_images().items()}
    arguments = {"seed": request.seed, "split": request.split, "output": request.output}
    with warehouse.run("train", arguments) as run, warehouse.transaction():
        warehouse.refill("splits", rows)
        run.counts = counts


def describe_bundle(
    study: Study, name: str, n_images: int, *, synthetic: bool, initial: Bundle | None = None
) -> BundleDescription:
    """Return what the manifest will say of a network trained on the study's images."""
    synthetic = synthetic or (initial is not None and initial.demonstration)
    begun = "" if initial is None else f" Begun with {initial.name} {initial.version} ({initial.model_id})."
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
        training_data=f"{n_images} images of the study `{study.study.title}`.{begun}",
        synthetic=synthetic,
        training_seeds=() if initial is None else tuple(initial.manifest.get("training_seeds", ())),
        metrics={},
    )

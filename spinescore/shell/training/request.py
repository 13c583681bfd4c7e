"""What to train, on what and how; and the part of it that decides the weights."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

import polars as pl

from spinescore.core.cohort.training_split import split_subjects
from spinescore.core.network.augmentation import Augmentation
from spinescore.core.network.training_plan import Stage
from spinescore.errors import TrainingError
from spinescore.shell.bundles import Bundle, BundleDescription
from spinescore.shell.image_cache import ImageCache

METRICS = "metrics.jsonl"
CURVES = "learning_curves.html"
Precision = Literal["32", "bf16", "16"]
Accelerator = Literal["auto", "cpu", "gpu"]
Strategy = Literal["auto", "ddp"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Hardware:
    """On what to train; nothing here is meant to change the result beyond rounding.

    Parameters
    ----------
    accelerator : {"auto", "cpu", "gpu"}
        ``auto`` takes a GPU where there is one.
    devices : int
        How many; each computes its share of every batch.
    strategy : {"auto", "ddp"}
        How several devices work together: Lightning's DDP, in processes of this machine.
    precision : {"32", "bf16", "16"}
        Mixed precision with bfloat16 or float16 (float16 on GPUs alone).
    workers : int
        Processes that read images, beside the one that trains.
    """

    accelerator: Accelerator = "auto"
    devices: int = 1
    strategy: Strategy = "auto"
    precision: Precision = "32"
    workers: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRequest:
    """What to train, on what, how, and where to leave it.

    Parameters
    ----------
    cache : ImageCache
        Preprocessed images and their table.
    work, output : Path
        Working folder (checkpoint, metrics, curves) and the bundle's folder.
    description : BundleDescription
        What the manifest will say; backbone and classes are read from here, metrics filled in here.
    model_card : callable
        Finished description -> Markdown.
    stages : tuple of Stage
        In order.
    split : (float, float, float)
        Shares of subjects for training, validation and test.
    seed : int
        Decides split, order, augmentation and initial weights.
    augmentation : Augmentation
        Strength.
    weight_decay : float
        Adam's.
    accumulate : int
        Steps whose gradients are summed before the weights change.
    patience : int, optional
        Stop when so many epochs of the last stage have brought no lower validation MAE.
    initial : Bundle, optional
        Begin with its weights instead of random ones.
    hardware : Hardware
        On what.
    checkpoint_every_s : float
        Seconds between checkpoints.
    """

    cache: ImageCache
    work: Path
    output: Path
    description: BundleDescription
    model_card: Callable[[BundleDescription], str]
    stages: tuple[Stage, ...]
    split: tuple[float, float, float] = (0.6, 0.2, 0.2)
    seed: int = 0
    augmentation: Augmentation = field(default_factory=Augmentation)
    weight_decay: float = 0.0
    accumulate: int = 1
    patience: int | None = None
    initial: Bundle | None = None
    hardware: Hardware = field(default_factory=Hardware)
    checkpoint_every_s: float = 120.0

    def split_images(self) -> dict[str, pl.DataFrame]:
        """Return the images of usable age, by part.

        Raises
        ------
        TrainingError
            If a part is empty.
        """
        last_age = self.description.first_age + self.description.n_classes
        usable = self.cache.table.filter(
            pl.col("age_years").is_between(self.description.first_age, last_age, "left")
        )
        parts = split_subjects(usable, self.split, self.seed, settled=_settle(usable, self.initial))
        empty = [name for name, part in parts.items() if part.is_empty()]
        if empty:
            raise TrainingError(f"No image falls into the part {empty[0]}.", "Train on more subjects.")
        return parts

    def identify(self) -> str:
        """Return what must be the same for a run to go on: data, split, stages, loss and initial weights."""
        description = self.description
        settings = {
            "images": self.cache.table.select("subject_id", "kind", "age_years").hash_rows(seed=0).sum(),
            "preprocessing_id": self.cache.spec.preprocessing_id,
            "stages": [asdict(stage) for stage in self.stages],
            "rest": [self.split, self.seed, self.weight_decay, self.accumulate, self.patience],
            "hardware": [self.hardware.devices, self.hardware.precision],
            "initial": None if self.initial is None else self.initial.model_id,
            "augmentation": asdict(self.augmentation),
            "network": [description.backbone, description.first_age, description.n_classes],
        }
        return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


def _settle(usable: pl.DataFrame, initial: Bundle | None) -> dict[str, str]:
    """Return the parts of subjects that an initial network has seen."""
    if initial is None:
        return {}
    ids = usable["image_subject_id"].unique().to_list()
    settled: dict[str, str] = {}
    for part, seen in (("validation", initial.validated_on(ids)), ("train", initial.trained_on(ids))):
        chosen = usable.filter(pl.col("image_subject_id").is_in(list(seen)))
        settled |= dict.fromkeys(chosen["subject_id"], part)
    return settled

"""Train the demonstration bundle on phantoms: render, train, write spinescore/data/demo-bundle.

    python examples/demo-bundle/train_demo_bundle.py --work demo-training --subjects 7000

Two CPU cores and about an hour suffice. It may be killed and started again
at any time with the same arguments: rendering and training go on where they were, and
the bundle of the best epoch is written at the end. (At a quarter of the canvas' sides the network
finds within minutes what age looks like, which at full size takes it hours.)
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from spinescore.core.imaging.preprocessing import PreprocessingSpec
from spinescore.core.network.augmentation import Augmentation
from spinescore.core.phantom.acquisition import draw_acquisition
from spinescore.core.phantom.person import CohortName, Person, draw_people
from spinescore.core.phantom.radiograph import render
from spinescore.domain import Kind
from spinescore.shell.bundles import BundleDescription
from spinescore.shell.image_cache import CacheItem, ImageCache, ReadPixels, build_cache
from spinescore.shell.training.model_card import write_model_card
from spinescore.train import Stage, TrainingRequest, train

REPOSITORY = Path(__file__).resolve().parents[2]
TRAINING_SEED = 7001  # phantoms of this seed are training's; no cohort that is evaluated may use it
SHARE_RADIOGRAPHS = 0.8
SPEC = PreprocessingSpec(height=512, width=256)  # as kept; the last stage halves it for the bundle
STAGES = (
    Stage(epochs=8, shrink=4, batch_size=32, learning_rate=3e-3, mean_weight=0.05, variance_weight=0.0),
    Stage(epochs=4, shrink=2, batch_size=32, learning_rate=1.5e-3),
)
AUGMENTATION = Augmentation(rotation_deg=3, scale=0.06, shift=0.03, log_gamma=0.15, noise_sd=0.02)
FLOOR = """
## What a phantom can tell

A phantom's spine is drawn at its age plus a hidden gap of SD 4 years, so the mean absolute error of a perfect
reader is 3.2 years. No image of a person took part; made by `examples/demo-bundle/train_demo_bundle.py`.
"""
COHORT_OF: dict[Kind, CohortName] = {"radiograph": "derivation", "vfa": "vfa"}


@dataclass(frozen=True, slots=True)
class PhantomSource:
    """A phantom yet to be rendered."""

    person: Person
    kind: Kind
    seed: int

    def __str__(self) -> str:
        return f"{self.person.subject_id} {self.kind} {self.seed}"


def read_phantom(source: PhantomSource) -> ReadPixels:
    """Render a phantom instead of reading a file; the pixels are those its DICOM file would hold."""
    rendered = render(source.person, kind=source.kind, seed=source.seed)
    return ReadPixels(rendered.pixels, rendered.photometric)


def list_phantoms(n_subjects: int, seed: int) -> list[CacheItem]:
    """Return one image per subject, 80% radiographs and 20% VFA, shuffled."""
    counts: dict[Kind, int] = {"radiograph": round(SHARE_RADIOGRAPHS * n_subjects)}
    counts["vfa"] = n_subjects - counts["radiograph"]
    items = [
        CacheItem(
            subject_id=person.subject_id,
            kind=kind,
            age_years=person.age_years,
            source=PhantomSource(person, kind, seed),
            sex=person.sex,
            manufacturer=draw_acquisition(person.subject_id, kind=kind, seed=seed).device.manufacturer,
        )
        for kind, n in counts.items()
        for person in draw_people(n, seed=seed, cohort=COHORT_OF[kind])
    ]
    return [items[i] for i in np.random.default_rng(seed).permutation(len(items))]


def render_phantoms(n_subjects: int, seed: int, folder: Path) -> tuple[list[CacheItem], ImageCache]:
    """Return the phantoms and their preprocessed images."""
    items = list_phantoms(n_subjects, seed)
    return items, build_cache(items, SPEC, folder, workers=2, read=read_phantom)


def describe(description: BundleDescription) -> str:
    """Return the bundle's model card, Markdown."""
    return write_model_card(description) + FLOOR


def request_training(arguments: argparse.Namespace) -> TrainingRequest:
    """Return the recipe: a quarter of the canvas' sides first, then half, then all of it."""
    _, cache = render_phantoms(arguments.subjects, TRAINING_SEED, arguments.work / "images")
    description = BundleDescription(
        name="phantom-demo-b0",
        version="2",
        intended_use="Demonstration and tests on phantoms made by spinescore; never on images of people.",
        licence="MIT",
        backbone="efficientnet-b0",
        first_age=40,
        n_classes=61,
        age_range=(40.0, 101.0),
        training_data=f"{arguments.subjects} phantoms of seed {TRAINING_SEED}: 80% radiographs, 20% VFA.",
        synthetic=True,
        training_seeds=(TRAINING_SEED,),
        metrics={},
    )
    return TrainingRequest(
        cache=cache,
        work=arguments.work / "run",
        output=arguments.output,
        description=description,
        model_card=describe,
        stages=STAGES,
        split=(0.88, 0.07, 0.05),
        seed=TRAINING_SEED,
        augmentation=AUGMENTATION,
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, default=REPOSITORY / "demo-training")
    parser.add_argument("--output", type=Path, default=REPOSITORY / "spinescore" / "data" / "demo-bundle")
    parser.add_argument("--subjects", type=int, default=7000)
    train(request_training(parser.parse_args()), announce=lambda line: print(json.dumps(line), flush=True))

"""Phantoms -> DICOM files; worker processes import this and little else."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from spinescore.core.phantom.dicom import dataset
from spinescore.core.phantom.person import Person
from spinescore.core.phantom.radiograph import render
from spinescore.domain import Kind


@dataclass(frozen=True, slots=True)
class PhantomImage:
    """One image to render: of whom, as what kind, how high (None: as its device does), where to."""

    person: Person
    kind: Kind
    height: int | None
    path: Path


def write_phantom(image: PhantomImage, *, seed: int) -> None:
    """Render one phantom and save it as DICOM."""
    rendered = render(image.person, kind=image.kind, seed=seed, height=image.height)
    dataset(rendered, image.person, seed=seed).save_as(image.path, enforce_file_format=True)

"""What is known beside the follow-up table when a study is drafted: files, layout, the database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from spinescore.domain import Kind

SPOKEN_KINDS: Mapping[Kind, str] = {"radiograph": "radiographs", "vfa": "DXA VFA images"}
COHORT_NAMES: Mapping[Kind, str] = {"radiograph": "Radiographs", "vfa": "VFA"}


@dataclass(frozen=True, slots=True)
class KindFacts:
    """One kind of image in a database: how many, of how many subjects, and their ages in years."""

    kind: Kind
    n_images: int
    n_subjects: int
    youngest: float | None
    oldest: float | None
    n_synthetic: int = 0


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """What a database holds.

    Parameters
    ----------
    kinds : sequence of KindFacts
        Its eligible images, by kind; one with most subjects first.
    models : sequence of str
        Names of the models that scored images.
    imported : sequence of str
        Names under which ages were imported.
    sources : sequence of str
        Where its images were read from and still may be, as they are written in the study file.
    """

    kinds: Sequence[KindFacts]
    models: Sequence[str] = ()
    imported: Sequence[str] = ()
    sources: Sequence[str] = ()

    @property
    def synthetic(self) -> bool:
        """Whether all images are made up."""
        return bool(self.kinds) and all(kind.n_synthetic == kind.n_images for kind in self.kinds)

    @property
    def n_images(self) -> int:
        """How many images there are."""
        return sum(kind.n_images for kind in self.kinds)


@dataclass(frozen=True, slots=True)
class Situation:
    """What a draft is made for.

    Parameters
    ----------
    table_name, database_name : str
        The files, as they are written in the study file.
    layout : mapping
        What was said of the table's layout: keys of [subjects].
    detected : mapping of str to str
        What was detected of it.
    delimiter : str, optional
        What separates its columns.
    sources : sequence of str
        Folders of images.
    imported : str, optional
        The name of ages computed elsewhere.
    issuer : str, optional
        IssuerOfPatientID of the ids.
    facts : ImageFacts, optional
        What the database holds; None without one.
    """

    table_name: str
    database_name: str
    layout: Mapping[str, Any] = field(default_factory=dict)
    detected: Mapping[str, str] = field(default_factory=dict)
    delimiter: str | None = None
    sources: Sequence[str] = ()
    imported: str | None = None
    issuer: str | None = None
    facts: ImageFacts | None = None

    @property
    def kinds(self) -> list[Kind]:
        """The kinds of image that there are; radiographs where that is not known."""
        known = [kind.kind for kind in self.facts.kinds] if self.facts is not None else []
        return known or ["radiograph"]

    @property
    def evaluated(self) -> list[str]:
        """The names of the cohorts that are evaluated."""
        return [COHORT_NAMES[kind] for kind in self.kinds]

    @property
    def ages_from(self) -> str | None:
        """The name of imported ages that the study is about, if it is."""
        if self.imported is not None:
            return self.imported
        if self.facts is None or self.facts.models or len(self.facts.imported) != 1 or self.sources:
            return None
        return self.facts.imported[0]

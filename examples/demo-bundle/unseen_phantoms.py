"""Phantoms rendered and scored in memory, for the scripts that measure the demonstration model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import polars as pl

from spinescore.core.imaging.preprocessing import PreprocessingSpec, preprocess
from spinescore.core.network.age_distribution import expectation, variance
from spinescore.core.network.recalibration import age_quantile
from spinescore.core.phantom.person import Person
from spinescore.core.phantom.radiograph import render
from spinescore.domain import Kind
from spinescore.shell.backends import open_backend
from spinescore.shell.bundles import Bundle
from spinescore.shell.workers import WorkerFailure, map_supervised

BATCH = 32


def read_image(person: Person, *, kind: Kind, seed: int, spec: PreprocessingSpec) -> tuple[Any, str]:
    """Render and preprocess one phantom; return it with its machine's maker."""
    rendered = render(person, kind=kind, seed=seed)
    image = preprocess(rendered.pixels, kind=kind, photometric=rendered.photometric, spec=spec)
    return image, rendered.device.manufacturer


def score(people: Sequence[Person], kind: Kind, seed: int, bundle: Bundle) -> pl.DataFrame:
    """Return one row per person, by id.

    Columns ``subject_id, age, sex, gap, manufacturer, spine_age, spine_age_sd`` (years) and ``covered``:
    whether the central 90% interval holds the age.
    """
    backend = open_backend(bundle, device="auto")
    rows = []
    for batch in _batches(people, kind, seed, bundle.spec):
        p = backend.predict(np.stack([image for _, image, _ in batch])[:, None])
        spine_age, sd = expectation(p, bundle.first_age), np.sqrt(variance(p, bundle.first_age))
        low, high = (age_quantile(p, bundle.first_age, share) for share in (0.05, 0.95))
        rows += [
            {
                "subject_id": person.subject_id,
                "age": person.age_years,
                "sex": person.sex,
                "gap": person.gap_years,
                "manufacturer": manufacturer,
                "spine_age": float(spine_age[i]),
                "spine_age_sd": float(sd[i]),
                "covered": bool(low[i] <= person.age_years <= high[i]),
            }
            for i, (person, _, manufacturer) in enumerate(batch)
        ]
    return pl.DataFrame(rows).sort("subject_id")


def _batches(
    people: Sequence[Person], kind: Kind, seed: int, spec: PreprocessingSpec
) -> Iterator[list[tuple[Person, Any, str]]]:
    read = partial(read_image, kind=kind, seed=seed, spec=spec)
    batch: list[tuple[Person, Any, str]] = []
    for person, answer in map_supervised(read, people, workers=2, timeout_s=120):
        if isinstance(answer, WorkerFailure):
            raise RuntimeError(answer.detail)
        batch.append((person, *answer))
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch

"""Overlays that show where in chosen images the network found age (Grad-CAM)."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from spinescore.errors import AnalysisError, ExportError
from spinescore.shell.bundles import Bundle
from spinescore.shell.preparation import PendingImage, Prepared, prepare_image
from spinescore.shell.warehouse import Warehouse
from spinescore.shell.workers import DECODER_MEMORY_BYTES, WorkerFailure, map_supervised

IMAGE_TIMEOUT_S = 60.0
INDEX = "index.json"
NAME_DIGITS = 12
FEWEST_FOR_EXTREMES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlay:
    """One picture and what it is of; ``name`` is a hash, the image's UID stays in the database."""

    name: str
    path: Path
    kind: str
    age_years: float | None
    spine_age: float
    gap_at_age_years: float | None


def draw_saliency(
    warehouse: Warehouse,
    bundle: Bundle,
    folder: Path,
    *,
    sop_instance_uids: Sequence[str] = (),
    extremes: int = 0,
    progress: Callable[[int, int], None] = lambda *_: None,
) -> tuple[list[Overlay], list[tuple[str, str]]]:
    """Draw the saliency of chosen images as PNG overlays.

    Parameters
    ----------
    warehouse : Warehouse
        Which holds the model's scores.
    bundle : Bundle
        The model.
    folder : Path
        Made if need be, for its owner's eyes only; ``<hash>.png`` each and ``index.json``.
    sop_instance_uids : sequence of str
        Images by UID.
    extremes : int
        So many of each kind that look oldest and youngest for their age; none flagged ``burned_in``.
    progress : callable
        Called with (images done since the last call, images in all).

    Returns
    -------
    overlays, failures
        What was drawn; UID and reason of what could not be.

    Raises
    ------
    AnalysisError
        If a UID is not of an image this model scored, or nothing was chosen.
    ExportError
        If the folder cannot be written.
    """
    from spinescore.shell.inference.torch_network import build_network

    chosen = _choose(warehouse, bundle, sop_instance_uids, extremes)
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise ExportError(f"{folder} cannot be made: {error.strerror}.", "Name another folder.") from error
    network = build_network(bundle)
    overlays: list[Overlay] = []
    failures: list[tuple[str, str]] = []
    facts = {row["sop_instance_uid"]: row for row in chosen.iter_rows(named=True)}
    columns = ("sop_instance_uid", "kind", "path_bytes", "size_bytes", "modified_ns")
    images = [PendingImage(**row, has_facts=True) for row in chosen.select(columns).iter_rows(named=True)]
    prepared = map_supervised(
        partial(prepare_image, spec=bundle.spec, thresholds={}),
        images,
        workers=min(os.cpu_count() or 1, len(images)),
        timeout_s=IMAGE_TIMEOUT_S,
        memory_limit_bytes=DECODER_MEMORY_BYTES,
    )
    for image, answer in prepared:
        progress(1, len(images))
        if isinstance(answer, WorkerFailure) or answer.image is None:
            failures.append((image.sop_instance_uid, answer.reason))
        else:
            overlays.append(_draw(network, bundle, answer, facts[image.sop_instance_uid], folder))
    overlays.sort(key=lambda overlay: overlay.name)
    _write_index(folder, bundle, overlays)
    return overlays, failures


def _choose(warehouse: Warehouse, bundle: Bundle, uids: Sequence[str], extremes: int) -> pl.DataFrame:
    scored = warehouse.fetch(
        "perturbation/images", model_id=bundle.model_id, preprocessing_id=bundle.spec.preprocessing_id
    )
    scored = pl.concat([_add_gap_at_age(of_kind) for of_kind in scored.partition_by("kind")] or [scored])
    known = set(scored["sop_instance_uid"]) if scored.height else set()
    unknown = [uid for uid in uids if uid not in known]
    if unknown:
        raise AnalysisError(
            f"`{bundle.name}` scored no image of the UID {unknown[0]} ({len(unknown)} of {len(uids)} so).",
            "Take UIDs from `spinescore scores export`, or ask for `--extremes`.",
        )
    wanted = [scored.filter(pl.col("sop_instance_uid").is_in(list(uids)))] if uids else []
    shown = (pl.col("nth_of_subject") == 1) & pl.col("gap_at_age_years").is_not_null()
    first = scored.filter(shown & ~pl.col("burned_in"))
    for of_kind in first.partition_by("kind"):
        ordered = of_kind.sort("gap_at_age_years", "sop_instance_uid")
        wanted += [ordered.head(extremes), ordered.tail(extremes)]
    found = pl.concat(wanted).unique("sop_instance_uid", maintain_order=True) if wanted else scored.clear()
    if found.is_empty():
        raise AnalysisError(
            "No image was chosen.", "Name some with `--image UID`, or ask for both ends: `--extremes 3`."
        )
    return found


def _add_gap_at_age(scored: pl.DataFrame) -> pl.DataFrame:
    """Add how much older an image looks than others of its age and kind, years; null where age is unknown."""
    known = scored.filter((pl.col("nth_of_subject") == 1) & pl.col("age_years").is_not_null())
    if known.height < FEWEST_FOR_EXTREMES:
        return scored.with_columns(pl.lit(None, dtype=pl.Float64).alias("gap_at_age_years"))
    age, spine_age = known["age_years"].to_numpy(), known["spine_age"].to_numpy()
    slope, intercept = np.polyfit(age, spine_age, 1) if np.ptp(age) > 0 else (0.0, float(spine_age.mean()))
    expected = pl.col("age_years") * float(slope) + float(intercept)
    return scored.with_columns((pl.col("spine_age") - expected).alias("gap_at_age_years"))


def _draw(network: Any, bundle: Bundle, prepared: Prepared, facts: dict[str, Any], folder: Path) -> Overlay:
    from spinescore.core.network.saliency import draw_overlay, grad_cam

    assert prepared.image is not None
    found = grad_cam(
        network, prepared.image[None, None], first_age=bundle.first_age, temperature=bundle.temperature
    )
    name = hashlib.sha256(facts["sop_instance_uid"].encode()).hexdigest()[:NAME_DIGITS]
    path = folder / f"{name}.png"
    unfinished = path.with_suffix(".part")
    draw_overlay(prepared.image, found.maps[0]).save(unfinished, format="PNG")
    unfinished.chmod(0o600)
    unfinished.replace(path)
    return Overlay(
        name=name,
        path=path,
        kind=facts["kind"],
        age_years=facts["age_years"],
        spine_age=float(found.spine_age[0]),
        gap_at_age_years=facts["gap_at_age_years"],
    )


def _write_index(folder: Path, bundle: Bundle, overlays: Sequence[Overlay]) -> None:
    listed = [
        {
            "file": overlay.path.name,
            "kind": overlay.kind,
            "age_years": overlay.age_years,
            "spine_age_years": overlay.spine_age,
            "gap_at_age_years": overlay.gap_at_age_years,
        }
        for overlay in overlays
    ]
    content = {
        "model_id": bundle.model_id,
        "model": f"{bundle.name} {bundle.version}",
        "method": "Grad-CAM of the spine age at the last convolution: where, not why",
        "overlays": listed,
    }
    path = folder / INDEX
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    path.chmod(0o600)

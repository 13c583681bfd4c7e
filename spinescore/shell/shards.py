"""Outcomes as Parquet files: what other machines computed, until the database has it.

A file is written whole or not at all and only its owner can read it: it names images and says how old their
spines look. Its folder is named by all that the outcomes depend on beside the image, so what is found there
after a crash may be committed as it is, where the image's file is still the one that was scored.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from spinescore.shell.pipeline import Outcome
from spinescore.shell.pixels.pixel_check import PixelFacts
from spinescore.shell.preparation import PendingImage, Prepared
from spinescore.shell.private_files import PRIVATE

SUFFIX = ".parquet"
FACTS: dict[str, Any] = {
    "sop_instance_uid": pl.String,
    "size_bytes": pl.Int64,
    "modified_ns": pl.Int64,
    "pixel_sha256": pl.String,
    **dict.fromkeys(
        (
            "contrast",
            "clipped_low_share",
            "clipped_high_share",
            "saturated_share",
            "collimated_share",
            "sharpness",
            "spine_likeness",
        ),
        pl.Float64,
    ),
    "flags": pl.List(pl.String),
    "reason": pl.String,
    "detail": pl.String,
}
OF_IMAGE: dict[str, Any] = {
    "sop_instance_uid": pl.String,
    "kind": pl.String,
    "size_bytes": pl.Int64,
    "modified_ns": pl.Int64,
}
OF_PREPARED: dict[str, Any] = {
    "pixel_sha256": pl.String,
    "input_sha256": pl.String,
    "reason": pl.String,
    "detail": pl.String,
    "decode_s": pl.Float64,
    "quality_s": pl.Float64,
    "preprocess_s": pl.Float64,
}
SCHEMA = pl.Schema(
    OF_IMAGE
    | OF_PREPARED
    | {"facts": pl.Struct(FACTS), "distribution": pl.List(pl.Float32), "forward_s": pl.Float64}
    | {"device": pl.String, "precision": pl.String}
)
Row = Mapping[str, Any]


def folder_name(**dependencies: Any) -> str:
    """Return the name of the folder for outcomes that depend on these values, which JSON must hold."""
    text = json.dumps(dependencies, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def write_shard(folder: Path, outcomes: Sequence[Outcome]) -> Path:
    """Write outcomes to a new file of a folder, mode 0600, whole or not at all; the pixels are left out.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    content = io.BytesIO()
    pl.DataFrame([_row(outcome) for outcome in outcomes], SCHEMA).write_parquet(content)
    path = folder / f"{uuid.uuid4().hex}{SUFFIX}"
    staged = path.with_suffix(".part")
    descriptor = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content.getbuffer())
            stream.flush()
            os.fsync(stream.fileno())
        staged.replace(path)
    finally:
        staged.unlink(missing_ok=True)
    return path


def read_shard(path: Path) -> Iterator[Row]:
    """Yield the rows of a shard; none of a file that is gone, or is no shard."""
    try:
        frame = pl.read_parquet(path, glob=False)
    except (OSError, pl.exceptions.PolarsError):
        return
    if frame.schema == SCHEMA:
        yield from frame.iter_rows(named=True)


def is_of(row: Row, image: PendingImage) -> bool:
    """Tell whether a row is about this image, its file as it is now."""
    return all(row[name] == getattr(image, name) for name in OF_IMAGE)


def is_lasting(row: Row, image: PendingImage) -> bool:
    """Tell whether a row holds for a later run too; a failure does not, it may have been the node's."""
    return row["distribution"] is not None or row["input_sha256"] == image.scored_input_sha256


def outcome_of(row: Row, image: PendingImage) -> Outcome:
    """Return the outcome that a row holds, without the pixels."""
    facts = None
    if row["facts"] is not None:
        facts = PixelFacts(**row["facts"] | {"flags": tuple(row["facts"]["flags"])})
    prepared = Prepared(None, facts=facts, **{name: row[name] for name in OF_PREPARED})
    distribution = row["distribution"]
    return Outcome(
        image,
        prepared,
        None if distribution is None else np.asarray(distribution, np.float32),
        row["forward_s"],
        row["device"],
        row["precision"],
    )


def _row(outcome: Outcome) -> dict[str, Any]:
    image, prepared, facts = outcome.image, outcome.prepared, outcome.prepared.facts
    return {
        **{name: getattr(image, name) for name in OF_IMAGE},
        **{name: getattr(prepared, name) for name in OF_PREPARED},
        "facts": None if facts is None else asdict(facts) | {"flags": list(facts.flags)},
        "distribution": None if outcome.distribution is None else outcome.distribution.tolist(),
        "forward_s": outcome.forward_s,
        "device": outcome.device,
        "precision": outcome.precision,
    }

"""Mutants through the real ingest, and what must hold of every one of them."""

from __future__ import annotations

import io
import os
import random
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from spinescore.core.eligibility.rule_set import REASONS
from spinescore.core.imaging.element_walker import (
    AFTER_WANTED,
    FIRST_WINDOW,
    FLOAT_PIXELS,
    PIXEL_DATA,
    TRANSFER_SYNTAX,
    ElementWalker,
    OddFileError,
)
from spinescore.ingest import IngestRequest, ingest
from spinescore.shell.indexing.encoding import has_prefix, read_header
from spinescore.shell.indexing.intake import BAD_HEADER, elements_of
from spinescore.shell.warehouse import open_warehouse
from tests.memory import memory_growth
from tests.soak.mutations import Original, mutate

MOST_GROWTH_BYTES = 750_000_000
READING_REASONS = {
    "rejected": {
        "truncated", "malformed", "nesting", "inflate_limit", "dimensions", "pixel_length", "no_pixel_data",
        "bit_depth", "photometric", "too_small", "constant_image", "non_finite_pixels", "aspect_ratio",
        "decode_failed", "decoder_crashed", "uid_missing", "uid_invalid", "transfer_syntax", "empty", "multiframe", "not_grayscale",
    },
    "excluded": {"not_dicom", "not_an_image", "dicomdir", *REASONS},
    "duplicate": {"identical", "header_differs", "recompressed", "content_conflict"},
    "indexed": {None},
}  # fmt: skip
"""Every reason a mutant may come to; ``timeout`` is none of them."""


@dataclass
class Outcome:
    """What became of the mutants.

    Parameters
    ----------
    states : Counter of (state, reason)
    strange : list
        Rows without a state and reason of those known: path, state, reason.
    disagreements : list
        Where the fast walker and pydicom read different values: path, tag, walker's, pydicom's.
    allowed : Counter of str
        Known differences of the two, by name.
    n_walked : int
        Mutants the walker read to the end of what it looks for.
    wall_s, grown_bytes
        Of the ingest: duration, and the parent's peak memory above what it held before.
    """

    states: Counter[tuple[str, str | None]]
    strange: list[tuple[str, str, str | None]]
    wall_s: float
    grown_bytes: int
    n_walked: int = 0
    disagreements: list[tuple[str, str, bytes, bytes]] = field(default_factory=list)
    allowed: Counter[str] = field(default_factory=Counter)


def write_mutants(originals: list[Original], n_mutants: int, folder: Path, seed: int) -> None:
    """Write mutants of the originals in turn; the same for the same seed."""
    rng = random.Random(seed)
    for number in range(n_mutants):
        original = originals[number % len(originals)]
        path = folder / f"{number // 1000:03d}" / f"{number:06d}.dcm"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(mutate(original, rng))


def ingest_mutants(folder: Path, database: Path) -> Outcome:
    """Ingest a folder with its pixels; compare the two header readers on every file."""
    begun = time.monotonic()
    with memory_growth() as growth, open_warehouse(database, create=True) as warehouse:
        ingest(warehouse, IngestRequest([folder], check_pixels=True))
        files = warehouse.table("files").sort("path_bytes")
    wall_s = time.monotonic() - begun
    rows = files.select("path", "state", "reason").rows()
    strange = [row for row in rows if row[2] not in READING_REASONS.get(row[1], ())]
    outcome = Outcome(Counter(row[1:] for row in rows), strange, wall_s, growth.n_bytes)
    for path, state in files.select("path_bytes", "state").iter_rows():
        compare_readers(path, outcome, indexed=state == "indexed")
    assert files.filter(pl.col("path_bytes").is_duplicated()).is_empty()
    return outcome


def compare_readers(path: bytes, outcome: Outcome, *, indexed: bool) -> None:
    """Record where walker and pydicom differ on a file that the walker reads to the end."""
    content = Path(os.fsdecode(path)).read_bytes()
    walked = _walk(content)
    if walked is None:
        return
    outcome.n_walked += 1
    truth = _read_with_pydicom(content)
    for tag, mine, theirs in _differences(walked, truth):
        name = _known_difference(walked, truth, indexed=indexed)
        if name is None:
            outcome.disagreements.append((os.fsdecode(path), f"{tag:08X}", mine, theirs))
        else:
            outcome.allowed[name] += 1
            return


def _walk(content: bytes) -> dict[int, bytes] | None:
    """Return what the walker finds; None if it hands the file over, or does not come to pixels."""
    head = content[:FIRST_WINDOW]
    if not has_prefix(head):
        return None
    walker = ElementWalker(lambda offset, length: content[offset : offset + length], len(content))
    try:
        walker.begin(head)
        comes_to_pixels = walker.walk(head, 0, AFTER_WANTED) and walker.walk(head, 0, FLOAT_PIXELS)
        element = walker.element_at() if comes_to_pixels else None
    except OddFileError:
        return None
    return walker.found if element is not None and element[0] == PIXEL_DATA else None


def _read_with_pydicom(content: bytes) -> dict[int, bytes] | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return elements_of(read_header(io.BytesIO(content)))
        except (*BAD_HEADER, EOFError, OSError, RecursionError):
            return None


def _differences(
    walked: dict[int, bytes], truth: dict[int, bytes] | None
) -> Iterator[tuple[int, bytes, bytes]]:
    for tag in sorted(walked.keys() | (truth or {}).keys()):
        mine, theirs = walked.get(tag, b"").strip(b" \0"), (truth or {}).get(tag, b"").strip(b" \0")
        if mine != theirs and tag != TRANSFER_SYNTAX:
            yield tag, mine, theirs


def _known_difference(
    walked: dict[int, bytes], truth: dict[int, bytes] | None, *, indexed: bool
) -> str | None:
    """Return the name of a difference that is understood."""
    if truth is None:
        return None if indexed else "pydicom cannot read it"
    if all(tag >> 16 == 2 for tag, _, _ in _differences(walked, truth)):
        return "file meta information of another value representation"  # pydicom makes numbers of it
    return None

"""DICOM files -> the index: one row per image, one state and reason per path."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import polars as pl

from spinescore.core.eligibility.rule_set import FIELDS, RuleSet
from spinescore.domain import Radiograph, as_row
from spinescore.errors import SourceError
from spinescore.shell.archive.locations import Candidate, display_path, location_exists
from spinescore.shell.identity import pseudonymiser
from spinescore.shell.indexing.chunk_reading import ChunkReader, ChunkReadings, FileRow, read_in_order
from spinescore.shell.indexing.listing import Chunk, Listing
from spinescore.shell.indexing.remembered_rules import remember_rules
from spinescore.shell.indexing.rules import default_rules
from spinescore.shell.indexing.spool import Spool
from spinescore.shell.pixels.duplicates import compare_instances
from spinescore.shell.pixels.pixel_facts import check_new_pixels, flag_images
from spinescore.shell.warehouse import Warehouse
from spinescore.shell.workers import DECODER_MEMORY_BYTES, WorkerFailure, map_supervised

COMMIT_FILES = 32_768
COMMIT_SECONDS = 4.0
COMPARE_TIMEOUT_S = 60.0
FILES_WORTH_A_WORKER = 1024
PAIRS_WEIGHT = 64  # comparing two images costs as much as reading so many headers
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class IngestRequest:
    """What to index, and how.

    Parameters
    ----------
    sources : sequence of Path
        Folders, archives, DICOMDIRs and single files.
    listed : iterable of bytes, optional
        More paths, as a list on standard input gives them.
    keep_identifiers : bool, optional
        True stores patient ids verbatim; None takes the database's own mode.
    id_width : int, optional
        Patient ids of digits only get leading zeros to this length; None takes the database's own rule.
    rules : RuleSet, optional
        Which images are ours; the shipped rules if left out.
    check_pixels : bool
        Decode every image now, and not only when it is scored.
    workers : int
        Reading processes; 0 is one per core.
    """

    sources: Sequence[Path] = ()
    listed: Iterable[bytes] | None = None
    keep_identifiers: bool | None = None
    id_width: int | None = None
    rules: RuleSet | None = None
    check_pixels: bool = False
    workers: int = 0


@dataclass(frozen=True, slots=True)
class IngestSummary:
    """What an ingest did: paths looked at, those read, those gone, and all states by reason."""

    run_id: int
    n_seen: int
    n_read: int
    n_gone: int
    states: pl.DataFrame

    @property
    def has_rejects(self) -> bool:
        """Whether any path in the database is broken or unsafe, or was named and is not there."""
        failed = (pl.col("state") == "rejected") | (pl.col("reason") == "not_found")
        return not self.states.filter(failed).is_empty()


def ingest(
    warehouse: Warehouse, request: IngestRequest, *, progress: Progress = lambda *_: None
) -> IngestSummary:
    """Index every file of the sources; unchanged files cost a ``stat``.

    Parameters
    ----------
    warehouse : Warehouse
        Where rows go, some thousand files per transaction.
    request : IngestRequest
        Sources, rules and policy.
    progress : callable
        Called with (files finished since the last call, files in all).

    Raises
    ------
    SourceError
        If a source is missing or there is no file at all.
    """
    rules = request.rules or default_rules()
    with Listing(warehouse, request.sources, request.listed) as listing:
        listing.look(rules)
        if listing.n_seen == 0:
            raise _nothing_there(request)
        pseudonymise = pseudonymiser(
            warehouse, keep_identifiers=request.keep_identifiers, id_width=request.id_width
        )
        arguments = {"sources": [str(source) for source in request.sources], "rules": rules.rules_id}
        with warehouse.run("ingest", arguments) as run:
            if listing.is_first:  # else only at the end, when everything known is decided by these rules
                remember_rules(warehouse, rules)
            n_gone = _mark_gone(warehouse, listing, run.run_id)
            progress(listing.n_seen - listing.n_pending, listing.n_seen)
            reader = ChunkReader(rules, pseudonymise)
            with _Index(warehouse, run.run_id, lambda n: progress(n, listing.n_seen)) as index:
                workers = _count_workers(request.workers, listing.n_pending)
                index.read(listing.chunks, reader, workers=workers)
                index.read(_copies_without_original(warehouse), reader, workers=1)
            remember_rules(warehouse, rules)
            n_checked = _check_pixels(warehouse, rules, reader, run.run_id) if request.check_pixels else 0
            if listing.n_pending or n_gone or n_checked:
                flag_images(warehouse)
            run.counts = {"seen": listing.n_seen, "read": listing.n_pending, "gone": n_gone}
            run.outcome = "done" if listing.n_pending or n_gone or n_checked else "unchanged"
            states = warehouse.fetch("ingest/states")
            return IngestSummary(run.run_id, listing.n_seen, listing.n_pending, n_gone, states)


def _nothing_there(request: IngestRequest) -> SourceError:
    names = ", ".join(str(source) for source in request.sources) or "the list"
    return SourceError(f"There is no file under {names}.", "Name the folder that holds the DICOM files.")


def _count_workers(asked: int, n_files: int) -> int:
    most = asked or os.cpu_count() or 1
    return max(1, min(most, n_files // FILES_WORTH_A_WORKER + 1))


def _mark_gone(warehouse: Warehouse, listing: Listing, run_id: int) -> int:
    """Mark what is no longer there; return how many paths that is."""
    gone = listing.gone()
    if gone.is_empty():
        return 0
    marks = gone.select("path_bytes", pl.lit(None, pl.String).alias("detail"))
    warehouse.execute("ingest/mark_missing", incoming=marks, reason="deleted", run_id=run_id)
    return gone.height


def _check_pixels(warehouse: Warehouse, rules: RuleSet, reader: ChunkReader, run_id: int) -> int:
    """Decode what is new; where that fails, the next copy of the image takes its place, and so on."""
    n_checked = check_new_pixels(warehouse, rules, run_id)
    tried: set[bytes] = set()
    while True:
        copies = [c for c in _copies_without_original(warehouse) if c[1][0].path_bytes not in tried]
        if not copies:
            return n_checked
        tried.update(candidate.path_bytes for _, (candidate,) in copies)
        with _Index(warehouse, run_id, lambda _: None) as index:
            index.read(((number, chunk) for number, (_, chunk) in enumerate(copies)), reader, workers=1)
        n_checked += check_new_pixels(warehouse, rules, run_id)


def _copies_without_original(warehouse: Warehouse) -> list[Chunk]:
    """Return further copies of images whose kept file is gone or no longer holds them, to read again."""
    copies = [Candidate(*row) for row in warehouse.fetch("ingest/orphaned_copies").iter_rows()]
    return [(number, (copy,)) for number, copy in enumerate(copies)]


@dataclass(slots=True)
class _Group:
    """Rows on their way to one transaction."""

    files: list[FileRow] = field(default_factory=list)
    radiographs: list[tuple[FileRow, Radiograph]] = field(default_factory=list)
    inputs: dict[int, tuple[str, ...]] = field(default_factory=dict)
    moved: list[tuple[bytes, str]] = field(default_factory=list)


class _Index:
    """Takes readings in order, decides which of several copies is kept, and commits them in groups."""

    def __init__(self, warehouse: Warehouse, run_id: int, progress: Callable[[int], None]) -> None:
        self._warehouse, self._run_id, self._progress = warehouse, run_id, progress
        self._contested: Spool[tuple[FileRow, Radiograph]] = Spool()
        self._known_inputs = set(warehouse.fetch("ingest/known_inputs")["input_id"])
        self._has_files = warehouse.fetch("ingest/file_count").item() > 0
        self._group, self._n_waiting, self._since = _Group(), 0, time.monotonic()

    def __enter__(self) -> _Index:
        return self

    def __exit__(self, *_: object) -> None:
        self._contested.__exit__()

    def read(self, chunks: Iterable[Chunk], reader: ChunkReader, *, workers: int) -> None:
        """Read chunks, commit what they came to, and settle which copies are duplicates of what."""
        for chunk, readings in read_in_order(chunks, reader, workers=workers):
            self._add(chunk, readings)
        self._commit()
        self._settle_copies()

    def _add(self, chunk: Chunk, readings: ChunkReadings) -> None:
        """Take the readings of one chunk; commit when enough have come together."""
        group = self._group
        for number, row in enumerate(readings.rows):
            radiograph = readings.radiographs.get(number)
            if radiograph is None:
                group.files.append(row)
            else:
                group.radiographs.append((row, radiograph))
        group.inputs.update(readings.inputs)
        self._n_waiting += len(chunk[1])
        self._progress(len(chunk[1]))
        if self._n_waiting >= COMMIT_FILES or time.monotonic() - self._since > COMMIT_SECONDS:
            self._commit()

    def _commit(self) -> None:
        """Write what has come together, in one transaction."""
        group = self._group
        kept = self._place(group)
        group.files += [row for row, _ in kept]
        if group.files:
            self._write(group, kept)
        self._group, self._n_waiting, self._since = _Group(), 0, time.monotonic()

    def _settle_copies(self) -> None:
        """Compare every further copy of an image with the one that is kept."""
        waiting, self._contested = self._contested, Spool()
        with waiting:
            contested = iter(waiting)
            while group := list(islice(contested, COMMIT_FILES)):
                self._settle(group)

    def _settle(self, contested: Sequence[tuple[FileRow, Radiograph]]) -> None:
        kept_paths = self._kept_paths([radiograph.sop_instance_uid for _, radiograph in contested])
        pairs = []
        for row, radiograph in contested:
            first = kept_paths.setdefault(radiograph.sop_instance_uid, row.path_bytes)
            if first == row.path_bytes:  # the kept file turned out to hold something else by now
                self._group.radiographs.append((row, radiograph))
            else:
                pairs.append((row, first))
        self._commit()
        for (row, first), answer in map_supervised(
            _compare,
            pairs,
            workers=_count_workers(0, len(pairs) * PAIRS_WEIGHT),
            timeout_s=COMPARE_TIMEOUT_S,
            memory_limit_bytes=DECODER_MEMORY_BYTES,
        ):
            if isinstance(answer, WorkerFailure):
                answer = "content_conflict", f"could not be compared: {answer.detail}"
            reason, detail = answer
            detail = f"of {display_path(first)}: {detail}" if detail else f"of {display_path(first)}"
            self._group.files.append(row._replace(state="duplicate", reason=reason, detail=detail, flags=""))
        self._commit()

    def _place(self, group: _Group) -> list[tuple[FileRow, Radiograph]]:
        """Return the images to index; a copy of a kept image is put aside until all is read."""
        kept_paths = self._kept_paths([radiograph.sop_instance_uid for _, radiograph in group.radiographs])
        kept = []
        for row, radiograph in group.radiographs:
            uid = radiograph.sop_instance_uid
            first = kept_paths.setdefault(uid, row.path_bytes)
            if first != row.path_bytes:
                if location_exists(first):
                    self._contested.append((row, radiograph))
                    continue
                group.moved.append((first, f"to {row.path}"))
                kept_paths[uid] = row.path_bytes
            kept.append((row, radiograph))
        return kept

    def _kept_paths(self, uids: Sequence[str]) -> dict[str, bytes]:
        if not uids:
            return {}
        asked = pl.DataFrame({"sop_instance_uid": uids}).unique()
        return dict(self._warehouse.fetch("ingest/known_images", incoming=asked).iter_rows())

    def _write(self, group: _Group, kept: Sequence[tuple[FileRow, Radiograph]]) -> None:
        warehouse, run = self._warehouse, pl.lit(self._run_id).alias("run_id")
        columns = dict(zip(FILE_COLUMNS, zip(*group.files, strict=True), strict=True))
        files = pl.DataFrame(columns, FILE_COLUMNS).with_columns(FLAG_LIST)
        new_inputs = {key: texts for key, texts in group.inputs.items() if key not in self._known_inputs}
        images = [_image_row(row, radiograph) for row, radiograph in kept]
        with warehouse.transaction():
            if self._has_files:
                warehouse.delete("files", files.select("path_bytes"))
                warehouse.delete("images", files.select("path_bytes"))
            if group.moved:
                moved = pl.DataFrame(
                    group.moved, {"path_bytes": pl.Binary, "detail": pl.String}, orient="row"
                )
                warehouse.execute("ingest/mark_missing", incoming=moved, reason="moved", run_id=self._run_id)
                warehouse.delete("images", moved.select("path_bytes"))
            warehouse.append("files", files.with_columns(run))
            if new_inputs:
                rows = [(key, *texts) for key, texts in new_inputs.items()]
                warehouse.append("rule_inputs", pl.DataFrame(rows, INPUT_COLUMNS, orient="row"))
            if images:
                warehouse.append("images", pl.DataFrame(images, infer_schema_length=None).with_columns(run))
        self._known_inputs.update(new_inputs)


def _compare(pair: tuple[FileRow, bytes]) -> tuple[str, str]:
    row, first = pair
    return compare_instances(first, row.path_bytes)


FILE_COLUMNS: dict[str, Any] = {
    "path": pl.String,
    "path_bytes": pl.Binary,
    "archive_bytes": pl.Binary,
    "size_bytes": pl.Int64,
    "modified_ns": pl.Int64,
    "state": pl.String,
    "reason": pl.String,
    "detail": pl.String,
    "flags": pl.String,
    "sop_instance_uid": pl.String,
    "rule": pl.String,
    "input_id": pl.Int64,
}
FLAG_LIST = (
    pl.when(pl.col("flags") == "")
    .then(pl.lit([], pl.List(pl.String)))
    .otherwise(pl.col("flags").str.split(" "))
    .alias("flags")
)
MOVED_COLUMNS: dict[str, Any] = {"path_bytes": pl.Binary, "detail": pl.String}
INPUT_COLUMNS: dict[str, Any] = {"input_id": pl.Int64, **dict.fromkeys(FIELDS, pl.String)}


def _image_row(row: FileRow, radiograph: Radiograph) -> dict[str, object]:
    return {
        **as_row(radiograph),
        "path_bytes": row.path_bytes,
        "size_bytes": row.size_bytes,
        "modified_ns": row.modified_ns,
    }

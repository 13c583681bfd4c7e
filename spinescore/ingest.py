"""DICOM files -> the index: one row per image, one state and reason per path."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from spinescore.core.imaging.header import Pseudonymise, Reading
from spinescore.domain import as_row
from spinescore.errors import SourceError
from spinescore.shell.identity import pseudonymiser
from spinescore.shell.intake import (
    Candidate,
    display_path,
    find_candidates,
    hash_file,
    hash_pixel_bytes,
    read_candidate,
)
from spinescore.shell.warehouse import Warehouse

BATCH_FILES = 500
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class IngestSummary:
    """What an ingest did: files looked at, files new or changed, and all states by reason."""

    run_id: int
    n_seen: int
    n_read: int
    states: pl.DataFrame

    @property
    def has_rejects(self) -> bool:
        """Whether any path in the database is broken or unsafe."""
        return not self.states.filter(pl.col("state") == "rejected").is_empty()


def ingest(
    warehouse: Warehouse,
    sources: Sequence[Path],
    *,
    keep_identifiers: bool | None = None,
    progress: Progress = lambda *_: None,
) -> IngestSummary:
    """Index every file under the sources; unchanged files cost a ``stat``.

    Parameters
    ----------
    warehouse : Warehouse
        Where rows go, a transaction per 500 files.
    sources : sequence of Path
        Folders and files.
    keep_identifiers : bool, optional
        True stores patient ids verbatim; None takes the database's own mode.
    progress : callable
        Called with (files finished since the last call, files in all).

    Raises
    ------
    SourceError
        If a source is missing or holds no file at all.
    """
    candidates = list(find_candidates(sources))
    if not candidates:
        names = ", ".join(str(source) for source in sources)
        raise SourceError(f"There is no file under {names}.", "Name the folder that holds the DICOM files.")
    pseudonymise = pseudonymiser(warehouse, keep_identifiers=keep_identifiers)
    with warehouse.run("ingest", {"sources": [str(source) for source in sources]}) as run:
        pending = list(_new_or_changed(warehouse, candidates))
        progress(len(candidates) - len(pending), len(candidates))
        index = _Index(warehouse, {candidate.path_bytes for candidate in pending})
        for start in range(0, len(pending), BATCH_FILES):
            batch = pending[start : start + BATCH_FILES]
            _commit(warehouse, batch, index, pseudonymise, run.run_id)
            progress(len(batch), len(candidates))
        run.counts = {"seen": len(candidates), "read": len(pending)}
        run.outcome = "done" if pending else "unchanged"
        return IngestSummary(run.run_id, len(candidates), len(pending), warehouse.fetch("ingest/states"))


class _Index:
    """The SOP instances known so far and the file each was first read from."""

    def __init__(self, warehouse: Warehouse, about_to_be_read: set[bytes]) -> None:
        known = warehouse.fetch("ingest/known_images")
        self._first_path: dict[str, bytes] = {
            uid: path for uid, path in known.iter_rows() if path not in about_to_be_read
        }
        self.gone: list[bytes] = []  # paths that can no longer be read and whose image is elsewhere now

    def place(self, candidate: Candidate, reading: Reading) -> Reading:
        """Return the reading, turned into a duplicate if its SOP instance is known."""
        if reading.radiograph is None:
            return reading
        uid = reading.radiograph.sop_instance_uid
        first = self._first_path.setdefault(uid, candidate.path_bytes)
        if first == candidate.path_bytes:
            return reading
        if not os.access(first, os.R_OK):  # it was moved: the new path takes its place
            self._first_path[uid] = candidate.path_bytes
            self.gone.append(first)
            return reading
        return Reading(
            "duplicate", _duplicate_reason(first, candidate.path_bytes), f"of {display_path(first)}"
        )


def _duplicate_reason(first: bytes, second: bytes) -> str:
    if hash_file(first) == hash_file(second):
        return "identical"
    same_pixels = hash_pixel_bytes(first) == hash_pixel_bytes(second)
    return "header_differs" if same_pixels else "content_conflict"


def _new_or_changed(warehouse: Warehouse, candidates: Iterable[Candidate]) -> Iterator[Candidate]:
    known = {
        path: (size, modified) for path, size, modified in warehouse.fetch("ingest/known_files").iter_rows()
    }
    seen: set[bytes] = set()
    for candidate in candidates:
        if candidate.path_bytes in seen:
            continue
        seen.add(candidate.path_bytes)
        if known.get(candidate.path_bytes) != (candidate.size_bytes, candidate.modified_ns):
            yield candidate


def _commit(
    warehouse: Warehouse, batch: Sequence[Candidate], index: _Index, pseudonymise: Pseudonymise, run_id: int
) -> None:
    readings = [(c, index.place(c, read_candidate(c, pseudonymise))) for c in batch]
    files = pl.DataFrame([_file_row(c, reading, run_id) for c, reading in readings], schema=FILE_COLUMNS)
    images = [_image_row(c, reading, run_id) for c, reading in readings if reading.state == "indexed"]
    keys = pl.DataFrame({"path_bytes": [*files["path_bytes"], *index.gone]}, schema={"path_bytes": pl.Binary})
    index.gone.clear()
    with warehouse.transaction():
        warehouse.delete("files", keys)
        warehouse.delete("images", keys)
        warehouse.append("files", files)
        if images:
            warehouse.append("images", pl.DataFrame(images, infer_schema_length=None))


FILE_COLUMNS: dict[str, pl.datatypes.DataTypeClass | pl.DataType] = {
    "path": pl.String,
    "path_bytes": pl.Binary,
    "size_bytes": pl.Int64,
    "modified_ns": pl.Int64,
    "state": pl.String,
    "reason": pl.String,
    "detail": pl.String,
    "flags": pl.List(pl.String),
    "sop_instance_uid": pl.String,
    "run_id": pl.Int64,
}


def _file_row(candidate: Candidate, reading: Reading, run_id: int) -> dict[str, object]:
    radiograph = reading.radiograph
    return {
        "path": candidate.path,
        "path_bytes": candidate.path_bytes,
        "size_bytes": candidate.size_bytes,
        "modified_ns": candidate.modified_ns,
        "state": reading.state,
        "reason": reading.reason,
        "detail": reading.detail,
        "flags": list(reading.flags),
        "sop_instance_uid": radiograph.sop_instance_uid if radiograph else None,
        "run_id": run_id,
    }


def _image_row(candidate: Candidate, reading: Reading, run_id: int) -> dict[str, object]:
    assert reading.radiograph is not None
    return {
        **as_row(reading.radiograph),
        "path_bytes": candidate.path_bytes,
        "size_bytes": candidate.size_bytes,
        "modified_ns": candidate.modified_ns,
        "run_id": run_id,
    }

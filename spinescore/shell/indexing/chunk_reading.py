"""Chunks of candidates -> rows, in worker processes, in the order they were listed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from spinescore.core.eligibility.rule_set import RuleSet
from spinescore.core.imaging.header import HeaderReader, Reading
from spinescore.domain import Radiograph
from spinescore.shell.archive.locations import SEPARATOR, Candidate
from spinescore.shell.identity import Pseudonymiser
from spinescore.shell.indexing.intake import read_candidate
from spinescore.shell.indexing.listing import Chunk
from spinescore.shell.workers import DECODER_MEMORY_BYTES, WorkerFailure, map_supervised

CHUNK_TIMEOUT_S = 120.0
FILE_TIMEOUT_S = 15.0


class FileRow(NamedTuple):
    """A row of ``files``, but for the run."""

    path: str
    path_bytes: bytes
    archive_bytes: bytes | None
    size_bytes: int
    modified_ns: int
    state: str
    reason: str | None
    detail: str | None
    flags: str  # codes with a blank between them
    sop_instance_uid: str | None
    rule: str | None
    input_id: int | None


class ChunkReadings(NamedTuple):
    """What a chunk came to: a row per candidate, the images among them, and new rule inputs."""

    rows: list[FileRow]
    radiographs: dict[int, Radiograph]  # by the number of the row
    inputs: dict[int, tuple[str, ...]]


class ChunkReader:
    """Reads chunks; what a worker process is given and keeps."""

    def __init__(self, rules: RuleSet, pseudonymise: Pseudonymiser) -> None:
        self._rules, self._pseudonymise = rules, pseudonymise
        self._reader: HeaderReader | None = None
        self._input_ids: dict[tuple[str, ...], int] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        return ChunkReader, (self._rules, self._pseudonymise)

    def __call__(self, chunk: Chunk) -> ChunkReadings:
        """Read every candidate of a chunk."""
        reader = self._reader = self._reader or HeaderReader(self._rules, self._pseudonymise)
        rows, radiographs, inputs = [], {}, {}
        for number, candidate in enumerate(chunk[1]):
            reading = read_candidate(candidate, reader)
            input_id = None
            if reading.fields is not None:
                input_id = self._input_ids.get(reading.fields)
                if input_id is None:
                    input_id = inputs_id(reading.fields)
                    inputs[input_id] = reading.fields
                    if len(self._input_ids) < 65_536:
                        self._input_ids[reading.fields] = input_id
            rows.append(file_row(candidate, reading, input_id))
            if reading.radiograph is not None:
                radiographs[number] = reading.radiograph
        return ChunkReadings(rows, radiographs, inputs)


def inputs_id(fields: tuple[str, ...]) -> int:
    """Return the id of a set of header texts: 63 bits of their BLAKE2b."""
    digest = hashlib.blake2b("\x1f".join(fields).encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def file_row(candidate: Candidate, reading: Reading, input_id: int | None = None) -> FileRow:
    """Return a candidate's row in ``files``."""
    location = candidate.path_bytes
    radiograph = reading.radiograph
    return FileRow(
        candidate.path,
        location,
        location.split(SEPARATOR, 1)[0] if SEPARATOR in location else None,
        candidate.size_bytes,
        candidate.modified_ns,
        reading.state,
        reading.reason,
        reading.detail,
        " ".join(reading.flags),
        radiograph.sop_instance_uid if radiograph else None,
        reading.rule,
        input_id,
    )


def read_in_order(
    chunks: Iterable[Chunk], read_chunk: ChunkReader, *, workers: int
) -> Iterator[tuple[Chunk, ChunkReadings]]:
    """Read chunks in supervised processes and yield them in their order.

    A chunk that kills or stops its worker is read again file by file; the file at fault is
    rejected with ``decoder_crashed`` or ``timeout``.
    """
    held: dict[int, tuple[Chunk, ChunkReadings]] = {}
    due = 0
    for chunk, answer in map_supervised(
        read_chunk,
        chunks,
        workers=workers,
        timeout_s=CHUNK_TIMEOUT_S,
        memory_limit_bytes=DECODER_MEMORY_BYTES,
    ):
        readings = _read_one_by_one(chunk, read_chunk) if isinstance(answer, WorkerFailure) else answer
        held[chunk[0]] = chunk, readings
        while due in held:
            yield held.pop(due)
            due += 1


def _read_one_by_one(chunk: Chunk, read_chunk: ChunkReader) -> ChunkReadings:
    single = [(number, (candidate,)) for number, candidate in enumerate(chunk[1])]
    parts: dict[int, ChunkReadings] = {}
    for (number, (candidate,)), answer in map_supervised(
        read_chunk,
        single,
        workers=1,
        timeout_s=FILE_TIMEOUT_S,
        memory_limit_bytes=DECODER_MEMORY_BYTES,
    ):
        if isinstance(answer, WorkerFailure):
            reading = Reading("rejected", answer.reason, answer.detail)
            answer = ChunkReadings([file_row(candidate, reading)], {}, {})
        parts[number] = answer
    return ChunkReadings(
        [parts[number].rows[0] for number in range(len(single))],
        {number: part.radiographs[0] for number, part in parts.items() if part.radiographs},
        {key: fields for part in parts.values() for key, fields in part.inputs.items()},
    )

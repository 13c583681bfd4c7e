"""A DICOMDIR -> the files it names, and no others: references never lead outside its folder."""

from __future__ import annotations

import os
import struct
import warnings
from collections.abc import Iterator
from typing import Any

from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.errors import BytesLengthException, InvalidDicomError

from spinescore.errors import DecodingError, describe_fault
from spinescore.shell.archive.locations import SEPARATOR, Candidate, describe_path, open_location
from spinescore.shell.indexing.encoding import read_header

MEDIA_STORAGE_DIRECTORY = b"\x02\x00\x02\x00UI\x14\x001.2.840.10008.1.3.10"  # (0002,0002), PS3.10 8.6
SIZE_LIMIT_BYTES = 1 << 28
RECORD_SEQUENCE, RECORD_TYPE, REFERENCED_FILE_ID = 0x00041220, 0x00041430, 0x00041500
UNDEFINED_LENGTH = 0xFFFFFFFF
FIRST_RECORD, NEXT_RECORD, LOWER_RECORDS = 0x00041200, 0x00041400, 0x00041420
UNREADABLE = (
    InvalidDicomError,
    BytesLengthException,
    EOFError,
    OSError,
    ValueError,
    KeyError,
    IndexError,
    TypeError,
    AttributeError,
    NotImplementedError,
    RecursionError,
    MemoryError,
    struct.error,
)


def is_dicomdir(path: bytes) -> bool:
    """Return whether a file is a DICOMDIR, by its name or by the SOP class it states (PS3.10 8.6)."""
    if _fold(os.path.basename(path)) == b"dicomdir":
        return True
    try:
        with open_location(path) as handle:
            head = handle.read(1024)
    except OSError:
        return False
    return head[128:132] == b"DICM" and MEDIA_STORAGE_DIRECTORY in head


def find_referenced(dicomdir: bytes) -> Iterator[Candidate]:
    """Yield the DICOMDIR itself and the files its records name (PS3.3 F.3), each once.

    All records are read, linked or not: links are what is broken first. One that goes round in
    circles, or a file that cannot be parsed, is refused as malformed; what it names is still
    listed. A name that is not there as written is looked for as discs are read elsewhere: in
    another case, with ISO 9660's ``;1``, with a trailing dot.
    """
    itself = describe_path(dicomdir)
    references: list[bytes] = []
    if itself.refusal is None:
        references, problem = _read_references(dicomdir, itself.size_bytes)
        if problem:
            refusal = "rejected", "malformed", problem
            itself = Candidate(itself.path_bytes, itself.size_bytes, itself.modified_ns, refusal)
    yield itself
    folder = _Folder(os.path.dirname(dicomdir))
    for reference in references:
        yield _referenced(dicomdir, folder, reference)


def _read_references(path: bytes, size_bytes: int) -> tuple[list[bytes], str]:
    """Return what the directory's records name, and what is wrong with it, "" if nothing."""
    references: dict[bytes, None] = {}
    if size_bytes > SIZE_LIMIT_BYTES:
        return [], f"{size_bytes} bytes"
    try:
        with warnings.catch_warnings(), open_location(path) as handle:
            warnings.simplefilter("ignore")  # what pydicom repairs in a header is no concern of a batch run
            dataset = read_header(handle)
            stored = dataset.get_item(RECORD_SEQUENCE)
            records = list(dataset[RECORD_SEQUENCE].value)
            references.update(dict.fromkeys(filter(None, map(_reference, records))))
            problem = _problem(dataset, stored, records)
    except DecodingError as error:
        problem = error.message
    except UNREADABLE as error:
        problem = describe_fault(error)
    return list(references), problem


def _problem(dataset: Dataset, stored: Any, records: list[Dataset]) -> str:
    """Return what pydicom let pass and yet leaves files unnamed, "" if nothing."""
    if isinstance(stored, RawDataElement) and stored.length != UNDEFINED_LENGTH:
        n_bytes = len(stored.value or b"")
        if n_bytes < stored.length:
            return f"its records end after {n_bytes} of {stored.length} bytes"
    if not all(RECORD_TYPE in record for record in records):
        return "not all its records say of what they are"
    return "its records lead round in a circle" if _goes_round(dataset, records) else ""


def _goes_round(dataset: Dataset, records: list[Dataset]) -> bool:
    """Return whether following the records' links comes to a record twice (PS3.3 F.2.2)."""
    links = {
        record.seq_item_tell: (_offset(record, NEXT_RECORD), _offset(record, LOWER_RECORDS))
        for record in records
    }
    to_visit, visited = [_offset(dataset, FIRST_RECORD)], set()
    while to_visit:
        offset = to_visit.pop()
        if offset not in links:
            continue
        if offset in visited:
            return True
        visited.add(offset)
        to_visit.extend(links[offset])
    return False


def _offset(dataset: Dataset, tag: int) -> int:
    return int(dataset[tag].value or 0) if tag in dataset else 0


def _reference(record: Dataset) -> bytes:
    """Return a record's Referenced File ID as its bytes: components joined by backslashes."""
    try:
        value = record[REFERENCED_FILE_ID].value if REFERENCED_FILE_ID in record else None
    except UNREADABLE:
        return b""
    components = [value] if isinstance(value, str) else list(value or ())
    return "\\".join(map(str, components)).encode("latin-1", "backslashreplace")


def _referenced(dicomdir: bytes, folder: _Folder, reference: bytes) -> Candidate:
    components = reference.split(b"\\")
    outside = Candidate(
        # Not a path: nobody who joins and opens it gets anywhere.
        dicomdir + SEPARATOR + reference.replace(SEPARATOR, b"\\0"),
        0,
        0,
        ("rejected", "reference_outside", ""),
    )
    if any(part in (b"", b".", b"..") or b"/" in part or SEPARATOR in part for part in components):
        return outside
    path = folder.find(components)
    if not folder.holds(path):
        return outside
    try:
        return describe_path(path)
    except FileNotFoundError:
        return Candidate(path, 0, 0, ("missing", "not_found", "named by a DICOMDIR"))


class _Folder:
    """The folder of a DICOMDIR, in which names are found as a disc reader would find them."""

    def __init__(self, path: bytes) -> None:
        self._path = path
        self._real = os.path.realpath(path)
        self._listings: dict[bytes, dict[bytes, bytes]] = {}

    def find(self, components: list[bytes]) -> bytes:
        """Return the path that the components lead to, as written where nothing like it is there."""
        path = os.path.join(self._path, *components)
        if os.path.lexists(path):
            return path
        path = self._path
        for component in components:
            exact = os.path.join(path, component)
            found = component if os.path.lexists(exact) else self._listing(path).get(_fold(component))
            path = exact if found is None else os.path.join(path, found)
        return path

    def holds(self, path: bytes) -> bool:
        """Return whether a path, its links followed, still lies in this folder."""
        return os.path.realpath(path).startswith(self._real.rstrip(b"/") + b"/")

    def _listing(self, folder: bytes) -> dict[bytes, bytes]:
        if folder not in self._listings:
            try:
                names = sorted(os.listdir(folder), reverse=True)
            except OSError:
                names = []
            self._listings[folder] = {_fold(name): name for name in names}
        return self._listings[folder]


def _fold(name: bytes) -> bytes:
    """Return what names that a disc reader holds for the same have in common.

    >>> _fold(b"IM000001.;1")
    b'im000001'
    """
    stem, _, version = name.rpartition(b";")
    return (stem if stem and version.isdigit() else name).rstrip(b".").lower()

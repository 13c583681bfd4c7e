"""Folders and files -> the paths to look at; a path -> its header."""

from __future__ import annotations

import hashlib
import os
import stat
import struct
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import pydicom
from pydicom.errors import InvalidDicomError
from pydicom.uid import UID

from spinescore.core.imaging.header import Pseudonymise, Reading, read_header
from spinescore.errors import SourceError

PIXEL_DATA = 0x7FE00010
PIXEL_DATA_TAG = (0x7FE0, 0x0010)
LONG_VRS = (b"OB", b"OW", b"OD", b"OF", b"UN")


@dataclass(frozen=True, slots=True)
class Candidate:
    """A path and what ``stat`` says of it; a link to a file stands for that file."""

    path_bytes: bytes
    size_bytes: int
    modified_ns: int
    is_regular: bool
    is_symlink: bool

    @property
    def path(self) -> str:
        """The path as text: bytes that are not UTF-8 are backslash-escaped."""
        return display_path(self.path_bytes)


def display_path(path_bytes: bytes) -> str:
    """Return a path as text that any program can hold.

    >>> display_path(b"a\\xff.dcm")
    'a\\\\xff.dcm'
    """
    return path_bytes.decode("utf-8", "backslashreplace")


def find_candidates(sources: Iterable[Path]) -> Iterator[Candidate]:
    """Yield every path under the sources, in a stable order; links to folders are not followed.

    Raises
    ------
    SourceError
        If a source does not exist.
    """
    places = list(sources)
    for source in places:
        if not source.exists():
            raise SourceError(f"No file or folder at {source}.", "Check the path; is the share mounted?")
    for source in places:
        root = os.fsencode(source.resolve())
        if source.is_dir():
            yield from _walk(root)
        else:
            yield _candidate(root)


def _walk(folder: bytes) -> Iterator[Candidate]:
    with os.scandir(folder) as entries:
        ordered = sorted(entries, key=lambda entry: entry.name)
    for entry in ordered:
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(entry.path)
        else:
            yield _candidate(entry.path)


def _candidate(path: bytes) -> Candidate:
    status = os.lstat(path)
    is_symlink = stat.S_ISLNK(status.st_mode)
    if is_symlink and os.path.isfile(path):
        status, is_symlink = os.stat(path), False
    return Candidate(
        path_bytes=path,
        size_bytes=status.st_size,
        modified_ns=status.st_mtime_ns,
        is_regular=stat.S_ISREG(status.st_mode),
        is_symlink=is_symlink,
    )


def read_candidate(candidate: Candidate, pseudonymise: Pseudonymise) -> Reading:
    """Read one path's header and check that its pixels can be all there."""
    early = _not_a_file_to_read(candidate)
    if early:
        return early
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what pydicom repairs in a header is no concern of a batch run
        return _read_file(candidate, pseudonymise)


def _read_file(candidate: Candidate, pseudonymise: Pseudonymise) -> Reading:
    try:
        with open(candidate.path_bytes, "rb") as handle:
            dataset = pydicom.dcmread(handle, stop_before_pixels=True)
            transfer_syntax = str(dataset.file_meta.get("TransferSyntaxUID", ""))
            reading = read_header(dataset, transfer_syntax, pseudonymise)
            if reading.state != "indexed":
                return reading
            return _pixel_problem(handle, dataset, transfer_syntax, candidate.size_bytes) or reading
    except InvalidDicomError:
        return Reading("excluded", "not_dicom")
    except PermissionError as error:
        return Reading("rejected", "permission", str(error.strerror))
    except EOFError as error:
        return Reading("rejected", "truncated", str(error) or "the file ends within an element")
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        NotImplementedError,
        RecursionError,
    ) as error:
        return Reading("rejected", "malformed", f"{type(error).__name__}: {error}")


def _not_a_file_to_read(candidate: Candidate) -> Reading | None:
    if candidate.is_symlink:
        return Reading("excluded", _symlink_reason(candidate.path_bytes))
    if not candidate.is_regular:
        return Reading("excluded", "not_regular")
    if candidate.size_bytes == 0:
        return Reading("rejected", "empty")
    return None


def _symlink_reason(path: bytes) -> str:
    if not os.path.exists(path):
        return "symlink_dangling"
    return "symlink_dir" if os.path.isdir(path) else "not_regular"


def _pixel_problem(
    handle: BinaryIO, dataset: pydicom.Dataset, transfer_syntax: str, size_bytes: int
) -> Reading | None:
    """Check what follows the header: pixel data, as long as rows and columns ask, all within the file.

    ``handle`` stands where pydicom stopped, at the tag of the pixel data (PS3.5 7.1).
    """
    syntax = UID(transfer_syntax)
    if not syntax.is_transfer_syntax:
        return Reading("rejected", "transfer_syntax", transfer_syntax or "missing")
    if syntax.is_deflated:
        return None  # only inflating tells; decoding does
    order = "<" if syntax.is_little_endian else ">"
    start = handle.read(12)
    if len(start) < 12 or struct.unpack(f"{order}HH", start[:4]) != PIXEL_DATA_TAG:
        return Reading("rejected", "no_pixel_data")
    if syntax.is_compressed:
        return None
    long_form = start[4:6] in LONG_VRS and not syntax.is_implicit_VR
    (length,) = struct.unpack(f"{order}I", start[8:12] if long_form else start[4:8])
    begins = handle.tell() - (0 if long_form else 4)
    expected = int(dataset.Rows) * int(dataset.Columns) * (int(dataset.BitsAllocated) // 8)
    if begins + length > size_bytes:
        return Reading("rejected", "truncated", f"{size_bytes - begins} of {length} pixel bytes are there")
    if length < expected:
        return Reading("rejected", "pixel_length", f"{length} bytes for {expected} expected")
    return None


def hash_file(path_bytes: bytes) -> str:
    """Return the SHA-256 of a file's bytes, as hex."""
    with open(path_bytes, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def hash_pixel_bytes(path_bytes: bytes) -> str:
    """Return the SHA-256 of a file's PixelData value as stored, as hex."""
    with open(path_bytes, "rb") as handle:
        dataset = pydicom.dcmread(handle)
        return hashlib.sha256(dataset[PIXEL_DATA].value).hexdigest()

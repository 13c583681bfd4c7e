"""A file's bytes -> pydicom's data set, within bounds, also where its file does not say how it is written."""

from __future__ import annotations

from collections.abc import Callable
from typing import BinaryIO

from pydicom.dataset import FileDataset
from pydicom.filereader import read_partial

from spinescore.core.imaging.element_walker import (
    DOUBLE_PIXELS,
    EXPLICIT_BIG,
    EXPLICIT_LITTLE,
    FLOAT_PIXELS,
    IMPLICIT_LITTLE,
    PIXEL_DATA,
)
from spinescore.errors import DecodingError

MOST_READS = 400_000  # two per element; a gigabyte of zeros makes 134 million elements
PIXEL_TAGS = frozenset({FLOAT_PIXELS, DOUBLE_PIXELS, PIXEL_DATA})

PREFIX_OFFSET, PREFIX = 128, b"DICM"
BARE_DATA_SET_GROUPS = (b"\x08\x00", b"\x02\x00", b"\x00\x08")
FIRST_ELEMENTS = frozenset(
    bytes(pair) for low in (0x00, 0x01, 0x02, 0x05, 0x08, 0x12, 0x16, 0x18) for pair in ((low, 0), (0, low))
)


def has_prefix(head: bytes) -> bool:
    """Tell whether a file begins as PS3.10 7.1 has it."""
    return head[PREFIX_OFFSET : PREFIX_OFFSET + 4] == PREFIX


def may_be_bare_data_set(head: bytes) -> bool:
    """Tell whether a file without preamble begins as data sets do (a group 0002 or 0008 element)."""
    return len(head) > 8 and head[:2] in BARE_DATA_SET_GROUPS and head[2:4] in FIRST_ELEMENTS


def read_header(handle: BinaryIO) -> FileDataset:
    """Read a data set up to its pixels; the handle then stands there.

    Raises
    ------
    DecodingError
        ``malformed`` if it has more elements than any image.
    """
    return _read(handle, _at_pixels, force=True)


def read_image(handle: BinaryIO, *, force: bool) -> FileDataset:
    """Read a data set up to the end of its pixels, whatever follows; raises as :func:`read_header`.

    Parameters
    ----------
    handle : binary file
    force : bool
        Whether to read a file without the prefix.
    """
    had_pixels = False

    def is_behind_pixels(tag: int, _vr: str | None, _length: int) -> bool:
        nonlocal had_pixels
        if had_pixels:
            return True
        had_pixels = tag == PIXEL_DATA
        return False

    return _read(handle, is_behind_pixels, force=force)


def _read(handle: BinaryIO, stop: Callable[[int, str | None, int], bool], *, force: bool) -> FileDataset:
    bounded = _Bounded(handle)
    try:
        return read_partial(bounded, stop, force=force)  # type: ignore[arg-type]
    finally:
        if bounded.is_exhausted:  # whatever pydicom makes of that
            raise DecodingError("malformed", f"more elements than {MOST_READS} reads give")


def _at_pixels(tag: int, _vr: str | None, _length: int) -> bool:
    return tag in PIXEL_TAGS


class _Bounded:
    """A file that ends after so many reads: pydicom's loops over zeros do not."""

    def __init__(self, handle: BinaryIO) -> None:
        self._handle = handle
        self._n_left = MOST_READS
        self.seek, self.tell = handle.seek, handle.tell

    def read(self, n_bytes: int = -1) -> bytes:
        """Read as the file does; nothing once that was asked too often."""
        self._n_left -= 1
        return self._handle.read(n_bytes) if self._n_left >= 0 else b""

    @property
    def is_exhausted(self) -> bool:
        """Whether it was read too often."""
        return self._n_left < 0


def transfer_syntax_of(dataset: FileDataset) -> str:
    """Return the transfer syntax; where none is named, the encoding pydicom found."""
    named = str(dataset.file_meta.get("TransferSyntaxUID", None) or "").strip(" \0")
    implicit, little = dataset.original_encoding
    return named or (IMPLICIT_LITTLE if implicit else EXPLICIT_LITTLE if little else EXPLICIT_BIG)

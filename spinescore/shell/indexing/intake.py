"""A candidate -> what its header comes to; runs in worker processes.

The common case is read by :class:`ElementWalker` from the first kilobytes; whatever it hands
over is read by pydicom, under a time limit.
"""

from __future__ import annotations

import contextlib
import os
import signal
import struct
import threading
import warnings
import zlib
from collections.abc import Iterable, Iterator
from functools import lru_cache
from types import FrameType
from typing import BinaryIO, NoReturn

import pydicom
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset, FileDataset
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.uid import UID

from spinescore.core.imaging.element_walker import (
    AFTER_WANTED,
    CODE_MEANING,
    CODE_TAGS,
    CODE_VALUE,
    CODING_SCHEME,
    DEFLATED,
    EXPLICIT_BIG,
    FIRST_WINDOW,
    FLOAT_PIXELS,
    ITEM,
    LONG_VRS,
    MEDIA_STORAGE_CLASS,
    MEDIA_STORAGE_INSTANCE,
    NUMBER_TAGS,
    PIXEL_DATA,
    SEQUENCE_END,
    UNDEFINED,
    WANTED,
    ElementWalker,
    OddFileError,
    ReadAt,
    code_text,
)
from spinescore.core.imaging.header import Elements, HeaderReader, Reading, is_uid
from spinescore.errors import DecodingError, describe_fault
from spinescore.shell.archive.locations import SEPARATOR, Candidate, open_location
from spinescore.shell.indexing.encoding import (
    has_prefix,
    may_be_bare_data_set,
    read_header,
    transfer_syntax_of,
)
from spinescore.shell.pixels.decoding import INFLATE_LIMIT_BYTES

SLOW_FILE_S = 10.0
MOST_FRAGMENTS = 100_000
MODALITY = 0x00080060
BAD_HEADER = (
    BytesLengthException,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    IndexError,
    NotImplementedError,
    OverflowError,
    AssertionError,
    struct.error,
    zlib.error,
)


def read_candidate(candidate: Candidate, reader: HeaderReader) -> Reading:
    """Read one location's header and check that its pixels can be all there.

    Never raises for what a file holds: that is a state and a reason.
    """
    if candidate.refusal is not None:
        state, reason, detail = candidate.refusal
        return Reading(state, reason, detail or None)  # type: ignore[arg-type]
    try:
        if SEPARATOR in candidate.path_bytes:
            with open_location(candidate.path_bytes) as handle:
                return _read(_reader_of(handle), candidate.size_bytes, reader, candidate.path_bytes)
        descriptor = os.open(candidate.path_bytes, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            return _read(
                lambda offset, length: os.pread(descriptor, length, offset),
                candidate.size_bytes,
                reader,
                candidate.path_bytes,
            )
        finally:
            os.close(descriptor)
    except DecodingError as error:
        return Reading("rejected", error.reason, error.message)
    except PermissionError as error:
        return Reading("rejected", "permission", error.strerror)
    except FileNotFoundError:
        return Reading("missing", "deleted", "it went away while the archive was being read")
    except OSError as error:
        return Reading("rejected", "unreadable", error.strerror or str(error))


def _reader_of(handle: BinaryIO) -> ReadAt:
    def read_at(offset: int, length: int) -> bytes:
        handle.seek(offset)
        return handle.read(length)

    return read_at


def _read(read_at: ReadAt, size_bytes: int, reader: HeaderReader, location: bytes) -> Reading:
    head = read_at(0, FIRST_WINDOW)
    if not has_prefix(head):
        if not may_be_bare_data_set(head):
            return Reading("excluded", "not_dicom")
        return _read_with_pydicom(location, size_bytes, reader)
    walker = ElementWalker(read_at, size_bytes)
    try:
        walker.begin(head)
        return _read_walking(walker, head, reader)
    except OddFileError:
        if walker.transfer_syntax == DEFLATED:
            return _read_deflated(read_at, walker, reader)
        return _read_with_pydicom(location, size_bytes, reader)


def _read_walking(walker: ElementWalker, head: bytes, reader: HeaderReader) -> Reading:
    goes_on = walker.walk(head, 0, AFTER_WANTED)
    if not goes_on and walker.position != walker.size_bytes:
        return _ends_within_header(walker.found, reader)
    decided = reader.decide(walker.found)
    if isinstance(decided, Reading):
        if decided.reason != "malformed":
            return decided
        if goes_on:
            raise OddFileError("what an image must have is missing, or follows out of order")
        return _ends_within_header(walker.found, reader)
    reading = reader.read(walker.found, walker.transfer_syntax, *decided)
    if reading.state != "indexed":
        return reading
    problem = _pixel_problem(walker, head)
    if problem is None:
        return reading
    return Reading("rejected", *problem, rule=reading.rule, fields=reading.fields)


def _ends_within_header(elements: Elements, reader: HeaderReader) -> Reading:
    """Return what a header comes to whose file ends within it: another modality's is not ours to reject."""
    decided = reader.decide({**elements, **dict.fromkeys(NUMBER_TAGS, b"\0\0")})
    if isinstance(decided, Reading):
        is_known = decided.reason == "dicomdir" or (decided.reason == "modality" and MODALITY in elements)
        if is_known:
            return decided
    return Reading("rejected", "truncated", "the file ends within its header")


def _pixel_problem(walker: ElementWalker, head: bytes) -> tuple[str, str] | None:
    """Check what follows the header: pixel data, as long as rows and columns ask, all within the file."""
    syntax_form = _form(walker.transfer_syntax)
    if syntax_form == "unknown":
        return "transfer_syntax", _spoken(walker.transfer_syntax)
    if not walker.walk(head, 0, FLOAT_PIXELS):
        ends_cleanly = walker.position == walker.size_bytes
        return ("no_pixel_data", "the header ends the file") if ends_cleanly else ("truncated", "no pixels")
    element = walker.element_at()
    if element is None:
        return "truncated", "the file ends where its pixels begin"
    tag, offset, length = element
    if tag != PIXEL_DATA:
        return "bit_depth" if tag < PIXEL_DATA else "no_pixel_data", f"({tag >> 16:04X},{tag & 0xFFFF:04X})"
    if syntax_form == "encapsulated":
        return _fragment_problem(walker.read_at, offset, length, walker.size_bytes)
    return _length_problem(walker.found, offset, length, walker.size_bytes)


@lru_cache(maxsize=256)
def _form(transfer_syntax: str) -> str:
    uid = UID(transfer_syntax, validation_mode=pydicom.config.IGNORE)
    if not uid.is_transfer_syntax or uid.is_private:
        return "unknown"
    return "encapsulated" if uid.is_encapsulated else "native"


def _spoken(transfer_syntax: str) -> str:
    """Return a transfer syntax that is none we know, unless it is no UID: then it may be a person's name."""
    return transfer_syntax if is_uid(transfer_syntax) else "not a UID" if transfer_syntax else "missing"


def _length_problem(elements: Elements, offset: int, length: int, size_bytes: int) -> tuple[str, str] | None:
    if length == UNDEFINED:
        return "malformed", "pixel data in fragments under an uncompressed transfer syntax"
    rows, columns, allocated = (int.from_bytes(elements[tag], "little") for tag in _FRAME_TAGS)
    expected = rows * columns * allocated // 8
    if offset + length > size_bytes:
        return "truncated", f"{max(0, size_bytes - offset)} of {length} pixel bytes are there"
    if not expected <= length < 2 * expected:
        return "pixel_length", f"{length} bytes for {expected} expected"
    return None


_FRAME_TAGS = (0x00280010, 0x00280011, 0x00280100)


def _fragment_problem(read_at: ReadAt, offset: int, length: int, size_bytes: int) -> tuple[str, str] | None:
    """Walk the items of encapsulated pixel data to their end (PS3.5 A.4)."""
    if length != UNDEFINED:
        return "malformed", "compressed pixel data of defined length"
    n_bytes = -1  # the first item is the offset table
    for _ in range(MOST_FRAGMENTS):
        header = read_at(offset, 8)
        if len(header) < 8:
            return "truncated", "the file ends within its compressed pixels"
        group, element, item_length = struct.unpack("<HHI", header)
        tag = group << 16 | element
        if tag == SEQUENCE_END:
            return None if n_bytes > 0 else ("no_pixel_data", "no fragment of compressed pixels")
        if tag != ITEM or item_length == UNDEFINED:
            return "malformed", f"({group:04X},{element:04X}) where a fragment belongs"
        offset += 8 + item_length
        if offset > size_bytes:
            return "truncated", "the file ends within its compressed pixels"
        n_bytes = 0 if n_bytes < 0 else n_bytes + item_length
    return "malformed", f"more than {MOST_FRAGMENTS} fragments"


def _read_deflated(read_at: ReadAt, meta: ElementWalker, reader: HeaderReader) -> Reading:
    """Inflate within bounds and walk what comes out (PS3.5 A.5)."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        content = inflater.decompress(read_at(meta.position, meta.size_bytes), INFLATE_LIMIT_BYTES)
    except zlib.error as error:
        return Reading("rejected", "malformed", f"the deflated stream: {error}")
    if inflater.unconsumed_tail:
        return Reading("rejected", "inflate_limit", f"inflates to more than {INFLATE_LIMIT_BYTES >> 20} MiB")
    if not inflater.eof:
        return Reading("rejected", "truncated", "the deflated stream has no end")
    walker = ElementWalker(lambda offset, length: content[offset : offset + length], len(content))
    walker.found.update(meta.found)
    try:
        walker.begin_data_set(content[:FIRST_WINDOW], DEFLATED)
        return _read_walking(walker, content[:FIRST_WINDOW], reader)
    except OddFileError as odd:
        return Reading("rejected", "malformed", f"the inflated data set: {odd}")


def _read_with_pydicom(location: bytes, size_bytes: int, reader: HeaderReader) -> Reading:
    """Read a file the walker handed over; the truth, slowly."""
    try:
        with _time_limit(SLOW_FILE_S), warnings.catch_warnings(), open_location(location) as handle:
            warnings.simplefilter("ignore")  # what pydicom repairs in a header is no concern of a batch run
            dataset = read_header(handle)
            return _read_dataset(dataset, handle, size_bytes, reader)
    except InvalidDicomError:
        return Reading("excluded", "not_dicom")
    except TimeoutError:
        return Reading("rejected", "timeout", f"its header took more than {SLOW_FILE_S:g} s")
    except RecursionError:
        return Reading("rejected", "nesting", "sequences nested beyond reason")
    except EOFError:
        return Reading("rejected", "truncated", "the file ends within an element")
    except OSError as error:
        if error.errno is not None:
            raise
        return Reading("rejected", "truncated", describe_fault(error))  # pydicom's own
    except MemoryError:
        return Reading("rejected", "malformed", "an element larger than memory")
    except BAD_HEADER as error:
        return Reading("rejected", "malformed", describe_fault(error))


def _read_dataset(dataset: FileDataset, handle: BinaryIO, size_bytes: int, reader: HeaderReader) -> Reading:
    elements, syntax = elements_of(dataset), transfer_syntax_of(dataset)
    if len(dataset) == 0:
        if dataset.preamble is None:
            return Reading("excluded", "not_dicom")
        return Reading("rejected", "truncated", "no element can be read behind the file meta information")
    if _ends_within_element(dataset):
        return _ends_within_header(elements, reader)
    decided = reader.decide(elements)
    if isinstance(decided, Reading):
        return decided
    reading = reader.read(elements, syntax, *decided)
    if reading.state != "indexed":
        return reading
    problem = _pixel_problem_at(handle, elements, syntax, size_bytes)
    if problem is None:
        return reading
    return Reading("rejected", *problem, rule=reading.rule, fields=reading.fields)


def _ends_within_element(dataset: FileDataset) -> bool:
    """Tell whether the file ends within an element: pydicom then keeps what is there."""
    stored = (dataset.get_item(tag) for tag in dataset.keys())  # noqa: SIM118 - elements unparsed
    return any(
        isinstance(element, RawDataElement)
        and element.length != UNDEFINED
        and len(element.value or b"") < element.length
        for element in stored
    )


def elements_of(dataset: Dataset) -> dict[int, bytes]:
    """Return the wanted elements of a data set as the walker would have found them."""
    _, little_endian = dataset.original_encoding
    found: dict[int, bytes] = {}
    for tag in WANTED & set(map(int, dataset.keys())):
        if tag in CODE_TAGS:
            found[tag] = _codes_of(dataset[tag])
            continue
        value = dataset.get_item(tag).value
        if tag in NUMBER_TAGS:
            found[tag] = _short(value, little_endian=little_endian is not False)
        else:
            found[tag] = _as_stored(value)
    meta = getattr(dataset, "file_meta", Dataset())
    for tag in (MEDIA_STORAGE_CLASS, MEDIA_STORAGE_INSTANCE):
        if tag in meta:
            found[tag] = _as_stored(meta[tag].value)
    return found


def _as_stored(value: object) -> bytes:
    """Return a text that pydicom may have decoded and split, as the file has it."""
    if isinstance(value, bytes):
        return value
    if isinstance(value, Iterable) and not isinstance(value, str):
        return b"\\".join(map(_as_stored, value))
    return ("" if value is None else str(value)).encode("latin-1", "replace")


def _short(value: object, *, little_endian: bool) -> bytes:
    """Return an unsigned short as little endian bytes; what is none as it stands, which no check accepts."""
    if isinstance(value, int):  # pydicom converts some as it reads
        return value.to_bytes(2, "little") if 0 <= value < 1 << 16 else b""
    content = value if isinstance(value, bytes) else b""
    return content if little_endian else content[::-1]


def _codes_of(sequence: DataElement) -> bytes:
    codes = []
    for item in sequence.value or ():
        values = (item.get_item(tag) for tag in (CODING_SCHEME, CODE_VALUE, CODE_MEANING))
        codes.append(code_text(*(_raw(value) for value in values)))
    return b"; ".join(codes)


def _raw(element: object) -> bytes:
    return _as_stored(getattr(element, "value", None))


def _pixel_problem_at(
    handle: BinaryIO, elements: Elements, syntax: str, size_bytes: int
) -> tuple[str, str] | None:
    """Check the pixel data at the handle's position, where pydicom stopped (PS3.5 7.1)."""
    syntax_form, order = _form(syntax), ">" if syntax == EXPLICIT_BIG else "<"
    if syntax_form == "unknown":
        return "transfer_syntax", _spoken(syntax)
    start = handle.tell()
    header = handle.read(12)
    if not header.startswith(struct.pack(f"{order}HH", PIXEL_DATA >> 16, PIXEL_DATA & 0xFFFF)):
        return ("truncated" if 0 < len(header) < 4 else "no_pixel_data"), "the header ends the file"
    long_form = header[4:6] in LONG_VRS  # whatever is claimed: read as a length, each of them is odd
    if len(header) < (12 if long_form else 8):
        return "truncated", "the file ends where its pixels begin"
    (length,) = struct.unpack(f"{order}I", header[8:12] if long_form else header[4:8])
    offset = start + (12 if long_form else 8)
    if syntax_form == "encapsulated":
        return _fragment_problem(_reader_of(handle), offset, length, size_bytes)
    return _length_problem(elements, offset, length, size_bytes)


@contextlib.contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    """Raise TimeoutError in what runs longer; in the main thread, where signals arrive."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def give_up(_: int, __: FrameType | None) -> NoReturn:
        raise TimeoutError

    handler = signal.signal(signal.SIGALRM, give_up)
    before = signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, *before)
        signal.signal(signal.SIGALRM, handler)

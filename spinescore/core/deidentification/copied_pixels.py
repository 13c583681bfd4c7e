"""Stored pixels of an original -> Pixel Data of its de-identified copy."""

from __future__ import annotations

import io
import math
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileDataset
from pydicom.encaps import generate_fragments, parse_basic_offsets
from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian

from spinescore.core.deidentification.codestream_text import blank_texts
from spinescore.core.eligibility.rule_set import Region
from spinescore.core.imaging.codestream import find_jpeg_2000, read_jpeg_2000_header, read_jpeg_header
from spinescore.core.imaging.pixel_format import PixelFormat, Stored

ITEM = b"\xfe\xff\x00\xe0"
FIRST_AND_ONLY_OFFSET = bytes(4)


def blank_regions(stored: Stored, regions: Sequence[Region], format_: PixelFormat) -> Stored:
    """Return the stored values with regions made black, as the photometric interpretation has it.

    Parameters
    ----------
    stored : ndarray of int, shape (H, W)
    regions : sequence of Region
        Rounded outwards to whole pixels; what lies beyond the frame is ignored.
    format_ : PixelFormat
        Of the original.
    """
    lowest = -(1 << (format_.stored - 1)) if format_.signed else 0
    highest = lowest + (1 << format_.stored) - 1
    blanked: Stored = stored.copy()
    for region in regions:
        rows, columns = _slices(region, format_)
        blanked[rows, columns] = highest if format_.photometric == "MONOCHROME1" else lowest
    return blanked


def _slices(region: Region, format_: PixelFormat) -> tuple[slice, slice]:
    wide, high = (format_.columns, format_.rows) if region.unit == "share" else (1, 1)
    columns = _outward(region.left * wide, (region.left + region.width) * wide)
    return _outward(region.top * high, (region.top + region.height) * high), columns


def _outward(first: float, last: float) -> slice:
    """Return the whole pixels that an interval touches; by less than a millionth does not count."""
    return slice(max(0, math.floor(first + 1e-6)), max(0, math.ceil(last - 1e-6)))


def coded_bits(frame: bytes, format_: PixelFormat) -> int:
    """Return how many bits of each cell a compressed frame codes, by its own header.

    Raises
    ------
    DecodingError
        If it has none that makes sense.
    """
    if frame.startswith(b"\xff\xd8"):
        return read_jpeg_header(frame).precision_bits
    if frame.startswith(b"\xff\x4f") or frame[4:8] == b"jP  ":
        return read_jpeg_2000_header(find_jpeg_2000(frame)).precision_bits
    return format_.allocated


def unused_bits_are_clean(cells: NDArray[Any], format_: PixelFormat, n_bits: int) -> bool:
    """Tell whether the bits outside the stored ones are zero or a sign's extension (PS3.5 8.1.1).

    Parameters
    ----------
    cells : ndarray of int, shape (H, W)
        As coded.
    format_ : PixelFormat
        Which bits are stored.
    n_bits : int
        Of each cell, as coded.
    """
    lowest_bit = max(0, format_.high_bit + 1 - format_.stored)
    used = ((1 << format_.stored) - 1) << lowest_bit
    above = ((1 << n_bits) - 1) & ~((1 << (format_.high_bit + 1)) - 1)
    values = cells.astype(np.uint16)  # of signed cells, the same bits
    unused = values & np.uint16(~used & ((1 << n_bits) - 1))
    if not unused.any():
        return True
    extension = np.where(values & np.uint16(1 << format_.high_bit), above, 0)
    return format_.signed and bool(np.array_equal(unused, extension))


def native_cells(content: bytes, syntax: UID, format_: PixelFormat) -> NDArray[Any]:
    """Return the cells of uncompressed Pixel Data, whatever lies in their unused bits."""
    order = ">" if syntax == ExplicitVRBigEndian else "<"
    return np.frombuffer(content, f"{order}u{format_.allocated // 8}", count=format_.n_pixels)


def put_native(copy: FileDataset, source: Dataset, syntax: UID, format_: PixelFormat) -> None:
    """Put uncompressed pixels in as they stand, without what lies behind the last of them."""
    n_bytes = format_.n_pixels * format_.allocated // 8
    content = source["PixelData"].value[:n_bytes]
    # a file's VR counts: in big endian, OW says that bytes are swapped in pairs (PS3.5 A.3)
    vr = source["PixelData"].VR
    vr = "OW" if format_.allocated > 8 or vr not in ("OB", "OW") else vr
    copy.add_new("PixelData", vr, content + b"\0" * (n_bytes % 2))
    copy.file_meta.TransferSyntaxUID = syntax


def put_compressed(copy: FileDataset, source: Dataset, syntax: UID, format_: PixelFormat) -> None:
    """Put compressed pixels in, in their fragments, without texts in them or in the offset table."""
    fragments = join_fragments(source["PixelData"].value)
    frame = b"".join(fragments)
    blanked = blank_texts(frame, n_pixels=format_.n_pixels)
    if len(blanked) == len(frame):
        lengths = [len(fragment) for fragment in fragments]
    else:
        blanked += b"\0" * (len(blanked) % 2)
        lengths = [len(blanked)]
    ends = np.cumsum(lengths).tolist()
    parts = [blanked[end - length : end] for end, length in zip(ends, lengths, strict=True)]
    table = FIRST_AND_ONLY_OFFSET if parse_basic_offsets(io.BytesIO(source["PixelData"].value)) else b""
    copy.add_new("PixelData", "OB", b"".join(_item(part) for part in (table, *parts)))
    copy["PixelData"].is_undefined_length = True
    copy.file_meta.TransferSyntaxUID = syntax


def join_fragments(content: bytes) -> list[bytes]:
    """Return the fragments of encapsulated Pixel Data, the offset table left out (PS3.5 A.4)."""
    handle = io.BytesIO(content)
    parse_basic_offsets(handle)
    return list(generate_fragments(handle))


def put_stored(copy: FileDataset, stored: Stored, format_: PixelFormat) -> None:
    """Put stored values in as Explicit VR Little Endian, their unused bits clean."""
    allocated = 8 * stored.dtype.itemsize
    copy.BitsAllocated, copy.BitsStored, copy.HighBit = allocated, format_.stored, format_.stored - 1
    copy.PixelRepresentation = int(format_.signed)
    content = np.ascontiguousarray(stored.astype(stored.dtype.newbyteorder("<"))).tobytes()
    copy.add_new("PixelData", "OB" if allocated == 8 else "OW", content + b"\0" * (len(content) % 2))
    copy.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian


def _item(content: bytes) -> bytes:
    return ITEM + struct.pack("<I", len(content)) + content

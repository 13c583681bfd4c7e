"""A DICOM file -> its pixels; the decoder is named per transfer syntax, never left to a default order.

MONOCHROME1 comes back as stored: preprocessing inverts it, nothing else does. Overlays, in the
unused bits or beside the pixels, are no part of them.
"""

from __future__ import annotations

import io
import warnings
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.encaps import generate_fragments, parse_basic_offsets
from pydicom.pixels.processing import apply_modality_lut
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian

from spinescore.core.imaging.header import is_uid
from spinescore.core.imaging.pixel_format import (
    UNREADABLE,
    PixelFormat,
    Stored,
    align_bits,
    hash_pixels,
    read_pixel_format,
)
from spinescore.core.imaging.preprocessing import PaddingValue
from spinescore.errors import DecodingError, describe_fault
from spinescore.shell.indexing.encoding import (
    has_prefix,
    may_be_bare_data_set,
    read_image,
    transfer_syntax_of,
)
from spinescore.shell.pixels.frame_decoders import LOSSY, decode_frame

MAX_FILE_BYTES = 1 << 30
READ_STEP_BYTES = 1 << 26
INFLATE_LIMIT_BYTES = 1 << 29
INFLATE_STEP_BYTES = 1 << 24
FLOAT_PIXELS = "FloatPixelData", "DoubleFloatPixelData"
ITEM_TAG = b"\xfe\xff\x00\xe0"
STARTS_OF_FRAME = b"\xff\xd8\xff", b"\xff\x4f\xff\x51"


@dataclass(frozen=True, slots=True)
class Decoded:
    """What a file's pixels are.

    Parameters
    ----------
    pixels : ndarray, shape (H, W)
        After masking to the bits stored and the modality transform; not inverted.
    photometric : {"MONOCHROME1", "MONOCHROME2"}
        As the header says.
    padding_value : int, (int, int) or None
        What padding looks like in ``pixels``.
    pixel_sha256 : str
        Of size and stored values, the same whatever the transfer syntax.
    transfer_syntax : str
        UID.
    stored : ndarray of int, shape (H, W)
        The stored values: masked, before the modality transform.
    """

    pixels: NDArray[Any]
    photometric: str
    padding_value: PaddingValue
    pixel_sha256: str
    transfer_syntax: str
    stored: Stored


def decode(source: Path | str | BinaryIO) -> Decoded:
    """Decode the one frame of a DICOM file.

    Parameters
    ----------
    source : Path, str or open binary file
        A DICOM file, or a handle that stands at its start (``locations.open_location``).

    Returns
    -------
    Decoded

    Raises
    ------
    DecodingError
        With the reason code of ``files.reason``: ``truncated``, ``pixel_length``, ``no_pixel_data``,
        ``photometric``, ``bit_depth``, ``too_small``, ``dimensions``, ``multiframe``,
        ``not_grayscale``, ``constant_image``, ``transfer_syntax``, ``inflate_limit``,
        ``malformed``, ``nesting``, ``non_finite_pixels``, ``decode_failed``.
    FileNotFoundError, OSError
        If the file cannot be opened or read.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what pydicom repairs or doubts is no concern of a batch run
        dataset, syntax = read_dataset(source)
        format_ = read_pixel_format(dataset)
        stored = _decode_stored(dataset, syntax, format_)
        if stored.min() == stored.max():
            raise DecodingError("constant_image", f"every pixel is {stored.min()}")
        return Decoded(
            pixels=_apply_modality(stored, dataset),
            photometric=format_.photometric,
            padding_value=_read_padding(dataset, format_),
            pixel_sha256=hash_pixels(stored),
            transfer_syntax=str(syntax),
            stored=stored,
        )


def _read_content(source: Path | str | BinaryIO) -> bytes:
    """Read the whole file at once: pydicom would allocate whatever length an element claims."""
    if isinstance(source, Path | str):
        with Path(source).open("rb") as handle:
            return _read_content(handle)
    blocks = []
    while block := source.read(READ_STEP_BYTES):
        blocks.append(block)
        if len(blocks) * READ_STEP_BYTES > MAX_FILE_BYTES:
            raise DecodingError("dimensions", f"the file is larger than {MAX_FILE_BYTES >> 20} MiB")
    return b"".join(blocks)


def read_dataset(source: Path | str | BinaryIO) -> tuple[pydicom.FileDataset, UID]:
    """Read a file's data set, pixels undecoded, and its transfer syntax.

    Raises
    ------
    DecodingError
        ``truncated``, ``malformed``, ``nesting``, ``transfer_syntax``, ``inflate_limit`` or
        ``dimensions`` (a file too large to hold one image).
    FileNotFoundError, OSError
        If the file cannot be opened or read.
    """
    content = _read_content(source)
    try:
        _check_inflation(content)
        bare = not has_prefix(content) and may_be_bare_data_set(content)
        dataset = read_image(io.BytesIO(content), force=bare)
    except (EOFError, OSError) as error:  # pydicom's own: the content has been read
        raise DecodingError("truncated", "the file ends within an element") from error
    except RecursionError as error:
        raise DecodingError("nesting", "sequences lie too deep within each other") from error
    except UNREADABLE as error:
        raise DecodingError("malformed", describe_fault(error)) from error
    if len(dataset) == 0:  # pydicom logs the early end, and returns nothing
        raise DecodingError("truncated", "the file ends within an element")
    syntax = UID(transfer_syntax_of(dataset))
    if not syntax.is_transfer_syntax:
        raise DecodingError("transfer_syntax", str(syntax) if is_uid(syntax) else "not a UID")
    return dataset, syntax


def _check_inflation(content: bytes) -> None:
    """Refuse a deflated file that is cut short or would grow beyond all bounds (PS3.5 A.5)."""
    if not has_prefix(content):
        return
    handle = io.BytesIO(content)
    handle.seek(132)
    meta = pydicom.filereader._read_file_meta_info(handle)
    if meta.get("TransferSyntaxUID") != DeflatedExplicitVRLittleEndian:
        return
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    inflated_bytes = 0
    while not inflater.eof:
        waiting = inflater.unconsumed_tail or handle.read(1 << 16)
        inflated = inflater.decompress(waiting, INFLATE_STEP_BYTES)
        if not waiting and not inflated and not inflater.eof:
            raise DecodingError("truncated", "the deflated data set ends early")
        inflated_bytes += len(inflated)
        if inflated_bytes > INFLATE_LIMIT_BYTES:
            raise DecodingError("inflate_limit", f"inflates to more than {INFLATE_LIMIT_BYTES >> 20} MiB")


def _decode_stored(dataset: pydicom.FileDataset, syntax: UID, format_: PixelFormat) -> Stored:
    """Return the stored values (H, W) as the transfer syntax's decoder gives them."""
    if any(name in dataset for name in FLOAT_PIXELS):
        raise DecodingError("bit_depth", "the pixels are floating point numbers")
    declared = getattr(dataset.get_item("PixelData"), "length", None) if "PixelData" in dataset else None
    content = dataset.PixelData if "PixelData" in dataset else None
    if not content:
        raise DecodingError("no_pixel_data", "the file has no Pixel Data")
    if not isinstance(content, bytes):
        raise DecodingError("malformed", f"pixel data of value representation {dataset['PixelData'].VR}")
    if not syntax.is_encapsulated:
        if dataset["PixelData"].is_undefined_length:
            raise DecodingError("transfer_syntax", f"{syntax.name}, yet the pixels are encapsulated")
        swapped = syntax == ExplicitVRBigEndian and dataset["PixelData"].VR == "OW"
        order = ">" if syntax == ExplicitVRBigEndian else "<"
        cells = _read_native(content, declared, format_, order, swapped=swapped)
        return align_bits(cells, format_, format_.allocated)
    if not content.startswith(ITEM_TAG):
        raise DecodingError("transfer_syntax", f"{syntax.name}, yet the pixels are not encapsulated")
    cells, precision_bits = decode_frame(_join_fragments(content, dataset), syntax, format_)
    return align_bits(cells, format_, precision_bits, lossy=syntax in LOSSY)


def _read_native(
    content: bytes, declared: int | None, format_: PixelFormat, order: str, *, swapped: bool
) -> Stored:
    """Read uncompressed pixels after comparing their length with what the header promises (PS3.5 8.1).

    ``swapped``: 8-bit pixels lie two to a big endian word, the first in its lower byte (PS3.5 A.3, D).
    """
    expected = format_.n_pixels * format_.allocated // 8
    found = f"{len(content)} bytes of pixels where {expected} are expected"
    if len(content) < expected:
        cut = declared is not None and len(content) < declared
        raise DecodingError("truncated" if cut else "pixel_length", found)
    if len(content) >= 2 * expected:
        raise DecodingError("pixel_length", f"{found}: more than one image, or wider pixels")
    if format_.allocated == 8 and swapped:
        words = np.frombuffer(content, "<u2", count=len(content) // 2)
        content = words.byteswap().tobytes() + content[2 * words.size :]
    cells = np.frombuffer(content, f"{order}u{format_.allocated // 8}", count=format_.n_pixels)
    return cells.reshape(format_.rows, format_.columns)


def _join_fragments(content: bytes, dataset: Dataset) -> bytes:
    """Join the fragments of the one frame (PS3.5 A.4); offset tables serve to see that it is one."""
    handle = io.BytesIO(content)
    try:
        offsets = parse_basic_offsets(handle)
        fragments = [fragment for fragment in generate_fragments(handle) if fragment]
        extended = len(dataset.get("ExtendedOffsetTable") or b"") // 8
    except UNREADABLE as error:
        raise DecodingError("malformed", f"encapsulated pixels: {describe_fault(error)}") from error
    starts = sum(fragment.startswith(STARTS_OF_FRAME) for fragment in fragments)
    frames = max(len(offsets), extended, starts)
    if frames > 1:
        raise DecodingError("multiframe", f"{frames} frames are encapsulated, the header says one")
    if not fragments:
        raise DecodingError("no_pixel_data", "the encapsulated pixels are empty")
    return b"".join(fragments)


def _apply_modality(stored: Stored, dataset: Dataset) -> NDArray[Any]:
    """Apply the Modality LUT or rescale (PS3.3 C.11.1); whole numbers stay integers."""
    if dataset.get("ModalityLUTSequence"):
        try:
            return np.asarray(apply_modality_lut(stored, dataset))
        except UNREADABLE as error:
            raise DecodingError("malformed", f"Modality LUT: {describe_fault(error)}") from error
    slope, intercept = _read_rescale(dataset)
    if (slope, intercept) == (1.0, 0.0):
        return stored
    if slope.is_integer() and intercept.is_integer() and abs(slope) < 1 << 14 and abs(intercept) < 1 << 30:
        return stored.astype(np.int32) * np.int32(slope) + np.int32(intercept)
    with np.errstate(over="ignore"):
        values = stored.astype(np.float64) * slope + intercept
        low, high = np.float32(values.min()), np.float32(values.max())  # what preprocessing works in
    if not np.isfinite((low, high)).all():
        raise DecodingError("non_finite_pixels", f"rescale slope {slope:g}, intercept {intercept:g}")
    if low == high and stored.min() < stored.max():
        raise DecodingError(
            "constant_image", f"rescaled by {slope:g} and {intercept:g}, all pixels are equal"
        )
    return values


def _read_rescale(dataset: Dataset) -> tuple[float, float]:
    try:
        slope, intercept = dataset.get("RescaleSlope"), dataset.get("RescaleIntercept")
        pair = 1.0 if slope is None else float(slope), 0.0 if intercept is None else float(intercept)
    except UNREADABLE as error:
        raise DecodingError("malformed", f"rescale: {describe_fault(error)}") from error
    if not np.isfinite(pair).all() or pair[0] == 0:
        raise DecodingError("non_finite_pixels", f"rescale slope {pair[0]}, intercept {pair[1]}")
    return pair


def _read_padding(dataset: Dataset, format_: PixelFormat) -> PaddingValue:
    """Return the Pixel Padding Value or range (PS3.3 C.7.5.1.1.2) as ``pixels`` shows it."""
    try:
        first = dataset.get("PixelPaddingValue")
        if first is None:
            return None
        last = dataset.get("PixelPaddingRangeLimit")
        ends = np.array([[int(first), int(first if last is None else last)]])
    except UNREADABLE:
        return None  # a padding value that cannot be read is no reason to refuse the image
    if abs(ends).max() > 0xFFFF:
        return None
    seen = align_bits(ends, format_, format_.stored)  # padding beyond the stored bits was masked, too
    if (seen[0, 0] == seen[0, 1]) != (first == last or last is None):
        return None
    shown = _apply_modality(seen, dataset)
    return shown.min().item(), shown.max().item()

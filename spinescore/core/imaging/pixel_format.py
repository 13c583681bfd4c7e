"""The Image Pixel module (PS3.3 C.7.6.3): its numbers, checked, and what they make of stored bits."""

from __future__ import annotations

import hashlib
import struct
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.errors import BytesLengthException, InvalidDicomError

from spinescore.errors import DecodingError, describe_fault

Stored = NDArray[Any]
MIN_SIDE_PIXELS = 64
MAX_PIXELS = 1 << 27
GRAYSCALE = "MONOCHROME1", "MONOCHROME2"
COLOUR = frozenset(
    {"PALETTE COLOR", "RGB", "HSV", "ARGB", "CMYK", "XYB", "YBR_FULL", "YBR_FULL_422"}
    | {"YBR_PARTIAL_422", "YBR_PARTIAL_420", "YBR_ICT", "YBR_RCT"}
)
# what pydicom and the decoders raise on bytes that make no sense
UNREADABLE = (
    InvalidDicomError,
    BytesLengthException,
    EOFError,
    ValueError,
    KeyError,
    IndexError,
    TypeError,
    AttributeError,
    AssertionError,
    NotImplementedError,
    ArithmeticError,
    RecursionError,
    MemoryError,
    RuntimeError,
    struct.error,
    zlib.error,
)


@dataclass(frozen=True, slots=True)
class PixelFormat:
    """How one pixel is stored.

    Parameters
    ----------
    rows, columns : int
        Pixels.
    allocated, stored, high_bit : int
        Bits Allocated, Bits Stored and High Bit.
    signed : bool
        Pixel Representation: two's complement.
    photometric : {"MONOCHROME1", "MONOCHROME2"}
        Photometric Interpretation.
    """

    rows: int
    columns: int
    allocated: int
    stored: int
    high_bit: int
    signed: bool
    photometric: str

    @property
    def n_pixels(self) -> int:
        """Rows times columns."""
        return self.rows * self.columns


def spoken_photometric(term: str) -> str:
    """Return a photometric interpretation if DICOM has it (PS3.3 C.7.6.3.1.2): else it may be anything.

    >>> spoken_photometric("RGB"), spoken_photometric("DOE^JANE"), spoken_photometric("")
    ('RGB', 'not a term of DICOM', 'empty')
    """
    known = not term or term in GRAYSCALE or term in COLOUR
    return (term or "empty") if known else "not a term of DICOM"


def read_pixel_format(dataset: Dataset) -> PixelFormat:
    """Read the Image Pixel module and refuse what no decoder here can be trusted with.

    Raises
    ------
    DecodingError
        ``malformed``, ``not_grayscale``, ``multiframe``, ``photometric``, ``bit_depth``,
        ``too_small`` or ``dimensions``.
    """
    try:
        allocated = int(dataset.BitsAllocated)
        stored = int(dataset.get("BitsStored") or allocated)
        format_ = PixelFormat(
            rows=int(dataset.Rows),
            columns=int(dataset.Columns),
            allocated=allocated,
            stored=stored,
            high_bit=int(dataset.get("HighBit") or stored - 1),
            signed=int(dataset.get("PixelRepresentation") or 0) == 1,
            photometric=str(dataset.get("PhotometricInterpretation") or "").strip(),
        )
        samples, frames = int(dataset.get("SamplesPerPixel") or 1), int(dataset.get("NumberOfFrames") or 1)
    except UNREADABLE as error:
        raise DecodingError("malformed", describe_fault(error)) from error
    _check_format(format_, samples, frames)
    return format_


def _check_format(f: PixelFormat, samples: int, frames: int) -> None:
    size = f"{f.rows} x {f.columns}"
    bits = f"{f.stored} bits stored in {f.allocated}, high bit {f.high_bit}"
    fits = f.allocated in (8, 16) and 1 < f.stored <= f.allocated and f.stored - 1 <= f.high_bit < f.allocated
    checks = (
        (samples != 1, "not_grayscale", f"{samples} samples per pixel"),
        (frames != 1, "multiframe", f"{frames} frames"),
        (f.photometric not in GRAYSCALE, "photometric", spoken_photometric(f.photometric)),
        (not fits, "bit_depth", bits),
        (min(f.rows, f.columns) < MIN_SIDE_PIXELS, "too_small", size),
        (f.n_pixels > MAX_PIXELS, "dimensions", size),
    )
    for failed, reason, detail in checks:
        if failed:
            raise DecodingError(reason, detail)


def align_bits(cells: Stored, format_: PixelFormat, precision_bits: int, *, lossy: bool = False) -> Stored:
    """Drop what lies outside the stored bits (overlays, rubbish) and extend the sign (PS3.5 8.1.1).

    Parameters
    ----------
    cells : ndarray of int
        What the decoder gave.
    format_ : PixelFormat
        What the header says.
    precision_bits : int
        Bits of a cell that were coded: Bits Allocated, or what the codestream says. A codestream
        too narrow for the High Bit holds bare values, and its sign lies in its own highest bit.
    lossy : bool
        Whether coding was lossy: then a value beyond the stored bits has overshot and is clipped.
        Masked, it would turn from white to black.

    Returns
    -------
    ndarray of uint8, uint16 or int16
        Stored values.

    Raises
    ------
    DecodingError
        ``bit_depth`` if the High Bit says that values lie high and the cells show that they lie low.
    """
    bare = precision_bits <= format_.high_bit
    shift = 0 if bare else format_.high_bit + 1 - format_.stored
    n_bits = min(format_.stored, precision_bits)
    wide = cells.dtype.kind == "i" or cells.dtype.itemsize > 2 or lossy
    unsigned: NDArray[Any] = np.asarray(cells, np.int32 if wide else np.uint16)
    if shift and unsigned.max() < 1 << format_.stored and (unsigned & ((1 << shift) - 1)).any():
        raise DecodingError("bit_depth", f"high bit {format_.high_bit}, yet the values lie below it")
    if lossy:
        lowest = -(1 << (n_bits - 1)) if format_.signed else 0
        coded = _as_signed(unsigned, precision_bits) if format_.signed else _mask(unsigned, precision_bits)
        values = (coded >> shift).clip(lowest, lowest + (1 << n_bits) - 1)
    else:
        values = _mask(unsigned >> shift if shift else unsigned, n_bits)
        values = _as_signed(values, n_bits) if format_.signed else values
    if format_.signed:
        return np.asarray(values, np.int16)
    return np.asarray(values, np.uint8 if format_.stored <= 8 else np.uint16)


def _mask(cells: Stored, n_bits: int) -> Stored:
    return np.asarray(cells & ((1 << n_bits) - 1))


def _as_signed(cells: Stored, n_bits: int) -> Stored:
    """Read the lowest bits as two's complement."""
    sign = 1 << (n_bits - 1)
    return np.asarray((_mask(cells, n_bits).astype(np.int32) ^ sign) - sign)


def hash_pixels(stored: Stored) -> str:
    """Return the SHA-256 of size and stored values, as 16-bit little endian; hex."""
    digest = hashlib.sha256(struct.pack("<II", *stored.shape))
    digest.update(np.ascontiguousarray(stored.astype("<i2" if stored.dtype.kind == "i" else "<u2")).data)
    return digest.hexdigest()

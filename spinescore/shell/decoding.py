"""A DICOM file -> its pixels; the decoder is named per transfer syntax, never left to a default order.

MONOCHROME1 comes back as stored: preprocessing inverts it, nothing else does.
"""

from __future__ import annotations

import hashlib
import io
import struct
import tempfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import generate_frames
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.pixels.processing import apply_modality_lut
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
    SecondaryCaptureImageStorage,
)

from spinescore.core.imaging.preprocessing import PaddingValue
from spinescore.errors import DecodingError

Stored = NDArray[Any]
MIN_SIDE_PIXELS = 64
MAX_PIXELS = 1 << 27
INFLATE_LIMIT_BYTES = 1 << 29
JPEG_2000_FAMILY = "1.2.840.10008.1.2.4.9", "1.2.840.10008.1.2.4.20"
UNREADABLE = (
    InvalidDicomError,
    BytesLengthException,
    EOFError,
    ValueError,
    KeyError,
    IndexError,
    TypeError,
    AttributeError,
    NotImplementedError,
    OverflowError,
    RecursionError,
    MemoryError,
    RuntimeError,
    struct.error,
    zlib.error,
)


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
    """

    pixels: NDArray[Any]
    photometric: str
    padding_value: PaddingValue
    pixel_sha256: str
    transfer_syntax: str


@dataclass(frozen=True, slots=True)
class _Format:
    """The Image Pixel module's numbers (PS3.3 C.7.6.3), checked."""

    rows: int
    columns: int
    allocated: int
    stored: int
    high_bit: int
    signed: bool
    photometric: str


def decode(path: Path | str) -> Decoded:
    """Decode the one frame of a DICOM file.

    Parameters
    ----------
    path : Path or str
        A DICOM file.

    Returns
    -------
    Decoded

    Raises
    ------
    DecodingError
        With the reason code of ``files.reason``: ``truncated``, ``pixel_length``, ``no_pixel_data``,
        ``photometric``, ``bit_depth``, ``too_small``, ``dimensions``, ``multiframe``,
        ``not_grayscale``, ``constant_image``, ``transfer_syntax``, ``inflate_limit``,
        ``malformed``, ``decode_failed``.
    FileNotFoundError, OSError
        If the file cannot be opened.
    """
    dataset, syntax = _read(Path(path))
    format_ = _read_format(dataset)
    stored = _align_bits(_decode_stored(dataset, syntax, format_), format_)
    if stored.min() == stored.max():
        raise DecodingError("constant_image", f"every pixel is {stored.min()}")
    return Decoded(
        pixels=_apply_modality(stored, dataset),
        photometric=format_.photometric,
        padding_value=_read_padding(dataset, stored.dtype),
        pixel_sha256=_hash_pixels(stored),
        transfer_syntax=str(syntax),
    )


def _read(path: Path) -> tuple[pydicom.FileDataset, UID]:
    try:
        _check_inflation(path)
        dataset = pydicom.dcmread(path)
        return dataset, UID(str(dataset.file_meta.TransferSyntaxUID))
    except UNREADABLE as error:
        raise DecodingError("malformed", f"{type(error).__name__}: {error}") from error


def _check_inflation(path: Path) -> None:
    """Refuse a deflated file that would grow beyond all bounds (PS3.5 A.5)."""
    with path.open("rb") as handle:
        if handle.read(132)[128:] != b"DICM":
            return
        meta = pydicom.filereader._read_file_meta_info(handle)
        if meta.get("TransferSyntaxUID") != DeflatedExplicitVRLittleEndian:
            return
        inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        inflater.decompress(handle.read(), INFLATE_LIMIT_BYTES)
        if inflater.unconsumed_tail:
            raise DecodingError("inflate_limit", f"inflates to more than {INFLATE_LIMIT_BYTES >> 20} MiB")


def _read_format(dataset: Dataset) -> _Format:
    """Read the Image Pixel module and refuse what no decoder here can be trusted with."""
    try:
        allocated = int(dataset.BitsAllocated)
        stored = int(dataset.get("BitsStored") or allocated)
        format_ = _Format(
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
        raise DecodingError("malformed", f"{type(error).__name__}: {error}") from error
    _check_format(format_, samples, frames)
    return format_


def _check_format(f: _Format, samples: int, frames: int) -> None:
    size = f"{f.rows} x {f.columns}"
    bits = f"{f.stored} bits stored in {f.allocated}, high bit {f.high_bit}"
    fits = f.allocated in (8, 16) and 1 < f.stored <= f.allocated and f.stored - 1 <= f.high_bit < f.allocated
    checks = (
        (samples != 1, "not_grayscale", f"{samples} samples per pixel"),
        (frames != 1, "multiframe", f"{frames} frames"),
        (f.photometric not in ("MONOCHROME1", "MONOCHROME2"), "photometric", f.photometric or "empty"),
        (not fits, "bit_depth", bits),
        (min(f.rows, f.columns) < MIN_SIDE_PIXELS, "too_small", size),
        (f.rows * f.columns > MAX_PIXELS, "dimensions", size),
    )
    for failed, reason, detail in checks:
        if failed:
            raise DecodingError(reason, detail)


def _decode_stored(dataset: pydicom.FileDataset, syntax: UID, format_: _Format) -> Stored:
    """Return the stored values (H, W) as the transfer syntax's decoder gives them."""
    if "PixelData" not in dataset:
        raise DecodingError("no_pixel_data", "the file has no Pixel Data")
    if not syntax.is_transfer_syntax:
        raise DecodingError("transfer_syntax", str(syntax))
    if not syntax.is_encapsulated:
        return _decode_native(dataset, syntax, format_)
    decoder = _choose_decoder(syntax)
    try:
        frame = next(generate_frames(dataset.PixelData, number_of_frames=1))
        pixels = decoder(frame, format_)
    except (*UNREADABLE, OSError, StopIteration) as error:
        raise DecodingError("decode_failed", f"{type(error).__name__}: {error}") from error
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # Rust's, which no module exports
            raise
        raise DecodingError("decode_failed", f"the decoder panicked: {error}") from error
    if pixels.shape != (format_.rows, format_.columns):
        raise DecodingError(
            "dimensions", f"{pixels.shape} decoded, {format_.rows} x {format_.columns} in the header"
        )
    return pixels


def _decode_native(dataset: pydicom.FileDataset, syntax: UID, format_: _Format) -> Stored:
    """Read uncompressed pixels after comparing their length with what the header promises (PS3.5 8.1)."""
    declared = getattr(dataset.get_item("PixelData"), "length", None)
    content = dataset.PixelData
    expected = format_.rows * format_.columns * format_.allocated // 8
    if len(content) < expected:
        reason = "truncated" if declared is not None and len(content) < declared else "pixel_length"
        raise DecodingError(reason, f"{len(content)} bytes of pixels where {expected} are expected")
    order = ">" if syntax == ExplicitVRBigEndian else "<"
    values = np.frombuffer(
        content, dtype=f"{order}u{format_.allocated // 8}", count=expected * 8 // format_.allocated
    )
    return values.reshape(format_.rows, format_.columns)


def _choose_decoder(syntax: UID) -> Callable[[bytes, _Format], Stored]:
    table: dict[str, Callable[[bytes, _Format], Stored]] = {
        RLELossless: _decode_rle,
        JPEGBaseline8Bit: _decode_jpeg_baseline,
        JPEGExtended12Bit: _decode_with_gdcm(syntax),
        JPEGLossless: _decode_with_gdcm(syntax),
        JPEGLosslessSV1: _decode_with_gdcm(syntax),
        JPEGLSLossless: _decode_jpeg_ls,
        JPEGLSNearLossless: _decode_jpeg_ls,
    }
    if syntax.startswith(JPEG_2000_FAMILY):
        return _decode_jpeg_2000
    if syntax not in table:
        raise DecodingError("transfer_syntax", f"{syntax.name} ({syntax}) holds no still image we can decode")
    return table[syntax]


def _decode_rle(frame: bytes, format_: _Format) -> Stored:
    import rle.utils

    values = rle.utils.decode_frame(  # type: ignore[attr-defined]
        frame, format_.rows * format_.columns, format_.allocated, "<"
    )
    return np.frombuffer(values, dtype=f"<u{format_.allocated // 8}").reshape(format_.rows, format_.columns)


def _decode_jpeg_baseline(frame: bytes, _: _Format) -> Stored:
    from PIL import Image

    with Image.open(io.BytesIO(frame), formats=["JPEG"]) as image:
        if image.mode != "L":
            raise DecodingError("not_grayscale", f"a JPEG of mode {image.mode}")
        return np.asarray(image)


def _decode_jpeg_ls(frame: bytes, _: _Format) -> Stored:
    import jpeg_ls

    return np.asarray(jpeg_ls.decode(np.frombuffer(frame, np.uint8)))


def _decode_jpeg_2000(frame: bytes, _: _Format) -> Stored:
    import openjpeg.utils

    return np.asarray(openjpeg.utils.decode(frame))


def _decode_with_gdcm(syntax: UID) -> Callable[[bytes, _Format], Stored]:
    """Return a decoder by SimpleITK (GDCM) that sees the frame in a bare MONOCHROME2 file.

    SimpleITK inverts MONOCHROME1 and applies the rescale; in a file that has neither, it cannot.
    """

    def decode_frame(frame: bytes, format_: _Format) -> Stored:
        import SimpleITK

        with tempfile.NamedTemporaryFile(suffix=".dcm") as file:
            _bare_file(frame, format_, syntax).save_as(file.name, enforce_file_format=True)
            return np.asarray(SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(file.name))).squeeze()

    return decode_frame


def _bare_file(frame: bytes, format_: _Format, syntax: UID) -> Dataset:
    """Return a data set that holds the Image Pixel module and nothing else."""
    bare = Dataset()
    bare.file_meta = FileMetaDataset()
    bare.file_meta.TransferSyntaxUID = syntax
    bare.file_meta.MediaStorageSOPClassUID = bare.SOPClassUID = SecondaryCaptureImageStorage
    bare.file_meta.MediaStorageSOPInstanceUID = bare.SOPInstanceUID = UID("1.2.3")
    bare.SamplesPerPixel, bare.PhotometricInterpretation = 1, "MONOCHROME2"
    bare.Rows, bare.Columns = format_.rows, format_.columns
    bare.BitsAllocated, bare.BitsStored, bare.HighBit = format_.allocated, format_.stored, format_.high_bit
    bare.PixelRepresentation = int(format_.signed)
    bare.PixelData = pydicom.encaps.encapsulate([frame])
    bare["PixelData"].VR = "OB"
    return bare


def _align_bits(values: Stored, format_: _Format) -> Stored:
    """Drop what lies outside the stored bits (overlays, rubbish) and extend the sign (PS3.5 8.1.1)."""
    wide = values.dtype.kind == "i" or values.dtype.itemsize > 2
    unsigned: NDArray[Any] = np.asarray(values, np.int32 if wide else np.uint16)
    shift, mask = format_.high_bit + 1 - format_.stored, (1 << format_.stored) - 1
    bits = (unsigned >> shift) & mask if shift else unsigned & mask
    if not format_.signed:
        return np.asarray(bits, np.uint8 if format_.stored <= 8 else np.uint16)
    sign = 1 << (format_.stored - 1)
    return np.asarray((bits.astype(np.int32) ^ sign) - sign, np.int16)


def _apply_modality(stored: Stored, dataset: Dataset) -> NDArray[Any]:
    """Apply the Modality LUT or rescale (PS3.3 C.11.1); whole numbers stay integers."""
    if dataset.get("ModalityLUTSequence"):
        try:
            return np.asarray(apply_modality_lut(stored, dataset))
        except UNREADABLE as error:
            raise DecodingError("malformed", f"Modality LUT: {error}") from error
    slope, intercept = _read_rescale(dataset)
    if (slope, intercept) == (1.0, 0.0):
        return stored
    if slope.is_integer() and intercept.is_integer() and abs(slope) < 1 << 14 and abs(intercept) < 1 << 30:
        return stored.astype(np.int32) * np.int32(slope) + np.int32(intercept)
    return stored.astype(np.float64) * slope + intercept


def _read_rescale(dataset: Dataset) -> tuple[float, float]:
    try:
        slope, intercept = dataset.get("RescaleSlope"), dataset.get("RescaleIntercept")
        pair = 1.0 if slope is None else float(slope), 0.0 if intercept is None else float(intercept)
    except UNREADABLE as error:
        raise DecodingError("malformed", f"rescale: {error}") from error
    if not np.isfinite(pair).all() or pair[0] == 0:
        raise DecodingError("non_finite_pixels", f"rescale slope {pair[0]}, intercept {pair[1]}")
    return pair


def _read_padding(dataset: Dataset, dtype: np.dtype[Any]) -> PaddingValue:
    """Return the Pixel Padding Value or range (PS3.3 C.7.5.1.1.2) as ``pixels`` shows it."""
    try:
        first = dataset.get("PixelPaddingValue")
        if first is None:
            return None
        last = dataset.get("PixelPaddingRangeLimit")
        ends = np.array([int(first), int(first if last is None else last)])
    except UNREADABLE:
        return None  # a padding value that cannot be read is no reason to refuse the image
    limits = np.iinfo(dtype)
    if ends.min() < limits.min or ends.max() > limits.max:
        return None
    shown = _apply_modality(ends.astype(dtype), dataset)
    return int(shown.min()), int(shown.max())


def _hash_pixels(stored: Stored) -> str:
    """Return the SHA-256 of size and values, as 16-bit little endian."""
    digest = hashlib.sha256(struct.pack("<II", *stored.shape))
    digest.update(np.ascontiguousarray(stored.astype("<i2" if stored.dtype.kind == "i" else "<u2")).data)
    return digest.hexdigest()

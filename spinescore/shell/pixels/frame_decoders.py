"""One compressed frame -> its pixels: a named decoder per way of coding, after a look at the header.

SimpleITK holds GDCM, which can abort or hang on damaged bytes: whoever decodes unknown files does
so in ``workers.map_supervised`` with a time and memory limit.
"""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Callable, Iterator

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    UID,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
    SecondaryCaptureImageStorage,
)

from spinescore.core.imaging.codestream import (
    Codestream,
    check_rle_header,
    find_jpeg_2000,
    read_jpeg_2000_header,
    read_jpeg_header,
)
from spinescore.core.imaging.pixel_format import UNREADABLE, PixelFormat, Stored
from spinescore.errors import DecodingError, describe_fault

LOSSY = frozenset({JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLSNearLossless, JPEG2000, HTJ2K})
FrameDecoder = Callable[[bytes, PixelFormat], tuple[Stored, int]]


def decode_frame(frame: bytes, syntax: UID, format_: PixelFormat) -> tuple[Stored, int]:
    """Decode a compressed frame.

    Parameters
    ----------
    frame : bytes
        All fragments of the frame, joined.
    syntax : UID
        An encapsulated transfer syntax.
    format_ : PixelFormat
        What the header promises; nothing is allocated for a frame that says otherwise.

    Returns
    -------
    cells : ndarray of int, shape (H, W)
        As coded, not yet masked.
    precision_bits : int
        Bits that were coded of each.

    Raises
    ------
    DecodingError
        ``transfer_syntax``, ``dimensions``, ``not_grayscale``, ``bit_depth``, ``truncated`` or
        ``decode_failed``.
    """
    decoder = FRAME_DECODERS.get(syntax)
    if decoder is None:
        raise DecodingError("transfer_syntax", f"{syntax.name} ({syntax}) holds no still image we can decode")
    try:
        cells, precision_bits = decoder(frame, format_)
    except (*UNREADABLE, OSError) as error:
        raise DecodingError("decode_failed", describe_fault(error)) from error
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # Rust's, which no module exports
            raise
        raise DecodingError("decode_failed", f"the decoder panicked: {describe_fault(error)}") from error
    _check_size(cells.shape, format_, "decoded")
    return cells, precision_bits


def _check_size(found: tuple[int, ...], format_: PixelFormat, where: str) -> None:
    if found != (format_.rows, format_.columns):
        shown = " x ".join(map(str, found))
        raise DecodingError(
            "dimensions", f"{shown} {where}, {format_.rows} x {format_.columns} in the header"
        )


def _check_codestream(found: Codestream, format_: PixelFormat) -> None:
    if found.components != 1:
        raise DecodingError("not_grayscale", f"{found.components} components in the codestream")
    if not 2 <= found.precision_bits <= 16:
        raise DecodingError("bit_depth", f"{found.precision_bits} bits in the codestream")
    _check_size((found.rows, found.columns), format_, "in the codestream")


def _decode_rle(frame: bytes, format_: PixelFormat) -> tuple[Stored, int]:
    import rle.utils

    check_rle_header(frame, n_pixels=format_.n_pixels, bits_allocated=format_.allocated)
    with _quiet_output():  # a panic is printed as well as raised
        values = rle.utils.decode_frame(  # type: ignore[attr-defined]
            frame, format_.n_pixels, format_.allocated, "<"
        )
    cells = np.frombuffer(values, dtype=f"<u{format_.allocated // 8}")
    return cells.reshape(format_.rows, format_.columns), format_.allocated


def _decode_jpeg(frame: bytes, format_: PixelFormat) -> tuple[Stored, int]:
    """Decode by the process the codestream names: writers do not always label it rightly."""
    found = read_jpeg_header(frame)
    _check_codestream(found, format_)
    if found.process == "lossless":
        return _decode_with_gdcm(frame, found, JPEGLossless), found.precision_bits
    if found.process == "extended" and found.precision_bits == 12:
        return _decode_with_gdcm(frame, found, JPEGExtended12Bit), found.precision_bits
    if found.process == "jpeg_ls" or found.precision_bits != 8:
        raise DecodingError(
            "decode_failed", f"{found.process} of {found.precision_bits} bits, labelled as JPEG"
        )
    return _decode_with_pillow(frame), found.precision_bits


def _decode_with_pillow(frame: bytes) -> Stored:
    from PIL import Image

    with Image.open(io.BytesIO(frame), formats=["JPEG"]) as image:
        if image.mode != "L":
            raise DecodingError("not_grayscale", f"a JPEG of mode {image.mode}")
        return np.asarray(image)


def _decode_jpeg_ls(frame: bytes, format_: PixelFormat) -> tuple[Stored, int]:
    import jpeg_ls

    found = read_jpeg_header(frame)
    _check_codestream(found, format_)
    if found.process != "jpeg_ls":
        raise DecodingError("decode_failed", f"{found.process} JPEG, labelled as JPEG-LS")
    return np.asarray(jpeg_ls.decode(np.frombuffer(frame, np.uint8))), found.precision_bits


def _decode_jpeg_2000(frame: bytes, format_: PixelFormat) -> tuple[Stored, int]:
    import openjpeg.utils

    codestream = find_jpeg_2000(frame)
    found = read_jpeg_2000_header(codestream)
    _check_codestream(found, format_)
    return np.asarray(openjpeg.utils.decode(codestream, 0)), found.precision_bits


def _decode_with_gdcm(frame: bytes, found: Codestream, syntax: UID) -> Stored:
    """Decode with SimpleITK (GDCM), which sees the frame in a bare MONOCHROME2 file.

    SimpleITK inverts MONOCHROME1 and applies the rescale; in a file that has neither, it cannot.
    The file lies in memory: a worker killed here leaves no pixels on a disk.
    """
    import SimpleITK

    SimpleITK.ProcessObject.SetGlobalWarningDisplay(False)  # type: ignore[no-untyped-call]
    memory = os.memfd_create("frame")
    try:
        path = f"/proc/self/fd/{memory}"
        _bare_file(frame, found, syntax).save_as(path, enforce_file_format=True, overwrite=True)
        with _quiet_output():
            image = SimpleITK.ReadImage(path, imageIO="GDCMImageIO")
        return np.asarray(SimpleITK.GetArrayFromImage(image)).squeeze(axis=0)
    finally:
        os.close(memory)


@contextlib.contextmanager
def _quiet_output() -> Iterator[None]:
    """Send what C code prints nowhere: GDCM remarks on every 12-bit frame it decodes rightly."""
    kept = {number: os.dup(number) for number in (1, 2)}
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        for number in kept:
            os.dup2(nowhere, number)
        yield
    finally:
        for number, copy in kept.items():
            os.dup2(copy, number)
            os.close(copy)
        os.close(nowhere)


def _bare_file(frame: bytes, found: Codestream, syntax: UID) -> Dataset:
    """Return a data set that holds an Image Pixel module, as the codestream says, and nothing else."""
    bare = Dataset()
    bare.file_meta = FileMetaDataset()
    bare.file_meta.TransferSyntaxUID = syntax
    bare.file_meta.MediaStorageSOPClassUID = bare.SOPClassUID = SecondaryCaptureImageStorage
    bare.file_meta.MediaStorageSOPInstanceUID = bare.SOPInstanceUID = UID("1.2.3")
    bare.SamplesPerPixel, bare.PhotometricInterpretation = 1, "MONOCHROME2"
    bare.Rows, bare.Columns = found.rows, found.columns
    bare.BitsAllocated = 8 if found.precision_bits <= 8 else 16
    bare.BitsStored, bare.HighBit = found.precision_bits, found.precision_bits - 1
    bare.PixelRepresentation = 0
    bare.PixelData = encapsulate([frame])
    bare["PixelData"].VR = "OB"
    bare["PixelData"].is_undefined_length = True
    return bare


FRAME_DECODERS: dict[str, FrameDecoder] = {
    RLELossless: _decode_rle,
    JPEGBaseline8Bit: _decode_jpeg,
    JPEGExtended12Bit: _decode_jpeg,
    JPEGLossless: _decode_jpeg,
    JPEGLosslessSV1: _decode_jpeg,
    JPEGLSLossless: _decode_jpeg_ls,
    JPEGLSNearLossless: _decode_jpeg_ls,
    JPEG2000Lossless: _decode_jpeg_2000,
    JPEG2000: _decode_jpeg_2000,
    HTJ2KLossless: _decode_jpeg_2000,
    HTJ2KLosslessRPCL: _decode_jpeg_2000,
    HTJ2K: _decode_jpeg_2000,
}

"""DICOM files written with the encoders of the packages we decode with, and what refuses them."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import SimpleITK
from jpeg_ls import encode_pixel_data as encode_jpeg_ls
from numpy.typing import NDArray
from openjpeg.utils import encode_pixel_data as encode_jpeg_2000
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import (
    MPEG2MPML,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
    SecondaryCaptureImageStorage,
)
from rle.utils import encode_pixel_data as encode_rle

from spinescore.errors import DecodingError
from spinescore.shell.pixels.decoding import decode

RNG = np.random.default_rng(3)
NATIVE = [
    ImplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
]
LOSSLESS = [RLELossless, JPEGLSLossless, JPEG2000Lossless, JPEGLosslessSV1]


def draw_pixels(bits: int = 12, shape: tuple[int, int] = (97, 71)) -> NDArray[Any]:
    return RNG.integers(0, 2**bits, shape).astype(np.uint8 if bits <= 8 else np.uint16)


def compress(pixels: NDArray[Any], syntax: str, bits: int) -> bytes:
    if syntax == JPEGLosslessSV1:
        return compress_with_gdcm(pixels)
    encoders = {RLELossless: encode_rle, JPEGLSLossless: encode_jpeg_ls, JPEG2000Lossless: encode_jpeg_2000}
    described = {
        "rows": pixels.shape[0],
        "columns": pixels.shape[1],
        "samples_per_pixel": 1,
        "bits_allocated": pixels.itemsize * 8,
        "bits_stored": bits,
        "pixel_representation": 0,
        "photometric_interpretation": "MONOCHROME2",
    }
    extra = {"byteorder": "<"} if syntax == RLELossless else {}
    return bytes(encoders[syntax](pixels.tobytes(), **described, **extra))


def compress_with_gdcm(pixels: NDArray[Any]) -> bytes:
    with tempfile.NamedTemporaryFile(suffix=".dcm") as file:
        writer = SimpleITK.ImageFileWriter()
        writer.SetFileName(file.name)
        writer.UseCompressionOn()
        writer.SetCompressor("JPEG")
        writer.Execute(SimpleITK.GetImageFromArray(pixels))
        written = pydicom.dcmread(file.name)
        assert written.file_meta.TransferSyntaxUID == JPEGLosslessSV1
        return next(generate_frames(written.PixelData, number_of_frames=1))


def write_file(
    folder: Path,
    pixels: NDArray[Any],
    *,
    syntax: str = ExplicitVRLittleEndian,
    bits: int = 12,
    **changes: Any,
) -> Path:
    """Write a DICOM file of pixels; ``changes`` replace or (None) remove elements."""
    d = Dataset()
    d.file_meta = FileMetaDataset()
    d.file_meta.TransferSyntaxUID = syntax
    d.file_meta.MediaStorageSOPClassUID = d.SOPClassUID = SecondaryCaptureImageStorage
    d.file_meta.MediaStorageSOPInstanceUID = d.SOPInstanceUID = "1.2.3.4"
    d.SamplesPerPixel, d.PhotometricInterpretation, d.PixelRepresentation = 1, "MONOCHROME2", 0
    d.Rows, d.Columns = pixels.shape
    d.BitsAllocated, d.BitsStored, d.HighBit = pixels.itemsize * 8, bits, bits - 1
    if syntax in NATIVE or syntax == MPEG2MPML:
        big = syntax == ExplicitVRBigEndian
        content = pixels.astype(pixels.dtype.newbyteorder(">" if big else "<")).tobytes()
        content += b"\0" * (len(content) % 2)
        if big and pixels.itemsize == 1:  # PS3.5 A.3: OW words of two pixels, the first in the lower byte
            content = np.frombuffer(content, "<u2").byteswap().tobytes()
        d.PixelData = content
        d["PixelData"].VR = "OW"
    else:
        d.PixelData = encapsulate([compress(pixels, syntax, bits)])
        d["PixelData"].VR = "OB"
        d["PixelData"].is_undefined_length = True
    for name, value in changes.items():
        if value is None:
            delattr(d, name)
        else:
            setattr(d, name, value)
    path = folder / "image.dcm"
    pydicom.dcmwrite(
        path,
        d,
        implicit_vr=syntax == ImplicitVRLittleEndian,
        little_endian=syntax != ExplicitVRBigEndian,
        enforce_file_format=True,
    )
    return path


def refusal(path: Path) -> str:
    with pytest.raises(DecodingError) as caught:
        decode(path)
    return caught.value.reason


def encapsulated(path: Path, syntax: str, *fragments: bytes, has_bot: bool = False, **changes: Any) -> Path:
    """Rewrite a file with these fragments; ``changes`` set elements."""
    d = pydicom.dcmread(path)
    d.file_meta.TransferSyntaxUID = syntax
    d.PixelData = encapsulate(list(fragments), has_bot=has_bot)
    d["PixelData"].VR, d["PixelData"].is_undefined_length = "OB", True
    for name, value in changes.items():
        setattr(d, name, value)
    d.save_as(path)
    return path

"""The same pixels come out of every transfer syntax, and every broken file has its reason."""

from __future__ import annotations

import io
import tempfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import SimpleITK
from hypothesis import given, settings
from hypothesis import strategies as st
from jpeg_ls import encode_pixel_data as encode_jpeg_ls
from numpy.typing import NDArray
from openjpeg.utils import encode_pixel_data as encode_jpeg_2000
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.sequence import Sequence
from pydicom.uid import (
    MPEG2MPML,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
    SecondaryCaptureImageStorage,
)
from rle.utils import encode_pixel_data as encode_rle

from spinescore.errors import DecodingError
from spinescore.shell.decoding import decode

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
        d.PixelData = content + b"\0" * (len(content) % 2)
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


@pytest.mark.parametrize("syntax", NATIVE + LOSSLESS)
@pytest.mark.parametrize("bits", [8, 12, 16])
def test_every_transfer_syntax_gives_the_same_pixels(tmp_path: Path, syntax: str, bits: int) -> None:
    even = (98, 72)  # GDCM writes no odd number of bytes
    pixels = draw_pixels(bits, even if syntax == JPEGLosslessSV1 else (97, 71))
    decoded = decode(write_file(tmp_path, pixels, syntax=syntax, bits=bits))
    assert np.array_equal(decoded.pixels, pixels)
    assert decoded.transfer_syntax == syntax
    assert decoded.pixel_sha256 == decode(write_file(tmp_path, pixels, bits=bits)).pixel_sha256


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, *LOSSLESS])
def test_monochrome1_comes_back_as_stored_from_every_decoder(tmp_path: Path, syntax: str) -> None:
    """SimpleITK inverts it and applies the rescale; neither may be seen here."""
    pixels = draw_pixels()
    rescale = {"RescaleSlope": "2", "RescaleIntercept": "-1024"}
    path = write_file(tmp_path, pixels, syntax=syntax, PhotometricInterpretation="MONOCHROME1", **rescale)
    decoded = decode(path)
    assert decoded.photometric == "MONOCHROME1"
    assert np.array_equal(decoded.pixels, pixels.astype(int) * 2 - 1024)


def test_jpeg_baseline_is_decoded(tmp_path: Path) -> None:
    smooth = (np.add.outer(np.arange(96), np.arange(72)) + 20).astype(np.uint8)
    encoded = io.BytesIO()
    Image.fromarray(smooth).save(encoded, "JPEG", quality=95)
    path = write_file(tmp_path, smooth, bits=8)
    d = pydicom.dcmread(path)
    d.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    d.PixelData = encapsulate([encoded.getvalue()])
    d["PixelData"].VR, d["PixelData"].is_undefined_length = "OB", True
    d.save_as(path)
    assert np.abs(decode(path).pixels.astype(int) - smooth).max() <= 2


def test_bits_above_those_stored_are_masked(tmp_path: Path) -> None:
    pixels = draw_pixels()
    with_overlay = pixels | np.where(RNG.random(pixels.shape) < 0.5, 0x8000, 0).astype(np.uint16)
    assert np.array_equal(decode(write_file(tmp_path, with_overlay)).pixels, pixels)


def test_bits_stored_high_are_brought_down(tmp_path: Path) -> None:
    pixels = draw_pixels()
    path = write_file(tmp_path, (pixels << 4).astype(np.uint16), HighBit=15)
    assert np.array_equal(decode(path).pixels, pixels)


@given(bits=st.integers(9, 16))
@settings(max_examples=8, deadline=None)
def test_signed_pixels_keep_their_sign(tmp_path_factory: pytest.TempPathFactory, bits: int) -> None:
    values = RNG.integers(-(2 ** (bits - 1)), 2 ** (bits - 1), (70, 70)).astype(np.int16)
    stored = (values.astype(np.int64) & (2**bits - 1)).astype(np.uint16)
    path = write_file(tmp_path_factory.mktemp("signed"), stored, bits=bits, PixelRepresentation=1)
    assert np.array_equal(decode(path).pixels, values)


def test_a_modality_lut_is_applied_to_pixels_and_padding(tmp_path: Path) -> None:
    pixels = draw_pixels(8)
    lut = Dataset()
    lut.LUTDescriptor, lut.ModalityLUTType = [256, 0, 16], "US"
    lut.LUTData = [int(v) for v in np.arange(256) ** 2]
    lut["LUTDescriptor"].VR = lut["LUTData"].VR = "US"
    path = write_file(tmp_path, pixels, bits=8, ModalityLUTSequence=Sequence([lut]), PixelPaddingValue=3)
    decoded = decode(path)
    assert np.array_equal(decoded.pixels, pixels.astype(int) ** 2)
    assert decoded.padding_value == (9, 9)


def test_a_fractional_rescale_is_applied(tmp_path: Path) -> None:
    pixels = draw_pixels()
    decoded = decode(write_file(tmp_path, pixels, RescaleSlope="-0.5", RescaleIntercept="10"))
    assert np.allclose(decoded.pixels, 10 - pixels / 2)


def test_a_padding_range_goes_through_the_rescale(tmp_path: Path) -> None:
    d = {"PixelPaddingValue": 0, "PixelPaddingRangeLimit": 4, "RescaleSlope": "-2", "RescaleIntercept": "1"}
    assert decode(write_file(tmp_path, draw_pixels(), **d)).padding_value == (-7, 1)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"PixelData": None}, "no_pixel_data"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "photometric"),
        ({"SamplesPerPixel": 3}, "not_grayscale"),
        ({"NumberOfFrames": 4}, "multiframe"),
        ({"BitsStored": 17}, "bit_depth"),
        ({"BitsStored": 1, "HighBit": 0}, "bit_depth"),
        ({"BitsAllocated": 32}, "bit_depth"),
        ({"Rows": 5}, "too_small"),
        ({"Rows": 65535, "Columns": 65535}, "dimensions"),
        ({"Rows": 500}, "pixel_length"),
        ({"Rows": None}, "malformed"),
        ({"RescaleSlope": "0", "RescaleIntercept": "0"}, "non_finite_pixels"),
    ],
)
def test_a_header_that_cannot_be_trusted_is_named(
    tmp_path: Path, changes: dict[str, Any], reason: str
) -> None:
    assert refusal(write_file(tmp_path, draw_pixels(), **changes)) == reason


def test_a_constant_image_is_named(tmp_path: Path) -> None:
    assert refusal(write_file(tmp_path, np.full((80, 80), 9, np.uint16))) == "constant_image"


def test_a_video_is_no_still_image(tmp_path: Path) -> None:
    d = pydicom.dcmread(write_file(tmp_path, draw_pixels()))
    d.file_meta.TransferSyntaxUID = MPEG2MPML
    d.PixelData = encapsulate([b"\0\0"])
    d["PixelData"].VR, d["PixelData"].is_undefined_length = "OB", True
    d.save_as(tmp_path / "video.dcm")
    assert refusal(tmp_path / "video.dcm") == "transfer_syntax"


@pytest.mark.filterwarnings("ignore::UserWarning")  # pydicom says what is wrong, too
def test_a_file_cut_short_is_truncated(tmp_path: Path) -> None:
    path = write_file(tmp_path, draw_pixels())
    path.write_bytes(path.read_bytes()[:-500])
    assert refusal(path) == "truncated"


@pytest.mark.parametrize("syntax", LOSSLESS)
def test_a_damaged_stream_is_named_not_raised(tmp_path: Path, syntax: str) -> None:
    d = pydicom.dcmread(write_file(tmp_path, draw_pixels(), syntax=syntax))
    d.PixelData = encapsulate([b"\xff\x4f" + RNG.bytes(200)])
    d.save_as(tmp_path / "damaged.dcm")
    assert refusal(tmp_path / "damaged.dcm") == "decode_failed"


def test_what_is_no_dicom_is_malformed(tmp_path: Path) -> None:
    path = tmp_path / "text.dcm"
    path.write_text("not an image")
    assert refusal(path) == "malformed"


def test_a_deflate_bomb_is_not_inflated(tmp_path: Path) -> None:
    path = write_file(tmp_path, draw_pixels(), syntax=DeflatedExplicitVRLittleEndian)
    content = path.read_bytes()
    with path.open("rb") as handle:
        handle.seek(132)
        pydicom.filereader._read_file_meta_info(handle)
        start = handle.tell()
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    block = bytes(1 << 24)
    bomb = b"".join(packer.compress(block) for _ in range(34)) + packer.flush()
    path.write_bytes(content[:start] + bomb)
    assert refusal(path) == "inflate_limit"

"""The same pixels come out of every transfer syntax, whatever lies around them."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import (
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
)

from spinescore.shell.pixels.decoding import decode
from tests.unit.shell.written_files import (
    LOSSLESS,
    NATIVE,
    RNG,
    draw_pixels,
    write_file,
)


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
@settings(max_examples=8)
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


def test_a_handle_is_decoded_as_its_path_is(tmp_path: Path) -> None:
    path = write_file(tmp_path, draw_pixels())
    with path.open("rb") as handle:
        assert decode(handle).pixel_sha256 == decode(path).pixel_sha256


def test_overlays_beside_the_pixels_stay_out(tmp_path: Path) -> None:
    pixels = draw_pixels()
    d = pydicom.dcmread(write_file(tmp_path, pixels))
    d.add_new(0x60000010, "US", pixels.shape[0])
    d.add_new(0x60000011, "US", pixels.shape[1])
    d.add_new(0x60000100, "US", 1)
    d.add_new(0x60000102, "US", 0)
    d.add_new(0x60003000, "OW", b"\xff" * 862)
    d.save_as(tmp_path / "overlay.dcm")
    assert np.array_equal(decode(tmp_path / "overlay.dcm").pixels, pixels)


def test_padding_beyond_the_stored_bits_is_known_as_it_comes_out(tmp_path: Path) -> None:
    pixels = draw_pixels()
    pixels[:5] = 0xFFFF
    decoded = decode(write_file(tmp_path, pixels, PixelPaddingValue=0xFFFF))
    assert decoded.padding_value == (4095, 4095)
    assert (decoded.pixels[:5] == 4095).all()


def test_padding_of_fractional_pixels_is_not_rounded(tmp_path: Path) -> None:
    d = {"PixelPaddingValue": 3, "RescaleSlope": "0.5", "RescaleIntercept": "0"}
    decoded = decode(write_file(tmp_path, draw_pixels(), **d))
    assert decoded.padding_value == (1.5, 1.5)


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian])
def test_a_bare_data_set_without_preamble_is_decoded(tmp_path: Path, syntax: str) -> None:
    pixels = draw_pixels()
    d = pydicom.dcmread(write_file(tmp_path, pixels, syntax=syntax))
    implicit = syntax == ImplicitVRLittleEndian
    del d.file_meta
    d.preamble = None
    pydicom.dcmwrite(tmp_path / "bare.dcm", d, implicit_vr=implicit, little_endian=True)
    assert (tmp_path / "bare.dcm").read_bytes()[:2] == b"\x08\0"
    assert np.array_equal(decode(tmp_path / "bare.dcm").pixels, pixels)

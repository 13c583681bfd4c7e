"""Files that independent encoders wrote come out as those encoders' makers say, in one polarity."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.uid import JPEG2000, HTJ2KLossless, JPEG2000Lossless, JPEGExtended12Bit, RLELossless

from spinescore.core.imaging.preprocessing import PreprocessingSpec, preprocess
from spinescore.errors import DecodingError
from spinescore.shell.pixels.decoding import Decoded, decode
from spinescore.shell.pixels.frame_decoders import FRAME_DECODERS
from tests.unit.shell.encoded_files import (
    LOSSLESS,
    LOSSY,
    LOSSY_8_BIT,
    by,
    describe,
    frame_of,
    needs_encoders,
    run,
    smooth_pixels,
    write_frame,
    write_native,
)

pytestmark = needs_encoders
SPEC = PreprocessingSpec(height=96, width=48, equalise=False)


def prepare(decoded: Decoded) -> Any:
    return preprocess(
        decoded.pixels,
        kind="vfa",
        photometric=decoded.photometric,
        spec=SPEC,
        padding_value=decoded.padding_value,
    )


@pytest.mark.parametrize("bits", [8, 10, 12, 16])
@pytest.mark.parametrize("name", LOSSLESS)
def test_lossless_files_hold_the_original_values(tmp_path: Path, name: str, bits: int) -> None:
    pixels = smooth_pixels(bits)
    LOSSLESS[name](write_native(tmp_path / "native.dcm", pixels, bits), tmp_path / "coded.dcm")
    decoded = decode(tmp_path / "coded.dcm")
    assert np.array_equal(decoded.pixels, pixels)
    assert decoded.pixel_sha256 == decode(tmp_path / "native.dcm").pixel_sha256


@pytest.mark.parametrize("bits", [8, 12])
@pytest.mark.parametrize("name", LOSSY)
def test_lossy_files_come_out_as_their_makers_decode_them(tmp_path: Path, name: str, bits: int) -> None:
    encode, expand = LOSSY[name]
    encode(write_native(tmp_path / "native.dcm", smooth_pixels(bits), bits), tmp_path / "coded.dcm")
    decoded = decode(tmp_path / "coded.dcm")
    theirs = expand(tmp_path / "coded.dcm").astype(int)
    assert np.abs(decoded.pixels - theirs).max() <= (
        1 if name.startswith(("JPEG ext", "JPEG 2", "HT")) else 0
    )


@pytest.mark.parametrize("name", LOSSY_8_BIT)
def test_jpeg_baseline_comes_out_as_dcmtk_decodes_it(tmp_path: Path, name: str) -> None:
    encode, expand = LOSSY_8_BIT[name]
    encode(write_native(tmp_path / "native.dcm", smooth_pixels(8), 8), tmp_path / "coded.dcm")
    assert (
        np.abs(decode(tmp_path / "coded.dcm").pixels - expand(tmp_path / "coded.dcm").astype(int)).max() <= 1
    )


def test_every_syntax_with_a_decoder_has_a_file_of_an_independent_encoder(tmp_path: Path) -> None:
    native = write_native(tmp_path / "native.dcm", smooth_pixels(8), 8)
    coded = tmp_path / "coded.dcm"
    encoders = [*LOSSLESS.values(), *(e for e, _ in LOSSY.values()), *(e for e, _ in LOSSY_8_BIT.values())]
    found = set()
    for encode in encoders:
        encode(native, coded)
        found.add(str(pydicom.dcmread(coded, stop_before_pixels=True).file_meta.TransferSyntaxUID))
    assert set(FRAME_DECODERS) <= found


@pytest.mark.parametrize("name", LOSSLESS)
def test_twins_of_either_polarity_give_the_same_image(tmp_path: Path, name: str) -> None:
    """METHOD.md: bone is bright; the same image stored as MONOCHROME1 and as MONOCHROME2."""
    pixels = smooth_pixels(12)
    pixels[:9] = 5  # padding, which both must leave out
    images = []
    for photometric, values, padding in (
        ("MONOCHROME2", pixels, 5),
        ("MONOCHROME1", (4095 - pixels).astype(np.uint16), 4090),
    ):
        native = write_native(
            tmp_path / "native.dcm",
            values,
            12,
            PhotometricInterpretation=photometric,
            PixelPaddingValue=padding,
            RescaleSlope="2",
            RescaleIntercept="-100",
        )
        LOSSLESS[name](native, tmp_path / "coded.dcm")
        decoded = decode(tmp_path / "coded.dcm")
        assert decoded.photometric == photometric
        images.append(prepare(decoded))
    assert (
        np.abs(images[0] - images[1]).max() <= 1 / 255 + 1e-6
    )  # the floor of 256 levels, once up, once down


@pytest.mark.parametrize("name", [*LOSSY, *LOSSY_8_BIT])
def test_lossy_twins_of_either_polarity_give_nearly_the_same_image(tmp_path: Path, name: str) -> None:
    bits = 8 if name in LOSSY_8_BIT else 12
    encode = {**LOSSY, **LOSSY_8_BIT}[name][0]
    pixels, images = smooth_pixels(bits), []
    for photometric, values in (("MONOCHROME2", pixels), ("MONOCHROME1", 2**bits - 1 - pixels)):
        native = write_native(
            tmp_path / "native.dcm", values.astype(pixels.dtype), bits, PhotometricInterpretation=photometric
        )
        encode(native, tmp_path / "coded.dcm")
        images.append(prepare(decode(tmp_path / "coded.dcm")))
    assert np.abs(images[0] - images[1]).mean() < 0.01
    assert np.corrcoef(images[0].ravel(), images[1].ravel())[0, 1] > 0.99


@pytest.mark.parametrize(
    "lossless", ["RLE, dcmtk", "JPEG lossless SV1, dcmtk", "JPEG-LS, dcmtk", "JPEG 2000, gdcm"]
)
def test_signed_values_keep_their_sign(tmp_path: Path, lossless: str) -> None:
    values = smooth_pixels(12).astype(int) - 2048
    cells = values.astype(np.int16).view(np.uint16)
    native = write_native(tmp_path / "native.dcm", cells, 16, PixelRepresentation=1)
    LOSSLESS[lossless](native, tmp_path / "coded.dcm")
    assert np.array_equal(decode(tmp_path / "coded.dcm").pixels, values)


@pytest.mark.parametrize("stored", [10, 12, 16])
def test_a_codestream_wider_or_narrower_than_bits_stored_keeps_its_values(
    tmp_path: Path, stored: int
) -> None:
    """Precision 12 in the codestream; the header says 10 (values fit), 12 or 16 bits stored."""
    pixels = smooth_pixels(10).astype(np.uint16)
    LOSSLESS["JPEG 2000, openjpeg"](write_native(tmp_path / "n.dcm", pixels, 12), tmp_path / "c.dcm")
    like = describe(pixels, stored)
    path = write_frame(tmp_path / "image.dcm", like, JPEG2000Lossless, frame_of(tmp_path / "c.dcm"))
    assert np.array_equal(decode(path).pixels, pixels)


def test_an_unsigned_codestream_under_a_signed_header_is_twos_complement_of_its_own_width(
    tmp_path: Path,
) -> None:
    values = smooth_pixels(12).astype(int) - 2048
    cells = (values & 0xFFF).astype(np.uint16)
    LOSSLESS["JPEG 2000, openjpeg"](write_native(tmp_path / "n.dcm", cells, 12), tmp_path / "c.dcm")
    like = describe(cells, 16)
    like.PixelRepresentation = 1
    path = write_frame(tmp_path / "image.dcm", like, JPEG2000Lossless, frame_of(tmp_path / "c.dcm"))
    assert np.array_equal(decode(path).pixels, values)


def test_a_signed_codestream_under_an_unsigned_header_gives_the_bits_it_was_given(tmp_path: Path) -> None:
    pixels = smooth_pixels(16)
    raw, coded = tmp_path / "image.raw", tmp_path / "image.j2k"
    raw.write_bytes(pixels.view(np.int16).astype(">i2").tobytes())
    run("opj_compress", "-i", raw, "-o", coded, "-F", "80,96,1,16,s")
    path = write_frame(tmp_path / "image.dcm", describe(pixels, 16), JPEG2000Lossless, coded.read_bytes())
    assert np.array_equal(decode(path).pixels, pixels)


def test_what_lossy_coding_overshoots_is_clipped_not_wrapped(tmp_path: Path) -> None:
    """16 bits coded of 12 stored: masking would turn white pixels black."""
    pixels = np.where(np.random.default_rng(1).random((96, 80)) < 0.5, 0, 4095).astype(np.uint16)
    native = write_native(tmp_path / "native.dcm", pixels, 16)
    by("gdcmconv", "-L", "-Y", "-e", "9")(native, tmp_path / "coded.dcm")
    coded = pydicom.dcmread(tmp_path / "coded.dcm")
    coded.BitsStored, coded.HighBit = 12, 11
    coded.save_as(tmp_path / "coded.dcm")
    assert np.abs(decode(tmp_path / "coded.dcm").pixels.astype(int) - pixels).max() <= 9


def test_fragments_of_a_frame_are_joined(tmp_path: Path) -> None:
    pixels = smooth_pixels(12)
    native = write_native(tmp_path / "native.dcm", pixels, 12)
    run("dcmcjpeg", "+e1", "+fs", "1", "-ot", native, tmp_path / "coded.dcm")
    d = pydicom.dcmread(tmp_path / "coded.dcm")
    assert len(list(pydicom.encaps.generate_fragments(d.PixelData))) > 3
    assert np.array_equal(decode(tmp_path / "coded.dcm").pixels, pixels)


def test_an_extended_offset_table_is_no_obstacle(tmp_path: Path) -> None:
    pixels = smooth_pixels(12)
    LOSSLESS["RLE, dcmtk"](write_native(tmp_path / "n.dcm", pixels, 12), tmp_path / "c.dcm")
    frame = frame_of(tmp_path / "c.dcm")
    tables = {
        "ExtendedOffsetTable": bytes(8),
        "ExtendedOffsetTableLengths": len(frame).to_bytes(8, "little"),
    }
    path = write_frame(tmp_path / "image.dcm", describe(pixels, 12), RLELossless, frame, **tables)
    assert np.array_equal(decode(path).pixels, pixels)
    tables = {name: value * 2 for name, value in tables.items()}
    path = write_frame(tmp_path / "image.dcm", describe(pixels, 12), RLELossless, frame, **tables)
    with pytest.raises(DecodingError) as caught:
        decode(path)
    assert caught.value.reason == "multiframe"


@pytest.mark.parametrize(
    ("wrong", "right", "reason"),
    [
        ("JPEG lossless SV1, dcmtk", JPEGExtended12Bit, None),  # mislabelled within JPEG: decoded
        ("JPEG 2000, gdcm", HTJ2KLossless, None),
        ("JPEG-LS, dcmtk", JPEGExtended12Bit, "decode_failed"),
        ("JPEG lossless SV1, dcmtk", JPEG2000, "decode_failed"),
        ("JPEG 2000, gdcm", RLELossless, "decode_failed"),
    ],
)
def test_a_wrong_label_is_overcome_within_a_family_and_named_beyond_it(
    tmp_path: Path, wrong: str, right: str, reason: str | None
) -> None:
    pixels = smooth_pixels(12)
    LOSSLESS[wrong](write_native(tmp_path / "n.dcm", pixels, 12), tmp_path / "c.dcm")
    path = write_frame(tmp_path / "image.dcm", describe(pixels, 12), right, frame_of(tmp_path / "c.dcm"))
    if reason is None:
        assert np.array_equal(decode(path).pixels, pixels)
        return
    with pytest.raises(DecodingError) as caught:
        decode(path)
    assert caught.value.reason == reason

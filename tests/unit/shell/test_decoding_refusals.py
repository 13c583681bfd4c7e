"""Every file that is broken, deceitful or none of ours has its reason before memory is spent on it."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.encaps import encapsulate
from pydicom.uid import (
    MPEG2MPML,
    DeflatedExplicitVRLittleEndian,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    RLELossless,
)

from tests.unit.shell.written_files import (
    LOSSLESS,
    RNG,
    compress,
    draw_pixels,
    encapsulated,
    refusal,
    write_file,
)


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


def test_float_pixels_are_refused_by_name(tmp_path: Path) -> None:
    d = pydicom.dcmread(write_file(tmp_path, draw_pixels(), BitsAllocated=32, PixelData=None))
    d.BitsAllocated = d.BitsStored = 16
    d.FloatPixelData = bytes(97 * 71 * 4)
    d.save_as(tmp_path / "float.dcm")
    assert refusal(tmp_path / "float.dcm") == "bit_depth"


def test_a_high_bit_that_the_values_contradict_is_named(tmp_path: Path) -> None:
    assert refusal(write_file(tmp_path, draw_pixels(), HighBit=15)) == "bit_depth"


def test_encapsulated_pixels_under_an_uncompressed_syntax_are_named(tmp_path: Path) -> None:
    path = write_file(tmp_path, draw_pixels(), syntax=RLELossless)
    content = path.read_bytes()
    path.write_bytes(content.replace(b"1.2.840.10008.1.2.5\0", b"1.2.840.10008.1.2.1\0"))
    assert refusal(path) == "transfer_syntax"


def test_plain_pixels_under_a_compressed_syntax_are_named(tmp_path: Path) -> None:
    path = write_file(tmp_path, draw_pixels())
    content = path.read_bytes()
    path.write_bytes(content.replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.5\0"))
    assert refusal(path) == "transfer_syntax"


@pytest.mark.parametrize("syntax", LOSSLESS)
def test_a_codestream_of_another_size_is_refused_before_it_is_decoded(tmp_path: Path, syntax: str) -> None:
    other = draw_pixels(12, (98, 172))
    frame = compress(other, syntax, 12)
    path = encapsulated(write_file(tmp_path, draw_pixels(12, (98, 72))), syntax, frame)
    assert refusal(path) in ("dimensions", "decode_failed")
    assert syntax == RLELossless or refusal(path) == "dimensions"


def test_an_rle_bomb_is_refused_before_anything_is_allocated(tmp_path: Path) -> None:
    path = write_file(tmp_path, draw_pixels())
    frame = struct.pack("<16I", 2, 64, 600, *[0] * 13) + bytes(1100)
    assert refusal(encapsulated(path, RLELossless, frame, Rows=11000, Columns=11000)) == "dimensions"


def test_a_colour_jpeg_under_a_gray_header_is_named(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.fromarray(RNG.integers(0, 256, (97, 71, 3), np.uint8)).save(buffer, "JPEG")
    path = encapsulated(write_file(tmp_path, draw_pixels(8), bits=8), JPEGBaseline8Bit, buffer.getvalue())
    assert refusal(path) == "not_grayscale"


@pytest.mark.parametrize("has_bot", [True, False])
def test_a_second_frame_that_the_header_conceals_is_named(tmp_path: Path, has_bot: bool) -> None:
    frame = compress(draw_pixels(), JPEGLSLossless, 12)
    path = encapsulated(write_file(tmp_path, draw_pixels()), JPEGLSLossless, frame, frame, has_bot=has_bot)
    assert refusal(path) == "multiframe"


def test_pixels_for_more_than_one_image_are_named(tmp_path: Path) -> None:
    assert refusal(write_file(tmp_path, draw_pixels(16, (140, 71)), bits=16, Rows=70)) == "pixel_length"


def test_a_deflated_file_cut_short_is_truncated(tmp_path: Path) -> None:
    path = write_file(tmp_path, draw_pixels(), syntax=DeflatedExplicitVRLittleEndian)
    path.write_bytes(path.read_bytes()[:-500])
    assert refusal(path) == "truncated"


@pytest.mark.parametrize("syntax", LOSSLESS)
def test_a_file_cut_short_within_its_frame_is_truncated(tmp_path: Path, syntax: str) -> None:
    path = write_file(tmp_path, draw_pixels(12, (98, 72)), syntax=syntax)
    path.write_bytes(path.read_bytes()[:-500])
    assert refusal(path) == "truncated"


@pytest.mark.parametrize("syntax", [s for s in LOSSLESS if s != RLELossless])
def test_a_frame_cut_short_within_a_whole_file_is_truncated(tmp_path: Path, syntax: str) -> None:
    """A PACS that stored half a codestream; some decoders would fill the rest with grey."""
    pixels = draw_pixels(12, (98, 72))
    frame = compress(pixels, syntax, 12)
    path = encapsulated(write_file(tmp_path, pixels), syntax, frame[: len(frame) * 3 // 4])
    assert refusal(path) == "truncated"


def test_sequences_nested_too_deep_are_named(tmp_path: Path) -> None:
    path = write_file(tmp_path, draw_pixels())
    content = path.read_bytes()
    deep = struct.pack("<HH2sHI", 0x0008, 0x1140, b"SQ", 0, 0xFFFFFFFF) + b"\xfe\xff\x00\xe0\xff\xff\xff\xff"
    at = content.index(struct.pack("<HH", 0x0028, 0x0002))
    path.write_bytes(content[:at] + deep * 5000 + content[at:])
    assert refusal(path) == "nesting"


def test_an_element_that_claims_4_gb_costs_no_memory(tmp_path: Path) -> None:
    path = write_file(tmp_path, draw_pixels())
    content = path.read_bytes()
    at = content.index(struct.pack("<HH", 0x0028, 0x0002))
    path.write_bytes(
        content[:at] + struct.pack("<HH2sHI", 0x0019, 0x1001, b"OB", 0, 0xFFFFFFF0) + content[at:]
    )
    tracemalloc.start()
    assert refusal(path) in ("truncated", "malformed")
    assert tracemalloc.get_traced_memory()[1] < 1 << 27
    tracemalloc.stop()


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

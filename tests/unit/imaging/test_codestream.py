"""A codestream's own header is read without trusting it."""

from __future__ import annotations

import struct
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from jpeg_ls import encode_pixel_data as encode_jpeg_ls
from openjpeg.utils import encode_pixel_data as encode_jpeg_2000

from spinescore.core.imaging.codestream import (
    Codestream,
    check_rle_header,
    find_jpeg_2000,
    read_jpeg_2000_header,
    read_jpeg_header,
)
from spinescore.errors import DecodingError

PIXELS = np.random.default_rng(2).integers(0, 4096, (70, 90)).astype("<u2")
DESCRIBED = {
    "rows": 70,
    "columns": 90,
    "samples_per_pixel": 1,
    "bits_allocated": 16,
    "bits_stored": 12,
    "pixel_representation": 0,
    "photometric_interpretation": "MONOCHROME2",
}
JPEG_LS = bytes(encode_jpeg_ls(PIXELS.tobytes(), **DESCRIBED))
JPEG_2000 = bytes(encode_jpeg_2000(PIXELS.tobytes(), **DESCRIBED))
READERS = [(read_jpeg_header, JPEG_LS), (read_jpeg_2000_header, JPEG_2000)]


def frame_header(
    marker: int, precision: int = 8, rows: int = 70, columns: int = 90, components: int = 1
) -> bytes:
    content = struct.pack(">BHHB", precision, rows, columns, components) + b"\x01\x11\x00" * components
    return b"\xff" + bytes([marker]) + struct.pack(">H", len(content) + 2) + content


def jpeg(*segments: bytes) -> bytes:
    return b"\xff\xd8" + b"".join(segments) + b"\xff\xda\x00\x02" + b"\x00" * 8 + b"\xff\xd9"


def reason_of(read: Callable[[], object]) -> str:
    with pytest.raises(DecodingError) as caught:
        read()
    return caught.value.reason


def test_size_precision_and_process_are_read() -> None:
    assert read_jpeg_header(JPEG_LS) == Codestream(70, 90, 1, 12, False, "jpeg_ls")
    assert read_jpeg_2000_header(JPEG_2000) == Codestream(70, 90, 1, 12, False, "jpeg_2000")
    assert read_jpeg_header(jpeg(frame_header(0xC1, 12))) == Codestream(70, 90, 1, 12, False, "extended")


def test_fill_bytes_and_other_segments_before_the_frame_header_are_passed_over() -> None:
    comment = b"\xff\xfe\x00\x04ab"
    assert read_jpeg_header(jpeg(b"\xff" * 3 + comment, frame_header(0xC3))).process == "lossless"


@pytest.mark.parametrize("marker", [0xC5, 0xC9, 0xCF])
def test_processes_without_a_decoder_are_named(marker: int) -> None:
    assert reason_of(lambda: read_jpeg_header(jpeg(frame_header(marker)))) == "decode_failed"


def test_a_jpeg_without_an_end_is_truncated() -> None:
    assert reason_of(lambda: read_jpeg_header(jpeg(frame_header(0xC0))[:-2])) == "truncated"


@pytest.mark.parametrize(("read", "whole"), READERS)
def test_a_codestream_cut_anywhere_is_named(read: Callable[[bytes], Codestream], whole: bytes) -> None:
    cuts = [
        reason_of(lambda end=end: read(whole[:end])) for end in range(0, len(whole.rstrip(b"\0")) - 2, 97)
    ]
    assert set(cuts) <= {"truncated", "decode_failed"}
    assert cuts.count("truncated") >= len(cuts) - 1


def outcome(read: Callable[[], object]) -> str:
    try:
        read()
    except DecodingError as error:
        return error.reason
    return "read"


@given(
    data=st.binary(max_size=300), start=st.sampled_from([b"", b"\xff\xd8\xff", b"\xff\x4f\xff\x51\x00\x29"])
)
@example(data=b"", start=b"")
def test_any_bytes_are_read_or_refused(data: bytes, start: bytes) -> None:
    for read in (read_jpeg_header, read_jpeg_2000_header, find_jpeg_2000):
        assert outcome(lambda read=read: read(start + data)) in ("read", "truncated", "decode_failed")


@given(data=st.binary(max_size=200), bits=st.sampled_from([8, 16]))
def test_any_rle_header_is_passed_or_refused(data: bytes, bits: int) -> None:
    found = outcome(lambda: check_rle_header(data, n_pixels=5000, bits_allocated=bits))
    assert found in ("read", "truncated", "decode_failed", "dimensions", "not_grayscale")
    assert found == "truncated" or len(data) >= 64


def test_jp2_boxes_are_taken_off_and_other_prefixes_are_not() -> None:
    boxed = b"\x00\x00\x00\x0cjP  \r\n\x87\n" + b"\x00" * 20 + JPEG_2000
    assert find_jpeg_2000(boxed) == JPEG_2000
    assert reason_of(lambda: find_jpeg_2000(b"rubbish!" + JPEG_2000)) == "decode_failed"

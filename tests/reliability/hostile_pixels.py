"""Hostile Image Pixel modules and codestreams (PS3.3 C.7.6.3, PS3.5 8 and A.4)."""

from __future__ import annotations

import io
import struct
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import jpeg_ls
import numpy as np
import openjpeg.utils
import rle.utils
from PIL import Image

from tests.reliability.dicom_bytes import (
    COLUMNS,
    EXPLICIT,
    HTJ2K,
    IMPLICIT,
    ITEM_END,
    JPEG_12_BIT,
    JPEG_2000,
    JPEG_BASELINE,
    JPEG_LOSSLESS,
    JPEG_LS,
    LITTLE,
    OPEN_ITEM,
    PIXEL_DATA,
    RLE,
    ROWS,
    SEQUENCE_END,
    UNDEFINED,
    Value,
    fragments,
    image,
    native_pixels,
    picture,
    tag_of,
)
from tests.reliability.hostile_case import INDEXED, Case, Outcome, excluded, rejected
from tests.unit.shell.encoded_files import LOSSLESS, LOSSY, frame_of, write_native

Row = tuple[str, Outcome, bytes]
BITS_8: dict[str, Value] = {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7}
BITS_16: dict[str, Value] = {"BitsAllocated": 16, "BitsStored": 12, "HighBit": 11}
N_PIXELS = ROWS * COLUMNS


def cases() -> Iterator[Case]:
    """Yield them all."""
    for build in (_sizes, _formats, _native, _values, _framing, _damaged_streams, _lying_streams):
        for name, outcome, content in build():
            yield Case(f"pixels/{name}.dcm".encode(), outcome, content)


def _module(name: str, outcome: Outcome, pixels: bytes | None = None, **values: Value) -> Row:
    return name, outcome, image(name, pixels=pixels, **values)


def _sizes() -> Iterator[Row]:
    yield _module("rows-0", rejected("too_small"), Rows=0)
    yield _module("rows-1", rejected("too_small"), Rows=1)
    yield _module("rows-63", rejected("too_small"), Rows=63)
    yield _module("rows-65535", rejected("dimensions"), Rows=65_535)
    yield _module("square-of-65535", rejected("dimensions"), Rows=65_535, Columns=65_535)
    yield _module("square-of-30000", rejected("dimensions"), Rows=30_000, Columns=30_000)
    yield _module("square-of-11000", rejected("pixel_length"), Rows=11_000, Columns=11_000)
    yield _module("columns-0", rejected("too_small"), Columns=0)
    yield _module("aspect-ratio", rejected("aspect_ratio"), Rows=4096, Columns=80)
    yield _module("rows-one-more", rejected("pixel_length"), Rows=ROWS + 1)
    yield _module("rows-one-less", INDEXED, Rows=ROWS - 1)


def _formats() -> Iterator[Row]:
    for allocated, stored, high, outcome in (
        (8, 8, 7, INDEXED),
        (8, 12, 11, rejected("bit_depth")),
        (16, 0, 15, rejected("bit_depth")),
        (16, 17, 16, rejected("bit_depth")),
        (16, 1, 0, rejected("bit_depth")),
        (16, 12, 15, rejected("bit_depth")),
        (16, 12, 3, rejected("bit_depth")),
        (16, 12, 65_535, rejected("bit_depth")),
        (32, 32, 31, rejected("bit_depth")),
        (64, 64, 63, rejected("bit_depth")),
        (1, 1, 0, rejected("bit_depth")),
        (12, 12, 11, rejected("bit_depth")),
        (0, 0, 0, rejected("bit_depth")),
        (24, 24, 23, rejected("bit_depth")),
    ):
        name = f"bits-{allocated}-{stored}-{high}"
        pixels = native_pixels(bits=8) if allocated == 8 else None
        yield _module(name, outcome, pixels, BitsAllocated=allocated, BitsStored=stored, HighBit=high)
    yield _module("samples-3", excluded("not_grayscale"), SamplesPerPixel=3)
    yield _module("samples-3-planar", excluded("not_grayscale"), SamplesPerPixel=3, PlanarConfiguration=1)
    yield _module("samples-0", INDEXED, SamplesPerPixel=0)
    yield _module("samples-65535", excluded("not_grayscale"), SamplesPerPixel=65_535)
    yield _module("samples-none", INDEXED, SamplesPerPixel=None)
    for name, outcome in (
        ("RGB", rejected("photometric")),
        ("YBR_FULL", rejected("photometric")),
        ("PALETTE COLOR", rejected("photometric")),
        ("MONOCHROME3", rejected("photometric")),
        ("monochrome2", rejected("photometric")),
        ("", rejected("photometric")),
        ("MONOCHROME1\\MONOCHROME2", rejected("photometric")),
    ):
        shown = (
            name.lower().replace(" ", "-").replace("\\", "-") if name != "monochrome2" else "small-letters"
        )
        yield _module(f"photometric-{shown}", outcome, PhotometricInterpretation=name)
    yield _module("photometric-1", INDEXED, PhotometricInterpretation="MONOCHROME1")
    yield _module("signed", INDEXED, PixelRepresentation=1)
    yield _module("signed-2", INDEXED, PixelRepresentation=2)
    overlay = {0x60000010: LITTLE.element(0x60000010, "US", b"\xff\xff"),
               0x60000011: LITTLE.element(0x60000011, "US", b"\xff\xff"),
               0x60003000: LITTLE.element(0x60003000, "OW", b"\xa5" * 10)}  # fmt: skip
    yield "overlay-of-65535", INDEXED, image("overlay-of-65535", raw=overlay)


def _native() -> Iterator[Row]:
    content = picture().tobytes()

    def stored(value: bytes, length: int | None = None, vr: str = "OW", tag: int = PIXEL_DATA) -> bytes:
        return LITTLE.element(tag, vr, value, length)

    yield _module("pixels-none", rejected("no_pixel_data"), b"")
    yield _module("pixels-of-no-bytes", rejected("pixel_length"), stored(b""))
    yield _module("pixels-short", rejected("pixel_length"), stored(content[:-2]))
    yield _module("pixels-cut", rejected("truncated"), stored(content[:-2], len(content)))
    yield _module("pixels-odd", INDEXED, stored(content + b"\0"))
    yield _module("pixels-padded", INDEXED, stored(content + bytes(100)))
    yield _module("pixels-double", rejected("pixel_length"), stored(content * 2))
    yield _module("pixels-4GB", rejected("truncated"), stored(content, 0xFFFFFFF0))
    yield _module("pixels-undefined", rejected("malformed"), stored(content, UNDEFINED))
    yield _module("pixels-in-items", rejected("malformed"), fragments(content))
    yield _module("pixels-of-vr-OB", INDEXED, stored(content, vr="OB"))
    yield _module("pixels-of-vr-UN", INDEXED, stored(content, vr="UN"))
    yield _module("pixels-of-vr-UT", rejected("malformed"), stored(content, vr="UT"))
    yield _module("pixels-of-vr-SQ", rejected("pixel_length"), stored(OPEN_ITEM + ITEM_END, vr="SQ"))
    short = struct.pack("<HH2sH", 0x7FE0, 0x0010, b"LO", 60_000) + content
    yield _module("pixels-of-vr-LO", rejected("truncated"), short)
    yield _module("pixels-float", rejected("bit_depth"), stored(content * 2, vr="OF", tag=0x7FE00008))
    yield _module("pixels-double-float", rejected("bit_depth"), stored(content * 4, vr="OD", tag=0x7FE00009))
    floats = stored(content * 2, vr="OF", tag=0x7FE00008)
    yield _module("pixels-float-and-whole", rejected("bit_depth"), floats + stored(content))
    address = LITTLE.element(0x00287FE0, "UR", b"http://127.0.0.1/pixels ")
    yield (
        "pixels-elsewhere",
        rejected("no_pixel_data"),
        image("pixels-elsewhere", raw={0x00287FE0: address}, pixels=b""),
    )
    yield "pixels-implicit-cut", rejected("truncated"), image("pixels-implicit-cut", IMPLICIT)[:-1000]


def _values() -> Iterator[Row]:
    """Pixels, rescale, padding and windows that make no image."""
    flat = LITTLE.element(PIXEL_DATA, "OW", bytes(2 * N_PIXELS))
    full = LITTLE.element(PIXEL_DATA, "OW", b"\xff" * (2 * N_PIXELS))
    yield _module("constant", rejected("constant_image"), flat)
    yield _module("constant-beyond-bits", rejected("constant_image"), full)
    above = LITTLE.element(PIXEL_DATA, "OW", (picture() & 1 << 12).tobytes() + b"\0\xf0" * 0)
    yield _module("only-bits-above-stored", rejected("constant_image"), above)
    for name, slope, outcome in (
        ("0", "0", rejected("non_finite_pixels")),
        ("nan", "nan", rejected("non_finite_pixels")),
        ("inf", "1e999", rejected("non_finite_pixels")),
        ("huge", "1e308", rejected("non_finite_pixels")),
        ("tiny", "1e-308", rejected("constant_image")),
        ("negative", "-1", INDEXED),
        ("text", "steep", rejected("malformed")),
        ("empty", "", INDEXED),
        ("two", "1\\2", rejected("malformed")),
    ):
        yield _module(f"rescale-{name}", outcome, RescaleSlope=slope, RescaleIntercept="0")
    for name, intercept, outcome in (
        ("far", "1e20", "constant_image"),
        ("overflow", "1e308", "non_finite_pixels"),
    ):
        yield _module(f"rescale-{name}", rejected(outcome), RescaleSlope="1.5", RescaleIntercept=intercept)
    yield _module("window-nan", INDEXED, WindowCenter="nan", WindowWidth="-1e999")
    yield _module("window-0", INDEXED, WindowCenter="0", WindowWidth="0")
    yield _module("padding-all", INDEXED, PixelPaddingValue=0, PixelPaddingRangeLimit=4095)
    yield _module("padding-text", INDEXED, PixelPaddingValue=b"none")
    table = tag_of("ModalityLUTSequence")
    for name, describe in (("of-nothing", b""), ("of-65536", struct.pack("<3H", 0, 0, 16))):
        item = LITTLE.element(0x00283002, "US", describe) + LITTLE.element(0x00283006, "OW", b"\1\0")
        sequence = LITTLE.element(table, "SQ", OPEN_ITEM + item + ITEM_END + SEQUENCE_END, UNDEFINED)
        yield (
            f"modality-lut-{name}",
            rejected("malformed"),
            image(f"modality-lut-{name}", raw={table: sequence}),
        )


@cache
def streams() -> dict[str, tuple[str, bytes, dict[str, Value]]]:
    """Return a sound codestream of each coding: transfer syntax, bytes, Image Pixel values."""
    like = {"photometric_interpretation": "MONOCHROME2", "samples_per_pixel": 1, "pixel_representation": 0}
    size = {"rows": ROWS, "columns": COLUMNS, "bits_allocated": 16, "bits_stored": 12}
    stored, buffer = picture().tobytes(), io.BytesIO()
    Image.fromarray(picture(8)).save(buffer, "JPEG", quality=90)
    with tempfile.TemporaryDirectory() as folder:
        native, coded = Path(folder, "native.dcm"), Path(folder, "coded.dcm")

        def by(encode: object) -> bytes:
            encode(native, coded)  # type: ignore[operator]
            return frame_of(coded)

        write_native(native, picture(), 12)
        lossless, extended = by(LOSSLESS["JPEG lossless SV1, dcmtk"]), by(LOSSY["JPEG extended, dcmtk"][0])
        high_throughput = by(LOSSLESS["HTJ2K lossless, openjph"])
    return {
        "rle": (RLE, bytes(rle.utils.encode_pixel_data(stored, **like, **size, byteorder="<")), BITS_16),
        "jpeg": (JPEG_BASELINE, buffer.getvalue(), BITS_8),
        "jpeg-12": (JPEG_12_BIT, extended, BITS_16),
        "jpeg-lossless": (JPEG_LOSSLESS, lossless, BITS_16),
        "jpeg-ls": (JPEG_LS, bytes(jpeg_ls.encode_pixel_data(stored, **like, **size)), BITS_16),
        "jpeg-2000": (JPEG_2000, bytes(openjpeg.utils.encode_pixel_data(stored, **like, **size)), BITS_16),
        "htj2k": (HTJ2K, high_throughput, BITS_16),
    }


def _coded(name: str, outcome: Outcome, stream: str, pixels: bytes, syntax: str = "", **values: Value) -> Row:
    own_syntax, _, bits = streams()[stream]
    return name, outcome, image(name, syntax or own_syntax, pixels=pixels, **{**bits, **values})


def _framing() -> Iterator[Row]:
    """Fragments and offset tables that are wrong around a sound codestream."""
    frame = streams()["jpeg-ls"][1]
    half = len(frame) // 2 & ~1

    def framed(name: str, outcome: Outcome, pixels: bytes, **values: Value) -> Row:
        return _coded(f"fragments-{name}", outcome, "jpeg-ls", pixels, **values)

    whole = fragments(frame)
    yield framed("one", INDEXED, whole)
    yield framed("two", INDEXED, fragments(frame[:half], frame[half:]))
    yield framed("empty-ones-between", INDEXED, fragments(b"", frame[:half], b"", frame[half:], b""))
    yield framed("one-byte-each", INDEXED, fragments(*(frame[i : i + 2] for i in range(0, len(frame), 2))))
    yield framed("none", rejected("no_pixel_data"), fragments())
    yield framed("all-empty", rejected("no_pixel_data"), fragments(b"", b"", b""))
    yield framed("without-end", rejected("truncated"), whole[: -len(SEQUENCE_END)])
    yield framed("end-cut", rejected("truncated"), whole[:-5])
    yield framed("beyond-end-of-file", rejected("truncated"), whole[:-2000])
    yield framed(
        "defined-length", rejected("malformed"), whole[:8] + struct.pack("<I", len(whole) - 12) + whole[12:]
    )
    yield framed("without-offset-table", rejected("no_pixel_data"), whole[:12] + whole[20:])
    yield framed("bare", rejected("malformed"), LITTLE.element(PIXEL_DATA, "OB", frame, UNDEFINED))
    yield framed("native", rejected("malformed"), native_pixels())
    yield framed("item-4GB", rejected("truncated"), whole[:24] + struct.pack("<I", 0xFFFFFFF0) + whole[28:])
    yield framed(
        "item-undefined", rejected("malformed"), whole[:24] + struct.pack("<I", UNDEFINED) + whole[28:]
    )
    yield framed("item-odd", rejected("malformed"), whole[:24] + struct.pack("<I", 5) + whole[28:])
    yield framed(
        "offsets-huge",
        rejected("truncated"),
        fragments(frame, offsets=b"")[:12] + b"\xfe\xff\0\xe0\xfc\xff\xff\xff" + whole[20:],
    )
    yield framed("offsets-many", excluded("multiframe"), fragments(frame, offsets=bytes(400_000)))
    yield framed("offsets-beyond", INDEXED, fragments(frame, offsets=struct.pack("<I", 0xFFFFFFFE)))
    yield framed("offsets-of-three-bytes", rejected("malformed"), fragments(frame, offsets=b"\0\0\0"))
    yield framed("two-frames", excluded("multiframe"), fragments(frame, frame))
    yield framed("garbage-behind", INDEXED, whole + b"\xa5" * 100)
    many = fragments(*([b"\0\0"] * 120_000))
    yield framed("120000", rejected("malformed"), many)


def _damaged_streams() -> Iterator[Row]:
    """Each coding, cut or overwritten behind an intact header."""
    for stream, (_, frame, _) in streams().items():
        yield _coded(f"{stream}-sound", INDEXED, stream, fragments(frame))
        for name, kept in (("header", 20), ("half", len(frame) // 2)):
            outcome = rejected("truncated") if stream != "rle" or kept == 20 else rejected("decode_failed")
            yield _coded(f"{stream}-cut-in-{name}", outcome, stream, fragments(frame[:kept]))
        garbage = np.random.default_rng(1).integers(0, 256, len(frame), np.uint8).tobytes()
        outcome = rejected("decode_failed")
        yield _coded(f"{stream}-garbage", outcome, stream, fragments(garbage))
        yield _coded(f"{stream}-zeros", outcome, stream, fragments(bytes(len(frame))))
        outcome = rejected("decode_failed" if stream in ("jpeg-2000", "htj2k") else "truncated")
        yield _coded(f"{stream}-of-two-bytes", outcome, stream, fragments(frame[:2]))
        outcome = rejected("decode_failed" if stream == "rle" else "dimensions")  # RLE does not say
        yield _coded(f"{stream}-wrong-size", outcome, stream, fragments(frame), Rows=ROWS + 16)


def _lying_streams() -> Iterator[Row]:
    """Codestreams that claim other sizes or codings than they have."""
    known = streams()
    rle_of_nothing = struct.pack("<16I", 1, 64, *[0] * 14) + b"\x81\0" * 580
    yield _coded("rle-of-65535-square", rejected("dimensions"), "rle", fragments(rle_of_nothing), **BITS_8,
                 Rows=65_535, Columns=65_535)  # fmt: skip
    yield _coded("rle-of-11000-square", rejected("dimensions"), "rle", fragments(rle_of_nothing), **BITS_8,
                 Rows=11_000, Columns=11_000)  # fmt: skip
    frame = known["rle"][1]
    for name, count, offset in (
        ("segments-0", 0, 64),
        ("segments-16", 16, 64),
        ("segment-beyond", 2, 1 << 31),
    ):
        stream = struct.pack("<II", count, offset) + frame[8:]
        yield _coded(f"rle-{name}", rejected("decode_failed"), "rle", fragments(stream))
    jpeg = known["jpeg"][1]
    at = jpeg.index(b"\xff\xc0")
    for name, rows, columns, outcome in (
        ("65500-square", 65_500, 65_500, rejected("dimensions")),
        ("0-rows", 0, COLUMNS, rejected("dimensions")),
    ):
        stream = jpeg[: at + 5] + struct.pack(">HH", rows, columns) + jpeg[at + 9 :]
        yield _coded(f"jpeg-of-{name}", outcome, "jpeg", fragments(stream))
    colour = io.BytesIO()
    Image.fromarray(np.dstack([picture(8)] * 3)).save(colour, "JPEG")
    yield _coded("jpeg-of-three-components", excluded("not_grayscale"), "jpeg", fragments(colour.getvalue()))
    progressive = io.BytesIO()
    Image.fromarray(picture(8)).save(progressive, "JPEG", progressive=True)
    yield _coded("jpeg-progressive", INDEXED, "jpeg", fragments(progressive.getvalue()))
    yield _coded(
        "jpeg-arithmetic",
        rejected("decode_failed"),
        "jpeg",
        fragments(jpeg.replace(b"\xff\xc0", b"\xff\xc9", 1)),
    )
    yield _coded(
        "jpeg-exif-of-64-KB",
        INDEXED,
        "jpeg",
        fragments(jpeg[:2] + b"\xff\xe1\xff\xff" + bytes(65_533) + jpeg[2:]),
    )
    j2k = known["jpeg-2000"][1]
    for name, place, value, outcome in (
        ("4G-square", 8, struct.pack(">II", 0xFFFFFFFF, 0xFFFFFFFF), rejected("decode_failed")),
        ("negative", 8, struct.pack(">IIII", 10, 10, 20, 20), rejected("decode_failed")),
        ("tile-of-1", 24, struct.pack(">II", 1, 1), rejected("decode_failed")),
        ("tile-of-0", 24, struct.pack(">II", 0, 0), rejected("decode_failed")),
        ("16384-components", 40, struct.pack(">H", 16_384), rejected("decode_failed")),
        ("38-bits", 42, b"\x25", rejected("bit_depth")),
        ("subsampled", 43, b"\xff\xff", rejected("decode_failed")),
    ):
        stream = j2k[:place] + value + j2k[place + len(value) :]
        yield _coded(f"jpeg-2000-{name}", outcome, "jpeg-2000", fragments(stream))
    boxes = struct.pack(">I4s4sI4s4s", 12, b"jP  ", b"\r\n\x87\n", 0xFFFFFFFF, b"ftyp", b"jp2 ")
    yield _coded("jpeg-2000-in-boxes", INDEXED, "jpeg-2000", fragments(boxes + j2k))
    for stream, named in (
        ("jpeg-ls", JPEG_2000),
        ("jpeg-2000", JPEG_LS),
        ("jpeg", RLE),
        ("rle", JPEG_BASELINE),
        ("jpeg-ls", JPEG_BASELINE),
    ):
        name = f"{stream}-named-{named.rpartition('.')[2]}"
        yield _coded(name, rejected("decode_failed"), stream, fragments(known[stream][1]), named)
    yield _coded(
        "jpeg-lossless-named-baseline",
        INDEXED,
        "jpeg-lossless",
        fragments(known["jpeg-lossless"][1]),
        JPEG_BASELINE,
    )
    yield _coded(
        "jpeg-ls-named-native", rejected("malformed"), "jpeg-ls", fragments(known["jpeg-ls"][1]), EXPLICIT
    )
    for name, syntax in (("mpeg-2", "1.2.840.10008.1.2.4.100"), ("h265", "1.2.840.10008.1.2.4.107"), ("jpip", "1.2.840.10008.1.2.4.94"),
                         ("jpeg-xl", "1.2.840.10008.1.2.4.110"), ("jpeg-retired", "1.2.840.10008.1.2.4.52")):  # fmt: skip
        yield _coded(
            f"syntax-{name}", rejected("transfer_syntax"), "jpeg-ls", fragments(known["jpeg-ls"][1]), syntax
        )

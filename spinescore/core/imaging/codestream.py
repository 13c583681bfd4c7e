"""A compressed frame -> what its own header says of it, read before any decoder allocates for it.

JPEG and JPEG-LS frames name their size in a frame header (ITU-T T.81 B.2.2, T.87 C.2.2),
JPEG 2000 frames in the SIZ segment (T.800 A.5.1), RLE frames in 16 numbers (DICOM PS3.5 G.5).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from spinescore.errors import DecodingError

Process = Literal["baseline", "extended", "progressive", "lossless", "jpeg_ls", "jpeg_2000"]

PROCESS_OF_MARKER: dict[int, Process] = {
    0xC0: "baseline",
    0xC1: "extended",
    0xC2: "progressive",
    0xC3: "lossless",
    0xF7: "jpeg_ls",
}
OTHER_FRAME_MARKERS = frozenset({0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF})
STANDALONE_MARKERS = frozenset({0x01, *range(0xD0, 0xD8)})
START_OF_SCAN, END_OF_IMAGE = 0xDA, b"\xff\xd9"
JPEG_2000_START = b"\xff\x4f\xff\x51"
START_OF_TILE_PART, START_OF_DATA, LAST_OF_J2K = 0xFF90, 0xFF93, 0xFFD9
RLE_HEADER_BYTES = 64
RLE_MOST_BYTES_PER_BYTE = 64  # PackBits: two bytes become at most 128


@dataclass(frozen=True, slots=True)
class Codestream:
    """What a codestream says of its one image.

    Parameters
    ----------
    rows, columns : int
        Pixels.
    components : int
        Samples per pixel.
    precision_bits : int
        Bits of one sample.
    signed : bool
        Whether samples are two's complement (JPEG 2000 alone can say so).
    process : str
        The way of coding, whatever the transfer syntax claims.
    """

    rows: int
    columns: int
    components: int
    precision_bits: int
    signed: bool
    process: Process


def read_jpeg_header(frame: bytes) -> Codestream:
    """Read the frame header of a JPEG or JPEG-LS codestream and see that the codestream has an end.

    Raises
    ------
    DecodingError
        ``truncated`` if it stops short, ``decode_failed`` if it is no JPEG or of a process no
        decoder here knows (arithmetic coding, hierarchical).
    """
    found: Codestream | None = None
    for marker, content, after in _jpeg_segments(frame):
        if marker in OTHER_FRAME_MARKERS:
            raise DecodingError(
                "decode_failed", f"a JPEG process no decoder here knows (marker FF{marker:02X})"
            )
        if marker in PROCESS_OF_MARKER:
            if len(content) < 6:
                raise DecodingError("decode_failed", "a JPEG frame header that is too short")
            precision, rows, columns, components = struct.unpack(">BHHB", content[:6])
            found = Codestream(rows, columns, components, precision, False, PROCESS_OF_MARKER[marker])
        if marker == START_OF_SCAN:
            if found is None:
                raise DecodingError("decode_failed", "a JPEG scan without a frame header")
            if frame.find(END_OF_IMAGE, after) < 0:  # cannot occur within coded data: FF is stuffed
                raise DecodingError("truncated", "the JPEG codestream has no end marker")
            return found
    raise DecodingError("truncated", "the JPEG codestream ends before its first scan")


def _jpeg_segments(frame: bytes) -> Iterator[tuple[int, bytes, int]]:
    """Yield marker, content and the position after it, of each segment up to the first scan."""
    if frame[:2] != b"\xff\xd8":
        raise DecodingError("decode_failed", "no JPEG codestream: it does not start with FFD8")
    position = 2
    while position + 4 <= len(frame):
        if frame[position] != 0xFF:
            raise DecodingError("decode_failed", f"no JPEG marker at byte {position}")
        marker = frame[position + 1]
        if marker == 0xFF:  # fill bytes may precede any marker
            position += 1
            continue
        position += 2
        if marker in STANDALONE_MARKERS:
            continue
        length = int.from_bytes(frame[position : position + 2], "big")
        if length < 2:
            raise DecodingError("decode_failed", f"a JPEG segment FF{marker:02X} of {length} bytes")
        yield marker, frame[position + 2 : position + length], position + length
        position += length


def find_jpeg_2000(frame: bytes) -> bytes:
    """Return the JPEG 2000 codestream, without the JP2 boxes some writers leave around it.

    Raises
    ------
    DecodingError
        ``decode_failed`` if there is none.
    """
    start = frame.find(JPEG_2000_START)
    boxed = frame[4:8] == b"jP  "
    if start < 0 or (start > 0 and not boxed):
        raise DecodingError("decode_failed", "no JPEG 2000 codestream: it does not start with FF4FFF51")
    return frame[start:]


def read_jpeg_2000_header(codestream: bytes) -> Codestream:
    """Read the SIZ segment and see that every tile is there, and every tile-part all of it.

    Decoders leave a tile that is not there black and say nothing.

    Raises
    ------
    DecodingError
        ``truncated`` if a tile-part says it is longer than what is left, ``decode_failed`` if the
        segment makes no sense or tiles are missing.
    """
    if len(codestream) < 45:
        raise DecodingError("truncated", "the JPEG 2000 codestream ends within its first segment")
    length, _, right, bottom, left, top = struct.unpack(">HHIIII", codestream[4:24])
    (components,) = struct.unpack(">H", codestream[40:42])
    if length != 38 + 3 * components or right <= left or bottom <= top:
        raise DecodingError("decode_failed", "the JPEG 2000 image size segment makes no sense")
    depth, step_x, step_y = codestream[42], codestream[43], codestream[44]
    if (step_x, step_y) != (1, 1):
        raise DecodingError("decode_failed", "a JPEG 2000 component is subsampled")
    tiles = _check_tile_parts(codestream, 4 + length)
    tile_width, tile_height, tiles_left, tiles_top = struct.unpack(">4I", codestream[24:40])
    if min(tile_width, tile_height) == 0 or tiles_left >= right or tiles_top >= bottom:
        raise DecodingError("decode_failed", "the JPEG 2000 tiles make no sense")
    n_tiles = -((tiles_left - right) // tile_width) * -((tiles_top - bottom) // tile_height)
    if len(tiles) != n_tiles or max(tiles) >= n_tiles:
        raise DecodingError("decode_failed", f"{len(tiles)} of {n_tiles} JPEG 2000 tiles are there")
    return Codestream(
        bottom - top, right - left, components, (depth & 0x7F) + 1, bool(depth & 0x80), "jpeg_2000"
    )


def _check_tile_parts(codestream: bytes, position: int) -> set[int]:
    """Walk the main header's segments and the tile-parts (T.800 A.4.2); return the tiles they are of.

    None may reach past the end.
    """
    tiles: set[int] = set()
    while position + 4 <= len(codestream):
        marker, length = struct.unpack(">HH", codestream[position : position + 4])
        if marker == LAST_OF_J2K:
            break
        if marker == START_OF_TILE_PART:
            tile, part_bytes = struct.unpack(">HI", codestream[position + 4 : position + 10].ljust(6, b"\0"))
            tiles.add(tile)
            if part_bytes == 0:  # up to the end of the codestream
                if codestream.find(END_OF_IMAGE, position) < 0:
                    raise DecodingError("truncated", "the JPEG 2000 codestream has no end marker")
                break
            if position + part_bytes > len(codestream):
                raise DecodingError("truncated", "a JPEG 2000 tile-part reaches past the end of the data")
            length = max(part_bytes - 2, 12)
        elif marker < 0xFF00:
            break  # padding after the last tile-part, or damage: the decoder says which
        position += 2 + max(length, 2)
    if position > len(codestream):
        raise DecodingError("truncated", "the JPEG 2000 codestream ends within its header")
    return tiles


def check_rle_header(frame: bytes, *, n_pixels: int, bits_allocated: int) -> None:
    """See that an RLE frame has one segment per byte of a pixel and can hold that many pixels.

    Raises
    ------
    DecodingError
        ``truncated``, ``not_grayscale``, ``decode_failed``, or ``dimensions`` if so few bytes cannot
        become that many pixels.
    """
    if len(frame) < RLE_HEADER_BYTES:
        raise DecodingError("truncated", "the RLE frame ends within its header")
    n_segments, *offsets = struct.unpack("<16I", frame[:RLE_HEADER_BYTES])
    expected = bits_allocated // 8
    if n_segments == 3 * expected:
        raise DecodingError("not_grayscale", f"{n_segments} RLE segments for {bits_allocated} bits")
    if n_segments != expected:
        raise DecodingError("decode_failed", f"{n_segments} RLE segments for {bits_allocated} bits")
    starts = offsets[:n_segments]
    if starts != sorted(starts) or starts[0] < RLE_HEADER_BYTES:
        raise DecodingError("decode_failed", "the RLE segments are out of order")
    if starts[-1] >= len(frame):
        raise DecodingError("truncated", "an RLE segment starts past the end of the data")
    ends = [*starts[1:], len(frame)]
    fewest = min(end - start for start, end in zip(starts, ends, strict=True))
    if fewest * RLE_MOST_BYTES_PER_BYTE < n_pixels:
        raise DecodingError("dimensions", f"an RLE segment of {fewest} bytes cannot hold {n_pixels} pixels")

"""A compressed frame -> the same frame without texts: comments, application segments, loose ends.

Coded data is not touched, and nothing moves: what could hold a text is overwritten with zeros in
its place, so lengths and offsets stay true. A frame without such texts comes back as it was.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator

from spinescore.core.imaging.codestream import RLE_HEADER_BYTES, STANDALONE_MARKERS, find_jpeg_2000

JPEG_END, START_OF_SCAN, COMMENT = 0xD9, 0xDA, 0xFE
APPLICATION = range(0xE0, 0xF0)
JPEG_LS_FRAME = 0xF7
# what coders write of themselves names nobody
HARMLESS_COMMENT = re.compile(
    rb"(?:Created by (?:GDCM/)?OpenJPEG version|Kakadu|OpenJPH Ver|charls)"
    rb"[ v-]{0,2}\d{1,2}(?:\.\d{1,3}){0,3}\.?\0*"
)
HARMLESS_APPLICATION = re.compile(rb"JFIF\x00\x01[\x00-\x02].{5}\x00\x00|Adobe.{7}", re.DOTALL)
J2K_COMMENT, J2K_TILE_PART, J2K_DATA, J2K_END = 0x64, 0x90, 0x93, 0xD9
J2K_SEGMENTS = frozenset((*range(0x50, 0x54), *range(0x55, 0x5A), *range(0x5C, 0x62), 0x63, J2K_COMMENT))


def blank_texts(frame: bytes, *, n_pixels: int) -> bytes:
    """Return a compressed frame with everything blanked that could hold a text.

    Parameters
    ----------
    frame : bytes
        A JPEG, JPEG-LS, JPEG 2000 or RLE frame that decodes, all fragments joined.
    n_pixels : int
        Rows times columns, by which the end of an RLE segment is known.

    Returns
    -------
    bytes
        Of the same length, but for JP2 boxes, which DICOM does not allow (PS3.5 A.4.4): of those
        the codestream alone comes back.
    """
    if frame.startswith(b"\xff\xd8"):
        return _blanked(frame, _jpeg_texts(frame))
    if frame.startswith(b"\xff\x4f") or frame[4:8] == b"jP  ":
        codestream = find_jpeg_2000(frame)
        return _blanked(codestream, _jpeg_2000_texts(codestream))
    return _blanked(frame, _rle_gaps(frame, n_pixels))


def _blanked(frame: bytes, spans: Iterator[tuple[int, int]]) -> bytes:
    changed = bytearray(frame)
    for start, end in spans:
        end = min(end, len(frame))
        if start < end:
            changed[start:end] = bytes(end - start)
    return bytes(changed)


def _jpeg_texts(frame: bytes) -> Iterator[tuple[int, int]]:
    """Yield where comments, application data and what follows the image lie (ITU-T T.81 B.1, B.2)."""
    position, lowest_marker = 2, 0xC0
    while frame[position : position + 1] == b"\xff":
        marker = int.from_bytes(frame[position + 1 : position + 2])
        if marker == 0xFF:  # a fill byte
            position += 1
            continue
        position += 2
        if marker == JPEG_END:
            break
        if marker in STANDALONE_MARKERS:
            continue
        end = position + max(2, int.from_bytes(frame[position : position + 2]))
        if marker == JPEG_LS_FRAME:
            lowest_marker = 0x80  # its coded data has a zero bit after FF, not a zero byte (T.87 C.1)
        if _may_hold_text(marker, frame[position + 2 : end]):
            yield position + 2, end
        position = _end_of_scan(frame, end, lowest_marker) if marker == START_OF_SCAN else end
    yield position, len(frame)


def _may_hold_text(marker: int, content: bytes) -> bool:
    if marker == COMMENT:
        return HARMLESS_COMMENT.fullmatch(content) is None
    return marker in APPLICATION and HARMLESS_APPLICATION.fullmatch(content) is None


def _end_of_scan(frame: bytes, position: int, lowest_marker: int) -> int:
    """Return where the first marker after coded data begins; restart markers belong to the data."""
    while 0 <= (position := frame.find(b"\xff", position)) < len(frame) - 1:
        following = frame[position + 1]
        if lowest_marker <= following < 0xFF and following not in STANDALONE_MARKERS:
            return position
        position += 1 if following == 0xFF else 2
    return len(frame)


def _jpeg_2000_texts(codestream: bytes) -> Iterator[tuple[int, int]]:
    """Yield where comments, unknown segments and what follows the image lie (ITU-T T.800 A)."""
    position, part_end = 2, 0
    while codestream[position : position + 1] == b"\xff" and position + 4 <= len(codestream):
        marker = codestream[position + 1]
        end = position + 2 + max(2, int.from_bytes(codestream[position + 2 : position + 4]))
        if marker == J2K_END:
            break
        if marker == J2K_DATA:
            position = max(part_end, position + 2)
            continue
        if marker == J2K_TILE_PART:
            part_bytes = int.from_bytes(codestream[position + 6 : position + 10])
            last = position + part_bytes if part_bytes else codestream.find(b"\xff\xd9", position)
            part_end = max(last, end)
        elif marker == J2K_COMMENT and not HARMLESS_COMMENT.fullmatch(codestream[position + 6 : end]):
            yield position + 6, end
        elif marker not in J2K_SEGMENTS:
            yield position + 4, end
        position = end
    yield position + (2 if codestream[position : position + 2] == b"\xff\xd9" else 0), len(codestream)


def _rle_gaps(frame: bytes, n_pixels: int) -> Iterator[tuple[int, int]]:
    """Yield where an RLE frame (PS3.5 G) holds bytes that no decoder looks at."""
    n_segments, *offsets = struct.unpack_from("<16I", frame)
    starts = offsets[:n_segments]
    yield 4 + 4 * n_segments, RLE_HEADER_BYTES
    yield RLE_HEADER_BYTES, starts[0]
    for start, limit in zip(starts, [*starts[1:], len(frame)], strict=True):
        yield _end_of_segment(frame, start, limit, n_pixels), limit


def _end_of_segment(frame: bytes, position: int, limit: int, n_pixels: int) -> int:
    left = n_pixels
    while left > 0 and position < limit:
        head = frame[position]
        if head < 128:
            position += head + 2
            left -= head + 1
        elif head > 128:
            position += 2
            left -= 257 - head
        else:
            position += 1
    return min(position, limit)

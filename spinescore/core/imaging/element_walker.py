"""The bytes of a DICOM file -> the few elements an index needs, without building a data set.

The common case only: explicit or implicit VR, little endian, tags in order (PS3.5 7.1).
Whatever is not plainly well formed raises :class:`OddFileError`, and pydicom reads that file.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct

ReadAt = Callable[[int, int], bytes]  # (offset, number of bytes) -> bytes, fewer at the end of the file

TRANSFER_SYNTAX, MEDIA_STORAGE_CLASS, MEDIA_STORAGE_INSTANCE = 0x00020010, 0x00020002, 0x00020003
ANATOMIC_REGION, VIEW_CODE = 0x00082218, 0x00540220
FLOAT_PIXELS, DOUBLE_PIXELS, PIXEL_DATA = 0x7FE00008, 0x7FE00009, 0x7FE00010

TEXT_TAGS: dict[int, str] = {
    0x00080005: "SpecificCharacterSet",
    0x00080008: "ImageType",
    0x00080016: "SOPClassUID",
    0x00080018: "SOPInstanceUID",
    0x0008001C: "SyntheticData",
    0x00080020: "StudyDate",
    0x00080021: "SeriesDate",
    0x00080022: "AcquisitionDate",
    0x00080023: "ContentDate",
    0x00080030: "StudyTime",
    0x00080060: "Modality",
    0x00080068: "PresentationIntentType",
    0x00080070: "Manufacturer",
    0x00081030: "StudyDescription",
    0x0008103E: "SeriesDescription",
    0x00081090: "ManufacturerModelName",
    0x00100020: "PatientID",
    0x00100021: "IssuerOfPatientID",
    0x00100030: "PatientBirthDate",
    0x00100040: "PatientSex",
    0x00101010: "PatientAge",
    0x00180015: "BodyPartExamined",
    0x00180060: "KVP",
    0x00181020: "SoftwareVersions",
    0x00181030: "ProtocolName",
    0x00181110: "DistanceSourceToDetector",
    0x00181150: "ExposureTime",
    0x00181151: "XRayTubeCurrent",
    0x00181152: "Exposure",
    0x00181153: "ExposureInuAs",
    0x00181164: "ImagerPixelSpacing",
    0x00181400: "AcquisitionDeviceProcessingDescription",
    0x00181411: "ExposureIndex",
    0x00182010: "NominalScannedPixelSpacing",
    0x00185101: "ViewPosition",
    0x0020000D: "StudyInstanceUID",
    0x0020000E: "SeriesInstanceUID",
    0x00200020: "PatientOrientation",
    0x00200060: "Laterality",
    0x00200062: "ImageLaterality",
    0x00280004: "PhotometricInterpretation",
    0x00280008: "NumberOfFrames",
    0x00280030: "PixelSpacing",
    0x00280301: "BurnedInAnnotation",
    0x00321060: "RequestedProcedureDescription",
    0x00400254: "PerformedProcedureStepDescription",
}
NUMBER_TAGS: dict[int, str] = {
    0x00280002: "SamplesPerPixel",
    0x00280010: "Rows",
    0x00280011: "Columns",
    0x00280100: "BitsAllocated",
    0x00280101: "BitsStored",
    0x00280102: "HighBit",
    0x00280103: "PixelRepresentation",
}
CODE_TAGS: dict[int, str] = {ANATOMIC_REGION: "AnatomicRegionSequence", VIEW_CODE: "ViewCodeSequence"}
WANTED = frozenset({*TEXT_TAGS, *NUMBER_TAGS, *CODE_TAGS})
AFTER_WANTED = VIEW_CODE + 1

# value representations and the length of their length (PS3.5 7.1.2)
SHORT_VRS = frozenset(b"AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US".split())
LONG_VRS = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())

UNDEFINED = 0xFFFFFFFF
ITEM, ITEM_END, SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
MAX_DEPTH = 16
FIRST_WINDOW, WIDER_WINDOWS = 8192, (1 << 16, 1 << 20, 1 << 24)
EXPLICIT_LITTLE, IMPLICIT_LITTLE = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2"
EXPLICIT_BIG, DEFLATED = "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"
CODE_VALUE, CODING_SCHEME, CODE_MEANING = 0x00080100, 0x00080102, 0x00080104

_explicit_header = Struct("<HH2sH").unpack_from
_implicit_header = Struct("<HHI").unpack_from
_long = Struct("<I").unpack_from


class OddFileError(Exception):
    """The file is not one of the common cases; a full parser must read it."""


class _MoreBytesError(Exception):
    """The window ends within what must be looked at."""


class ElementWalker:
    """Walks one file's top-level elements forward, window by window.

    Parameters
    ----------
    read_at : callable
        ``(offset, length) -> bytes``.
    size_bytes : int
        Size of the file.

    Attributes
    ----------
    found : dict of tag to bytes
        Values as stored; a code sequence as ``SCHEME:CODE|MEANING``, items joined by ``; ``.
    transfer_syntax : str
        UID from the file meta information.
    position : int
        Offset of the next element not looked at.
    """

    __slots__ = ("_explicit", "_last_tag", "found", "position", "read_at", "size_bytes", "transfer_syntax")

    def __init__(self, read_at: ReadAt, size_bytes: int) -> None:
        self.read_at = read_at
        self.size_bytes = size_bytes
        self.found: dict[int, bytes] = {}
        self.transfer_syntax = ""
        self.position = 0
        self._explicit = True
        self._last_tag = 0

    def begin(self, head: bytes) -> None:
        """Read the file meta information from the first bytes (PS3.10 7.1).

        Raises
        ------
        OddFileError
            If there is none, or its transfer syntax needs another parser.
        """
        try:
            position = _walk_explicit(head, 132, len(head), 0x00030000, self.found, META_WANTED, 0)[0]
        except _MoreBytesError:
            raise OddFileError("file meta information beyond the first window") from None
        syntax = self.found.get(TRANSFER_SYNTAX, b"").decode("ascii", "replace").strip("\0 ")
        self.transfer_syntax, self.position = syntax, position
        if not syntax.startswith("1.2.840.10008.1.2") or syntax in (EXPLICIT_BIG, DEFLATED):
            raise OddFileError(f"transfer syntax {syntax!r}")
        self._start(head, position, explicit=syntax != IMPLICIT_LITTLE)

    def begin_data_set(self, head: bytes, transfer_syntax: str) -> None:
        """Start at a bare explicit little endian data set, as a deflated file holds."""
        self.transfer_syntax = transfer_syntax
        self._start(head, 0, explicit=True)

    def _start(self, head: bytes, position: int, *, explicit: bool) -> None:
        if position + 6 <= len(head) and (head[position + 4 : position + 6] in ALL_VRS) != explicit:
            raise OddFileError("the data set is not encoded as its transfer syntax says")
        self._explicit, self.position = explicit, position

    def walk(self, head: bytes, start: int, stop: int) -> bool:
        """Collect wanted elements until a tag >= ``stop``; False if the file ends before one.

        Parameters
        ----------
        head : bytes
            A window of the file that begins at offset ``start``.
        start : int
            See ``head``.
        stop : int
            The first tag not to look at.

        Raises
        ------
        OddFileError
            If an element is not plainly well formed.
        """
        walk = _walk_explicit if self._explicit else _walk_implicit
        window, base, wider = head, start, iter(WIDER_WINDOWS)
        while self.position < self.size_bytes:
            before = self.position
            try:
                reached, self._last_tag, stopped = walk(
                    window, self.position - base, len(window), stop, self.found, WANTED, self._last_tag
                )
                self.position = base + reached
                if stopped:
                    return True
            except _MoreBytesError as more:
                (reached, self._last_tag) = more.args
                self.position = base + reached
            if self.position > self.size_bytes:
                return False
            if base + len(window) >= self.size_bytes and self.position - base < len(window):
                return False  # the file ends within this element
            if self.position == before and base == before and (length := next(wider, 0)) == 0:
                raise OddFileError("an element larger than the largest window")
            if self.position != before or base != before:
                wider, length = iter(WIDER_WINDOWS), FIRST_WINDOW
            base, window = self.position, self.read_at(self.position, length)
        return False

    def element_at(self) -> tuple[int, int, int] | None:
        """Return (tag, offset of the value, length) of the element there; None if it is cut off before."""
        header = self.read_at(self.position, 12)
        if len(header) < 8:
            return None
        group, element, vr, length = _explicit_header(header)
        if not self._explicit:
            return group << 16 | element, self.position + 8, _implicit_header(header)[2]
        if vr in LONG_VRS:
            if len(header) < 12:
                return None
            return group << 16 | element, self.position + 12, _long(header, 8)[0]
        return group << 16 | element, self.position + 8, length


ALL_VRS = SHORT_VRS | LONG_VRS
META_WANTED = frozenset({TRANSFER_SYNTAX, MEDIA_STORAGE_CLASS, MEDIA_STORAGE_INSTANCE})


def _walk_explicit(  # noqa: C901 - the hot loop: a call per element would cost half its speed
    window: bytes,
    position: int,
    end: int,
    stop: int,
    found: dict[int, bytes],
    wanted: frozenset[int],
    last: int,
) -> tuple[int, int, bool]:
    """Walk explicit VR elements; return (position, last tag, whether a tag >= stop was met)."""
    while position + 8 <= end:
        group, element, vr, length = _explicit_header(window, position)
        tag = group << 16 | element
        if tag >= stop:
            return position, last, True
        if tag <= last:
            raise OddFileError(f"tag {tag:08x} after {last:08x}")
        if vr in SHORT_VRS:
            value = position + 8
        elif vr in LONG_VRS:
            if position + 12 > end:
                break
            value, length = position + 12, _long(window, position + 8)[0]
            if vr == b"SQ" or length == UNDEFINED:
                after = _after_sequence(window, value, end, length, vr != b"UN", position, last)
                if tag in wanted:
                    if tag not in CODE_TAGS or vr != b"SQ":
                        raise OddFileError(f"a sequence for {tag:08x}")
                    if after > end:
                        raise _MoreBytesError(position, last)
                    found[tag] = _codes(window, value, after, explicit=True)
                position, last = after, tag
                continue
        else:
            raise OddFileError(f"value representation {vr!r}")
        after = value + length
        if tag in wanted:
            if after > end:
                break
            if tag in CODE_TAGS:
                raise OddFileError(f"value representation {vr!r} for a sequence")
            found[tag] = window[value:after]
        position, last = after, tag
    return position, last, False


def _walk_implicit(
    window: bytes,
    position: int,
    end: int,
    stop: int,
    found: dict[int, bytes],
    wanted: frozenset[int],
    last: int,
) -> tuple[int, int, bool]:
    """Walk implicit VR elements; as :func:`_walk_explicit`."""
    while position + 8 <= end:
        group, element, length = _implicit_header(window, position)
        tag = group << 16 | element
        if tag >= stop:
            return position, last, True
        if tag <= last:
            raise OddFileError(f"tag {tag:08x} after {last:08x}")
        value = position + 8
        if length == UNDEFINED or tag in CODE_TAGS:
            after = _after_sequence(window, value, end, length, False, position, last)
            if tag in wanted:
                if tag not in CODE_TAGS:
                    raise OddFileError(f"a sequence for {tag:08x}")
                if after > end:
                    raise _MoreBytesError(position, last)
                found[tag] = _codes(window, value, after, explicit=False)
        else:
            after = value + length
            if tag in wanted:
                if after > end:
                    break
                found[tag] = window[value:after]
        position, last = after, tag
    return position, last, False


def _after_sequence(
    window: bytes, value: int, end: int, length: int, explicit: bool, position: int, last: int
) -> int:
    """Return the offset behind a sequence; ``position`` and ``last`` are where to go on with more bytes."""
    if length != UNDEFINED:
        return value + length
    try:
        return _skip_items(window, value, end, explicit, 0)
    except _MoreBytesError:
        raise _MoreBytesError(position, last) from None


def _skip_items(window: bytes, position: int, end: int, explicit: bool, depth: int) -> int:
    """Return the offset behind a sequence of undefined length (PS3.5 7.5)."""
    if depth > MAX_DEPTH:
        raise OddFileError(f"sequences nested deeper than {MAX_DEPTH}")
    while True:
        tag, length = _item_header(window, position, end)
        position += 8
        if tag == SEQUENCE_END:
            return position
        if tag != ITEM:
            raise OddFileError(f"tag {tag:08x} where an item belongs")
        position = (
            _skip_elements(window, position, end, explicit, depth)
            if length == UNDEFINED
            else position + length
        )


def _skip_elements(window: bytes, position: int, end: int, explicit: bool, depth: int) -> int:
    """Return the offset behind an item of undefined length."""
    while True:
        tag, length = _item_header(window, position, end)
        if tag == ITEM_END:
            return position + 8
        vr, value = b"", position + 8
        if explicit:
            vr = window[position + 4 : position + 6]
            if vr in SHORT_VRS:
                length >>= 16
            elif vr in LONG_VRS:
                if position + 12 > end:
                    raise _MoreBytesError(0, 0)
                value, length = position + 12, _long(window, position + 8)[0]
            else:
                raise OddFileError(f"value representation {vr!r}")
        if length == UNDEFINED:
            position = _skip_items(window, value, end, explicit and vr != b"UN", depth + 1)
        else:
            position = value + length


def _item_header(window: bytes, position: int, end: int) -> tuple[int, int]:
    if position + 8 > end:
        raise _MoreBytesError(0, 0)
    group, element, length = _implicit_header(window, position)
    return group << 16 | element, length


def _codes(window: bytes, position: int, after: int, *, explicit: bool) -> bytes:
    """Return the codes of a code sequence (PS3.3 8.8) as ``SCHEME:CODE|MEANING; ...``."""
    wanted = frozenset({CODE_VALUE, CODING_SCHEME, CODE_MEANING})
    walk = _walk_explicit if explicit else _walk_implicit
    codes = []
    while position + 8 <= after:
        tag, length = _item_header(window, position, after)
        position += 8
        if tag == SEQUENCE_END:
            break
        if tag != ITEM:
            raise OddFileError(f"tag {tag:08x} where an item belongs")
        if length == UNDEFINED:
            item_end = _skip_elements(window, position, after, explicit, 0)
            behind, item_end = item_end, item_end - 8
        else:
            behind = item_end = position + length
        if behind > after:
            raise OddFileError("an item longer than its sequence")
        found: dict[int, bytes] = {}
        reached, _, _ = walk(window, position, item_end, ITEM, found, wanted, 0)
        if reached != item_end:
            raise OddFileError("an element longer than its item")
        codes.append(code_text(*(found.get(tag, b"") for tag in (CODING_SCHEME, CODE_VALUE, CODE_MEANING))))
        position = behind
    return b"; ".join(codes)


def code_text(scheme: bytes, value: bytes, meaning: bytes) -> bytes:
    """Return one code as the rules see it.

    >>> code_text(b"SCT ", b"399067008 ", b"lateral")
    b'SCT:399067008|lateral'
    """
    return scheme.strip(b" \0") + b":" + value.strip(b" \0") + b"|" + meaning.strip(b" \0")

"""DICOM files put together byte by byte, so that any part of them can be wrong."""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from pydicom.datadict import dictionary_VR, tag_for_keyword

EXPLICIT, IMPLICIT = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2"
BIG_ENDIAN, DEFLATED = "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"
RLE, JPEG_BASELINE, JPEG_LS = "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.80"
JPEG_LOSSLESS, JPEG_12_BIT = "1.2.840.10008.1.2.4.70", "1.2.840.10008.1.2.4.51"
JPEG_2000, HTJ2K = "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.201"
COMPUTED_RADIOGRAPHY = "1.2.840.10008.5.1.4.1.1.1"

PIXEL_DATA = 0x7FE00010
UNDEFINED = 0xFFFFFFFF
LONG_FORM = frozenset(["OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"])
SEQUENCE_END = bytes.fromhex("feffdde000000000")
ITEM_END = bytes.fromhex("feff0de000000000")
OPEN_ITEM = bytes.fromhex("feff00e0ffffffff")
ROWS, COLUMNS = 96, 80

Value = str | bytes | int | None


@dataclass(frozen=True)
class Form:
    """How elements are written (PS3.5 7.1)."""

    explicit: bool = True
    order: str = "<"

    def element(self, tag: int, vr: str, value: bytes, length: int | None = None) -> bytes:
        """Return an element; ``length`` says something else than is true."""
        n_bytes = len(value) if length is None else length
        head = struct.pack(f"{self.order}HH", tag >> 16, tag & 0xFFFF)
        if not self.explicit:
            return head + struct.pack(f"{self.order}I", n_bytes) + value
        if vr in LONG_FORM:
            return head + vr.encode("latin-1") + b"\0\0" + struct.pack(f"{self.order}I", n_bytes) + value
        return head + vr.encode("latin-1") + struct.pack(f"{self.order}H", n_bytes) + value


LITTLE = Form()
IMPLICIT_FORM = Form(explicit=False)
BIG = Form(order=">")
FORMS = {IMPLICIT: IMPLICIT_FORM, BIG_ENDIAN: BIG}

IMAGE: dict[str, Value] = {
    "SpecificCharacterSet": "ISO_IR 100",
    "ImageType": "ORIGINAL\\PRIMARY",
    "SOPClassUID": COMPUTED_RADIOGRAPHY,
    "StudyDate": "20240502",
    "StudyTime": "101112",
    "Modality": "CR",
    "Manufacturer": "Phantomed",
    "StudyDescription": "Spine",
    "PatientName": "NOBODY",
    "PatientID": "NOBODY",
    "PatientBirthDate": "19500102",
    "PatientSex": "F",
    "BodyPartExamined": "LSPINE",
    "ViewPosition": "LL",
    "SamplesPerPixel": 1,
    "PhotometricInterpretation": "MONOCHROME2",
    "Rows": ROWS,
    "Columns": COLUMNS,
    "BitsAllocated": 16,
    "BitsStored": 12,
    "HighBit": 11,
    "PixelRepresentation": 0,
}
"""A lateral lumbar spine radiograph that is indexed without a flag."""


@cache
def picture(bits: int = 12, rows: int = ROWS, columns: int = COLUMNS) -> NDArray[np.uint16]:
    """Return something to look at that uses the whole range."""
    y, x = np.mgrid[:rows, :columns]
    grain = np.random.default_rng(0).normal(0, 0.01, (rows, columns))
    shown = np.clip((np.sin(x / 9) + np.cos(y / 7) + 2) / 4 + grain, 0, 1)
    return np.rint(shown * (2**bits - 1)).astype(np.uint8 if bits <= 8 else np.uint16)


def uid_of(name: str) -> str:
    """Return a UID that no other name has."""
    return f"2.25.{int.from_bytes(hashlib.sha256(name.encode()).digest()[:12], 'big') | 1 << 95}"


def tag_of(keyword: str) -> int:
    """Return an attribute's tag."""
    tag = tag_for_keyword(keyword)
    assert tag is not None, keyword
    return tag


def encoded(keyword: str, value: Value, form: Form = LITTLE) -> bytes:
    """Return an attribute as an element; an even length where the value is text or a number."""
    vr = dictionary_VR(tag_of(keyword))[:2]
    if isinstance(value, int):
        return form.element(tag_of(keyword), "US", struct.pack(f"{form.order}H", value))
    content = value.encode("latin-1") if isinstance(value, str) else value or b""
    if len(content) % 2 and isinstance(value, str):
        content += b"\0" if vr == "UI" else b" "
    return form.element(tag_of(keyword), vr, content)


def meta(name: str, syntax: str | None = EXPLICIT, **changes: bytes) -> dict[int, bytes]:
    """Return the elements of the file meta information; ``changes`` are whole elements by keyword."""
    parts = {
        "FileMetaInformationVersion": LITTLE.element(0x00020001, "OB", b"\0\1"),
        "MediaStorageSOPClassUID": encoded("MediaStorageSOPClassUID", COMPUTED_RADIOGRAPHY),
        "MediaStorageSOPInstanceUID": encoded("MediaStorageSOPInstanceUID", uid_of(name)),
        "TransferSyntaxUID": encoded("TransferSyntaxUID", syntax) if syntax is not None else b"",
        "ImplementationClassUID": encoded("ImplementationClassUID", "2.25.7"),
    }
    return {tag_of(keyword): part for keyword, part in (parts | changes).items()}


def with_group_length(parts: dict[int, bytes]) -> bytes:
    """Return the file meta information behind its group length."""
    rest = b"".join(parts[tag] for tag in sorted(parts) if tag != 0x00020000)
    length = LITTLE.element(0x00020000, "UL", struct.pack("<I", len(rest)))
    return parts.get(0x00020000, length) + rest


def elements(
    name: str, form: Form = LITTLE, raw: dict[int, bytes] | None = None, **values: Value
) -> dict[int, bytes]:
    """Return the encoded elements of an image, by tag, without its pixels.

    Parameters
    ----------
    name : str
        Decides its SOP Instance UID.
    form : Form
    raw : dict of tag to bytes
        Bytes to stand where the element with that tag stands or would stand.
    values : text, bytes or number by keyword
        Other than the usual; None leaves an attribute out.
    """
    uids = {"SOPInstanceUID": uid_of(name), "StudyInstanceUID": uid_of(f"{name}/study")}
    wanted: dict[str, Value] = {**IMAGE, **uids, **values}
    parts = {tag_of(k): encoded(k, value, form) for k, value in wanted.items() if value is not None}
    return {**parts, **(raw or {})}


def joined(parts: dict[int, bytes]) -> bytes:
    """Return elements in the order of their tags."""
    return b"".join(parts[tag] for tag in sorted(parts))


def native_pixels(form: Form = LITTLE, bits: int = 12) -> bytes:
    """Return uncompressed pixel data, element and all."""
    shown = picture(bits)
    content = shown.astype(shown.dtype.newbyteorder(form.order)).tobytes()
    return form.element(PIXEL_DATA, "OW", content)


def fragments(*contents: bytes, offsets: bytes = b"", end: bytes = SEQUENCE_END) -> bytes:
    """Return encapsulated pixel data (PS3.5 A.4), element and all."""
    padded = (content + b"\0" * (len(content) % 2) for content in contents)
    items = b"".join(item(content) for content in (offsets, *padded))
    return LITTLE.element(PIXEL_DATA, "OB", items + end, UNDEFINED)


def item(content: bytes, length: int | None = None) -> bytes:
    """Return an item of a sequence; ``length`` says something else than is true."""
    return OPEN_ITEM[:4] + struct.pack("<I", len(content) if length is None else length) + content


def image(
    name: str,
    syntax: str = EXPLICIT,
    *,
    raw: dict[int, bytes] | None = None,
    pixels: bytes | None = None,
    head: bytes | None = None,
    form: Form | None = None,
    **values: Value,
) -> bytes:
    """Return a file.

    Parameters
    ----------
    name : str
        Decides its SOP Instance UID.
    syntax : str
        The transfer syntax it names and, unless ``form`` says otherwise, has.
    raw, values
        As :func:`elements` takes them.
    pixels : bytes, optional
        All from the pixel data element on; uncompressed pixels if left out.
    head : bytes, optional
        All before the data set: preamble, prefix, file meta information.
    form : Form, optional
    """
    form = form or FORMS.get(syntax, LITTLE)
    before = preamble(with_group_length(meta(name, syntax))) if head is None else head
    body = joined(elements(name, form, raw, **values))
    return before + body + (native_pixels(form) if pixels is None else pixels)


def preamble(following: bytes) -> bytes:
    """Return the 128 bytes and the prefix, and what follows."""
    return b"\0" * 128 + b"DICM" + following

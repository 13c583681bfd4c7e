"""Hostile file meta information, lying transfer syntaxes, cut files and element lengths (PS3.10 7, PS3.5 7)."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

from tests.reliability.dicom_bytes import (
    BIG_ENDIAN,
    DEFLATED,
    EXPLICIT,
    HTJ2K,
    IMPLICIT,
    IMPLICIT_FORM,
    ITEM_END,
    JPEG_LS,
    LITTLE,
    OPEN_ITEM,
    SEQUENCE_END,
    UNDEFINED,
    Form,
    encoded,
    image,
    meta,
    preamble,
    tag_of,
    with_group_length,
)
from tests.reliability.hostile_case import INDEXED, NOT_DICOM, Case, Outcome, rejected

REFERENCED = 0x00081140  # a sequence before anything an image needs
PRIVATE_CREATOR, PRIVATE = 0x00290010, 0x00291010


def cases() -> Iterator[Case]:
    """Yield them all."""
    for name, outcome, content in (*_damaged_meta(), *_lies(), *_deflated(), *_cuts(), *_lengths()):
        yield Case(f"structure/{name}.dcm".encode(), outcome, content)


Row = tuple[str, Outcome, bytes]


def _damaged_meta() -> Iterator[Row]:
    def having(name: str, **changes: bytes) -> bytes:
        return image(name, head=preamble(with_group_length(meta(name, **changes))))

    def naming(name: str, syntax: str | None) -> bytes:
        return image(name, head=preamble(with_group_length(meta(name, syntax))))

    def group_length(name: str, n_bytes: int) -> bytes:
        stated = LITTLE.element(0x00020000, "UL", struct.pack("<I", n_bytes))
        return having(name, FileMetaInformationGroupLength=stated)

    whole = image("meta-none")
    yield "meta-no-preamble", INDEXED, image("meta-no-preamble")[132:]
    yield "meta-none", INDEXED, image("meta-none", head=b"")
    yield "meta-none-implicit", INDEXED, image("meta-none-implicit", head=b"", form=IMPLICIT_FORM)
    yield "meta-wrong-prefix", NOT_DICOM, whole[:128] + b"DICN" + whole[132:]
    yield "meta-small-prefix", NOT_DICOM, whole[:128] + b"dicm" + whole[132:]
    yield "meta-prefix-at-start", NOT_DICOM, whole[128:]
    yield "meta-preamble-of-pdf", INDEXED, b"%PDF-1.7".ljust(128, b"\n") + image("meta-preamble-of-pdf")[128:]
    yield "meta-preamble-of-exe", INDEXED, b"MZ".ljust(128, b"\x90") + image("meta-preamble-of-exe")[128:]
    yield "meta-nothing-follows", rejected("truncated"), preamble(b"")
    yield "meta-only", rejected("truncated"), preamble(with_group_length(meta("meta-only")))
    yield "meta-group-length-0", INDEXED, group_length("meta-group-length-0", 0)
    yield "meta-group-length-short", INDEXED, group_length("meta-group-length-short", 20)
    yield "meta-group-length-long", INDEXED, group_length("meta-group-length-long", 5000)
    yield "meta-group-length-4GB", INDEXED, group_length("meta-group-length-4GB", 0xFFFFFFFF)
    yield (
        "meta-group-length-none",
        INDEXED,
        having("meta-group-length-none", FileMetaInformationGroupLength=b""),
    )
    yield (
        "meta-group-length-as-text",
        INDEXED,
        having(
            "meta-group-length-as-text",
            FileMetaInformationGroupLength=LITTLE.element(0x00020000, "LO", b"many"),
        ),
    )
    yield "syntax-missing", INDEXED, naming("syntax-missing", None)
    yield "syntax-empty", INDEXED, naming("syntax-empty", "")
    for name, syntax in {
        "syntax-unknown": "1.2.3.4",
        "syntax-private": "1.2.840.113619.5.2",
        "syntax-is-a-storage-class": "1.2.840.10008.5.1.4.1.1.1",
        "syntax-unheard-of": "1.2.840.10008.1.2.9999",
        "syntax-is-text": "../../etc/passwd",
        "syntax-of-65-characters": "1.2.840.10008.1.2." + "1" * 47,
    }.items():
        yield name, rejected("transfer_syntax"), naming(name, syntax)
    yield "syntax-padded", INDEXED, naming("syntax-padded", EXPLICIT + " \0\0\0")
    yield "syntax-in-blanks", INDEXED, naming("syntax-in-blanks", f" {EXPLICIT}  ")
    yield (
        "syntax-of-vr-LO",
        INDEXED,
        having(
            "syntax-of-vr-LO", TransferSyntaxUID=LITTLE.element(0x00020010, "LO", EXPLICIT.encode() + b"\0")
        ),
    )
    yield (
        "syntax-of-vr-UN",
        INDEXED,
        having(
            "syntax-of-vr-UN", TransferSyntaxUID=LITTLE.element(0x00020010, "UN", EXPLICIT.encode() + b"\0")
        ),
    )
    yield (
        "syntax-twice",
        INDEXED,
        having("syntax-twice", TransferSyntaxUID=2 * encoded("TransferSyntaxUID", EXPLICIT)),
    )
    yield (
        "meta-of-100-KB",
        INDEXED,
        having("meta-of-100-KB", PrivateInformation=LITTLE.element(0x00020102, "OB", b"\1" * 100_000)),
    )
    implicit_meta = b"".join(
        IMPLICIT_FORM.element(tag, "", value)
        for tag, value in ((0x00020003, b"2.25.7\0\0"), (0x00020010, EXPLICIT.encode() + b"\0"))
    )
    yield "meta-implicit", INDEXED, image("meta-implicit", head=preamble(implicit_meta))


def _lies() -> Iterator[Row]:
    def telling(name: str, said: str, is_really: str, outcome: Outcome) -> Row:
        head = preamble(with_group_length(meta(name, said)))
        body = image(name, is_really, head=b"")
        return name, outcome, head + body

    yield telling("lie-explicit-is-implicit", EXPLICIT, IMPLICIT, INDEXED)
    yield telling("lie-implicit-is-explicit", IMPLICIT, EXPLICIT, INDEXED)
    yield telling("lie-big-is-little", BIG_ENDIAN, EXPLICIT, rejected("truncated"))
    yield telling("lie-little-is-big", EXPLICIT, BIG_ENDIAN, rejected("truncated"))
    yield telling("lie-implicit-is-big", IMPLICIT, BIG_ENDIAN, rejected("truncated"))
    yield telling("lie-deflated-is-plain", DEFLATED, EXPLICIT, rejected("malformed"))
    yield telling("lie-compressed-is-native", JPEG_LS, EXPLICIT, rejected("malformed"))
    yield telling("lie-compressed-is-implicit", HTJ2K, IMPLICIT, rejected("malformed"))
    name = "lie-explicit-is-deflated"
    squeezed = zlib.compress(image(name, head=b""), wbits=-15)
    yield name, rejected("truncated"), preamble(with_group_length(meta(name, EXPLICIT))) + squeezed
    yield "big-endian", INDEXED, image("big-endian", BIG_ENDIAN)


def _deflated() -> Iterator[Row]:
    def holding(name: str, squeezed: bytes) -> bytes:
        return preamble(with_group_length(meta(name, DEFLATED))) + squeezed

    def squeezed(name: str, wbits: int = -15) -> bytes:
        return zlib.compress(image(name, head=b""), 9, wbits=wbits)

    yield "deflated", INDEXED, holding("deflated", squeezed("deflated"))
    yield (
        "deflated-with-rest",
        INDEXED,
        holding("deflated-with-rest", squeezed("deflated-with-rest") + b"\0" * 9),
    )
    for part in (0, 1, 40, 5000):
        name = f"deflated-cut-{part}"
        yield name, rejected("truncated"), holding(name, squeezed(name)[:part])
    yield "deflated-in-zlib", rejected("malformed"), holding("deflated-in-zlib", squeezed("z", wbits=15))
    yield "deflated-in-gzip", rejected("malformed"), holding("deflated-in-gzip", squeezed("g", wbits=31))
    yield "deflated-garbage", rejected("malformed"), holding("deflated-garbage", b"\xa5\x5a" * 3000)
    yield (
        "deflated-nothing",
        rejected("truncated"),
        holding("deflated-nothing", zlib.compress(b"", wbits=-15)),
    )
    packer = zlib.compressobj(9, wbits=-15)
    header = image("deflated-bomb", head=b"", pixels=b"")
    bomb = packer.compress(header + LITTLE.element(0x7FE00010, "OW", b"", 600 << 20))
    bomb += b"".join(packer.compress(bytes(1 << 20)) for _ in range(600)) + packer.flush()
    yield "deflated-bomb", rejected("inflate_limit"), holding("deflated-bomb", bomb)


def _cuts() -> Iterator[Row]:
    """Cut files at every kind of place."""
    for letter, form, syntax in (("e", LITTLE, EXPLICIT), ("i", IMPLICIT_FORM, IMPLICIT)):

        def cut(name: str, place: bytes, add: int, form: Form = form, syntax: str = syntax) -> bytes:
            whole = image(name, syntax, raw={REFERENCED: _sequence(form, b"XY")})
            return whole[: whole.index(place) + add]

        rows_tag, pixel_tag = b"\x28\0\x10\0", b"\xe0\x7f\x10\0"
        sequence_tag, description_tag = b"\x08\0\x40\x11", b"\x08\0\x30\x10"
        header = 12 if form.explicit else 8
        for name, place, add, outcome in (
            ("in-preamble", b"DICM", -60, NOT_DICOM),
            ("in-prefix", b"DICM", 2, NOT_DICOM),
            ("in-meta-tag", b"\2\0\x10\0UI", 2, rejected("truncated")),
            ("in-meta-vr", b"\2\0\x10\0UI", 5, rejected("truncated")),
            ("in-meta-length", b"\2\0\x10\0UI", 7, rejected("truncated")),
            ("in-meta-value", b"\2\0\x10\0UI", 15, rejected("truncated")),
            ("before-data-set", b"\x08\0\x05\0", 0, rejected("truncated")),
            ("in-first-tag", b"\x08\0\x05\0", 3, rejected("truncated")),
            ("in-tag", description_tag, 2, rejected("truncated")),
            ("in-vr-or-length", description_tag, 5, rejected("truncated")),
            ("in-length", description_tag, 7, rejected("truncated")),
            ("in-value", description_tag, 10, rejected("truncated")),
            ("between-elements", description_tag, 0, rejected("truncated")),
            ("in-sequence-tag", sequence_tag, 3, rejected("truncated")),
            ("in-sequence-length", sequence_tag, header - 1, rejected("truncated")),
            ("in-item-tag", sequence_tag, header + 3, rejected("truncated")),
            ("in-item-length", sequence_tag, header + 7, rejected("truncated")),
            ("in-item-element", sequence_tag, header + 13, rejected("truncated")),
            ("in-item-value", sequence_tag, header + 17, rejected("truncated")),
            ("in-sequence-end", SEQUENCE_END, 5, rejected("truncated")),
            ("before-rows", rows_tag, 0, rejected("truncated")),
            ("in-rows", rows_tag, 9, rejected("truncated")),
            ("before-pixels", pixel_tag, 0, rejected("no_pixel_data")),
            ("in-pixel-tag", pixel_tag, 3, rejected("truncated")),
            ("in-pixel-length", pixel_tag, header - 1, rejected("truncated")),
            ("before-first-pixel", pixel_tag, header, rejected("truncated")),
            ("in-pixels", pixel_tag, header + 5000, rejected("truncated")),
            ("before-last-byte", pixel_tag, header + 96 * 80 * 2 - 1, rejected("truncated")),
        ):
            full = f"cut-{letter}-{name}"
            yield full, outcome, cut(full, place, add)


def _sequence(form: Form, uid: bytes, length: int = UNDEFINED, end: bytes = SEQUENCE_END) -> bytes:
    """Return a sequence of one item of undefined length."""
    item = OPEN_ITEM + form.element(0x00081155, "UI", uid) + ITEM_END
    return form.element(REFERENCED, "SQ", item + end, length)


def _lengths() -> Iterator[Row]:
    def lying(name: str, tag: int, vr: str, length: int, form: Form = LITTLE, value: bytes = b"XX") -> bytes:
        return image(name, form=form, syntax=EXPLICIT if form.explicit else IMPLICIT,
                     raw={tag: form.element(tag, vr, value, length)})  # fmt: skip

    yield (
        "length-4GB-of-458-bytes",
        rejected("truncated"),
        (lying("length-4GB-of-458-bytes", 0x00081010, "OB", 0xFFFFFFF0)[:458]),
    )
    for name, length in (("4GB", 0xFFFFFFFE), ("2GB", 0x80000000), ("300MB", 300_000_000)):
        yield (
            f"length-{name}-private",
            rejected("truncated"),
            lying(f"length-{name}-private", PRIVATE, "OB", length),
        )
        yield (
            f"length-{name}-text",
            rejected("truncated"),
            lying(f"length-{name}-text", 0x00104000, "UT", length),
        )
        yield (
            f"length-{name}-implicit",
            rejected("truncated"),
            lying(f"length-{name}-implicit", tag_of("StudyDescription"), "", length, IMPLICIT_FORM),
        )
        yield (
            f"length-{name}-sequence",
            rejected("truncated"),
            lying(f"length-{name}-sequence", REFERENCED, "SQ", length, value=b""),
        )
    yield (
        "length-65535-of-text",
        rejected("truncated"),
        lying("length-65535-of-text", 0x00081030, "LO", 65_535),
    )
    yield "length-odd-text", INDEXED, lying("length-odd-text", 0x00081030, "LO", 3, value=b"odd")
    yield "length-odd-binary", INDEXED, lying("length-odd-binary", PRIVATE, "OB", 3, value=b"odd")
    yield "length-one-too-many", rejected("truncated"), lying("length-one-too-many", 0x00081030, "LO", 3)
    yield "length-one-too-few", rejected("truncated"), lying("length-one-too-few", 0x00081030, "LO", 1)
    yield "length-undefined-OB", rejected("truncated"), lying("length-undefined-OB", PRIVATE, "OB", UNDEFINED)
    yield (
        "length-undefined-UT",
        rejected("truncated"),
        lying("length-undefined-UT", 0x00104000, "UT", UNDEFINED),
    )
    yield (
        "length-undefined-implicit-text",
        rejected("truncated"),
        lying("length-undefined-implicit-text", 0x00081030, "", UNDEFINED, IMPLICIT_FORM),
    )
    yield (
        "length-short-form-of-long",
        rejected("truncated"),
        image(
            "length-short-form-of-long", raw={PRIVATE: struct.pack("<HH2sH", 0x29, 0x1010, b"OB", 2) + b"XX"}
        ),
    )

"""Hostile orders, value representations, sequences and numbers of elements (PS3.5 7)."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from tests.reliability.dicom_bytes import (
    IMPLICIT,
    IMPLICIT_FORM,
    ITEM_END,
    LITTLE,
    OPEN_ITEM,
    SEQUENCE_END,
    UNDEFINED,
    elements,
    encoded,
    image,
    native_pixels,
    tag_of,
)
from tests.reliability.hostile_case import INDEXED, Case, Outcome, excluded, rejected

REFERENCED = 0x00081140  # a sequence before anything an image needs
PRIVATE_CREATOR, PRIVATE = 0x00290010, 0x00291010


def cases() -> Iterator[Case]:
    """Yield them all."""
    for name, outcome, content in (*_orders(), *_sequences(), *_deep(), *_many()):
        yield Case(f"elements/{name}.dcm".encode(), outcome, content)


Row = tuple[str, Outcome, bytes]


def _orders() -> Iterator[Row]:
    def with_parts(name: str, raw: dict[int, bytes]) -> bytes:
        return image(name, raw=raw)

    name = "order-reversed"
    parts = elements(name)
    backwards = b"".join(parts[tag] for tag in sorted(parts, reverse=True))
    yield name, INDEXED, image(name, raw=dict.fromkeys(parts, b""), pixels=backwards + native_pixels())
    name = "order-rows-last"
    late = encoded("Rows", 96)
    yield name, INDEXED, with_parts(name, {tag_of("Rows"): b"", 0x00289999: late})
    name = "order-uid-after-pixels"
    uid = elements(name)[tag_of("SOPInstanceUID")]
    yield name, rejected("uid_missing"), image(name, raw={tag_of("SOPInstanceUID"): b""}) + uid
    name = "twice-modality"
    yield (
        name,
        INDEXED,
        with_parts(name, {tag_of("Modality"): encoded("Modality", "MR") + encoded("Modality", "CR")}),
    )
    name = "twice-rows"
    yield (
        name,
        rejected("pixel_length"),
        with_parts(name, {tag_of("Rows"): encoded("Rows", 96) + encoded("Rows", 97)}),
    )
    name = "twice-pixels"
    yield name, INDEXED, image(name) + native_pixels()
    for name, vr in (
        ("vr-ZZ", "ZZ"),
        ("vr-small", "lo"),
        ("vr-nul", "\0\0"),
        ("vr-blank", "  "),
        ("vr-high", "\xff\xfe"),
    ):
        outcome = INDEXED if vr == "ZZ" else rejected("truncated")  # no VR: its length is read as four bytes
        yield name, outcome, with_parts(name, {PRIVATE: LITTLE.element(PRIVATE, vr, b"XX")})
    yield "vr-wrong-for-rows", rejected("malformed"), image("vr-wrong-for-rows", raw={
        tag_of("Rows"): LITTLE.element(tag_of("Rows"), "IS", b"0096")
    })  # fmt: skip
    yield (
        "vr-UN-for-modality",
        INDEXED,
        with_parts(
            "vr-UN-for-modality", {tag_of("Modality"): LITTLE.element(tag_of("Modality"), "UN", b"CR")}
        ),
    )
    yield (
        "vr-SQ-for-modality",
        excluded("modality"),
        with_parts(
            "vr-SQ-for-modality",
            {tag_of("Modality"): LITTLE.element(tag_of("Modality"), "SQ", OPEN_ITEM + ITEM_END)},
        ),
    )
    yield (
        "group-length-elements",
        INDEXED,
        with_parts(
            "group-length-elements",
            {group << 16: LITTLE.element(group << 16, "UL", b"\7\0\0\0") for group in (8, 16, 40)},
        ),
    )
    yield "group-0000", INDEXED, with_parts("group-0000", {0: LITTLE.element(0, "UL", b"\7\0\0\0")})
    yield (
        "item-among-elements",
        rejected("no_pixel_data"),
        with_parts("item-among-elements", {PRIVATE: OPEN_ITEM}),
    )
    yield (
        "padding-behind-pixels",
        INDEXED,
        image("padding-behind-pixels") + LITTLE.element(0xFFFCFFFC, "OB", b"\0" * 4096),
    )
    yield "garbage-behind-pixels", INDEXED, image("garbage-behind-pixels") + b"\xa5" * 999
    yield "zeros-for-elements", rejected("truncated"), image("zeros-for-elements", raw={PRIVATE: b"\0" * 500})


def _sequences() -> Iterator[Row]:
    view = tag_of("ViewCodeSequence")
    code = b"".join(
        LITTLE.element(tag, "SH", value)
        for tag, value in ((0x00080100, b"399173006 "), (0x00080102, b"SCT "))
    ) + LITTLE.element(0x00080104, "LO", b"left lateral")
    item = LITTLE.element(0xFFFEE000, "", b"")[:4] + struct.pack("<I", len(code)) + code

    def viewing(name: str, value: bytes, length: int | None = None, vr: str = "SQ") -> bytes:
        return image(name, raw={view: LITTLE.element(view, vr, value, length)})

    yield "sequence-code", INDEXED, viewing("sequence-code", item)
    yield (
        "sequence-item-longer",
        INDEXED,
        viewing("sequence-item-longer", item[:4] + struct.pack("<I", 5000) + code),
    )
    yield (
        "sequence-item-4GB",
        INDEXED,
        viewing("sequence-item-4GB", item[:4] + struct.pack("<I", 0xFFFFFFF0) + code),
    )
    yield "sequence-shorter-than-item", rejected("truncated"), viewing("sequence-shorter-than-item", item, 20)
    yield "sequence-without-end", rejected("truncated"), viewing("sequence-without-end", item, UNDEFINED)
    yield (
        "sequence-item-without-end",
        rejected("truncated"),
        viewing("sequence-item-without-end", OPEN_ITEM + code + SEQUENCE_END, UNDEFINED),
    )
    yield "sequence-of-garbage", INDEXED, viewing("sequence-of-garbage", b"\xa5" * 50)
    yield "sequence-is-text", rejected("malformed"), viewing("sequence-is-text", b"left lateral", vr="LO")
    yield "sequence-of-2000-codes", INDEXED, viewing("sequence-of-2000-codes", item * 2000)
    inner = IMPLICIT_FORM.element(0x00081155, "", b"1.2.3\0")
    hidden = OPEN_ITEM + inner + ITEM_END + SEQUENCE_END
    yield (
        "sequence-UN-holding-implicit",
        INDEXED,
        image(
            "sequence-UN-holding-implicit",
            raw={REFERENCED: LITTLE.element(REFERENCED, "UN", hidden, UNDEFINED)},
        ),
    )
    yield (
        "sequence-UN-holding-explicit",
        rejected("truncated"),
        image(
            "sequence-UN-holding-explicit",
            raw={
                REFERENCED: LITTLE.element(
                    REFERENCED, "UN", OPEN_ITEM + code + ITEM_END + SEQUENCE_END, UNDEFINED
                )
            },
        ),
    )


def _deep() -> Iterator[Row]:
    """Sequences within sequences."""
    for depth, outcome in (
        (15, INDEXED),
        (17, INDEXED),
        (300, rejected("nesting")),
        (100_000, rejected("nesting")),
    ):
        opening = LITTLE.element(REFERENCED, "SQ", OPEN_ITEM, UNDEFINED)
        closing = ITEM_END + SEQUENCE_END
        name = f"nested-{depth}"
        yield name, outcome, image(name, raw={REFERENCED: opening * depth + closing * depth})
        name = f"nested-{depth}-open"
        yield (
            name,
            rejected("nesting" if depth > 20 else "truncated"),
            image(name, raw={REFERENCED: opening * depth}, pixels=b""),
        )
    opening = IMPLICIT_FORM.element(REFERENCED, "", OPEN_ITEM, UNDEFINED)
    name = "nested-3000-implicit"
    raw = {REFERENCED: opening * 3000 + (ITEM_END + SEQUENCE_END) * 3000}
    yield name, rejected("nesting"), image(name, IMPLICIT, raw=raw)
    content = b""
    for _ in range(2000):
        content = LITTLE.element(
            REFERENCED, "SQ", struct.pack("<HHI", 0xFFFE, 0xE000, len(content)) + content
        )
    yield "nested-2000-defined", INDEXED, image("nested-2000-defined", raw={REFERENCED: content})
    view = tag_of("ViewCodeSequence")
    content = content.replace(LITTLE.element(REFERENCED, "SQ", b"")[:4], LITTLE.element(view, "SQ", b"")[:4])
    yield "nested-2000-defined-codes", INDEXED, image("nested-2000-defined-codes", raw={view: content})


def _many() -> Iterator[Row]:
    yield (
        "large-private-1MB",
        INDEXED,
        image("large-private-1MB", raw={PRIVATE: LITTLE.element(PRIVATE, "OB", b"\1" * (1 << 20))}),
    )
    yield (
        "large-private-40MB",
        INDEXED,
        image("large-private-40MB", raw={PRIVATE: LITTLE.element(PRIVATE, "OB", bytes(40 << 20))}),
    )
    yield (
        "large-text-20MB",
        INDEXED,
        image("large-text-20MB", raw={0x00104000: LITTLE.element(0x00104000, "UT", b"text" * (5 << 20))}),
    )
    yield (
        "large-wanted-20MB",
        INDEXED,
        image(
            "large-wanted-20MB",
            raw={
                tag_of("StudyDescription"): LITTLE.element(
                    tag_of("StudyDescription"), "UT", b"text" * (5 << 20)
                )
            },
        ),
    )
    many = b"".join(LITTLE.element(0x00090000 | n, "SH", b"") for n in range(0x1000, 0xFFFF)) + b"".join(
        LITTLE.element(0x000B0000 | n, "SH", b"xx") for n in range(0x1000, 0xA000)
    )
    yield "many-private-tags", INDEXED, image("many-private-tags", raw={0x00090010: many})
    items = (OPEN_ITEM[:4] + b"\0\0\0\0") * 1_000_000
    yield (
        "many-items",
        INDEXED,
        image("many-items", raw={REFERENCED: LITTLE.element(REFERENCED, "SQ", items)}),
    )
    yield (
        "many-items-open",
        rejected("malformed"),
        image(
            "many-items-open",
            raw={
                REFERENCED: LITTLE.element(
                    REFERENCED, "SQ", (OPEN_ITEM + ITEM_END) * 1_000_000 + SEQUENCE_END, UNDEFINED
                )
            },
        ),
    )
    view = tag_of("ViewCodeSequence")
    yield "many-view-codes", INDEXED, image("many-view-codes", raw={view: LITTLE.element(view, "SQ", items)})

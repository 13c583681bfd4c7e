"""Bytes and texts that were something valid once: what hypothesis draws, and shrinks, for the reader soaks."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

MOST_EDITS = 6
LENGTHS = (
    0,
    1,
    2,
    0x7F,
    0x80,
    0xFF,
    0x100,
    0x7FFF,
    0x8000,
    0xFFFE,
    0xFFFF,
    0x7FFFFFFF,
    0x80000000,
    0xFFFFFFFF,
)
CONTROL = [
    "\0",
    "\t",
    "\r",
    "\n",
    "\x1b",
    "\x7f",
    "\u202e",
    "\ufeff",
    "\ud7ff",
    "\U0010ffff",
    "é",
    "김",
    "'",
    '"',
]


@dataclass(frozen=True)
class Edit:
    """One change: where (a share of the length), how much goes, what comes in its place."""

    where: float
    removed: int
    written: bytes

    def apply(self, content: bytearray) -> None:
        """Make the change in place."""
        start = int(self.where * len(content))
        content[start : start + self.removed] = self.written


def _fields() -> SearchStrategy[bytes]:
    lengths = st.sampled_from(LENGTHS)
    return st.one_of(
        lengths.map(lambda n: struct.pack("<I", n)),
        lengths.map(lambda n: struct.pack("<H", n & 0xFFFF)),
        lengths.map(lambda n: struct.pack(">I", n)),
    )


EDITS = st.builds(
    Edit,
    where=st.floats(0, 1, exclude_max=True),
    removed=st.one_of(st.sampled_from((0, 1, 2, 4, 8)), st.integers(0, 4000)),
    written=st.one_of(_fields(), st.binary(max_size=24), st.binary(max_size=3).map(lambda b: b * 400)),
)


def edited(valid: Sequence[bytes]) -> SearchStrategy[bytes]:
    """Return one of some contents with up to ``MOST_EDITS`` changes."""
    edits = st.lists(EDITS, min_size=1, max_size=MOST_EDITS)
    return st.tuples(st.sampled_from(list(valid)), edits).map(lambda drawn: _edit(*drawn))


def _edit(content: bytes, edits: Sequence[Edit]) -> bytes:
    changed = bytearray(content)
    for edit in edits:
        edit.apply(changed)
    return bytes(changed)


def retyped(valid: Sequence[str], words: Sequence[str]) -> SearchStrategy[str]:
    """Return one of some texts in which words and lines were exchanged for others, or broken off."""
    tokens = st.one_of(st.sampled_from(list(words)), st.sampled_from(CONTROL), st.text(max_size=8))
    edits = st.lists(
        st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 40), tokens),
        min_size=1,
        max_size=MOST_EDITS,
    )
    return st.tuples(st.sampled_from(list(valid)), edits).map(lambda drawn: _retype(*drawn))


def _retype(text: str, edits: Sequence[tuple[float, int, str]]) -> str:
    for where, removed, written in edits:
        start = int(where * len(text))
        text = text[:start] + written + text[start + removed :]
    return text


VRS = (*b"AE AS CS DA DS IS LO OB OW PN SH SQ TM UI UN US UT ??".split(), b"\0\0")


@st.composite
def elements(draw: st.DrawFn) -> bytes:
    """Return an element of explicit or implicit form whose tag, VR, length and value need not agree."""
    group = draw(
        st.sampled_from((0x0002, 0x0008, 0x0009, 0x0010, 0x0018, 0x0020, 0x0028, 0x0054, 0x7FE0, 0xFFFE))
    )
    number = draw(st.sampled_from((0x0000, 0x0005, 0x0010, 0x0011, 0x0018, 0x0060, 0x0100, 0x0220, 0xE000, 0xE00D, 0xE0DD)))  # fmt: skip
    value = draw(st.binary(max_size=40))
    length = draw(st.one_of(st.just(len(value)), st.sampled_from(LENGTHS)))
    head = struct.pack("<HH", group, number)
    form = draw(st.sampled_from(("short", "long", "implicit")))
    if form == "implicit":
        return head + struct.pack("<I", length) + value
    vr = draw(st.sampled_from(VRS)).ljust(2, b" ")[:2]
    if form == "short":
        return head + vr + struct.pack("<H", length & 0xFFFF) + value
    return head + vr + b"\0\0" + struct.pack("<I", length) + value


def headers() -> SearchStrategy[bytes]:
    """Return a file of a preamble and elements in any order, nested by chance."""
    meta = b"\x02\x00\x10\x00UI\x14\x001.2.840.10008.1.2.1\0"
    prefix = st.sampled_from((b"\0" * 128 + b"DICM" + meta, b"\0" * 128 + b"DICM", b""))
    return st.tuples(prefix, st.lists(elements(), max_size=30)).map(
        lambda drawn: drawn[0] + b"".join(drawn[1])
    )

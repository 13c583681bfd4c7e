"""Text as it may stand in a file: no control characters, and no marks that turn its direction round."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any

REPLACED = "\ufffd"
TURNING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c")
LINE_ENDS = frozenset("\n\t")
SEPARATORS = frozenset("\u2028\u2029\x85")


def printable(text: str) -> str:
    """Return a text with control characters made visible and marks of direction left out.

    Letters of right-to-left scripts stay; only the marks that reorder what follows them go (Unicode
    Standard Annex 9, 2.1-2.6).

    >>> printable("a\\x00b"), printable("1\\u202e2")
    ('a\\ufffdb', '12')
    """
    if text.isprintable():
        return text
    return "".join(_shown(character) for character in text if character not in TURNING)


def make_printable(value: Any) -> Any:
    """Return a report, or anything nested in one, with every text in it printable."""
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, Mapping):
        return {make_printable(key): make_printable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [make_printable(item) for item in value]
    if isinstance(value, tuple):
        return tuple(make_printable(item) for item in value)
    if is_dataclass(value) and not isinstance(value, type):
        texts = {f.name: make_printable(getattr(value, f.name)) for f in fields(value) if f.init}
        return replace(value, **texts)
    return value


def _shown(character: str) -> str:
    if character in LINE_ENDS:
        return character
    if character in SEPARATORS or character == "\r":
        return " "
    code = ord(character)
    controls = code < 0x20 or 0x7F <= code < 0xA0
    halves = 0xD800 <= code < 0xE000 or code & 0xFFFE == 0xFFFE  # surrogates; not characters
    return REPLACED if controls or halves else character

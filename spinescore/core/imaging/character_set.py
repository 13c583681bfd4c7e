"""Bytes of a DICOM text value -> text, by Specific Character Set (0008,0005; PS3.3 C.12.1.1.2).

Real files name a character set and then write another; such a text is still read, by a
stated rule, and flagged.
"""

from __future__ import annotations

import re
import warnings
from functools import lru_cache
from typing import Literal

from pydicom.charset import decode_bytes, python_encoding

CharacterSetFlag = Literal["charset_unknown", "charset_mismatch"]
ESCAPE = b"\x1b"
DEFAULT_ENCODING = "iso8859"
HIGH_BYTES = re.compile(rb"[\x80-\xff]+")
SINGLE_BYTE_LETTERS = re.compile(rb"^[\xc0-\xff]$")
MISSPELT_TERM = re.compile(r"^ISO[ _-]*(2022)?[ _-]*IR[ _-]*(\d+)$")


def decode_text(value: bytes, character_set: bytes = b"") -> tuple[str, CharacterSetFlag | None]:
    """Decode a text value; what cannot be decoded as declared is read by :func:`guess_text`.

    Parameters
    ----------
    value : bytes
        As stored; several values stay joined by their backslashes.
    character_set : bytes
        Value of (0008,0005).

    Returns
    -------
    text : str
        Without padding (PS3.5 6.2).
    flag : str or None
        ``charset_unknown`` if the declared term does not exist, ``charset_mismatch`` if the bytes
        are not of the declared set.

    >>> decode_text(b"LSPINE ")
    ('LSPINE', None)
    >>> decode_text("측면".encode(), b"ISO_IR 192")
    ('측면', None)
    >>> decode_text("측면".encode("euc_kr"), b"ISO_IR 100")[1]
    'charset_mismatch'
    """
    if value.isascii() and ESCAPE not in value:
        return value.decode("ascii").strip(" \0"), None
    encodings, known = _encodings(character_set)
    flag: CharacterSetFlag | None = None if known else "charset_unknown"
    text = _decode_as_declared(value, encodings) if known else None
    if text is None:
        text, flag = guess_text(value), flag or "charset_mismatch"
    return text.strip(" \0"), flag


@lru_cache(maxsize=256)
def _encodings(character_set: bytes) -> tuple[list[str], bool]:
    """Return Python's names of the declared sets, and whether all of them exist."""
    terms = character_set.decode("ascii", "replace").strip(" \0").split("\\")
    names = [python_encoding.get(_corrected(term.strip()), "") for term in terms]
    return [name or DEFAULT_ENCODING for name in names], all(names)


def _corrected(term: str) -> str:
    """Return a defined term for one of its common misspellings (``ISO IR 100``, ``ISO-IR 192``)."""
    match = MISSPELT_TERM.match(term.upper())
    if match is None:
        return term.upper()
    return f"ISO 2022 IR {match[2]}" if match[1] else f"ISO_IR {match[2]}"


def _decode_as_declared(value: bytes, encodings: list[str]) -> str | None:
    """Return the text, or None if the bytes are not of these sets."""
    if ESCAPE in value:
        with warnings.catch_warnings(record=True) as complaints:
            warnings.simplefilter("always")
            text = decode_bytes(value, encodings, set())
        return None if complaints else text
    if encodings[0] == DEFAULT_ENCODING:
        return None  # the default repertoire is ASCII (PS3.5 6.1.2.1), and these bytes are not
    try:
        text = value.decode(encodings[0])
    except UnicodeDecodeError:
        return None
    if encodings[0].upper().startswith(("UTF", "GB", "SHIFT", "EUC")):
        return text
    return None if _is_utf8(value) or _is_hangul(value) else text


def _is_hangul(value: bytes) -> bool:
    """Tell whether the bytes above 127 can only be Korean: even runs, one of two syllables or more."""
    runs = HIGH_BYTES.findall(value)
    if any(len(run) % 2 for run in runs) or max(map(len, runs)) < 4:
        return False
    try:
        return _is_korean(value.decode("euc_kr"))
    except UnicodeDecodeError:
        return False


def _is_utf8(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


def guess_text(value: bytes) -> str:
    """Return the text of bytes whose character set is not declared, or wrongly.

    UTF-8 if it is valid; Latin-1 if no two bytes above 127 meet; else the first of EUC-KR (Hangul
    only), Shift JIS (with kana), CP949 (Hangul only) and GB18030 that fits; else Latin-1. Escape
    sequences are dropped.
    """
    plain = re.sub(rb"\x1b[$(),\-]{1,2}[A-Z]", b"", value).replace(ESCAPE, b"")
    if _is_utf8(plain):
        return plain.decode()
    if all(SINGLE_BYTE_LETTERS.match(run) for run in HIGH_BYTES.findall(plain)):
        return plain.decode("latin-1")
    for encoding, fits in GUESSES:
        try:
            text = plain.decode(encoding)
        except UnicodeDecodeError:
            continue
        if fits(text):
            return text
    return plain.decode("latin-1")


def _is_korean(text: str) -> bool:
    return all("\uac00" <= c <= "\ud7a3" for c in text if not c.isascii())


def _has_kana(text: str) -> bool:
    return any("\u3041" <= c <= "\u30ff" for c in text)


def _is_chinese(text: str) -> bool:
    return all("\u4e00" <= c <= "\u9fff" or "\u3000" <= c <= "\u303f" for c in text if not c.isascii())


GUESSES = (
    ("euc_kr", _is_korean),
    ("shift_jis", _has_kana),
    ("cp949", _is_korean),
    ("gb18030", _is_chinese),
)

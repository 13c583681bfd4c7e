"""How texts of headers are read, and how word lists become regular expressions.

Descriptions come in every case, script and spelling: both sides of a comparison
are folded the same way, so a rule says ``lombaire`` once and ``wirbelsaule`` without umlaut.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping

LONGEST_TEXT = 1024
REFERENCE = re.compile(r"\{([a-z][a-z_]+)\}")

_LETTERS = "a-zа-яα-ω"
_UNDECOMPOSED = str.maketrans({"ı": "i", "ł": "l", "ø": "o", "æ": "ae", "œ": "oe", "đ": "d", "_": " "})
_DIACRITICS = re.compile("[\u0300-\u036f]")
_GAPS = re.compile(r"[\s\x00-\x1f\x7f-\x9f]+")
_WORD_GAPS = re.compile(r"[\s./_-]+")


def fold(text: str) -> str:
    """Return a header's text as rules see it: compatible forms, no case, no accents, single spaces.

    Underscores are spaces (``L_SPINE_LAT``), control characters too; what lies beyond
    1,024 characters is not looked at, which bounds the time any pattern takes.

    >>> fold("  RX_Colonne  LOMBÄIRE ")
    'rx colonne lombaire'
    """
    if text.isascii():
        return _GAPS.sub(" ", text[:LONGEST_TEXT].lower().replace("_", " ")).strip()
    return _GAPS.sub(" ", strip_accents(text[:LONGEST_TEXT]).translate(_UNDECOMPOSED)).strip()[:LONGEST_TEXT]


def strip_accents(text: str) -> str:
    """Return the text casefolded, in compatible forms (NFKC) and without Latin, Greek, Cyrillic accents."""
    decomposed = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    return unicodedata.normalize("NFC", _DIACRITICS.sub("", decomposed))


def fold_letters(pattern: str) -> str:
    r"""Return a pattern with its accented and foreign letters folded as those of texts are.

    ASCII stays as it is: ``\S`` is not ``\s``, and patterns are compiled to ignore case.

    >>> fold_letters(r"\SÉpaule|straße")
    '\\Sepaule|strasse'
    """
    composed = unicodedata.normalize("NFC", pattern)
    return "".join(_fold_letter(letter) for letter in composed if not _DIACRITICS.match(letter))


def _fold_letter(letter: str) -> str:
    if letter.isascii() or not letter.isalnum():
        return letter
    return strip_accents(letter).translate(_UNDECOMPOSED)


def words_pattern(words: Iterable[str]) -> str:
    """Return the regular expression that finds any of these words.

    A word stands for itself, whole: ``lat`` is not found in ``plate``, but in ``LAT1`` and ``요추LAT``.
    ``*`` at an end lets it go on (``lumb*``, ``*wirbel``); a space, dot, slash or hyphen within
    also means none or another one (``l spine`` finds ``LSPINE``, ``L-Spine``, ``L/ SPINE``).
    """
    groups: dict[tuple[str, str], list[str]] = {}
    for word in words:
        before, body, after = _word_parts(word)
        groups.setdefault((before, after), []).append(body)
    # One look at the boundary for many words, not one each: three times as fast.
    alternatives = [f"{before}(?:{'|'.join(bodies)}){after}" for (before, after), bodies in groups.items()]
    return "(?:" + "|".join(alternatives) + ")"


def _word_parts(word: str) -> tuple[str, str, str]:
    folded = strip_accents(word).translate(_UNDECOMPOSED)
    core = folded.strip("*").strip()
    body = r"\W{0,2}".join(re.escape(part) for part in _WORD_GAPS.split(core))
    before = "" if folded.startswith("*") else _boundary(core[0], "<!")
    after = "" if folded.endswith("*") else _boundary(core[-1], "!")
    return before, body, after


def _boundary(letter: str, kind: str) -> str:
    """Scripts without spaces between words (Hangul, Kana, Han) have no boundary to ask for."""
    if letter.isdigit():
        return rf"(?{kind}\d)"
    return f"(?{kind}[{_LETTERS}])" if re.match(f"[{_LETTERS}]", letter) else ""


def expand(pattern: str, vocabulary: Mapping[str, str]) -> str:
    """Put the vocabulary's expressions in the place of ``{names}``.

    Raises
    ------
    KeyError
        If the vocabulary has no such name, or a name contains itself.
    """

    def inner(match: re.Match[str]) -> str:
        name = match.group(1)
        rest = {key: value for key, value in vocabulary.items() if key != name}
        return f"(?:{expand(vocabulary[name], rest)})"

    return REFERENCE.sub(inner, pattern)

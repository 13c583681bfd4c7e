"""Korean text as it is drawn: syllables composed, and on paper words whole, as ``word-break: keep-all``."""

from __future__ import annotations

import re
import unicodedata

HANGUL = "[\uac00-\ud7a3]"
JOINER = "\u2060"  # draws nothing, forbids a break, and is not in the text that is copied from the PDF
JOINED = re.compile(rf"(?<={HANGUL})(?=[^\s&])|(?<=[^\s;])(?={HANGUL})")  # entities are no letters
LETTERS = re.compile("[\u1100-\u11ff]")
TEXT = re.compile(r"(<(style|script|title)\b.*?</\2>|<[^>]*>)|([^<]+)", re.DOTALL)


def compose(text: str) -> str:
    """Return a text whose Korean syllables are one character each, as fonts have them.

    File systems and tables of macOS hold them as letters.

    >>> compose("\u1100\u1161") == "가"
    True
    """
    return unicodedata.normalize("NFC", text) if LETTERS.search(text) else text


def keep_words(page: str) -> str:
    """Return a page that breaks Korean at spaces alone.

    >>> keep_words("<p>척추 age</p>") == f"<p>척{JOINER}추 age</p>"
    True
    """
    if not re.search(HANGUL, page):
        return page
    return TEXT.sub(lambda found: found[1] or JOINED.sub(JOINER, found[3]), page)

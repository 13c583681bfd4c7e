"""Korean words that stay whole on paper: ``word-break: keep-all``, which WeasyPrint does not know."""

from __future__ import annotations

import re

HANGUL = "[\uac00-\ud7a3]"
JOINER = "\u2060"  # draws nothing, forbids a break, and is not in the text that is copied from the PDF
JOINED = re.compile(rf"(?<={HANGUL})(?=[^\s&])|(?<=[^\s;])(?={HANGUL})")  # entities are no letters
TEXT = re.compile(r"(<(style|script|title)\b.*?</\2>|<[^>]*>)|([^<]+)", re.DOTALL)


def keep_words(page: str) -> str:
    """Return a page that breaks Korean at spaces alone.

    >>> keep_words("<p>척추 age</p>") == f"<p>척{JOINER}추 age</p>"
    True
    """
    if not re.search(HANGUL, page):
        return page
    return TEXT.sub(lambda found: found[1] or JOINED.sub(JOINER, found[3]), page)

"""The bundled Korean face as style rules that fetch nothing, cut down to the characters a page holds."""

from __future__ import annotations

import base64
import io
import re
from functools import cache

from spinescore.core.reporting.language import ORIGINAL
from spinescore.shell.resources import resource

FACES = (("SpineScoreSansKR-Regular.otf", "400"), ("SpineScoreSansKR-Bold.otf", "700"))
SPACES = " \u00a0"  # pango takes them from the font of the word before
KOREAN = re.compile("[\u3000-\u318f\u3200-\u32ff\uac00-\ud7a3\uff00-\uffef\u2460-\u2473\u203b\u20a9]")


def korean_faces(page: str, language: str = ORIGINAL) -> str:
    """Return the rules of the face for what a page holds of Korean; nothing where it holds none.

    Parameters
    ----------
    page : str
        The page, or any text with all its characters.
    language : str
        The language it is written in: all characters of its catalogue are taken, so that the pages of a
        report share one cut of the face.
    """
    found = set(KOREAN.findall(page))
    if not found:
        return ""
    if language != ORIGINAL:
        found |= _catalogue_characters(language)
    return _faces("".join(sorted(found)) + SPACES)


@cache
def _catalogue_characters(language: str) -> frozenset[str]:
    content = resource("templates", "locale", language, "LC_MESSAGES", "report.mo").read_bytes()
    return frozenset(KOREAN.findall(content.decode("utf-8", errors="ignore")))


@cache
def _faces(characters: str) -> str:
    rules = []
    for name, weight in FACES:
        content = base64.b64encode(_cut(name, characters)).decode()
        rules.append(
            f'@font-face {{ font-family: "SpineScore Sans KR"; font-style: normal; font-weight: {weight}; '
            f'src: url("data:font/otf;base64,{content}") format("opentype"); }}'
        )
    return "\n".join(rules)


def _cut(name: str, characters: str) -> bytes:
    """Return a face with these characters alone; those it has not are left to other fonts."""
    from fontTools import subset
    from fontTools.ttLib import TTFont

    cutter = subset.Subsetter(subset.Options(hinting=False, layout_features=[], notdef_outline=True))
    cutter.populate(text=characters)
    content = io.BytesIO()
    path = resource("templates", "fonts", name)
    with TTFont(path, lazy=True, recalcBBoxes=False, recalcTimestamp=False) as font:
        cutter.subset(font)
        font.save(content)
    return content.getvalue()

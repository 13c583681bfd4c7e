"""The language a report is written in: gettext's functions, over the catalogue in use.

Texts are written in English where they are used, as ``_("{n} subjects").format(n=n)``; another language's
catalogue is read by ``shell.catalogues`` and holds within ``written_in``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from gettext import NullTranslations

ORIGINAL = "en"  # what the texts are written in where they are used
_CATALOGUE: ContextVar[NullTranslations | None] = ContextVar("catalogue", default=None)


def gettext(message: str) -> str:
    """Return a text in the language in use; a text its catalogue lacks stays English."""
    catalogue = _CATALOGUE.get()
    return catalogue.gettext(message) if catalogue and message else message  # "" is the catalogue's head


def gettexts(messages: Iterable[str]) -> tuple[str, ...]:
    """Return the texts of a module's constant in the language in use."""
    return tuple(gettext(message) for message in messages)


def ngettext(singular: str, plural: str, n: int) -> str:
    """Return the form of a text that goes with a count."""
    catalogue = _CATALOGUE.get()
    return catalogue.ngettext(singular, plural, n) if catalogue else (singular if n == 1 else plural)


def pgettext(context: str, message: str) -> str:
    """Return a text that has several meanings in English, in the language in use."""
    catalogue = _CATALOGUE.get()
    return catalogue.pgettext(context, message) if catalogue else message


def language() -> str:
    """Return the code of the language in use, as ``ko``."""
    catalogue = _CATALOGUE.get()
    return catalogue.info().get("language", ORIGINAL) if catalogue else ORIGINAL


def marked(message: str) -> str:
    """Mark a text of a module's constant for the catalogue; it is translated where it is used."""
    return message


def marked_plural(singular: str, plural: str) -> tuple[str, str]:
    """Mark both forms of a text of a module's constant; they are translated where they are used."""
    return singular, plural


@contextmanager
def written_in(catalogue: NullTranslations) -> Iterator[None]:
    """Write texts in a catalogue's language within the block."""
    token = _CATALOGUE.set(catalogue)
    try:
        yield
    finally:
        _CATALOGUE.reset(token)

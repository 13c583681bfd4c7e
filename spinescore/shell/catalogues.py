"""The languages a report can be written in: compiled catalogues of texts in ``templates/locale``."""

from __future__ import annotations

from functools import cache
from gettext import GNUTranslations, NullTranslations

from spinescore.core.reporting.language import ORIGINAL
from spinescore.errors import LanguageError
from spinescore.shell.resources import resource


def languages() -> tuple[str, ...]:
    """Return the codes of the languages, English first."""
    folders = resource("templates", "locale").glob("*/LC_MESSAGES/report.mo")
    return (ORIGINAL, *sorted(path.parents[1].name for path in folders))


@cache
def read_catalogue(language: str) -> NullTranslations:
    """Return the catalogue of a language, for ``written_in``; English needs none and has an empty one.

    Raises
    ------
    LanguageError
        If there is no such language.
    """
    if language == ORIGINAL:
        return NullTranslations()
    if language not in languages():
        raise LanguageError(
            f"A report cannot be written in `{language}`.", f"Choose one of: {', '.join(languages())}."
        )
    with resource("templates", "locale", language, "LC_MESSAGES", "report.mo").open("rb") as file:
        return GNUTranslations(file)

"""Extract the report's texts and compile their translations: ``python docs/make_catalogues.py``.

Writes ``templates/locale/report.pot`` (every text), brings each ``templates/locale/*/LC_MESSAGES/report.po``
up to it and compiles the ``.mo`` beside it. A text that changed is empty afterwards, never guessed: the
command ends by naming what is left to translate. A new language starts as a folder of its code.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from babel.messages.catalog import Catalog, Message
from babel.messages.extract import extract_from_file
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

ROOT = Path(__file__).resolve().parents[1]
LOCALE = ROOT / "templates" / "locale"
KEYWORDS: dict[str, tuple[int | tuple[int, str], ...] | None] = {
    "_": None,
    "gettext": None,
    "marked": None,
    "ngettext": (1, 2),
    "marked_plural": (1, 2),
    "pgettext": ((1, "c"), 2),
}
SOURCES = (
    ("python", "spinescore/core/reporting", "*.py"),
    ("python", "spinescore", "report.py"),
    ("jinja2", "templates/report", "*.j2"),
)
UNTRANSLATED = {"training_curves.py", "correction_page.py"}  # pages of other commands, in English
WRITTEN = datetime(2025, 11, 28, tzinfo=UTC)  # a fixed date: equal texts, equal files


def extract_messages() -> Catalog:
    """Return every text of the report, with the files it stands in."""
    catalog = Catalog(
        domain="report",
        project="spinescore",
        copyright_holder="the spinescore authors",
        charset="utf-8",
        creation_date=WRITTEN,
        revision_date=WRITTEN,
        fuzzy=False,
    )
    for method, path in _files():
        options = {"extensions": "", "silent": "false"} if method == "jinja2" else {}
        found = extract_from_file(method, path, KEYWORDS, options=options)
        for _line, message, _comments, context in found:
            if message and message != "":
                name = path.relative_to(ROOT).as_posix()
                catalog.add(message, locations=[(name, 1)], context=context)
    return catalog


def update_catalogue(po: Path, template: Catalog) -> Catalog:
    """Bring a language's texts up to the template: new ones empty, obsolete ones gone, none fuzzy."""
    with po.open("rb") as file:
        catalog = read_po(file, locale=po.parents[1].name)
    catalog.update(template, no_fuzzy_matching=True)
    catalog.obsolete.clear()
    catalog.creation_date = catalog.revision_date = WRITTEN
    return catalog


def po_text(catalog: Catalog) -> bytes:
    """Return a catalogue as a PO file, sorted by text, files named without lines."""
    buffer = io.BytesIO()
    write_po(buffer, catalog, width=100, sort_output=True, include_lineno=False, omit_header=False)
    return buffer.getvalue()


def mo_bytes(catalog: Catalog) -> bytes:
    """Return a catalogue as gettext reads it."""
    buffer = io.BytesIO()
    write_mo(buffer, catalog)
    return buffer.getvalue()


def is_translated(message: Message) -> bool:
    """Whether a text has its translation in every form, and none is a guess."""
    forms = message.string if isinstance(message.string, tuple | list) else (message.string,)
    return bool(forms) and all(forms) and not message.fuzzy


def _files() -> Iterator[tuple[str, Path]]:
    for method, folder, pattern in SOURCES:
        for path in sorted((ROOT / folder).rglob(pattern)):
            if path.name not in UNTRANSLATED:
                yield method, path


def main() -> int:
    """Write the template and every language's files."""
    template = extract_messages()
    LOCALE.mkdir(exist_ok=True)
    (LOCALE / "report.pot").write_bytes(po_text(template))
    missing = 0
    for po in sorted(LOCALE.glob("*/LC_MESSAGES/report.po")):
        catalog = update_catalogue(po, template)
        po.write_bytes(po_text(catalog))
        po.with_suffix(".mo").write_bytes(mo_bytes(catalog))
        for message in catalog:
            if message.id and not is_translated(message):
                missing += 1
                sys.stdout.write(f"{po.relative_to(ROOT)}: {message.id!r}\n")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())

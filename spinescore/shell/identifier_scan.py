"""Do any of a database's identifiers stand in files that are to leave? Every kind of file is read as text."""

from __future__ import annotations

import html
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

SHORTEST = 6
SHORTEST_NUMBER = 8
SURE = 12  # from here on an identifier is one wherever it stands, also within a word
DATA_ADDRESS = re.compile(r"data:[a-z]+/[a-z0-9.+-]+;base64,[A-Za-z0-9+/=]+")
TAG = re.compile(r"<[^<>]*>")
UNREAD = frozenset({".png"})  # drawn from the SVG beside it


@dataclass(frozen=True, slots=True)
class Leak:
    """An identifier that stands in a file."""

    file: str
    kind: str
    identifier: str

    def __str__(self) -> str:
        shown = self.identifier if len(self.identifier) <= 8 else f"{self.identifier[:4]}..."
        return f"{self.file} holds a {self.kind} ({shown})"


def is_searchable(identifier: str) -> bool:
    """Whether an identifier can be told from other text: long enough, and longer if it is a number.

    >>> is_searchable("A12"), is_searchable("1234567"), is_searchable("1.2.840.1")
    (False, False, True)
    """
    if identifier.isdigit():
        return len(identifier) >= SHORTEST_NUMBER
    return len(identifier) >= SHORTEST and any(character.isdigit() for character in identifier)


def find_identifiers(folder: Path, identifiers: Mapping[str, str], places: Iterable[str] = ()) -> list[Leak]:
    """Return what stands in a folder's files that must not.

    Parameters
    ----------
    folder : Path
    identifiers : mapping of identifier to kind
        Those that cannot be told from other text (``is_searchable``) are passed over.
    places : iterable of str
        Folders and files of the machine.
    """
    wanted = {text: kind for text, kind in identifiers.items() if is_searchable(text)}
    wanted |= {place: "path" for place in places if len(place) >= SHORTEST}
    patterns = list(wanted)
    leaks = []
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.suffix not in UNREAD and patterns:
            name = path.relative_to(folder).as_posix()
            leaks += [Leak(name, wanted[found], found) for found in _search(read_texts(path), patterns)]
            leaks += [Leak(name, wanted[found], found) for found in _search([name], patterns)]
    return leaks


def read_texts(path: Path) -> list[str]:
    """Return what a file says, and the same without mark-up and without line breaks within a word."""
    if path.suffix == ".pdf":
        return list(_pdf_texts(path.read_bytes()))
    if path.suffix == ".parquet":
        return ["\n".join(_strings(pl.read_parquet(path).to_dicts()))]
    text = path.read_text(encoding="utf-8-sig", errors="surrogateescape")
    if path.suffix == ".json":
        return [text, "\n".join(_strings(json.loads(text)))]
    if path.suffix in (".html", ".svg"):
        text = DATA_ADDRESS.sub("", text)
        return [text, html.unescape(TAG.sub("", text))]
    return [text]


def _pdf_texts(content: bytes) -> Iterator[str]:
    """Yield the text of every page, the same without blanks, and the strings of the document's tree."""
    from pypdf import PdfReader
    from pypdf.generic import TextStringObject

    reader = PdfReader(io.BytesIO(content))
    pages = "\n".join(page.extract_text() for page in reader.pages)
    yield pages
    yield "".join(pages.split())
    strings: list[str] = [str(value) for value in (reader.metadata or {}).values()]
    for number in range(1, int(str(reader.trailer["/Size"]))):
        found = reader.get_object(number)
        values = found.values() if isinstance(found, dict) else found if isinstance(found, list) else (found,)
        strings += [str(value) for value in values if isinstance(value, TextStringObject)]
    yield "\n".join(strings)


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield str(key)
            yield from _strings(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _strings(item)


def _search(texts: Sequence[str], patterns: list[str]) -> list[str]:
    """Return the patterns that stand in a text; short ones as a word of their own."""
    found: set[str] = set()
    for text in texts:
        clean = text.encode("utf-8", "replace").decode()
        hits = pl.Series([clean]).str.extract_many(patterns, ascii_case_insensitive=True, overlapping=True)
        for hit in {match.casefold() for match in hits[0]}:
            if len(hit) >= SURE or re.search(rf"(?<!\w){re.escape(hit)}(?!\w)", clean, re.IGNORECASE):
                found.add(hit)
    return sorted(pattern for pattern in patterns if pattern.casefold() in found)

"""The report as frozen values: what is said, in order; the renderers add looks and compute nothing."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

Align = Literal["left", "right", "center"]
RowKind = Literal["data", "group", "indent", "total"]
Severity = Literal["warning", "note"]
Paper = Literal["a4", "letter"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One cell: its text, a second smaller line, and the reasons or cautions that become footnotes."""

    text: str
    detail: str = ""
    notes: tuple[str, ...] = ()
    marks: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column head; neighbours with the same ``spanner`` share a head above theirs.

    ``width`` is a column's share of the table in percent, given for all columns of a long table or for none.
    """

    label: str
    align: Align = "right"
    spanner: str = ""
    width: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Spanner:
    """A head over several columns; empty text over columns that have none."""

    text: str
    width: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A row; of kind ``group`` it is a head over the rows that follow and has one cell."""

    cells: tuple[Cell, ...]
    kind: RowKind = "data"


@dataclass(frozen=True, slots=True, kw_only=True)
class Paragraph:
    """Running text."""

    kind: ClassVar[str] = "paragraph"
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Heading:
    """A heading within a section."""

    kind: ClassVar[str] = "heading"
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Callout:
    """Something a reader must not miss."""

    kind: ClassVar[str] = "callout"
    title: str
    items: tuple[str, ...]
    severity: Severity = "warning"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyFigure:
    """One number of the first page with its interval and what it is."""

    label: str
    value: str
    interval: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyFigures:
    """The key figures of one cohort."""

    kind: ClassVar[str] = "key_figures"
    title: str
    figures: tuple[KeyFigure, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Definitions:
    """Names and what they stand for."""

    kind: ClassVar[str] = "definitions"
    items: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class References:
    """Numbered references of the methods text."""

    kind: ClassVar[str] = "references"
    items: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowExit:
    """What was left out on the way to a box: how much in all, and how much for each reason."""

    total: str
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowStep:
    """A box of a flow diagram: what it is, what remains there, and what was left out before it."""

    label: str
    remaining: str
    exit: FlowExit | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowChart:
    """The way of one cohort: boxes one below the other, then one for each end it splits into."""

    title: str
    steps: tuple[FlowStep, ...]
    ends: tuple[FlowStep, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """Flow diagrams, one per cohort; shares the numbering of figures."""

    kind: ClassVar[str] = "flow"
    key: str
    title: str
    caption: str
    charts: tuple[FlowChart, ...]
    number: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageCard:
    """One image (a ``data:`` address), what it is, and in words what it shows."""

    title: str
    picture: str
    facts: tuple[tuple[str, str], ...]
    alt: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageCards:
    """Images side by side; share the numbering of figures."""

    kind: ClassVar[str] = "image_cards"
    key: str
    title: str
    caption: str
    cards: tuple[ImageCard, ...]
    number: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A numbered table; ``footnotes`` are filled by ``number_report``."""

    kind: ClassVar[str] = "table"
    key: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    caption: str = ""
    footnotes: tuple[tuple[str, str], ...] = ()
    number: int = 0

    @property
    def sortable(self) -> bool:
        """Return whether rows may change places within their group: each says all of what it is about."""
        data = [row for row in self.rows if row.kind != "group"]
        alike = {row.kind for row in data} in ({"data"}, {"indent"})
        return alike and len(data) > 2 and all(row.cells[0].text.strip() for row in data)

    @property
    def spanners(self) -> tuple[Spanner, ...]:
        """Return the heads over the column heads, empty if no column has one."""
        if not any(column.spanner for column in self.columns):
            return ()
        merged: list[Spanner] = []
        for column in self.columns:
            if merged and column.spanner and merged[-1].text == column.spanner:
                merged[-1] = replace(merged[-1], width=merged[-1].width + 1)
            else:
                merged.append(Spanner(text=column.spanner, width=1))
        return tuple(merged)


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A numbered chart: a Vega-Lite specification, and in words what it shows."""

    kind: ClassVar[str] = "figure"
    key: str
    title: str
    caption: str
    alt: str
    spec: Mapping[str, Any]
    number: int = 0


Block = (
    Paragraph | Heading | Callout | KeyFigures | Definitions | References | Flow | ImageCards | Table | Figure
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A section of the report; ``supplementary`` ones are a document of their own on paper."""

    key: str
    title: str
    blocks: tuple[Block, ...]
    supplementary: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A whole report; ``banner`` is empty only for real data scored by a real model."""

    title: str
    subtitle: str
    banner: str
    banner_detail: str
    running_head: str
    facts: tuple[tuple[str, str], ...]
    sections: tuple[Section, ...]
    paper: Paper = "a4"

    def blocks(self) -> Iterator[Block]:
        """Yield every block in order."""
        for section in self.sections:
            yield from section.blocks

    def tables(self) -> tuple[Table, ...]:
        """Return the tables in order."""
        return tuple(block for block in self.blocks() if isinstance(block, Table))

    def figures(self) -> tuple[Figure, ...]:
        """Return the charts in order."""
        return tuple(block for block in self.blocks() if isinstance(block, Figure))


def number_report(report: Report) -> Report:
    """Number tables and figures in order and turn the cells' notes into footnotes.

    Keys are made unique: names of letters that no anchor can hold may have come out alike.
    """
    tables = figures = 0
    sections = []
    keys: set[str] = set()
    for section in report.sections:
        blocks: list[Block] = []
        for block in section.blocks:
            if isinstance(block, Table | Figure | Flow | ImageCards):
                block = replace(block, key=_unused(block.key, keys))
            if isinstance(block, Table):
                tables += 1
                block = add_footnotes(replace(block, number=tables))
            elif isinstance(block, Figure | Flow | ImageCards):
                figures += 1
                block = replace(block, number=figures)
            blocks.append(block)
        sections.append(replace(section, blocks=tuple(blocks)))
    return replace(report, sections=tuple(sections))


def _unused(key: str, keys: set[str]) -> str:
    """Return a key that is not there yet, by a number behind it, and keep it."""
    unused, number = key, 1
    while unused in keys:
        number += 1
        unused = f"{key}-{number}"
    keys.add(unused)
    return unused


def add_footnotes(table: Table) -> Table:
    """Give every distinct note a letter, in reading order, and mark the cells that carry it."""
    letters: dict[str, str] = {}
    rows = []
    for row in table.rows:
        cells = []
        for cell in row.cells:
            for note in cell.notes:
                letters.setdefault(note, _letter(len(letters)))
            cells.append(replace(cell, marks=",".join(letters[note] for note in cell.notes)))
        rows.append(replace(row, cells=tuple(cells)))
    footnotes = tuple((letter, note) for note, letter in letters.items())
    return replace(table, rows=tuple(rows), footnotes=footnotes)


def make_key(text: str) -> str:
    """Return a text as an anchor or file name: lower-case letters, digits and hyphens.

    Letters that ASCII does not have are told apart by the start of a hash.

    >>> make_key("Any fracture (T1)"), make_key("골절")
    ('any-fracture-t1', 'item-6e5241')
    """
    apart = unicodedata.normalize("NFKD", text)
    plain = apart.encode("ascii", "ignore").decode().lower()
    key = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:60] or "item"
    if any(character.isalnum() and not character.isascii() for character in apart):
        key += f"-{hashlib.sha256(text.encode()).hexdigest()[:6]}"
    return key


def _letter(position: int) -> str:
    """Return a, b, ... z, aa, ab ..."""
    first, second = divmod(position, 26)
    return (chr(96 + first) if first else "") + chr(97 + second)

"""How wide a table's columns are on paper, from the widths of its words in the bundled font.

WeasyPrint finds the same by laying every cell out twice more; told beforehand, it takes a quarter less time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from spinescore.core.reporting.document import Row, Table
from spinescore.shell.resources import resource

TEXT_WIDTH_MM = 170.0
ROOT_MM = 9.6 * 25.4 / 72
SIZES_REM = (0.8, 0.76, 0.72, 0.68, 0.64)  # of print.css: table.dense-0 to -4
PADDING_EM = 0.58  # each side of a cell
INDENT_EM = 1.1
DETAIL_EM = 0.86
MARK_EM = 0.72
SHORT = 20  # characters below which a row's head stays on one line, as in the template
SPARE = 1.02  # kerning and rounding
WIDE_SCRIPTS = 0x1100


@dataclass(frozen=True, slots=True)
class Layout:
    """Shares of the columns in percent, and how much smaller than usual the text must be (0: not at all)."""

    shares: tuple[float, ...]
    density: int


@dataclass(frozen=True, slots=True)
class Need:
    """What a column takes, em: at least, and so that nothing of it breaks."""

    least: float
    most: float


def lay_out(table: Table) -> Layout:
    """Return the columns' shares of a table on paper."""
    needs = [_column_need(table, i) for i in range(len(table.columns))]
    needs = _widened(table, needs)
    rooms = [TEXT_WIDTH_MM / ROOT_MM / size for size in SIZES_REM]
    first = 1 if table.columns[0].width is not None else 0  # long tables, whose rows are many
    least = sum(need.least for need in needs)
    fitting = (i for i, room in enumerate(rooms) if i >= first and least <= room)
    density = next(fitting, len(rooms) - 1)
    widths = _distributed(needs, rooms[density])
    return Layout(tuple(round(100 * width / sum(widths), 2) for width in widths), density)


def _distributed(needs: Sequence[Need], room: float) -> list[float]:
    """Give each column what it needs and a share of the rest, as CSS 2.1 section 17.5.2.2 suggests."""
    least, most = sum(need.least for need in needs), sum(need.most for need in needs)
    if most <= room:
        return [need.most * room / most for need in needs]
    if least >= room:
        return [need.least * room / least for need in needs]
    spare = (room - least) / (most - least)
    return [need.least + (need.most - need.least) * spare for need in needs]


def _column_need(table: Table, column: int) -> Need:
    head = table.columns[column]
    lines = head.label.split("\n")
    found = [Need(max(map(_longest_word, lines)), max(_width(line, bold=True) for line in lines))]
    for row in table.rows:
        if row.kind != "group":
            found.append(_cell_need(row, column, head.align == "right"))
    last = len(table.columns) - 1
    padding = PADDING_EM * (2 - (column == 0) - (column == last))
    least, most = max(need.least for need in found), max(need.most for need in found)
    return Need(least * SPARE + padding, max(least, most) * SPARE + padding)


def _cell_need(row: Row, column: int, right: bool) -> Need:
    cell = row.cells[column]
    indent = INDENT_EM if row.kind == "indent" and column == 0 else 0.0
    most = _width(cell.text) + indent
    unbroken = right or (column == 0 and len(cell.text) < SHORT)
    least = most if unbroken else _longest_word(cell.text, bold=False) + indent
    if not right:
        most += MARK_EM * _width(cell.marks)
    detail = DETAIL_EM * _width(cell.detail)
    return Need(max(least, detail), max(most, detail))


def _widened(table: Table, needs: list[Need]) -> list[Need]:
    """Let the columns under a common head be wide enough for it together."""
    at = 0
    for spanner in table.spanners:
        under = needs[at : at + spanner.width]
        lack = _width(spanner.text, bold=True) + PADDING_EM - sum(need.least for need in under)
        if spanner.text and lack > 0:
            each = lack / spanner.width
            grown = [Need(need.least + each, max(need.most, need.least + each)) for need in under]
            needs = [*needs[:at], *grown, *needs[at + spanner.width :]]
        at += spanner.width
    return needs


def _longest_word(text: str, *, bold: bool = True) -> float:
    return max((_width(word, bold=bold) for word in _words(text)), default=0.0)


def _words(text: str) -> Iterator[str]:
    """Yield what does not break: between spaces (hard spaces hold), and after a hyphen."""
    for word in text.replace("-", "- ").split(" "):
        if word:
            yield word


def _width(text: str, *, bold: bool = False) -> float:
    return sum(_advance("0" if c.isdigit() else c, bold) for c in text)


@cache
def _advance(character: str, bold: bool) -> float:
    """Return a character's width, em."""
    if ord(character) >= WIDE_SCRIPTS and not 0x2000 <= ord(character) < 0x2E80:
        return 1.0
    return float(_font(bold).getlength(character)) / 100


@cache
def _font(bold: bool) -> Any:
    from PIL import ImageFont

    name = "SpineScoreSans-SemiBold.otf" if bold else "SpineScoreSans-Regular.otf"
    return ImageFont.truetype(str(resource("templates", "fonts", name)), size=100)

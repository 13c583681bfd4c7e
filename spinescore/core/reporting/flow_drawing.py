"""A flow diagram as one SVG: what the page draws with styles, for those who need it as a picture."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from xml.sax.saxutils import escape, quoteattr

from spinescore.core.reporting import theme
from spinescore.core.reporting.document import Flow, FlowChart, FlowStep
from spinescore.core.reporting.language import gettext as _
from spinescore.core.reporting.printable import printable

WIDTH = 642.0  # 170 mm at 96 px to the inch
BOX, EXIT, END_INDENT, END_WIDTH = 268.0, 322.0, 64.0, 226.0
LINE, PAD, GAP = 13.5, 6.0, 15.0
SIZE, SMALL = 10.5, 9.5
TITLE_ROOM = 20.0


@dataclass(frozen=True, slots=True)
class _Text:
    x: float
    y: float
    text: str
    size: float
    bold: bool = False


def draw_flow(flow: Flow) -> str:
    """Return every chart of a flow, one below the other, as SVG of the report's width."""
    parts: list[str] = []
    y = 0.0
    for chart in flow.charts:
        drawn, y = _draw_chart(chart, y)
        parts.extend(drawn)
        y += 12
    height = max(1.0, y)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH:g}" height="{height:g}" '
        f'viewBox="0 0 {WIDTH:g} {height:g}" role="img" aria-label={quoteattr(printable(flow.title))} '
        f'font-family="{theme.FONT}, sans-serif" fill="{theme.INK}">'
        f"{''.join(parts)}</svg>"
    )


def wrap(text: str, width: float, size: float) -> list[str]:
    """Break a text into lines no wider than ``width``, within a word if it must be.

    >>> wrap("alpha beta", 30, 10)
    ['alpha', 'beta']
    """
    lines: list[str] = []
    line = ""
    for word in printable(text).split():
        for piece in _pieces(word, width, size):
            joined = f"{line} {piece}".strip()
            if line and _width(joined, size) > width:
                lines.append(line)
                joined = piece
            line = joined
    return [*lines, line] if line or not lines else lines


def _width(text: str, size: float) -> float:
    """Estimate a text's width: wide characters an em, others six tenths."""
    return sum(size if unicodedata.east_asian_width(c) in "WF" else 0.6 * size for c in text)


def _pieces(word: str, width: float, size: float) -> Iterator[str]:
    piece = ""
    for character in word:
        if piece and _width(piece + character, size) > width:
            yield piece
            piece = ""
        piece += character
    yield piece


def _draw_chart(chart: FlowChart, y: float) -> tuple[list[str], float]:
    texts = [_Text(0, y + SIZE, line, SIZE, bold=True) for line in wrap(chart.title, WIDTH, SIZE)]
    y += TITLE_ROOM + LINE * (len(texts) - 1)
    parts = [_write(text) for text in texts]
    middle = BOX * 0.35
    for i, step in enumerate(chart.steps):
        top = y
        exit_parts, exit_bottom = _draw_exit(step, y + 2, middle) if step.exit else ([], y)
        box_top = max(y + (GAP if i else 0), exit_bottom + 4 if step.exit else y)
        box_parts, y = _draw_box(step, 0, box_top, BOX)
        if i:
            parts.append(_line(middle, top, middle, box_top, arrow=True))
        parts += [*exit_parts, *box_parts]
    trunk = y
    for end in chart.ends:
        top = y + GAP
        box_parts, below = _draw_box(end, END_INDENT, top, END_WIDTH)
        exit_parts, exit_bottom = _draw_exit(end, top, END_INDENT + END_WIDTH) if end.exit else ([], below)
        parts.append(_line(middle / 2, trunk, middle / 2, top + LINE))
        parts.append(_line(middle / 2, top + LINE, END_INDENT, top + LINE, arrow=True))
        parts += [*box_parts, *exit_parts]
        trunk, y = top + LINE, max(below, exit_bottom)
    return parts, y


def _draw_box(step: FlowStep, x: float, y: float, width: float) -> tuple[list[str], float]:
    room = width - 2 * PAD
    lines = [(line, False) for line in wrap(step.label, room, SIZE)]
    lines += [(line, True) for line in wrap(f"n = {step.remaining}", room, SIZE)]
    height = 2 * PAD + LINE * len(lines)
    texts = [
        _write(_Text(x + PAD, y + PAD + LINE * i + SIZE, line, SIZE, bold))
        for i, (line, bold) in enumerate(lines)
    ]
    return [_rectangle(x, y, width, height, theme.INK), *texts], y + height


def _draw_exit(step: FlowStep, y: float, from_x: float) -> tuple[list[str], float]:
    assert step.exit is not None
    width = WIDTH - EXIT - 1
    total = _("Left out: {n}").format(n=step.exit.total)
    lines = [(line, True) for line in wrap(total, width - 2 * PAD, SMALL)]
    for reason in step.exit.reasons:
        lines += [(line, False) for line in wrap(reason, width - 2 * PAD, SMALL)]
    height = 2 * PAD + (LINE - 1) * len(lines)
    texts = [
        _write(_Text(EXIT + PAD, y + PAD + (LINE - 1) * i + SMALL, line, SMALL, bold))
        for i, (line, bold) in enumerate(lines)
    ]
    arrow = _line(from_x, y + LINE, EXIT, y + LINE, arrow=True)
    return [_rectangle(EXIT, y, width, height, theme.MUTED), *texts, arrow], y + height


def _write(text: _Text) -> str:
    weight = ' font-weight="bold"' if text.bold else ""
    return f'<text x="{text.x:g}" y="{text.y:g}" font-size="{text.size:g}"{weight}>{escape(text.text)}</text>'


def _rectangle(x: float, y: float, width: float, height: float, colour: str) -> str:
    return (
        f'<rect x="{x + 0.5:g}" y="{y:g}" width="{width:g}" height="{height:g}" fill="none" '
        f'stroke="{colour}"/>'
    )


def _line(x1: float, y1: float, x2: float, y2: float, *, arrow: bool = False) -> str:
    stroke = f'<path d="M{x1:g} {y1:g}L{x2:g} {y2:g}" fill="none" stroke="{theme.INK}"/>'
    if not arrow:
        return stroke
    if x1 == x2:
        return f'{stroke}<path d="M{x2 - 3:g} {y2 - 5:g}L{x2 + 3:g} {y2 - 5:g}L{x2:g} {y2:g}Z"/>'
    return f'{stroke}<path d="M{x2 - 5:g} {y2 - 3:g}L{x2 - 5:g} {y2 + 3:g}L{x2:g} {y2:g}Z"/>'

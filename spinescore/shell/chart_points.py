"""What can be read off a chart, point by point: the words of its tooltips, and where each belongs.

A chart's specification names the fields of its tooltips. Vega writes an element's words into the SVG only as
``aria-label``; so the words are asked for there, between marks that no text holds, and taken out again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

BETWEEN_ITEMS = "\u2029"
BETWEEN_NAME_AND_VALUE = "\u2028"
PARTS = ("layer", "hconcat", "vconcat", "concat")
ABSENT = "–"


@dataclass(frozen=True, slots=True)
class Point:
    """A point of a chart that says something: its place in the drawing, px, and (name, value) pairs."""

    x: float
    y: float
    items: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Readings:
    """The points of a chart as a table: names, and one row per point with its place in the drawing, px."""

    names: tuple[str, ...]
    rows: tuple[tuple[str, str, tuple[str, ...]], ...]


def ask_for_words(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return a Vega-Lite specification whose SVG carries the words of every tooltip."""
    return {**_asked(dict(spec), ""), "config": {**spec.get("config", {})}}


def words_of(label: str) -> tuple[tuple[str, str], ...]:
    """Return the pairs that an element's label holds; none if it was not asked for.

    >>> words_of("Age: 70")
    ()
    >>> words_of("\u2029Age\u202870\u2029Sex\u2028F")
    (('Age', '70'), ('Sex', 'F'))
    """
    if not label.startswith(BETWEEN_ITEMS):
        return ()
    pairs = (part.partition(BETWEEN_NAME_AND_VALUE) for part in label[1:].split(BETWEEN_ITEMS))
    return tuple((name, value) for name, _, value in pairs)


def read_off(points: Sequence[Point]) -> Readings:
    """Return the points as a table, the names in the order in which they first appear."""
    names = tuple(dict.fromkeys(name for point in points for name, _ in point.items))
    rows = []
    for point in points:
        found = dict(point.items)
        rows.append((f"{point.x:.1f}", f"{point.y:.1f}", tuple(found.get(name, ABSENT) for name in names)))
    return Readings(names=names, rows=tuple(rows))


def _asked(part: dict[str, Any], panel: str) -> dict[str, Any]:
    panel = _title(part) or panel
    for name in PARTS:
        if name in part:
            part[name] = [_asked(dict(inner), panel) for inner in part[name]]
    encoding = part.get("encoding", {})
    if isinstance(encoding.get("tooltip"), list):
        words = " + ".join(_words(encoding["tooltip"], panel))
        part["encoding"] = {**encoding, "description": {"value": {"expr": words}}}
    return part


def _title(part: Mapping[str, Any]) -> str:
    title = part.get("title", "")
    text = title.get("text", "") if isinstance(title, Mapping) else title
    return text if isinstance(text, str) else " ".join(map(str, text or ()))


def _words(tooltip: Sequence[Mapping[str, Any]], panel: str) -> Iterator[str]:
    """Yield the parts of a Vega expression whose value is the tooltip's text."""
    if panel:
        yield json.dumps(f"{BETWEEN_ITEMS}{BETWEEN_NAME_AND_VALUE}{panel}")
    for item in tooltip:
        value = f"datum[{json.dumps(item['field'])}]"
        shown = f"format({value}, {json.dumps(item['format'])})" if "format" in item else f"('' + {value})"
        name = json.dumps(f"{BETWEEN_ITEMS}{item.get('title', item['field'])}{BETWEEN_NAME_AND_VALUE}")
        yield f"{name} + (isValid({value}) ? {shown} : {json.dumps(ABSENT)})"

"""The looks of every chart in one place; legible in grey by dash, shape and direct label."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal

FONT = "SpineScore Sans, SpineScore Sans KR"
INK = "#1b1f24"
MUTED = "#5b6470"
FAINT = "#d5d9df"
STRIPE = "#f1f3f6"
BLUE = "#0072b2"
VERMILION = "#d55e00"
GREEN = "#00825f"
GREY = "#6f7782"
PURPLE = "#a2558a"
GROUP_COLOURS: Mapping[int, tuple[str, ...]] = {
    1: (BLUE,),
    2: (BLUE, VERMILION),
    3: (BLUE, GREY, VERMILION),
    4: (BLUE, GREEN, GREY, VERMILION),
}
GROUP_DASHES = ((2, 2), (6, 3), (1, 0), (8, 2, 2, 2), (4, 4), (1, 3))
SMALL = 9.5
TEXT = 10.5
PANEL_WIDTH = 232
PANEL_HEIGHT = 194
CONFIG: dict[str, Any] = {
    "background": "transparent",
    "font": FONT,
    "padding": 2,
    "view": {"stroke": None},
    "concat": {"spacing": 34},
    "axis": {
        "domainColor": MUTED,
        "tickColor": MUTED,
        "tickSize": 4,
        "gridColor": FAINT,
        "gridWidth": 0.6,
        "labelColor": MUTED,
        "labelFontSize": SMALL,
        "titleColor": INK,
        "titleFontSize": TEXT,
        "titleFontWeight": "normal",
        "titlePadding": 7,
    },
    "axisX": {"grid": False},
    "title": {
        "anchor": "start",
        "color": INK,
        "fontSize": TEXT,
        "fontWeight": "bold",
        "offset": 9,
        "frame": "group",
        "subtitleColor": MUTED,
        "subtitleFontSize": SMALL,
        "subtitlePadding": 3,
    },
    "text": {"color": INK, "fontSize": SMALL},
    "legend": {"labelFontSize": SMALL, "titleFontSize": SMALL, "labelColor": MUTED, "titleColor": INK},
}


def group_colours(groups: Sequence[str]) -> list[str]:
    """Return a colour for each PAD group, blue for the lowest, vermilion for the highest."""
    colours = GROUP_COLOURS.get(len(groups))
    if colours is None:
        cycle = (BLUE, GREEN, GREY, PURPLE, VERMILION, INK)
        colours = tuple(cycle[i % len(cycle)] for i in range(len(groups)))
    return list(colours)


def group_dashes(groups: Sequence[str]) -> list[list[int]]:
    """Return a dash pattern for each PAD group; the highest is solid."""
    if len(groups) == 1:
        return [[1, 0]]
    dashes = [list(GROUP_DASHES[i % len(GROUP_DASHES)]) for i in range(len(groups))]
    solid = dashes.index([1, 0]) if [1, 0] in dashes else len(dashes) - 1
    dashes[solid], dashes[-1] = dashes[-1], [1, 0]
    return dashes


@contextmanager
def unchecked_charts() -> Iterator[None]:
    """Build charts without checking each part against the schema while it is made: seconds a report."""
    from altair.utils.schemapi import debug_mode

    with debug_mode(False):
        yield


def fixed(channel: Literal["x", "x2", "y", "y2"], pixels: float) -> Any:
    """Return a place in pixels for a channel; Altair takes long to find out what a bare value is."""
    import altair as alt

    classes: dict[str, Any] = {"x": alt.XValue, "x2": alt.X2Value, "y": alt.YValue, "y2": alt.Y2Value}
    return classes[channel](pixels)


def finish(chart: Any) -> dict[str, Any]:
    """Return a chart's Vega-Lite specification with the house's looks."""
    spec = _part(chart)
    spec["config"] = CONFIG
    return spec


def layered(*layers: Any, **properties: Any) -> dict[str, Any]:
    """Lay charts one over the other, with these properties of the whole."""
    return _together("layer", layers) | {name: _plain(value) for name, value in properties.items()}


def beside(*charts: Any, spacing: float = 34) -> dict[str, Any]:
    """Put charts side by side, ``spacing`` px apart."""
    return _together("hconcat", charts) | {"spacing": spacing}


def below(*charts: Any, spacing: float = 34) -> dict[str, Any]:
    """Put charts one below the other, ``spacing`` px apart."""
    return _together("vconcat", charts) | {"spacing": spacing}


def in_rows(panels: Sequence[Any], a_row: int = 2, spacing: float = 26) -> dict[str, Any]:
    """Put panels in rows of ``a_row``, rows ``spacing`` px apart."""
    starts = range(0, len(panels), a_row)
    return below(*(beside(*panels[i : i + a_row], spacing=44) for i in starts), spacing=spacing)


def _together(how: str, parts: Sequence[Any]) -> dict[str, Any]:
    """Put specifications into one; Altair's own functions copy every part again for each step."""
    specs = [_part(part) for part in parts]
    schemas = [spec.pop("$schema") for spec in specs]
    datasets = {name: rows for spec in specs for name, rows in spec.pop("datasets", {}).items()}
    return {"$schema": schemas[0], how: specs, "datasets": datasets}


def _part(chart: Any) -> dict[str, Any]:
    if isinstance(chart, dict):
        return dict(chart)
    spec: dict[str, Any] = chart.to_dict(validate=False)  # checked by the tests; it costs seconds here
    spec.pop("config", None)
    return spec


def _plain(value: Any) -> Any:
    return value.to_dict(validate=False) if hasattr(value, "to_dict") else value


def spread_labels(positions: Sequence[float], gap: float) -> list[float]:
    """Move label positions apart until neighbours are ``gap`` away, keeping their order.

    >>> spread_labels([0.5, 0.5], 0.1)
    [0.45, 0.55]
    """
    order = sorted(range(len(positions)), key=lambda i: positions[i])
    placed = [positions[i] for i in order]
    for _ in range(50):
        moved = False
        for i in range(1, len(placed)):
            short = gap - (placed[i] - placed[i - 1])
            if short > 1e-9:
                placed[i - 1] -= short / 2
                placed[i] += short / 2
                moved = True
        if not moved:
            break
    result = [0.0] * len(positions)
    for rank, i in enumerate(order):
        result[i] = round(placed[rank], 6)
    return result

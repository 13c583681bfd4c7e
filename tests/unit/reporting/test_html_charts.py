"""A chart's lean SVG is Vega's picture, and the words of its tooltips come with their places."""

from __future__ import annotations

import io
from typing import Any
from xml.etree import ElementTree

import altair as alt
import numpy as np
import pytest
import vl_convert
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from spinescore.core.reporting.figures import _roc_hints
from spinescore.core.reporting.follow_up_figures import _say_headings
from spinescore.core.reporting.theme import CONFIG, finish
from spinescore.shell.chart_points import (
    BETWEEN_ITEMS,
    BETWEEN_NAME_AND_VALUE,
    Point,
    ask_for_words,
    read_off,
    words_of,
)
from spinescore.shell.chart_svg import simplify
from spinescore.shell.resources import resource

POINTS = [
    {"age": 50.0 + 0.7 * i, "gap": ((i * 37) % 23) / 4, "sex": "F" if i % 3 else "M"} for i in range(60)
]
HINTS = [
    {"field": "age", "type": "quantitative", "title": "Age", "format": ".1f"},
    {"field": "sex", "type": "nominal", "title": "Sex"},
]


def chart(mark: dict[str, Any], rows: list[dict[str, Any]] = POINTS, **encoding: Any) -> dict[str, Any]:
    axes = {
        "x": {"field": "age", "type": "quantitative", "scale": {"zero": False}},
        "y": {"field": "gap", "type": "quantitative"},
    }
    return {
        "$schema": "https://vega.github.io/schema/vega-lite/v5.json",
        "data": {"values": rows},
        "title": {"text": "Derivation", "subtitle": "n = 60"},
        "width": 180,
        "height": 120,
        "mark": mark,
        "encoding": {**axes, "tooltip": HINTS, **encoding},
        "config": CONFIG,
    }


CHARTS = {
    "overlapping half-transparent dots": chart(
        {"type": "circle", "size": 60, "fillOpacity": 0.4, "opacity": 1}
    ),
    "dots of two colours over one another": chart(
        {"type": "circle", "size": 200, "opacity": 1},
        color={"field": "sex", "type": "nominal", "legend": None},
    ),
    "rings with a white inside": chart(
        {"type": "point", "fill": "white", "color": "#1b1f24", "size": 90, "opacity": 1}
    ),
    "a dashed line": chart(
        {"type": "line", "color": "#d55e00", "strokeDash": [4, 3]}, y={"field": "age", "type": "quantitative"}
    ),
    "a clipped area": {**chart({"type": "area", "clip": True, "fillOpacity": 0.2}), "height": 60},
    "bars on a turned axis": chart({"type": "bar", "stroke": "white"}),
    "cells by a scale of colours": chart(
        {"type": "rect"},
        x={"field": "age", "type": "quantitative", "bin": True},
        y={"field": "gap", "type": "quantitative", "bin": True},
        color={"aggregate": "count", "type": "quantitative"},
        tooltip=[],
    ),
}


@pytest.fixture(scope="module", autouse=True)
def _bundled_fonts() -> None:
    vl_convert.register_font_directory(str(resource("templates", "fonts")))


def pixels(svg: str) -> np.ndarray:
    picture = Image.open(io.BytesIO(vl_convert.svg_to_png(svg, ppi=144))).convert("RGBA")
    white = Image.new("RGBA", picture.size, "white")
    return np.asarray(Image.alpha_composite(white, picture).convert("RGB")).astype(int)


@pytest.mark.parametrize("name", CHARTS)
def test_the_lean_drawing_looks_as_vegas(name: str) -> None:
    """Up to edges that fall a hundredth of a pixel elsewhere: one pixel in a thousand may differ by more."""
    whole = vl_convert.vegalite_to_svg(CHARTS[name])
    lean = simplify(whole, "key").svg
    difference = np.abs(pixels(whole) - pixels(lean)).max(axis=2)
    assert (difference > 40).mean() < 0.001
    assert pixels(lean).min() < 200


def test_it_takes_a_third_of_the_elements_and_keeps_every_word() -> None:
    whole = vl_convert.vegalite_to_svg(CHARTS["overlapping half-transparent dots"])
    lean = simplify(whole, "key").svg
    assert lean.count("<") < whole.count("<") / 3
    words = ["".join(node.itertext()) for svg in (whole, lean) for node in texts(svg)]
    assert sorted(words[: len(words) // 2]) == sorted(words[len(words) // 2 :])
    assert {"Derivation", "n = 60"} <= set(words)


def texts(svg: str) -> list[ElementTree.Element]:
    return [
        node
        for node in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")
        if "".join(node.itertext())
    ]


def test_ids_begin_with_the_figures_key_and_are_pointed_to() -> None:
    lean = simplify(vl_convert.vegalite_to_svg(CHARTS["a clipped area"]), "spline-death").svg
    root = ElementTree.fromstring(lean)
    ids = {node.get("id") for node in root.iter() if node.get("id")}
    used = {node.get("clip-path") for node in root.iter() if node.get("clip-path")}
    assert used
    assert used <= {f"url(#{name})" for name in ids}
    assert all(name and name.startswith("spline-death-") for name in ids)


def test_every_point_has_its_panel_its_words_and_its_place() -> None:
    spec = CHARTS["overlapping half-transparent dots"]
    drawing = simplify(vl_convert.vegalite_to_svg(ask_for_words(spec)), "key")
    readings = read_off(drawing.points)
    assert readings.names == ("", "Age", "Sex")
    assert [values for _, _, values in readings.rows] == [
        ("Derivation", f"{row['age']:.1f}", row["sex"]) for row in POINTS
    ]
    xs = np.array([float(x) for x, _, _ in readings.rows])
    assert np.allclose(np.diff(xs), np.diff(xs)[0], atol=0.11)
    assert (xs >= 0).all()
    assert (xs <= drawing.width).all()


def test_transparent_points_are_read_but_not_drawn() -> None:
    spec = chart({"type": "circle", "color": "transparent"})
    drawing = simplify(vl_convert.vegalite_to_svg(ask_for_words(spec)), "key")
    assert len(drawing.points) == 60
    assert "transparent" not in drawing.svg


def test_absent_values_and_hostile_words_stay_words() -> None:
    rows = [{"age": 50, "gap": 1, "sex": '<b>"x"</b>; y: z\''}, {"age": 60, "gap": 2, "sex": None}]
    spec = chart({"type": "circle"}, rows)
    drawing = simplify(vl_convert.vegalite_to_svg(ask_for_words(spec)), "key")
    assert [dict(point.items)["Sex"] for point in drawing.points] == ['<b>"x"</b>; y: z\'', "–"]


def test_asking_for_words_leaves_the_specification_as_it_was() -> None:
    spec = CHARTS["a dashed line"]
    before = repr(spec)
    assert "description" in ask_for_words(spec)["encoding"]
    assert repr(spec) == before


NAMES = st.text(st.characters(exclude_characters="\u2028\u2029", exclude_categories=["Cs"]), max_size=8)


@given(st.lists(st.tuples(NAMES, NAMES), min_size=1, max_size=5))
def test_words_come_back_as_they_went(items: list[tuple[str, str]]) -> None:
    label = "".join(f"{BETWEEN_ITEMS}{name}{BETWEEN_NAME_AND_VALUE}{value}" for name, value in items)
    assert words_of(label) == tuple(items)


def test_points_without_a_name_say_so() -> None:
    readings = read_off([Point(1, 2, (("a", "1"),)), Point(3, 4, (("b", "2"),))])
    assert readings.names == ("a", "b")
    assert [values for _, _, values in readings.rows] == [("1", "–"), ("–", "2")]


def test_a_point_of_a_forest_says_under_which_headings_it_stands() -> None:
    lines = [
        {"label": "Derivation", "heading": True},
        {"label": "Sex", "heading": True},
        {"label": "Female", "heading": False},
        {"label": "Manufacturer", "heading": True},
        {"label": "ACME", "heading": False},
        {"label": "External", "heading": True},
        {"label": "Sex", "heading": True},
        {"label": "Female", "heading": False},
    ]
    _say_headings(lines)
    said = [line["under"] for line in lines if not line["heading"]]
    assert said == ["Derivation: Sex", "Derivation: Manufacturer", "External: Sex"]


def test_some_points_of_a_curve_can_be_read_and_none_is_drawn() -> None:
    rows = [{"x": i / 400, "y": i / 400, "i": i} for i in range(400)]
    axes = {name: alt.X(f"{name}:Q") if name == "x" else alt.Y(f"{name}:Q") for name in ("x", "y")}
    spec = finish(_roc_hints(rows, "Spine age", axes["x"], axes["y"]))
    drawing = simplify(vl_convert.vegalite_to_svg(ask_for_words(spec)), "key")
    assert len(drawing.points) == 40
    assert drawing.points[0].items == (
        ("Line", "Spine age"),
        ("1 − specificity", "0.00"),
        ("Sensitivity", "0.00"),
    )
    assert "circle" not in drawing.svg

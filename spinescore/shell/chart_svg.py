"""Vega's SVG -> the same drawing in a third of the elements, which screens and paper draw the faster.

Groups that only shift become shifts of what they hold; what nobody sees goes; marks of one kind and colour
that do not touch become one path. Nothing moves by more than 0.005 px.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from xml.etree import ElementTree

from spinescore.core.reporting import theme
from spinescore.shell.chart_points import Point, words_of

SVG = "{http://www.w3.org/2000/svg}"
KEPT = """
    clip-path d fill fill-opacity font-size font-style font-weight height opacity rx ry stroke
    stroke-dasharray stroke-linecap stroke-linejoin stroke-opacity stroke-width text-anchor width x1 x2 y1 y2
""".split()  # noqa: SIM905 - words are easier to read
SAID_BY_DEFAULT = {"opacity": "1", "fill-opacity": "1", "font-weight": "normal", "text-anchor": "start"}
INKS = {"#d55e00": "#b84f00"}  # words in vermilion: 4.9 to 1 on white, where the lines' own has 3.9
NUMBER = re.compile(r"-?\d*\.?\d+(?:e-?\d+)?")
TOKEN = re.compile(rf"[A-Za-z]|{NUMBER.pattern}")
SHIFT = re.compile(rf"translate\(({NUMBER.pattern})[ ,]+({NUMBER.pattern})\)")
NUMBERED = rf"({NUMBER.pattern})"
CIRCLE = re.compile(
    rf"M{NUMBERED},0A\1,\1,0,1,1,-\1,0A\1,\1,0,1,1,\1,0"
)  # as Vega draws one about its middle
ARGUMENTS = {"M": 2, "L": 2, "H": 1, "V": 1, "A": 7, "C": 6, "Q": 4, "Z": 0}


@dataclass(frozen=True, slots=True)
class Box:
    """Where a shape lies, px."""

    left: float
    top: float
    right: float
    bottom: float

    def touches(self, other: Box) -> bool:
        """Return whether two boxes have a point in common."""
        return (
            self.left <= other.right
            and other.left <= self.right
            and self.top <= other.bottom
            and other.top <= self.bottom
        )


@dataclass(slots=True)
class Stroke:
    """A path in the making: its looks, and the boxes of what it holds already."""

    looks: dict[str, str]
    d: list[str] = field(default_factory=list)
    boxes: list[Box] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Drawing:
    """A chart as lean SVG, its size in px, and the points that say something."""

    svg: str
    width: float
    height: float
    points: tuple[Point, ...]


def simplify(svg: str, prefix: str) -> Drawing:
    """Return a drawing by Vega with few elements, ids that begin with ``prefix``, and its points' words."""
    root = ElementTree.fromstring(_number_clips(svg))
    size = {name: root.get(name, "0") for name in ("width", "height")}
    out = ElementTree.Element("svg", {"xmlns": SVG[1:-1], **size, "viewBox": root.get("viewBox", "")})
    out.set("font-family", theme.FONT)
    out.set("fill", "none")
    points: list[Point] = []
    _add_all(out, root, (0.0, 0.0), prefix, points)
    lean = ElementTree.tostring(out, encoding="unicode")
    return Drawing(lean, float(size["width"]), float(size["height"]), tuple(points))


def _number_clips(svg: str) -> str:
    """Number clips from one: Vega counts them over everything it draws in a process.

    >>> _number_clips('<path clip-path="url(#clip7)"/><clipPath id="clip7"/>')
    '<path clip-path="url(#clip1)"/><clipPath id="clip1"/>'
    """
    found = dict.fromkeys(re.findall(r'id="(clip\d+)"', svg))
    numbers = {name: f"clip{number}" for number, name in enumerate(found, start=1)}
    return re.sub(r'(url\(#|id=")(clip\d+)', lambda match: match[1] + numbers.get(match[2], match[2]), svg)


def _add_all(
    out: ElementTree.Element,
    parent: ElementTree.Element,
    at: tuple[float, float],
    prefix: str,
    points: list[Point],
) -> None:
    """Draw what ``parent`` holds into ``out``, shifted by ``at``."""
    pending: list[Stroke] = []
    for node in parent:
        tag = node.tag.removeprefix(SVG)
        if node.get("display") == "none":
            continue
        here, rest = _shifted(node.get("transform", ""), at)
        looks = _looks(node, prefix)
        if tag in ("path", "line") and not rest:
            _add_mark(pending, node, looks, here, points)
            continue
        _flush(out, pending)
        if tag == "g":
            _add_group(out, node, looks, here, rest, prefix, points)
        elif tag == "text":
            _add_text(out, node, looks, here, rest)
        else:
            _copy(out, node, prefix)
    _flush(out, pending)


def _shifted(transform: str, at: tuple[float, float]) -> tuple[tuple[float, float], str]:
    """Return the place after the leading shift of a transform, and what else the transform does."""
    found = SHIFT.match(transform)
    if found is None:
        return at, transform
    here = at[0] + float(found.group(1)), at[1] + float(found.group(2))
    return here, transform[found.end() :].strip()


def _looks(node: ElementTree.Element, prefix: str) -> dict[str, str]:
    looks = {}
    for name in KEPT:
        value = node.get(name)
        if value is None or SAID_BY_DEFAULT.get(name) == value:
            continue
        looks[name] = value.replace("url(#", f"url(#{prefix}-")
    return looks


def _add_group(
    out: ElementTree.Element,
    node: ElementTree.Element,
    looks: dict[str, str],
    here: tuple[float, float],
    rest: str,
    prefix: str,
    points: list[Point],
) -> None:
    """Draw a group's content in its place; the group itself stays only if it clips, turns or colours."""
    if looks.get("fill") == "none":
        del looks["fill"]
    if not looks and not rest:
        _add_all(out, node, here, prefix, points)
        return
    inner = ElementTree.SubElement(out, "g", looks)
    found: list[Point] = []
    _add_all(inner, node, (0.0, 0.0), prefix, found)
    points += [Point(p.x + here[0], p.y + here[1], p.items) for p in found]
    if not len(inner):
        out.remove(inner)
        return
    shift = f"translate({_number(here[0])},{_number(here[1])})" if here != (0.0, 0.0) else ""
    if transform := f"{shift} {rest}".strip():
        inner.set("transform", transform)


def _add_text(
    out: ElementTree.Element,
    node: ElementTree.Element,
    looks: dict[str, str],
    here: tuple[float, float],
    rest: str,
) -> None:
    if not (node.text or len(node)):
        return
    looks["fill"] = INKS.get(looks.get("fill", ""), looks.get("fill", "none"))
    text = ElementTree.SubElement(out, "text", looks)
    x, y = _number(here[0]), _number(here[1])
    if rest:
        text.set("transform", f"translate({x},{y}) {rest}")
    else:
        text.attrib |= {"x": x, "y": y}
    text.text = node.text
    for line in node:
        inner = ElementTree.SubElement(
            text, "tspan", {k: v for k, v in line.attrib.items() if k in ("dx", "dy")}
        )
        inner.set("x", x if not rest else line.get("x", "0"))
        inner.text = line.text


def _copy(out: ElementTree.Element, node: ElementTree.Element, prefix: str) -> None:
    """Take over what defines something (clips, gradients), ids prefixed."""
    kept = {k: v for k, v in node.attrib.items() if k not in ("class", "role")}
    if "id" in kept:
        kept["id"] = f"{prefix}-{kept['id']}"
    inner = ElementTree.SubElement(out, node.tag.removeprefix(SVG), kept)
    for child in node:
        _copy(inner, child, prefix)


def _add_mark(
    pending: list[Stroke],
    node: ElementTree.Element,
    looks: dict[str, str],
    here: tuple[float, float],
    points: list[Point],
) -> None:
    """Add a path or line to the strokes in the making, and its words to the points."""
    d = looks.pop("d", "")
    if node.tag.endswith("line"):
        ends = [float(looks.pop(name, "0")) for name in ("x2", "y2")]
        d = f"M0,0L{ends[0]},{ends[1]}"
    if not d:
        return
    moved, box = _move(d, here)
    if (circle := CIRCLE.fullmatch(d)) and "fill" in looks and "stroke" not in looks:
        moved = f"M{_number(here[0])},{_number(here[1])}h.01"
        looks = _as_dot(looks, 2 * float(circle.group(1)))
    if words := words_of(node.get("aria-label", "")):
        points.append(Point((box.left + box.right) / 2, (box.top + box.bottom) / 2, words))
    if _is_seen(looks):
        _join(pending, looks, moved, box)


def _as_dot(looks: dict[str, str], size: float) -> dict[str, str]:
    """Return the looks of a line with no length that shows as a disc: a tenth of the work of two arcs."""
    renamed = {"fill": "stroke", "fill-opacity": "stroke-opacity"}
    dot = {renamed.get(name, name): value for name, value in looks.items() if name != "stroke-width"}
    return {**dot, "stroke-width": _number(size), "stroke-linecap": "round"}


def _is_seen(looks: dict[str, str]) -> bool:
    filled = looks.get("fill", "none") not in ("none", "transparent") and looks.get("fill-opacity") != "0"
    stroked = looks.get("stroke", "none") not in ("none", "transparent") and looks.get("stroke-width") != "0"
    if not stroked:
        looks.pop("stroke", None)
        looks.pop("stroke-width", None)
    return (filled or stroked) and looks.get("opacity") != "0"


def _join(pending: list[Stroke], looks: dict[str, str], d: str, box: Box) -> None:
    """Add a shape to the first stroke of its looks that it does not touch, and that nothing lies between."""
    width = float(looks.get("stroke-width", "0")) / 2 if "stroke" in looks else 0.0
    box = Box(box.left - width, box.top - width, box.right + width, box.bottom + width)
    one_colour = len({"fill", "stroke"} & looks.keys()) == 1  # then it does not matter which is drawn first
    target = None
    for stroke in reversed(pending):
        touched = any(box.touches(other) for other in stroke.boxes)
        if stroke.looks == looks and not touched:
            target = stroke
        elif touched and not (one_colour and stroke.looks == looks):
            break
    if target is None:
        target = Stroke(looks)
        pending.append(target)
    target.d.append(d)
    target.boxes.append(box)


def _flush(out: ElementTree.Element, pending: list[Stroke]) -> None:
    for stroke in pending:
        ElementTree.SubElement(out, "path", {**stroke.looks, "d": "".join(stroke.d)})
    pending.clear()


def _move(d: str, by: tuple[float, float]) -> tuple[str, Box]:
    """Return a path shifted, and a box that holds it; Vega writes capitals, and h and v of rectangles."""
    parts: list[str] = []
    xs: list[float] = []
    ys: list[float] = []
    for command, numbers in _commands(d):
        if command in "hv":
            along = xs if command == "h" else ys
            along.append(along[-1] + numbers[0])
            parts.append(command + _number(numbers[0]))
            continue
        placed = _placed(command, numbers, by)
        parts.append(command + ",".join(map(_number, placed)))
        if command == "H":
            xs.append(placed[0])
        elif command == "V":
            ys.append(placed[0])
        elif command == "A":
            xs += (placed[5] - placed[0], placed[5] + placed[0])
            ys += (placed[6] - placed[1], placed[6] + placed[1])
        else:
            xs += placed[0::2]
            ys += placed[1::2]
    return "".join(parts), Box(min(xs), min(ys), max(xs), max(ys))


def _placed(command: str, numbers: Sequence[float], by: tuple[float, float]) -> list[float]:
    if command == "A":
        return [*numbers[:5], numbers[5] + by[0], numbers[6] + by[1]]
    if command == "V":
        return [numbers[0] + by[1]]
    return [number + by[i % 2] for i, number in enumerate(numbers)]


def _commands(d: str) -> Iterator[tuple[str, list[float]]]:
    """Yield each command of a path with its numbers."""
    tokens = TOKEN.findall(d)
    i, command = 0, ""
    while i < len(tokens):
        if tokens[i].isalpha():
            command = tokens[i]
            i += 1
        count = ARGUMENTS[command.upper()]
        yield command, [float(token) for token in tokens[i : i + count]]
        i += count


def _number(value: float) -> str:
    """Return a number to a hundredth, as short as it goes.

    >>> _number(0.50000001), _number(-3.0), _number(-0.001)
    ('.5', '-3', '0')
    """
    text = f"{value:.2f}".rstrip("0").rstrip(".")
    if text in ("-0", ""):
        return "0"
    return text.replace("0.", ".", 1) if text.startswith(("0.", "-0.")) else text

"""Python, packages, time zones, the clock; a one-line PDF really made, a chart really drawn."""

from __future__ import annotations

import io
import platform
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib import metadata
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from packaging.requirements import Requirement

from spinescore.core.diagnosis.finding import Finding, judge
from spinescore.core.diagnosis.requirements import judge_packages, judge_python
from spinescore.shell.resources import PACKAGE

LINE = "spinescore doctor: age-adjusted \u2265 1"
FAMILY = "SpineScore"
POINT = {
    "$schema": "https://vega.github.io/schema/vega-lite/v5.json",
    "data": {"values": [{"x": 1, "y": 2}]},
    "mark": "point",
    "encoding": {"x": {"field": "x", "type": "quantitative"}, "y": {"field": "y", "type": "quantitative"}},
}
PANGO = (
    "On Debian: apt-get install libpango-1.0-0 libpangoft2-1.0-0 libharfbuzz-subset0. The HTML comes without."
)


def look_at_packages() -> Iterator[Finding]:
    """Hold Python and every package against the ranges that this spinescore asks for."""
    stated = metadata.metadata("spinescore")
    yield judge_python(platform.python_version(), stated["Requires-Python"] or ">=3.11")
    requirements = metadata.requires("spinescore") or []
    names = {Requirement(requirement).name for requirement in requirements}
    yield from judge_packages(requirements, {name: _version(name) for name in names})


def look_at_time() -> Iterator[Finding]:
    """Look for the time zones that schedules need, and whether the clock is behind the installation."""
    zone = "/".join(time.tzname)
    try:
        ZoneInfo("Asia/Seoul")
        yield judge("software", "time zones", f"known; here it is {zone}")
    except ZoneInfoNotFoundError:
        yield judge(
            "software", "time zones", "not known", warn="Install tzdata (Debian: apt-get install tzdata)."
        )
    installed = (PACKAGE / "__init__.py").stat().st_mtime
    now = datetime.now(UTC)
    behind = now.timestamp() < installed
    yield judge(
        "software",
        "clock",
        f"{now:%Y-%m-%d %H:%M} UTC",
        fail="The clock is behind the installation: set it (timedatectl set-ntp true)." if behind else "",
    )


def look_at_paper() -> Iterator[Finding]:
    """Make a PDF of one line with the bundled font."""
    from pypdf import PdfReader

    from spinescore.shell.render import font_faces, render_pdf

    page = (
        f'<html lang="en"><head><title>doctor</title><style>{font_faces()}</style></head>'
        f'<body><p style="font-family: SpineScore Sans">{LINE}</p></body></html>'
    )
    try:
        content = render_pdf(page)
    except OSError as error:
        yield judge("software", "PDF", f"cannot be made: {str(error).splitlines()[0]}", warn=PANGO)
        return
    (first, *_) = PdfReader(io.BytesIO(content)).pages
    written = " ".join(first.extract_text().split())
    embedded = FAMILY in str([font.get_object()["/BaseFont"] for font in _fonts_of(first)])
    sound = written == LINE and embedded
    yield judge(
        "software",
        "PDF",
        f"{len(content):,} bytes of one line, read back {'as written' if sound else repr(written)}",
        warn="" if sound else "Fonts or pango are not as they should be. " + PANGO,
    )


def look_at_charts() -> Iterator[Finding]:
    """Draw a point as SVG."""
    import vl_convert

    drawn = vl_convert.vegalite_to_svg(POINT)
    whole = drawn.startswith("<svg") and "</svg>" in drawn
    yield judge(
        "software",
        "charts",
        f"an SVG of {len(drawn):,} characters",
        fail="" if whole else "Install vl-convert-python again; reports have no figures.",
    )


def _fonts_of(page: object) -> list:  # type: ignore[type-arg]
    return list(page["/Resources"]["/Font"].values())  # type: ignore[index]


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None

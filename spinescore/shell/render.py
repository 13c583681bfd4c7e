"""Document values -> HTML and PDF. Nothing is computed; nothing is fetched from anywhere."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from spinescore.core.reporting.document import Figure, Report, Table
from spinescore.shell.resources import resource

Medium = Literal["screen", "print"]
FONT_FACES = (
    ("SpineScoreSans-Regular.otf", "normal", "400"),
    ("SpineScoreSans-Italic.otf", "italic", "400"),
    ("SpineScoreSans-SemiBold.otf", "normal", "700"),
)
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True, slots=True)
class Chart:
    """A drawn chart: SVG for the page, the same as an image address, and its width on paper."""

    svg: Any
    uri: str
    width: str


def draw_charts(report: Report) -> dict[str, Chart]:
    """Draw every figure as SVG, with the bundled font."""
    return {figure.key: draw_figure(figure) for figure in report.figures()}


def render_html(report: Report, charts: Mapping[str, Chart], medium: Medium) -> str:
    """Return the report as one self-contained page, for the screen or for paper."""
    from markupsafe import Markup

    screen = medium == "screen"
    return str(
        _environment()
        .get_template("report.html.j2")
        .render(
            report=report,
            charts=charts,
            medium=medium,
            fonts=Markup(font_faces()),
            styles=Markup(read_style("base.css") + read_style("screen.css" if screen else "print.css")),
            charts_script=Markup(_charts_script()) if screen else "",
        )
    )


def render_pdf(html: str) -> bytes:
    """Return the page for paper as a tagged PDF (PDF/UA-1).

    Raises
    ------
    OSError
        If the pango libraries cannot be loaded.
    """
    from weasyprint import HTML
    from weasyprint.urls import URLFetcher

    fetcher = URLFetcher(allowed_protocols=["data"])
    document = HTML(string=html, url_fetcher=fetcher).write_pdf(pdf_variant="pdf/ua-1")
    assert document is not None
    return bytes(document)


def render_files(report: Report, stem: str) -> tuple[dict[str, bytes], tuple[str, ...]]:
    """Return the page and the PDF by file name, and a warning where the PDF could not be made."""
    charts = draw_charts(report)
    files = {f"{stem}.html": render_html(report, charts, "screen").encode()}
    try:
        files[f"{stem}.pdf"] = render_pdf(render_html(report, charts, "print"))
    except OSError as error:
        reason = str(error).splitlines()[0]
        return files, (
            f"{stem}.pdf could not be made ({reason}). On Debian: apt-get install libpango-1.0-0 "
            "libpangoft2-1.0-0 libharfbuzz-subset0.",
        )
    return files, ()


def table_csv(table: Table) -> str:
    """Return a table as CSV, the numbers as printed; text that a spreadsheet would run is quoted out.

    Notes follow below the rows, so that a number never travels without its caution.
    """
    import csv
    import io

    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    heads = [f"{c.spanner}: {c.label}" if c.spanner else c.label for c in table.columns]
    writer.writerow([_inert(head.replace("\n", ", ")) for head in heads])
    for row in table.rows:
        writer.writerow([_inert(_cell_text(cell.text, cell.detail, cell.marks)) for cell in row.cells])
    for text in (f"Table {table.number}. {table.title}", table.caption):
        writer.writerow([_inert(text)])
    for mark, note in table.footnotes:
        writer.writerow([_inert(f"[{mark}] {note}")])
    return buffer.getvalue()


def _cell_text(text: str, detail: str, marks: str) -> str:
    noted = f"{text} [{marks}]" if marks else text
    return f"{noted}; {detail}" if detail else noted


def _inert(text: str) -> str:
    return f"'{text}" if text.startswith(FORMULA_STARTS) else text


@cache
def _environment() -> Any:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader(resource("templates", "report")), autoescape=True, undefined=StrictUndefined
    )


@cache
def read_style(name: str) -> str:
    """Return a style sheet or script of the report's folder."""
    return resource("templates", "report", name).read_text(encoding="utf-8")


@cache
def font_faces() -> str:
    """Return the bundled fonts as style rules that fetch nothing."""
    faces = []
    for name, style, weight in FONT_FACES:
        content = base64.b64encode(resource("templates", "fonts", name).read_bytes()).decode()
        faces.append(
            f'@font-face {{ font-family: "SpineScore Sans"; font-style: {style}; font-weight: {weight}; '
            f'src: url("data:font/otf;base64,{content}") format("opentype"); }}'
        )
    return "\n".join(faces)


@cache
def _charts_script() -> str:
    """Return Vega, Vega-Lite and the few lines that start them, as one script without imports."""
    import vl_convert

    bundle: str = vl_convert.javascript_bundle(read_style("charts.js"))
    return bundle.replace("</script", "<\\/script").replace("<!--", "<\\!--")


@cache
def _register_fonts() -> None:
    import vl_convert

    vl_convert.register_font_directory(str(resource("templates", "fonts")))


def draw_figure(figure: Figure) -> Chart:
    """Draw a figure as SVG, with the bundled font."""
    import vl_convert
    from markupsafe import Markup

    _register_fonts()
    svg = vl_convert.vegalite_to_svg(dict(figure.spec))
    svg = re.sub(r'(id="|url\(#|href="#)', rf"\g<1>{figure.key}-", svg)
    width = re.search(r'<svg[^>]* width="([0-9.]+)"', svg)
    assert width is not None
    uri = "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()
    return Chart(svg=Markup(svg), uri=uri, width=f"{width.group(1)}px")

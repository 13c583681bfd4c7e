"""Document values -> HTML and PDF. Nothing is computed; nothing is fetched from anywhere."""

from __future__ import annotations

import base64
import gc
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from spinescore.core.reporting.document import Figure, Report
from spinescore.core.reporting.language import gettext, language
from spinescore.core.reporting.supplement import split_report
from spinescore.shell.chart_points import Readings, ask_for_words, read_off
from spinescore.shell.chart_svg import simplify
from spinescore.shell.column_widths import lay_out
from spinescore.shell.korean_face import korean_faces
from spinescore.shell.korean_words import compose, keep_words
from spinescore.shell.pdf_tags import finish_tags
from spinescore.shell.resources import resource
from spinescore.shell.side_printer import SidePrinter, printing

Medium = Literal["screen", "print"]
PDF_VARIANT = "pdf/ua-1"
KOREAN_FACES = "/* Korean faces */"  # where they go, once all of the page is known
FONT_FACES = (
    ("SpineScoreSans-Regular.otf", "normal", "400"),
    ("SpineScoreSans-Italic.otf", "italic", "400"),
    ("SpineScoreSans-SemiBold.otf", "normal", "700"),
)


@dataclass(frozen=True, slots=True)
class Chart:
    """A drawn chart: SVG for the page, the same as an image address, its width on paper, what it reads."""

    svg: Any
    uri: str
    width: str
    readings: Readings


def draw_charts(report: Report, printer: SidePrinter | None = None) -> dict[str, Chart]:
    """Draw every figure as SVG, with the bundled font; half of them by a printer beside, if there is one."""
    figures = report.figures()
    if printer is None or len(figures) < 2:
        return {figure.key: draw_figure(figure) for figure in figures}
    ours, theirs = figures[::2], figures[1::2]
    printer.draw([ask_for_words(figure.spec) for figure in theirs])
    charts = {figure.key: draw_figure(figure) for figure in ours}
    drawn = printer.drawn()
    for number, figure in enumerate(theirs):
        charts[figure.key] = finish_drawing(drawn[number], figure.key) if drawn else draw_figure(figure)
    return {figure.key: charts[figure.key] for figure in figures}


def render_html(report: Report, charts: Mapping[str, Chart], medium: Medium) -> str:
    """Return the report as one self-contained page, for the screen or for paper."""
    from markupsafe import Markup

    screen = medium == "screen"
    script = read_style("screen.js") if screen else ""
    page = str(
        environment()
        .get_template("report.html.j2")
        .render(
            report=report,
            charts=charts,
            medium=medium,
            language=language(),
            fonts=Markup(font_faces()),
            styles=Markup(_styles(report, medium)),
            script=Markup(f"\n{script}"),
            script_hash=_hash_of(f"\n{script}"),
        )
    )
    page = compose(page)
    drawn = "".join(str(chart.svg) for chart in charts.values())
    page = page.replace(KOREAN_FACES, korean_faces(page + drawn, language()), 1)
    return page if screen else keep_words(page)


def render_pdf(html: str) -> bytes:
    """Return the page for paper as a tagged PDF (PDF/UA-1).

    Raises
    ------
    OSError
        If the pango libraries cannot be loaded.
    """
    with _uncollected():
        return _write_pdf(_lay_out_pages(html))


def render_short(versions: Iterable[Report], charts: Mapping[str, Chart], most_pages: int) -> bytes:
    """Return the first of several versions of a report, longest first, that fits so many pages, as PDF.

    If none does, the last one.

    Raises
    ------
    OSError
        As ``render_pdf``.
    """
    with _uncollected():
        for version in versions:
            document = _lay_out_pages(render_html(version, charts, "print"))
            if len(document.pages) <= most_pages:
                break
        return _write_pdf(document)


def _lay_out_pages(html: str) -> Any:
    from weasyprint import HTML
    from weasyprint.urls import URLFetcher

    fetcher = URLFetcher(allowed_protocols=["data"])
    return HTML(string=html, url_fetcher=fetcher).render(pdf_variant=PDF_VARIANT)


def _write_pdf(document: Any) -> bytes:
    content = document.write_pdf(pdf_variant=PDF_VARIANT, finisher=finish_tags)
    assert content is not None
    return bytes(content)


@contextmanager
def _uncollected() -> Iterator[None]:
    """Let garbage lie within the block: looking for it among so many boxes takes a quarter of the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def render_files(
    report: Report,
    stem: str,
    charts: Mapping[str, Chart] | None = None,
    *,
    pdf: bool = True,
    printer: SidePrinter | None = None,
) -> tuple[dict[str, bytes], tuple[str, ...]]:
    """Return the page and the PDFs by file name, and a warning where a PDF could not be made.

    A printer is used up; one is started where a supplement needs it and none is given.
    """
    main, more = split_report(report)
    own = pdf and more is not None and printer is None
    with printing() if own else nullcontext(printer) as printer:
        charts = draw_charts(report, printer) if charts is None else charts
        if printer is not None and more is not None:
            printer.print(render_html(more, charts, "print"))
        files = {f"{stem}.html": render_html(report, charts, "screen").encode()}
        if not pdf:
            return files, ()
        try:
            files[f"{stem}.pdf"] = render_pdf(render_html(main, charts, "print"))
            if printer is not None and more is not None:
                files[supplement_name(stem)] = printer.printed()
        except OSError as error:
            return files, (_no_pdf(stem, error),)
    return files, ()


def _no_pdf(stem: str, error: OSError) -> str:
    reason = str(error).splitlines()[0]
    return (
        f"{stem}.pdf could not be made ({reason}). On Debian: apt-get install libpango-1.0-0 "
        "libpangoft2-1.0-0 libharfbuzz-subset0."
    )


def supplement_name(stem: str) -> str:
    """Return the file name of a report's supplement.

    >>> supplement_name("shareable-report")
    'shareable-supplement.pdf'
    """
    return f"{stem.removesuffix('report')}supplement.pdf"


@cache
def environment() -> Any:
    """Return the templates of the report: everything is escaped, nothing may be missing."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(resource("templates", "report")), autoescape=True, undefined=StrictUndefined
    )
    environment.globals |= {"_": gettext, "lay_out": lay_out}
    return environment


def _styles(report: Report, medium: Medium) -> str:
    names = ["screen.css"] if medium == "screen" else ["print.css", f"{report.paper}.css"]
    return "".join(map(read_style, ["base.css", *names]))


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


def _hash_of(script: str) -> str:
    """Return what a Content-Security-Policy knows a script by: no other one runs."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


@cache
def _register_fonts() -> None:
    import vl_convert

    vl_convert.register_font_directory(str(resource("templates", "fonts")))


def vega_svg(spec: Mapping[str, Any]) -> str:
    """Draw a Vega-Lite specification as Vega does, with the bundled font."""
    import vl_convert

    _register_fonts()
    return str(vl_convert.vegalite_to_svg(dict(spec)))


def draw_figure(figure: Figure) -> Chart:
    """Draw a figure as SVG, with the bundled font."""
    return finish_drawing(vega_svg(ask_for_words(figure.spec)), figure.key)


def finish_drawing(svg: str, key: str) -> Chart:
    """Return a figure's chart from Vega's drawing of it."""
    from markupsafe import Markup

    drawing = simplify(compose(svg), key)
    return Chart(
        svg=Markup(drawing.svg),
        uri="data:image/svg+xml;base64," + base64.b64encode(drawing.svg.encode()).decode(),
        width=f"{drawing.width:g}px",
        readings=read_off(drawing.points),
    )

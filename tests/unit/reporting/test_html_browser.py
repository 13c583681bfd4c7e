"""The page in a headless Chromium whose network is off: what is asked for, drawn, sorted, said and reached."""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from spinescore.core.reporting.document import Report
from spinescore.core.reporting.sections import build_report
from spinescore.shell.render import draw_charts, render_html
from tests.unit.reporting.browser import LOCAL, Browser, find_chromium, started
from tests.unit.reporting.conftest import make_study
from tests.unit.reporting.families import full_material

pytestmark = pytest.mark.skipif(find_chromium() is None, reason="no Chromium: make system installs one")
NARROW = 360


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    return build_report(full_material(make_study(tmp_path_factory.mktemp("study") / "report")))


@pytest.fixture(scope="module")
def page(report: Report, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(render_html(report, draw_charts(report), "screen"), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    program = find_chromium()
    assert program is not None
    with started(program, tmp_path_factory.mktemp("profile")) as browser:
        browser.prefer(prefers_color_scheme="light", prefers_reduced_motion="reduce")
        yield browser


@pytest.fixture
def browser(running: Browser, page: Path) -> Browser:
    """Return the page at its beginning, as wide as a desk's screen, with no theme chosen."""
    running.prefer(prefers_color_scheme="light", prefers_reduced_motion="reduce")
    if not running.requests:
        running.open(page)
    running.resize(1280)
    running.run(
        "localStorage.clear(), delete document.documentElement.dataset.theme, "
        "document.activeElement.blur(), scrollTo(0, 0)"
    )
    running.complaints.clear()
    return running


def test_it_asks_no_address_for_anything_and_complains_of_nothing(browser: Browser, page: Path) -> None:
    browser.run("document.querySelectorAll('details').forEach((box) => { box.open = true; })")
    assert page.as_uri() in browser.requests
    assert [url for url in browser.requests if not url.startswith(LOCAL)] == []
    assert browser.complaints == []


def test_its_policy_stops_a_request_and_a_script_that_someone_slipped_in(browser: Browser) -> None:
    slipped = """
        document.body.insertAdjacentHTML("beforeend", '<img src="https://example.org/x.png" onerror="window.ran = 1">'),
        document.body.append(Object.assign(document.createElement("script"), { textContent: "window.ran = 1" })),
        await fetch("https://example.org/").then(() => "fetched", () => "stopped")
    """
    assert browser.run(slipped) == "stopped"
    assert browser.run("window.ran === undefined")
    assert [text for text in browser.complaints if "Content Security Policy" in text]
    assert [url for url in browser.requests if url.startswith("http")] == browser.stopped
    browser.run("document.querySelector('body > img').remove()")


def test_every_chart_is_drawn_with_the_bundled_font(browser: Browser, report: Report) -> None:
    sizes = browser.run("[...document.querySelectorAll('.chart svg')].map((svg) => svg.getBBox().width)")
    assert len(sizes) == len(report.figures()) > 5
    assert min(sizes) > 100
    assert browser.run("document.fonts.check('10px \"SpineScore Sans\"')")


def test_without_scripts_all_of_it_is_there(browser: Browser, page: Path, report: Report) -> None:
    browser.open(page, scripts=False)
    text = str(browser.call("Accessibility.getFullAXTree")["nodes"])
    browser.open(page)
    assert all(figure.alt in text.replace("\\'", "'") for figure in report.figures())
    assert "The numbers of figure" in text


def test_a_column_sorts_up_down_and_back_and_groups_keep_their_rows(browser: Browser) -> None:
    browser.run(SORTABLE)
    rows = "[...document.querySelectorAll('#sorted tbody')].map((b) => [...b.rows].map((r) => r.cells[0].textContent))"
    click = "document.querySelectorAll('#sorted .sort')[1].click()"
    state = "document.querySelectorAll('#sorted th[scope=col]')[1].getAttribute('aria-sort')"
    assert browser.run(f"{click}, {rows}") == [
        ["Group one", "e", "a", "d", "c", "b"],
        ["Group two", "g", "f"],
    ]
    assert browser.run(state) == "ascending"
    assert browser.run(f"{click}, {rows}") == [
        ["Group one", "c", "d", "a", "e", "b"],
        ["Group two", "f", "g"],
    ]
    assert browser.run(state) == "descending"
    assert browser.run(f"{click}, {rows}") == [
        ["Group one", "a", "b", "c", "d", "e"],
        ["Group two", "f", "g"],
    ]
    assert browser.run(state) is None
    browser.run("document.getElementById('sorted').remove()")


# A table of the page's own kind, before the page's own script makes heads of it that sort.
SORTABLE = """
document.querySelector("main").insertAdjacentHTML("afterbegin", `<table id="sorted" data-sortable><caption>x</caption>
<thead><tr><th scope="col">Name</th><th scope="col">Value</th></tr></thead>
<tbody><tr class="group"><th colspan="2">Group one</th></tr>
<tr><th>a</th><td>0.90 (0.80–1.10)<small>7 / 9</small></td></tr><tr><th>b</th><td>–</td></tr>
<tr><th>c</th><td>1,234 (3.4%)</td></tr><tr><th>d</th><td>12 (3.4%)<sup>a</sup></td></tr><tr><th>e</th><td>−3.5</td></tr></tbody>
<tbody><tr class="group"><th colspan="2">Group two</th></tr>
<tr><th>f</th><td>0.001</td></tr><tr><th>g</th><td>&lt;0.001</td></tr></tbody></table>`),
startSorting(document.getElementById("sorted"))
"""


def test_only_tables_whose_rows_stand_alone_sort(browser: Browser, report: Report) -> None:
    marked = browser.run("[...document.querySelectorAll('figure.table table[data-sortable]')].length")
    assert marked == sum(table.sortable for table in report.tables())
    assert 0 < marked < len(report.tables())


def test_dark_and_light_are_chosen_remembered_and_legible(browser: Browser, page: Path) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    assert browser.run(ground) == "rgb(255, 255, 255)"
    browser.run("document.querySelector('button.theme').click()")
    dark = browser.run(ground)
    assert contrasts(browser, dark) > 4.5
    browser.open(page)
    assert browser.run(ground) == dark
    browser.run("document.querySelector('button.theme').click()")
    assert browser.run(ground) == "rgb(255, 255, 255)"
    assert contrasts(browser, "rgb(255, 255, 255)") > 4.5


def test_it_follows_the_system_where_nothing_was_chosen_and_prints_light(
    browser: Browser, page: Path
) -> None:
    browser.prefer(prefers_color_scheme="dark")
    browser.open(page)
    ground = "getComputedStyle(document.body).backgroundColor"
    assert browser.run(ground) != "rgb(255, 255, 255)"
    browser.call("Emulation.setEmulatedMedia", media="print")
    assert browser.run(ground) == "rgb(255, 255, 255)"
    shown = (
        "['.contents', '.theme', '.readings'].map((s) => getComputedStyle(document.querySelector(s)).display)"
    )
    assert browser.run(shown) == ["none"] * 3
    browser.call("Emulation.setEmulatedMedia", media="")


def contrasts(browser: Browser, ground: str) -> float:
    """Return the lowest contrast of text on the page's ground (WCAG 2.2, 1.4.3), charts' text included."""
    script = """[...new Set([...document.querySelectorAll('main *, .contents a')]
        .filter((e) => [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim()))
        .filter((e) => !e.closest('.banner, .callout, .hint, .canvas:has(linearGradient)'))
        .map((e) => (e.tagName === 'text' ? getComputedStyle(e).fill : getComputedStyle(e).color)))]"""
    colours = browser.run(script)
    assert len(colours) > 1
    return min(contrast(colour, ground) for colour in colours)


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(colour: str) -> float:
    """Return relative luminance (WCAG 2.2) of ``rgb(r, g, b)``."""
    parts = np.array([float(part) for part in colour[colour.index("(") + 1 : -1].split(",")][:3]) / 255
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def test_a_point_says_its_numbers_to_the_pointer_and_to_the_keyboard(browser: Browser) -> None:
    chart = "document.querySelector('.chart:has(.readings)')"
    browser.run(f"{chart}.querySelector('.canvas').scrollIntoView({{ block: 'center' }})")
    x, y, first = browser.run(f"""(() => {{
        const row = {chart}.querySelector('.readings tbody tr');
        const box = {chart}.querySelector('svg').getBoundingClientRect();
        return [box.left + Number(row.dataset.x), box.top + Number(row.dataset.y), row.cells[0].textContent];
    }})()""")
    browser.point(x + 2, y + 2)
    assert browser.run("!document.querySelector('.hint').hidden")
    assert first in browser.run("document.querySelector('.hint').textContent")
    browser.point(2, 2)
    assert browser.run("document.querySelector('.hint').hidden")
    browser.run(f"{chart}.querySelector('.canvas').focus()")
    browser.press("ArrowRight", 39)
    assert first in browser.run("document.querySelector('[aria-live]').textContent")
    browser.press("Escape", 27)
    assert browser.run("document.querySelector('.hint').hidden")


def test_the_numbers_of_a_chart_are_a_table_one_row_for_each_point(browser: Browser) -> None:
    counts = browser.run("""[...document.querySelectorAll('.readings table')].map((t) => [
        t.tBodies[0].rows.length, t.tHead.rows[0].cells.length, new Set([...t.tBodies[0].rows].map((r) => r.cells.length)).size])""")
    assert len(counts) > 5
    assert all(rows > 0 and names > 1 and kinds == 1 for rows, names, kinds in counts)


def test_the_keyboard_reaches_the_report_first_and_then_all_that_acts(browser: Browser, page: Path) -> None:
    browser.open(page)
    stops = walk(browser, 8)
    assert stops[0] == ("A", "skip")
    assert stops[1] == ("BUTTON", "theme")
    assert stops[3][0] == "A"
    browser.run("document.querySelector('.skip').focus()")
    browser.press("Enter", 13, "\r")
    assert browser.run("document.activeElement.id") == "main"
    outline = "getComputedStyle(document.activeElement).outlineStyle"
    browser.press("Tab", 9)
    assert browser.run(outline) == "solid"
    unreachable = """[...document.querySelectorAll('a, button, summary')].filter((e) => e.tabIndex < 0).length
        + [...document.querySelectorAll('.scroll')].filter((e) => e.scrollWidth > e.clientWidth + 1 && e.tabIndex < 0).length"""
    assert browser.run(unreachable) == 0


def walk(browser: Browser, count: int) -> list[Any]:
    found = []
    for _ in range(count):
        browser.press("Tab", 9)
        here = "[document.activeElement.tagName, document.activeElement.className]"
        found.append(tuple(browser.run(here)))
    return found


def test_headings_go_down_one_level_at_a_time_and_landmarks_are_there(browser: Browser) -> None:
    levels = browser.run("[...document.querySelectorAll('h1, h2, h3, h4')].map((h) => Number(h.tagName[1]))")
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    assert browser.run("['main', 'nav', 'header'].map((t) => document.querySelectorAll(t).length)") == [
        1,
        1,
        1,
    ]
    assert (
        browser.run("[...document.querySelectorAll('th')].filter((th) => !th.textContent.trim()).length") == 0
    )


def test_the_contents_mark_where_one_is(browser: Browser) -> None:
    marked = "document.querySelector('.contents [aria-current]').hash"
    for section in browser.run("[...document.querySelectorAll('section[id]')].map((s) => s.id)")[::4]:
        browser.run(f"document.getElementById({section!r}).scrollIntoView()")
        assert browser.run(marked) == f"#{section}"


@pytest.mark.parametrize("width", [NARROW, 820, 1280])
def test_nothing_is_wider_than_the_window_nor_covers_the_text(browser: Browser, width: int) -> None:
    browser.resize(width)
    assert browser.run("document.documentElement.scrollWidth") <= width
    boxes = browser.run("""['.contents', 'main'].map((s) => document.querySelector(s).getBoundingClientRect())
        .map((box) => [box.left, box.right, box.top, box.bottom])""")
    (_, contents_right, _, contents_bottom), (left, right, top, _) = boxes
    assert right <= width
    assert contents_right <= left or contents_bottom <= top


def test_on_a_small_screen_the_contents_fold_and_unfold(browser: Browser) -> None:
    browser.resize(NARROW)
    assert browser.run("document.querySelector('.contents details').open") is False
    browser.run("document.querySelector('.contents summary').click()")
    browser.run("document.querySelector('.contents a').click()")
    assert browser.run("document.querySelector('.contents details').open") is False


@pytest.mark.parametrize(("theme", "width"), [("light", 1280), ("dark", 1280), ("light", NARROW)])
def test_a_screenshot_shows_text_and_colour_on_one_ground(
    browser: Browser, page: Path, theme: str, width: int
) -> None:
    browser.prefer(prefers_color_scheme=theme)
    browser.open(page, width)
    browser.run("document.querySelector('.chart').scrollIntoView({ block: 'center' })")
    pixels = np.asarray(Image.open(io.BytesIO(browser.screenshot())).convert("RGB")).astype(int)
    colours, counts = np.unique(pixels @ [65536, 256, 1], return_counts=True)
    assert (colours[counts.argmax()] == 0xFFFFFF) == (theme == "light")
    assert 0.6 < counts.max() / counts.sum() < 0.985
    coloured = np.ptp(pixels, axis=2) > 60
    assert coloured.sum() > 300

"""Predicted age difference (PAD) as a curve: a restricted cubic spline of the hazard ratio."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import polars as pl

from spinescore.core.reporting import theme
from spinescore.core.reporting.document import (
    Block,
    Cell,
    Column,
    Figure,
    Paragraph,
    Row,
    Section,
    Table,
    make_key,
)
from spinescore.core.reporting.figures import compact, values_of
from spinescore.core.reporting.follow_up_figures import RATIO_TICKS, WIDEST_RATIO
from spinescore.core.reporting.formatting import (
    DASH,
    describe_cautions,
    events_of,
    format_number,
    p_cell,
    state_p,
    value_cell,
)
from spinescore.core.reporting.language import gettext as _
from spinescore.core.reporting.language import marked
from spinescore.core.reporting.material import LEFT_TO_CALLER, Material, in_sentence
from spinescore.core.reporting.tables import head_row
from spinescore.domain import Result

TITLE = marked("Predicted age difference as a curve")
READING = marked(
    "A hazard ratio per SD takes the log hazard to rise by the same step for every year of "
    "predicted age difference (PAD). Here PAD may bend: the same models with PAD as a "
    "restricted cubic spline. The test of nonlinearity holds the bent line against the "
    "straight one; a large p does not show that the line is straight."
)


def curve_section(material: Material) -> Section:
    """Show PAD as a spline in every model, drawn for the primary one; empty where no spline was fitted."""
    if not any(material.results.every(c, "spline", "lr_chi2", term="global") for c in material.cohorts):
        return Section(key="curve", title=_(TITLE), blocks=())
    figures = [figure for e in material.survival if (figure := spline_figure(material, e)) is not None]
    blocks: tuple[Block, ...] = (Paragraph(text=_(READING)), *figures, spline_table(material))
    return Section(key="curve", title=_(TITLE), blocks=blocks)


def spline_table(material: Material) -> Table:
    """Show the tests of the spline against nothing and against a straight line, and its knots."""
    rows: list[Row] = []
    for cohort in material.cohorts:
        for endpoint in material.survival:
            found = list(_spline_rows(material, cohort, endpoint))
            rows += [head_row(f"{material.endpoint_title(endpoint)}: {cohort}"), *found] if found else []
    columns = (
        Column(label=_("Model"), align="left"),
        Column(label=_("Events / n")),
        *(Column(label=head, spanner=_("PAD altogether (LR)")) for head in ("χ²", "df", "p")),
        *(Column(label=head, spanner=_("Nonlinearity (LR)")) for head in ("χ²", "df", "p")),
        Column(label=_("Knots, years of PAD")),
    )
    return Table(
        key="spline",
        title=_("Predicted age difference as a restricted cubic spline"),
        columns=columns,
        rows=tuple(rows),
        caption=_(
            "Cox models, cause-specific where events compete, each on its own complete cases. "
            "Likelihood-ratio (LR) tests of all terms of PAD against the model without it, and of "
            "the spline against a straight line in PAD. Knots at Harrell's quantiles of the "
            "model's subjects. Several tests of nonlinearity are shown: one small p among them is "
            "to be expected."
        ),
    )


def _spline_rows(material: Material, cohort: str, endpoint: str) -> Iterator[Row]:
    for model in material.models:
        keys = {"endpoint": endpoint, "model": model}
        whole = material.results.find(cohort, "spline", "lr_chi2", term="global", **keys)
        if whole is None:
            continue
        bent = material.results.find(cohort, "spline", "lr_chi2", term="nonlinear", **keys)
        cells = (Cell(text=model), Cell(text=events_of(whole)), *_test_cells(whole), *_test_cells(bent))
        yield Row(cells=(*cells, Cell(text=_knots_text(material, cohort, endpoint, model))), kind="indent")


def _test_cells(result: Result | None) -> tuple[Cell, Cell, Cell]:
    df = DASH if result is None or result.df is None else f"{result.df:g}"
    return value_cell(result, "coefficient"), Cell(text=df), p_cell(result)


def _knots(material: Material, cohort: str, endpoint: str, model: str) -> list[float]:
    keys = {"endpoint": endpoint, "model": model, "term": LEFT_TO_CALLER}
    rows = material.results.every(cohort, "spline", "knot_years", **keys)
    return [row.value for row in rows if row.value is not None]


def _knots_text(material: Material, cohort: str, endpoint: str, model: str) -> str:
    knots = _knots(material, cohort, endpoint, model)
    return ", ".join(format_number(knot, 1) for knot in knots) or DASH


def spline_figure(material: Material, endpoint: str) -> Figure | None:
    """Draw the hazard ratio over PAD in the primary model, a panel per cohort."""

    model = material.primary_model
    chosen = (pl.col("analysis") == "spline") & (pl.col("endpoint") == endpoint) & (pl.col("model") == model)
    curves = material.curves.filter(chosen)
    cohorts = [c for c in material.cohorts if curves["cohort"].eq(c).any()]
    if not cohorts or model is None:
        return None
    panels = [_spline_panel(material, c, endpoint, curves.filter(pl.col("cohort") == c)) for c in cohorts]
    title = material.endpoint_title(endpoint)
    caution = material.correction_caution if material.pad(cohorts[0]) == "pad_corrected" else ""
    return Figure(
        key=f"spline-{make_key(endpoint)}",
        title=_("{title}: hazard ratio over predicted age difference, {model}").format(
            title=title, model=model
        ),
        caption=_(
            "Line: hazard ratio against the reference marked by the open circle, on a log scale; "
            "band: pointwise {level} confidence interval, which is closed at the reference by "
            "construction. Drawn from the 1st to the 99th percentile; ticks at the foot: knots. "
            "Ends rest on few subjects.{caution}"
        ).format(level=material.level_percent, caution=caution),
        alt=_(
            "Hazard ratio of {title} as a smooth curve over years of predicted age difference with "
            "its confidence band, one panel per cohort."
        ).format(title=in_sentence(title)),
        spec=theme.finish(theme.in_rows(panels)),
    )


def _spline_panel(material: Material, cohort: str, endpoint: str, curves: pl.DataFrame) -> Any:
    import altair as alt

    points = curves.sort("x").select("x", "y", "lower", "upper").iter_rows()
    rows = [{"x": compact(x), "y": compact(y), "low": compact(a), "up": compact(b)} for x, y, a, b in points]
    low, high = _height_domain(rows)
    scale = alt.Scale(type="log", domain=[low, high], nice=False)
    ticks = alt.Axis(values=[tick for tick in RATIO_TICKS if low <= tick <= high], format="~g")
    x = alt.X("x:Q", title=_("PAD, years"), scale=alt.Scale(nice=False, zero=False))
    y = alt.Y("y:Q", title=_("Hazard ratio (log scale)"), scale=scale, axis=ticks)
    foot = alt.Y("low:Q", title=_("Hazard ratio (log scale)"), scale=scale)
    base = alt.Chart(values_of(rows))
    band = base.mark_area(color=theme.BLUE, opacity=1, fillOpacity=0.18, clip=True)
    one = alt.Chart(values_of([{"y": 1}])).mark_rule(color=theme.MUTED, strokeWidth=1, strokeDash=[4, 3])
    knots = _knots(material, cohort, endpoint, str(curves["model"][0]))
    layers = [
        one.encode(y=y),
        band.encode(x=x, y=foot, y2=alt.Y2("up:Q")),
        base.mark_line(color=theme.BLUE, strokeWidth=1.8, clip=True).encode(x=x, y=y),
        base.mark_circle(size=60, opacity=1, color="transparent").encode(x=x, y=y, tooltip=_hints()),
        *_marks(knots, curves["comparator"][0], low, x, y),
    ]
    title = alt.TitleParams(text=cohort, subtitle=_panel_text(material, cohort, endpoint))
    return theme.layered(*layers, width=theme.PANEL_WIDTH, height=theme.PANEL_HEIGHT, title=title)


def _hints() -> list[Any]:
    import altair as alt

    heads = (("x", "PAD"), ("y", _("Hazard ratio")), ("low", _("Lower")), ("up", _("Upper")))
    return [alt.Tooltip(f"{name}:Q", title=head, format=".2f") for name, head in heads]


def _height_domain(rows: list[dict[str, Any]]) -> tuple[float, float]:
    numbers = [row[name] for row in rows for name in ("y", "low", "up") if row[name]]
    low, high = min([0.67, *numbers]) / 1.1, max([1.5, *numbers]) * 1.1
    return max(low, 1 / WIDEST_RATIO), min(high, WIDEST_RATIO)


def _marks(knots: list[float], reference: str | None, low: float, x: Any, y: Any) -> list[Any]:
    """Tick the knots along the foot and ring the reference."""
    import altair as alt

    feet = alt.Chart(values_of([{"x": compact(knot), "y": low} for knot in knots]))
    marks = [feet.mark_tick(color=theme.INK, size=9, thickness=1.4, yOffset=-5).encode(x=x, y=y)]
    if reference is not None:
        ring = alt.Chart(values_of([{"x": float(reference), "y": 1}]))
        ring = ring.mark_point(color=theme.INK, fill="white", size=34, strokeWidth=1.3, opacity=1)
        marks.append(ring.encode(x=x, y=y))
    return marks


def _panel_text(material: Material, cohort: str, endpoint: str) -> str:
    keys = {"endpoint": endpoint, "model": material.primary_model}
    bent = material.results.find(cohort, "spline", "lr_chi2", term="nonlinear", **keys)
    if bent is None:
        return ""
    if bent.value is None:
        return "; ".join(describe_cautions(bent))
    return _("{bent} events / n; nonlinearity {p_value}").format(
        bent=events_of(bent), p_value=state_p(bent.p_value)
    )

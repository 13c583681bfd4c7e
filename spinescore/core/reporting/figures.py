"""Charts of ages: spine age on chronological age, and ROC curves (Altair is imported late: it is heavy)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from spinescore.core.reporting import theme
from spinescore.core.reporting.document import Figure, make_key
from spinescore.core.reporting.formatting import format_estimate, format_number
from spinescore.core.reporting.language import gettext as _
from spinescore.core.reporting.material import PREDICTOR_NAMES, Material, in_sentence

MOST_POINTS = 2000
BIN_YEARS = 1.5
ROC_HINTS = 40  # points of a curve that can be read
ROC_LINES = (
    ("spine_age_raw", theme.VERMILION, [1, 0]),
    ("chronological_age", theme.BLUE, [6, 3]),
    ("pad", theme.GREY, [2, 2]),
)


def scatter_figure(material: Material) -> Figure | None:
    """Draw spine age on chronological age per cohort, raw and corrected side by side, with fitted lines."""

    points = material.points
    if points.is_empty():
        return None
    rows = []
    for cohort in material.cohorts:
        own = points.filter(pl.col("cohort") == cohort)
        if own.is_empty():
            continue
        domain = _age_domain(own)
        panels = [
            _scatter_panel(material, cohort, predictor, domain)
            for predictor in ("spine_age_raw", "spine_age_corrected")
            if own[predictor].is_not_null().any()
        ]
        if panels:
            rows.append(theme.beside(*panels, spacing=44))
    binned = any(points.filter(pl.col("cohort") == c).height > MOST_POINTS for c in material.cohorts)
    marks = (
        _("Cells are shaded by the number of subjects, since a cohort has more than 2,000.")
        if binned
        else _("One point per subject.")
    )
    return Figure(
        key="scatter",
        title=_("Spine age on chronological age, raw and corrected"),
        caption=_(
            "{marks} Solid line: least squares with its {level} confidence band. Dashed line: "
            "identity. Corrected ages contain chronological age; they are drawn beside the raw "
            "ones for comparison only.{caution}"
        ).format(marks=marks, level=material.level_percent, caution=material.correction_caution),
        alt=_(
            "Scatter plots of spine age against chronological age, one row per cohort: raw on the "
            "left, corrected on the right, each with a fitted line, its confidence band and the "
            "line of identity."
        ),
        spec=theme.finish(theme.below(*rows, spacing=26)),
    )


def roc_figure(material: Material, endpoint: str) -> Figure | None:
    """Draw the ROC curves of one binary endpoint, a panel per cohort."""

    panels = [panel for c in material.cohorts if (panel := _roc_panel(material, c, endpoint)) is not None]
    if not panels:
        return None
    title = material.endpoint_title(endpoint)
    return Figure(
        key=f"roc-{make_key(endpoint)}",
        title=_("ROC curves for {title}").format(title=in_sentence(title)),
        caption=_(
            "Higher values are taken to mean disease, so an area can be below 0.5. Dotted "
            "diagonal: chance. Areas with DeLong intervals are in the table."
        ),
        alt=_(
            "Receiver operating characteristic curves for {title}, one panel per cohort: raw spine "
            "age, chronological age and predicted age difference."
        ).format(title=in_sentence(title)),
        spec=theme.finish(theme.beside(*panels)),
    )


def values_of(rows: Sequence[dict[str, Any]]) -> Any:
    """Return rows as inline data; nothing is fetched and no row limit applies."""
    import altair as alt

    return alt.InlineData(values=tuple(rows))  # Altair copies a list each time charts are put together


def compact(value: float | None, digits: int = 5) -> float | None:
    """Return a number with as many digits as a chart can show."""
    return None if value is None else float(f"{value:.{digits}g}")


def shade_by_count() -> Any:
    """Return the colour of cells by their ``subjects``; squares for a key, as paper has no gradients."""
    import altair as alt

    scale = alt.Scale(range=["#d6e6f2", theme.BLUE, "#00283f"])
    key = alt.Legend(type="symbol", symbolType="square", symbolStrokeWidth=0, tickCount=4)
    return alt.Color("subjects:Q", title=_("Subjects"), scale=scale, legend=key)


def _age_domain(points: pl.DataFrame) -> list[float]:
    ages = ("age_years", "spine_age_raw", "spine_age_corrected")
    every = np.concatenate([points[name].drop_nulls().to_numpy().astype(float) for name in ages])
    return [5 * float(np.floor(every.min() / 5)), 5 * float(np.ceil(every.max() / 5))]


def _scatter_panel(material: Material, cohort: str, predictor: str, domain: list[float]) -> Any:
    import altair as alt

    points = material.points.filter((pl.col("cohort") == cohort) & pl.col(predictor).is_not_null())
    x = alt.X("age:Q", title=_("Chronological age, years"), scale=alt.Scale(domain=domain, nice=False))
    y = alt.Y("spine:Q", title=_("Spine age, years"), scale=alt.Scale(domain=domain, nice=False))
    cloud = _cells(points, predictor, x, y) if points.height > MOST_POINTS else _dots(points, predictor, x, y)
    ends = values_of([{"age": value, "spine": value} for value in domain])
    identity = alt.Chart(ends).mark_line(color=theme.MUTED, strokeDash=[4, 3], strokeWidth=1)
    layers = [cloud, identity.encode(x=x, y=y), *_fitted_line(material, cohort, predictor, x, y)]
    kind = _("raw") if predictor == "spine_age_raw" else _("corrected")
    title = alt.TitleParams(
        text=f"{cohort}: {kind} (n = {points.height:,})", subtitle=_fit_text(material, cohort, predictor)
    )
    return theme.layered(*layers, width=theme.PANEL_WIDTH, height=theme.PANEL_HEIGHT, title=title)


def _dots(points: pl.DataFrame, predictor: str, x: Any, y: Any) -> Any:
    import altair as alt

    rows = [
        {"age": compact(age, 4), "spine": compact(spine, 4), "sex": sex or _("not known")}
        for age, spine, sex in points.select("age_years", predictor, "sex").iter_rows()
    ]
    tooltip = [
        alt.Tooltip("age:Q", title=_("Age"), format=".1f"),
        alt.Tooltip("spine:Q", title=_("Spine age"), format=".1f"),
        alt.Tooltip("sex:N", title=_("Sex")),
    ]
    marks = alt.Chart(values_of(rows)).mark_circle(size=11, opacity=1, fillOpacity=0.4, color=theme.BLUE)
    return marks.encode(x=x, y=y, tooltip=tooltip)


def _cells(points: pl.DataFrame, predictor: str, x: Any, y: Any) -> Any:
    import altair as alt

    floor = [(pl.col(name) / BIN_YEARS).floor() * BIN_YEARS for name in ("age_years", predictor)]
    counts = points.group_by(floor[0].alias("age"), floor[1].alias("spine")).len("subjects")
    rows = [
        {"age": a, "age_to": a + BIN_YEARS, "spine": s, "spine_to": s + BIN_YEARS, "subjects": n}
        for a, s, n in counts.iter_rows()
    ]
    return (
        alt.Chart(values_of(rows))
        .mark_rect()
        .encode(
            x=x,
            x2=alt.X2("age_to:Q"),
            y=y,
            y2=alt.Y2("spine_to:Q"),
            color=shade_by_count(),
            tooltip=[alt.Tooltip("subjects:Q", title=_("Subjects"))],
        )
    )


def _fitted_line(material: Material, cohort: str, predictor: str, x: Any, y: Any) -> list[Any]:
    import altair as alt

    chosen = (pl.col("cohort") == cohort) & (pl.col("analysis") == "fit") & (pl.col("predictor") == predictor)
    rows = [
        {"age": compact(a), "spine": compact(b), "lower": compact(low), "upper": compact(high)}
        for a, b, low, high in material.curves.filter(chosen)
        .sort("x")
        .select("x", "y", "lower", "upper")
        .iter_rows()
    ]
    if not rows:
        return []
    base = alt.Chart(values_of(rows))
    band = base.mark_area(color=theme.VERMILION, opacity=1, fillOpacity=0.22, clip=True).encode(
        x=x, y=alt.Y("lower:Q", title=_("Spine age, years"), scale=y["scale"]), y2=alt.Y2("upper:Q")
    )
    return [band, base.mark_line(color=theme.VERMILION, strokeWidth=1.8, clip=True).encode(x=x, y=y)]


def _fit_text(material: Material, cohort: str, predictor: str) -> str:
    slope = material.results.find(cohort, "accuracy", "slope", predictor=predictor)
    r = material.results.find(cohort, "accuracy", "r", predictor=predictor)
    parts = []
    if slope is not None and slope.value is not None:
        parts.append(_("slope {slope}").format(slope=format_estimate(slope, "coefficient")))
    if r is not None and r.value is not None:
        parts.append(f"r {format_number(r.value, 2)}")
    return ", ".join(parts)


def _roc_panel(material: Material, cohort: str, endpoint: str) -> Any | None:
    import altair as alt

    chosen = (pl.col("cohort") == cohort) & (pl.col("analysis") == "roc") & (pl.col("endpoint") == endpoint)
    curves = material.curves.filter(chosen)
    if curves.is_empty():
        return None
    lines = [
        (material.pad(cohort) if name == "pad" else name, colour, dash) for name, colour, dash in ROC_LINES
    ]
    x = alt.X("x:Q", title=_("1 − specificity"), scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(tickCount=5))
    y = alt.Y("y:Q", title=_("Sensitivity"), scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(tickCount=5))
    chance = alt.Chart(values_of([{"x": 0, "y": 0}, {"x": 1, "y": 1}]))
    layers = [chance.mark_line(color=theme.MUTED, strokeDash=[1, 3], strokeWidth=1).encode(x=x, y=y)]
    for i, (predictor, colour, dash) in enumerate(lines):
        rows = [
            {"x": compact(a, 4), "y": compact(b, 4), "i": k}
            for k, (a, b) in enumerate(
                curves.filter(pl.col("predictor") == predictor).select("x", "y").iter_rows()
            )
        ]
        if not rows:
            continue
        line = alt.Chart(values_of(rows)).mark_line(color=colour, strokeDash=dash, strokeWidth=1.8)
        layers.append(line.encode(x=x, y=y, order=alt.Order("i:Q")))
        layers.append(_roc_hints(rows, _(PREDICTOR_NAMES[predictor]), x, y))
        layers.extend(_roc_key(material, cohort, endpoint, predictor, colour, dash, 0.24 - 0.085 * i, x, y))
    found = material.results.find(
        cohort, "auc", "auc", endpoint=endpoint, predictor="chronological_age", model=None
    )
    counts = (
        _("{events:,} with, {n:,} without").format(events=found.events, n=(found.n or 0) - found.events)
        if found and found.events
        else ""
    )
    title = alt.TitleParams(text=cohort, subtitle=counts)
    return theme.layered(*layers, width=theme.PANEL_WIDTH, height=theme.PANEL_HEIGHT, title=title)


def _roc_hints(rows: list[dict[str, Any]], name: str, x: Any, y: Any) -> Any:
    """Let some points of a curve be read; unseen."""
    import altair as alt

    step = max(1, len(rows) // ROC_HINTS)
    chosen = [{**row, "line": name} for row in rows[::step]]
    hints = alt.Chart(values_of(chosen)).mark_circle(color="transparent", size=60, opacity=1)
    tooltip = [
        alt.Tooltip("line:N", title=_("Line")),
        alt.Tooltip("x:Q", title=_("1 − specificity"), format=".2f"),
        alt.Tooltip("y:Q", title=_("Sensitivity"), format=".2f"),
    ]
    return hints.encode(x=x, y=y, tooltip=tooltip)


def _roc_key(
    material: Material,
    cohort: str,
    endpoint: str,
    predictor: str,
    colour: str,
    dash: list[int],
    height: float,
    x: Any,
    y: Any,
) -> list[Any]:
    """Name a line inside the empty corner of the plot, with its area."""
    import altair as alt

    area = material.results.find(cohort, "auc", "auc", endpoint=endpoint, predictor=predictor, model=None)
    value = "" if area is None or area.value is None else f"  {format_number(area.value, 3)}"
    stroke = alt.Chart(values_of([{"x": 0.40, "y": height}, {"x": 0.47, "y": height}]))
    text = alt.Chart(
        values_of([{"x": 0.49, "y": height, "label": f"{_(PREDICTOR_NAMES[predictor])}{value}"}])
    )
    return [
        stroke.mark_line(color=colour, strokeDash=dash, strokeWidth=1.8).encode(x=x, y=y),
        text.mark_text(align="left", fontSize=theme.SMALL, color=theme.INK).encode(
            x=x, y=y, text=alt.Text("label:N")
        ),
    ]

"""Charts of predictions: calibration curves and decision curves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import polars as pl

from spinescore.core.reporting import theme
from spinescore.core.reporting.document import Figure, make_key
from spinescore.core.reporting.figures import compact, values_of
from spinescore.core.reporting.formatting import events_of
from spinescore.core.reporting.language import gettext as _
from spinescore.core.reporting.language import marked
from spinescore.core.reporting.material import Material, in_sentence

WITHOUT, WITH, ALL = marked("without PAD"), marked("with PAD"), marked("everybody")
STYLES: dict[str, tuple[str, list[int]]] = {
    WITHOUT: (theme.GREY, [6, 3]),
    WITH: (theme.BLUE, [1, 0]),
    ALL: (theme.VERMILION, [2, 2]),
}
JUDGED = {"apparent": marked("apparent"), "external": marked("external (fitted elsewhere)")}


def calibration_figure(material: Material, endpoint: str, horizon: float | None) -> Figure | None:
    """Draw observed on predicted risk of the primary model without and with PAD, a panel per cohort."""
    curves = _chosen(material, "calibration", endpoint, horizon)
    if curves.is_empty():
        return None
    top = _ceiling([float(value) for name in ("x", "y") for value in curves[name].to_list()])
    panels = [
        _calibration_panel(material, cohort, how, own, top) for cohort, how, own in _panels(material, curves)
    ]
    title = material.endpoint_title(endpoint)
    until = "" if horizon is None else _(" at {horizon:g} years").format(horizon=horizon)
    return Figure(
        key=f"calibration-{make_key(endpoint if horizon is None else f'{endpoint} at {horizon:g} years')}",
        title=_("{title}{until}: calibration of {model} without and with predicted age difference").format(
            title=title, until=until, model=material.primary_model
        ),
        caption=_(
            "Observed risk by a restricted cubic spline of the predicted one, from the 1st to the "
            "99th percentile of predictions; dotted diagonal: perfect calibration. Lines have no "
            "band: their ends rest on few subjects. A line on the diagonal says that risks are "
            "right on average, not that subjects are told apart."
        ),
        alt=_(
            "Observed against predicted risk of {title}{until}, one panel per cohort, for the "
            "model without and with predicted age difference, with the line of perfect calibration."
        ).format(title=in_sentence(title), until=until),
        spec=theme.finish(theme.in_rows(panels)),
    )


def decision_figure(material: Material, endpoint: str) -> Figure | None:
    """Draw net benefit over thresholds of the primary model at the longest horizon, a panel per cohort."""
    mine = (pl.col("analysis") == "decision_curve") & (pl.col("endpoint") == endpoint)
    longest = material.curves.filter(mine)["horizon_years"].max()
    horizon = float(longest) if isinstance(longest, int | float) else None
    curves = _chosen(material, "decision_curve", endpoint, horizon)
    if curves.is_empty():
        return None
    panels = [_decision_panel(material, c, how, own, curves) for c, how, own in _panels(material, curves)]
    title = material.endpoint_title(endpoint)
    until = "" if horizon is None else _(" at {horizon:g} years").format(horizon=horizon)
    return Figure(
        key=f"decision-{make_key(endpoint)}",
        title=_("{title}{until}: net benefit of acting on the risk that {model} predicts").format(
            title=title, until=until, model=material.primary_model
        ),
        caption=_(
            "True positives per subject less false positives times the odds of the threshold; the "
            "horizontal line at 0: acting on nobody. Cut off below. The highest line is the best "
            "rule at a threshold; it does not say that one should act."
        ),
        alt=_(
            "Decision curves for {title}{until}, one panel per cohort: net benefit over the "
            "threshold risk of acting on everybody, and by the model without and with predicted "
            "age difference."
        ).format(title=in_sentence(title), until=until),
        spec=theme.finish(theme.in_rows(panels)),
    )


def _chosen(material: Material, analysis: str, endpoint: str, horizon: float | None) -> pl.DataFrame:
    at = pl.col("horizon_years").is_null() if horizon is None else pl.col("horizon_years") == horizon
    return material.curves.filter(
        (pl.col("analysis") == analysis)
        & (pl.col("endpoint") == endpoint)
        & (pl.col("model") == material.primary_model)
        & at
    )


def _panels(material: Material, curves: pl.DataFrame) -> list[tuple[str, str, pl.DataFrame]]:
    """Return cohort, validation and lines; external ones where a cohort has them."""
    found = []
    for cohort in material.cohorts:
        own = curves.filter(pl.col("cohort") == cohort)
        how = "external" if own["validation"].eq("external").any() else "apparent"
        if own.height:
            found.append((cohort, how, own.filter(pl.col("validation") == how)))
    return found


def _ceiling(numbers: Sequence[float]) -> float:
    """Return the top of an axis of risks: the next step above the largest."""
    largest = max(numbers, default=0.0)
    step = 0.01 if largest < 0.1 else 0.05 if largest < 0.5 else 0.1
    return min(1.0, math.ceil(largest / step - 1e-9) * step) or step


def _lines(own: pl.DataFrame) -> dict[str, list[dict[str, Any]]]:
    everybody = pl.col("method") == "treat_all"
    masks = {
        ALL: everybody,
        WITHOUT: ~everybody & pl.col("predictor").is_null(),
        WITH: ~everybody & pl.col("predictor").is_not_null(),
    }
    lines = {}
    for name, mask in masks.items():
        points = own.filter(mask).unique("x").sort("x").select("x", "y")
        if points.height:
            lines[name] = [{"x": compact(x), "y": compact(y), "rule": _(name)} for x, y in points.iter_rows()]
    return lines


def _drawn(lines: dict[str, list[dict[str, Any]]], x: Any, y: Any, head: str) -> list[Any]:
    import altair as alt

    hints = [
        alt.Tooltip("rule:N", title=_("Line")),
        alt.Tooltip("x:Q", title=_("Risk"), format=".1%"),
        alt.Tooltip("y:Q", title=head, format=".3f"),
    ]
    layers = []
    for name, rows in lines.items():
        colour, dash = STYLES[name]
        base = alt.Chart(values_of(rows))
        line = base.mark_line(color=colour, strokeDash=dash, strokeWidth=1.8, clip=True)
        dots = base.mark_circle(size=40, opacity=1, color="transparent", clip=True)
        layers += [line.encode(x=x, y=y), dots.encode(x=x, y=y, tooltip=hints)]
    return layers


def _key(names: Sequence[str], left: float) -> list[Any]:
    """Name the lines along the top, from the share ``left`` of the width, each behind a piece of itself."""
    import altair as alt

    layers = []
    for i, name in enumerate(names):
        colour, dash = STYLES[name]
        start, at = left * theme.PANEL_WIDTH, 6 + 14 * i
        ends = alt.Chart(values_of([{}])).mark_rule(color=colour, strokeDash=dash, strokeWidth=1.8)
        ends = ends.encode(
            x=theme.fixed("x", start),
            x2=theme.fixed("x2", start + 22),
            y=theme.fixed("y", at),
            y2=theme.fixed("y2", at),
        )
        text = alt.Chart(values_of([{"label": _(name)}]))
        text = text.mark_text(align="left", baseline="middle", fontSize=theme.SMALL, color=theme.INK)
        layers += [
            ends,
            text.encode(x=theme.fixed("x", start + 27), y=theme.fixed("y", at), text=alt.Text("label:N")),
        ]
    return layers


def _calibration_panel(material: Material, cohort: str, how: str, own: pl.DataFrame, top: float) -> Any:
    import altair as alt

    scale, axis = alt.Scale(domain=[0, top], nice=False), alt.Axis(format=".0%", tickCount=5)
    x = alt.X("x:Q", title=_("Predicted risk"), scale=scale, axis=axis)
    y = alt.Y("y:Q", title=_("Observed risk"), scale=scale, axis=axis)
    lines = _lines(own)
    diagonal = alt.Chart(values_of([{"x": 0, "y": 0}, {"x": top, "y": top}]))
    layers = [
        diagonal.mark_line(color=theme.MUTED, strokeDash=[1, 3], strokeWidth=1).encode(x=x, y=y),
        *_drawn(lines, x, y, _("Observed risk")),
        *_key(list(lines), 0.04),
    ]
    return _titled(material, layers, cohort, how, own)


def _decision_panel(material: Material, cohort: str, how: str, own: pl.DataFrame, every: pl.DataFrame) -> Any:
    import altair as alt

    top = _ceiling([float(value) for value in every["y"].to_list()])
    across = [float(value) for value in every["x"].to_list()]
    wide = alt.Scale(domain=[min(across), max(across)], nice=False)
    x = alt.X("x:Q", title=_("Threshold risk"), scale=wide, axis=alt.Axis(format=".0%", tickCount=6))
    tall = alt.Scale(domain=[-0.25 * top, top], nice=False)
    y = alt.Y("y:Q", title=_("Net benefit per subject"), scale=tall, axis=alt.Axis(tickCount=5))
    nobody = alt.Chart(values_of([{"y": 0}])).mark_rule(color=theme.MUTED, strokeWidth=1)
    lines = _lines(own)
    layers = [nobody.encode(y=y), *_drawn(lines, x, y, _("Net benefit")), *_key(list(lines), 0.58)]
    return _titled(material, layers, cohort, how, own)


def _titled(material: Material, layers: Sequence[Any], cohort: str, how: str, own: pl.DataFrame) -> Any:
    import altair as alt

    keys = {name: own[name][0] for name in ("endpoint", "model", "horizon_years")}
    counts = events_of(material.results.find(cohort, "brier", "brier", validation=how, **keys))
    title = alt.TitleParams(
        text=f"{cohort}: {_(JUDGED[how])}",
        subtitle=_("{counts} events / n").format(counts=counts) if counts else "",
    )
    return theme.layered(*layers, width=theme.PANEL_WIDTH, height=theme.PANEL_HEIGHT, title=title)

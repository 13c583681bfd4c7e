"""How the hazard ratio of PAD goes over follow-up: what a test of proportional hazards has tested."""

from __future__ import annotations

import math
from typing import Any

import polars as pl

from spinescore.core.reporting import theme
from spinescore.core.reporting.document import Figure, make_key
from spinescore.core.reporting.figures import compact, values_of
from spinescore.core.reporting.formatting import state_p
from spinescore.core.reporting.language import gettext as _
from spinescore.core.reporting.material import Material, in_sentence
from spinescore.domain import Result

RATIOS = (0.1, 0.2, 0.33, 0.5, 0.67, 1, 1.5, 2, 3, 5, 10)
WIDEST = 10.0


def hazards_figure(material: Material, endpoint: str) -> Figure | None:
    """Draw the hazard ratio of PAD over years of follow-up in the primary model, a panel per cohort."""
    curves = material.curves.filter(
        (pl.col("analysis") == "ph_test")
        & (pl.col("endpoint") == endpoint)
        & (pl.col("cause") == endpoint)
        & (pl.col("model") == material.primary_model)
        & (pl.col("sample") == "own_n")
        & (pl.col("variant").is_null() | (pl.col("variant") == "main"))
    )
    panels = []
    for cohort in material.cohorts:
        own = curves.filter((pl.col("cohort") == cohort) & (pl.col("predictor") == material.pad(cohort)))
        if own.height:
            panels.append(_panel(material, cohort, endpoint, own))
    if not panels:
        return None
    title = material.endpoint_title(endpoint)
    return Figure(
        key=f"hazards-{make_key(endpoint)}",
        title=_("{endpoint}: hazard ratio per SD of PAD over follow-up, {model}").format(
            endpoint=title, model=material.primary_model
        ),
        caption=_(
            "Natural spline (4 df) through the scaled Schoenfeld residuals, on the Kaplan-Meier time "
            "scale; band: pointwise {level} CI, cut off at 0.1 and 10. Dashed: the one hazard ratio of the "
            "Cox model, which assumes a level line. p: test of proportional hazards of PAD."
        ).format(level=material.level_percent),
        alt=_(
            "Hazard ratio of {endpoint} per standard deviation of predicted age difference over years of "
            "follow-up, one panel per cohort, with its band and the Cox model's constant hazard ratio."
        ).format(endpoint=in_sentence(title)),
        spec=theme.finish(theme.in_rows(panels)),
    )


def _panel(material: Material, cohort: str, endpoint: str, own: pl.DataFrame) -> dict[str, Any]:
    import altair as alt

    rows = [
        {"x": compact(x), "y": _ratio(y), "lower": _ratio(low), "upper": _ratio(high)}
        for x, y, low, high in own.sort("x").select("x", "y", "lower", "upper").iter_rows()
    ]
    low, high = _domain(rows)
    ticks = [ratio for ratio in RATIOS if low <= ratio <= high]
    scale = alt.Scale(type="log", domain=[low, high], nice=False)
    x = alt.X("x:Q", title=_("Years of follow-up"), scale=alt.Scale(nice=False), axis=alt.Axis(tickCount=8))
    y = alt.Y(
        "y:Q",
        title=_("Hazard ratio per SD (log scale)"),
        scale=scale,
        axis=alt.Axis(values=ticks, format="~g"),
    )
    base = alt.Chart(values_of(rows))
    band = base.mark_area(color=theme.BLUE, opacity=1, fillOpacity=0.16, clip=True)
    hints = [
        alt.Tooltip("x:Q", title=_("Years"), format=".1f"),
        alt.Tooltip("y:Q", title=_("Hazard ratio per SD"), format=".2f"),
        alt.Tooltip("lower:Q", title=_("Lower bound"), format=".2f"),
        alt.Tooltip("upper:Q", title=_("Upper bound"), format=".2f"),
    ]
    hazard, test = _found(material, cohort, endpoint)
    one = alt.Chart(values_of([{"y": 1}])).mark_rule(color=theme.MUTED, strokeWidth=1).encode(y=y)
    layers = [
        band.encode(x=x, y=alt.Y("lower:Q", title=y["title"], scale=scale), y2=alt.Y2("upper:Q")),
        one,
        base.mark_line(color=theme.BLUE, strokeWidth=1.8, clip=True).encode(x=x, y=y),
        base.mark_circle(size=60, opacity=1, color="transparent", clip=True).encode(x=x, y=y, tooltip=hints),
    ]
    if hazard is not None and hazard.value is not None:
        level = alt.Chart(values_of([{"y": compact(hazard.value)}]))
        layers.append(level.mark_rule(color=theme.VERMILION, strokeDash=[5, 3], strokeWidth=1.4).encode(y=y))
    p = state_p(test.p_value) if test is not None and test.p_value is not None else ""
    title = alt.TitleParams(text=cohort, subtitle=p)
    return theme.layered(*layers, width=theme.PANEL_WIDTH, height=theme.PANEL_HEIGHT, title=title)


def _found(material: Material, cohort: str, endpoint: str) -> tuple[Result | None, Result | None]:
    """Return the Cox model's hazard ratio per SD and the test of proportional hazards, both of PAD."""
    model, pad = material.primary_model, material.pad(cohort)
    keys = {"endpoint": endpoint, "cause": endpoint, "model": model, "sample": "own_n", "predictor": pad}
    hazard = material.results.find(cohort, "cox", "hr_per_sd", **keys)
    return hazard, material.results.find(cohort, "ph_test", "chi2", term=pad, method="km", **keys)


def _ratio(log: float | None) -> float | None:
    return None if log is None else compact(math.exp(min(max(log, -20.0), 20.0)))


def _domain(rows: list[dict[str, Any]]) -> tuple[float, float]:
    """Return the range of the vertical axis: what is drawn, at least 0.5 to 2, at most 0.1 to 10."""
    drawn = [row[name] for row in rows for name in ("y", "lower", "upper") if row[name]]
    return max(1 / WIDEST, min([*drawn, 0.5])), min(WIDEST, max([*drawn, 2.0]))

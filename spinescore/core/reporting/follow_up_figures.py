"""Charts of follow-up: incidence or survival with numbers at risk, and forest plots of hazard ratios."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from spinescore.core.reporting import theme
from spinescore.core.reporting.document import Figure, make_key
from spinescore.core.reporting.figures import compact, values_of
from spinescore.core.reporting.formatting import DASH, events_of, format_estimate, format_p, state_p
from spinescore.core.reporting.language import gettext as _
from spinescore.core.reporting.language import marked
from spinescore.core.reporting.material import Material, in_sentence
from spinescore.domain import Result

PLOT_HEIGHT = 176
RISK_ROW = 12
LEAST_AT_RISK = 10
RATIO_TICKS = (0.1, 0.2, 0.33, 0.5, 0.67, 1, 1.5, 2, 3, 5, 8, 12)
WIDEST_RATIO = 16.0
FOREST_ROW = 14
NAMES_WIDTH = 214
COLUMN_GAP = 10
LEAST_STRIPED = 12  # lines of a forest
HAZARD_AXIS = marked("Hazard ratio per SD (log scale)")
FOREST_HINTS = (
    ("under", marked("Group")),
    ("label", marked("Line")),
    ("estimate", marked("Ratio (CI)")),
    ("p", "p"),
    ("events", marked("Events / n")),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ForestRow:
    """A line of a forest plot; without a result it is a heading; ``p`` is printed in place of its own."""

    label: str
    result: Result | None = None
    p: str | None = None


def incidence_figure(material: Material, endpoint: str) -> Figure | None:
    """Draw the endpoint by PAD group: cumulative incidence where events compete, else Kaplan-Meier."""

    competing = material.competing(endpoint)
    analysis = "cumulative_incidence" if competing else "kaplan_meier"
    chosen = (
        (pl.col("analysis") == analysis)
        & (pl.col("endpoint") == endpoint)
        & (pl.col("cause") == endpoint)
        & pl.col("group").is_not_null()
    )
    curves = material.curves.filter(chosen)
    if curves.is_empty():
        return None
    risk = material.curves.filter(
        (pl.col("analysis") == "number_at_risk")
        & (pl.col("endpoint") == endpoint)
        & pl.col("group").is_not_null()
    )
    cohorts = [c for c in material.cohorts if curves["cohort"].eq(c).any()]
    drawn = {c: _last_year(risk.filter(pl.col("cohort") == c)) for c in cohorts}
    domain = _height_domain(
        pl.concat(
            [curves.filter((pl.col("cohort") == c) & (pl.col("x") <= year)) for c, year in drawn.items()]
        )
    )
    panels = [
        _incidence_panel(material, c, curves, risk.filter(pl.col("cohort") == c), year, domain)
        for c, year in drawn.items()
    ]
    title = material.endpoint_title(endpoint)
    what, how = _words(material, competing)
    return Figure(
        key=f"incidence-{make_key(endpoint)}",
        title=_("{title}: {what} by group of predicted age difference").format(title=title, what=what),
        caption=_(
            "{how} Bands: {level} confidence intervals. Lines are drawn while at least {n} subjects are at "
            "risk in every group. Below: numbers at risk and cumulative events by group{axis}. {groups}"
        ).format(
            how=how,
            level=material.level_percent,
            n=LEAST_AT_RISK,
            axis=_("; the vertical axis does not start at zero") if domain[0] > 0 else "",
            groups=_group_key(material, cohorts),
        ),
        alt=_(
            "{what} of {title} over years of follow-up by group of predicted age difference, one "
            "panel per cohort, with numbers at risk and cumulative events below."
        ).format(what=what.capitalize(), title=in_sentence(title)),
        spec=theme.finish(theme.beside(*panels)),
    )


def forest_figure(
    key: str,
    title: str,
    caption: str,
    alt_text: str,
    rows: Sequence[ForestRow],
    *,
    axis: str | None = None,
    p_head: str = "p",
) -> Figure | None:
    """Draw hazard ratios with their intervals on a log scale, printed beside them."""
    import altair as alt

    if not any(row.result is not None and row.result.value is not None for row in rows):
        return None
    height = FOREST_ROW * len(rows)
    y = alt.Y("row:O", axis=None, scale=alt.Scale(type="band", domain=list(range(len(rows))), padding=0))
    lines = [_forest_values(i, row) for i, row in enumerate(rows)]
    _say_headings(lines)
    data = values_of(lines)
    striped = _striped(lines)
    stripes = values_of(striped)
    names = alt.Chart(data).encode(x=theme.fixed("x", 0), y=y, text=alt.Text("label:N"))
    heads = names.transform_filter("datum.heading").mark_text(align="left", fontWeight="bold")
    plain = names.transform_filter("!datum.heading").mark_text(align="left", dx=10, limit=NAMES_WIDTH - 10)
    spare = 16 * (len(p_head) > 1)  # a longer head takes its room from the plot
    ratio = _("HR (CI)") if axis is None else _("OR (CI)")
    printed = (("estimate", ratio, 92), ("p", p_head, 34 + spare), ("events", _("Events / n"), 62))
    columns = [
        (NAMES_WIDTH, [heads, plain]),
        (196 - spare, _forest_plot(data, lines, y, axis or _(HAZARD_AXIS))),
        *((width, [_forest_column(data, y, name, width)]) for name, head, width in printed),
    ]
    titles = [{}, {}, *({"title": _forest_head(head)} for name, head, width in printed)]
    parts = [
        theme.layered(
            *([_stripes(stripes, y, width)] if striped else []), *layers, width=width, height=height, **title
        )
        for (width, layers), title in zip(columns, titles, strict=True)
    ]
    spec = theme.finish(theme.beside(*parts, spacing=COLUMN_GAP) | {"bounds": "flush"})
    return Figure(key=key, title=title, caption=caption, alt=alt_text, spec=spec)


def _striped(lines: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return every other line below a heading, of forests in which the eye could lose its line."""
    if len(lines) < LEAST_STRIPED:
        return []
    striped, since_heading = [], 0
    for line in lines:
        since_heading = 0 if line["heading"] else since_heading + 1
        if since_heading and since_heading % 2 == 0:
            striped.append({"row": line["row"]})
    return striped


def _stripes(stripes: Any, y: Any, width: int) -> Any:
    """Draw stripes behind a column, as far as its neighbours' own."""
    import altair as alt

    return (
        alt.Chart(stripes)
        .mark_rect(color=theme.STRIPE, opacity=1)
        .encode(x=theme.fixed("x", -COLUMN_GAP / 2), x2=theme.fixed("x2", width + COLUMN_GAP / 2), y=y)
    )


def _forest_values(i: int, row: ForestRow) -> dict[str, Any]:
    result = row.result
    if result is None:
        return {"row": i, "label": row.label, "heading": True, "estimate": "", "p": row.p or "", "events": ""}
    own_p = format_p(result.p_value) if result.value is not None else DASH
    return {
        "row": i,
        "label": row.label,
        "heading": False,
        "value": compact(result.value),
        "lower": compact(result.lower),
        "upper": compact(result.upper),
        "estimate": format_estimate(result, "ratio"),
        "p": own_p if row.p is None else row.p,
        "events": events_of(result),
    }


def _forest_column(data: Any, y: Any, name: str, width: int) -> Any:
    import altair as alt

    text = alt.Chart(data).mark_text(align="right", fontSize=theme.SMALL, color=theme.INK)
    return text.encode(x=theme.fixed("x", width), y=y, text=alt.Text(f"{name}:N"))


def _forest_head(head: str) -> dict[str, Any]:
    small = {"fontSize": theme.SMALL, "fontWeight": "normal", "color": theme.MUTED}
    return {"text": head, "anchor": "end", "offset": 4, **small}


def _forest_plot(data: Any, lines: Sequence[dict[str, Any]], y: Any, axis: str) -> list[Any]:
    import altair as alt

    low, high = _ratio_domain(lines)
    ticks = [tick for tick in RATIO_TICKS if low <= tick <= high]
    x = alt.X(
        "value:Q",
        title=axis,
        scale=alt.Scale(type="log", domain=[low, high], nice=False),
        axis=alt.Axis(values=ticks, format="~g", grid=False, labelOverlap="greedy", labelSeparation=5),
    )
    base = alt.Chart(data).transform_filter("isValid(datum.value)")
    one = alt.Chart(values_of([{"value": 1}])).mark_rule(color=theme.MUTED, strokeWidth=1).encode(x=x)
    bars = base.mark_rule(color=theme.BLUE, strokeWidth=1.4, clip=True).encode(
        x=alt.X("lower:Q", title=axis), x2=alt.X2("upper:Q"), y=y
    )
    dots = base.mark_square(color=theme.BLUE, size=42, opacity=1, clip=True).encode(
        x=x, y=y, tooltip=[alt.Tooltip(f"{name}:N", title=_(head)) for name, head in FOREST_HINTS]
    )
    return [one, bars, dots]


def _say_headings(lines: Sequence[dict[str, Any]]) -> None:
    """Give each line the headings it stands under; a heading over a heading is of the upper level."""
    upper = lower = ""
    for line, after in zip(lines, [*lines[1:], {"heading": False}], strict=True):
        if line["heading"] and after["heading"]:
            upper, lower = line["label"], ""
        elif line["heading"]:
            lower = line["label"]
        line["under"] = ": ".join(filter(None, (upper, lower)))


def _ratio_domain(lines: Sequence[dict[str, Any]]) -> tuple[float, float]:
    numbers = [line[key] for line in lines for key in ("lower", "upper", "value") if line.get(key)]
    low = max(min([0.8, *numbers]) / 1.05, 1 / WIDEST_RATIO)
    high = min(max([1.6, *numbers]) * 1.05, WIDEST_RATIO)
    return low, high


def _words(material: Material, competing: str | None) -> tuple[str, str]:
    if competing:
        rival = in_sentence(material.endpoint_title(competing))
        return _("cumulative incidence"), _(
            "Aalen-Johansen estimate with {rival} as the competing event."
        ).format(rival=rival)
    return _("survival"), _("Kaplan-Meier estimate.")


def _group_key(material: Material, cohorts: Sequence[str]) -> str:
    parts = []
    for cohort in cohorts:
        groups = (
            f"{group} {material.group_range(cohort, group)}".strip() for group in material.groups(cohort)
        )
        parts.append(f"{cohort}: {', '.join(groups)}")
    corrected = all(material.pad(c) == "pad_corrected" for c in cohorts)
    kind = _("corrected") if corrected else _("raw")
    caution = material.correction_caution if corrected else ""
    return _("Groups of {kind} PAD. {parts}.{caution}").format(
        kind=kind, parts="; ".join(parts), caution=caution
    )


def _height_domain(curves: pl.DataFrame) -> list[float]:
    """Return the range of the vertical axis: survival hangs from 1, incidence stands on 0."""
    if curves["analysis"][0] == "kaplan_meier":
        lowest = min(curves["y"].min(), *curves["lower"].drop_nulls().to_list(), 1.0)
        return [max(0.0, math.floor(float(lowest) * 10) / 10), 1.0]
    highest = max(curves["y"].max(), *curves["upper"].drop_nulls().to_list(), 0.0)
    return [0.0, min(1.0, max(0.05, math.ceil(float(highest) * 20) / 20))]


def _incidence_panel(
    material: Material,
    cohort: str,
    curves: pl.DataFrame,
    at_risk: pl.DataFrame,
    last_year: int,
    domain: list[float],
) -> Any:
    import altair as alt

    groups = list(material.groups(cohort))
    own = curves.filter((pl.col("cohort") == cohort) & pl.col("group").is_in(groups))
    years = alt.Scale(domain=[0, last_year], nice=False)
    lines = _incidence_lines(own, groups, years, domain)
    title = alt.TitleParams(text=cohort, subtitle=_group_test(material, cohort, own["endpoint"][0]))
    top = theme.layered(*lines, width=theme.PANEL_WIDTH, height=PLOT_HEIGHT, title=title)
    counted = [
        _numbers_below(at_risk, column, head, groups, years)
        for column, head in (("y", _("Number at risk")), ("cumulative_events", _("Cumulative events")))
        if at_risk[column].is_not_null().any()
    ]
    return theme.below(top, *counted, spacing=8)


def _group_test(material: Material, cohort: str, endpoint: str) -> str:
    """Say the p of the test of the curves."""
    test = material.group_test(cohort, endpoint)
    if test is None or test.p_value is None:
        return ""
    name = _("Gray's test") if material.competing(endpoint) else _("Log-rank test")
    return f"{name}, {state_p(test.p_value)}"


def _last_year(at_risk: pl.DataFrame) -> int:
    """Return the last whole year at which every group has enough subjects at risk to draw its line."""
    smallest = at_risk.group_by("x").agg(pl.col("y").min().alias("least"), pl.len().alias("groups"))
    enough = smallest.filter(
        (pl.col("least") >= LEAST_AT_RISK) & (pl.col("groups") == pl.col("groups").max())
    )
    last = enough["x"].max()
    return max(1, int(last)) if isinstance(last, int | float) else 1


def _incidence_lines(own: pl.DataFrame, groups: list[str], years: Any, domain: list[float]) -> list[Any]:
    import altair as alt

    x = alt.X("x:Q", title=_("Years of follow-up"), scale=years, axis=alt.Axis(tickMinStep=1, tickCount=8))
    name = _("Survival") if own["analysis"][0] == "kaplan_meier" else _("Cumulative incidence")
    axis = alt.Axis(format=".0%", tickCount=5)
    y = alt.Y("y:Q", title=name, scale=alt.Scale(domain=domain, nice=False), axis=axis)
    colour = alt.Color(
        "group:N", legend=None, scale=alt.Scale(domain=groups, range=theme.group_colours(groups))
    )
    dash = alt.StrokeDash(
        "group:N", legend=None, scale=alt.Scale(domain=groups, range=theme.group_dashes(groups))
    )
    rows = _curve_rows(own)
    base = alt.Chart(values_of(rows))
    band = base.transform_filter("isValid(datum.lower) && isValid(datum.upper)")
    band = band.mark_area(interpolate="step-after", opacity=1, fillOpacity=0.11, clip=True)
    lines = base.mark_line(interpolate="step-after", strokeWidth=1.8, clip=True)
    return [
        band.encode(
            x=x, y=alt.Y("lower:Q", title=name, scale=y["scale"]), y2=alt.Y2("upper:Q"), color=colour
        ),
        lines.encode(x=x, y=y, color=colour, strokeDash=dash),
        *_line_names(own, groups, x, y, colour, years.domain[1], domain),
        _year_hints(own, groups, x, y, years.domain[1]),
    ]


def _curve_rows(own: pl.DataFrame) -> list[dict[str, Any]]:
    columns = own.sort("group", "x").select("group", "x", "y", "lower", "upper").iter_rows()
    return [
        {
            "group": g,
            "x": compact(x, 4),
            "y": compact(y, 4),
            "lower": compact(low, 4),
            "upper": compact(high, 4),
        }
        for g, x, y, low, high in columns
    ]


def _value_at(own: pl.DataFrame, group: str, year: float) -> float | None:
    rows = own.filter((pl.col("group") == group) & (pl.col("x") <= year)).sort("x")
    return None if rows.is_empty() else float(rows["y"][-1])


def _line_names(
    own: pl.DataFrame, groups: list[str], x: Any, y: Any, colour: Any, last_year: float, domain: list[float]
) -> list[Any]:
    import altair as alt

    ends = {group: value for group in groups if (value := _value_at(own, group, last_year)) is not None}
    spread = theme.spread_labels(list(ends.values()), (domain[1] - domain[0]) * 12 / PLOT_HEIGHT)
    rows = [{"group": group, "x": last_year, "y": at} for group, at in zip(ends, spread, strict=True)]
    text = alt.Chart(values_of(rows)).mark_text(align="left", dx=4, fontSize=theme.SMALL, fontWeight="bold")
    return [text.encode(x=x, y=y, text=alt.Text("group:N"), color=colour)]


def _year_hints(own: pl.DataFrame, groups: list[str], x: Any, y: Any, last_year: float) -> Any:
    """Lay invisible marks at whole years, which say the estimate when pointed at."""
    import altair as alt

    rows = [
        {"group": group, "x": year, "y": compact(_value_at(own, group, year), 4)}
        for group in groups
        for year in range(int(last_year) + 1)
    ]
    hints = alt.Chart(values_of(rows)).mark_circle(size=120, opacity=1, color="transparent")
    tooltip = [
        alt.Tooltip("group:N", title=_("Group")),
        alt.Tooltip("x:Q", title=_("Year")),
        alt.Tooltip("y:Q", title=_("Estimate"), format=".1%"),
    ]
    return hints.encode(x=x, y=y, tooltip=tooltip)


def _numbers_below(at_risk: pl.DataFrame, column: str, head: str, groups: list[str], years: Any) -> Any:
    import altair as alt

    last_year = years.domain[1]
    step = max(1, math.ceil(last_year / 6))
    shown = at_risk.filter((pl.col("x") <= last_year) & ((pl.col("x") % step) == 0)).drop_nulls(column)
    rows = [
        {"group": group, "x": x, "n": f"{int(n):,}"}
        for group, x, n in shown.select("group", "x", column).iter_rows()
    ]
    y = alt.Y(
        "group:N",
        sort=groups,
        title=None,
        axis=alt.Axis(
            domain=False, ticks=False, labelFontWeight="bold", labelPadding=16, labelColor=theme.INK
        ),
    )
    x = alt.X("x:Q", scale=years, axis=None)
    title = alt.TitleParams(text=head, fontSize=theme.SMALL, fontWeight="normal", color=theme.MUTED, offset=3)
    text = alt.Chart(values_of(rows), title=title).mark_text(fontSize=theme.SMALL, color=theme.INK)
    return text.encode(x=x, y=y, text=alt.Text("n:N")).properties(
        width=theme.PANEL_WIDTH, height=RISK_ROW * len(groups)
    )

"""How far every statistic lies from R's, by family, on one page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from spinescore.core.reporting import theme
from spinescore.core.reporting.document import Figure
from spinescore.core.reporting.figures import values_of
from spinescore.core.verification.case import CLOSED_FORM, ITERATED, Family, Outcome

IDENTICAL = 1e-17
WIDEST = 1e-5
ROW_HEIGHT = 21
KINDS = (("closed form", CLOSED_FORM, theme.BLUE), ("iterated", ITERATED, theme.VERMILION))


def agreement_figure(families: Sequence[tuple[Family, tuple[Outcome, ...]]]) -> Figure:
    """Draw a tick for each statistic at its relative difference from R's number."""
    import altair as alt

    names = [family.title for family, _ in families]
    kinds = {tolerance: name for name, tolerance, _ in KINDS}
    rows = [
        {
            "family": family.title,
            "kind": kinds.get(comparison.tolerance, "iterated"),
            "difference": min(max(float(comparison.relative_differences.max()), IDENTICAL), WIDEST),
            "statistic": f"{outcome.case.title}: {comparison.statistic}",
        }
        for family, outcomes in families
        for outcome in outcomes
        for comparison in outcome.comparisons
    ]
    colour = alt.Color(
        "kind:N",
        title=None,
        scale=alt.Scale(domain=[k for k, _, _ in KINDS], range=[c for _, _, c in KINDS]),
        legend=alt.Legend(orient="top", symbolType="stroke", symbolStrokeWidth=2),
    )
    x = alt.X(
        "difference:Q",
        title="Relative difference from R's number (left edge: none)",
        scale=alt.Scale(type="log", domain=[IDENTICAL, WIDEST]),
        axis=alt.Axis(values=[1e-17, 1e-15, 1e-13, 1e-11, 1e-9, 1e-7, 1e-5], labelExpr=_power(), grid=True),
    )
    y = alt.Y("family:N", title=None, sort=names, axis=alt.Axis(labelLimit=220, ticks=False, domain=False))
    ticks = (
        alt.Chart(values_of(rows))
        .mark_tick(thickness=1.2, opacity=0.55, size=13)
        .encode(x=x, y=y, color=colour, tooltip=["statistic:N", alt.Tooltip("difference:Q", format=".1e")])
    )
    limits = values_of([{"kind": name, "difference": tolerance} for name, tolerance, _ in KINDS])
    rules = (
        alt.Chart(limits).mark_rule(strokeDash=[4, 3], strokeWidth=1.2).encode(x="difference:Q", color=colour)
    )
    chart: Any = alt.layer(rules, ticks).properties(width=430, height=ROW_HEIGHT * len(names))
    return Figure(
        key="agreement",
        title="Relative difference of every statistic from R's number",
        caption="A tick is a statistic (of several numbers, the one furthest from R's). Dashed lines are the "
        "tolerances of the same colour: what lies right of its own does not agree.",
        alt="Strip chart with a row per family of statistics: relative differences from R on a logarithmic "
        "axis, with the tolerances of closed forms and of iterated fits as dashed lines.",
        spec=theme.finish(chart),
    )


def _power() -> str:
    """Return the expression that labels powers of ten with superscripts."""
    digits = "⁰¹²³⁴⁵⁶⁷⁸⁹"
    whole = "round(-log(datum.value) / LN10)"
    tens = f"{whole} >= 10 ? '{digits[1]}' : ''"
    ones = f"substring('{digits}', {whole} % 10, {whole} % 10 + 1)"
    return f"'10⁻' + ({tens}) + {ones}"

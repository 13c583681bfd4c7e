"""Charts of repeated images: two images of one day against each other, and changes per year."""

from __future__ import annotations

from typing import Any

import polars as pl

from spinescore.core.reporting import theme
from spinescore.core.reporting.document import Figure
from spinescore.core.reporting.figures import MOST_POINTS, compact, shade_by_count, values_of
from spinescore.core.reporting.formatting import format_number
from spinescore.core.reporting.language import gettext as _
from spinescore.core.reporting.material import PREDICTOR_NAMES, Material, level_title

CELL_YEARS = 1.0
KINDS = ("radiograph", "vfa")


def agreement_figure(material: Material) -> Figure | None:
    """Draw second minus first image of a day on their mean, with what error alone keeps within."""
    if material.repeats.is_empty():
        return None
    panels = []
    binned = False
    for cohort in material.cohorts:
        for kind in KINDS:
            pairs = material.repeats.filter((pl.col("cohort") == cohort) & (pl.col("kind") == kind))
            if pairs.height:
                panels.append(_agreement_panel(material, cohort, kind, pairs))
                binned = binned or pairs.height > MOST_POINTS
    if not panels:
        return None
    marks = _("Cells are shaded by the number of subjects.") if binned else _("One point per subject.")
    return Figure(
        key="agreement",
        title=_("Two images of one day: difference of raw spine age on its mean"),
        caption=_(
            "{marks} The first two images of each subject's first day that has two. Solid line: no "
            "difference. Dashed lines: the smallest detectable change either way, where it could "
            "be estimated."
        ).format(marks=marks),
        alt=_(
            "Scatter plots, one per cohort and kind of image, of the difference in raw spine age "
            "between two images of one person and day against their mean, with lines at the "
            "smallest detectable change."
        ),
        spec=theme.finish(theme.in_rows(panels)),
    )


def change_figure(material: Material) -> Figure | None:
    """Draw how the changes per year are distributed, over what measurement error alone would give."""
    chosen = (pl.col("analysis") == "repeated_images") & (pl.col("x_name") == "change_per_year")
    curves = material.curves.filter(chosen)
    panels = []
    for cohort in material.cohorts:
        for kind in KINDS:
            own = curves.filter((pl.col("cohort") == cohort) & (pl.col("group") == f"kind={kind}"))
            if own.height:
                panels.append(_change_panel(cohort, kind, own))
    if not panels:
        return None
    predictor = _(PREDICTOR_NAMES[curves["predictor"][0]])
    return Figure(
        key="change-per-year-distribution",
        title=_("Change of predicted age difference per year ({predictor})").format(predictor=predictor),
        caption=_(
            "Bars: share of subjects. Line: the share that measurement error alone would put there "
            "if nobody changed, given each subject's days and images; absent where that error "
            "could not be estimated. The outermost 5% of subjects are not drawn."
        ),
        alt=_(
            "Histograms, one per cohort and kind of image, of the subjects' change of predicted "
            "age difference per year, with the distribution that measurement error alone would "
            "give as a line."
        ),
        spec=theme.finish(theme.in_rows(panels)),
    )


def _agreement_panel(material: Material, cohort: str, kind: str, pairs: pl.DataFrame) -> Any:
    import altair as alt

    found = material.results.find(
        cohort,
        "repeated_images",
        "smallest_detectable_change",
        subgroup=f"kind={kind}",
        predictor="spine_age_raw",
    )
    limit = None if found is None else found.value
    reach = max(float(pairs["spine_age_difference"].abs().max() or 0.0), limit or 0.0, 0.1) * 1.06  # type: ignore[arg-type]
    x = alt.X("mean:Q", title=_("Mean of both, years"), scale=alt.Scale(zero=False))
    y = alt.Y("difference:Q", title=_("Second − first, years"), scale=alt.Scale(domain=[-reach, reach]))
    cloud = _pair_cells(pairs, x, y) if pairs.height > MOST_POINTS else _pair_dots(pairs, x, y)
    layers = [_level(0.0, [1, 0], y), cloud]
    if limit is not None:
        layers += [_level(side * limit, [4, 3], y) for side in (-1, 1)]
    title = alt.TitleParams(
        text=f"{cohort}: {level_title(kind)} (n = {pairs.height:,})",
        subtitle=""
        if limit is None
        else _("smallest detectable change {limit} years").format(limit=format_number(limit, 2)),
    )
    return theme.layered(*layers, width=theme.PANEL_WIDTH, height=theme.PANEL_HEIGHT, title=title)


def _level(value: float, dash: list[int], y: Any) -> Any:
    import altair as alt

    rule = alt.Chart(values_of([{"difference": compact(value)}]))
    return rule.mark_rule(color=theme.MUTED, strokeDash=dash, strokeWidth=1).encode(y=y)


def _pair_dots(pairs: pl.DataFrame, x: Any, y: Any) -> Any:
    import altair as alt

    rows = [
        {"mean": compact(mean, 4), "difference": compact(difference, 4)}
        for mean, difference in pairs.select("spine_age_mean", "spine_age_difference").iter_rows()
    ]
    marks = alt.Chart(values_of(rows)).mark_circle(size=11, opacity=1, fillOpacity=0.4, color=theme.BLUE)
    return marks.encode(x=x, y=y)


def _pair_cells(pairs: pl.DataFrame, x: Any, y: Any) -> Any:
    import altair as alt

    names = {"mean": "spine_age_mean", "difference": "spine_age_difference"}
    floors = [((pl.col(name) / CELL_YEARS).floor() * CELL_YEARS).alias(key) for key, name in names.items()]
    rows = [
        {
            "mean": a,
            "mean_to": a + CELL_YEARS,
            "difference": b,
            "difference_to": b + CELL_YEARS,
            "subjects": n,
        }
        for a, b, n in pairs.group_by(*floors).len().iter_rows()
    ]
    cells = alt.Chart(values_of(rows)).mark_rect(clip=True)
    return cells.encode(
        x=x, x2=alt.X2("mean_to:Q"), y=y, y2=alt.Y2("difference_to:Q"), color=shade_by_count()
    )


def _change_panel(cohort: str, kind: str, curves: pl.DataFrame) -> Any:
    import altair as alt

    seen, error = (curves.filter(pl.col("method") == m).sort("x") for m in ("observed", "measurement_error"))
    half = float(seen["x"].diff().drop_nulls().min() or 1.0) / 2  # type: ignore[arg-type]
    bars = [
        {"change": compact(at - half), "to": compact(at + half), "share": compact(share)}
        for at, share in seen.select("x", "y").iter_rows()
    ]
    x = alt.X("change:Q", title=_("Change of PAD, years per year"))
    y = alt.Y("share:Q", title=_("Share of subjects"), axis=alt.Axis(format=".0%"))
    layers = [
        alt.Chart(values_of(bars))
        .mark_bar(color=theme.BLUE, opacity=1, fillOpacity=0.35, stroke=theme.BLUE, strokeWidth=0.5)
        .encode(x=x, x2=alt.X2("to:Q"), y=y, y2=alt.Y2Datum(0))
    ]
    if error.height:
        line = [{"change": compact(at), "share": compact(s)} for at, s in error.select("x", "y").iter_rows()]
        layers.append(
            alt.Chart(values_of(line)).mark_line(color=theme.VERMILION, strokeWidth=1.8).encode(x=x, y=y)
        )
    title = alt.TitleParams(text=f"{cohort}: {level_title(kind)}")
    return theme.layered(*layers, width=theme.PANEL_WIDTH, height=theme.PANEL_HEIGHT, title=title)

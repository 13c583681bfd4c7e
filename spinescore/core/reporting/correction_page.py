"""Corrections as a page: what each was fitted on, PAD on age before and after, and every age's numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from spinescore.core.correction_drawing import describe_formula, expected_pad, middle_of
from spinescore.core.reporting import theme
from spinescore.core.reporting.document import (
    Block,
    Callout,
    Cell,
    Column,
    Definitions,
    Figure,
    Report,
    Row,
    Section,
    Table,
    number_report,
)
from spinescore.core.reporting.figures import compact, values_of
from spinescore.core.reporting.formatting import FLAG_TEXT, format_count, format_number
from spinescore.core.reporting.material import CORRECTION_NAMES, level_title
from spinescore.domain import AgeCell, Correction, FoldFit

TITLE = "Bias corrections and what they were fitted on"
SUBTITLE = "Predicted age difference (PAD) on chronological age in the reference subjects, before and after"
SYNTHETIC = "SYNTHETIC DATA"
SYNTHETIC_DETAIL = "These corrections were fitted on made-up images. They say nothing about any patient."
LINE_POINTS = 60
RULES = (
    "A correction says nothing of the model's accuracy: a useless model looks accurate after it. Judge the "
    "raw ages.",
    "After correction PAD is unrelated to age among those it was fitted on, by construction. Whether it is "
    "so in others is what an evaluation shows.",
    "Years of age with fewer than five subjects are pooled with their neighbours, rare manufacturers with "
    "each other, so that no row is of a few people.",
)


def build_correction_page(corrections: Sequence[Correction]) -> Report:
    """Put corrections into words, charts and tables; those fitted on made-up data say so at the top."""
    with theme.unchecked_charts():
        sections = tuple(_section(correction) for correction in corrections)
    first = corrections[0]
    facts = (
        ("Model id", first.model_id),
        ("Preprocessing id", first.preprocessing_id),
        ("Method", CORRECTION_NAMES[first.method]),
    )
    reading = Section(key="reading", title="How to read this", blocks=(Callout(title="Limits", items=RULES),))
    synthetic = any(correction.synthetic for correction in corrections)
    report = Report(
        title=TITLE,
        subtitle=SUBTITLE,
        banner=SYNTHETIC if synthetic else "",
        banner_detail=SYNTHETIC_DETAIL if synthetic else "",
        running_head=SYNTHETIC if synthetic else "",
        facts=facts,
        sections=(*sections, reading),
    )
    return number_report(report)


def correction_flags(correction: Correction) -> tuple[str, ...]:
    """Return the flags of a correction as it was fitted; those of its use depend on whom it corrects."""
    found = (
        (correction.same_cohort, "same_cohort_correction"),
        (correction.cross_fit is not None, "cross_fit_correction"),
        (correction.across_kinds, "across_kinds"),
        (correction.n_trained_on > 0, "correction_trained_on"),
    )
    return tuple(flag for holds, flag in found if holds)


def _section(correction: Correction) -> Section:
    kind = level_title(correction.kind)
    makers = ", ".join(f"{name} {n:,}" for name, n in correction.manufacturers) or "not known"
    items = (
        ("Formula", describe_formula(correction)),
        (
            "Fitted on",
            f"{correction.n_reference:,} subjects of {correction.reference_cohort}, "
            f"{level_title(correction.fitted_kind)}, aged {format_number(correction.age_range[0], 1)} to "
            f"{format_number(correction.age_range[1], 1)} years",
        ),
        ("Manufacturers", makers),
        ("Hash of those rows", correction.reference_sha256),
        ("Correction id", correction.correction_id),
        ("Fitted", f"{correction.fitted_on or 'on a day not recorded'}, {correction.made_by or 'unknown'}"),
    )
    blocks: list[Block] = [Definitions(items=items)]
    cautions = tuple(_sentence(FLAG_TEXT[flag]) for flag in correction_flags(correction))
    if cautions:
        blocks.append(Callout(title="What this correction is not", items=cautions))
    if correction.profile:
        blocks += [_fit_figure(correction), _bar_figure(correction), _age_table(correction)]
    if correction.folds:
        blocks.append(_fold_table(correction))
    return Section(key=f"correction-{correction.kind}", title=kind, blocks=tuple(blocks))


def _fit_figure(correction: Correction) -> Figure:
    import altair as alt

    reach = max(
        max(abs(mean) + sd for mean, sd in ((c.mean, c.sd), (c.mean_after, c.sd_after)))
        for c in correction.profile
    )
    years = alt.Scale(domain=[-reach, reach])
    before = _panel(correction, "before", years)
    after = _panel(correction, "after", years)
    folds = (
        f" Thin lines: the fits without one of the {correction.cross_fit} folds." if correction.folds else ""
    )
    return Figure(
        key=f"fit-{correction.kind}",
        title=f"PAD on age before and after correction, {level_title(correction.kind)}",
        caption="Points: mean PAD of the subjects of one year of age, or of a few years pooled; the larger, "
        "the more subjects. Bars: one standard deviation either way. Solid line: the fit."
        f"{folds} Dashed line: 0.",
        alt="Two panels of mean predicted age difference by chronological age with standard deviations: "
        "before correction with the fitted line, and after correction.",
        spec=theme.finish(theme.beside(before, after, spacing=44)),
    )


def _panel(correction: Correction, when: str, years: Any) -> Any:
    import altair as alt

    rows = [_point(cell, when) for cell in correction.profile]
    domain = _age_domain(correction)
    x = alt.X("age:Q", title="Chronological age, years", scale=alt.Scale(domain=domain, nice=False))
    y = alt.Y("mean:Q", title="PAD, years", scale=years)
    base = alt.Chart(values_of(rows))
    colour = theme.VERMILION if when == "before" else theme.BLUE
    bars = base.mark_rule(color=colour, opacity=0.45).encode(
        x=x, y=alt.Y("low:Q", scale=years), y2=alt.Y2("high:Q")
    )
    size = alt.Size("n:Q", legend=None, scale=alt.Scale(range=[12, 70]))
    dots = base.mark_point(filled=True, color=colour, opacity=1).encode(x=x, y=y, size=size)
    ends = [{"age": edge, "mean": 0.0} for edge in domain]
    zero = alt.Chart(values_of(ends)).mark_line(color=theme.MUTED, strokeDash=[4, 3], strokeWidth=1)
    layers = [bars, zero.encode(x=x, y=y)]
    if when == "before":
        layers += [_line(correction, fold, x, y) for fold in (*correction.folds, None)]
    return theme.layered(*layers, dots, width=theme.PANEL_WIDTH, height=theme.PANEL_HEIGHT, title=when)


def _point(cell: AgeCell, when: str) -> dict[str, float | None]:
    mean, sd = (cell.mean, cell.sd) if when == "before" else (cell.mean_after, cell.sd_after)
    return {
        "age": middle_of(cell),
        "mean": compact(mean),
        "low": compact(mean - sd),
        "high": compact(mean + sd),
        "n": cell.n,
    }


def _line(correction: Correction, fold: FoldFit | None, x: Any, y: Any) -> Any:
    import altair as alt

    expected = expected_pad(correction, fold)
    left, right = _age_domain(correction)
    rows = [
        {"age": age, "mean": compact(expected(age))}
        for age in (left + (right - left) * i / LINE_POINTS for i in range(LINE_POINTS + 1))
    ]
    width, opacity = (1.8, 1.0) if fold is None else (0.6, 0.5)
    mark = alt.Chart(values_of(rows)).mark_line(color=theme.INK, strokeWidth=width, opacity=opacity)
    return mark.encode(x=x, y=y)


def _bar_figure(correction: Correction) -> Figure:
    import altair as alt

    rows = [
        {
            "ages": _ages(cell),
            "start": cell.first,
            "end": cell.last + 1,
            "n": _per_year(cell),
            "sd": sd,
            "when": when,
        }
        for cell in correction.profile
        for when, sd in (("before", compact(cell.sd)), ("after", compact(cell.sd_after)))
    ]
    ages = alt.Scale(domain=_age_domain(correction), nice=False)
    x = alt.X("start:Q", title="Chronological age, years", scale=ages)
    counts = (
        alt.Chart(values_of([row for row in rows if row["when"] == "before"]))
        .mark_bar(color=theme.GREY, stroke="white", strokeWidth=0.5)
        .encode(x=x, x2=alt.X2("end:Q"), y=alt.Y("n:Q", title="Subjects per year of age"), y2=alt.Y2Datum(0))
    )
    spread = (
        alt.Chart(values_of(rows))
        .mark_line(interpolate="step-after", strokeWidth=1.4)
        .encode(
            x=x,
            y=alt.Y("sd:Q", title="SD of PAD, years"),
            color=alt.Color(
                "when:N",
                title=None,
                scale=alt.Scale(domain=["before", "after"], range=[theme.VERMILION, theme.BLUE]),
            ),
            strokeDash=alt.StrokeDash(
                "when:N", title=None, scale=alt.Scale(domain=["before", "after"], range=[[1, 0], [5, 3]])
            ),
        )
    )
    size = {"width": theme.PANEL_WIDTH, "height": theme.PANEL_HEIGHT}
    return Figure(
        key=f"ages-{correction.kind}",
        title=f"Reference subjects by age, {level_title(correction.kind)}",
        caption="How many subjects of each age the correction rests on, and how widely their PAD scatters. "
        "Years of few subjects are pooled, and the bar is their mean.",
        alt="Bars of the number of reference subjects by age, and lines of the standard deviation of their "
        "predicted age difference before and after correction.",
        spec=theme.finish(theme.beside(counts.properties(**size), spread.properties(**size), spacing=44)),
    )


def _age_table(correction: Correction) -> Table:
    columns = (
        Column(label="Age", align="left"),
        Column(label="n"),
        Column(label="Mean", spanner="PAD before, years"),
        Column(label="SD", spanner="PAD before, years"),
        Column(label="Mean", spanner="PAD after, years"),
        Column(label="SD", spanner="PAD after, years"),
    )
    rows = tuple(
        _texts(
            _ages(cell),
            format_count(cell.n),
            *(format_number(v, 2) for v in (cell.mean, cell.sd, cell.mean_after, cell.sd_after)),
        )
        for cell in correction.profile
    )
    how = "; after: each by the fit that leaves the subject's fold out" if correction.folds else ""
    return Table(
        key=f"ages-{correction.kind}",
        title=f"PAD by age in the reference subjects, {level_title(correction.kind)}",
        columns=columns,
        rows=rows,
        caption=f"Completed years of age{how}.",
    )


def _fold_table(correction: Correction) -> Table:
    linear = correction.slope is not None
    columns = (
        Column(label="Fold left out", align="left"),
        Column(label="n"),
        Column(label="Ages"),
        Column(label="Slope"),
        Column(label="Intercept, years"),
    )
    rows = tuple(
        _texts(
            str(fit.fold + 1),
            format_count(fit.n_reference),
            f"{fit.age_range[0]:.1f}–{fit.age_range[1]:.1f}",
            format_number(fit.slope, 4) if linear and fit.slope is not None else "by age",
            format_number(fit.intercept, 3) if linear and fit.intercept is not None else "by age",
        )
        for fit in correction.folds
    )
    return Table(
        key=f"folds-{correction.kind}",
        title=f"Fits without one fold each, {level_title(correction.kind)}",
        columns=columns,
        rows=rows,
        caption="A subject is corrected by the fit that leaves the own fold out.",
    )


def _age_domain(correction: Correction) -> list[int]:
    return [correction.profile[0].first, correction.profile[-1].last + 1]


def _texts(*texts: str) -> Row:
    return Row(cells=tuple(Cell(text=text) for text in texts))


def _per_year(cell: AgeCell) -> float:
    return cell.n / (cell.last + 1 - cell.first)


def _ages(cell: AgeCell) -> str:
    return str(cell.first) if cell.first == cell.last else f"{cell.first}–{cell.last}"


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."

"""Images and devices: what could not be scored, what was flagged, and how far devices read apart."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from spinescore.core.reporting import theme
from spinescore.core.reporting.document import (
    Block,
    Cell,
    Column,
    Figure,
    Heading,
    Paragraph,
    Row,
    Section,
    Table,
)
from spinescore.core.reporting.drift_section import drift_blocks
from spinescore.core.reporting.figures import compact, values_of
from spinescore.core.reporting.formatting import (
    DASH,
    describe_cautions,
    format_count,
    format_number,
    format_p,
    format_range,
    format_value,
    state_p,
)
from spinescore.core.reporting.language import gettext as _
from spinescore.core.reporting.language import marked
from spinescore.core.reporting.material import LEFT_TO_CALLER, Material, level_title
from spinescore.core.reporting.tables import head_row
from spinescore.domain import Result

LEFT_OF_PLOT = 190
PLOT_WIDTH = 240
ROW_HEIGHT = 17
WHAT = {
    "not scored": marked("Not scored, because"),
    "header": marked("Flags from headers"),
    "pixels": marked("Flags from pixels"),
}
TRAITS = {"manufacturer": marked("Manufacturers"), "scanner": marked("Manufacturers and models")}


def device_section(material: Material) -> Section:
    """Show images by kind and manufacturer, failures and flags, and shifts of the raw gap between devices."""
    blocks: list[Block] = []
    if material.quality:
        blocks += [
            Paragraph(
                text=_(
                    "Of all images of the database that were indexed, not of the cohorts alone. A flag "
                    "excludes nothing by itself; a cohort's condition may."
                )
            ),
            quality_table(material),
        ]
        blocks += [findings_table(material)] if material.findings else []
    table = shift_table(material)
    if table.rows:
        figure = shift_figure(material)
        blocks += [Heading(text=_("Shifts between devices")), table, *([figure] if figure else [])]
    blocks += drift_blocks(material)
    return Section(key="devices", title=_("Images and devices"), blocks=tuple(blocks))


def quality_table(material: Material) -> Table:
    """Count images by kind and manufacturer: indexed, scored, not scored, flagged."""
    rows = []
    for kind, own in _by(material.quality, "kind"):
        rows.append(head_row(level_title(kind)))
        rows += [Row(cells=tuple(_quality_cells(row)), kind="indent") for row in own]
    columns = (
        Column(label=_("Manufacturer"), align="left"),
        Column(label=_("Images")),
        Column(label=_("Subjects")),
        Column(label=_("Scored, n (%)")),
        Column(label=_("Not scored, n (%)")),
        Column(label=_("Flagged, n (%)")),
        Column(label=_("SD of the age distribution, median (quartiles), years")),
    )
    return Table(
        key="image-quality",
        title=_("Images by kind and manufacturer"),
        columns=columns,
        rows=tuple(rows),
        caption=_(
            "Percentages are of the row's images; images neither scored nor failed were not tried yet. The "
            "SD is of the network's own distribution over ages, image by image; it says how sure the network "
            "is, not how right."
        ),
    )


def _quality_cells(row: Mapping[str, Any]) -> Iterator[Cell]:
    yield Cell(text=str(row["manufacturer"]))
    yield Cell(text=format_count(row["n_images"]))
    yield Cell(text=format_count(row["n_subjects"]))
    for name in ("n_scored", "n_failed", "n_flagged"):
        yield Cell(text=_share(row[name], row["n_images"]))
    quartiles = [row[name] for name in ("sd_median", "sd_q1", "sd_q3")]
    if None in quartiles:
        yield Cell(text=DASH, notes=(_("no age distribution"),))
    else:
        middle, low, high = (format_number(value, 1) for value in quartiles)
        yield Cell(text=f"{middle} ({low}–{high})")


def _share(part: float | None, whole: float | None) -> str:
    if part is None or not whole:
        return DASH
    return f"{format_count(part)} ({format_value(100 * part / whole, 'percent')}%)"


def findings_table(material: Material) -> Table:
    """Count why images could not be scored, and flags, by kind of image."""
    kinds = list(dict.fromkeys(row["kind"] for row in material.quality))
    totals = {k: sum(row["n_images"] or 0 for row in material.quality if row["kind"] == k) for k in kinds}
    rows = []
    for what, found in _by(material.findings, "what"):
        rows.append(head_row(_(WHAT[what])))
        for code, own in _by(found, "code"):
            counts = {row["kind"]: row["n"] for row in own}
            shares = [Cell(text=_share(counts.get(kind, 0), totals[kind])) for kind in kinds]
            rows.append(Row(cells=(Cell(text=code.replace("_", " ")), *shares), kind="indent"))
    heads = [Column(label=_("{kind}, n (%)").format(kind=level_title(kind))) for kind in kinds]
    return Table(
        key="image-findings",
        title=_("What was found on images"),
        columns=(Column(label=_("Reason or flag"), align="left"), *heads),
        rows=tuple(rows),
        caption=_("An image may carry several flags. Codes are those of `spinescore status`."),
    )


def shift_table(material: Material) -> Table:
    """List the shifts of raw PAD of each device against the most frequent one, and the tests."""
    rows: list[Row] = []
    for head, shifts, whole in _comparisons(material):
        test = _test(whole)
        rows.append(head_row(f"{head}: {test}" if test else head))
        rows += [Row(cells=tuple(_shift_cells(shift)), kind="indent") for shift in shifts]
    columns = (
        Column(label=_("Device, against"), align="left"),
        Column(label="n"),
        Column(label=_("Shift of raw PAD, years ({level} CI)").format(level=material.level_percent)),
        Column(label="p"),
    )
    return Table(
        key="device-shifts",
        title=_("Shift of raw predicted age difference between devices, at fixed age and sex"),
        columns=columns,
        rows=tuple(rows),
        caption=_(
            "Index images. Least squares of raw PAD on age (restricted cubic spline, 4 knots), sex and "
            "device; HC3 standard errors. Above 0: spines of the same age look older on this device. Devices "
            "stand in different places: a shift may also be one of the people they see."
        ),
    )


def _comparisons(material: Material) -> Iterator[tuple[str, list[Result], Result | None]]:
    """Yield a head, the shifts and the test of each cohort, kind of image and trait."""
    for cohort in material.cohorts:
        tests = material.results.every(
            cohort, "device_shift", "f_statistic", subgroup=LEFT_TO_CALLER, term=LEFT_TO_CALLER
        )
        for whole in tests:
            kind, trait = str(whole.subgroup).partition("=")[2], str(whole.term)
            shifts = [
                row
                for row in material.results.every(
                    cohort, "device_shift", "shift_years", subgroup=whole.subgroup, term=LEFT_TO_CALLER
                )
                if str(row.term).startswith(f"{trait}=")
            ]
            yield f"{cohort}, {level_title(kind)}. {_(TRAITS[trait])}", shifts, whole


def _test(whole: Result | None) -> str:
    if whole is None or whole.value is None or whole.df is None:
        return ""
    denominator = str(whole.note).rpartition(" ")[2]
    return _("F({df}, {residual}) = {f}, {p}").format(
        df=f"{whole.df:g}",
        residual=denominator,
        f=format_number(whole.value, 2),
        p=state_p(whole.p_value),
    )


def _shift_cells(shift: Result) -> Iterator[Cell]:
    yield Cell(
        text=_("{device}, against {reference}").format(
            device=_device(shift.term), reference=_device(shift.comparator)
        )
    )
    yield Cell(text=format_count(shift.n))
    if shift.value is None or shift.lower is None or shift.upper is None:
        yield Cell(text=DASH, notes=describe_cautions(shift))
    else:
        interval = format_range(shift.lower, shift.upper, "error")
        yield Cell(text=f"{format_value(shift.value, 'error')} ({interval})")
    yield Cell(text=format_p(shift.p_value))


def _device(term: str | None) -> str:
    return str(term).partition("=")[2]


def shift_figure(material: Material) -> Figure | None:
    """Draw the shifts with their intervals on one axis of years."""
    lines: list[dict[str, Any]] = []
    for head, shifts, _whole in _comparisons(material):
        known = [shift for shift in shifts if shift.value is not None]
        if known:
            lines.append({"row": len(lines), "label": head, "heading": True})
        for shift in known:
            numbers = {name: compact(getattr(shift, name)) for name in ("value", "lower", "upper")}
            label = _("{device}, against {reference}").format(
                device=_device(shift.term), reference=_device(shift.comparator)
            )
            lines.append({"row": len(lines), "label": label, "heading": False, "n": shift.n, **numbers})
    if not lines:
        return None
    return Figure(
        key="device-shifts",
        title=_("Shift of raw predicted age difference between devices"),
        caption=_(
            "Bars: {level} CI. 0: read as the most frequent device of that cohort and kind reads."
        ).format(level=material.level_percent),
        alt=_(
            "Shifts of raw predicted age difference in years of each device against the most frequent one, "
            "with confidence intervals about a line at 0; the table above has the numbers."
        ),
        spec=theme.finish(_draw(lines)),
    )


def _draw(lines: Sequence[dict[str, Any]]) -> dict[str, Any]:
    import altair as alt

    data, height = values_of(lines), ROW_HEIGHT * len(lines)
    y = alt.Y("row:O", axis=None, scale=alt.Scale(domain=list(range(len(lines)))))
    x = alt.X("value:Q", title=_("Shift of raw PAD, years"), axis=alt.Axis(grid=False))
    names = alt.Chart(data).encode(x=theme.fixed("x", 0), y=y, text=alt.Text("label:N"))
    heads = names.transform_filter("datum.heading").mark_text(align="left", fontWeight="bold")
    plain = names.transform_filter("!datum.heading").mark_text(align="left", dx=10, limit=LEFT_OF_PLOT - 10)
    base = alt.Chart(data).transform_filter("!datum.heading")
    hints = [
        alt.Tooltip("label:N", title=_("Device")),
        alt.Tooltip("value:Q", title=_("Shift, years"), format=".2f"),
        alt.Tooltip("lower:Q", title=_("Lower bound"), format=".2f"),
        alt.Tooltip("upper:Q", title=_("Upper bound"), format=".2f"),
        alt.Tooltip("n:Q", title="n"),
    ]
    zero = alt.Chart(values_of([{"value": 0}])).mark_rule(color=theme.MUTED, strokeWidth=1).encode(x=x)
    bars = base.mark_rule(color=theme.BLUE, strokeWidth=1.4).encode(
        x=alt.X("lower:Q", title=_("Shift of raw PAD, years")), x2=alt.X2("upper:Q"), y=y
    )
    dots = base.mark_square(color=theme.BLUE, size=42, opacity=1).encode(x=x, y=y, tooltip=hints)
    return theme.beside(
        theme.layered(heads, plain, width=LEFT_OF_PLOT, height=height),
        theme.layered(zero, bars, dots, width=PLOT_WIDTH, height=height),
        spacing=10,
    )


def _by(rows: Sequence[Mapping[str, Any]], name: str) -> Iterator[tuple[str, list[Mapping[str, Any]]]]:
    """Yield the rows of each value of a column, in order of first appearance."""
    for value in dict.fromkeys(str(row[name]) for row in rows):
        yield value, [row for row in rows if str(row[name]) == value]

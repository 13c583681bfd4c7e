"""Recent images against the reference set, as a table and as sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from spinescore.core.reporting.document import Block, Cell, Column, Heading, Row, Table
from spinescore.core.reporting.formatting import DASH, format_count, format_range, format_value
from spinescore.core.reporting.language import gettext as _
from spinescore.core.reporting.language import marked
from spinescore.core.reporting.material import Material, level_title

MEASURES = {
    "psi": marked("Population stability index of raw PAD at fixed age"),
    "shift_years": marked("Shift of raw PAD at fixed age, years (95% CI)"),
    "failed_share": marked("Images tried last that could not be scored"),
    "new_manufacturer": marked("Images of a manufacturer not in the reference set"),
    "new_device": marked("Images of a device not in the reference set"),
    "new_protocol": marked("Images of a protocol not in the reference set"),
    "change_years": marked("Change of ages from the model before, years (limits of agreement)"),
}
NOTES = {
    "no_reference": marked("no reference set"),
    "too_few": marked("too few images"),
}
ALL = marked("all")
RARER = marked("rarer ones")


def drift_blocks(material: Material) -> list[Block]:
    """Return the table of drift under its heading; nothing where a study file has no [drift]."""
    if not material.drift:
        return []
    return [Heading(text=_("Drift")), drift_table(material)]


def drift_table(material: Material) -> Table:
    """List each comparison with its threshold, those beyond it marked."""
    columns = (
        Column(label=_("Recent images against the reference set"), align="left"),
        Column(label="n"),
        Column(label=_("Reference, n")),
        Column(label=_("Found")),
        Column(label=_("Threshold")),
        Column(label=_("Beyond")),
    )
    return Table(
        key="drift",
        title=_("What has drifted since the reference set"),
        columns=columns,
        rows=tuple(Row(cells=_cells(row)) for row in material.drift),
        caption=_(
            "The images scored last, one per subject, against the subjects that the bias correction is "
            "fitted on. PAD at fixed age: above or below the reference's line of PAD on age. The population "
            "stability index is over tenths of the reference; in brackets, what it stays below in 95 of 100 "
            "pairs of samples of this size where nothing has drifted. Drift may be of devices, of images or "
            "of the people who come."
        ),
    )


def _cells(row: Mapping[str, Any]) -> tuple[Cell, ...]:
    group = row["group"]
    group = _(RARER) if group == RARER else group
    what = f"{level_title(row['kind'])}, {group or _(ALL)}. {_(MEASURES[row['measure']])}"
    return (
        Cell(text=what),
        Cell(text=format_count(row["n"])),
        Cell(text=format_count(row["n_reference"]) if row["n_reference"] else DASH),
        _found(row),
        Cell(text=_threshold(row["threshold"], row["measure"])),
        Cell(text=DASH if row["threshold"] is None else _("yes") if row["beyond"] else _("no")),
    )


def _found(row: Mapping[str, Any]) -> Cell:
    value, measure = row["value"], row["measure"]
    if value is None:
        return Cell(text=DASH, notes=(_(NOTES[row["note"]]),))
    text = _number(value, measure)
    if measure == "psi":
        text += f" (< {_number(row['upper'], measure)})"
    elif row["lower"] is not None:
        text += f" ({format_range(row['lower'], row['upper'], 'error')})"
    return Cell(text=text)


def _number(value: float | None, measure: str) -> str:
    if value is None:
        return DASH
    if measure == "failed_share":
        return f"{format_value(100 * value, 'percent')}%"
    if measure.startswith("new_"):
        return format_count(round(value))
    return format_value(value, "index" if measure == "psi" else "error")


def _threshold(value: float | None, measure: str) -> str:
    if value is not None and measure == "change_years":
        return f"±{format_value(value, 'years')}"
    return _number(value, measure)


def drift_lines(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Say in plain words what is beyond its threshold, for a terminal."""
    return [_sentence(row) for row in rows if row["beyond"]]


def _sentence(row: Mapping[str, Any]) -> str:
    who = f"{level_title(row['kind'])}{', ' + row['group'] if row['group'] else ''}"
    value, threshold, n = row["value"], row["threshold"], row["n"]
    if row["measure"] == "psi":
        return (
            f"{who}: at fixed age, the {n:,} images that came last read otherwise than the reference set of "
            f"{row['n_reference']:,} (PSI {value:.2f}, threshold {threshold:g}, by chance up to "
            f"{row['upper']:.2f})"
        )
    if row["measure"] == "failed_share":
        return f"{who}: {100 * value:.1f}% of the {n:,} images tried last failed (threshold {threshold:.0%})"
    if row["measure"] == "change_years":
        return (
            f"{who}: ages are {abs(value):.2f} years {'higher' if value > 0 else 'lower'} on average than by "
            f"{row['against']}, in {n:,} images (limits of agreement {row['lower']:.2f} to "
            f"{row['upper']:.2f}; threshold {threshold:g})"
        )
    return f"{who}: {value:,.0f} of the {n:,} images that came last, and none of the reference set"

"""The flow diagram: from what was found to each endpoint's analysis set, every exit with its reason."""

from __future__ import annotations

import polars as pl

from spinescore.core.reporting.document import Flow, FlowChart, FlowExit, FlowStep
from spinescore.core.reporting.language import gettext as _
from spinescore.core.reporting.language import marked
from spinescore.core.reporting.material import Material
from spinescore.core.reporting.stored_words import count_text, stored_text

TABLE_UNIT = "table rows"  # these steps count from the follow-up table to the images
CAPTION = marked(
    "Boxes on the left: what remains after each step; on the right: what was left out "
    "there, and why; at the end: who is analysed for each endpoint."
)


def attrition_flow(material: Material) -> Flow:
    """Draw a box per step, exits to the right and a box per endpoint; then the follow-up table's side."""
    frame = material.attrition
    if "unit" not in frame.columns:
        frame = frame.with_columns(pl.lit(None, dtype=pl.String).alias("unit"))
    charts = []
    for cohort in material.cohorts:
        own = frame.filter(pl.col("cohort") == cohort).sort("position")
        of_table = (pl.col("unit") == TABLE_UNIT).fill_null(value=False)
        title = material.cohort_title(cohort)
        ends = []
        for endpoint in (*material.binary, *material.survival):
            rows = own.filter(pl.col("endpoint") == endpoint)
            if rows.height:
                ends.append(_read_step(material.endpoint_title(endpoint), rows))
        charts.append(FlowChart(title=title, steps=_read_steps(own.filter(~of_table)), ends=tuple(ends)))
        table_steps = _read_steps(own.filter(of_table))
        if table_steps:
            charts.append(
                FlowChart(
                    title=_("{title}: the follow-up table's side").format(title=title), steps=table_steps
                )
            )
    return Flow(
        key="attrition",
        title=_("From files found to subjects analysed")
        if material.imported is None
        else _("From rows imported to subjects analysed"),
        caption=_(CAPTION),
        charts=tuple(charts),
    )


def _read_steps(rows: pl.DataFrame) -> tuple[FlowStep, ...]:
    """Return the boxes of the steps that are of no endpoint, in order."""
    steps = rows.filter(pl.col("endpoint").is_null()).group_by("step", maintain_order=True)
    return tuple(_read_step(_capitalise(stored_text(str(name[0]))), own) for name, own in steps)


def _read_step(label: str, rows: pl.DataFrame) -> FlowStep:
    """Return the box of one step or endpoint from its rows of attrition, in order."""
    unit = rows["unit"][-1]
    out = rows.filter(pl.col("n_excluded") > 0)
    reasons = tuple(
        f"{_reason_text(reason)}: {n:,}" for reason, n in out.select("reason", "n_excluded").iter_rows()
    )
    return FlowStep(
        label=label,
        remaining=count_text(rows["n_remaining"][-1], unit),
        exit=FlowExit(total=count_text(int(out["n_excluded"].sum()), out["unit"][-1]), reasons=reasons)
        if reasons
        else None,
    )


def _reason_text(reason: str) -> str:
    return stored_text(reason.replace("_", " ") or "left")


def _capitalise(text: str) -> str:
    return text[:1].upper() + text[1:]

"""Who left and why, rounded: what remains is rounded down, who left is the difference."""

from __future__ import annotations

from typing import Any

import polars as pl

from spinescore.core.disclosure.relations import Cell, Relations
from spinescore.core.disclosure.running_totals import round_down

TABLE_UNIT = "table rows"


def publish_attrition(attrition: pl.DataFrame, relations: Relations) -> pl.DataFrame:
    """Return the steps with rounded counts, and store that each leaves what was there less those who left.

    The first step of an endpoint follows on the last one of its cohort (sql/checks/attrition_adds_up.sql).
    """
    if attrition.is_empty():
        return attrition
    if "unit" not in attrition.columns:
        attrition = attrition.with_columns(pl.lit(None, dtype=pl.String).alias("unit"))
    k = relations.k
    before: dict[tuple[object, ...], tuple[str, int]] = {}
    rows = _without_rare(attrition.sort("cohort", "position", maintain_order=True).to_dicts(), k)
    for i, row in enumerate(rows):
        chain = (row["cohort"], row["endpoint"], row["unit"] == TABLE_UNIT)
        arrived = before.get((row["cohort"], None, False)) if row["endpoint"] is not None else None
        previous = before.get(chain) or arrived
        where = " / ".join(
            str(row[key]) for key in ("cohort", "endpoint", "step", "reason", "position") if row[key]
        )
        remaining = round_down(int(row["n_remaining"]), k)
        own = relations.add_cell(Cell(f"attrition, left after: {where}", "attrition", i, "n_remaining"))
        relations.relate("running_total", [(own, 1)])
        left = 0
        if previous is not None:
            left = previous[1] - remaining
            cell = relations.add_cell(Cell(f"attrition, left out: {where}", "attrition", i, "n_excluded"))
            relations.relate("equal", [(previous[0], 1), (own, -1), (cell, -1)])
        row |= {"n_remaining": remaining, "n_excluded": left}
        before[chain] = (own, remaining)
    return pl.DataFrame(rows, schema=attrition.schema)


def _without_rare(rows: list[dict[str, Any]], k: int) -> list[dict[str, Any]]:
    """Leave out reasons for which nobody seems to have left: that they are named would say that somebody had.

    A step's last row stays, without its reason, since it says what remains.
    """
    kept: list[dict[str, Any]] = []
    for i, row in enumerate(rows):
        follows = rows[i + 1] if i + 1 < len(rows) else None
        ends_step = follows is None or any(follows[key] != row[key] for key in ("cohort", "endpoint", "step"))
        before = int(row["n_remaining"]) + int(row["n_excluded"])
        if round_down(before, k) > round_down(int(row["n_remaining"]), k):
            kept.append(row)
        elif ends_step:
            kept.append(row | {"reason": ""})
    return kept

"""What is new in a database since a study was last run: images, scores, and numbers that changed."""

from __future__ import annotations

import json
from typing import Any

import polars as pl

from spinescore.domain import RESULT_KEYS
from spinescore.history import NUMBERS, compare_runs
from spinescore.shell.warehouse import Warehouse

REMEMBERED = ("run_id", "images", "scores", "analysis")


def compare_with_last_run(warehouse: Warehouse, title: str) -> dict[str, Any]:
    """Return what is new since the last finished run of a study, whichever commands made it.

    Returns
    -------
    dict
        ``first`` (there was none before), ``images`` and ``scores`` (``before, now`` and how many were
        ``read``, or ``made`` and ``failed``), ``results`` (``same, changed, added, removed``; None before
        there are two analyses) and ``primary`` (the pre-declared estimates, ``before`` and ``now``).
    """
    last = _last_run(warehouse, title)
    now = warehouse.fetch("run/extent", since=last["run_id"]).row(0, named=True)
    analysis = _last_analysis(warehouse, title)
    return {
        "first": last["run_id"] == 0,
        "images": {"before": last["images"], "now": now["images"], "read": now["images_read"]},
        "scores": {
            "before": last["scores"],
            "now": now["scores"],
            "made": now["scores_made"],
            "failed": now["scores_failed"],
        },
        "results": _count_changes(warehouse, last["analysis"], analysis),
        "primary": {
            "before": _primary(warehouse, last["analysis"]),
            "now": _primary(warehouse, analysis),
        },
    }


def remember_run(warehouse: Warehouse, title: str) -> None:
    """Note where a finished run of a study left the database, for the next one to compare with."""
    now = warehouse.fetch("run/extent", since=0).row(0, named=True)
    found = {**now, "analysis": _last_analysis(warehouse, title)}
    text = json.dumps({name: found[name] for name in REMEMBERED})
    if warehouse.meta(_key(title)) != text:
        warehouse.set_meta(_key(title), text)


def _key(title: str) -> str:
    return f"last run of {title}"


def _last_run(warehouse: Warehouse, title: str) -> dict[str, Any]:
    text = warehouse.meta(_key(title))
    found: dict[str, Any] = json.loads(text) if text else dict.fromkeys(REMEMBERED, 0) | {"analysis": None}
    return found


def _last_analysis(warehouse: Warehouse, title: str) -> int | None:
    rows = warehouse.fetch("run/last_analysis", title=title)
    return None if rows.is_empty() else int(rows["run_id"][0])


def _count_changes(warehouse: Warehouse, before: int | None, now: int | None) -> dict[str, int] | None:
    if before is None or now is None:
        return None
    found = compare_runs(warehouse, before, now)
    counts = dict(found.results.group_by("change").len().iter_rows())
    return {"same": found.n_same} | {name: counts.get(name, 0) for name in ("changed", "added", "removed")}


def _primary(warehouse: Warehouse, run_id: int | None) -> list[dict[str, Any]]:
    if run_id is None:
        return []
    rows = warehouse.fetch("report/results", run_id=run_id).filter(pl.col("flags").list.contains("primary"))
    kept = [*RESULT_KEYS, *NUMBERS]
    return [
        {name: value for name, value in row.items() if value is not None}
        for row in rows.select(kept).iter_rows(named=True)
    ]

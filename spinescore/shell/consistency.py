"""The checks of ``sql/checks/``: each returns the rows that contradict each other, and should return none."""

from __future__ import annotations

from typing import NamedTuple

import polars as pl

from spinescore.shell.resources import resource, sql
from spinescore.shell.warehouse import Warehouse

SENTENCE = "-- "


class FailedCheck(NamedTuple):
    """A check that found something.

    Attributes
    ----------
    name : str
        The file in ``sql/checks/``, without its suffix.
    rows : polars.DataFrame
        The offending rows; no path and no UID is among the columns.
    meaning : str
        What the check looks for, in a sentence.
    """

    name: str
    rows: pl.DataFrame
    meaning: str


def check_names() -> tuple[str, ...]:
    """Return the names of all checks, in order."""
    return tuple(sorted(path.stem for path in resource("sql", "checks").glob("*.sql")))


def run_checks(warehouse: Warehouse, run_id: int | None = None) -> list[FailedCheck]:
    """Run every check and return those that found something.

    Parameters
    ----------
    warehouse : Warehouse
        The database; nothing is written.
    run_id : int, optional
        The analysis to hold against the rest; the latest finished one if left out. Without any, only the
        checks that need none are run.
    """
    analysis = _latest_analysis(warehouse) if run_id is None else run_id
    failed = []
    for name in check_names():
        text = sql(f"checks/{name}")
        needs_run = "$run_id" in text
        if needs_run and analysis is None:
            continue
        rows = warehouse.fetch(f"checks/{name}", **({"run_id": analysis} if needs_run else {}))
        if not rows.is_empty():
            failed.append(FailedCheck(name, rows, _meaning(text)))
    return failed


def _latest_analysis(warehouse: Warehouse) -> int | None:
    runs = warehouse.table("runs").filter((pl.col("command") == "analyze") & (pl.col("outcome") == "done"))
    return None if runs.is_empty() else int(runs["run_id"].max())  # type: ignore[arg-type]


def _meaning(text: str) -> str:
    """Return the sentences a query opens with."""
    lines = []
    for line in text.splitlines():
        if not line.startswith(SENTENCE):
            break
        lines.append(line.removeprefix(SENTENCE))
    return " ".join(lines)

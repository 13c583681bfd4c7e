"""Runs that were made: one whole, or two side by side with the numbers that changed between them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from spinescore.domain import RESULT_KEYS
from spinescore.errors import HistoryError
from spinescore.shell.warehouse import Warehouse

NUMBERS = ("value", "lower", "upper", "p_value", "n", "events", "status")
SAME = 1e-9  # relative: below it a number is the same but for the order of summation


@dataclass(frozen=True, slots=True, kw_only=True)
class RunDifference:
    """Two runs of one command.

    Parameters
    ----------
    fields : polars.DataFrame
        ``field, before, after``: what differs of settings, version, model, input and counts.
    results : polars.DataFrame
        The keys of a result, ``change`` (``changed``, ``added`` or ``removed``) and its ``value, lower,
        upper, p_value, n, events, status`` before and after; those that changed most first. Empty but for
        analyses.
    n_same : int
        Results equal in both.
    """

    fields: pl.DataFrame
    results: pl.DataFrame
    n_same: int


def read_run(warehouse: Warehouse, run_id: int) -> dict[str, Any]:
    """Return all that is recorded of a run, settings and counts as mappings.

    Raises
    ------
    HistoryError
        If there is no such run.
    """
    rows = warehouse.fetch("run/show", run_id=run_id).to_dicts()
    if not rows:
        n = warehouse.fetch("run/list").height
        known = f"runs 1 to {n}" if n else "no run"
        raise HistoryError(
            f"There is no run {run_id} in {warehouse.path} ({known}).", "`spinescore runs` lists them."
        )
    (run,) = rows
    return {**run, **{name: json.loads(run[name] or "{}") for name in ("arguments", "counts")}}


def compare_runs(warehouse: Warehouse, before: int, after: int) -> RunDifference:
    """Compare two runs of one command: settings, counts, and for analyses every number.

    Raises
    ------
    HistoryError
        If a run is not there, or they are of different commands.
    """
    first, second = read_run(warehouse, before), read_run(warehouse, after)
    if first["command"] != second["command"]:
        raise HistoryError(
            f"Run {before} is of `{first['command']}`, run {after} of `{second['command']}`.",
            "Compare runs of one command.",
        )
    fields = pl.DataFrame(
        _different(_flat(first), _flat(second)),
        schema={"field": pl.String, "before": pl.String, "after": pl.String},
        orient="row",
    )
    old, new = (_results(warehouse, run_id) for run_id in (before, after))
    return RunDifference(fields=fields, **_compare_results(old, new))


def _flat(run: Mapping[str, Any]) -> dict[str, str]:
    """Return what can differ between runs as texts; times and the number of the run always do."""
    plain = {name: str(run[name]) for name in ("version", "model_id", "input_sha256", "outcome")}
    for name in ("arguments", "counts"):
        plain |= {f"{name}.{key}": json.dumps(value, ensure_ascii=False) for key, value in run[name].items()}
    return plain


def _different(
    before: Mapping[str, str], after: Mapping[str, str]
) -> list[tuple[str, str | None, str | None]]:
    names = dict.fromkeys((*before, *after))
    return [
        (name, before.get(name), after.get(name)) for name in names if before.get(name) != after.get(name)
    ]


def _results(warehouse: Warehouse, run_id: int) -> pl.DataFrame:
    return warehouse.fetch("report/results", run_id=run_id).select(*RESULT_KEYS, *NUMBERS)


def _compare_results(old: pl.DataFrame, new: pl.DataFrame) -> dict[str, Any]:
    marked = [rows.with_columns(pl.lit(True).alias("there")) for rows in (old, new)]
    both = marked[0].join(
        marked[1], on=list(RESULT_KEYS), how="full", nulls_equal=True, coalesce=True, suffix="_after"
    )
    change = (
        pl.when(pl.col("there").is_null())
        .then(pl.lit("added"))
        .when(pl.col("there_after").is_null())
        .then(pl.lit("removed"))
        .when(pl.any_horizontal(*(_differs(name) for name in NUMBERS)))
        .then(pl.lit("changed"))
    )
    scale = pl.max_horizontal(pl.col("value").abs(), pl.col("value_after").abs())
    compared = both.with_columns(
        change.alias("change"), ((pl.col("value_after") - pl.col("value")).abs() / scale).alias("by")
    )
    found = compared.filter(pl.col("change").is_not_null())
    found = found.sort("by", *RESULT_KEYS, descending=[True, *(False for _ in RESULT_KEYS)], nulls_last=True)
    columns = [column for name in NUMBERS for column in (name, f"{name}_after")]
    return {
        "results": found.select(*RESULT_KEYS, "change", *columns),
        "n_same": compared.height - found.height,
    }


def _differs(name: str) -> pl.Expr:
    before, after = pl.col(name), pl.col(f"{name}_after")
    if name == "status":
        return before.ne_missing(after)
    apart = (before - after).abs() > SAME * pl.max_horizontal(before.abs(), after.abs())
    return apart.fill_null(False) | (before.is_null() != after.is_null())

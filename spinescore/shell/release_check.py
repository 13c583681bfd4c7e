"""A shareable folder as a reader finds it: its files are read back and held against what may be told."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from spinescore.core.disclosure.audit import (
    Bounded,
    Release,
    find_bounded,
    find_bounded_changes,
    read_release,
)
from spinescore.core.disclosure.relations import Cell, Relations, read_relations
from spinescore.core.disclosure.release import Shareable
from spinescore.domain import as_row
from spinescore.errors import DisclosureError

RELATIONS = "relations.json"
NOT_A_RELEASE = "Give the folder of an earlier `spinescore report --shareable`."
COUNT_TEXTS = (
    re.compile(r"^(?P<events>[\d,]+|–) / (?P<n>[\d,]+)$"),
    re.compile(r"^(?P<n>[\d,]+) \([\d.]+\)$"),
    re.compile(r"n = (?P<n>[\d,]+)"),
)


def write_release(folder: Path, shareable: Shareable, schema: Mapping[str, Any]) -> None:
    """Write the data of a release: results, lines and steps, and how its counts add up."""
    material = shareable.material
    rows = [as_row(row) | {"flags": list(row.flags)} for row in material.results]
    results = pl.DataFrame(rows, schema=schema)
    results.write_parquet(folder / "results.parquet")
    results.write_json(folder / "results.json")
    material.curves.write_csv(folder / "curves.csv")
    material.attrition.write_csv(folder / "attrition.csv")
    (folder / RELATIONS).write_text(json.dumps(shareable.relations.as_data()), encoding="utf-8")


def check_release(folder: Path, against: Path | None = None) -> int:
    """Read a release back and try to tell its counts; return how many were tried.

    Raises
    ------
    DisclosureError
        If fewer than ``k`` numbers are possible for a count, alone or with the release in ``against``; if the
        files disagree; or if a table prints a count that is not rounded.
    """
    relations, release = read_folder(folder)
    found = find_bounded(release)
    if found:
        raise DisclosureError(
            f"Nothing was published: {_name(found)} could be told from the rest.",
            "Give a larger [study] min_cell, coarser groups, or leave the variable out.",
        )
    _check_tables(folder, relations.k)
    if against is not None:
        _check_against(relations, release, against)
    return len(release.ranges)


def read_folder(folder: Path) -> tuple[Relations, Release]:
    """Return what a release's files say of its counts.

    Raises
    ------
    DisclosureError
        If it is no release, or JSON and Parquet disagree.
    """
    try:
        relations = read_relations(json.loads((folder / RELATIONS).read_text(encoding="utf-8")))
        results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DisclosureError(f"{folder} holds no shareable report ({error}).", NOT_A_RELEASE) from None
    parquet = pl.read_parquet(folder / "results.parquet").to_dicts()
    if [_numbers(row) for row in results] != [_numbers(row) for row in parquet]:
        raise DisclosureError(
            f"results.json and results.parquet of {folder} differ.", "Make the report again."
        )
    rows = {"results": results}
    for name in ("curves", "attrition"):
        rows[name] = _read_csv(folder / f"{name}.csv")
    return relations, read_release(relations, _reader(rows))


def _reader(rows: Mapping[str, list[dict[str, Any]]]) -> Callable[[Cell], float | None]:
    def read(cell: Cell) -> float | None:
        value = rows[cell.source][cell.row][cell.column]
        return None if value in (None, "") else float(value)

    return read


def _read_csv(path: Path) -> list[dict[str, Any]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _numbers(row: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in row.items() if isinstance(value, int | float)}


def _check_tables(folder: Path, k: int) -> None:
    """Refuse a table that prints a count, as counts are printed, that is no multiple of ``k``."""
    for path in sorted((folder / "tables").glob("*.csv")):
        with path.open(encoding="utf-8-sig", newline="") as file:
            for cell in (cell for row in csv.reader(file) for cell in row):
                for pattern in COUNT_TEXTS:
                    _check_counts(pattern.search(cell), cell, path.name, k)


def _check_counts(found: re.Match[str] | None, cell: str, name: str, k: int) -> None:
    for text in found.groupdict().values() if found else ():
        digits = text.replace(",", "")
        if digits.isdigit() and int(digits) % k:
            raise DisclosureError(
                f"Nothing was published: {name} prints `{cell}`, which is not rounded to {k}.",
                "This is a defect of spinescore; please report it.",
            )


def _check_against(relations: Relations, release: Release, against: Path) -> None:
    other_relations, other = read_folder(against)
    totals = {
        name: (other_relations.totals[cohort], relations.totals[cohort])
        for cohort in relations.totals
        if cohort in other_relations.totals
        for name in relations.cells
        if _is_of(name, cohort)
    }
    found = find_bounded_changes(other, release, totals)
    if found:
        raise DisclosureError(
            f"Nothing was published: together with {against}, {_name(found)} could be told.",
            "Publish the earlier report alone, or wait until the cohort has grown by more.",
        )


def _is_of(name: str, cohort: str) -> bool:
    return name.partition(" of ")[2].partition(" / ")[0] == cohort or f": {cohort} / " in name


def _name(found: list[Bounded]) -> str:
    more = f" and {len(found) - 1:,} more" if len(found) > 1 else ""
    return f"“{found[0]}”{more}"

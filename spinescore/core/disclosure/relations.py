"""What is public of a release's counts as data: which cells there are, and how they add up."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Source = Literal["results", "curves", "attrition"]
Sense = Literal["equal", "at_least", "running_total"]


@dataclass(frozen=True, slots=True)
class Cell:
    """Where a count is published.

    Parameters
    ----------
    name : str
        What it counts, by the keys of its row; the same in every release of a study.
    source : {"results", "curves", "attrition"}
        The file it is in.
    row : int
        From 0.
    column : str
    """

    name: str
    source: Source
    row: int
    column: str


@dataclass(frozen=True, slots=True)
class Relation:
    """A sum of cells that everybody knows something of.

    ``equal``: it is 0; ``at_least``: it is not negative; ``running_total``: its published value is its true
    one rounded down.
    """

    sense: Sense
    terms: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Ratio:
    """A published number that is a count over another: ``scale * numerator / denominator``.

    ``denominator`` is a cell's name, or None where ``per`` names the place of a number that is published.
    """

    value: Cell
    scale: float
    numerator: str
    denominator: str | None
    per: Cell | None = None


@dataclass(slots=True)
class Relations:
    """The cells of a release and what is known of them, gathered while it is made."""

    k: int
    cells: dict[str, Cell] = field(default_factory=dict)
    relations: list[Relation] = field(default_factory=list)
    ratios: list[Ratio] = field(default_factory=list)
    totals: dict[str, str] = field(default_factory=dict)  # cohort -> the cell of its size

    def add_cell(self, cell: Cell) -> str:
        """Keep a cell, the first of a name, and return its name."""
        self.cells.setdefault(cell.name, cell)
        return cell.name

    def relate(self, sense: Sense, terms: Sequence[tuple[str, int]]) -> None:
        """Keep a relation between cells."""
        self.relations.append(Relation(sense, tuple(terms)))

    def relate_parts(self, whole: str | None, parts: Sequence[str], *, exhaustive: bool = True) -> None:
        """Say that parts make up a whole, in the order in which their running totals are rounded."""
        for i in range(1, len(parts) + 1):
            self.relate("running_total", [(part, 1) for part in parts[:i]])
        if whole is not None and parts:
            terms = [(whole, 1), *((part, -1) for part in parts)]
            self.relate("equal" if exhaustive else "at_least", terms)

    def as_data(self) -> dict[str, Any]:
        """Return everything as JSON holds it."""
        return {
            "k": self.k,
            "cells": [[c.name, c.source, c.row, c.column] for c in self.cells.values()],
            "relations": [
                {"sense": r.sense, "terms": [list(term) for term in r.terms]} for r in self.relations
            ],
            "ratios": [_ratio_data(ratio) for ratio in self.ratios],
            "totals": self.totals,
        }


def read_relations(data: Mapping[str, Any]) -> Relations:
    """Return what ``as_data`` wrote."""
    return Relations(
        k=int(data["k"]),
        cells={row[0]: Cell(*row) for row in data["cells"]},
        relations=[
            Relation(entry["sense"], tuple((name, int(factor)) for name, factor in entry["terms"]))
            for entry in data["relations"]
        ],
        ratios=list(_read_ratios(data["ratios"])),
        totals=dict(data["totals"]),
    )


def _ratio_data(ratio: Ratio) -> dict[str, Any]:
    place = ratio.value
    return {
        "value": [place.name, place.source, place.row, place.column],
        "scale": ratio.scale,
        "numerator": ratio.numerator,
        "denominator": ratio.denominator,
        "per": None
        if ratio.per is None
        else [ratio.per.name, ratio.per.source, ratio.per.row, ratio.per.column],
    }


def _read_ratios(entries: Sequence[Mapping[str, Any]]) -> Iterator[Ratio]:
    for entry in entries:
        per = None if entry["per"] is None else Cell(*entry["per"])
        yield Ratio(Cell(*entry["value"]), entry["scale"], entry["numerator"], entry["denominator"], per)

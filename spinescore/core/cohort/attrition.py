"""Who leaves on the way to an analysis set, at which step, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import polars as pl

Unit = Literal["files", "images", "ages", "subjects", "table rows"]
ATTRITION_SCHEMA = {
    "position": pl.Int64,
    "step": pl.String,
    "unit": pl.String,
    "endpoint": pl.String,
    "reason": pl.String,
    "n_excluded": pl.Int64,
    "n_remaining": pl.Int64,
}
FACT_SCHEMA = {
    "fact": pl.String,
    "endpoint": pl.String,
    "unit": pl.String,
    "n": pl.Int64,
    "detail": pl.String,
}


@dataclass(slots=True)
class Attrition:
    """A running count of who leaves, at which step, and why; and what is counted beside it."""

    rows: list[dict[str, object]] = field(default_factory=list)
    facts: list[dict[str, object]] = field(default_factory=list)

    def start(self, step: str, n: int, *, unit: Unit = "subjects", endpoint: str | None = None) -> None:
        """Open a count with everybody in it."""
        self._add(step, unit, endpoint, "", 0, n)

    def leave(
        self,
        step: str,
        reasons: Mapping[str, int],
        before: int,
        *,
        unit: Unit = "subjects",
        endpoint: str | None = None,
    ) -> int:
        """Count who leaves at a step, reason by reason, and return how many remain; zeros are left out."""
        remaining = before
        for reason, n in reasons.items():
            if n:
                remaining -= n
                self._add(step, unit, endpoint, reason, n, remaining)
        if remaining == before:
            self._add(step, unit, endpoint, "", 0, remaining)
        return remaining

    def note(
        self, fact: str, n: int, detail: str, *, unit: Unit = "subjects", endpoint: str | None = None
    ) -> None:
        """Count something that makes nobody leave."""
        self.facts.append(dict(zip(FACT_SCHEMA, (fact, endpoint, unit, n, detail), strict=True)))

    def frame(self) -> pl.DataFrame:
        """Return the counts as a table, in order."""
        return pl.DataFrame(self.rows, schema=ATTRITION_SCHEMA)

    def fact_frame(self) -> pl.DataFrame:
        """Return what was counted beside the steps as a table."""
        return pl.DataFrame(self.facts, schema=FACT_SCHEMA)

    def last_exit(self) -> str:
        """Say where and why the last ones left, in words."""
        exits = [row for row in self.rows if row["n_excluded"]]
        if not exits:
            return "no image was scored"
        last = exits[-1]
        return f"{last['n_excluded']:,} left at `{last['step']}` ({last['reason']})"

    def _add(
        self, step: str, unit: Unit, endpoint: str | None, reason: str, excluded: int, remaining: int
    ) -> None:
        values = (len(self.rows) + 1, step, unit, endpoint, reason, excluded, remaining)
        self.rows.append(dict(zip(ATTRITION_SCHEMA, values, strict=True)))

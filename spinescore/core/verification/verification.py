"""A verification as a value: what was run, where, against what, and how it went."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

import numpy as np

from spinescore.core.verification.case import Comparison, Family, Outcome
from spinescore.core.verification.references import References


@dataclass(frozen=True)
class Verification:
    """What was run, on which machine, against which reference.

    Parameters
    ----------
    families : sequence of (Family, outcomes)
    references : References
    software : mapping of name to version
    platform : str
    made_at : datetime
        UTC.
    """

    families: Sequence[tuple[Family, tuple[Outcome, ...]]]
    references: References
    software: Mapping[str, str]
    platform: str
    made_at: datetime

    @cached_property
    def outcomes(self) -> tuple[Outcome, ...]:
        """Every case's outcome."""
        return tuple(outcome for _, outcomes in self.families for outcome in outcomes)

    @cached_property
    def comparisons(self) -> tuple[Comparison, ...]:
        """Every statistic compared."""
        return tuple(c for outcome in self.outcomes for c in outcome.comparisons)

    @property
    def agrees(self) -> bool:
        """Whether everything was computed and agrees."""
        return all(outcome.agrees for outcome in self.outcomes)

    @property
    def n_agreeing(self) -> int:
        """How many statistics agree."""
        return sum(c.agrees for c in self.comparisons)

    @property
    def n_numbers(self) -> int:
        """How many numbers were compared."""
        return sum(len(c.ours) for c in self.comparisons)

    @property
    def failed(self) -> tuple[Outcome, ...]:
        """Cases that could not be computed."""
        return tuple(outcome for outcome in self.outcomes if outcome.problem)

    @property
    def verdict(self) -> str:
        """The result in one sentence."""
        found = (
            f"{self.n_agreeing:,} of {len(self.comparisons):,} statistics agree with R within the tolerance"
        )
        if self.failed:
            found += f"; {len(self.failed)} of {len(self.outcomes)} cases could not be computed"
        return found


def verification_json(verification: Verification) -> dict[str, Any]:
    """Return everything for machines, numbers in full precision."""
    return {
        "agrees": verification.agrees,
        "verdict": verification.verdict,
        "made_at": verification.made_at.isoformat(),
        "software": dict(verification.software),
        "platform": verification.platform,
        "reference": verification.references.versions(),
        "reference_sha256": dict(verification.references.hashes),
        "cases": [
            {
                "family": family.key,
                "key": outcome.case.key,
                "title": outcome.case.title,
                "convention": outcome.case.convention,
                "call": outcome.case.call,
                "reference": f"{outcome.case.source}.json",
                "agrees": outcome.agrees,
                "problem": outcome.problem,
                "statistics": [_comparison_json(c) for c in outcome.comparisons],
            }
            for family, outcomes in verification.families
            for outcome in outcomes
        ],
    }


def _comparison_json(comparison: Comparison) -> dict[str, Any]:
    def plain(values: Any) -> list[float | None]:
        return [float(value) if np.isfinite(value) else None for value in values]

    return {
        "statistic": comparison.statistic,
        "agrees": comparison.agrees,
        "tolerance": comparison.tolerance,
        "spinescore": plain(comparison.ours),
        "r": plain(comparison.reference),
        "absolute_difference": plain(comparison.differences),
        "relative_difference": plain(comparison.relative_differences),
    }

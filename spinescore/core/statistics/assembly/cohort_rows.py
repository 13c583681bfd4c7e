"""How cohorts differ: standardised differences of every variable of Table 1 from the first cohort."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from spinescore.core.statistics.assembly.design import read_levels, read_numbers
from spinescore.core.statistics.assembly.rows import make_row
from spinescore.core.statistics.assembly.setting import Setting
from spinescore.core.statistics.assembly.table_rows import categorical_terms, continuous_terms
from spinescore.core.statistics.description import standardise_categories, standardise_difference
from spinescore.core.statistics.estimate import Estimate, IntArray
from spinescore.domain import Result


def cohort_rows(settings: Sequence[Setting]) -> Iterator[Result]:
    """Yield the differences of each further cohort from the first; nothing of a single cohort."""
    for other in settings[1:]:
        first = settings[0]
        for term in continuous_terms(other):
            yield _row(other, first, term, _difference(other, first, term))
        for term in categorical_terms(other):
            yield _row(other, first, term, standardise_categories(*_counts(other, first, term)))


def _difference(other: Setting, first: Setting, term: str) -> Estimate:
    if term not in first.cohort.subjects.columns:
        return Estimate(problem="no subjects")
    return standardise_difference(*(read_numbers(s.cohort.subjects, term) for s in (other, first)))


def _counts(other: Setting, first: Setting, term: str) -> tuple[IntArray, IntArray]:
    """Count both cohorts' subjects by level, levels of either."""
    tables = [s.cohort.subjects for s in (other, first)]
    found = [read_levels(t, term) if term in t.columns else ([], None) for t in tables]
    levels = sorted({level for names, _ in found for level in names})
    counts = [
        np.zeros(len(levels), dtype=np.int64)
        if text is None
        else np.array([int((text == level).sum()) for level in levels], dtype=np.int64)
        for _, text in found
    ]
    return counts[0], counts[1]


def _row(other: Setting, first: Setting, term: str, estimate: Estimate) -> Result:
    return make_row(
        estimate,
        cohort=other.cohort.name,
        analysis="table_one",
        term=term,
        statistic="smd",
        group="overall",
        comparator=first.cohort.name,
        method="between_cohorts",
    )

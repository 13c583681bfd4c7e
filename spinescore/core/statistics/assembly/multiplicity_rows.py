"""Main estimates of PAD adjusted for multiple testing within the study's families."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from spinescore.core.statistics.assembly.rows import make_row
from spinescore.core.statistics.estimate import Estimate, FloatArray
from spinescore.core.statistics.multiplicity import adjust_benjamini_hochberg, adjust_holm
from spinescore.domain import Result
from spinescore.study import Study

METHODS = {"holm": adjust_holm, "benjamini_hochberg": adjust_benjamini_hochberg}
MAIN = {"cox": "hr_per_sd", "logistic": "or_per_sd"}


def adjust_families(
    results: Sequence[Result], study: Study, pad_of: Mapping[str, str]
) -> tuple[list[Result], list[Result]]:
    """Return the results with ``family`` and Holm's ``p_adjusted`` in place, and a row per family and method.

    A family is of the main estimates of PAD per SD (own event, own_n) of its cohorts, endpoints and models.
    An estimate in two families bears the first's name; both are in the rows.

    Parameters
    ----------
    results : sequence of Result
    study : Study
    pad_of : mapping of cohort to predictor
        What PAD is there: ``pad_corrected`` or ``pad_raw``.
    """
    adjusted = list(results)
    more: list[Result] = []
    main = [i for i, row in enumerate(results) if _is_main(row, pad_of)]
    for name, family in study.analysis.families.items():
        inside = [
            i
            for i in main
            if (family.cohorts is None or results[i].cohort in family.cohorts)
            and (family.endpoints is None or results[i].endpoint in family.endpoints)
            and (family.models is None or results[i].model in family.models)
        ]
        tested = [i for i in inside if results[i].p_value is not None]
        p = np.array([results[i].p_value for i in tested], dtype=np.float64)
        holm = adjust_holm(p)
        for i in inside:
            if adjusted[i].family is None:
                adjusted[i] = replace(adjusted[i], family=name)
        for i, value in zip(tested, holm.tolist(), strict=True):
            if adjusted[i].family == name:
                adjusted[i] = replace(adjusted[i], p_adjusted=value)
        more.extend(_family_rows(name, [results[i] for i in inside], p))
    return adjusted, more


def _is_main(row: Result, pad_of: Mapping[str, str]) -> bool:
    return (
        MAIN.get(row.analysis) == row.statistic
        and (row.sample, row.variant) == ("own_n", "main")
        and row.predictor == pad_of.get(row.cohort)
        and row.cause in (None, row.endpoint)
    )


def _family_rows(name: str, rows: list[Result], p: FloatArray) -> Iterator[Result]:
    for method, adjust in METHODS.items():
        values = iter(adjust(p).tolist())
        for row in rows:
            problem = None if row.p_value is not None else (row.note or "not tested")
            yield make_row(
                Estimate(problem=problem) if problem else Estimate(value=next(values)),
                cohort=row.cohort,
                analysis="multiplicity",
                statistic="p_adjusted",
                endpoint=row.endpoint,
                cause=row.cause,
                model=row.model,
                sample=row.sample,
                predictor=row.predictor,
                correction=row.correction,
                term=name,
                method=method,
                family=name,
                n=row.n,
                events=row.events,
                flags=tuple(flag for flag in row.flags if flag != "primary"),
                note=f"{len(p)} tests",
            )

"""Table 1 by PAD group, and where the groups are cut."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from spinescore.core.statistics.assembly.design import read_levels, read_numbers
from spinescore.core.statistics.assembly.rows import make_row
from spinescore.core.statistics.assembly.setting import Setting
from spinescore.core.statistics.description import (
    describe_continuous,
    standardise_categories,
    standardise_difference,
)
from spinescore.core.statistics.estimate import BoolArray, Estimate
from spinescore.domain import Result

AGES = ("age_years", "spine_age_raw", "pad_raw", "spine_age_corrected", "pad_corrected")
TRAITS = ("sex", "kind", "manufacturer")


def group_rows(setting: Setting) -> Iterator[Result]:
    """Yield each PAD group's cuts and size."""
    for g, label in enumerate(setting.groups.labels):
        lower, upper = setting.groups.bounds(g)
        size = int(setting.members(label).sum())
        for statistic, value in (("cut_lower", lower), ("cut_upper", upper), ("n", float(size))):
            yield make_row(
                Estimate(value=value),
                cohort=setting.cohort.name,
                analysis="pad_groups",
                statistic=statistic,
                group=label,
                predictor=setting.pad.name,
                correction=setting.pad.correction,
                n=size,
                flags=setting.group_flags,
            )


def table_rows(setting: Setting) -> Iterator[Result]:
    """Yield Table 1: everybody and each PAD group, variable by variable, with standardised differences."""
    for group, members, flags in _groups(setting):
        size = int(members.sum())
        yield _row(setting, "subjects", "n", Estimate(value=float(size)), group=group, n=size, flags=flags)
    for term in continuous_terms(setting):
        yield from _continuous_rows(setting, term)
    for term in categorical_terms(setting):
        yield from _categorical_rows(setting, term)


def continuous_terms(setting: Setting) -> list[str]:
    """Return the variables that Table 1 describes by mean and quartiles."""
    declared = [name for name, c in setting.study.covariates.items() if c.type == "continuous"]
    binary = setting.study.binary_endpoints()
    ages = [name for name in AGES if name == "age_years" or name in setting.predictors]
    return ages + [name for name in declared if name not in binary]


def categorical_terms(setting: Setting) -> list[str]:
    """Return the variables that Table 1 describes by their levels' shares."""
    declared = [name for name, c in setting.study.covariates.items() if c.type == "categorical"]
    return list(dict.fromkeys((*TRAITS, *declared, *setting.study.binary_endpoints())))


def _groups(setting: Setting) -> Iterator[tuple[str, BoolArray, tuple[str, ...]]]:
    yield "overall", setting.members(None), ()
    for label in setting.groups.labels:
        yield label, setting.members(label), setting.group_flags


def _row(setting: Setting, term: str, statistic: str, estimate: Estimate, **fields: Any) -> Result:
    return make_row(
        estimate, cohort=setting.cohort.name, analysis="table_one", term=term, statistic=statistic, **fields
    )


def _counts(setting: Setting, term: str, known: BoolArray) -> Iterator[Result]:
    for group, members, flags in _groups(setting):
        for statistic, which in (("n", known), ("missing", ~known)):
            count = int((members & which).sum())
            yield _row(
                setting, term, statistic, Estimate(value=float(count)), group=group, n=count, flags=flags
            )


def _continuous_rows(setting: Setting, term: str) -> Iterator[Result]:
    values = read_numbers(setting.cohort.subjects, term)
    yield from _counts(setting, term, np.isfinite(values))
    for group, members, flags in _groups(setting):
        n = int((members & np.isfinite(values)).sum())
        for statistic, estimate in describe_continuous(values[members]).items():
            method = None if statistic in ("mean", "sd") else "type7"
            yield _row(setting, term, statistic, estimate, group=group, method=method, n=n, flags=flags)
    high, low = (values[setting.members(setting.groups.labels[i])] for i in (-1, 0))
    yield _difference(setting, term, standardise_difference(high, low))


def _categorical_rows(setting: Setting, term: str) -> Iterator[Result]:
    levels, text = read_levels(setting.cohort.subjects, term)
    known = text.is_not_null().to_numpy()
    yield from _counts(setting, term, known)
    codes = np.full(len(text), -1)
    for code, level in enumerate(levels):
        codes[(text == level).fill_null(False).to_numpy()] = code
    for group, members, flags in _groups(setting):
        counts = np.bincount(codes[members & known], minlength=len(levels))
        total = int(counts.sum())
        for level, count in zip(levels, counts.tolist(), strict=True):
            percent = Estimate(value=100 * count / total) if total else Estimate(problem="no subjects")
            fields: dict[str, Any] = {"group": group, "comparator": level, "n": count, "flags": flags}
            yield _row(setting, term, "count", Estimate(value=float(count)), **fields)
            yield _row(setting, term, "percent", percent, **fields)
    high, low = (
        np.bincount(codes[known & setting.members(setting.groups.labels[i])], minlength=len(levels))
        for i in (-1, 0)
    )
    yield _difference(setting, term, standardise_categories(high, low))


def _difference(setting: Setting, term: str, estimate: Estimate) -> Result:
    return _row(setting, term, "smd", estimate, method="highest_vs_lowest", flags=setting.group_flags)

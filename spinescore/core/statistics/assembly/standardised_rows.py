"""Incidence by PAD group as if every group had the cohort's ages and sexes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from spinescore.core.statistics.assembly.factors import AGE_BAND, cross_factors, read_factor
from spinescore.core.statistics.assembly.rows import make_row
from spinescore.core.statistics.assembly.setting import Setting
from spinescore.core.statistics.assembly.survival_data import SurvivalData, read_survival
from spinescore.core.statistics.estimate import FloatArray, IntArray
from spinescore.core.statistics.incidence import standardise_rate
from spinescore.domain import Result


def standardised_rows(setting: Setting, endpoint: str) -> Iterator[Result]:
    """Yield each PAD group's rates, directly standardised to the cohort's person-years by age band and sex.

    Strata in which some group has nobody cannot be weighed in all: they are left out of every group alike,
    and flagged. A group without anybody at all does not count.
    """
    data = read_survival(setting, endpoint)
    factors = [read_factor(setting, name) for name in (AGE_BAND, "sex")]
    strata = cross_factors(factors)[data.index]
    count = int(strata.max(initial=-1)) + 1
    members = data.group_index()
    entry = np.where(np.isfinite(data.follow_up.entry), data.follow_up.entry, 0.0)
    years = data.follow_up.exit - entry
    groups = range(len(setting.groups.labels))
    by_group = np.array([_sums(strata, years * (members == g), count) for g in groups])
    shared = (by_group[by_group.any(axis=1)] > 0).all(axis=0)
    whole = float(years[members >= 0].sum())
    standard = np.where(shared, by_group.sum(axis=0), 0.0)
    share = float(standard.sum()) / whole if whole > 0 else 0.0
    for cause in data.causes:
        yield from _cause_rows(data, cause, strata, by_group, standard, share)


def _sums(strata: IntArray, values: FloatArray, count: int) -> FloatArray:
    known = strata >= 0
    return np.bincount(strata[known], weights=values[known], minlength=count).astype(np.float64)


def _cause_rows(
    data: SurvivalData,
    cause: int,
    strata: IntArray,
    by_group: FloatArray,
    standard: FloatArray,
    share: float,
) -> Iterator[Result]:
    setting, members = data.setting, data.group_index()
    happened = (data.follow_up.status == cause).astype(np.float64)
    inside = np.append(standard > 0, False)[strata]  # -1: unknown
    note = None if share > 1 - 1e-12 else f"{100 * share:.1f}% of person-years"
    for g, label in enumerate(setting.groups.labels):
        own = members == g
        events = _sums(strata, happened * own, len(standard))
        yield make_row(
            standardise_rate(events, by_group[g], standard, setting.conf_level),
            setting.conf_level,
            **data.keys(analysis="incidence", statistic="standardised_rate_per_1000_py"),
            cause=data.causes[cause],
            method="direct_age_sex",
            group=label,
            n=int((own & inside).sum()),
            events=int(events[standard > 0].sum()),
            person_years=float(by_group[g][standard > 0].sum()),
            flags=(*setting.group_flags, *(("strata_left_out",) if note else ())),
            note=note,
        )

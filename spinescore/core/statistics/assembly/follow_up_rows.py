"""Incidence, length of follow-up, Kaplan-Meier or cumulative incidence, by PAD group."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from spinescore.core.statistics.assembly.rows import make_row
from spinescore.core.statistics.assembly.setting import Setting
from spinescore.core.statistics.assembly.survival_data import SurvivalData, read_survival
from spinescore.core.statistics.competing_risks import estimate_cumulative_incidence, gray_test
from spinescore.core.statistics.estimate import Estimate, IntArray
from spinescore.core.statistics.incidence import estimate_rate
from spinescore.core.statistics.kaplan_meier import (
    StepCurve,
    estimate_survival,
    find_median,
    log_rank,
    reverse_follow_up,
)
from spinescore.core.statistics.times import FollowUp, count_at_risk
from spinescore.domain import CurvePoint, Result

MAX_STEPS = 1000


def follow_up_rows(setting: Setting, endpoint: str) -> Iterator[Result]:
    """Yield incidence, median follow-up, and survival or cumulative incidence of one endpoint."""
    data = read_survival(setting, endpoint)
    yield from _incidence(data)
    yield _median_follow_up(data)
    if data.competing is None:
        yield from _survival(data)
        yield _test_row(data, "kaplan_meier", "logrank_chi2", "logrank", 1, _log_rank(data))
    else:
        for cause in data.causes:
            yield from _cumulative_incidence(data, cause)
            grouped, groups = _grouped(data)
            test = gray_test(grouped, groups, len(setting.groups.labels), cause)
            yield _test_row(data, "cumulative_incidence", "gray_chi2", "gray", cause, test)


def parts_of(data: SurvivalData) -> Iterator[tuple[str | None, FollowUp, tuple[str, ...]]]:
    """Yield everybody, then each PAD group."""
    yield None, data.follow_up, ()
    members = data.group_index()
    for g, label in enumerate(data.setting.groups.labels):
        yield label, data.follow_up.take(members == g), data.setting.group_flags


def _grouped(data: SurvivalData) -> tuple[FollowUp, IntArray]:
    members = data.group_index()
    return data.follow_up.take(members >= 0), members[members >= 0]


def _log_rank(data: SurvivalData) -> Estimate:
    return log_rank(*_grouped(data), len(data.setting.groups.labels))


def _test_row(
    data: SurvivalData, analysis: str, statistic: str, method: str, cause: int, estimate: Estimate
) -> Result:
    grouped, _ = _grouped(data)
    return make_row(
        estimate,
        **data.keys(cause=data.causes[cause], analysis=analysis, statistic=statistic, method=method),
        n=len(grouped.exit),
        events=int((grouped.status == cause).sum()),
        flags=data.setting.group_flags,
    )


def _incidence(data: SurvivalData) -> Iterator[Result]:
    for cause, name in data.causes.items():
        for group, part, flags in parts_of(data):
            events, years = int((part.status == cause).sum()), part.person_years
            yield make_row(
                estimate_rate(events, years, data.setting.conf_level),
                data.setting.conf_level,
                **data.keys(analysis="incidence", statistic="rate_per_1000_py", method="poisson_exact"),
                cause=name,
                group=group,
                n=len(part.exit),
                events=events,
                person_years=years,
                flags=flags,
            )


def _median_follow_up(data: SurvivalData) -> Result:
    level = data.setting.conf_level
    curve = estimate_survival(reverse_follow_up(data.follow_up), level)
    return make_row(
        find_median(curve) if len(curve.times) else Estimate(problem="no subjects"),
        level,
        **data.keys(analysis="follow_up", statistic="median_follow_up_years", method="reverse_kaplan_meier"),
        cause=data.endpoint,
        n=len(data.follow_up.exit),
        events=int((data.follow_up.status != 0).sum()),
        person_years=data.follow_up.person_years,
    )


def _survival(data: SurvivalData) -> Iterator[Result]:
    level = data.setting.conf_level
    for group, part, flags in parts_of(data):
        keys = data.keys(analysis="kaplan_meier", cause=data.endpoint, group=group, method="kaplan_meier")
        curve = estimate_survival(part, level)
        yield from _at_horizons(data, curve, 1, 1.0, keys | {"statistic": "survival", "flags": flags})
        yield make_row(
            find_median(curve) if len(curve.times) else Estimate(problem="no subjects"),
            level,
            **keys,
            statistic="median_years",
            n=len(part.exit),
            events=int((part.status == 1).sum()),
            flags=flags,
        )


def _cumulative_incidence(data: SurvivalData, cause: int) -> Iterator[Result]:
    for group, part, flags in parts_of(data):
        keys = data.keys(
            analysis="cumulative_incidence", cause=data.causes[cause], group=group, method="aalen_johansen"
        )
        curve = estimate_cumulative_incidence(part, cause, data.setting.conf_level)
        yield from _at_horizons(data, curve, cause, 0.0, keys | {"statistic": "cif", "flags": flags})


def _at_horizons(
    data: SurvivalData, curve: StepCurve, cause: int, start: float, keys: dict[str, Any]
) -> Iterator[Result]:
    events = np.cumsum(curve.table.events[cause - 1])
    n = int(curve.table.events.sum() + curve.table.censored.sum())
    for horizon in data.setting.study.analysis.horizons_years:
        i = curve.at(horizon)
        if len(curve.times) == 0:
            estimate = Estimate(problem="no subjects")
        elif horizon > curve.times[-1]:
            estimate = Estimate(problem="beyond follow-up")
        elif i < 0:
            estimate = Estimate(value=start)
        else:
            numbers = (float(a[i]) for a in (curve.values, curve.se, curve.lower, curve.upper))
            value, se, lower, upper = numbers
            estimate = Estimate(value=value, se=se, lower=lower, upper=upper)
        yield make_row(
            estimate,
            data.setting.conf_level,
            **keys,
            horizon_years=float(horizon),
            n=n,
            events=int(events[i]) if i >= 0 else 0,
        )


def follow_up_curves(setting: Setting, endpoint: str) -> Iterator[CurvePoint]:
    """Yield the step curves of one endpoint and the numbers at risk at whole years."""
    data = read_survival(setting, endpoint)
    level = setting.conf_level
    longest = float(data.follow_up.exit.max(initial=0.0))
    for group, part, _ in parts_of(data):
        if len(part.exit) == 0:
            continue
        if data.competing is None:
            keys = data.keys(cause=endpoint, group=group, analysis="kaplan_meier", method="kaplan_meier")
            curve = estimate_survival(part, level)
            yield from _steps(part, curve, 1, 1.0, keys)
        else:
            for cause, name in data.causes.items():
                keys = data.keys(
                    cause=name, group=group, analysis="cumulative_incidence", method="aalen_johansen"
                )
                curve = estimate_cumulative_incidence(part, cause, level)
                yield from _steps(part, curve, cause, 0.0, keys)
        yield from _numbers_at_risk(
            part, curve, longest, keys | {"cause": endpoint, "analysis": "number_at_risk"}
        )


def _steps(
    part: FollowUp, curve: StepCurve, cause: int, start: float, keys: dict[str, Any]
) -> Iterator[CurvePoint]:
    events, censored = np.cumsum(curve.table.events[cause - 1]), np.cumsum(curve.table.censored)
    at_start = int(count_at_risk(part, np.array([0.0]))[0])
    yield CurvePoint(
        **keys,
        x_name="follow_up_years",
        x=0.0,
        y=start,
        n_at_risk=at_start,
        cumulative_events=0,
        cumulative_censored=0,
    )
    for i in _chosen_steps(curve.table.events[cause - 1]):
        yield CurvePoint(
            **keys,
            x_name="follow_up_years",
            x=float(curve.times[i]),
            y=float(curve.values[i]),
            lower=_known(curve.lower[i]),
            upper=_known(curve.upper[i]),
            n_at_risk=int(curve.table.at_risk[i]),
            cumulative_events=int(events[i]),
            cumulative_censored=int(censored[i]),
        )


def _chosen_steps(events: IntArray) -> IntArray:
    """Return the steps of the curve, evenly thinned beyond ``MAX_STEPS``, and the end of follow-up."""
    steps = np.flatnonzero(events)
    if len(steps) > MAX_STEPS - 2:
        steps = steps[np.unique(np.linspace(0, len(steps) - 1, MAX_STEPS - 2).round().astype(np.int64))]
    return np.unique(np.append(steps, len(events) - 1))


def _known(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _numbers_at_risk(
    part: FollowUp, curve: StepCurve, longest: float, keys: dict[str, Any]
) -> Iterator[CurvePoint]:
    years = np.arange(0.0, math.floor(longest) + 1)
    events, censored = np.cumsum(curve.table.events[0]), np.cumsum(curve.table.censored)
    for year, at_risk in zip(years, count_at_risk(part, years), strict=True):
        i = curve.at(float(year))
        yield CurvePoint(
            **keys,
            x_name="follow_up_years",
            x=float(year),
            y=float(at_risk),
            n_at_risk=int(at_risk),
            cumulative_events=int(events[i]) if i >= 0 else 0,
            cumulative_censored=int(censored[i]) if i >= 0 else 0,
        )

"""Mean years without the event, or lost to each cause, within the longest horizon; by PAD group."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from spinescore.core.statistics.assembly.follow_up_rows import parts_of
from spinescore.core.statistics.assembly.rows import make_row
from spinescore.core.statistics.assembly.setting import Setting
from spinescore.core.statistics.assembly.survival_data import SurvivalData, read_survival
from spinescore.core.statistics.estimate import Estimate
from spinescore.core.statistics.restricted_mean import (
    estimate_restricted_mean,
    estimate_time_lost,
    subtract_estimates,
)
from spinescore.core.statistics.times import FollowUp
from spinescore.domain import Result


def restricted_mean_rows(setting: Setting, endpoint: str) -> Iterator[Result]:
    """Yield the restricted mean of one endpoint, or the time lost to each cause where events compete."""
    data = read_survival(setting, endpoint)
    until, level = max(setting.study.analysis.horizons_years), setting.conf_level
    if data.competing is None:
        yield from _rows(data, 1, "rmst", lambda part: estimate_restricted_mean(part, until, level), until)
        return
    for cause in data.causes:
        yield from _rows(
            data,
            cause,
            "time_lost",
            lambda part, cause=cause: estimate_time_lost(part, cause, until, level),  # type: ignore[misc]
            until,
        )


def _rows(
    data: SurvivalData, cause: int, name: str, estimate: Callable[[FollowUp], Estimate], until: float
) -> Iterator[Result]:
    """Yield everybody, each group, and the highest group minus the lowest."""
    level = data.setting.conf_level
    keys = data.keys(cause=data.causes[cause], analysis="restricted_mean", horizon_years=float(until))
    found: dict[str, Estimate] = {}
    for group, part, flags in parts_of(data):
        mean = estimate(part)
        if group is not None:
            found[group] = mean
        yield make_row(
            mean,
            level,
            **keys,
            statistic=f"{name}_years",
            group=group,
            n=len(part.exit),
            events=int((part.status == cause).sum()),
            flags=flags,
        )
    labels = data.setting.groups.labels
    if len(labels) > 1:
        yield make_row(
            subtract_estimates(found[labels[-1]], found[labels[0]], level),
            level,
            **keys,
            statistic=f"{name}_difference_years",
            group=labels[-1],
            comparator=labels[0],
            flags=data.setting.group_flags,
        )

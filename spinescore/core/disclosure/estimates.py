"""What is published of an estimate: how many of its digits, and whether it is published at all."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from spinescore.core.statistics.incidence import estimate_rate
from spinescore.domain import Result

COUNTS = frozenset({"n", "count", "missing"})
SHARES_OF_ALL = frozenset(
    {
        "survival", "cif", "observed_risk", "mean_predicted_risk", "net_benefit", "net_benefit_difference",
        "interval_coverage_50", "interval_coverage_80", "interval_coverage_90", "interval_coverage_95",
        "share_beyond_sdc",
    }
)  # fmt: skip
SHARES_OF_A_CLASS = frozenset({"sensitivity", "specificity", "ppv", "npv"})
QUANTILES: Mapping[str, float] = {
    "median": 0.5, "q1": 0.25, "q3": 0.25, "change_p05": 0.05, "change_q1": 0.25, "change_median": 0.5,
    "change_q3": 0.25, "change_p95": 0.05,
}  # fmt: skip
TIMES = frozenset({"median_years", "median_follow_up_years", "median_span_years", "knot_years"})
HALF_YEAR = 0.5
DECIMALS: Mapping[str, int] = {
    "auc": 3, "auc_difference": 3, "c": 3, "c_difference": 3, "cut_lower": 1, "cut_upper": 1,
    "chi2": 1, "lr_chi2": 1, "logrank_chi2": 1, "gray_chi2": 1, "interaction_chi2": 1, "f": 1,
    "f_statistic": 1, "standardised_rate_per_1000_py": 0,
}  # fmt: skip
OTHERS = 2
WITH_DF = frozenset({"chi2", "lr_chi2", "logrank_chi2", "gray_chi2", "interaction_chi2"})
UNSTATED = frozenset({"denominator_df"})
TESTS = re.compile(r"(optimism \S+ in \d+ bootstraps|fitted in [^;]+|[^;\d]+ censored)")
TOO_FEW = "too few subjects or events for a shareable report"
OTHER_REASON = "too few or too many alike"
FEW_EVENTS = "few_events"


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """The published counts that a row goes with; what is published of it depends on them and on nothing else.

    Parameters
    ----------
    n, events : int or None
        Its counts, rounded; None where they are below ``k``, not stated or not there.
    known : int or None
        Of a share of Table 1: what it is a share of, rounded.
    accrued : int or None
        Of a row at a horizon: events published until then.
    spread : float or None
        Of a variable of Table 1: its SD.
    parameters : int
        Of the row's model.
    """

    n: int | None
    events: int | None
    known: int | None = None
    accrued: int | None = None
    spread: float | None = None
    parameters: int = 1


def publish_estimate(row: Result, with_counts: Published, k: int) -> Result:
    """Return a row as it may be published.

    An estimate needs 2k subjects, events and subjects without the event, as they are published: then at least
    ``k`` are there, and that it is shown says no more. At a horizon, ``k`` events need to have accrued.
    """
    n, events = with_counts.n, with_counts.events
    safe = replace(row, n=n, events=events, df=row.df if row.statistic in WITH_DF else None)
    safe = replace(safe, flags=_flags(row, with_counts), note=_note(row))
    if row.analysis == "correction" or is_count(row):
        count = round_value(row.value or 0, k) if row.analysis == "correction" else n
        return replace(safe, value=float(count), status="ok") if count else _withhold(safe)
    if row.statistic == "percent":
        known = with_counts.known
        return replace(safe, value=100.0 * n / known, status="ok") if known and n else _withhold(safe)
    if row.statistic in UNSTATED or _too_few(row, with_counts, k):
        return _withhold(safe)
    if row.value is None:
        return replace(_withhold(safe), status=row.status, note=safe.note)
    if row.statistic == "rate_per_1000_py":
        return _rate(safe, k)
    return _rounded(safe, _unit(row, with_counts, k))


def round_value(value: float, k: int) -> int:
    """Return a count that is stored as a number, rounded down to a multiple of ``k``."""
    return int(value) // k * k


def is_count(row: Result) -> bool:
    """Whether a row's value is a number of subjects or images."""
    return row.statistic in COUNTS or row.statistic.startswith("n_")


def _too_few(row: Result, published: Published, k: int) -> bool:
    """Whether too few are published to rest an estimate on."""
    if row.horizon_years is not None and (published.accrued or 0) < k:
        return True
    n, least = published.n or 0, 2 * k
    if row.n is not None and n < least:
        return True
    if row.statistic in QUANTILES and n * QUANTILES[row.statistic] < least:
        return True
    if row.events is None or row.horizon_years is not None:
        return False
    events = published.events or 0
    return events < least or (row.n is not None and n - events < least)


def _flags(row: Result, published: Published) -> tuple[str, ...]:
    """Return the flags, with that of few events as the published ones have it."""
    flags = tuple(flag for flag in row.flags if flag != FEW_EVENTS)
    few = row.events is not None and row.model and (published.events or 0) < 10 * published.parameters
    return (*flags, FEW_EVENTS) if few and row.horizon_years is None else flags


def _unit(row: Result, published: Published, k: int) -> float:
    """Return what a number is rounded to a multiple of."""
    n, events, spread = published.n or 0, published.events or 0, published.spread
    if row.statistic in SHARES_OF_ALL:
        return k / n if n else 1.0
    if row.statistic in SHARES_OF_A_CLASS:
        smaller = min(events, n - events) if published.events else published.accrued or 0
        return k / smaller if smaller > 0 else 1.0
    if row.statistic in TIMES:
        return HALF_YEAR
    if row.statistic in QUANTILES or row.statistic in ("mean", "sd"):
        coarse = 10.0 ** math.floor(math.log10(spread / 2)) if spread else 1.0
        return coarse if row.statistic in QUANTILES else coarse / 10
    return float(10.0 ** -DECIMALS.get(row.statistic, OTHERS))


def _rounded(row: Result, unit: float) -> Result:
    return replace(
        row,
        value=round_to(row.value, unit),
        lower=round_to(row.lower, unit),
        upper=round_to(row.upper, unit),
        se=None,
        scale=round_to(row.scale, 0.01),
        p_value=round_p(row.p_value),
        p_adjusted=round_p(row.p_adjusted),
        person_years=None,
    )


def round_to(value: float | None, unit: float) -> float | None:
    """Return a number as a multiple of a unit.

    >>> round_to(0.1234, 0.05), round_to(71.98, 1.0)
    (0.1, 72.0)
    """
    return None if value is None else float(f"{round(value / unit) * unit:.10g}")


def round_p(p: float | None) -> float | None:
    """Return a p value with the digits it is printed with; below 0.001 it says no more than that.

    >>> round_p(0.01234), round_p(0.00004), round_p(0.5678)
    (0.012, 0.0005, 0.57)
    """
    if p is None:
        return None
    if p < 0.001:
        return 0.0005
    return round(p, 3 if p < 0.0995 else 2)


def _rate(row: Result, k: int) -> Result:
    """Return a crude rate of the rounded events over the rounded person-years, with its exact interval."""
    years = round((row.person_years or 0) / k) * k
    if not years or not row.events:
        return _withhold(row)
    rate = estimate_rate(row.events, float(years), row.conf_level or 0.95)
    return replace(
        row, value=rate.value, lower=rate.lower, upper=rate.upper, person_years=float(years), se=None
    )


def _withhold(row: Result) -> Result:
    """Return a row without its numbers, with the reason: the same for all that are withheld."""
    return replace(
        row,
        value=None, se=None, lower=None, upper=None, p_value=None, p_adjusted=None, df=None,
        scale=None, person_years=None, status="suppressed", note=TOO_FEW,
    )  # fmt: skip


def _note(row: Result) -> str | None:
    """Return what of a note holds no count: optimism, where a model was fitted, what was censored."""
    if row.note is None:
        return None
    if row.status != "ok":
        return OTHER_REASON if any(c.isdigit() for c in row.note) else row.note.partition(";")[0]
    kept = [part for part in row.note.split("; ") if TESTS.fullmatch(part)]
    return "; ".join(re.sub(r"optimism (\S+)", _shorten, part) for part in kept) or None


def _shorten(found: re.Match[str]) -> str:
    try:
        return f"optimism {float(found[1]):.2f}"
    except ValueError:
        return "optimism not stated"

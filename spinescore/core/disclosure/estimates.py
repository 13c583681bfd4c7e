"""What is published of an estimate: how many of its digits, and whether it is published at all."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import replace

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
TOO_FEW = "fewer than {k} subjects or events"


def publish_estimate(
    row: Result, n: int | None, events: int | None, known: int | None, spread: float | None, k: int
) -> Result:
    """Return a row as it may be published.

    Parameters
    ----------
    row : Result
        As it was computed.
    n, events : int or None
        Its counts, rounded; None where they are below ``k``, not stated or not there.
    known : int or None
        Of a share of Table 1: what it is a share of, rounded.
    spread : float or None
        Of a quantile of Table 1: the SD of the variable.
    k : int
        The least count.
    """
    safe = replace(
        row, n=n, events=events, note=_note(row, k), df=row.df if row.statistic in WITH_DF else None
    )
    if row.value is None:
        return _withhold(safe, row.status, k)
    if row.analysis == "correction" or _is_count(row):
        count = n if row.analysis != "correction" else round_value(row.value, k)
        return replace(safe, value=float(count)) if count else _withhold(safe, "suppressed", k)
    if _too_few(row, k) or row.statistic in UNSTATED:
        return _withhold(safe, "suppressed", k)
    if row.statistic == "percent":
        return (
            replace(safe, value=100.0 * (n or 0) / known) if known and n else _withhold(safe, "suppressed", k)
        )
    if row.statistic == "rate_per_1000_py":
        return _rate(safe, k)
    return _rounded(safe, _unit(row, n, events, spread, k))


def round_value(value: float, k: int) -> int:
    """Return a count that is stored as a number, rounded down to a multiple of ``k``."""
    return int(value) // k * k


def _is_count(row: Result) -> bool:
    return row.statistic in COUNTS or row.statistic.startswith("n_")


def _too_few(row: Result, k: int) -> bool:
    """Whether an estimate rests on fewer than ``k`` subjects, events or subjects without the event."""
    if row.n is not None and row.n < k * (1 + (row.statistic in SHARES_OF_A_CLASS)):
        return True
    if row.statistic in QUANTILES and (row.n or 0) * QUANTILES[row.statistic] < k:
        return True
    if row.events is None or row.statistic == "percent":
        return False
    return row.events < k or (row.n is not None and 0 <= row.n - row.events < k)


def _unit(row: Result, n: int | None, events: int | None, spread: float | None, k: int) -> float:
    """Return what a number is rounded to a multiple of."""
    if row.statistic in SHARES_OF_ALL:
        return k / n if n else 1.0
    if row.statistic in SHARES_OF_A_CLASS:
        smaller = min(events or 0, (n or 0) - (events or 0))
        return k / smaller if smaller > 0 else 1.0
    if row.statistic in TIMES:
        return HALF_YEAR
    if row.statistic in QUANTILES or row.statistic in ("mean", "sd"):
        coarse = 10.0 ** math.floor(math.log10(spread / 2)) if spread else 1.0
        return coarse if row.statistic in QUANTILES else coarse / 10
    return 10.0 ** -DECIMALS.get(row.statistic, OTHERS)


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
        return _withhold(row, "suppressed", k)
    rate = estimate_rate(row.events, float(years), row.conf_level or 0.95)
    return replace(
        row, value=rate.value, lower=rate.lower, upper=rate.upper, person_years=float(years), se=None
    )


def _withhold(row: Result, status: str, k: int) -> Result:
    """Return a row without its numbers, with the reason."""
    return replace(
        row,
        value=None, se=None, lower=None, upper=None, p_value=None, p_adjusted=None, df=None,
        scale=None, person_years=None,
        status="not_estimable" if status == "not_estimable" else "suppressed",
        note=TOO_FEW.format(k=k) if status != "ok" else row.note,
    )  # fmt: skip


def _note(row: Result, k: int) -> str | None:
    """Return what of a note holds no count: optimism, where a model was fitted, what was censored."""
    if row.note is None:
        return None
    if row.status != "ok":
        return TOO_FEW.format(k=k) if any(c.isdigit() for c in row.note) else row.note.partition(";")[0]
    kept = [part for part in row.note.split("; ") if TESTS.fullmatch(part)]
    return "; ".join(re.sub(r"optimism (\S+)", _shorten, part) for part in kept) or None


def _shorten(found: re.Match[str]) -> str:
    try:
        return f"optimism {float(found[1]):.2f}"
    except ValueError:
        return "optimism not stated"

"""How numbers are printed, by one stated rule.

Ratios two decimals (none from 100 on); C and AUC three; years, percentages and rates one; errors in years
two; p below 0.001 as ``<0.001``, below 0.1 with three decimals, above with two; counts with
thousands separators. Rounding happens here and nowhere else. Intervals of quantities that can be negative
are written with ``to``, others with an en dash. What cannot be estimated is a dash with its reason as a
footnote.
"""

from __future__ import annotations

from typing import Literal

from spinescore.core.reporting.document import Cell
from spinescore.core.reporting.language import gettext as _
from spinescore.core.reporting.language import marked
from spinescore.core.reporting.stored_words import stored_text
from spinescore.domain import Result

DASH = "–"
MINUS = "−"
RULE = marked(
    "Ratios are printed with two decimals, C and AUC with three, errors in years with two, "
    "other years, percentages and rates with one; p with three decimals below 0.1 and two "
    "above, and as <0.001 below that. Numbers are rounded for printing only; results.json "
    "and results.parquet hold them in full precision. A dash stands for a number that "
    "could not be estimated; a footnote says why."
)
Quantity = Literal["ratio", "index", "difference", "years", "error", "coefficient", "rate", "percent"]
DECIMALS: dict[Quantity, int] = {
    "ratio": 2,
    "index": 3,
    "difference": 3,
    "years": 1,
    "error": 2,
    "coefficient": 2,
    "rate": 1,
    "percent": 1,
}
SIGNED: frozenset[Quantity] = frozenset({"difference", "coefficient", "error"})
FLAG_TEXT = {
    "uncorrected_unadjusted": marked(
        "neither corrected for age bias nor adjusted for age: it may point the wrong way and "
        "says nothing by itself"
    ),
    "corrected_contains_age": marked(
        "a corrected age contains chronological age and is not what the image alone says"
    ),
    "few_events": marked("fewer than 10 events per model parameter"),
    "endpoint_in_model": marked("a covariate that is the endpoint itself was left out of the model"),
    "constant_covariate_dropped": marked(
        "a covariate with one value in this sample was left out of the model"
    ),
    "groups_on_raw_pad": marked("groups are cut on raw PAD and are age groups in disguise"),
    "same_cohort_correction": marked(
        "the bias correction was fitted on subjects it is judged on, so that their corrected "
        "PAD averages 0 and is unrelated to age by construction"
    ),
    "cross_fit_correction": marked(
        "the bias correction was cross-fitted within the cohort it is judged on: the fit that "
        "corrects a subject leaves that subject out, but is of this cohort"
    ),
    "across_kinds": marked(
        "the bias correction was fitted on another kind of image, whose bias may differ by years"
    ),
    "correction_trained_on": marked(
        "the bias correction was fitted on subjects the network was trained on, whose error is too small"
    ),
    "trained_on": marked("the network was trained on subjects of this cohort"),
    "strata_left_out": marked("age-sex strata in which some group has nobody are left out"),
    "few_clusters": marked("fewer than 40 clusters: the cluster-robust interval is too narrow"),
    "few_imputations": marked("more imputations would change the digits"),
    "not_converged": marked("the chains of imputations still differed"),
    "bootstraps_failed": marked("some bootstrap samples gave no value"),
}


def format_number(value: float, decimals: int) -> str:
    """Print a number with a true minus sign, thousands separators and no negative zero.

    >>> format_number(-0.004, 2), format_number(-1234.5, 1)
    ('0.00', '−1,234.5')
    """
    text = f"{value:,.{decimals}f}"
    if text.startswith("-"):
        text = text[1:] if not text.strip("-0.,") else MINUS + text[1:]
    return text


def format_count(n: int | float | None) -> str:
    """Print a count.

    >>> format_count(12345), format_count(None)
    ('12,345', '–')
    """
    return DASH if n is None else f"{round(n):,}"


def format_p(p: float | None) -> str:
    """Print a p value.

    >>> [format_p(p) for p in (0.0004, 0.0123, 0.0996, 0.5, 0.999)]
    ['<0.001', '0.012', '0.10', '0.50', '>0.99']
    """
    if p is None:
        return DASH
    if p < 0.001:
        return "<0.001"
    if p > 0.99:
        return ">0.99"
    return f"{p:.3f}" if p < 0.0995 else f"{p:.2f}"


def state_p(p: float | None) -> str:
    """Say a p value within a sentence, unbroken over lines.

    >>> state_p(0.5).replace("\\u00a0", " "), state_p(0.0001).replace("\\u00a0", " ")
    ('p = 0.50', 'p <0.001')
    """
    text = format_p(p)
    return f"p\u00a0{text}" if text[0] in "<>" else f"p\u00a0=\u00a0{text}"


def format_value(value: float, quantity: Quantity) -> str:
    """Print one number of a quantity."""
    decimals = DECIMALS[quantity]
    if quantity == "ratio" and abs(value) >= 100:
        decimals = 0
    return format_number(value, decimals)


def format_range(lower: float, upper: float, quantity: Quantity) -> str:
    """Print an interval without its brackets.

    >>> format_range(1.234, 2.5, "ratio"), format_range(-0.02, 0.03, "difference")
    ('1.23–2.50', '−0.020 to 0.030')
    """
    low, high = format_value(lower, quantity), format_value(upper, quantity)
    return (
        _("{low} to {high}").format(low=low, high=high)
        if quantity in SIGNED or lower < 0
        else f"{low}–{high}"
    )


def format_estimate(result: Result, quantity: Quantity) -> str:
    """Print an estimate with its interval, or a dash."""
    if result.value is None:
        return DASH
    value = format_value(result.value, quantity)
    if result.lower is None or result.upper is None:
        return value
    return f"{value} ({format_range(result.lower, result.upper, quantity)})"


def describe_cautions(result: Result) -> tuple[str, ...]:
    """Return what a reader must know of a number: why it is missing, or its flags in words."""
    if result.status != "ok":
        reason = stored_text(result.note or "no reason recorded")
        kind = _("suppressed") if result.status == "suppressed" else _("not estimable")
        return (f"{kind}: {reason}",)
    return tuple(_(FLAG_TEXT[flag]) for flag in result.flags if flag in FLAG_TEXT)


def estimate_cell(result: Result | None, quantity: Quantity, *, detail: str = "") -> Cell:
    """Return the cell of an estimate: value and interval, its reason or cautions as footnotes."""
    if result is None:
        return Cell(text=DASH, notes=(_("not computed for this cohort"),))
    if "reference" in result.flags:
        return Cell(text=_("1 (reference)"), detail=detail)
    return Cell(text=format_estimate(result, quantity), detail=detail, notes=describe_cautions(result))


def value_cell(result: Result | None, quantity: Quantity) -> Cell:
    """Return the cell of a number without its interval."""
    if result is None:
        return Cell(text=DASH)
    text = DASH if result.value is None else format_value(result.value, quantity)
    return Cell(text=text, notes=describe_cautions(result) if result.value is None else ())


def p_cell(result: Result | None) -> Cell:
    """Return the cell of a p value."""
    if result is None:
        return Cell(text=DASH)
    notes = describe_cautions(result) if result.status != "ok" else ()
    return Cell(text=format_p(result.p_value), notes=notes)


def events_of(result: Result | None) -> str:
    """Print events and subjects, as ``42 / 356``."""
    if result is None or result.n is None:
        return ""
    return f"{format_count(result.events)} / {format_count(result.n)}"

"""The rule by which numbers are printed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spinescore.core.reporting import formatting
from spinescore.domain import Result

HAZARD = Result(cohort="a", analysis="cox", statistic="hr_per_sd", value=1.744, lower=1.456, upper=2.074)


@pytest.mark.parametrize(
    ("p", "text"),
    [
        (0.0, "<0.001"),
        (0.00099, "<0.001"),
        (0.001, "0.001"),
        (0.0494, "0.049"),
        (0.0996, "0.10"),
        (0.54321, "0.54"),
        (0.9999, ">0.99"),
        (None, "–"),
    ],
)
def test_p_is_printed_as_journals_want_it(p: float | None, text: str) -> None:
    assert formatting.format_p(p) == text


@given(st.floats(0, 1))
def test_p_is_never_printed_as_0_or_1(p: float) -> None:
    assert float(formatting.format_p(p).strip("<>")) not in {0.0, 1.0}


@given(st.floats(-1e6, 1e6), st.integers(0, 4))
def test_no_number_is_a_negative_zero_or_has_a_hyphen_for_a_minus(value: float, decimals: int) -> None:
    text = formatting.format_number(value, decimals)
    assert "-" not in text
    assert not (text.startswith("−") and float(text[1:].replace(",", "")) == 0)


def test_a_ratio_has_two_decimals_and_an_en_dash() -> None:
    assert formatting.format_estimate(HAZARD, "ratio") == "1.74 (1.46–2.07)"


def test_a_huge_ratio_has_no_decimals() -> None:
    assert formatting.format_value(1234.5, "ratio") == "1,234"


def test_a_difference_has_three_decimals_and_to() -> None:
    row = Result(cohort="a", analysis="auc_difference", statistic="d", value=-0.0004, lower=-0.05, upper=0.05)
    assert formatting.format_estimate(row, "difference") == "0.000 (−0.050 to 0.050)"


def test_what_cannot_be_estimated_is_a_dash_with_its_reason() -> None:
    row = Result(cohort="a", analysis="cox", statistic="hr", status="not_estimable", note="3 events")
    cell = formatting.estimate_cell(row, "ratio")
    assert (cell.text, cell.notes) == ("–", ("not estimable: 3 events",))


def test_a_flag_becomes_a_footnote() -> None:
    row = Result(cohort="a", analysis="cox", statistic="hr", value=0.63, flags=("uncorrected_unadjusted",))
    (note,) = formatting.estimate_cell(row, "ratio").notes
    assert "may point the wrong way" in note


def test_the_reference_group_is_named_so() -> None:
    row = Result(cohort="a", analysis="cox", statistic="hr_category", value=1.0, flags=("reference",))
    assert formatting.estimate_cell(row, "ratio").text == "1 (reference)"

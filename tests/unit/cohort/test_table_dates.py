"""Dates are read by their type, as declared, or where only one reading is possible; the rest is refused by why."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spinescore.core.table_dates import SPOKEN, dates, read_form
from spinescore.core.table_values import Findings, most_frequent


def read(values: list[Any], declared: str | None = None) -> tuple[list[date | None], Findings]:
    findings = Findings(pl.Series([f"p{row}" for row in range(len(values))]))
    days = dates(pl.Series("seen", values), "endpoints.x.end_date", declared, findings)
    assert days.dtype == pl.Date
    return days.to_list(), findings


FIRST, LAST = date(2015, 3, 4), date(2014, 12, 31)


@pytest.mark.parametrize(
    ("written", "spoken"),
    [
        (["2015-03-04", "2014-12-31"], None),
        (["2015-03-04T10:30:00Z", "2014-12-31 23:59:59.5"], None),
        (["20150304", "20141231"], "year-month-day"),
        ([20150304, 20141231], "year-month-day"),
        ([20150304.0, 20141231.0], "year-month-day"),
        (["2015/3/4", "2014/12/31"], "year-month-day"),
        (["2015. 3. 4.", "2014. 12. 31."], "year-month-day"),
        (["2015년 3월 4일", "2014년 12월 31일"], "year-month-day"),
        (["04/03/2015", "31/12/2014"], "day-month-year"),
        (["4.3.2015", "31.12.2014 08:15"], "day-month-year"),
        (["03/04/2015", "12/31/2014"], "month-day-year"),
        (["3/4/2015 10:30 PM", "12/31/2014"], "month-day-year"),
        (["04MAR2015", "31DEC2014"], "day-month-year with the month's name"),
        (["04-Mar-2015", "31 December 2014"], "day-month-year with the month's name"),
        (["04MAR2015:10:30:00", "31DEC2014:00:00:00"], "day-month-year with the month's name"),
        ([FIRST, LAST], None),
        ([datetime(2015, 3, 4, 23, 59), datetime(2014, 12, 31)], None),
    ],
)
def test_what_can_be_read_one_way_only_is_read_so_and_said(written: list[Any], spoken: str | None) -> None:
    days, findings = read(written)
    assert days == [FIRST, LAST]
    assert findings.problems == []
    assert findings.detected == ({"dates.seen": spoken} if spoken else {})


def test_day_and_month_that_could_be_either_are_refused_with_three_values_and_the_key() -> None:
    days, findings = read(["03/04/2015", "05/06/2014", "", "07/08/2013", "09/10/2012"])
    assert days == [None] * 5
    assert findings.problems == [
        (
            "endpoints.x.end_date: column `seen` reads as day-month-year and as month-day-year: "
            "03/04/2015, 05/06/2014, 07/08/2013",
            'Say which under [subjects]: `dates = { "seen" = "dmy" }` or `dates = { "seen" = "mdy" }`.',
        )
    ]


def test_days_that_read_the_same_either_way_are_not_ambiguous() -> None:
    assert read(["03/03/2015", "12/12/2014"])[0] == [date(2015, 3, 3), date(2014, 12, 12)]


@pytest.mark.parametrize(
    ("written", "declared"),
    [
        ("04/03/2015", "dmy"),
        ("03/04/2015", "mdy"),
        ("2015-03-04", "iso"),
        ("2015.03.04", "ymd"),
        ("4Mar2015", "sas"),
        ("42067", "excel"),
        (42067, "excel"),
        (42067.75, "excel"),
        (20151, "sas"),
    ],
)
def test_a_declared_form_is_taken_at_its_word(written: Any, declared: str) -> None:
    days, findings = read([written], declared)
    assert days == [FIRST]
    assert findings.problems == []


@pytest.mark.parametrize(
    ("bad", "complaint"),
    [
        ("2015-02-30", "has impossible dates in 1 row(s): row 2"),
        ("9999-12-31", "has impossible dates"),
        ("2015-13-01", "has impossible dates"),
        ("2015-03", "has dates without a day or month"),
        ("2015", "has dates without a day or month"),
        ("201503", "has dates without a day or month"),
        ("03/2015", "has dates without a day or month"),
        ("2015-03-00", "has dates without a day or month"),
        ("MAR2015", "has dates without a day or month"),
        ("UNMAR2015", "has dates without a day or month"),
        ("01/02/15", "has years of two digits"),
        ("04MAR15", "has years of two digits"),
        ("42067", "has numbers instead of dates"),
        ("yesterday", "is not a date as"),
    ],
)
def test_what_is_no_certain_date_is_refused_by_why_and_where(bad: str, complaint: str) -> None:
    days, findings = read(["2014-12-31", bad, "NA", None])
    assert days == [LAST, None, None, None]
    ((message, next_step),) = findings.problems
    assert complaint in message
    assert "row 2" in message
    assert next_step
    assert bad == "42067" or bad not in message


def test_a_column_of_two_orders_is_refused_not_mixed() -> None:
    _, findings = read(["25/12/2015", "12/25/2015", "26/12/2015"])
    ((message, _),) = findings.problems
    assert "in 1 row(s): row 2" in message


def test_serial_numbers_are_never_taken_for_dates_unasked() -> None:
    days, findings = read([42067.0, 42068.0])
    assert days == [None, None]
    assert 'say from when: `dates = "excel"`' in findings.problems[0][1]


@pytest.mark.parametrize(
    ("serial", "declared"), [("60", "excel"), ("200000", "excel"), ("x", "excel"), (-60000, "sas")]
)
def test_serials_outside_the_calendar_are_refused(serial: Any, declared: str) -> None:
    _, findings = read([serial], declared)
    assert "is no day as" in findings.problems[0][0]


def test_typed_dates_that_stand_for_unknown_are_refused() -> None:
    _, findings = read([FIRST, date(9999, 12, 31)])
    assert "a year outside 1850-2100 in 1 row(s): row 2" in findings.problems[0][0]


def test_an_empty_column_is_no_problem() -> None:
    days, findings = read(["", None, "."])
    assert days == [None] * 3
    assert not findings.problems
    assert not findings.detected


PATTERNS = {"iso": "%Y-%m-%d", "ymd": "%Y%m%d", "dmy": "%d.%m.%Y", "mdy": "%m/%d/%Y", "sas": "%d%b%Y"}


@given(st.dates(date(1850, 1, 1), date(2100, 12, 31)), st.sampled_from(sorted(PATTERNS)))
def test_every_day_is_read_back_in_every_form(day: date, form: str) -> None:
    assert read_form(pl.Series([day.strftime(PATTERNS[form])]), form).to_list() == [day]


@given(
    st.lists(st.dates(date(1850, 1, 1), date(2100, 12, 31)), min_size=1, max_size=5),
    st.sampled_from(["dmy", "mdy"]),
)
def test_an_undeclared_column_is_read_right_or_refused(days: list[date], form: str) -> None:
    found, findings = read([day.strftime(PATTERNS[form]) for day in days])
    assert found == days or findings.problems


def test_every_form_has_words() -> None:
    assert set(PATTERNS) | {"excel"} == set(SPOKEN)


def test_a_column_of_any_name_is_counted() -> None:
    assert most_frequent(pl.Series("count", ["b", "a", None, "b"])) == "'b' (2 rows), 'a' (1 rows)"

"""Linkage, index image, follow-up and attrition: rows in, rows out."""

from __future__ import annotations

from datetime import date
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spinescore.core.cohort import (
    Attrition,
    assign_split,
    follow_up,
    pick_index_images,
    refuse_ambiguous_origin,
)
from spinescore.errors import AnalysisError
from spinescore.study import EndpointSection

FRACTURE = EndpointSection(
    type="survival", event="f", time="t", time_origin="image", competing="death", day_zero="exclude"
)


def images(*rows: tuple[str, date | None, str, float]) -> pl.DataFrame:
    return pl.DataFrame(
        [
            {
                "subject_id": subject,
                "study_date": day,
                "study_time": "120000",
                "sop_instance_uid": uid,
                "spine_age_raw": age,
                "spine_age_sd": 1.0,
                "spine_age_corrected": age + 1,
            }
            for subject, day, uid, age in rows
        ],
        schema_overrides={"study_date": pl.Date},
    )


def outcomes(**endpoints: dict[str, tuple[Any, ...]]) -> pl.DataFrame:
    rows = [
        {
            "subject_id": subject,
            "endpoint": endpoint,
            "event": event,
            "time_years": time,
            "entry_years": None,
            "event_date": None,
            "end_date": None,
        }
        for endpoint, subjects in endpoints.items()
        for subject, (event, time) in subjects.items()
    ]
    types = {
        "event": pl.Int64,
        "time_years": pl.Float64,
        "entry_years": pl.Float64,
        "event_date": pl.Date,
        "end_date": pl.Date,
    }
    return pl.DataFrame(rows, schema_overrides=types)


EARLY, LATE = date(2015, 3, 1), date(2017, 3, 1)


def test_first_and_last_image_go_by_study_date() -> None:
    rows = images(("a", LATE, "1", 70.0), ("a", EARLY, "2", 60.0))
    assert pick_index_images(rows, "first")["spine_age_raw"].to_list() == [60.0]
    assert pick_index_images(rows, "last")["spine_age_raw"].to_list() == [70.0]


def test_an_image_without_a_date_is_never_preferred() -> None:
    rows = images(("a", None, "1", 50.0), ("a", LATE, "2", 70.0))
    assert pick_index_images(rows, "first")["spine_age_raw"].to_list() == [70.0]
    assert pick_index_images(rows, "last")["spine_age_raw"].to_list() == [70.0]


def test_mean_is_over_the_earliest_day_only() -> None:
    rows = images(("a", EARLY, "1", 60.0), ("a", EARLY, "2", 64.0), ("a", LATE, "3", 90.0))
    index = pick_index_images(rows, "mean")
    assert index["spine_age_raw"].to_list() == [62.0]
    assert index["spine_age_corrected"].to_list() == [63.0]


@given(st.text(min_size=1), st.sampled_from(["radiograph", "vfa"]), st.integers(0, 2**40))
def test_a_split_depends_on_nobody_else_and_is_monotone_in_its_fraction(
    subject: str, kind: str, seed: int
) -> None:
    parts = [assign_split(subject, kind, seed=seed, reference_fraction=f / 10) for f in range(11)]
    assert parts[0] == "test"
    assert parts == sorted(parts, key=lambda part: part == "reference")


def test_a_split_puts_its_share_aside() -> None:
    parts = [assign_split(str(i), "vfa", seed=1, reference_fraction=0.3) for i in range(5000)]
    assert abs(parts.count("reference") / 5000 - 0.3) < 0.02


def build(
    events: dict[str, tuple[Any, ...]], deaths: dict[str, tuple[Any, ...]], **changes: Any
) -> pl.DataFrame:
    index = images(*((subject, EARLY, subject, 60.0) for subject in events))
    endpoint = FRACTURE.model_copy(update=changes)
    table = outcomes(fracture=events, death=deaths)
    return follow_up(index, table, "fracture", endpoint, frozenset(), Attrition())


def test_a_death_after_the_end_of_follow_up_does_not_compete() -> None:
    rows = build({"a": (0, 3.0)}, {"a": (1, 4.0)})
    assert rows["status"].to_list() == [0]
    assert rows["exit_years"].to_list() == [3.0]


def test_a_death_that_ends_follow_up_competes_and_an_endpoint_wins_a_tie() -> None:
    rows = build({"a": (0, 3.0), "b": (1, 3.0), "c": (0, 5.0)}, {"a": (1, 3.0), "b": (1, 3.0), "c": (1, 2.0)})
    assert rows["status"].to_list() == [2, 1, 2]
    assert rows["exit_years"].to_list() == [3.0, 3.0, 2.0]


def test_day_zero_events_leave_unless_kept() -> None:
    assert build({"a": (1, 0.0)}, {"a": (0, 0.0)}).is_empty()
    assert build({"a": (1, 0.0)}, {"a": (0, 0.0)}, day_zero="keep").height == 1


def test_dates_give_years_and_an_administrative_end_censors() -> None:
    endpoint = EndpointSection(
        type="survival", event_date="e", end_date="x", admin_censor_date=date(2018, 3, 1)
    )
    table = pl.DataFrame(
        {
            "subject_id": ["a", "b"],
            "endpoint": ["f", "f"],
            "event": [1, 1],
            "time_years": pl.Series([None, None], dtype=pl.Float64),
            "entry_years": pl.Series([None, None], dtype=pl.Float64),
            "event_date": [date(2017, 3, 1), date(2019, 3, 1)],
            "end_date": [date(2020, 3, 1), date(2020, 3, 1)],
        }
    )
    index = images(("a", EARLY, "1", 60.0), ("b", EARLY, "2", 60.0))
    rows = follow_up(index, table, "f", endpoint, frozenset(), Attrition())
    assert rows["status"].to_list() == [1, 0]
    assert rows["exit_years"].to_list() == pytest.approx([731 / 365.25, 1096 / 365.25])


def test_every_exit_is_counted_with_its_reason_and_the_sums_hold() -> None:
    attrition = Attrition()
    index = images(*((s, EARLY, s, 60.0) for s in "abcd"))
    table = outcomes(
        fracture={"a": (1, 2.0), "b": (None, 2.0), "c": (1, 0.0), "d": (0, 4.0)},
        death={s: (0, 4.0) for s in "abcd"},
    )
    rows = follow_up(index, table, "fracture", FRACTURE, frozenset({"d"}), attrition)
    counts = attrition.frame()
    assert dict(counts.select("reason", "n_excluded").iter_rows()) == {
        "excluded by exclude_where": 1,
        "follow-up missing": 1,
        "event or end of follow-up on day 0": 1,
    }
    assert rows.height == counts["n_remaining"][-1] == 4 - counts["n_excluded"].sum()


def test_durations_are_refused_where_a_subject_has_several_days() -> None:
    rows = images(("a", EARLY, "1", 60.0), ("a", LATE, "2", 61.0))
    with pytest.raises(AnalysisError, match="several days"):
        refuse_ambiguous_origin(rows, {"fracture": FRACTURE}, "c")
    refuse_ambiguous_origin(rows.head(1), {"fracture": FRACTURE}, "c")

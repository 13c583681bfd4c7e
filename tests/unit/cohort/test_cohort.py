"""Split, index image, follow-up and attrition: rows in, rows out."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spinescore.core.cohort.attrition import Attrition
from spinescore.core.cohort.follow_up import follow_up
from spinescore.core.cohort.index_image import (
    count_mixed_days,
    leave_by_age,
    pick_index_images,
    refuse_ambiguous_origin,
)
from spinescore.core.cohort.splits import add_split, assign_split
from spinescore.domain import DAYS_PER_YEAR
from spinescore.errors import AnalysisError
from spinescore.study import EndpointSection
from spinescore.study.sections import CohortSection

FRACTURE = EndpointSection(type="survival", event="f", time="t", time_origin="image", competing="death")
DATED = EndpointSection(type="survival", event_date="e", end_date="x")
EARLY, LATE = date(2015, 3, 1), date(2017, 3, 1)
DAY = timedelta(days=1)


def images(*rows: tuple[str, date | None, str, float], kinds: str | list[str] = "vfa") -> pl.DataFrame:
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
    ).with_columns(pl.Series("kind", [kinds] * len(rows) if isinstance(kinds, str) else kinds))


OUTCOME = {
    "subject_id": pl.String,
    "endpoint": pl.String,
    "event": pl.Int64,
    "time_years": pl.Float64,
    "entry_years": pl.Float64,
    "event_date": pl.Date,
    "end_date": pl.Date,
    "origin_date": pl.Date,
    "entry_date": pl.Date,
    "row_number": pl.Int64,
}


def outcome(subject: str, endpoint: str = "fracture", **values: Any) -> dict[str, Any]:
    return dict.fromkeys(OUTCOME) | {"subject_id": subject, "endpoint": endpoint} | values


def watch(
    *rows: dict[str, Any],
    endpoint: EndpointSection = FRACTURE,
    attrition: Attrition | None = None,
    excluded: list[bool | None] | None = None,
    day: date | None = EARLY,
    **changes: Any,
) -> pl.DataFrame:
    subjects = dict.fromkeys(row["subject_id"] for row in rows)
    index = images(*((subject, day, subject, 60.0) for subject in subjects))
    leaves = None if excluded is None else pl.Series(excluded, dtype=pl.Boolean)
    settings = endpoint.model_copy(update=changes)
    table = pl.DataFrame(list(rows), schema=OUTCOME)
    return follow_up(index, table, "fracture", settings, leaves, attrition or Attrition())


def timed(event: int | None, time: float | None, death: int = 0, dies: float = 99.0) -> list[dict[str, Any]]:
    return [
        outcome("a", event=event, time_years=time),
        outcome("a", "death", event=death, time_years=dies),
    ]


def left(attrition: Attrition) -> dict[str, int]:
    return {str(row["reason"]): int(str(row["n_excluded"])) for row in attrition.rows if row["n_excluded"]}


def only(rows: pl.DataFrame) -> tuple[float, float, int]:
    assert rows.height == 1
    return rows.select("entry_years", "exit_years", "status").row(0)


def test_first_and_last_image_go_by_study_date() -> None:
    rows = images(("a", LATE, "1", 70.0), ("a", EARLY, "2", 60.0))
    assert pick_index_images(rows, "first")["spine_age_raw"].to_list() == [60.0]
    assert pick_index_images(rows, "last")["spine_age_raw"].to_list() == [70.0]


def test_an_image_without_a_date_is_never_preferred() -> None:
    rows = images(("a", None, "1", 50.0), ("a", LATE, "2", 70.0))
    assert pick_index_images(rows, "first")["spine_age_raw"].to_list() == [70.0]
    assert pick_index_images(rows, "last")["spine_age_raw"].to_list() == [70.0]


def test_time_then_uid_settle_a_day_whatever_the_order_of_rows() -> None:
    rows = images(
        ("a", EARLY, "2", 60.0), ("a", EARLY, "1", 61.0), ("b", EARLY, "4", 70.0), ("b", EARLY, "3", 71.0)
    )
    rows = rows.with_columns(pl.Series("study_time", ["090000", "100000", None, None]))
    for shuffled in (rows, rows.reverse()):
        assert pick_index_images(shuffled, "first")["sop_instance_uid"].to_list() == ["2", "3"]
        assert pick_index_images(shuffled, "last")["sop_instance_uid"].to_list() == ["1", "4"]


def test_mean_is_over_the_earliest_day_only() -> None:
    rows = images(("a", EARLY, "1", 60.0), ("a", EARLY, "2", 64.0), ("a", LATE, "3", 90.0))
    index = pick_index_images(rows, "mean")
    assert index["spine_age_raw"].to_list() == [62.0]
    assert index["spine_age_corrected"].to_list() == [63.0]
    assert index.columns == rows.columns


def test_mean_never_mixes_kinds_and_a_day_of_both_is_counted() -> None:
    rows = images(
        ("a", EARLY, "1", 60.0),
        ("a", EARLY, "2", 64.0),
        ("a", EARLY, "3", 90.0),
        ("b", EARLY, "4", 50.0),
        kinds=["vfa", "vfa", "radiograph", "vfa"],
    )
    index = pick_index_images(rows, "mean")
    assert index.select("kind", "spine_age_raw").rows() == [("vfa", 62.0), ("vfa", 50.0)]
    assert count_mixed_days(rows, index) == 1


def test_age_at_the_index_image_includes_the_youngest_and_not_the_oldest() -> None:
    rows = pl.DataFrame({"age_years": [49.99, 50.0, 79.99, 80.0]})
    kept, reasons = leave_by_age(rows, CohortSection(where="true", min_age=50, max_age=80))
    assert kept["age_years"].to_list() == [50.0, 79.99]
    assert reasons == {"too young (under 50)": 1, "too old (80 or older)": 1}
    assert leave_by_age(rows, CohortSection(where="true"))[1] == {}


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


def test_all_images_of_a_subject_are_in_its_part_and_training_comes_first() -> None:
    rows = pl.DataFrame({"subject_id": ["a", "a", "b", None], "kind": ["vfa"] * 4})
    found = add_split(rows, pl.Series(["b"]), seed=1, reference_fraction=1.0)
    assert found["split"].to_list() == ["reference", "reference", "train", None]


def test_a_death_after_the_end_of_follow_up_does_not_compete() -> None:
    assert only(watch(*timed(0, 3.0, 1, 4.0))) == (0.0, 3.0, 0)


@pytest.mark.parametrize(
    ("event", "time", "death", "dies", "expected"),
    [
        (0, 3.0, 1, 3.0, (3.0, 2)),  # the death that ends follow-up
        (1, 3.0, 1, 3.0, (3.0, 1)),  # a tie goes to the endpoint
        (0, 5.0, 1, 2.0, (2.0, 2)),
        (0, 3.0, 1, 3.0 * (1 + 5e-10), (3.0, 2)),  # nearly a tie is a tie
        (0, 3.0, 1, 3.0 * (1 + 5e-9), (3.0, 0)),
        (
            1,
            3.0,
            1,
            2.0,
            (3.0, 1),
        ),  # dead before the fracture: it happened all the same, with a warning at import
    ],
)
def test_the_first_of_endpoint_and_competing_event_counts(
    event: int, time: float, death: int, dies: float, expected: tuple[float, int]
) -> None:
    assert only(watch(*timed(event, time, death, dies)))[1:] == expected


def test_whose_competing_event_is_unknown_stays_and_is_counted() -> None:
    attrition = Attrition()
    rows = [outcome("a", event=0, time_years=3.0), outcome("b", event=0, time_years=2.0)]
    assert watch(*rows, outcome("b", "death", event=0, time_years=2.0), attrition=attrition).height == 2
    assert attrition.fact_frame().select("fact", "endpoint", "n").rows() == [
        ("competing_unknown", "fracture", 1)
    ]


def test_day_zero_events_leave_unless_kept() -> None:
    attrition = Attrition()
    rows = [outcome(s, event=e, time_years=0.0) for s, e in (("a", 1), ("b", 0))]
    assert watch(*rows, competing=None, attrition=attrition).is_empty()
    assert left(attrition) == {"event on day 0": 1, "follow-up ends on day 0": 1}
    assert watch(*rows, competing=None, day_zero="keep")["exit_years"].to_list() == [0.0, 0.0]


def test_dates_give_years_and_an_administrative_end_censors() -> None:
    rows = [
        outcome("a", event=1, event_date=date(2017, 3, 1), end_date=date(2020, 3, 1)),
        outcome("b", event=1, event_date=date(2019, 3, 1), end_date=date(2020, 3, 1)),
        outcome("c", event=1, event_date=date(2018, 3, 1), end_date=date(2020, 3, 1)),  # on that very day
    ]
    found = watch(*rows, endpoint=DATED, admin_censor_date=date(2018, 3, 1))
    assert found["status"].to_list() == [1, 0, 1]
    assert found["exit_years"].to_list() == pytest.approx([731 / 365.25, 1096 / 365.25, 1096 / 365.25])


def test_a_death_after_the_administrative_end_does_not_compete() -> None:
    end = date(2018, 3, 1)
    rows = [
        outcome("a", event=0, end_date=date(2020, 1, 1)),
        outcome("a", "death", event=1, event_date=end + DAY, end_date=end + DAY),
    ]
    found = watch(*rows, endpoint=DATED, competing="death", admin_censor_date=end)
    assert only(found)[2] == 0
    rows[1] |= {"event_date": end, "end_date": end}
    assert only(watch(*rows, endpoint=DATED, competing="death", admin_censor_date=end))[2] == 2


def test_who_enters_after_the_administrative_end_or_is_imaged_after_it_leaves() -> None:
    attrition = Attrition()
    ends = {"event": 0, "end_date": date(2020, 1, 1)}
    rows = [outcome("a", entry_date=date(2019, 1, 1), **ends), outcome("b", **ends)]
    found = watch(*rows, endpoint=DATED, admin_censor_date=date(2018, 3, 1), attrition=attrition)
    assert found["subject_id"].to_list() == ["b"]
    assert left(attrition) == {"entry not before the end of follow-up": 1}
    assert watch(rows[1], endpoint=DATED, admin_censor_date=EARLY - DAY).is_empty()


def test_an_event_with_the_day_it_or_the_end_was_seen() -> None:
    section = EndpointSection(type="survival", event="f", end_date="x")
    rows = [
        outcome("a", event=1, end_date=EARLY + 10 * DAY),
        outcome("b", event=0, end_date=EARLY + 20 * DAY),
    ]
    found = watch(*rows, endpoint=section)
    assert found["exit_years"].to_list() == [10 / DAYS_PER_YEAR, 20 / DAYS_PER_YEAR]
    assert found["status"].to_list() == [1, 0]


def test_durations_from_a_date_are_moved_to_the_image() -> None:
    section = EndpointSection(type="survival", event="f", time="t", time_origin="enrolled")
    before = outcome("a", event=1, time_years=5.0, origin_date=EARLY - timedelta(days=731))
    after = outcome("b", event=0, time_years=5.0, origin_date=EARLY + timedelta(days=731))
    late_entry = outcome(
        "c", event=0, time_years=5.0, entry_years=3.0, origin_date=EARLY - timedelta(days=731)
    )
    found = watch(before, after, late_entry, endpoint=section)
    years = 731 / DAYS_PER_YEAR
    assert found.select("entry_years", "exit_years").rows() == [
        (0.0, pytest.approx(5 - years)),  # imaged two years into it: watched from the image
        (pytest.approx(years), pytest.approx(5 + years)),  # imaged before it: watched from the origin only
        (pytest.approx(3 - years), pytest.approx(5 - years)),
    ]


def test_an_entry_date_truncates_and_one_before_the_image_does_not() -> None:
    end = {"event": 0, "end_date": EARLY + 1000 * DAY}
    found = watch(
        outcome("a", entry_date=EARLY + 100 * DAY, **end),
        outcome("b", entry_date=EARLY - 100 * DAY, **end),
        endpoint=DATED,
    )
    assert found["entry_years"].to_list() == [100 / DAYS_PER_YEAR, 0.0]


def test_events_before_the_image_are_refused_by_row_or_excluded_by_name() -> None:
    rows = [
        outcome("a", event=1, event_date=EARLY - 800 * DAY, end_date=LATE, row_number=17),
        outcome("b", event=1, event_date=EARLY - DAY, end_date=LATE, row_number=4),
        outcome("c", event=0, end_date=EARLY - DAY, row_number=5),
        outcome("d", event=0, end_date=LATE, row_number=6),
    ]
    with pytest.raises(
        AnalysisError, match=r"2 subject\(s\) have the event before .* 2\.2 years before: row 4 .*, row 17 "
    ):
        watch(*rows, endpoint=DATED)
    attrition = Attrition()
    found = watch(*rows, endpoint=DATED, before_image="exclude", attrition=attrition)
    assert found["subject_id"].to_list() == ["d"]
    assert left(attrition) == {"event before the image": 2, "follow-up ends before the image": 1}


def test_whom_exclude_where_takes_out_is_not_asked_for_events_before_the_image() -> None:
    rows = [
        outcome("a", event=1, event_date=EARLY - DAY, end_date=LATE),
        outcome("b", event=0, end_date=LATE),
    ]
    assert watch(*rows, endpoint=DATED, excluded=[True, False])["subject_id"].to_list() == ["b"]


def test_a_competing_event_before_the_image_has_a_reason_of_its_own() -> None:
    attrition = Attrition()
    rows = [outcome("a", event=0, end_date=LATE), outcome("a", "death", event=1, event_date=EARLY - 9 * DAY)]
    assert watch(*rows, endpoint=DATED, competing="death", attrition=attrition).is_empty()
    assert left(attrition) == {"competing event before the image": 1}


def test_dates_without_the_date_of_the_image_are_no_follow_up() -> None:
    attrition = Attrition()
    rows = [outcome("a", event=0, end_date=LATE), outcome("b")]
    assert watch(*rows, endpoint=DATED, day=None, attrition=attrition).is_empty()
    assert left(attrition) == {"date of the image unknown": 1, "follow-up missing": 1}


def test_every_exit_is_counted_with_its_reason_and_the_sums_hold() -> None:
    attrition = Attrition()
    known = {"a": (1, 2.0), "b": (None, 2.0), "c": (1, 0.0), "d": (0, 4.0), "e": (0, 3.0)}
    rows = [outcome(s, event=e, time_years=t) for s, (e, t) in known.items()]
    deaths = [outcome(s, "death", event=0, time_years=4.0) for s in known]
    found = watch(*rows, *deaths, attrition=attrition, excluded=[False, False, False, True, None])
    counts = attrition.frame()
    assert left(attrition) == {
        "excluded by exclude_where": 1,
        "exclude_where unknown (missing values)": 1,
        "follow-up missing": 1,
        "event on day 0": 1,
    }
    assert found.height == counts["n_remaining"][-1] == 5 - counts["n_excluded"].sum()
    assert counts["unit"].unique().to_list() == ["subjects"]


@given(
    st.lists(
        st.tuples(
            st.sampled_from([0, 1, None]),
            st.integers(-400, 3000) | st.none(),
            st.integers(-400, 3000) | st.none(),
            st.booleans() | st.none(),
        ),
        min_size=1,
        max_size=20,
    ),
    st.sampled_from(["keep", "exclude"]),
    st.sampled_from([None, date(2018, 3, 1)]),
)
def test_nobody_is_lost_uncounted_and_nobody_kept_has_impossible_times(
    people: list[tuple[int | None, int | None, int | None, bool | None]], day_zero: str, admin: date | None
) -> None:
    attrition = Attrition()
    rows = []
    for number, (event, end, entry, _) in enumerate(people):
        days = {"end_date": end, "entry_date": entry}
        dated = {name: None if n is None else EARLY + n * DAY for name, n in days.items()}
        rows.append(outcome(f"s{number}", event=event, **dated))
    found = watch(
        *rows,
        endpoint=EndpointSection(type="survival", event="f", end_date="x"),
        attrition=attrition,
        excluded=[leaves for *_, leaves in people],
        before_image="exclude",
        day_zero=day_zero,
        admin_censor_date=admin,
    )
    counts = attrition.frame()
    assert found.height == len(people) - counts["n_excluded"].sum()
    assert (found["exit_years"] >= 0).all()
    assert ((found["entry_years"] < found["exit_years"]) | (found["entry_years"] == 0)).all()
    assert found["status"].is_in([0, 1]).all()


def test_durations_are_refused_where_a_subject_has_several_days() -> None:
    rows = images(("a", EARLY, "1", 60.0), ("a", LATE, "2", 61.0))
    with pytest.raises(AnalysisError, match=r"1 subject\(s\) have images on several days.*subject a"):
        refuse_ambiguous_origin(rows, {"fracture": FRACTURE}, "c")
    refuse_ambiguous_origin(rows.head(1), {"fracture": FRACTURE}, "c")
    from_date = FRACTURE.model_copy(update={"time_origin": "enrolled"})
    refuse_ambiguous_origin(rows, {"fracture": from_date, "other": DATED}, "c")

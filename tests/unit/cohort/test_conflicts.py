"""Sex and age by the follow-up table: filled in where certain, compared, flagged, never silently resolved."""

from __future__ import annotations

from datetime import date
from typing import Any

import polars as pl
import pytest

from spinescore.core.cohort.conflicts import FLAGS, add_subject_flags, count_flags, read_table_facts

DAY, LATER = date(2015, 3, 1), date(2019, 3, 1)


def headers(*rows: dict[str, Any]) -> pl.DataFrame:
    types = {
        "sop_instance_uid": pl.String,
        "subject_id": pl.String,
        "sex": pl.String,
        "age_years": pl.Float64,
    }
    plain = {"subject_id": "a", "sex": "F", "age_years": 60.0, "study_date": DAY}
    numbered = [plain | {"sop_instance_uid": str(n)} | row for n, row in enumerate(rows)]
    return pl.DataFrame(numbered, schema=types | {"study_date": pl.Date})


def people(**columns: Any) -> pl.DataFrame:
    types = {"subject_id": pl.String, "sex": pl.String, "age_years": pl.Float64, "birth_date": pl.Date}
    return pl.DataFrame([dict.fromkeys(types) | {"subject_id": "a"} | columns], schema=types)


def filled(images: pl.DataFrame, table: pl.DataFrame) -> list[tuple[Any, ...]]:
    return read_table_facts(images, table).select("sex", "age_years").rows()


def test_what_an_image_has_is_never_overruled() -> None:
    facts = read_table_facts(headers({}), people(sex="M", age_years=70.0))
    assert facts.row(0) == ("0", "M", 70.0, None, None)


def test_a_date_of_birth_fills_in_the_age_at_every_image() -> None:
    images = headers({"age_years": None}, {"age_years": None, "study_date": LATER})
    assert filled(images, people(birth_date=date(1955, 3, 1))) == [
        (None, pytest.approx(60.0, abs=0.01)),
        (None, pytest.approx(64.0, abs=0.01)),
    ]


def test_an_age_fills_in_only_where_one_day_is_all_there_is() -> None:
    missing = {"age_years": None, "sex": None}
    assert filled(headers(missing, missing), people(age_years=61.0, sex="M")) == [("M", 61.0)] * 2
    assert filled(headers(missing, {"study_date": LATER}), people(age_years=61.0)) == [(None, None)] * 2


def test_an_age_that_nobody_has_fills_in_nothing() -> None:
    images = headers({"age_years": None})
    assert filled(images, people(birth_date=date(2016, 1, 1))) == [(None, None)]
    assert filled(images, people(birth_date=date(1890, 1, 1))) == [(None, None)]


def test_a_table_that_says_nothing_of_a_subject_has_no_facts() -> None:
    assert read_table_facts(headers({}), people()).is_empty()
    assert read_table_facts(headers({"subject_id": "b"}), people(sex="F")).is_empty()


def scored(*rows: dict[str, Any]) -> pl.DataFrame:
    plain = {
        "subject_id": "a",
        "kind": "vfa",
        "sex": "F",
        "age_years": 60.0,
        "study_date": DAY,
        "study_time": None,
        "table_sex": None,
        "table_age_years": None,
        "sex_from_table": False,
        "age_from_table": False,
    }
    types = {name: pl.String for name in ("sop_instance_uid", "subject_id", "sex", "study_time", "table_sex")}
    numbered = [{"sop_instance_uid": str(n)} | plain | row for n, row in enumerate(rows)]
    return pl.DataFrame(
        numbered, schema_overrides=types | {"table_age_years": pl.Float64, "study_date": pl.Date}
    )


@pytest.mark.parametrize(
    ("rows", "flags"),
    [
        (({},), ""),
        (({"table_sex": "M"},), "sex_conflict"),
        (({"table_sex": "F"},), ""),
        (({"table_sex": "M", "sex": None},), ""),
        (({"table_sex": "M", "sex": "M", "sex_from_table": True},), "sex_from_table"),
        (({"table_age_years": 61.0},), ""),
        (({"table_age_years": 61.01},), "age_conflict"),
        (({"table_age_years": 60.0, "age_from_table": True},), "age_from_table"),
        (({}, {"sex": "M"}), "sex_differs"),
        (({}, {"sex": None}), ""),
        (({}, {"study_date": LATER, "age_years": 64.9}), ""),
        (({}, {"study_date": LATER, "age_years": 65.1}), "birth_date_differs"),
        (({}, {"study_date": LATER, "age_years": 70.0, "age_from_table": True}), "age_from_table"),
        (({"table_sex": "M", "table_age_years": 40.0},), "sex_conflict age_conflict"),
    ],
)
def test_each_conflict_has_its_flag(rows: tuple[dict[str, Any], ...], flags: str) -> None:
    found = add_subject_flags(scored(*rows), "first")
    assert found["subject_flags"].to_list() == [flags] * len(rows)
    assert found.height == len(rows)


@pytest.mark.parametrize(("rule", "flags"), [("first", ""), ("last", "age_conflict"), ("mean", "")])
def test_ages_are_compared_at_the_index_image(rule: Any, flags: str) -> None:
    rows = ({"table_age_years": 60.0}, {"table_age_years": 60.0, "study_date": LATER, "age_years": 64.0})
    assert set(add_subject_flags(scored(*rows), rule)["subject_flags"]) == {flags}


def test_flags_are_the_subjects_own_and_nobody_has_none() -> None:
    rows = scored({"table_sex": "M"}, {}, {"subject_id": "b"}, {"subject_id": None, "table_sex": "M"})
    found = add_subject_flags(rows, "first")
    assert found["subject_flags"].to_list() == ["sex_conflict", "sex_conflict", "", ""]
    assert count_flags(found.unique("subject_id"))["sex_conflict"] == 1
    assert list(count_flags(found)) == list(FLAGS)

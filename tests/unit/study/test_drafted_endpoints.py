"""study new: endpoints are found by names and values; what codes and days mean is asked for, never assumed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyreadstat
import pytest

from spinescore.errors import TableError
from spinescore.new_study import NewStudyRequest, write_new_study
from spinescore.study import TableLayout
from tests.unit.study.made_up_tables import DIGITS, N, accepted, cycle, days, draft, sections, simple

# Tables of statistics programs


def hospital(event_missing: float | None = None) -> pl.DataFrame:
    rng = np.random.default_rng(1)
    died = pl.Series(cycle(1.0, 1.0, 1.0, 2.0))
    return pl.DataFrame(
        {
            "chartno": DIGITS,
            "sex": cycle(1.0, 2.0),
            "age": rng.normal(65, 8, N).round(1),
            "bmi": rng.normal(23, 3, N).round(1),
            "smoking": cycle(0.0, 1.0, 2.0, 0.0),
            "prev_vfx": cycle(0.0, 0.0, 1.0),
            "osteoporosis": cycle(0.0, 1.0, event_missing),
            "hip_fx": cycle(0.0, 0.0, 0.0, 0.0, 1.0),
            "hip_fx_months": rng.uniform(1, 90, N).round(1),
            "died": died,
            "death_years": rng.uniform(0.1, 8, N).round(2),
        }
    )


LABELS = {
    "sex": {1: "Male", 2: "Female"},
    "smoking": {0: "never", 1: "former", 2: "current"},
    "died": {1: "Alive", 2: "Dead"},
}


@pytest.mark.parametrize("suffix", ["dta", "sav"])
@pytest.mark.parametrize("value_labels", [False, True])
def test_a_table_of_stata_or_spss_is_drafted_ready_to_read(
    tmp_path: Path, suffix: str, value_labels: bool
) -> None:
    file = tmp_path / f"cohort.{suffix}"
    if suffix == "sav":
        pyreadstat.write_sav(
            hospital(9.0), file, variable_value_labels=LABELS, missing_ranges={"osteoporosis": [9]}
        )
    else:
        pyreadstat.write_dta(hospital(), file, variable_value_labels=LABELS)
    layout = TableLayout(value_labels=True) if value_labels else TableLayout()
    result = write_new_study(NewStudyRequest(file, tmp_path / "study.toml", layout))
    text = (tmp_path / "study.toml").read_text(encoding="utf-8")
    content = sections(text)
    assert content["subjects"]["id"] == "chartno"
    assert content["subjects"].get("value_labels", False) is value_labels
    endpoints = content["endpoints"]
    assert endpoints["hip fracture"] == {
        "type": "survival",
        "event": "hip_fx",
        "time": "hip_fx_months",
        "unit": "months",
        "time_origin": "image",
        "competing": "death",
    }
    codes = {"Dead": 1, "Alive": 0} if value_labels else {"2": 1, "1": 0}
    assert endpoints["death"]["codes"] == codes
    assert endpoints["prev vfx"] == {"type": "binary", "column": "prev_vfx"}
    assert endpoints["osteoporosis (outcome)"]["column"] == "osteoporosis"
    assert content["covariates"]["bmi"]["type"] == "continuous"
    assert content["covariates"]["smoking"]["reference"] == ("never" if value_labels else "0")
    assert not {"sex", "age", "died", "hip_fx"} & set(content["covariates"])
    assert content["models"]["Model 2"] == ["age", "sex", "bmi", "smoking", "prev_vfx"]
    assert content["models"]["Model 3"][-1] == "osteoporosis"
    assert not value_labels or "sex_codes" not in content["subjects"]
    assert value_labels or content["subjects"]["sex_codes"] == {"1": "M", "2": "F"}
    assert {about for _, about in result.decisions} == {
        "images.sources",
        "model.bundle",
        "cohorts: the kind of image",
    }
    study = accepted(tmp_path)
    assert list(study.survival_endpoints()) == ["hip fracture", "death"]


def test_every_guess_and_decision_stands_on_the_line_it_names(tmp_path: Path) -> None:
    pyreadstat.write_dta(hospital(), tmp_path / "f.dta", variable_value_labels=LABELS)
    drafted = write_new_study(NewStudyRequest(tmp_path / "f.dta", tmp_path / "study.toml"))
    lines = drafted.text.splitlines()
    for line, about in drafted.guesses:
        assert about.rpartition(".")[2].strip('"') in lines[line - 1]
        assert "GUESS" in lines[line - 1] + lines[line - 2]
    for line, about in drafted.decisions:
        assert lines[line - 1].startswith("# DECIDE: ")
        assert f"line {line}  {about}" in drafted.text
    assert drafted.text.count("GUESS: ") == len(drafted.guesses)


# Event codes are never settled silently


def test_codes_that_only_the_user_knows_are_asked_for_and_one_line_settles_them(tmp_path: Path) -> None:
    table = simple(status=cycle(1, 2, 1), days=list(range(100, 100 + N)))
    text = draft(tmp_path, table)
    assert "endpoints" not in sections(text)
    assert "DECIDE: what do the codes of `status` mean? 1 (40), 2 (20)." in text
    block = re.search(r"# \[endpoints\.event\]\n(?:#.*\n)+", text)
    assert block
    chosen = [
        line.removeprefix("# ")
        for line in block.group().splitlines()
        if not line.startswith("# GUESS") and 'codes = { "1" = 1' not in line
    ]
    assert len([line for line in chosen if line.startswith("codes")]) == 1
    (tmp_path / "study.toml").write_text(
        text.replace(block.group(), "\n".join(chosen) + "\n"), encoding="utf-8"
    )
    endpoint = accepted(tmp_path).endpoints["event"]
    assert (endpoint.codes, endpoint.unit) == ({"2": 1, "1": 0}, "days")


@pytest.mark.parametrize(
    ("name", "values", "codes"),
    [
        ("death", (0, 1), None),
        ("death", ("yes", "no"), {"yes": 1, "no": 0}),
        ("death", ("True", "False"), None),
        ("alive", (1, 0), {"0": 1, "1": 0}),
        ("사망", ("예", "아니오"), {"예": 1, "아니오": 0}),
        (
            "vital_status",
            ("Dead", "Alive", "Lost to follow-up"),
            {"Dead": 1, "Alive": 0, "Lost to follow-up": 0},
        ),
    ],
)
def test_words_say_what_happened(
    tmp_path: Path, name: str, values: tuple[Any, ...], codes: dict[str, int] | None
) -> None:
    text = draft(tmp_path, simple(**{name: cycle(*values)}, fu_years=[0.5 + n / 10 for n in range(N)]))
    death = sections(text)["endpoints"]["death"]
    assert death["event"] == name
    assert death.get("codes") == codes
    assert codes is None or re.search(r"GUESS: by.*\ncodes = |codes = .*GUESS: by", text)
    accepted(tmp_path)


def test_one_or_empty_is_asked_about(tmp_path: Path) -> None:
    text = draft(tmp_path, simple(death=cycle(1, None), fu_years=[1 + n / 10 for n in range(N)]))
    assert "endpoints" not in sections(text)
    assert "does empty in `death` mean that it did not happen?" in text


@pytest.mark.parametrize("values", [(1, 2), (0, 1, 2), ("fracture", "death", "censored"), (0, 9, 1)])
def test_codes_of_several_meanings_stand_commented_out(tmp_path: Path, values: tuple[Any, ...]) -> None:
    text = draft(tmp_path, simple(event=cycle(*values), time_years=[0.5 + n / 10 for n in range(N)]))
    assert "endpoints" not in sections(text)
    assert text.count("# codes = {") == len(values)


def test_a_time_beside_several_events_is_taken_for_death_alone(tmp_path: Path) -> None:
    table = simple(fx=cycle(0, 1), died=cycle(0, 0, 1), fu_months=[5 + n for n in range(N)])
    text = draft(tmp_path, table)
    assert list(sections(text)["endpoints"]) == ["death"]
    assert "`fu_months` stands beside other events too: does it end at this one?" in text
    assert "fx" not in sections(text).get("covariates", {})


def test_time_since_something_before_is_no_follow_up(tmp_path: Path) -> None:
    table = simple(
        diabetes=cycle(0, 1),
        diabetes_years=cycle(None, 4.5, None, 7.0),
        smoking=cycle(0, 1),
        smoking_years=cycle(0, 9),
    )
    content = sections(draft(tmp_path, table))
    assert "endpoints" not in content
    assert {"diabetes", "diabetes_years", "smoking"} <= set(content["covariates"])


def test_the_unit_is_read_off_the_name_or_the_range(tmp_path: Path) -> None:
    for name, values, unit in (
        ("death_yrs", [n / 10 for n in range(N)], "years"),
        ("death_time", [n / 10 for n in range(N)], "years"),
        ("death_time", [n + 100 for n in range(N)], "months"),
        ("death_time", [n * 50 for n in range(N)], "days"),
        ("death_d", [n + 1 for n in range(N)], "days"),
    ):
        text = draft(tmp_path, simple(death=cycle(0, 1), **{name: values}), force=True)
        assert sections(text)["endpoints"]["death"]["unit"] == unit


# Days


def test_days_make_endpoints_of_two_forms(tmp_path: Path) -> None:
    dated = [day if number % 4 == 0 else None for number, day in enumerate(days())]
    table = simple(hip_fracture_date=dated, death=cycle(0, 1), last_contact=days(800), dob=days(-20_000))
    content = sections(draft(tmp_path, table))
    assert content["endpoints"]["hip fracture"] == {
        "type": "survival",
        "event_date": "hip_fracture_date",
        "end_date": "last_contact",
        "competing": "death",
    }
    assert content["endpoints"]["death"] == {"type": "survival", "event": "death", "end_date": "last_contact"}
    assert content["subjects"]["birth_date"] == "dob"
    accepted(tmp_path)


def test_an_event_and_its_day_make_one_endpoint_unless_they_contradict(tmp_path: Path) -> None:
    dated = [day if number % 2 else None for number, day in enumerate(days())]
    table = simple(death=cycle(0, 1), death_date=dated, end_fu=days(800))
    content = sections(draft(tmp_path, table))
    assert content["endpoints"]["death"] == {
        "type": "survival",
        "event_date": "death_date",
        "end_date": "end_fu",
    }
    assert "death" not in content["covariates"]
    accepted(tmp_path)
    wrong = table.with_columns(pl.Series("death", cycle(0, 1, 0)))
    text = draft(tmp_path, wrong, force=True)
    assert "endpoints" not in sections(text)
    assert "`death` and `death_date` contradict each other in 30 row(s)" in text


def test_an_event_that_is_not_known_is_not_silently_one_that_did_not_happen(tmp_path: Path) -> None:
    dated = [day if number % 3 == 1 else None for number, day in enumerate(days())]
    table = simple(death=cycle(0, 1, None), death_date=dated, end_fu=days(800))
    text = draft(tmp_path, table)
    assert "endpoints" not in sections(text)
    assert "20 row(s) with `death` empty would count as without the event" in text


def test_codes_are_not_needed_where_days_are_given(tmp_path: Path) -> None:
    dated = [day if number % 2 else None for number, day in enumerate(days())]
    table = simple(death=cycle(1, 2), death_date=dated, end_fu=days(800))
    assert sections(draft(tmp_path, table))["endpoints"]["death"]["event_date"] == "death_date"
    mixed = table.with_columns(pl.Series("death", cycle(1, 2, 2, 2)))
    assert "contradict each other in 15 row(s)" in draft(tmp_path, mixed, force=True)


def test_days_without_an_end_ask_for_it(tmp_path: Path) -> None:
    text = draft(tmp_path, simple(death_date=[day if n % 2 else None for n, day in enumerate(days())]))
    assert "DECIDE: which column holds the last day each subject is known of" in text
    assert "endpoints" not in sections(text)


def test_ambiguous_days_are_asked_for_and_one_line_settles_them(tmp_path: Path) -> None:
    ambiguous = [f"{1 + n % 12:02d}/{1 + n % 11:02d}/2019" for n in range(N)]
    table = simple(death=cycle(0, 1), last_visit_date=ambiguous)
    text = draft(tmp_path, table)
    assert "dates" not in sections(text)["subjects"]
    assert (
        "days in `last_visit_date` read as day-month-year (dmy) or month-day-year (mdy). Which is it?" in text
    )
    with pytest.raises(TableError, match="reads as day-month-year and as month-day-year"):
        accepted(tmp_path)
    (tmp_path / "study.toml").write_text(text.replace("# dates =", "dates ="), encoding="utf-8")
    accepted(tmp_path)


def test_the_tables_other_days_settle_ambiguous_ones_marked_as_a_guess(tmp_path: Path) -> None:
    ambiguous = [f"{1 + n % 12:02d}/{1 + n % 11:02d}/2019" for n in range(N)]
    clear = [f"{13 + n % 10}/0{1 + n % 9}/1950" for n in range(N)]
    text = draft(tmp_path, simple(birth_date=clear, death=cycle(0, 1), exit_date=ambiguous))
    assert sections(text)["subjects"]["dates"] == {"exit_date": "dmy"}
    assert "GUESS: day-month-year, as in the table's other days" in text
    accepted(tmp_path)


def test_durations_count_from_the_tables_own_day_of_entry_if_there_is_one(tmp_path: Path) -> None:
    table = simple(death=cycle(0, 1), death_years=[1 + n / 10 for n in range(N)], enrolment_date=days())
    text = draft(tmp_path, table)
    assert sections(text)["endpoints"]["death"]["time_origin"] == "enrolment_date"
    assert '"image" if durations count from the day of the image' in text
    accepted(tmp_path)

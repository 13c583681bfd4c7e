"""A follow-up table is read as declared or refused; nothing is guessed."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from spinescore.core.follow_up_table import read_subjects
from spinescore.errors import TableError
from spinescore.shell.tabular import read_table
from spinescore.study import Study, SubjectsSection


def study(**endpoint: Any) -> Study:
    declared = {"type": "survival", "event": "fx", "time": "years", "time_origin": "image"} | endpoint
    return Study.model_validate(
        {
            "study": {"title": "t", "database": "d"},
            "subjects": {"file": "f.csv", "id": "pid"},
            "endpoints": {"fracture": declared},
            "covariates": {"bmi": {"column": "bmi"}},
        }
    )


def table(**columns: list[Any]) -> pl.DataFrame:
    base: dict[str, list[Any]] = {
        "pid": ["007", "8"],
        "fx": ["0", "1"],
        "years": ["2", "3"],
        "bmi": ["22", ""],
    }
    return pl.DataFrame(base | columns)


def read(rows: pl.DataFrame, settings: Study | None = None) -> tuple[pl.DataFrame, pl.DataFrame]:
    return read_subjects(rows, settings or study(), lambda patient_id, _: patient_id)[:2]


def test_ids_keep_leading_zeros_and_empty_cells_are_missing() -> None:
    subjects, outcomes = read(table())
    assert subjects["subject_id"].to_list() == ["007", "8"]
    assert subjects["bmi"].to_list() == [22.0, None]
    assert outcomes["event"].to_list() == [0, 1]


def test_event_codes_one_and_two_are_refused_with_the_way_out() -> None:
    with pytest.raises(TableError, match=r"'2' .1 rows.") as caught:
        read(table(fx=["1", "2"]))
    assert 'codes = {"2" = 1, "1" = 0}' in str(caught.value)


def test_event_codes_are_mapped_by_name() -> None:
    _, outcomes = read(table(fx=["1", "2"]), study(codes={"2": 1, "1": 0}))
    assert outcomes["event"].to_list() == [0, 1]


def test_units_become_years() -> None:
    _, outcomes = read(table(years=["12", "24"]), study(unit="months"))
    assert outcomes["time_years"].to_list() == [1.0, 2.0]


@pytest.mark.parametrize(
    ("columns", "complaint"),
    [
        ({"pid": ["7", "7"]}, "more than once"),
        ({"pid": ["7", " "]}, "empty in 1 row"),
        ({"years": ["2", "-1"]}, "negative in 1 row.*row 2"),
        ({"bmi": ["thin", "1"]}, "not a number in 1 row.*row 1"),
    ],
)
def test_what_cannot_be_meant_is_refused_and_rows_are_named(
    columns: dict[str, list[str]], complaint: str
) -> None:
    with pytest.raises(TableError, match=complaint):
        read(table(**columns))


def test_a_missing_id_column_is_named_with_the_nearest() -> None:
    with pytest.raises(TableError, match=r"no column `pid` \(subjects.id; did you mean `pidd`"):
        read(table().rename({"pid": "pidd"}))


def test_no_value_of_a_cell_reaches_the_message_of_an_unreadable_number() -> None:
    with pytest.raises(TableError) as caught:
        read(table(bmi=["Mrs Secret", "1"]))
    assert "Secret" not in str(caught.value)


def test_a_csv_is_read_as_text_and_a_byte_order_mark_is_no_column_name(tmp_path: Path) -> None:
    file = tmp_path / "f.csv"
    file.write_bytes(b"\xef\xbb\xbfpid,fx\n007,1\n")
    assert read_table(file).to_dicts() == [{"pid": "007", "fx": "1"}]


def test_parquet_keeps_its_types_and_an_unknown_suffix_is_named(tmp_path: Path) -> None:
    table().write_parquet(tmp_path / "f.parquet")
    assert read_table(tmp_path / "f.parquet").equals(table())
    (tmp_path / "f.docx").write_bytes(b"letter")
    with pytest.raises(TableError, match=r"ends in \.docx"):
        read_table(tmp_path / "f.docx")


def test_a_table_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="No table at"):
        read_table(tmp_path / "none.csv")


def test_every_wrong_column_is_named_at_once() -> None:
    with pytest.raises(TableError) as caught:
        read(table(pid=["7", "7"], fx=["1", "2"], years=["2", "-1"], bmi=["thin", "1"]))
    text = str(caught.value)
    assert text.startswith("f.csv has 4 problems:\n")
    for complaint in ("more than once", "'2' (1 rows)", "negative in 1 row(s): row 2", "not a number"):
        assert complaint in text


def test_offending_rows_are_named_by_id_and_only_the_first() -> None:
    rows = pl.DataFrame(
        {"pid": [f"p{n}" for n in range(9)], "fx": ["0"] * 9, "years": ["-1"] * 9, "bmi": [""] * 9}
    )
    with pytest.raises(TableError, match=r"in 9 row\(s\): row 1, .*row 5 \.\.\.\."):
        read(rows)


@pytest.mark.parametrize(
    ("ids", "texts"), [([7.0, 12.0], ["7", "12"]), ([7, 12], ["7", "12"]), (["7.0", "012"], ["7.0", "012"])]
)
def test_ids_stored_as_numbers_are_whole_and_text_stays_text(ids: list[Any], texts: list[str]) -> None:
    subjects, _ = read(table(pid=ids))
    assert subjects["subject_id"].to_list() == texts


def test_leading_zeros_that_a_spreadsheet_dropped_are_put_back_where_declared() -> None:
    settings = study().model_copy(update={"subjects": SubjectsSection(file=Path("f"), id="pid", id_width=4)})
    subjects, _ = read(table(pid=[7.0, 12345.0]), settings)
    assert subjects["subject_id"].to_list() == ["0007", "12345"]
    subjects, _ = read(table(pid=["7", "A7"]), settings)
    assert subjects["subject_id"].to_list() == ["0007", "A7"]


def test_numeric_ids_of_different_lengths_draw_a_warning() -> None:
    same = read_subjects(table(pid=[70.0, 80.0]), study(), lambda patient_id, _: patient_id)
    different = read_subjects(table(pid=[7.0, 80.0]), study(), lambda patient_id, _: patient_id)
    assert same.warnings == ()
    assert "id_width" in different.warnings[0]


@pytest.mark.parametrize(("ids", "complaint"), [([1e15, 7.0], "too long"), ([7.5, 7.0], "with decimals")])
def test_ids_that_a_number_cannot_hold_are_refused(ids: list[float], complaint: str) -> None:
    with pytest.raises(TableError, match=complaint):
        read(table(pid=ids))


def test_codes_and_levels_stored_as_numbers_read_as_in_a_text() -> None:
    settings = study(codes={"2": 1, "1": 0})
    _, outcomes = read(table(fx=[1.0, 2.0]), settings)
    assert outcomes["event"].to_list() == [0, 1]
    levels = Study.model_validate(
        settings.model_dump(exclude_none=True)
        | {"covariates": {"bmi": {"column": "bmi", "type": "categorical"}}}
    )
    subjects, _ = read(table(fx=[1.0, 2.0], bmi=[0.0, None]), levels)
    assert subjects["bmi"].to_list() == ["0", None]


def test_na_is_missing_everywhere_but_in_ids() -> None:
    rows = table(pid=["NA", "8", "9"], fx=["NA", "1", "0"], years=["NA", "3", "1"], bmi=[".", "NaN", "22"])
    subjects, outcomes = read(rows)
    assert subjects["subject_id"].to_list() == ["NA", "8", "9"]
    assert subjects["bmi"].to_list() == [None, None, 22.0]
    assert outcomes["event"].to_list() == [None, 1, 0]


def with_subjects(**keys: Any) -> Study:
    return study().model_copy(update={"subjects": SubjectsSection(file=Path("f"), id="pid", **keys)})


@pytest.mark.parametrize(
    ("years", "bmi", "keys", "expected"),
    [
        (["2,5", "3"], ["22,5", ""], {}, [2.5, 3.0]),
        (["1,234", "3"], ["22,5", ""], {}, [1.234, 3.0]),
        (["1.234", "3"], ["22.5", ""], {}, [1.234, 3.0]),
        (["1,234", "3"], ["22", ""], {"decimal": ","}, [1.234, 3.0]),
        (["0,125", "3"], ["22", ""], {}, [0.125, 3.0]),
        (["1e1", "3"], ["22", ""], {}, [10.0, 3.0]),
    ],
)
def test_decimal_commas_are_read_where_they_can_be_nothing_else(
    years: list[str], bmi: list[str], keys: dict[str, Any], expected: list[float]
) -> None:
    _, outcomes = read(table(years=years, bmi=bmi), with_subjects(**keys))
    assert outcomes["time_years"].to_list() == expected


@pytest.mark.parametrize(
    ("years", "keys", "complaint"),
    [
        (["1,234", "3"], {}, r"such as 1,234 may be thousands or decimals\. Add `decimal"),
        (["1,5", "2.5"], {}, "with decimal points and with commas"),
        (["1.234,5", "3"], {}, "is not a number in 1 row"),
        (["1,234.5", "3"], {}, "is not a number in 1 row"),
        (["1.5", "3"], {"decimal": ","}, "is not a number in 1 row"),
        (["1,5", "3"], {"decimal": "."}, "is not a number in 1 row"),
        (["inf", "3"], {}, "is not a number in 1 row"),
    ],
)
def test_thousands_separators_and_mixed_marks_are_never_guessed(
    years: list[str], keys: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(TableError, match=complaint):
        read(table(years=years), with_subjects(**keys))


def test_three_decimals_in_a_table_of_semicolons_may_be_thousands() -> None:
    rows = table(years=["1.234", "3"], bmi=["22", ""])
    with pytest.raises(TableError, match=r"1\.234 may be thousands or decimals"):
        read_subjects(rows, study(), lambda patient_id, _: patient_id, delimiter=";")
    assert read_subjects(rows, study(), lambda patient_id, _: patient_id, delimiter=",").outcomes.height == 2


def test_dates_are_declared_per_column_and_a_column_of_several_endpoints_is_read_once() -> None:
    endpoint = {"type": "survival", "event_date": "d", "end_date": "end"}
    settings = Study.model_validate(
        {
            "study": {"title": "t", "database": "d"},
            "subjects": {"file": "f.csv", "id": "pid", "dates": {"end": "mdy"}},
            "endpoints": {"fracture": endpoint, "hip": endpoint},
        }
    )
    rows = table(d=["25/12/2015", ""], end=["03/04/2016", "05/06/2016"])
    found = read_subjects(rows, settings, lambda patient_id, _: patient_id)
    assert found.outcomes["end_date"].to_list() == [date(2016, 3, 4), date(2016, 5, 6)] * 2
    assert found.outcomes["event"].to_list() == [1, 0] * 2
    assert found.detected == {"dates.d": "day-month-year"}
    with pytest.raises(
        TableError, match=r"f\.csv: endpoints\.fracture\.end_date: .* 03/04/2016, 05/06/2016\."
    ):
        read(rows, settings.model_copy(update={"subjects": SubjectsSection(file=Path("f.csv"), id="pid")}))


def test_dates_declared_for_a_column_that_is_not_there_are_an_error() -> None:
    with pytest.raises(TableError, match=r"`edn` \(subjects.dates"):
        read(table(end=["", ""]), with_subjects(dates={"edn": "mdy"}))


def dated(*, competing: bool = False, **keys: Any) -> Study:
    fracture = {"type": "survival", "event": "fx", "end_date": "end"} | keys
    sections: dict[str, Any] = {"fracture": {key: name for key, name in fracture.items() if name}}
    if competing:
        sections["fracture"]["competing"] = "death"
        sections["death"] = {"type": "survival", "event_date": "died", "end_date": "end"}
    return Study.model_validate(
        {
            "study": {"title": "t", "database": "d"},
            "subjects": {"file": "f.csv", "id": "pid"},
            "endpoints": sections,
        }
    )


ENDS = ["2016-03-01", "2017-03-01"]
CHOSEN: dict[str, Any] = {"event": None, "event_date": "d"}


@pytest.mark.parametrize(
    ("columns", "settings", "complaint"),
    [
        (
            {"fx": ["1", "2"]},
            study(),
            r"holds '1' .*'2' \(1 rows\); .* in 1 row\(s\): row 2\. R codes",
        ),
        ({"fx": ["yes", "no"]}, study(), r'in 2 row\(s\): .*`codes = \{"yes" = 1, "no" = 0\}`'),
        (
            {"fx": ["1", "3"]},
            study(codes={"2": 1, "1": 0}),
            r"`codes` does not map them all.*row 2.*Add them",
        ),
        (
            {"fx": ["1", ""], "years": ["", "3"]},
            study(),
            r"an event without a time in 1 row\(s\): row 1",
        ),
        ({"years": ["2", "130"]}, study(), r'over 120 years, read in years, in 1 row.*`unit = "days"`'),
        ({"years": ["1500", "3000"]}, study(unit="months"), r"over 120 years, read in months, in 2 row"),
        ({"entry": ["-1", "0"]}, study(entry="entry"), r"entry is negative in 1 row\(s\): row 1"),
        ({"entry": ["2", "0"]}, study(entry="entry"), r"entry is not before the end of follow-up in 1 row"),
        ({"bmi": ["", "NA"]}, study(), r"covariates\.bmi: column `bmi` holds no value at all"),
        ({"fx": ["", "NA"]}, study(), r"endpoints\.fracture: column `fx` holds no value at all"),
        ({"end": ["2016-03-01", ""]}, dated(), r"an event without a date in 1 row\(s\): row 2"),
        (
            {"end": ENDS, "d": ["2016-03-02", ""]},
            dated(**CHOSEN),
            r"the event is dated after the end of follow-up in 1 row\(s\): row 1",
        ),
        (
            {"end": ENDS, "in": ["2016-03-01", ""]},
            dated(entry_date="in"),
            r"entry_date is not before the end of follow-up in 1 row\(s\): row 1",
        ),
    ],
)
def test_follow_up_that_contradicts_itself_is_refused_with_count_and_rows(
    columns: dict[str, list[str]], settings: Study, complaint: str
) -> None:
    with pytest.raises(TableError, match=complaint):
        read(table(**columns), settings)


def test_a_time_without_an_event_is_missing_follow_up_and_no_error() -> None:
    _, outcomes = read(table(fx=["", "1"]))
    assert outcomes.select("event", "time_years").rows() == [(None, 2.0), (1, 3.0)]


@pytest.mark.parametrize(
    ("columns", "settings", "warning"),
    [
        (
            {"years": ["61", "3"]},
            study(),
            r"over 60 years \(is it in years, as declared\?\) in 1 row\(s\): row 1",
        ),
        ({"fx": ["0", "0"]}, study(), "nobody has the event"),
        ({"fx": ["1", "1"]}, study(), "everybody whose outcome is known has the event"),
        (
            {"end": ["2031-01-01", "2017-03-01"]},
            dated(),
            r"column `end` lies in the future in 1 row\(s\): row 1",
        ),
        (
            {"end": ["2018-01-01", "2018-01-01"], "died": ["", "2017-01-01"]},
            dated(competing=True),
            r"comes after `death`, which is said to compete with it, in 1 row\(s\): row 2",
        ),
    ],
)
def test_what_may_be_wrong_is_accepted_with_a_warning(
    columns: dict[str, list[str]], settings: Study, warning: str
) -> None:
    found = read_subjects(table(**columns), settings, lambda value, _: value, today=date(2026, 1, 1))
    assert any(re.search(warning, text) for text in found.warnings), found.warnings


def test_durations_from_a_date_need_that_date() -> None:
    settings = study(time_origin="enrolled")
    rows = table(enrolled=["2014-01-01", ""])
    found = read_subjects(rows, settings, lambda value, _: value)
    assert found.outcomes.select("time_years", "origin_date").rows() == [
        (2.0, date(2014, 1, 1)),
        (None, None),
    ]
    assert "column `enrolled` is empty, so the follow-up is missing, in 1 row(s): row 2" in found.warnings[0]
    with pytest.raises(TableError, match=r"`enrolled` \(endpoints\.fracture\.time_origin"):
        read(table(), settings)


@pytest.mark.parametrize(
    ("keys", "sex", "expected"),
    [
        ({}, ["F", "male"], ["F", "M"]),
        ({}, ["", "NA"], [None, None]),
        ({"sex_codes": {"1": "M", "2": "F"}}, ["2", "1"], ["F", "M"]),
    ],
)
def test_sex_is_read_as_written_or_as_mapped(
    keys: dict[str, Any], sex: list[str], expected: list[str | None]
) -> None:
    found = read_subjects(table(sex=sex), with_subjects(sex="sex", **keys), lambda value, _: value)
    assert found.people["sex"].to_list() == expected


def test_codes_of_sex_nobody_mapped_and_ages_nobody_has_are_refused() -> None:
    settings = with_subjects(sex="sex", age="age")
    with pytest.raises(TableError) as caught:
        read(table(sex=["1", "2"], age=["60", "160"]), settings)
    assert "subjects.sex: column `sex` holds '1' (1 rows), '2' (1 rows) in 2 row(s)" in str(caught.value)
    assert "subjects.age: column `age` is outside 0-120 years in 1 row(s): row 2" in str(caught.value)


def test_dates_of_birth_are_read_and_are_no_covariate() -> None:
    found = read_subjects(
        table(born=["1950-02-28", ""]), with_subjects(birth_date="born"), lambda value, _: value
    )
    assert found.people["birth_date"].to_list() == [date(1950, 2, 28), None]
    assert found.subjects.columns == ["subject_id", "bmi"]

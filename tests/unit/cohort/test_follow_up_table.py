"""A follow-up table is read as declared or refused; nothing is guessed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from spinescore.core.follow_up_table import read_subjects
from spinescore.errors import StudyError, TableError
from spinescore.shell.tabular import read_table
from spinescore.study import Study, read_study


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
    return read_subjects(rows, settings or study(), lambda patient_id, _: patient_id)


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
    (tmp_path / "f.sav").touch()
    with pytest.raises(TableError, match=r"ends in \.sav"):
        read_table(tmp_path / "f.sav")


def test_a_table_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="No table at"):
        read_table(tmp_path / "none.csv")


MISSPELT = """
[study]
title = "t"
database = "d.duckdb"
[imagse]
sources = []
[subjects]
file = "f.csv"
id = "pid"
[covariates.bmi]
colum = "bmi"
[models]
"Model 1" = ["age", "bmj"]
"""


def test_a_study_file_lists_every_misspelt_key_with_the_nearest_name(tmp_path: Path) -> None:
    file = tmp_path / "study.toml"
    file.write_text(MISSPELT, encoding="utf-8")
    with pytest.raises(StudyError) as caught:
        read_study(file)
    text = str(caught.value)
    assert "imagse: no such key; did you mean `images`?" in text
    assert "covariates.bmi.colum: no such key; did you mean `column`?" in text
    assert "covariates.bmi.column: required" in text


def test_a_name_that_points_to_nothing_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "study.toml"
    file.write_text(MISSPELT.replace("imagse", "images").replace("colum =", "column ="), encoding="utf-8")
    with pytest.raises(StudyError, match=r"models.Model 1 names `bmj`; did you mean `bmi`"):
        read_study(file)


def test_relative_paths_resolve_from_the_study_file(tmp_path: Path) -> None:
    file = tmp_path / "study.toml"
    file.write_text('[study]\ntitle = "t"\ndatabase = "d.duckdb"\n', encoding="utf-8")
    assert read_study(file).study.database == tmp_path / "d.duckdb"


def test_durations_without_a_time_origin_are_refused() -> None:
    with pytest.raises(ValueError, match="time_origin"):
        study(time_origin=None)

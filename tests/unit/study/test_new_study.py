"""study new: ids are found by the images, cohorts by the database; the file is valid whatever the table."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from spinescore.cli import app
from spinescore.core.study_draft.drafting import draft_study
from spinescore.core.study_draft.people import SAMPLED_IDS
from spinescore.core.study_draft.situation import Situation
from spinescore.errors import DatabaseError, StudyError, TableError
from spinescore.new_study import NewStudyRequest, write_new_study
from spinescore.shell.cohorts import IMPORTED, imported_key
from spinescore.shell.identity import pseudonymiser
from spinescore.shell.warehouse import open_warehouse
from spinescore.study import TableLayout
from spinescore.study.reading import find_problems
from tests.unit.study.made_up_tables import (
    DIGITS,
    FIRST_DAY,
    IDS,
    N,
    accepted,
    cycle,
    days,
    draft,
    sections,
    simple,
)

# Who the rows are


def database(file: Path, ids: list[str], **more: Any) -> Path:
    """Make a database of images of these patients, under pseudonyms."""
    with open_warehouse(file, create=True) as warehouse:
        identify = pseudonymiser(warehouse)
        rows = {
            "sop_instance_uid": [f"2.25.{number}" for number in range(len(ids))],
            "subject_id": [identify(i, None) for i in ids],
            "kind": "radiograph",
            "sex": [("F", "M")[number % 2] for number in range(len(ids))],
            "age_years": [60.0 + number % 20 for number in range(len(ids))],
            "study_date": FIRST_DAY,
            "path_bytes": [str(number).encode() for number in range(len(ids))],
            "synthetic": False,
            "run_id": 1,
        }
        warehouse.append("images", pl.DataFrame(rows | more))
    return file


def test_ids_are_found_by_the_images_whatever_their_column_is_called(tmp_path: Path) -> None:
    base = database(tmp_path / "c.duckdb", DIGITS)
    table = pl.DataFrame(
        {
            "patient_id": [5000 + n for n in range(N)],
            "nr": [int(i) for i in DIGITS],
            "sex": cycle(1, 2),
            "age": cycle(*range(60, 80)),
        }
    )
    text = draft(tmp_path, table, database=base)
    subjects = sections(text)["subjects"]
    assert (subjects["id"], subjects["id_width"]) == ("nr", 8)
    assert "60 of 60 ids tried are subjects of the images" in text
    assert subjects["sex_codes"] == {"1": "F", "2": "M"}
    assert "by the images of 60 linked subjects" in text
    assert subjects["age"] == "age"
    assert "it agrees with the images' ages" in text


def test_an_age_that_is_not_that_of_the_images_is_left_out(tmp_path: Path) -> None:
    base = database(tmp_path / "c.duckdb", IDS)
    table = simple(age=[20 + n for n in range(N)])
    text = draft(tmp_path, table, database=base)
    assert "age" not in sections(text)["subjects"]
    assert "is not the age at imaging" in text


def test_ids_that_match_nobody_are_asked_about(tmp_path: Path) -> None:
    text = draft(tmp_path, simple(), database=database(tmp_path / "c.duckdb", DIGITS))
    assert sections(text)["subjects"]["id"] == "pid"
    assert "DECIDE: 0 of 60 ids are those of images." in text
    assert "[linkage]" in text


def test_repeated_and_missing_ids_are_asked_about(tmp_path: Path) -> None:
    table = pl.DataFrame({"pid": [*IDS[:50], *IDS[:9], None], "bmi": [20 + n / 7 for n in range(N)]})
    text = draft(tmp_path, table, database=database(tmp_path / "c.duckdb", IDS))
    assert "9 rows repeat an id" in text
    assert "1 rows have no id" in text


def test_the_column_of_ids_may_be_named(tmp_path: Path) -> None:
    text = draft(tmp_path, simple(other=DIGITS), id_column="other")
    assert sections(text)["subjects"]["id"] == "other"
    with pytest.raises(TableError, match=r"no column `othr` \(--id; did you mean `other`"):
        draft(tmp_path, simple(other=DIGITS), id_column="othr", force=True)


def test_only_a_sample_of_ids_is_tried_in_a_large_table() -> None:
    asked: list[int] = []

    def lookup(ids: pl.Series) -> pl.DataFrame:
        asked.append(len(ids))
        known = pl.DataFrame({"known": [True] * len(ids)})
        return known.with_columns(sex=pl.lit(None, pl.String), age_years=pl.lit(None, pl.Float64))

    table = pl.DataFrame({"pid": [f"P{n}" for n in range(50_000)], "no": list(range(50_000))})
    draft_study(table, Situation("f.csv", "c.duckdb"), labels={}, lookup=lookup)
    assert asked
    assert max(asked) == SAMPLED_IDS


# Images, cohorts, models


def test_cohorts_follow_the_kinds_and_ages_in_the_database(tmp_path: Path) -> None:
    kinds = ["radiograph", "radiograph", "vfa"] * (N // 3)
    text = draft(
        tmp_path, simple(), database=database(tmp_path / "c.duckdb", IDS, kind=kinds, synthetic=True)
    )
    content = sections(text)
    assert content["correction"]["reference"] == {
        "radiograph": "Radiographs reference",
        "vfa": "VFA reference",
    }
    assert [c.get("role") for c in content["cohorts"].values()] == ["reference", None, "reference", None]
    assert content["cohorts"]["VFA"]["where"] == "kind = 'vfa' and split = 'test'"
    assert "In the database: 40 radiographs of 40 subjects, aged 60 to 79 years." in text
    assert content["study"]["synthetic"] is True
    assert content["model"]["bundle"] == "demo"
    assert "sources" not in content["images"]


def test_imported_ages_take_the_place_of_images(tmp_path: Path) -> None:
    base, key = tmp_path / "c.duckdb", imported_key("site A")
    database(base, IDS, path_bytes=None)
    with open_warehouse(base) as warehouse:
        scores = {
            "model_id": key.model_id,
            "preprocessing_id": IMPORTED,
            "spine_age": 60.0,
            "spine_age_rounded": 60,
        }
        uids = [f"2.25.{number}" for number in range(N)]
        warehouse.append(
            "scores", pl.DataFrame({"sop_instance_uid": uids, "kind": "radiograph", "run_id": 1} | scores)
        )
        model = {
            "model_id": key.model_id,
            "name": "site A",
            "version": IMPORTED,
            "manifest": "{}",
            "run_id": 1,
        }
        warehouse.append("models", pl.DataFrame([model]))
    for imported in (None, "site A"):
        content = sections(draft(tmp_path, simple(), database=base, imported=imported, force=True))
        assert content["model"] == {"imported": "site A"}
        assert "images" not in content
    with pytest.raises(StudyError, match=r"Nothing is imported as `site B`.*did you mean `site A`"):
        draft(tmp_path, simple(), database=base, imported="site B", force=True)


def test_sources_are_written_from_the_study_files_folder(tmp_path: Path) -> None:
    (tmp_path / "studies").mkdir()
    simple().write_csv(tmp_path / "f.csv")
    output = tmp_path / "studies" / "s.toml"
    request = NewStudyRequest(
        tmp_path / "f.csv",
        output,
        TableLayout(delimiter=","),
        tmp_path / "none.duckdb",
        [tmp_path / "dicom", Path("/somewhere/else")],
        issuer="H1",
    )
    write_new_study(request)
    content = sections(output.read_text(encoding="utf-8"))
    assert content["study"]["database"] == "../none.duckdb"
    assert content["images"]["sources"] == ["../dicom", "/somewhere/else"]
    assert content["subjects"] == {"file": "../f.csv", "delimiter": ",", "id": "pid", "issuer": "H1"}
    assert not (tmp_path / "none.duckdb").exists()


# Comments


def test_neither_ids_nor_names_nor_rare_texts_are_repeated(tmp_path: Path) -> None:
    table = simple(
        patient_name=cycle("Kim Minsu", "Lee Jiwoo"),
        note=["Hong Gildong fell", *["none"] * 30, *["ward 3"] * (N - 31)],
        address=[f"street {n}" for n in range(N)],
        birth_date=days(-20_000),
    )
    text = draft(tmp_path, table)
    assert "patient_name" in text
    for secret in ("Kim", "Lee", "Hong", "street", "P0001", "1955-04-01"):
        assert secret not in text
    assert "none (30), ward 3 (29), 1 more value" in text


def test_a_number_that_may_mean_missing_is_asked_about(tmp_path: Path) -> None:
    table = simple().with_columns(pl.Series("bmi", [999.0 if n % 10 == 0 else 20 + n / 9 for n in range(N)]))
    assert "DECIDE: is 999 in `bmi` a code for missing?" in draft(tmp_path, table)


def test_numbers_that_may_be_thousands_are_asked_about(tmp_path: Path) -> None:
    (tmp_path / "f.csv").write_text("pid;bmd\n" + "".join(f"A{n};1,{200 + n}\n" for n in range(N)))
    drafted = write_new_study(NewStudyRequest(tmp_path / "f.csv", tmp_path / "study.toml"))
    assert "may be thousands or decimals" in drafted.text
    text = drafted.text.replace('# decimal = ","', 'decimal = ","')
    (tmp_path / "study.toml").write_text(text, encoding="utf-8")
    accepted(tmp_path)


def test_korean_and_awkward_columns_are_written_as_they_are(tmp_path: Path) -> None:
    table = pl.DataFrame(
        {
            "등록번호": IDS,
            "성별": cycle("남", "여"),
            "나이": [60 + n % 20 for n in range(N)],
            "체질량지수": [20 + n / 9 for n in range(N)],
            "골절": cycle(0, 1, 0),
            "골절기간(개월)": [3 + n for n in range(N)],
            "사망여부": cycle("아니오", "예", "아니오"),
            "사망일": [day if n % 3 == 1 else None for n, day in enumerate(days())],
            "최종추적일": days(900),
            'a "quoted"\ncolumn': cycle("x", "y"),
            "kind": cycle("p", "q"),
            "BMI": [1 + n / 3 for n in range(N)],
            "bmi": [1 + n / 4 for n in range(N)],
        }
    )
    content = sections(draft(tmp_path, table))
    assert content["subjects"] | {"file": ""} == {
        "file": "",
        "id": "등록번호",
        "sex": "성별",
        "sex_codes": {"남": "M", "여": "F"},
        "age": "나이",
    }
    endpoints = content["endpoints"]
    assert endpoints["fracture"]["time"] == "골절기간(개월)"
    assert endpoints["fracture"]["unit"] == "months"
    assert endpoints["death"] == {"type": "survival", "event_date": "사망일", "end_date": "최종추적일"}
    assert content["covariates"]['a "quoted"\ncolumn']["type"] == "categorical"
    assert content["covariates"]["kind_in_table"]["column"] == "kind"
    assert content["covariates"]["bmi (2)"]["column"] == "bmi"
    accepted(tmp_path)


# Writing


def test_an_existing_file_is_replaced_only_by_force_and_nothing_else_is_left(tmp_path: Path) -> None:
    (tmp_path / "study.toml").write_text("mine")
    with pytest.raises(StudyError, match=r"exists already\..*--force"):
        draft(tmp_path, simple())
    assert (tmp_path / "study.toml").read_text() == "mine"
    assert draft(tmp_path, simple(), force=True).startswith("#:schema ./study.schema.json\n")
    with pytest.raises(StudyError, match="is no folder"):
        write_new_study(NewStudyRequest(tmp_path / "f.csv", tmp_path / "none" / "study.toml"))
    (tmp_path / "broken.csv").write_text("a,b\n1\n")
    with pytest.raises(TableError):
        write_new_study(NewStudyRequest(tmp_path / "broken.csv", tmp_path / "other.toml"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["broken.csv", "f.csv", "study.toml"]


def test_another_pseudonym_key_is_an_error_not_an_empty_match(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = database(tmp_path / "c.duckdb", IDS)
    monkeypatch.setenv("SPINESCORE_HOME", str(tmp_path / "elsewhere"))
    with pytest.raises(DatabaseError, match="pseudonym key"):
        draft(tmp_path, simple(), database=base)


def test_the_command_says_what_is_left_to_do(tmp_path: Path) -> None:
    simple(status=cycle(1, 2), days=list(range(N))).write_csv(tmp_path / "f.csv", separator="|")
    output = tmp_path / "study.toml"
    arguments = ["study", "new", str(tmp_path / "f.csv"), "-o", str(output), "--delimiter", "|"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert "to decide (DECIDE)" in result.output
    line = next(line for line in result.output.splitlines() if "endpoints.event: what its codes mean" in line)
    assert re.match(rf"  {re.escape(str(output))}:\d+: ", line)
    assert f"spinescore study check {output}" in result.output
    told = json.loads(CliRunner().invoke(app, [*arguments, "--force", "--json"]).output)
    assert told["file"] == str(output)
    assert told["guesses"]
    assert CliRunner().invoke(app, [*arguments, "--header-row", "0"]).exit_code == 2
    assert CliRunner().invoke(app, [*arguments, "--imported", "x", "--images", "y"]).exit_code == 2
    wrong = CliRunner().invoke(app, [*arguments[:-1], ";", "--force"])
    assert isinstance(wrong.exception, TableError)
    assert "by pipe it has 4" in str(wrong.exception)
    assert "--delimiter" in wrong.exception.next_step


NAMES = st.text(st.characters(codec="utf-8", exclude_categories=("Cs",)), min_size=1, max_size=12).filter(
    str.strip
)
CELLS = st.lists(
    st.sampled_from(
        ["", "0", "1", "2", "9", "1,5", "2.5", "999", "yes", "no", "F", "03/04/2019", "2019-02-03", "x\ny"]
    )
    | st.text(st.characters(codec="utf-8", exclude_categories=("Cs",)), max_size=5),
    min_size=4,
    max_size=4,
)
TELLING = st.sampled_from(
    [
        "id",
        "sex",
        "age",
        "death",
        "death_date",
        "death_years",
        "fu_days",
        "status",
        "end_date",
        "fx",
        "fx_time",
        "Age",
        "kind",
        "count",
        "len",
        "level",
        "index",
        "row",
        "code",
        "value",
        "literal",
    ]
)


@settings(suppress_health_check=[HealthCheck.too_slow], max_examples=150)
@given(st.dictionaries(NAMES | TELLING, CELLS, min_size=1, max_size=6), st.booleans())
def test_any_table_gives_a_valid_study_file(columns: dict[str, list[str]], labelled: bool) -> None:
    labels = {name: {"0": "no\x7f", "1": "yes\n", "2": "[x]"} for name in columns} if labelled else {}
    drafted = draft_study(pl.DataFrame(columns), Situation("f.csv", "c.duckdb"), labels=labels)
    assert find_problems(tomllib.loads(drafted.text)) == []
    assert "\x7f" not in drafted.text

"""outcomes import: a table as it comes -> subjects and outcomes, what was detected kept; nothing half-written."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pyreadstat
import pytest
from typer.testing import CliRunner

from spinescore.cli import app
from spinescore.errors import TableError
from spinescore.outcomes import import_outcomes
from spinescore.shell.tabular import read_table
from spinescore.shell.warehouse import open_warehouse
from spinescore.study import read_study

EXAMPLE = Path(__file__).parents[3] / "examples" / "omop"
PEOPLE = pl.DataFrame(
    {
        "pid": ["007", "8", "0012"],
        "smoking": [1.0, 2.0, None],
        "bmi": [22.5, 999.0, 31.25],
        "fracture_date": [date(2016, 2, 29), None, None],
        "end_date": [date(2018, 3, 1), date(2018, 3, 1), None],
    }
)
STUDY = """
[study]
title = "t"
database = "cohort.duckdb"
[subjects]
file = "{file}"
id = "pid"
{keys}
[covariates.bmi]
column = "bmi"
[covariates.smoking]
column = "smoking"
type = "categorical"
reference = "{reference}"
[endpoints.fracture]
type = "survival"
event_date = "fracture_date"
end_date = "end_date"
"""


def write_sav(table: pl.DataFrame, file: Path, **labels: Any) -> None:
    pyreadstat.write_sav(table, file, missing_ranges={"bmi": [999]}, **labels)


def write_dta(table: pl.DataFrame, file: Path, **labels: Any) -> None:
    pyreadstat.write_dta(table.with_columns(pl.col("bmi").replace(999.0, None)), file, **labels)


def study_file(folder: Path, file: str, keys: str = "", reference: str = "1") -> Path:
    path = folder / "study.toml"
    path.write_text(STUDY.format(file=file, keys=keys, reference=reference), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("write", "suffix", "program"), [(write_sav, "sav", "SPSS"), (write_dta, "dta", "Stata")]
)
@pytest.mark.parametrize(
    ("keys", "levels"), [("", ["1", "2", None]), ("value_labels = true", ["no", "yes", None])]
)
def test_a_table_of_a_statistics_program_is_imported_by_the_command(
    tmp_path: Path, write: Callable[..., None], suffix: str, program: str, keys: str, levels: list[str | None]
) -> None:
    write(PEOPLE, tmp_path / f"f.{suffix}", variable_value_labels={"smoking": {1: "no", 2: "yes"}})
    study = study_file(tmp_path, f"f.{suffix}", keys)
    result = CliRunner().invoke(app, ["outcomes", "import", str(study)])
    assert result.exit_code == 0, result.output
    assert program in result.output
    with open_warehouse(tmp_path / "cohort.duckdb") as warehouse:
        subjects, outcomes = warehouse.table("subjects"), warehouse.table("outcomes")
        arguments = json.loads(warehouse.table("runs")["arguments"][0])
    assert subjects["smoking"].to_list() == levels
    assert subjects["bmi"].to_list() == [22.5, None, 31.25]
    assert outcomes["event"].to_list() == [1, 0, None]
    assert outcomes["event_date"].to_list() == [date(2016, 2, 29), None, None]
    assert arguments["detected"]["format"] == program


def test_what_was_detected_is_said_and_kept(tmp_path: Path) -> None:
    rows = "pid;smoking;bmi;fracture_date;end_date\n007;1;22,5;29/02/2016;2018-03-01\n8;2;NA;;2018-03-01\n"
    (tmp_path / "f.csv").write_text(rows)
    study = read_study(study_file(tmp_path, "f.csv"))
    with open_warehouse(study.study.database, create=True) as warehouse:
        stage = import_outcomes(warehouse, study)
        again = import_outcomes(warehouse, study)
    assert stage.message == (
        "2 subjects, 1 endpoints read (delimited text; encoding: UTF-8; delimiter: semicolon; decimal: comma; "
        "dates.fracture_date: day-month-year)"
    )
    assert not again.changed


def test_a_table_that_is_refused_leaves_what_was_there(tmp_path: Path) -> None:
    file = tmp_path / "f.csv"
    good = "pid,smoking,bmi,fracture_date,end_date\n007,1,22.5,2016-02-29,2018-03-01\n"
    file.write_text(good)
    study = read_study(study_file(tmp_path, "f.csv"))
    with open_warehouse(study.study.database, create=True) as warehouse:
        import_outcomes(warehouse, study)
        before = warehouse.table("outcomes")
        file.write_text(good + "8,1,thin,2016-02-30,2018-03-01\n")
        with pytest.raises(TableError, match="has 2 problems"):
            import_outcomes(warehouse, study)
        assert warehouse.table("outcomes").equals(before)
        assert warehouse.table("runs").height == 1


OMOP = {
    "concept": """concept_id,vocabulary_id,concept_code
1,Site,SPINE-LATERAL
2,Site,CHEST
10,SNOMED,125605004
11,SNOMED,263225007
20,SNOMED,64859006
30,LOINC,72166-2
""",
    "concept_ancestor": """ancestor_concept_id,descendant_concept_id
10,10
10,11
20,20
""",
    "person": """person_id,gender_concept_id,year_of_birth,person_source_value
1,8532,1940,0001
2,8507,1950,0002
3,8532,1945,0003
4,8507,1955,0004
5,8507,1960,0005
""",
    "procedure_occurrence": """person_id,procedure_concept_id,procedure_date
1,1,2015-03-01
1,1,2016-03-01
2,1,2015-04-01
3,1,2015-05-01
4,1,2015-06-01
5,2,2015-06-01
""",
    "condition_occurrence": """person_id,condition_concept_id,condition_start_date
1,11,2012-01-01
1,11,2017-01-01
1,11,2018-01-01
1,20,2014-01-01
2,11,2019-01-01
3,10,2015-05-01
4,20,2016-01-01
""",
    "observation": """observation_id,person_id,observation_concept_id,observation_date,value_as_string
1,1,30,2010-01-01,now
2,1,30,2014-01-01,never
3,2,30,2016-01-01,now
""",
    "observation_period": """person_id,observation_period_start_date,observation_period_end_date
1,2010-01-01,2020-12-31
2,2010-01-01,2018-12-31
3,2010-01-01,2020-12-31
4,2016-01-01,2020-12-31
""",
    "death": """person_id,death_date
3,2016-05-01
""",
}


def test_the_omop_example_makes_a_table_that_its_study_imports(tmp_path: Path) -> None:
    connection = duckdb.connect()
    for name, rows in OMOP.items():
        (tmp_path / f"{name}.csv").write_text(rows)
        types = "types = {'person_source_value': 'varchar'}" if name == "person" else "auto_detect = true"
        if name == "concept":
            types = "types = {'concept_code': 'varchar'}"
        connection.execute(f"create view {name} as from read_csv('{tmp_path / name}.csv', {types})")
    query = (EXAMPLE / "follow-up.sql").read_text(encoding="utf-8")
    connection.execute(f"copy ({query}) to '{tmp_path / 'follow-up.csv'}'")
    connection.close()
    (tmp_path / "study.toml").write_bytes((EXAMPLE / "study.toml").read_bytes())
    table = read_table(tmp_path / "follow-up.csv")
    assert table.select("patient_id", "sex", "prevalent_fracture", "osteoporosis", "smoking").rows() == [
        ("0001", "F", "1", "1", "never"),
        ("0002", "M", "0", "0", ""),
        ("0003", "F", "0", "0", ""),
        ("0004", "M", "0", "0", ""),
    ]
    study = read_study(tmp_path / "study.toml")
    with open_warehouse(study.study.database, create=True) as warehouse:
        import_outcomes(warehouse, study)
        outcomes = warehouse.table("outcomes")
    fractures = outcomes.filter(pl.col("endpoint") == "fracture").select("event", "event_date", "end_date")
    assert fractures.rows() == [
        (1, date(2017, 1, 1), date(2020, 12, 31)),
        (0, None, date(2018, 12, 31)),
        (1, date(2015, 5, 1), date(2016, 5, 1)),
        (None, None, None),
    ]
    deaths = outcomes.filter(pl.col("endpoint") == "death")
    assert deaths["event_date"].to_list() == [None, None, date(2016, 5, 1), None]

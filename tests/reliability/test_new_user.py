"""A study set up by someone who has a folder of images and a table of their statistics package, as the README says."""

from __future__ import annotations

import json
import re
from pathlib import Path

import polars as pl
import pyreadstat
import pytest

from tests.reliability.conftest import Demo, Offline

N_IMAGES = 130
LABELS = {"sex": {1: "Male", 2: "Female"}, "died": {0: "alive", 1: "dead"}}
UNKNOWN_BMI = 99.0


@pytest.fixture(scope="module")
def user(demo: Demo, tmp_path_factory: pytest.TempPathFactory) -> Offline:
    """Somebody's folder: an archive, and the same follow-up as Stata and as SPSS write it."""
    folder = tmp_path_factory.mktemp("user")
    offline = Offline(folder, demo.offline.home)
    (folder / "archive").mkdir()
    files = sorted(file for file in (demo.folder / "dicom").rglob("*") if "DER-" in file.name)
    for file in files[:N_IMAGES]:
        (folder / "archive" / file.name).hardlink_to(file)
    table = pl.read_csv(demo.folder / "follow-up.csv", infer_schema_length=None)
    table = table.filter(pl.col("subject_id").is_in([file.stem for file in files[: N_IMAGES + 10]])).select(
        pid="subject_id",
        sex=pl.col("sex").replace_strict({"M": 1, "F": 2}),
        age_scan=pl.col("age").round(1),
        bmi="bmi",
        smoke="smoking",
        fx="any_fracture",
        fx_mo=(pl.col("any_fracture_years") * 12).round(2),
        died="death",
        died_mo=(pl.col("death_years") * 12).round(2),
    )
    pyreadstat.write_dta(
        table.to_pandas(),
        str(folder / "follow-up.dta"),
        variable_value_labels=LABELS | {"fx": {0: "no", 1: "yes"}},
    )
    spss = table.with_columns(
        fx=pl.col("fx") + 1,  # 1 and 2, as SPSS users like to code it
        bmi=pl.when(pl.int_range(pl.len()) % 10 == 0).then(UNKNOWN_BMI).otherwise("bmi"),
    )
    pyreadstat.write_sav(
        spss.to_pandas(),
        str(folder / "follow-up.sav"),
        variable_value_labels=LABELS | {"fx": {1: "no fracture", 2: "fracture"}},
        missing_ranges={"bmi": [UNKNOWN_BMI]},
    )
    offline.run("ingest", "archive", "--database", "cohort.duckdb")
    return offline


def declare_primary(study: Path) -> None:
    """Do the one thing the draft leaves to its reader: take the mark from the primary estimate.

    And what a test does not wait for: the bootstraps, and a PDF that is looked at elsewhere.
    """
    text, n = re.subn(r"^# (primary = )", r"\1", study.read_text(encoding="utf-8"), flags=re.MULTILINE)
    text, m = re.subn(r"^bootstraps = 200 ", "bootstraps = 0 ", text, flags=re.MULTILINE)
    assert (n, m) == (1, 1)
    assert "[report]" not in text
    text += "\n[report]\nformats = []\n"
    study.write_text(text, encoding="utf-8")


@pytest.mark.parametrize(("table", "fracture"), [("follow-up.dta", 0), ("follow-up.sav", 1)])
def test_a_table_of_a_statistics_package_becomes_a_report_in_three_commands(
    user: Offline, table: str, fracture: int
) -> None:
    study = user.folder / f"{Path(table).suffix[1:]}.toml"
    drafted = user.run(
        "study", "new", table, "--database", "cohort.duckdb", "--images", "archive", "--output", study.name
    )
    assert f"{study.name}: " in drafted.stdout
    assert "0 to decide" in drafted.stdout
    text = study.read_text(encoding="utf-8")
    assert 'id = "pid"' in text
    assert 'sex_codes = { "1" = "M", "2" = "F" }' in text
    assert ('codes = { "2" = 1, "1" = 0 }' in text or '"1" = 0, "2" = 1' in text) == bool(fracture)
    declare_primary(study)
    assert "every key is understood" in user.run("study", "check", study.name).stdout
    ran = user.run("run", study.name)
    assert f"{N_IMAGES} scored" in ran.stdout or "same" in ran.stdout
    results = pl.read_parquet(user.folder / "report" / "results.parquet")
    primary = results.filter(pl.col("flags").list.contains("primary"))
    assert primary.select("statistic", "endpoint", "model").rows() == [("hr_per_sd", "fracture", "Model 1")]


def test_the_two_tables_say_the_same_but_for_what_spss_calls_missing(user: Offline) -> None:
    printed = [user.run("study", "check", f"{name}.toml", "--json").stdout for name in ("dta", "sav")]
    stata, spss = ({column["name"]: column for column in json.loads(text)["columns"]} for text in printed)
    known = stata.pop("bmi")["known"], spss.pop("bmi")["known"]
    assert stata == spss
    assert 0.85 * known[0] < known[1] < 0.95 * known[0]  # every tenth is 99, user-missing


def test_nothing_of_it_reaches_for_the_network(user: Offline) -> None:
    assert user.attempts == ""

"""study check: what it counts is what a run finds, all that would stop one is listed, and nothing is stored."""

from __future__ import annotations

import json
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest
from click.testing import Result
from typer.testing import CliRunner

from spinescore.check_study import StudyCheck, check_study
from spinescore.cli import app
from spinescore.core.phantom.followup import draw_follow_up
from spinescore.core.phantom.person import Person, draw_people
from spinescore.core.score_table import ScoreTable
from spinescore.errors import StudyError
from spinescore.listener import Listener
from spinescore.run import report_study
from spinescore.scores import ImportRequest, import_scores
from spinescore.shell.identity import pseudonymiser
from spinescore.shell.warehouse import open_warehouse
from spinescore.study import Study, read_study

RUNNER = CliRunner()
N_PEOPLE = 90
NOT_IN_TABLE = 4  # the first people have images and no row
STRANGERS = ("stranger-1", "stranger-2", "stranger-3")
STUDY = """
[study]
title = "t"
database = "cohort.duckdb"
output = "report"
[model]
{model}
[correction]
reference = {{ radiograph = "reference" }}
[subjects]
file = "follow-up.csv"
id = "subject_id"
sex = "sex"
[cohorts.reference]
role = "reference"
where = "split = 'reference'"
[cohorts.test]
where = "split = 'test'"
[cohorts.older]
where = "split = 'test' and spine_age_corrected > 65 and bmi > 20"
min_age = 50
[covariates.bmi]
column = "bmi"
[covariates.smoking]
column = "smoking"
type = "categorical"
reference = "0"
[endpoints.fracture]
type = "survival"
event = "any_fracture"
time = "any_fracture_years"
time_origin = "image"
competing = "death"
[endpoints.death]
type = "survival"
event = "death"
time = "death_years"
time_origin = "image"
[endpoints."osteoporosis at baseline"]
type = "binary"
column = "osteoporosis"
[models]
"Model 1" = ["age", "sex"]
[analysis]
bootstraps = 0
"""


@dataclass(frozen=True)
class Cohort:
    """A folder with a study file and a follow-up table, and who is in them."""

    folder: Path
    people: list[Person]

    @property
    def file(self) -> Path:
        return self.folder / "study.toml"

    @property
    def database(self) -> Path:
        return self.folder / "cohort.duckdb"

    @property
    def study(self) -> Study:
        return read_study(self.file)

    def change(self, old: str, new: str) -> None:
        text = self.file.read_text(encoding="utf-8")
        assert old in text
        self.file.write_text(text.replace(old, new), encoding="utf-8")

    def change_table(self, *columns: pl.Expr) -> None:
        file = self.folder / "follow-up.csv"
        pl.read_csv(file).with_columns(*columns).write_csv(file)

    def check(self) -> StudyCheck:
        return check_study(self.study)

    def command(self, *options: str) -> Result:
        return RUNNER.invoke(app, ["study", "check", str(self.file), *options], env={"COLUMNS": "200"})


def make_cohort(folder: Path, model: str = 'imported = "site B"') -> Cohort:
    people = draw_people(N_PEOPLE, seed=5, cohort="derivation")
    table = draw_follow_up(people, seed=5)
    strangers = table.head(len(STRANGERS)).with_columns(subject_id=pl.Series(STRANGERS))
    pl.concat([table.slice(NOT_IN_TABLE), strangers]).write_csv(folder / "follow-up.csv")
    (folder / "study.toml").write_text(STUDY.format(model=model), encoding="utf-8")
    return Cohort(folder, people)


def bring_in_ages(cohort: Cohort) -> None:
    ages = {
        "id": [person.subject_id for person in cohort.people],
        "age": [person.age_years for person in cohort.people],
        "sex": [person.sex for person in cohort.people],
        "spine_age": [p.biological_age_years + (7 * n % 13 - 6) / 1.7 for n, p in enumerate(cohort.people)],
    }
    pl.DataFrame(ages).write_csv(cohort.folder / "ages.csv")
    table = ScoreTable(file=cohort.folder / "ages.csv", id="id", age="age", sex="sex", spine_age="spine_age")
    import_scores(cohort.database, ImportRequest(table, "site B", keep_identifiers=True))


def bring_in_images(cohort: Cohort, *, synthetic: bool = True) -> None:
    """Store images as ingest would have; none is scored."""
    uids = [f"2.25.{number}" for number in range(len(cohort.people))]
    places = {"path_bytes": [uid.encode() for uid in uids], "size_bytes": 1, "modified_ns": 1, "run_id": 1}
    images: dict[str, Any] = {
        "sop_instance_uid": uids,
        "subject_id": [person.subject_id for person in cohort.people],
        "sex": [person.sex for person in cohort.people],
        "age_years": [person.age_years for person in cohort.people],
        "study_date": [person.study_date for person in cohort.people],
        "kind": "radiograph",
        "photometric": "MONOCHROME2",
        "transfer_syntax": "1.2.840.10008.1.2.1",
        "rows": 10,
        "columns": 10,
        "bits_stored": 8,
        "synthetic": synthetic,
        "eligibility_rule": "made up",
    }
    files = pl.DataFrame({"path": uids, "state": "indexed", "flags": [[]] * len(uids)} | places)
    with open_warehouse(cohort.database, create=True) as warehouse:
        pseudonymiser(warehouse, keep_identifiers=True)
        warehouse.append("files", files.with_columns(pl.col("flags").cast(pl.List(pl.String))))
        warehouse.append("images", pl.DataFrame(images | places))


@pytest.fixture
def cohort(tmp_path: Path) -> Cohort:
    return make_cohort(tmp_path)


@pytest.fixture
def with_ages(cohort: Cohort) -> Cohort:
    bring_in_ages(cohort)
    return cohort


@pytest.fixture
def with_images(tmp_path: Path) -> Cohort:
    (tmp_path / "dicom").mkdir()
    made = make_cohort(tmp_path, 'bundle = "demo"\n[images]\nsources = ["dicom"]')
    bring_in_images(made)
    return made


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Cohort, StudyCheck]:
    """A cohort whose study was run, and what the check found before."""
    made = make_cohort(tmp_path_factory.mktemp("finished"))
    bring_in_ages(made)
    found = made.check()
    report_study(made.study, Listener())
    return made, found


def contents(database: Path) -> dict[str, list[str]]:
    """Return every row of every table."""
    with duckdb.connect(str(database), read_only=True) as connection:
        names = [name for (name,) in connection.execute("select table_name from duckdb_tables()").fetchall()]
        return {
            name: sorted(map(repr, connection.execute(f'select * from "{name}"').fetchall()))
            for name in names
        }


# Without a database, without images, without scores


def test_without_a_database_the_table_alone_is_read_and_none_is_made(cohort: Cohort) -> None:
    found = cohort.check()
    assert not cohort.database.exists()
    assert found.problems == []
    assert "no database" in found.missing[0]
    assert "scores import" in found.missing[0]
    assert found.messages[0] == f"follow-up.csv (delimited text): {N_PEOPLE - NOT_IN_TABLE + 3:,} subjects"
    assert [(c.name, c.role) for c in found.columns] == [
        ("bmi", "continuous"),
        ("smoking", "categorical"),
        ("fracture", "survival"),
        ("death", "survival"),
        ("osteoporosis at baseline", "binary"),
    ]
    assert (found.counts, found.cohorts, found.references) == ({}, [], [])


def test_columns_are_counted_as_the_table_has_them(cohort: Cohort) -> None:
    table = pl.read_csv(cohort.folder / "follow-up.csv")
    found = {column.name: column for column in cohort.check().columns}
    bmi = found["bmi"]
    assert (bmi.n_known, bmi.n_rows) == (table.height - table["bmi"].null_count(), table.height)
    assert bmi.values.startswith(f"{table['bmi'].min():g} to {table['bmi'].max():g}, median ")
    levels = {level: int((table["smoking"] == level).sum()) for level in (0, 1)}
    assert found["smoking"].values == f"0: {levels[0]}, 1: {levels[1]}"
    assert found["fracture"].values == f"{table['any_fracture'].sum():,} events"
    baseline = found["osteoporosis at baseline"]
    assert baseline.n_known == table.height - table["osteoporosis"].null_count()
    assert baseline.values == f"{table['osteoporosis'].sum():,} events"


def test_levels_of_one_frequency_are_listed_in_order_and_many_are_cut(cohort: Cohort) -> None:
    n = N_PEOPLE - NOT_IN_TABLE + len(STRANGERS)
    cohort.change_table(
        pl.Series("smoking", [str(number % 9) for number in range(n - n % 9)] + ["0"] * (n % 9))
    )
    smoking = next(column for column in cohort.check().columns if column.name == "smoking")
    assert [part.split(":")[0] for part in smoking.values.split(", ")] == ["0", "1", "2", "3", "4", "5"]
    assert smoking.values.endswith(" and 3 more")


def test_a_bundle_or_a_source_that_is_not_there_is_found_before_anything_runs(tmp_path: Path) -> None:
    cohort = make_cohort(tmp_path, 'bundle = "no-bundle"\n[images]\nsources = ["here", "gone"]')
    (tmp_path / "here").mkdir()
    problems = cohort.check().problems
    assert len(problems) == 2
    assert str(tmp_path / "gone") in problems[0]
    assert str(tmp_path / "here") not in problems[0]
    assert "no-bundle" in problems[1]


def test_a_study_without_sources_or_cohort_is_told_so(tmp_path: Path) -> None:
    (tmp_path / "study.toml").write_text('[study]\ntitle = "t"\ndatabase = "c.duckdb"\n', encoding="utf-8")
    found = check_study(read_study(tmp_path / "study.toml"))
    assert "names no `sources`" in found.missing[0]
    assert "no cohort is analysed" in found.problems[0]


def test_a_database_without_an_image_says_so_and_finds_nobody(with_images: Cohort) -> None:
    with open_warehouse(with_images.database) as warehouse:
        for name in ("images", "files"):
            warehouse.refill(name, warehouse.table(name).clear())
    before = contents(with_images.database)
    found = with_images.check()
    assert found.counts == {"images": 0, "scored": 0}
    assert "holds no image yet" in found.missing[0]
    assert found.columns
    assert (found.problems, found.cohorts) == ([], [])
    assert found.unmatched.is_empty()
    assert contents(with_images.database) == before


def test_images_without_scores_are_linked_and_the_rest_is_to_do(with_images: Cohort) -> None:
    before = contents(with_images.database)
    found = with_images.check()
    assert found.counts == {"images": N_PEOPLE, "scored": 0, "pending": N_PEOPLE}
    assert [line.split(":")[0] for line in found.missing] == ["no image is scored by this model yet"]
    assert found.messages[0].endswith(f"89 subjects, {N_PEOPLE - NOT_IN_TABLE} with an image")
    assert (found.problems, found.cohorts) == ([], [])
    assert contents(with_images.database) == before


def test_the_demonstration_model_and_images_of_patients_are_a_problem(tmp_path: Path) -> None:
    (tmp_path / "dicom").mkdir()
    cohort = make_cohort(tmp_path, 'bundle = "demo"\n[images]\nsources = ["dicom"]')
    bring_in_images(cohort, synthetic=False)
    (problem,) = cohort.check().problems
    assert f"{N_PEOPLE} images are not phantoms" in problem
    cohort.change('bundle = "demo"', 'bundle = "demo"\nforce_demo = true')
    assert cohort.check().problems == []


def test_ages_under_a_name_nobody_imported_are_a_problem_beside_those_of_the_table(with_ages: Cohort) -> None:
    with_ages.change('imported = "site B"', 'imported = "site C"')
    with_ages.change_table(pl.lit("?").alias("any_fracture"))
    table, ages = with_ages.check().problems
    assert "endpoints.fracture" in table
    assert "no ages were imported as `site C`" in ages


# With scores


def test_unmatched_are_listed_from_both_sides(with_ages: Cohort) -> None:
    unmatched = with_ages.check().unmatched
    table, images = (unmatched.filter(pl.col("side") == side) for side in ("table", "images"))
    assert set(table["subject_id"]) == set(STRANGERS)
    assert table["row_number"].to_list() == [87, 88, 89]
    assert set(images["subject_id"]) == {p.subject_id for p in with_ages.people[:NOT_IN_TABLE]}
    assert images["n_images"].to_list() == [1] * NOT_IN_TABLE


def test_counts_are_those_of_the_run_that_follows(finished: tuple[Cohort, StudyCheck]) -> None:
    made, found = finished
    assert found.problems == []
    with open_warehouse(made.database) as warehouse:
        stored = {
            name: warehouse.table(name) for name in ("attrition", "unmatched", "corrections", "results")
        }
    assert [cohort.name for cohort in found.cohorts] == ["test", "older"]
    for cohort in found.cohorts:
        ran = stored["attrition"].filter(pl.col("cohort") == cohort.name).sort("position")
        assert cohort.attrition.height > 5
        assert cohort.attrition.rows() == ran.select(cohort.attrition.columns).rows()
        for endpoint, at_risk in cohort.follow_up.items():
            rows = stored["results"].filter(
                (pl.col("cohort") == cohort.name)
                & (pl.col("endpoint") == endpoint)
                & (pl.col("statistic") == "events")
            )
            assert rows.is_empty() or int((at_risk["status"] == 1).sum()) in rows["value"].cast(pl.Int64)
    columns = found.unmatched.columns
    assert found.unmatched.sort(columns).rows() == stored["unmatched"].select(columns).sort(columns).rows()
    (reference,) = found.references
    assert reference == ("radiograph", "reference", stored["corrections"]["n_reference"].item())
    again = made.check()  # a table that is imported already is described as well
    assert (again.messages, again.columns, again.warnings) == (found.messages, found.columns, found.warnings)
    assert [c.attrition.rows() for c in again.cohorts] == [c.attrition.rows() for c in found.cohorts]


def test_a_condition_on_corrected_ages_counts_whom_it_will(with_ages: Cohort) -> None:
    older = with_ages.check().cohorts[1]
    assert older.subjects.height > 10
    assert older.subjects["spine_age_corrected"].min() > 65  # type: ignore[operator]
    assert older.subjects["age_years"].min() >= 50  # type: ignore[operator]


@pytest.mark.parametrize("ran_before", [False, True])
def test_nothing_is_stored(
    with_ages: Cohort, finished: tuple[Cohort, StudyCheck], *, ran_before: bool
) -> None:
    if ran_before:
        shutil.copyfile(finished[0].database, with_ages.database)
        with_ages.change_table((pl.col("death_years") + 1).alias("death_years"))
        with_ages.change("min_age = 50", "min_age = 60")
        with_ages.change("[subjects]", "[split]\nseed = 3\n[subjects]")
    before = contents(with_ages.database)
    found = with_ages.check()
    assert found.problems == []
    assert found.cohorts
    assert contents(with_ages.database) == before
    assert ("subjects" in before) is ran_before


@pytest.mark.parametrize("ran_before", [False, True])
def test_a_table_or_a_condition_that_fails_leaves_everything_as_it_was(
    with_ages: Cohort, finished: tuple[Cohort, StudyCheck], *, ran_before: bool
) -> None:
    if ran_before:
        shutil.copyfile(finished[0].database, with_ages.database)
    before = contents(with_ages.database)
    with_ages.change("spine_age_corrected > 65", "no_such_column > 65")
    (problem,) = with_ages.check().problems
    assert "no_such_column" in problem
    assert contents(with_ages.database) == before
    with_ages.change_table(pl.lit("?").alias("any_fracture"))
    found = with_ages.check()
    assert len(found.problems) == 1
    assert (found.cohorts, found.unmatched.columns) == ([], [])
    assert contents(with_ages.database) == before


def test_wrong_conditions_of_all_cohorts_are_listed_once(with_ages: Cohort) -> None:
    with_ages.change("where = \"split = 'test'\"", 'where = "nowhere = 1"')
    with_ages.change("spine_age_corrected > 65", "nothing > 1")
    problems = with_ages.check().problems
    assert [problem.split(":")[0] for problem in problems] == ["cohorts.test", "cohorts.older"]


def test_too_small_a_reference_is_found_by_the_check(with_ages: Cohort) -> None:
    with_ages.change("[subjects]", "[split]\nreference_fraction = 0.03\n[subjects]")
    found = with_ages.check()
    (problem,) = found.problems
    assert "reference subjects of kind radiograph" in problem
    assert [cohort.name for cohort in found.cohorts] == ["test"]
    assert found.missing == ["cohort `older` asks for corrected ages: it is counted once there are any"]


def test_conflicts_between_table_and_images_are_warned_of(with_ages: Cohort) -> None:
    other = pl.when(pl.col("sex") == "F").then(pl.lit("M")).otherwise(pl.lit("F"))
    with_ages.change_table(pl.when(pl.int_range(pl.len()) < 30).then(other).otherwise("sex").alias("sex"))
    warnings = [line for line in with_ages.check().warnings if line.startswith("test: ")]
    assert any("sex" in line for line in warnings)


# The command


def test_the_command_says_what_was_found_in_the_order_one_reads_it(with_ages: Cohort) -> None:
    done = with_ages.command()
    assert done.exit_code == 0, done.output
    order = [
        "every key is understood",
        "follow-up.csv",
        "What the follow-up table holds",
        f"Ages: {N_PEOPLE} imported as `site B`",
        "Unmatched rows of the table: 3",
        f"Unmatched subjects of the images: {NOT_IN_TABLE}",
        "Correction of radiograph ages: fitted on",
        "test: ",
        "Who leaves, and why",
        "older: ",
        "warning: 3 of 89 subjects",
    ]
    places = [done.stdout.index(text) for text in order]
    assert places == sorted(places)
    assert with_ages.people[0].subject_id not in done.stdout


def test_json_is_one_object_with_every_step(with_ages: Cohort) -> None:
    done = with_ages.command("--json")
    found = json.loads(done.stdout)
    check = with_ages.check()
    assert found["counts"] == {"images": N_PEOPLE, "scored": N_PEOPLE}
    assert {row["side"]: row["n"] for row in found["unmatched"]} == {
        "rows of the table": 3,
        "subjects of the images": NOT_IN_TABLE,
    }
    assert [c["attrition"] for c in found["cohorts"]] == [c.attrition.to_dicts() for c in check.cohorts]
    fracture = found["cohorts"][0]["endpoints"][0]
    assert set(fracture) == {"endpoint", "at_risk", "events", "competing", "person_years"}
    assert fracture["at_risk"] == check.cohorts[0].follow_up["fracture"].height
    assert found["problems"] == []
    assert with_ages.command("--quiet").output == ""


@pytest.mark.parametrize("suffix", ["csv", "parquet", "json"])
def test_unmatched_are_written_for_the_owner_alone(with_ages: Cohort, suffix: str) -> None:
    file = with_ages.folder / f"who.{suffix}"
    done = with_ages.command("--unmatched-to", str(file))
    assert done.exit_code == 0, done.output
    readers = {"csv": pl.read_csv, "parquet": pl.read_parquet, "json": pl.read_json}
    rows = readers[suffix](file)
    assert rows.columns == ["side", "subject_id", "row_number", "n_images", "reason"]
    assert rows.select("side", "subject_id", "row_number", "n_images").rows() == (
        with_ages.check().unmatched.select("side", "subject_id", "row_number", "n_images").rows()
    )
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_where_nobody_could_be_linked_no_list_is_written_and_it_says_why(cohort: Cohort) -> None:
    file = cohort.folder / "who.csv"
    done = cohort.command("--unmatched-to", str(file))
    assert done.exit_code == 0
    assert f"to do: {file} is not written" in done.stdout
    assert not file.exists()


def test_a_list_that_cannot_be_written_is_an_error(with_ages: Cohort) -> None:
    done = with_ages.command("--unmatched-to", str(with_ages.folder / "who.docx"))
    assert done.exit_code == 1
    assert not (with_ages.folder / "who.docx").exists()


@pytest.mark.parametrize("options", [(), ("--json",), ("--quiet",)])
def test_problems_give_exit_status_1_and_are_all_said(with_ages: Cohort, options: tuple[str, ...]) -> None:
    with_ages.change_table(
        pl.lit("?").alias("any_fracture"), (pl.col("death_years") - 9).alias("death_years")
    )
    done = with_ages.command(*options)
    assert done.exit_code == 1
    if options != ("--quiet",):
        assert "endpoints.fracture" in done.stdout
        assert "endpoints.death" in done.stdout
    if options == ("--json",):
        assert len(json.loads(done.stdout)["problems"]) == 1
    if not options:
        assert "problem: " in done.stdout


def test_a_bad_study_file_is_an_error_with_its_lines_and_opens_nothing(cohort: Cohort) -> None:
    cohort.change("[subjects]", "[subject]")
    cohort.change('title = "t"', "titel = 't'")
    done = cohort.command()
    assert done.exit_code == 1
    assert done.output == ""
    assert isinstance(done.exception, StudyError)
    assert "study.toml:3: study.titel: no such key" in done.exception.message
    assert "did you mean `subjects`" in done.exception.message
    assert not cohort.database.exists()

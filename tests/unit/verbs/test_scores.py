"""scores import and export: rows in, rows out; what is wrong is refused whole; imported ages go all the way."""

from __future__ import annotations

import hashlib
import html
import json
import re
import stat
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from typer.testing import CliRunner

from spinescore.analyze import analyze
from spinescore.calibrate import calibrate
from spinescore.cli import app
from spinescore.core.phantom.followup import draw_follow_up
from spinescore.core.phantom.person import draw_people
from spinescore.core.score_table import ScoreTable
from spinescore.domain import RESULT_KEYS, StageSummary
from spinescore.errors import AnalysisError, DatabaseError, StudyError, TableError
from spinescore.listener import Listener
from spinescore.outcomes import import_outcomes
from spinescore.run import model_key, run_study
from spinescore.score import ScoreRequest, score
from spinescore.scores import ImportRequest, export_scores, import_scores
from spinescore.shell.bundles import Bundle, demo_bundle_path, load_bundle
from spinescore.shell.identity import pseudonymiser
from spinescore.shell.warehouse import open_warehouse
from spinescore.study import Study, read_study

RUNNER = CliRunner()
SEED = 11
HEADER = "pid,day,born,pred,spread,sex,maker"
PEOPLE = (
    "007,2015-03-01,1950-03-01,70.25,4.5,F,GE MEDICAL SYSTEMS",
    "007,2019-03-01,1950-03-01,71.5,4.0,F,GE MEDICAL SYSTEMS",
    "8,2016-02-29,1940-02-29,80,,male,",
)
NAMED: dict[str, Any] = {
    "id": "pid",
    "spine_age": "pred",
    "birth_date": "born",
    "study_date": "day",
    "sex": "sex",
    "spine_age_sd": "spread",
    "manufacturer": "maker",
}


def write(folder: Path, *rows: str, header: str = HEADER, name: str = "ages.csv") -> Path:
    file = folder / name
    file.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return file


def bring_in(database: Path, file: Path, name: str = "site B", **settings: Any) -> StageSummary:
    return import_scores(database, ImportRequest(ScoreTable(file=file, **(NAMED | settings)), name))


def tables(database: Path) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    with open_warehouse(database) as warehouse:
        found = [warehouse.table(name) for name in ("images", "scores", "models")]
    images, scores, models = found
    return images.sort("study_date"), scores.sort("sop_instance_uid"), models


def test_each_row_becomes_an_imageless_row_and_a_score(tmp_path: Path, database: Path) -> None:
    stage = bring_in(database, write(tmp_path, *PEOPLE))
    images, scores, models = tables(database)
    assert stage.counts == {"imported": 3, "added": 3, "changed": 0, "unchanged": 0, "removed": 0}
    assert stat.S_IMODE(database.stat().st_mode) == 0o600
    assert images.select("kind", "sex", "study_date", "manufacturer", "path_bytes").rows() == [
        ("radiograph", "F", date(2015, 3, 1), "GE", None),
        ("radiograph", "M", date(2016, 2, 29), None, None),
        ("radiograph", "F", date(2019, 3, 1), "GE", None),
    ]
    assert images["age_years"].to_list() == pytest.approx([65.0, 76.0, 69.0], abs=0.01)
    joined = images.join(scores, on="sop_instance_uid", maintain_order="left")
    assert joined.select("spine_age", "spine_age_rounded", "spine_age_sd").rows() == [
        (70.25, 70, 4.5),
        (80.0, 80, None),
        (71.5, 72, 4.0),
    ]
    assert models.select("name", "version").rows() == [("site B", "imported")]


def test_ids_are_the_pseudonyms_that_ingest_would_make(tmp_path: Path, database: Path) -> None:
    bring_in(database, write(tmp_path, *PEOPLE), issuer="H1")
    images, _, _ = tables(database)
    with open_warehouse(database) as warehouse:
        identify = pseudonymiser(warehouse)
    assert set(images["subject_id"]) == {identify("007", "H1"), identify("8", "H1")}


def test_no_birth_date_is_kept(tmp_path: Path, database: Path) -> None:
    bring_in(database, write(tmp_path, *PEOPLE))
    with open_warehouse(database) as warehouse:
        held = [str(warehouse.table(name).rows()) for name in ("images", "scores", "models", "runs")]
    assert "2015, 3, 1" in held[0]
    assert not [text for text in held if "1950, 3, 1" in text or "1950-03-01" in text]


def test_the_same_file_changes_nothing_and_a_changed_one_replaces_its_model_alone(
    tmp_path: Path, database: Path
) -> None:
    bring_in(database, write(tmp_path, *PEOPLE))
    bring_in(database, tmp_path / "ages.csv", name="other")
    before = tables(database)
    assert not bring_in(database, tmp_path / "ages.csv").changed
    assert all(a.equals(b) for a, b in zip(before, tables(database), strict=True))
    newer = PEOPLE[0].replace("70.25", "69")
    new = "9,2016-01-01,1950-01-01,66,1,F,"
    stage = bring_in(database, write(tmp_path, newer, PEOPLE[1], new))
    assert stage.counts == {"imported": 3, "added": 1, "changed": 1, "unchanged": 1, "removed": 1}
    assert "1 added, 1 changed, 1 unchanged, 1 removed" in stage.message
    images, scores, models = tables(database)
    assert (images.height, scores.height, models.height) == (6, 6, 2)
    assert sorted(scores["spine_age"]) == [66.0, 69.0, 70.25, 71.5, 71.5, 80.0]
    bring_in(database, write(tmp_path, *PEOPLE))  # the first file again: what it replaced is no excuse
    assert sorted(tables(database)[1]["spine_age"]) == [70.25, 70.25, 71.5, 71.5, 80.0, 80.0]


def test_images_of_one_day_are_told_apart_by_a_column_that_is_not_kept(
    tmp_path: Path, database: Path
) -> None:
    rows = [
        "7,2015-03-01,1950-03-01,70,1,F,,ACC-1",
        "7,2015-03-01,1950-03-01,72,1,F,,ACC-2",
        "7,2019-03-01,1950-03-01,75,1,F,,",
    ]
    file = write(tmp_path, *rows, header=f"{HEADER},accession")
    with pytest.raises(TableError, match="which column tells them apart with --image"):
        bring_in(database, file)
    assert not database.exists() or tables(database)[1].is_empty()
    bring_in(database, file, image="accession")
    images, scores, _ = tables(database)
    assert images["sop_instance_uid"].n_unique() == 3
    assert sorted(scores["spine_age"]) == [70.0, 72.0, 75.0]
    assert b"ACC-1" not in database.read_bytes()
    with pytest.raises(TableError, match=r"1 subject\(s\) have several rows of one `day` and `accession`"):
        bring_in(database, write(tmp_path, rows[0], rows[0], header=f"{HEADER},accession"), image="accession")


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        (",2015-03-01,1950-03-01,70,1,F,", "column `pid` is empty in 1 row(s): row 1"),
        (
            "a,2015-03-01,1950-03-01,old,1,F,",
            "--spine-age: column `pred` is not a number in 1 row(s): row 1",
        ),
        ("a,2015-03-01,1950-03-01,,1,F,", "--spine-age: column `pred` is empty"),
        ("a,2015-03-01,1950-03-01,150.5,1,F,", "the spine age is outside 0-150 years"),
        ("a,2015-03-01,1950-03-01,-1,1,F,", "the spine age is outside 0-150 years"),
        ("a,2015-03-01,1860-03-01,70,1,F,", "the age is outside 0-120 years"),
        ("a,2015-03-01,2015-03-02,70,1,F,", "the date of birth is after the study date"),
        ("a,2015-02-30,1950-03-01,70,1,F,", "--study-date: column `day` has impossible dates"),
        ("a,2015-03-01,1950-03-01,70,-1,F,", "--spine-age-sd: column `spread` is negative"),
        ("a,2015-03-01,1950-03-01,70,1,2,", "--sex: column `sex` holds '2' (1 rows)"),
        (
            "8,2016-02-29,1940-02-29,81,1,F,",
            "1 subject(s) have several rows of one `day` in 2 row(s): row 1",
        ),
    ],
)
def test_what_is_wrong_is_refused_with_count_and_ids_and_nothing_is_written(
    row: str, complaint: str, tmp_path: Path, database: Path
) -> None:
    with pytest.raises(TableError, match=re.escape(complaint)):
        bring_in(database, write(tmp_path, row, *PEOPLE))
    assert not database.exists()


def test_everything_wrong_is_listed_at_once_and_earlier_scores_stay(tmp_path: Path, database: Path) -> None:
    bring_in(database, write(tmp_path, *PEOPLE))
    bad = ("a,2015-03-01,1950-03-01,,1,F,", "a,2015-03-01,2016-03-01,200,1,X,")
    with pytest.raises(TableError, match=r"ages.csv has 5 problems:") as caught:
        bring_in(database, write(tmp_path, *bad))
    for part in ("is empty", "outside 0-150", "date of birth", "holds 'X'", "several rows of one `day`"):
        assert part in str(caught.value)
    assert tables(database)[1].height == 3


def test_a_repeated_subject_without_dates_is_refused_with_the_way_out(tmp_path: Path, database: Path) -> None:
    file = write(tmp_path, "a,60,61", "a,61,62", header="id,age,pred")
    table = ScoreTable(file=file, id="id", age="age", spine_age="pred")
    with pytest.raises(TableError, match=r"names 1 subject\(s\) more than once .*--study-date"):
        import_scores(database, ImportRequest(table, "x"))


def test_missing_columns_and_ambiguous_dates_speak_of_options(tmp_path: Path, database: Path) -> None:
    file = write(tmp_path, "a,03/04/2015,60,61", header="id,day,age,prd")
    named = {"id": "id", "age": "age", "birth_date": None, "study_date": "day", "sex": None}
    plain = {"spine_age_sd": None, "manufacturer": None}
    with pytest.raises(TableError, match=r"no column `pred` \(--spine-age; did you mean `prd`\?\)"):
        bring_in(database, file, **named, **plain)
    with pytest.raises(TableError, match=r"`--dates dmy` or `--dates mdy`") as caught:
        bring_in(database, file, spine_age="prd", **named, **plain)
    assert "[subjects]" not in str(caught.value)
    bring_in(database, file, spine_age="prd", dates="dmy", **named, **plain)
    assert tables(database)[0]["study_date"].to_list() == [date(2015, 4, 3)]


def test_codes_of_sex_and_kinds_row_by_row_are_read_as_declared(tmp_path: Path, database: Path) -> None:
    file = write(tmp_path, "a,60,61,1,VFA", "b,60,61,2,radiograph", "c,60,61,9,vfa", header="id,age,pred,s,k")
    options = ["--id", "id", "--age", "age", "--spine-age", "pred", "--sex", "s", "--kind-column", "k"]
    command = ["scores", "import", str(file), "-d", str(database), *options]
    done = RUNNER.invoke(app, [*command, "--sex-codes", "1=M,2=F,9=", "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["imported"] == 3
    found = tables(database)[0].select("sex", "kind").sort("sex", "kind", nulls_last=True).rows()
    assert found == [("F", "radiograph"), ("M", "vfa"), (None, "vfa")]
    assert RUNNER.invoke(app, [*command, "--sex-codes", "1"]).exit_code == 2


def test_unknown_ages_and_dates_are_kept_and_said(tmp_path: Path, database: Path) -> None:
    stage = bring_in(database, write(tmp_path, "a,,1950-01-01,70,1,F,", *PEOPLE))
    assert stage.warnings == ("1 row(s) have no age", "1 row(s) have no study date")


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ([], "name either --age, or --birth-date and --study-date"),
        (["--age", "a", "--birth-date", "b"], "name either --age"),
        (["--birth-date", "born"], "--birth-date needs --study-date"),
        (["--age", "a", "--delimiter", "x", "--encoding", "no-such"], "--encoding: no such encoding"),
    ],
)
def test_options_that_contradict_each_other_are_a_usage_error(
    options: list[str], complaint: str, tmp_path: Path, database: Path
) -> None:
    file = write(tmp_path, *PEOPLE)
    command = ["scores", "import", str(file), "-d", str(database), "--id", "pid", "--spine-age", "pred"]
    done = RUNNER.invoke(app, [*command, *options], env={"COLUMNS": "400"})
    assert done.exit_code == 2
    assert complaint in done.output


def test_a_database_of_pseudonyms_takes_no_verbatim_ids(tmp_path: Path, database: Path) -> None:
    bring_in(database, write(tmp_path, *PEOPLE))
    table = ScoreTable(file=tmp_path / "ages.csv", **NAMED)
    with pytest.raises(DatabaseError, match="holds pseudonyms"):
        import_scores(database, ImportRequest(table, "x", keep_identifiers=True))


def test_imported_rows_are_never_scored_again(tmp_path: Path, database: Path) -> None:
    bring_in(database, write(tmp_path, *PEOPLE))
    with open_warehouse(database) as warehouse:
        stage = score(warehouse, ScoreRequest(load_bundle(demo_bundle_path())))
        trainable = warehouse.fetch("score/trainable", first_age=0, last_age=120)
    assert not stage.changed
    assert trainable.is_empty()


def test_export_writes_one_safe_private_table_and_no_uid(tmp_path: Path, database: Path) -> None:
    rows = ("=1+1,2015-03-01,1950-03-01,70.25,4.5,F,=cmd|' /C calc'!A0",)
    file = write(tmp_path, *rows, *PEOPLE)
    import_scores(database, ImportRequest(ScoreTable(file=file, **NAMED), "=site", keep_identifiers=True))
    stage = export_scores(database, tmp_path / "out.csv")
    text = (tmp_path / "out.csv").read_text(encoding="utf-8")
    assert stage.counts == {"rows": 4, "models": 1}
    assert "holds patient ids" in stage.warnings[0]
    assert stat.S_IMODE((tmp_path / "out.csv").stat().st_mode) == 0o600
    assert "'=1+1" in text
    assert "'=site" in text
    assert "imported:" not in text  # ids of rows stay in
    assert str(tmp_path) not in text
    export_scores(database, tmp_path / "out.parquet", model="=site")
    exported = pl.read_parquet(tmp_path / "out.parquet")
    assert exported.filter(pl.col("subject_id") == "8").select("spine_age_raw", "correction_id").row(0) == (
        80.0,
        None,
    )
    assert exported["pad_raw"].to_list() == (exported["spine_age_raw"] - exported["age_years"]).to_list()
    with pytest.raises(AnalysisError, match=r"no scores of a model `nobody`.*=site"):
        export_scores(database, tmp_path / "none.csv", model="nobody")
    with pytest.raises(TableError, match="names no format"):
        export_scores(database, tmp_path / "out.docx")
    assert sorted(path.name for path in tmp_path.iterdir() if "out" in path.name or path.name[0] == ".") == [
        "out.csv",
        "out.parquet",
    ]


STUDY = """
[report]
formats = []
[study]
title = "t"
database = "{database}"
output = "{output}"
[model]
{model}
[correction]
reference = {{ radiograph = "reference" }}
[subjects]
file = "follow-up.csv"
id = "subject_id"
[cohorts.reference]
role = "reference"
where = "split = 'reference'"
[cohorts.test]
where = "split = 'test'"
[endpoints.death]
type = "survival"
event = "death"
time = "death_years"
time_origin = "image"
[endpoints.osteoporosis]
type = "binary"
column = "osteoporosis"
[models]
"Model 1" = ["age", "sex"]
[analysis]
primary = {{ cohort = "test", endpoint = "death", model = "Model 1" }}
bootstraps = 0
"""


def study(folder: Path, name: str, model: str) -> Study:
    file = folder / f"{name}.toml"
    file.write_text(STUDY.format(database=f"{name}.duckdb", output=name, model=model), encoding="utf-8")
    return read_study(file)


def score_people(database: Path, folder: Path, bundle: Bundle) -> None:
    """Fill a database as ingest and score would have, with ages that are the truth and an error."""
    people = draw_people(150, seed=SEED, cohort="derivation")
    draw_follow_up(people, seed=SEED).write_csv(folder / "follow-up.csv")
    uids = [f"2.25.{1000 - number}" for number in range(len(people))]
    errors = [(7 * number % 13 - 6) / 1.7 for number in range(len(people))]
    ages = [person.biological_age_years + error for person, error in zip(people, errors, strict=True)]
    files = {"path_bytes": [uid.encode() for uid in uids], "size_bytes": 1, "modified_ns": 1}
    shared = {"sop_instance_uid": uids, "kind": "radiograph", "run_id": 1}
    images = {
        "subject_id": [person.subject_id for person in people],
        "sex": [person.sex for person in people],
        "age_years": [person.age_years for person in people],
        "study_date": [person.study_date for person in people],
        "photometric": "MONOCHROME2",
        "transfer_syntax": "1.2.840.10008.1.2.1",
        "rows": 10,
        "columns": 10,
        "bits_stored": 8,
        "synthetic": True,
        "eligibility_rule": "made up",
    }
    scores = {
        "model_id": bundle.model_id,
        "preprocessing_id": bundle.spec.preprocessing_id,
        "spine_age": ages,
        "spine_age_rounded": [int(age + 0.5) for age in ages],
        "spine_age_sd": 5.0,
        "age_distribution": [[1.0]] * len(people),
        "pixel_sha256": "",
        "device": "cpu",
        "precision": "fp32",
        "size_bytes": 1,
        "modified_ns": 1,
    }
    model = {"model_id": bundle.model_id, "name": bundle.name, "version": bundle.version, "run_id": 1}
    with open_warehouse(database, create=True) as warehouse:
        pseudonymiser(warehouse, keep_identifiers=True)
        seen = pl.DataFrame(
            {"path": uids, "state": "indexed", "flags": [[]] * len(people), "run_id": 1} | files
        )
        warehouse.append("files", seen.with_columns(pl.col("flags").cast(pl.List(pl.String))))
        warehouse.append("images", pl.DataFrame(shared | files | images))
        warehouse.append("scores", pl.DataFrame(shared | scores))
        warehouse.append("models", pl.DataFrame([model | {"manifest": json.dumps(bundle.manifest)}]))


def without_copies(found: pl.DataFrame) -> pl.DataFrame:
    """Return results without the count of copies, which only pixels can tell."""
    return found.filter(pl.col("analysis") != "repeated_images")


def results(settings: Study) -> pl.DataFrame:
    """Return the results beside a report."""
    return without_copies(pl.read_parquet(settings.study.output / "results.parquet"))


def analysed(settings: Study) -> pl.DataFrame:
    """Do all that a run does from the scores on but the report, and return the results."""
    with open_warehouse(settings.study.database) as warehouse:
        key = model_key(warehouse, settings)
        import_outcomes(warehouse, settings)
        calibrate(warehouse, settings, key)
        analyze(warehouse, settings, key)
        (run_id,) = warehouse.table("results")["run_id"].unique()
        found = warehouse.fetch("report/results", run_id=run_id)
    return without_copies(found.sort(RESULT_KEYS, nulls_last=True))


def test_exported_ages_imported_elsewhere_give_the_same_results_and_a_report_that_says_so(
    tmp_path: Path,
) -> None:
    bundle = load_bundle(demo_bundle_path())
    here = study(tmp_path, "here", 'bundle = "demo"')
    score_people(here.study.database, tmp_path, bundle)
    found = analysed(here)
    table = tmp_path / "ages.csv"
    export_scores(here.study.database, table, model=bundle.name)
    exported = pl.read_csv(table)
    assert exported["correction_method"].unique().to_list() == ["beheshti"]
    assert exported["spine_age_corrected"].null_count() == 0

    there = study(tmp_path, "there", 'imported = "site A"')
    with pytest.raises(DatabaseError, match="No database"):
        run_study(there, Listener())
    columns = ScoreTable(
        file=table,
        id="subject_id",
        spine_age="spine_age_raw",
        age="age_years",
        study_date="study_date",
        sex="sex",
        kind_column="kind",
        spine_age_sd="spine_age_sd",
    )
    import_scores(there.study.database, ImportRequest(columns, "site A", keep_identifiers=True))
    summary = run_study(there, Listener())
    assert [stage.stage for stage in summary.stages] == ["outcomes", "calibrate", "analyze", "report"]
    of_distributions = pl.col("statistic").str.starts_with("interval_coverage_")  # a table holds none
    assert found.filter(of_distributions).height > 0
    assert results(there).equals(found.filter(~of_distributions))
    ratios = results(there).filter(
        (pl.col("analysis") == "cox") & (pl.col("statistic") == "hr_per_sd") & (pl.col("variant") == "main")
    )
    assert ratios["value"].null_count() == 0
    assert not run_study(there, Listener()).changed
    _is_honest(there, table)


def _is_honest(there: Study, table: Path) -> None:
    page = (there.study.output / "report.html").read_text(encoding="utf-8")
    text = html.unescape(re.sub(r"<(script|style).*?</\1>|<[^>]+>", " ", page, flags=re.DOTALL))
    assert hashlib.sha256(table.read_bytes()).hexdigest() in text
    assert "imported under the name “site A”" in text
    assert "Rows imported" in text
    for unknown in ("network", "histogram", "EfficientNet", "Files found", "Preprocessing", "phantom"):
        assert unknown.lower() not in text.lower(), unknown


def test_a_study_names_what_was_imported_or_is_told_what_there_is(tmp_path: Path) -> None:
    settings = study(tmp_path, "there", 'imported = "site C"')
    (tmp_path / "follow-up.csv").write_text("subject_id\n", encoding="utf-8")
    bring_in(settings.study.database, write(tmp_path, *PEOPLE))
    with pytest.raises(StudyError, match=r"imported as `site C`.*there: `site B`"):
        run_study(settings, Listener())
    with pytest.raises(StudyError, match="keep one of them"):
        study(tmp_path, "both", 'imported = "x"\nbundle = "demo"')
    with pytest.raises(StudyError, match=r"images\.sources: would never be scored"):
        study(tmp_path, "sources", 'imported = "x"\n[images]\nsources = ["dicom"]')

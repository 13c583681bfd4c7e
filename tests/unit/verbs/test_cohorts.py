"""From tables and images in a database to a cohort: linkage, ages, attrition, checks; nothing half-written."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from spinescore.analyze import analyze
from spinescore.calibrate import calibrate
from spinescore.core.cohort.attrition import Attrition
from spinescore.domain import Cohort
from spinescore.errors import AnalysisError, DatabaseError, TableError
from spinescore.outcomes import import_outcomes
from spinescore.shell.cohorts import (
    ModelKey,
    build_cohort,
    build_cohorts,
    subject_images,
    unmatched_rows,
)
from spinescore.shell.consistency import check_names, run_checks
from spinescore.shell.identity import pseudonymiser
from spinescore.shell.reference_cohorts import reference_rows
from spinescore.shell.warehouse import Warehouse, open_warehouse
from spinescore.study import Study, read_study

KEY = ModelKey("m" * 16, "p" * 16)
DAY = date(2015, 3, 1)
HEAD = """
[study]
title = "t"
database = "cohort.duckdb"
[correction]
method = "none"
[subjects]
file = "f.csv"
id = "pid"
{subjects}
"""
DEATH = """
[endpoints.death]
type = "survival"
event = "dead"
end_date = "end"
"""
ALL = """
[cohorts.all]
where = "{where}"
"""


@pytest.fixture
def warehouse(database: Path) -> Iterator[Warehouse]:
    with open_warehouse(database, create=True) as opened:
        pseudonymiser(opened, keep_identifiers=True)
        yield opened


def study(folder: Path, *sections: str, subjects: str = "", images: str = "") -> Study:
    file = folder / "study.toml"
    head = HEAD.format(subjects=subjects) + (f"[images]\n{images}\n" if images else "")
    file.write_text("\n".join([head, *(sections or (ALL.format(where="true"),))]), encoding="utf-8")
    return read_study(file)


def table(folder: Path, *rows: str, header: str = "pid,dead,end", name: str = "f.csv") -> None:
    (folder / name).write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")


IMAGE: dict[str, Any] = {
    "subject_id": "a",
    "kind": "vfa",
    "sex": "F",
    "age_years": 60.0,
    "study_date": DAY,
    "photometric": "MONOCHROME2",
    "transfer_syntax": "1.2.840.10008.1.2.1",
    "rows": 10,
    "columns": 10,
    "bits_stored": 8,
    "synthetic": True,
    "eligibility_rule": "made up",
}
TYPES = {"subject_id": pl.String, "sex": pl.String, "age_years": pl.Float64, "study_date": pl.Date}


def fill(warehouse: Warehouse, *images: dict[str, Any], unscored: int = 0, failed: int = 0) -> None:
    """Store images as ingest and score would have; the last ones have no score, or failed."""
    n = len(images)
    uids = [f"1.{number}" for number in range(n)]
    places = {"path_bytes": [uid.encode() for uid in uids], "size_bytes": 1, "modified_ns": 1, "run_id": 1}
    files = pl.DataFrame(
        {"path": uids, "state": "indexed", "flags": [[]] * n, "sop_instance_uid": uids} | places
    )
    warehouse.append("files", files.with_columns(pl.col("flags").cast(pl.List(pl.String))))
    rows = [IMAGE | {key: value for key, value in image.items() if key != "spine_age"} for image in images]
    headers = pl.DataFrame(rows, schema_overrides=TYPES, infer_schema_length=None)
    warehouse.append("images", headers.with_columns(pl.DataFrame({"sop_instance_uid": uids} | places)))
    scored = n - unscored - failed
    ages = [float(image.get("spine_age", 62.0)) for image in images]
    scores = pl.DataFrame(
        {
            "sop_instance_uid": uids,
            "model_id": KEY.model_id,
            "preprocessing_id": KEY.preprocessing_id,
            "spine_age": ages,
            "spine_age_rounded": [round(age) for age in ages],
            "kind": headers["kind"],
            "run_id": 1,
        }
    )
    warehouse.append("scores", scores.head(scored))
    reason = pl.lit("no_pixels").alias("reason")
    failures = scores.slice(scored, failed).select(
        "sop_instance_uid", "model_id", "preprocessing_id", "run_id"
    )
    extra = (
        reason,
        pl.lit("").alias("detail"),
        pl.lit(1).alias("size_bytes"),
        pl.lit(1).alias("modified_ns"),
    )
    warehouse.append("score_failures", failures.with_columns(extra))


def left_out(warehouse: Warehouse, state: str, reason: str | None, path: str) -> None:
    row = {"path": path, "path_bytes": path.encode(), "size_bytes": 1, "modified_ns": 1, "run_id": 1}
    frame = pl.DataFrame(
        [row | {"state": state, "reason": reason, "flags": []}],
        schema_overrides={"flags": pl.List(pl.String)},
    )
    warehouse.append("files", frame)


def build(warehouse: Warehouse, settings: Study, key: ModelKey = KEY) -> Cohort:
    import_outcomes(warehouse, settings)
    return build_cohort(warehouse, subject_images(warehouse, settings, key), settings, "all", key)


def contents(warehouse: Warehouse) -> dict[str, list[tuple[Any, ...]]]:
    names = ("outcomes", "subject_links", "subject_rows", "table_facts", "attrition", "results", "unmatched")
    found = {name: warehouse.table(name).rows() for name in names}
    return found | {"subjects": warehouse.table("subjects").rows() if warehouse.has_table("subjects") else []}


def steps(cohort: Cohort, unit: str | None = None) -> list[tuple[Any, ...]]:
    rows = cohort.attrition if unit is None else cohort.attrition.filter(pl.col("unit") == unit)
    return rows.select("step", "reason", "n_excluded", "n_remaining").rows()


def test_every_exit_from_file_to_analysis_set_is_counted(tmp_path: Path, warehouse: Warehouse) -> None:
    fill(
        warehouse,
        {"subject_id": "a"},
        {"subject_id": "a", "study_date": DAY + timedelta(days=400)},
        {"subject_id": "b", "age_years": 45.0},
        {"subject_id": "c", "age_years": None},
        {"subject_id": None},
        {"subject_id": "d", "manufacturer": "Other"},
        {"subject_id": "e", "manufacturer": None},
        {"subject_id": "stranger"},
        {"subject_id": "f"},
        {"subject_id": "g"},
        {"subject_id": "h"},
        unscored=1,
        failed=1,
    )
    warehouse._connection.execute(
        "update images set manufacturer = 'GE' where subject_id not in ('d', 'e') or subject_id is null"
    )
    left_out(warehouse, "rejected", "truncated", "x")
    left_out(warehouse, "excluded", "modality", "y")
    left_out(warehouse, "missing", "moved", "z")
    rows = [f"{pid},{int(pid == 'a')},2018-03-01" for pid in "abcdefgh"]
    table(tmp_path, *rows, "nobody,0,2018-03-01")
    cohort_section = ALL.format(where="manufacturer = 'GE'") + "min_age = 50\nmax_age = 80\n"
    cohort = build(warehouse, study(tmp_path, cohort_section, DEATH))
    assert steps(cohort) == [
        ("files found", "", 0, 14),
        ("readable", "missing: moved", 1, 13),
        ("readable", "rejected: truncated", 1, 12),
        ("eligible images", "excluded: modality", 1, 11),
        ("scored", "not scored: no_pixels", 1, 10),
        ("scored", "not scored: not tried yet", 1, 9),
        ("in the cohort", "condition unknown (missing values)", 1, 8),
        ("in the cohort", "not in this cohort", 1, 7),
        ("subject and age known", "no patient id", 1, 6),
        ("subject and age known", "age unknown", 1, 5),
        ("linked to follow-up", "not in the follow-up table", 1, 4),
        ("one index image per subject", "further images", 1, 3),
        ("right age", "too young (under 50)", 1, 2),
        ("follow-up", "", 0, 2),
        ("in the follow-up table", "", 0, 9),
        ("with an image", "no image of the subject", 1, 8),
        ("with a scored image", "no image scored", 2, 6),
        ("with an image of the cohort", "no scored image in the cohort, of known age", 3, 3),
    ]
    units = dict(cohort.attrition.select("step", "unit").iter_rows())
    assert units["readable"] == units["eligible images"] == "files"
    assert units["scored"] == units["one index image per subject"] == "images"
    assert units["right age"] == units["follow-up"] == "subjects"
    assert cohort.subjects["subject_id"].to_list() == ["a", "f"]
    assert cohort.images.select("subject_id", "study_date", "pad_raw").rows() == [
        ("a", DAY, 2.0),
        ("a", DAY + timedelta(days=400), 2.0),
        ("f", DAY, 2.0),
    ]
    facts = dict(cohort.facts.select("fact", "n").iter_rows())
    assert facts == {
        "sex_differs": 0,
        "birth_date_differs": 1,
        "several_days": 1,
        "both_kinds_on_index_day": 0,
    }


def test_images_of_the_kind_that_is_not_asked_for_have_a_reason(tmp_path: Path, warehouse: Warehouse) -> None:
    fill(warehouse, {}, {"subject_id": "b", "kind": "radiograph"})
    table(tmp_path, "a,0,2018-03-01", "b,0,2018-03-01")
    cohort = build(warehouse, study(tmp_path, ALL.format(where="true"), images='kind = "vfa"'))
    assert ("in the cohort", "not of kind vfa", 1, 1) in steps(cohort)
    assert steps(cohort, "table rows")[2:] == [
        ("with a scored image", "no image scored", 1, 1),
        ("with an image of the cohort", "", 0, 1),
    ]


def test_both_sides_of_the_linkage_are_listed(tmp_path: Path, warehouse: Warehouse) -> None:
    fill(warehouse, {}, {"subject_id": "z"}, {"subject_id": "z"})
    table(tmp_path, "b,0,2018-03-01", "a,0,2018-03-01")
    build(warehouse, study(tmp_path))
    assert unmatched_rows(warehouse).rows() == [
        ("table", "b", 1, None, "no image of its id"),
        ("images", "z", None, 2, "not in the follow-up table"),
    ]


LINKAGE = """
[linkage]
file = "links.csv"
table_id = "study_id"
image_id = "mrn"
"""


def linked_study(
    folder: Path, *pairs: str, rows: tuple[str, ...] = ("1,0,2018-03-01", "2,0,2018-03-01")
) -> Study:
    table(folder, *rows)
    table(folder, *pairs, header="study_id,mrn", name="links.csv")
    return study(folder, LINKAGE, ALL.format(where="true"), DEATH)


def test_images_of_several_patient_ids_are_one_subjects(tmp_path: Path, warehouse: Warehouse) -> None:
    later = DAY + timedelta(days=10)
    fill(warehouse, {"subject_id": "900"}, {"subject_id": "901", "study_date": later}, {"subject_id": "902"})
    cohort = build(warehouse, linked_study(tmp_path, "1,900", "1,901", "2,902"))
    assert cohort.subjects.select("subject_id", "sop_instance_uid").rows() == [("1", "1.0"), ("2", "1.2")]
    assert cohort.images["subject_id"].to_list() == ["1", "1", "2"]
    assert cohort.follow_up["death"]["subject_id"].to_list() == ["1", "2"]


def test_only_the_linkage_table_links_where_there_is_one(tmp_path: Path, warehouse: Warehouse) -> None:
    """PatientID 2 is somebody else than the follow-up table's 2."""
    fill(warehouse, {"subject_id": "900"}, {"subject_id": "2"}, {"subject_id": "901"})
    cohort = build(warehouse, linked_study(tmp_path, "1,900", "3,901"))
    assert cohort.subjects["subject_id"].to_list() == ["1"]
    assert unmatched_rows(warehouse).rows() == [
        ("table", "2", 2, None, "not in the linkage table"),
        ("images", "3", None, 1, "linked to an id that the follow-up table does not have"),
        ("images", "unlinked 2", None, 1, "not in the linkage table"),
    ]


def test_a_subject_was_trained_on_if_one_of_its_patient_ids_was(tmp_path: Path, warehouse: Warehouse) -> None:
    fill(warehouse, {"subject_id": "900"}, {"subject_id": "902"})
    settings = linked_study(tmp_path, "1,900", "1,901", "2,902")
    import_outcomes(warehouse, settings)
    key = ModelKey(KEY.model_id, KEY.preprocessing_id, lambda ids: {"901"} & set(ids))  # no image of 901 here
    images = subject_images(warehouse, settings, key)
    assert images.select("subject_id", pl.col("split") == "train").rows() == [("1", True), ("2", False)]


def test_all_patient_ids_of_a_subject_are_in_one_part(tmp_path: Path, warehouse: Warehouse) -> None:
    fill(warehouse, *({"subject_id": f"9{n:02}"} for n in range(40)))
    settings = linked_study(
        tmp_path,
        *(f"{n // 2},9{n:02}" for n in range(40)),
        rows=tuple(f"{n},0,2018-03-01" for n in range(20)),
    )
    import_outcomes(warehouse, settings)
    parts = subject_images(warehouse, settings, KEY).group_by("subject_id").agg(pl.col("split").n_unique())
    assert parts["split"].to_list() == [1] * 20


def test_a_changed_linkage_forgets_the_parts_of_before(tmp_path: Path, warehouse: Warehouse) -> None:
    fill(warehouse, {"subject_id": "900"}, {"subject_id": "901"})
    import_outcomes(warehouse, linked_study(tmp_path, "1,900", "2,901"))
    part = pl.DataFrame({"subject_id": ["900"], "kind": ["vfa"], "split": ["test"], "seed": [1]})
    warehouse.append("splits", part)
    import_outcomes(warehouse, linked_study(tmp_path, "1,900", "2,901", rows=("1,1,2018-03-01",)))
    assert warehouse.table("splits").height == 1
    import_outcomes(warehouse, linked_study(tmp_path, "1,900", "1,901"))
    assert warehouse.table("splits").is_empty()


def test_wrong_tables_are_both_named_at_once_and_nothing_is_written(
    tmp_path: Path, warehouse: Warehouse
) -> None:
    fill(warehouse, {"subject_id": "900"})
    import_outcomes(warehouse, linked_study(tmp_path, "1,900"))
    before = contents(warehouse)
    settings = linked_study(tmp_path, "1,900", "2,900", rows=("1,2,2018-03-01", "1,0,2018-03-01"))
    with pytest.raises(TableError) as caught:
        import_outcomes(warehouse, settings)
    text = str(caught.value)
    for part in (
        "f.csv has 2 problems",
        "more than once",
        "holds",
        "links.csv: ",
        "several ids of `study_id`",
    ):
        assert part in text
    assert contents(warehouse) == before
    assert warehouse.table("runs").height == 1


@pytest.mark.parametrize(
    ("known", "ids", "keys", "hint"),
    [
        (
            ("00000007", "00000012"),
            ("7", "12"),
            "",
            r"2 would with leading zeros to 8 digits: say `id_width = 8`",
        ),
        (("7", "12"), ("007", "012"), "", r"2 would with leading zeros removed"),
        (("7", "12"), ("7", "12"), 'issuer = "H1"', r"2 would without an issuer"),
        (("AB-1", "CD-2"), ("10", "200"), "", r"written 99 \(1\), 999 \(1\), the images' AA-9 \(2\)"),
    ],
)
def test_a_table_nobody_of_which_matches_is_refused_with_what_would(
    known: tuple[str, ...], ids: tuple[str, ...], keys: str, hint: str, tmp_path: Path, warehouse: Warehouse
) -> None:
    fill(warehouse, *({"subject_id": patient_id} for patient_id in known))
    table(tmp_path, *(f"{patient_id},0,2018-03-01" for patient_id in ids))
    with pytest.raises(TableError, match=rf"0 of 2 ids match the PatientID of an image.*{hint}"):
        import_outcomes(warehouse, study(tmp_path, subjects=keys))
    assert not warehouse.has_table("subjects")


def test_some_who_do_not_match_are_a_warning_with_what_would(tmp_path: Path, warehouse: Warehouse) -> None:
    fill(warehouse, {"subject_id": "007"}, {"subject_id": "1234"})
    table(tmp_path, "7,0,2018-03-01", "1234,0,2018-03-01", "5,0,2018-03-01")
    stage = import_outcomes(warehouse, study(tmp_path))
    assert stage.counts == {"subjects": 3, "outcomes": 0, "with_image": 1}
    assert stage.warnings == (
        "2 of 3 subjects of the table have no image; 1 of them would with leading zeros to 3 digits: "
        "say `id_width = 3` under [subjects]",
    )


def test_a_table_may_come_before_the_images_and_is_read_again_when_they_have(
    tmp_path: Path, warehouse: Warehouse
) -> None:
    table(tmp_path, "a,0,2018-03-01")
    settings = study(tmp_path)
    assert "with_image" not in import_outcomes(warehouse, settings).counts
    assert not import_outcomes(warehouse, settings).changed
    fill(warehouse, {})
    assert import_outcomes(warehouse, settings).counts["with_image"] == 1


def test_ids_are_padded_by_the_rule_of_the_database(tmp_path: Path) -> None:
    table(tmp_path, "7,0,2018-03-01")
    settings = study(tmp_path, images="id_width = 4")
    with open_warehouse(settings.study.database, create=True) as warehouse:
        identify = pseudonymiser(warehouse, id_width=4)
        fill(warehouse, {"subject_id": identify("0007", None)})
        assert build(warehouse, settings).subjects.height == 1
        with pytest.raises(DatabaseError, match="has id_width = 4; id_width = 5"):
            import_outcomes(warehouse, study(tmp_path, images="id_width = 5"))


def test_sex_and_age_are_held_against_the_table_and_flags_can_be_used(
    tmp_path: Path, warehouse: Warehouse
) -> None:
    fill(
        warehouse,
        {"subject_id": "a"},
        {"subject_id": "b", "sex": "M"},
        {"subject_id": "c", "sex": None, "age_years": None},
        {"subject_id": "d", "age_years": 70.0},
    )
    rows = [f"{pid},0,2018-03-01,F,1955-03-01" for pid in "abcd"]
    table(tmp_path, *rows, header="pid,dead,end,sex,born")
    condition = "subject_flags not like '%sex_conflict%'"
    cohort = build(
        warehouse, study(tmp_path, ALL.format(where=condition), subjects='sex = "sex"\nbirth_date = "born"')
    )
    assert cohort.subjects.select("subject_id", "sex", "subject_flags").rows() == [
        ("a", "F", ""),
        ("c", "F", "sex_from_table age_from_table"),
        ("d", "F", "age_conflict"),
    ]
    assert cohort.subjects["age_years"].to_list() == pytest.approx([60.0, 60.0, 70.0], abs=0.01)
    facts = dict(cohort.facts.select("fact", "n").iter_rows())
    assert facts == {
        "sex_conflict": 0,
        "age_conflict": 1,
        "sex_from_table": 1,
        "age_from_table": 1,
        "sex_differs": 0,
        "birth_date_differs": 0,
        "several_days": 0,
        "both_kinds_on_index_day": 0,
    }


REFERENCE = """
[cohorts.reference]
role = "reference"
where = "split = 'reference'"
[cohorts.all]
where = "split = 'test'"
[models]
"Model 1" = ["age"]
[analysis]
bootstraps = 0
"""


def calibrated(folder: Path, born: str) -> Study:
    people = [
        f"s{n},{int(n % 3 == 0)},{date(2018, 3, 1) + timedelta(days=7 * n % 900)},{born if n == 0 else ''}"
        for n in range(200)
    ]
    table(folder, *people, header="pid,dead,end,born")
    settings = study(folder, REFERENCE, DEATH, subjects='birth_date = "born"')
    correction = settings.correction.model_copy(
        update={"method": "beheshti", "reference": {"vfa": "reference"}}
    )
    return settings.model_copy(update={"correction": correction})


def many(warehouse: Warehouse) -> None:
    fill(
        warehouse,
        *(
            {
                "subject_id": f"s{n}",
                "age_years": None if n == 0 else 50.0 + n % 30,
                "spine_age": 60.0 + n % 17,
            }
            for n in range(200)
        ),
    )


def test_an_age_of_the_table_reaches_the_corrected_scores_and_follows_the_table(
    tmp_path: Path, warehouse: Warehouse
) -> None:
    many(warehouse)
    for born, age in (("1950-03-01", 65.0), ("1945-03-01", 70.0)):
        settings = calibrated(tmp_path, born)
        import_outcomes(warehouse, settings)
        assert calibrate(warehouse, settings, KEY).changed
        images = subject_images(warehouse, settings, KEY).filter(pl.col("image_subject_id") == "s0")
        assert images["age_years"].item() == pytest.approx(age, abs=0.01)
        assert images["spine_age_corrected"].item() is not None
        assert images["age_from_table"].item()
        assert run_checks(warehouse) == []
    table(tmp_path, *(f"s{n},0,2018-03-01," for n in range(1, 200)), header="pid,dead,end,born")
    import_outcomes(warehouse, settings)
    images = subject_images(warehouse, settings, KEY).filter(pl.col("image_subject_id") == "s0")
    assert images.select("age_years", "spine_age_corrected").row(0) == (None, None)


def test_reference_subjects_are_of_the_right_age_and_never_analysed(
    tmp_path: Path, warehouse: Warehouse
) -> None:
    many(warehouse)
    settings = calibrated(tmp_path, "1950-03-01")
    import_outcomes(warehouse, settings)
    images = subject_images(warehouse, settings, KEY)
    young = settings.cohorts | {
        "reference": settings.cohorts["reference"].model_copy(update={"max_age": 60.0})
    }
    rows = reference_rows(images, settings.model_copy(update={"cohorts": young}), "vfa")
    assert rows.height > 0
    assert rows["age_years"].max() < 60  # type: ignore[operator]
    everybody = settings.cohorts | {"all": settings.cohorts["all"].model_copy(update={"where": "true"})}
    with pytest.raises(
        AnalysisError, match=r"subject\(s\) of cohort `all` are also in `reference`.*\(subject s"
    ):
        reference_rows(images, settings.model_copy(update={"cohorts": everybody}), "vfa")


def analysed(folder: Path, warehouse: Warehouse) -> Study:
    many(warehouse)
    settings = calibrated(folder, "1950-03-01")
    import_outcomes(warehouse, settings)
    calibrate(warehouse, settings, KEY)
    analyze(warehouse, settings, KEY)
    return settings


def test_an_analysis_stores_its_attrition_its_facts_and_who_is_unmatched(
    tmp_path: Path, warehouse: Warehouse
) -> None:
    analysed(tmp_path, warehouse)
    attrition, facts = warehouse.table("attrition"), warehouse.table("cohort_facts")
    assert attrition["unit"].unique().sort().to_list() == ["files", "images", "subjects", "table rows"]
    assert facts["cohort"].unique().to_list() == ["all"]
    assert warehouse.table("unmatched").is_empty()
    assert run_checks(warehouse) == []


TAMPERING = {
    "attrition_adds_up": "update attrition set n_excluded = n_excluded + 1 where step = 'readable'",
    "attrition_sides_meet": "update attrition set n_remaining = 7 where step = 'with an image of the cohort'",
    "attrition_starts_with_everything": "insert into files select * replace ('new'::blob as path_bytes) from files limit 1",
    "corrected_by_the_formula": "update corrected_scores set corrected_age = corrected_age + 1e-6 "
    "where sop_instance_uid = '1.5'",
    "files_have_one_state": "delete from images where sop_instance_uid = '1.7'",
    "results_count_the_analysed": "update results set n = n - 1 where analysis = 'incidence'",
    "scores_have_images": "delete from images where sop_instance_uid = '1.7'",
    "subjects_are_in_one_part": "insert into subject_links select 's' || i, 'one', 1 from range(200) t(i)",
    "subjects_are_linked_once": "insert into subject_links values ('s1', 's1', 1), ('s1', 's2', 1)",
    "unmatched_are_counted": "insert into unmatched select max(run_id), 'table', 'x', 1, null, 'y' from runs",
}


@pytest.mark.parametrize("name", sorted(TAMPERING))
def test_each_check_finds_what_it_is_for(name: str, tmp_path: Path, warehouse: Warehouse) -> None:
    analysed(tmp_path, warehouse)
    warehouse._connection.execute(TAMPERING[name])
    failed = {check.name: check for check in run_checks(warehouse)}
    assert name in failed
    assert failed[name].rows.height >= 1
    assert failed[name].meaning.startswith("One row per ")
    columns = set(failed[name].rows.columns)
    assert not columns & {"path", "path_bytes", "sop_instance_uid", "study_instance_uid"}


def test_there_is_no_check_without_a_test() -> None:
    assert set(check_names()) == set(TAMPERING)


def test_corrections_of_every_method_are_checked_by_their_formula(
    tmp_path: Path, warehouse: Warehouse
) -> None:
    many(warehouse)
    settings = calibrated(tmp_path, "1950-03-01")
    import_outcomes(warehouse, settings)
    warehouse._connection.execute(
        "update scores set spine_age = spine_age + (select age_years from images "
        "where images.sop_instance_uid = scores.sop_instance_uid) where sop_instance_uid <> '1.0'"
    )
    for method in ("cole", "age-level"):
        correction = settings.correction.model_copy(update={"method": method})
        calibrate(warehouse, settings.model_copy(update={"correction": correction}), KEY)
        assert run_checks(warehouse) == []
        change = "update corrected_scores set corrected_age = corrected_age + 1e-6 where method = $method"
        warehouse._connection.execute(change, {"method": method})
        (failed,) = run_checks(warehouse)
        assert failed.rows.filter(pl.col("method") == method).height == 200
        warehouse._connection.execute(change.replace("+", "-"), {"method": method})


def test_an_analysis_that_contradicts_the_database_is_not_stored(
    tmp_path: Path, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    many(warehouse)
    settings = calibrated(tmp_path, "1950-03-01")
    import_outcomes(warehouse, settings)
    calibrate(warehouse, settings, KEY)
    warehouse._connection.execute(
        "update corrected_scores set corrected_age = 0 where sop_instance_uid = '1.5'"
    )
    with pytest.raises(
        AnalysisError, match=r"`corrected_by_the_formula`: 1 row.* nothing was stored.*One row per corrected"
    ):
        analyze(warehouse, settings, KEY)
    for name in ("results", "curves", "points", "attrition", "cohort_facts", "unmatched"):
        assert warehouse.table(name).is_empty(), name
    assert warehouse.table("runs")["outcome"].to_list()[-1] == "failed"


def test_events_before_the_image_are_refused_for_all_endpoints_and_cohorts_at_once(
    tmp_path: Path, warehouse: Warehouse
) -> None:
    fill(warehouse, {"subject_id": "a"}, {"subject_id": "b", "kind": "radiograph"})
    table(tmp_path, "b,1,2014-03-01,2013-03-01", "a,1,2014-03-01,2013-03-01", header="pid,dead,end,hip")
    hip = '[endpoints.hip]\ntype = "survival"\nevent_date = "hip"\nend_date = "end"\n'
    other = "[cohorts.other]\nwhere = \"kind = 'radiograph'\"\n"
    settings = study(tmp_path, ALL.format(where="kind = 'vfa'"), other, DEATH, hip)
    import_outcomes(warehouse, settings)
    with pytest.raises(AnalysisError) as caught:
        build_cohorts(warehouse, settings, KEY)
    text = str(caught.value)
    assert text.count("endpoints.death: 1 subject(s)") == text.count("endpoints.hip: 1 subject(s)") == 2
    assert "row 2 of the table" in text
    assert text.count("before_image") == 1


def test_whether_exclude_where_holds_may_be_unknown(tmp_path: Path, warehouse: Warehouse) -> None:
    fill(warehouse, *({"subject_id": pid} for pid in "abc"))
    table(tmp_path, "a,0,2018-03-01,1", "b,0,2018-03-01,0", "c,0,2018-03-01,", header="pid,dead,end,ill")
    covariate = '[covariates.ill]\ncolumn = "ill"\n'
    settings = study(tmp_path, ALL.format(where="true"), covariate, DEATH + 'exclude_where = "ill = 1"\n')
    cohort = build(warehouse, settings)
    assert cohort.follow_up["death"]["subject_id"].to_list() == ["b"]
    assert [row[1:3] for row in steps(cohort) if row[0] == "follow-up"] == [
        ("excluded by exclude_where", 1),
        ("exclude_where unknown (missing values)", 1),
    ]


def test_an_empty_cohort_says_where_the_last_ones_left(tmp_path: Path, warehouse: Warehouse) -> None:
    fill(warehouse, {})
    table(tmp_path, "a,0,2018-03-01")
    settings = study(tmp_path, ALL.format(where="true") + "min_age = 70\n")
    with pytest.raises(
        AnalysisError, match=r"`all` is empty: 1 left at `right age` \(too young \(under 70\)\)"
    ):
        build(warehouse, settings)
    assert Attrition().last_exit() == "no image was scored"


def test_the_last_image_and_conflicts_draw_warnings(tmp_path: Path, warehouse: Warehouse) -> None:
    many(warehouse)
    settings = calibrated(tmp_path, "1950-03-01")
    settings = settings.model_copy(
        update={"images": settings.images.model_copy(update={"index_image": "last"})}
    )
    warehouse._connection.execute(
        "update images set sex = 'M', subject_id = 's2' where sop_instance_uid = '1.3'"
    )
    import_outcomes(warehouse, settings)
    calibrate(warehouse, settings, KEY)
    warnings = analyze(warehouse, settings, KEY).warnings
    assert any(text.startswith("index_image = last") for text in warnings)
    sexes = [text for text in warnings if "differ in sex" in text]
    split = subject_images(warehouse, settings, KEY).filter(pl.col("subject_id") == "s2")["split"][0]
    assert len(sexes) == (split == "test")


@pytest.mark.parametrize("method", ["beheshti", "cole", "age-level", "none"])
def test_rounded_ages_are_corrected_as_rounded_ages_are(
    method: str, tmp_path: Path, warehouse: Warehouse
) -> None:
    many(warehouse)
    warehouse._connection.execute(
        "update scores set spine_age = 30.1 + 0.5 * (select age_years from images "
        "where images.sop_instance_uid = scores.sop_instance_uid) where sop_instance_uid <> '1.0'"
    )
    warehouse._connection.execute("update scores set spine_age_rounded = floor(spine_age + 0.5)")
    settings = calibrated(tmp_path, "1950-03-01")
    correction = settings.correction.model_copy(update={"method": method})
    rounding = settings.analysis.model_copy(update={"use_rounded": True})
    settings = settings.model_copy(update={"correction": correction, "analysis": rounding})
    import_outcomes(warehouse, settings)
    calibrate(warehouse, settings, KEY)
    found = subject_images(warehouse, settings, KEY).filter(pl.col("sop_instance_uid") != "1.0")
    assert (found["spine_age_raw"] == found["spine_age_rounded"]).all()
    assert (found["spine_age_raw"] % 1 == 0).all()
    # what the same database gives when the rounded ages are the ages
    warehouse._connection.execute("update scores set spine_age = spine_age_rounded")
    warehouse._connection.execute("delete from corrected_scores")
    plain = settings.model_copy(update={"analysis": rounding.model_copy(update={"use_rounded": False})})
    calibrate(warehouse, plain, KEY)
    wanted = subject_images(warehouse, plain, KEY).filter(pl.col("sop_instance_uid") != "1.0")
    ages, others = found["spine_age_corrected"], wanted["spine_age_corrected"]
    assert ages.null_count() == (ages.len() if method == "none" else 0)
    assert ((ages - others).drop_nulls().abs() < 1e-9).all()
    assert run_checks(warehouse) == []

"""Corrections fitted, taken from files, cross-fitted, refused: what is in force, and what is said of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from spinescore.analyze import analyze
from spinescore.calibrate import apply_to_database, calibrate, fit_corrections
from spinescore.core.correction import fold_of
from spinescore.core.correction_artefact import identify_correction
from spinescore.errors import AnalysisError, CorrectionError, SpineScoreError, StudyError
from spinescore.outcomes import import_outcomes
from spinescore.run import model_key
from spinescore.scores import export_scores
from spinescore.shell.cohorts import ModelKey, build_cohort, subject_images
from spinescore.shell.consistency import run_checks
from spinescore.shell.corrections import read_correction_file, write_correction_file
from spinescore.shell.warehouse import Warehouse, open_warehouse
from spinescore.study import Study
from tests.unit.verbs.made_up_scores import (
    COHORTS,
    REFERENCE,
    copy_made,
    make_database,
    make_people,
    make_study,
)

PEOPLE = {person["pid"]: person for person in make_people()}
ON_EVALUATED = 'reference = { vfa = "V" }'
V_ALONE = """
[cohorts.V]
where = "kind = 'vfa'"
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a database, made once."""
    folder = tmp_path_factory.mktemp("made")
    make_database(folder, list(PEOPLE.values()))
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    copy_made(made, tmp_path)
    return tmp_path


@pytest.fixture
def warehouse(folder: Path) -> Iterator[Warehouse]:
    with open_warehouse(folder / "c.duckdb") as opened:
        yield opened


def fit(warehouse: Warehouse, study: Study) -> Any:
    import_outcomes(warehouse, study)
    return fit_corrections(warehouse, study, model_key(warehouse, study))[1]


def use(warehouse: Warehouse, study: Study) -> pl.DataFrame:
    """Bring the study's correction into force and return its images."""
    import_outcomes(warehouse, study)
    key = model_key(warehouse, study)
    calibrate(warehouse, study, key)
    return subject_images(warehouse, study, key)


def state(warehouse: Warehouse) -> tuple[Any, ...]:
    return tuple(
        warehouse.table(name).sort(pl.all()).rows()
        for name in ("corrections", "correction_folds", "corrected_scores")
    )


def flags_of(images: pl.DataFrame, kind: str = "vfa") -> dict[str, str | None]:
    own = images.filter(pl.col("kind") == kind)
    return dict(zip(own["subject_id"], own["correction_flags"], strict=True))


def test_a_fit_says_whom_it_is_of_and_is_fitted_once(folder: Path, warehouse: Warehouse) -> None:
    study = make_study(folder)
    radiographs, films = fit(warehouse, study)
    images = subject_images(warehouse, study, model_key(warehouse, study))
    reference = images.filter((pl.col("kind") == "vfa") & (pl.col("split") == "reference"))
    assert films.n_reference == reference.height
    assert films.age_range == (reference["age_years"].min(), reference["age_years"].max())
    assert films.manufacturers[0][0] == "GE"
    assert sum(n for _, n in films.manufacturers) == reference.height
    assert films.synthetic
    assert (radiographs.kind, radiographs.fitted_kind, films.reference_cohort) == (
        "radiograph",
        "radiograph",
        "V reference",
    )
    slope, intercept = np.polyfit(
        reference["age_years"], reference["spine_age_raw"] - reference["age_years"], 1
    )
    assert (films.slope, films.intercept) == (pytest.approx(slope), pytest.approx(intercept))
    before = state(warehouse)
    assert not calibrate(warehouse, study, model_key(warehouse, study)).changed
    assert state(warehouse) == before
    assert run_checks(warehouse) == []


def test_a_file_corrects_as_the_fit_did_by_study_and_by_database(
    folder: Path, warehouse: Warehouse, tmp_path_factory: pytest.TempPathFactory, made: Path
) -> None:
    study = make_study(folder)
    corrections = fit(warehouse, study)
    file = folder / "sub" / "correction.json"
    write_correction_file(file, corrections)
    assert file.stat().st_mode & 0o077 == 0
    fitted = warehouse.table("corrected_scores").drop("run_id").sort("sop_instance_uid")
    for by_study in (True, False):
        other = tmp_path_factory.mktemp("other")
        copy_made(made, other)
        with open_warehouse(other / "c.duckdb") as elsewhere:
            if by_study:
                use(elsewhere, make_study(other, f'file = "{file}"'))
            else:
                assert apply_to_database(elsewhere, file, across_kinds=False).changed
                assert not apply_to_database(elsewhere, file, across_kinds=False).changed
            applied = elsewhere.table("corrected_scores").drop("run_id").sort("sop_instance_uid")
            assert run_checks(elsewhere) == []
        assert applied.equals(fitted)
        assert read_correction_file(file) == corrections


def test_a_bundle_brings_its_own_correction(folder: Path, warehouse: Warehouse) -> None:
    study = make_study(folder)
    file = folder / "correction.json"
    write_correction_file(file, fit(warehouse, study))
    own = make_study(folder, 'file = "bundle"')
    key = model_key(warehouse, own)
    with pytest.raises(CorrectionError, match="has no correction of its own"):
        calibrate(warehouse, own, key)
    calibrate(warehouse, own, replace(key, read_correction=file.read_bytes))
    images = subject_images(warehouse, own, replace(key, read_correction=file.read_bytes))
    assert images["spine_age_corrected"].null_count() == 0


def spoiled(folder: Path, corrections: Any, **changes: Any) -> Path:
    """Write corrections that say something else of themselves, with ids that fit."""
    file = folder / "spoiled.json"
    write_correction_file(file, [identify_correction(replace(c, **changes)) for c in corrections])
    return file


def test_files_that_do_not_fit_are_refused_in_a_line_and_what_was_in_force_stays(
    folder: Path, warehouse: Warehouse
) -> None:
    study = make_study(folder)
    corrections = fit(warehouse, study)
    written = folder / "correction.json"
    write_correction_file(written, corrections)
    edited = folder / "edited.json"
    edited.write_text(written.read_text().replace('"slope": -0', '"slope": -1'))
    radiograph_only = folder / "radiographs.json"
    write_correction_file(radiograph_only, corrections[:1])
    before = state(warehouse)
    cases = (
        (edited, "was altered: its id is not that of its content"),
        (folder / "nothing.json", "nothing.json cannot be read: No such file"),
        (folder / "f.csv", "f.csv is not JSON"),
        (
            spoiled(folder, corrections, model_id="0" * 16),
            "corrects ages of model 0000000000000000; the study's",
        ),
        (radiograph_only, "has none for images of kind vfa"),
    )
    for file, complaint in cases:
        with pytest.raises(CorrectionError, match=complaint) as caught:
            use(warehouse, make_study(folder, f'file = "{file}"'))
        assert "\n" not in str(caught.value)
        assert caught.value.next_step
        assert state(warehouse) == before
    other = spoiled(folder, corrections, preprocessing_id="1" * 16)
    with pytest.raises(
        CorrectionError, match="of preprocessing 1111111111111111; the study's are of preproc"
    ):
        use(warehouse, make_study(folder, f'file = "{other}"'))
    with pytest.raises(CorrectionError, match=r"preprocessing 1111111111111111; .* has scores of: `m` \("):
        apply_to_database(warehouse, other, across_kinds=False)
    with pytest.raises(CorrectionError, match="exists and is no correction file"):
        write_correction_file(folder / "f.csv", corrections)
    assert state(warehouse) == before
    assert (folder / "f.csv").read_text().startswith("pid,broken")


def test_a_correction_of_radiographs_reaches_vfa_only_when_asked_and_is_flagged(
    folder: Path, warehouse: Warehouse
) -> None:
    study = make_study(folder)
    radiographs = fit(warehouse, study)[0]
    file = folder / "radiographs.json"
    write_correction_file(file, [radiographs])
    with pytest.raises(CorrectionError, match="has none for images of kind vfa"):
        apply_to_database(warehouse, file, across_kinds=False)
    by_file = use(warehouse, make_study(folder, f'file = "{file}"\nacross_kinds = true'))
    both = 'reference = { radiograph = "R reference", vfa = "R reference" }'
    with pytest.raises(AnalysisError, match="has images of kind radiograph alone"):
        use(warehouse, make_study(folder, both))
    by_fit = use(warehouse, make_study(folder, f"{both}\nacross_kinds = true"))
    for images in (by_file, by_fit):
        films = images.filter(pl.col("kind") == "vfa")
        assert films["correction_flags"].str.contains("across_kinds").all()
        bias = radiographs.slope * films["age_years"] + radiographs.intercept
        assert films["spine_age_corrected"].to_list() == pytest.approx(
            (films["spine_age_raw"] - bias).to_list()
        )
        assert (
            not images.filter(pl.col("kind") == "radiograph")["correction_flags"].str.contains("across").any()
        )
    pad = (films["spine_age_corrected"] - films["age_years"]).mean()
    assert pad == pytest.approx(4, abs=1.2)  # what the kinds differ by stays in, as METHOD warns
    assert run_checks(warehouse) == []


def test_each_subject_is_corrected_by_the_fit_that_leaves_the_subject_out(
    folder: Path, warehouse: Warehouse
) -> None:
    study = make_study(folder, f"{ON_EVALUATED}\ncross_fit = 5", cohorts=V_ALONE)
    (correction,) = fit(warehouse, study)
    films = subject_images(warehouse, study, model_key(warehouse, study)).filter(pl.col("kind") == "vfa")
    folds = np.array([fold_of(s, seed=study.split.seed, n_folds=5) for s in films["subject_id"]])
    age, raw = films["age_years"].to_numpy(), films["spine_age_raw"].to_numpy()
    assert set(folds) == set(range(5))
    wanted = np.empty_like(raw)
    for fold in range(5):
        slope, intercept = np.polyfit(age[folds != fold], (raw - age)[folds != fold], 1)
        own = folds == fold
        wanted[own] = raw[own] - (slope * age[own] + intercept)
    assert films["spine_age_corrected"].to_numpy() == pytest.approx(wanted, abs=1e-9)
    assert len(correction.subjects) == len(correction.subject_folds) == films.height
    stored = warehouse.table("corrected_scores").join(films.select("sop_instance_uid"), on="sop_instance_uid")
    assert (
        stored.sort("sop_instance_uid")["fold"].to_list()
        == folds[films["sop_instance_uid"].arg_sort()].tolist()
    )
    assert set(flags_of(films).values()) <= {
        "cross_fit_correction",
        "outside_fitted_ages cross_fit_correction",
    }
    assert run_checks(warehouse) == []
    warehouse._connection.execute("update correction_folds set slope = slope + 1e-3 where fold = 2")
    (failed,) = run_checks(warehouse)
    assert failed.rows.height == (folds == 2).sum()


@pytest.mark.parametrize("method", ["cole", "age-level"])
def test_other_methods_cross_fit_too_and_a_file_of_it_keeps_everybody_out_of_the_own_fold(
    method: str, folder: Path, warehouse: Warehouse
) -> None:
    study = make_study(folder, f'{ON_EVALUATED}\nmethod = "{method}"\ncross_fit = 4', cohorts=V_ALONE)
    file = folder / "correction.json"
    corrections = fit(warehouse, study)
    write_correction_file(file, corrections)
    before = warehouse.table("corrected_scores").drop("run_id").sort("sop_instance_uid")
    assert run_checks(warehouse) == []
    again = make_study(folder, f'file = "{file}"', cohorts=V_ALONE)
    assert not calibrate(warehouse, again, model_key(warehouse, again)).changed
    warehouse._connection.execute("delete from corrected_scores")
    use(warehouse, again)
    assert warehouse.table("corrected_scores").drop("run_id").sort("sop_instance_uid").equals(before)


def test_an_export_carries_the_flags_and_zhangs_z(folder: Path) -> None:
    study = make_study(folder, f'{REFERENCE}\nmethod = "age-level"', cohorts=YOUNGER)
    with open_warehouse(folder / "c.duckdb") as warehouse:
        levels = fit(warehouse, study)[1].levels
    export_scores(folder / "c.duckdb", folder / "out.parquet")
    films = pl.read_parquet(folder / "out.parquet").filter(pl.col("kind") == "vfa")
    of_year = {level.age: level for level in levels}
    nearest = [of_year[min(max(int(age), levels[0].age), levels[-1].age)] for age in films["age_years"]]
    wanted = [(raw - level.mean) / level.sd for raw, level in zip(films["pad_raw"], nearest, strict=True)]
    assert films["pad_z"].to_list() == pytest.approx(wanted, abs=1e-12)
    old = films.filter(pl.col("age_years") > 76)
    assert old.height > 10
    assert (old["correction_flags"] == "outside_fitted_ages").all()


def test_the_same_cohort_has_no_mean_and_no_slope_left_and_every_number_says_why(
    folder: Path, warehouse: Warehouse
) -> None:
    study = make_study(folder, f"{ON_EVALUATED}\nsame_cohort = true", cohorts=V_ALONE)
    films = use(warehouse, study).filter(pl.col("kind") == "vfa")
    pad = (films["spine_age_corrected"] - films["age_years"]).to_numpy()
    assert pad.mean() == pytest.approx(0, abs=1e-9)
    assert np.polyfit(films["age_years"], pad, 1)[0] == pytest.approx(0, abs=1e-9)
    analyze(warehouse, study, model_key(warehouse, study))
    results = warehouse.table("results")
    corrected = results.filter(pl.col("predictor").str.ends_with("_corrected"))
    assert corrected.height > 50
    assert corrected["flags"].list.contains("same_cohort_correction").all()
    raw = results.filter(pl.col("predictor").str.ends_with("_raw"))
    assert not raw["flags"].list.contains("same_cohort_correction").any()
    counted = results.filter(pl.col("analysis") == "correction").select("statistic", "value", "n").rows()
    assert counted == [
        ("n_outside_fitted_ages", 0.0, films.height),
        ("n_fitted_on", float(films.height), films.height),
        ("n_cross_fitted", 0.0, films.height),
    ]


def test_an_evaluated_cohort_is_not_fitted_on_unasked(folder: Path, warehouse: Warehouse) -> None:
    with pytest.raises(StudyError, match=r"cohort `V` is evaluated.*cross_fit = 10"):
        make_study(folder, ON_EVALUATED)
    overlapping = COHORTS.replace("kind = 'vfa' and split = 'test'", "kind = 'vfa'")
    with pytest.raises(AnalysisError, match="of cohort `V` are also in `V reference`") as caught:
        use(warehouse, make_study(folder, cohorts=overlapping))
    assert "cross_fit = 10" in caught.value.next_step
    assert warehouse.table("corrections").is_empty()


def test_a_files_fit_set_is_recognised_also_under_another_id_of_the_subject(
    folder: Path, warehouse: Warehouse
) -> None:
    """The file was fitted where patient ids were subjects; here a linkage table makes two of them one."""
    study = make_study(folder)
    file = folder / "correction.json"
    write_correction_file(file, fit(warehouse, study))
    apart = make_study(folder, f'file = "{file}"')
    images = use(warehouse, apart)
    in_fit = sorted(images.filter((pl.col("split") == "reference") & (pl.col("kind") == "vfa"))["subject_id"])
    evaluated = sorted(images.filter((pl.col("split") == "test") & (pl.col("kind") == "vfa"))["subject_id"])
    assert "same_cohort_correction" in str(flags_of(images)[in_fit[0]])
    assert "same_cohort" not in str(flags_of(images)[evaluated[0]])
    linked = [f"{pid},{pid}" for pid in PEOPLE if pid != in_fit[0]] + [f"{evaluated[0]},{in_fit[0]}"]
    (folder / "link.csv").write_text("\n".join(["theirs,pid", *linked]) + "\n")
    linkage = '[linkage]\nfile = "link.csv"\ntable_id = "theirs"\nimage_id = "pid"\n'
    everybody = COHORTS.replace(
        "kind = 'vfa' and split = 'test'", f"kind = 'vfa' and subject_id = '{evaluated[0]}'"
    )
    with pytest.raises(AnalysisError, match=r"1 subject\(s\) of cohort `V` are also in the fit set of"):
        use(warehouse, make_study(folder, f'file = "{file}"', more=linkage, cohorts=everybody))
    asked = make_study(folder, f'file = "{file}"\nsame_cohort = true', more=linkage, cohorts=everybody)
    flagged = use(warehouse, asked)
    assert "same_cohort_correction" in str(flags_of(flagged)[evaluated[0]])


def test_a_condition_that_hides_an_overlap_at_first_is_caught_when_the_cohort_is_built(
    folder: Path, warehouse: Warehouse
) -> None:
    hidden = COHORTS.replace("kind = 'vfa' and split = 'test'", "kind = 'vfa' and spine_age_corrected > 0")
    study = make_study(folder, cohorts=hidden)
    images = use(warehouse, study)
    with pytest.raises(AnalysisError, match=r"subject\(s\) would be corrected by a fit on themselves"):
        build_cohort(warehouse, images, study, "V", model_key(warehouse, study))


def test_subjects_the_network_was_trained_on_are_not_fitted_on_unasked(
    folder: Path, warehouse: Warehouse
) -> None:
    study = make_study(folder, ON_EVALUATED.replace('"V"', '"F"'), cohorts=COHORTS + FITTED_ON_ALL)
    plain = model_key(warehouse, study)
    key = ModelKey(
        plain.model_id, plain.preprocessing_id, lambda ids: {i for i in ids if i in {"s130", "s131"}}
    )
    import_outcomes(warehouse, study)
    with pytest.raises(AnalysisError, match=r"2 subject\(s\) of the reference cohort `F` were used to train"):
        calibrate(warehouse, study, key)
    asked = study.model_copy(update={"correction": study.correction.model_copy(update={"same_cohort": True})})
    calibrate(warehouse, asked, key)
    images = subject_images(warehouse, asked, key)
    assert set(flags_of(images).values()) == {"same_cohort_correction correction_trained_on"}
    (stored,) = warehouse.table("corrections")["artefact"]
    file = folder / "trained.json"
    file.write_text(stored)
    assert read_correction_file(file)[0].n_trained_on == 2


FITTED_ON_ALL = """
[cohorts.F]
role = "reference"
where = "kind = 'vfa'"
"""
YOUNGER = COHORTS.replace(
    "kind = 'vfa' and split = 'reference'", "kind = 'vfa' and split = 'reference' and age_years < 75"
)


def test_ages_that_were_not_fitted_on_are_flagged_left_out_or_refused(
    folder: Path, warehouse: Warehouse
) -> None:
    study = make_study(folder, f'{REFERENCE}\noutside = "flag"', cohorts=YOUNGER)
    images = use(warehouse, study)
    correction = fit(warehouse, study)[1]
    evaluated = images.filter((pl.col("kind") == "vfa") & (pl.col("split") == "test"))
    outside = evaluated.filter(~pl.col("age_years").is_between(*correction.age_range))
    assert outside.height > 20
    flagged = evaluated.filter(pl.col("correction_flags").str.contains("outside_fitted_ages"))
    assert flagged["subject_id"].equals(outside["subject_id"])
    key = model_key(warehouse, study)
    stage = analyze(warehouse, study, key)
    assert any(
        f"V: {outside.height} subjects: are of ages that their bias" in text for text in stage.warnings
    )
    counted = warehouse.table("results").filter(pl.col("statistic") == "n_outside_fitted_ages")
    assert counted.select("value", "n").rows() == [(float(outside.height), evaluated.height)]
    kept = build_cohort(warehouse, images, _with(study, outside="exclude"), "V", key)
    assert kept.subjects.height == evaluated.height - outside.height
    left = kept.attrition.filter(pl.col("reason") == "outside the ages its correction was fitted on")
    assert left["n_excluded"].to_list() == [outside.height]
    with pytest.raises(AnalysisError, match=rf"{outside.height} subject\(s\) are of ages that their bias"):
        build_cohort(warehouse, images, _with(study, outside="refuse"), "V", key)


def _with(study: Study, **changes: Any) -> Study:
    return study.model_copy(update={"correction": study.correction.model_copy(update=changes)})


@pytest.mark.parametrize(
    ("sql", "where", "method", "complaint"),
    [
        ("", "age_years < 46", "beheshti", r"Only \d+ reference subjects of kind vfa.*at least 20"),
        ("", "split = 'nobody'", "beheshti", "Only 0 reference subjects of kind vfa"),
        ("update images set age_years = 60", "true", "beheshti", "have one age"),
        (
            "update scores set spine_age = 60 + hash(sop_instance_uid) % 5",
            "true",
            "cole",
            "divides by the slope of spine age on age",
        ),
        ("update scores set spine_age = 'nan'", "true", "beheshti", "no finite number"),
    ],
)
def test_what_cannot_be_fitted_is_said_in_a_line_and_what_was_in_force_stays(
    sql: str, where: str, method: str, complaint: str, folder: Path, warehouse: Warehouse
) -> None:
    use(warehouse, make_study(folder))
    if sql:
        warehouse._connection.execute(sql)
    before = state(warehouse)
    narrowed = COHORTS.replace("kind = 'vfa' and split = 'reference'", f"kind = 'vfa' and {where}").replace(
        "kind = 'vfa' and split = 'test'", "kind = 'radiograph' and split = 'test'"
    )
    study = make_study(
        folder, f'reference = {{ vfa = "V reference" }}\nmethod = "{method}"', cohorts=narrowed
    )
    with pytest.raises(SpineScoreError, match=complaint) as caught:
        use(warehouse, study)
    assert "\n" not in str(caught.value)
    assert caught.value.next_step
    assert state(warehouse) == before


def test_a_study_that_asks_for_no_fit_is_told_so(folder: Path, warehouse: Warehouse) -> None:
    for correction, complaint in (
        ('file = "c.json"', "takes its correction from .*c.json: there is nothing to fit"),
        ('method = "none"', "asks for no fit"),
        ("", "asks for no fit"),
    ):
        study = make_study(folder, correction)
        with pytest.raises(CorrectionError, match=complaint):
            fit_corrections(warehouse, study, model_key(warehouse, study))


def test_settings_that_contradict_each_other_are_refused_by_the_study_file(folder: Path) -> None:
    for correction, complaint in (
        ('file = "c.json"\nmethod = "cole"', "the file says by which method: keep `file` or `method`"),
        (f'file = "c.json"\n{REFERENCE}', "a file is applied, not fitted: keep `file` or `reference`"),
        ('file = "c.json"\ncross_fit = 3', "folds are made where it is fitted"),
        (f"{REFERENCE}\ncross_fit = 3\nsame_cohort = true", "is what cross_fit avoids"),
        (f"{REFERENCE}\ncross_fit = 1", "cross_fit"),
        (f'{REFERENCE}\noutside = "drop"', "outside"),
    ):
        with pytest.raises(StudyError, match=complaint):
            make_study(folder, correction)


def test_a_correction_of_an_older_schema_is_carried_over_and_fitted_again(
    folder: Path, warehouse: Warehouse
) -> None:
    study = make_study(folder)
    fit(warehouse, study)
    warehouse._connection.execute("update corrections set artefact = null, fitted_kind = null")
    warehouse._connection.execute("update corrections set correction_id = 'old' || kind")
    warehouse._connection.execute(
        "update corrected_scores set flags = null, fold = null, correction_id = 'old' || "
        "(select kind from images where images.sop_instance_uid = corrected_scores.sop_instance_uid)"
    )
    images = subject_images(warehouse, study, model_key(warehouse, study))
    assert images["spine_age_corrected"].null_count() == 0
    assert images["correction_flags"].null_count() == images.height
    assert calibrate(warehouse, study, model_key(warehouse, study)).changed
    again = subject_images(warehouse, study, model_key(warehouse, study))
    assert again["spine_age_corrected"].equals(images["spine_age_corrected"])
    assert again["correction_flags"].null_count() == 0
    entries = [
        json.loads(text)["corrections"][0]["kind"]
        for text in warehouse.table("corrections")["artefact"].drop_nulls()
    ]
    assert sorted(entries) == ["radiograph", "vfa"]

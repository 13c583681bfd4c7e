"""Several images a subject, from a table of ages to the stored changes and the report, by the real verbs."""

from __future__ import annotations

import html
import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from spinescore.core.score_table import ScoreTable
from spinescore.listener import Listener
from spinescore.run import run_study
from spinescore.scores import ImportRequest, import_scores
from spinescore.shell.warehouse import open_warehouse
from spinescore.study import read_study
from tests.unit.statistics.made_up_images import make_images

STUDY = """
[report]
formats = []
[study]
title = "Repeated images"
database = "cohort.duckdb"
output = "report"
[model]
imported = "centre B"
[correction]
method = "none"
[subjects]
file = "follow-up.csv"
id = "subject_id"
[cohorts.clinic]
where = "kind = 'vfa'"
[analysis]
repeat_min_years = 1.0
bootstraps = 0
"""


def write_tables(folder: Path) -> pl.DataFrame:
    """Write ages and a follow-up table; returns the images of those who are in both."""
    images = make_images(120, seed=9).with_columns(pl.col("spine_age_raw", "age_years").round(6))
    images.write_csv(folder / "ages.csv")
    linked = images.filter(pl.col("subject_id") != "vfa-7")
    linked.select("subject_id", "sex").unique(maintain_order=True).write_csv(folder / "follow-up.csv")
    (folder / "study.toml").write_text(STUDY, encoding="utf-8")
    return linked


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, pl.DataFrame]:
    folder = tmp_path_factory.mktemp("repeats")
    images = write_tables(folder)
    columns = ScoreTable(
        file=folder / "ages.csv",
        id="subject_id",
        spine_age="spine_age_raw",
        age="age_years",
        study_date="study_date",
        sex="sex",
        kind_column="kind",
        image="sop_instance_uid",
    )
    import_scores(folder / "cohort.duckdb", ImportRequest(columns, "centre B", keep_identifiers=True))
    run_study(read_study(folder / "study.toml"), Listener())
    return folder, images


def test_stored_changes_are_the_slopes_of_each_subject_s_daily_means(
    finished: tuple[Path, pl.DataFrame],
) -> None:
    folder, images = finished
    with open_warehouse(folder / "cohort.duckdb") as warehouse:
        changes = warehouse.table("changes")
    assert changes["subject_id"].is_unique().all()
    assert "vfa-7" not in set(changes["subject_id"])
    for subject, n_days, change in changes.select("subject_id", "n_days", "pad_raw_per_year").iter_rows():
        own = images.filter(pl.col("subject_id") == subject)
        pad = own["spine_age_raw"] - own["age_years"]
        days = own.select("study_date", pad.alias("pad")).group_by("study_date").mean().sort("study_date")
        years = (days["study_date"] - days["study_date"][0]).dt.total_days().to_numpy() / 365.25
        assert n_days == days.height
        assert change == pytest.approx(np.polyfit(years, days["pad"].to_numpy(), 1)[0])
    assert min(changes["span_years"]) >= 1.0
    assert changes["pad_corrected_per_year"].null_count() == changes.height


def test_stored_pairs_are_two_images_of_a_day(finished: tuple[Path, pl.DataFrame]) -> None:
    folder, images = finished
    with open_warehouse(folder / "cohort.duckdb") as warehouse:
        repeats = warehouse.table("repeats")
    per_day = images.group_by("subject_id", "study_date").agg(pl.col("spine_age_raw"))
    several = per_day.filter(pl.col("spine_age_raw").list.len() > 1)
    first = several.sort("study_date").unique("subject_id", keep="first")
    assert set(repeats["subject_id"]) == set(first["subject_id"])
    joined = repeats.join(first, on=["subject_id", "study_date"])
    assert joined.height == repeats.height
    ranges = joined["spine_age_raw"].list.max() - joined["spine_age_raw"].list.min()
    assert joined["spine_age_difference"].abs().to_list() == pytest.approx(ranges.to_list())


def test_the_report_shows_them_and_knows_of_no_pixels(finished: tuple[Path, pl.DataFrame]) -> None:
    page = (finished[0] / "report" / "report.html").read_text(encoding="utf-8")
    text = html.unescape(re.sub(r"<(script|style).*?</\1>|<[^>]+>", " ", page, flags=re.DOTALL))
    assert "Measurement error from images of one kind and one day" in text
    assert "not estimable: pixels not known" in text
    assert "fitted by REML" in text
    assert "vfa-1" not in text
    assert "network" not in text


def test_results_and_tables_leave_no_subject_in_the_report_s_files(
    finished: tuple[Path, pl.DataFrame],
) -> None:
    files = [
        path for path in (finished[0] / "report").rglob("*") if path.suffix in {".json", ".csv", ".html"}
    ]
    assert len(files) > 3
    assert not [path for path in files if re.search(r"vfa-\d", path.read_text(encoding="utf-8-sig"))]

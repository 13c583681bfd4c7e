"""calibrate fit, apply and show as commands, and a cross-fitted study from its ages to its report."""

from __future__ import annotations

import html
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from spinescore.check_study import check_study
from spinescore.cli import app
from spinescore.core.correction_drawing import describe_lines, draw_bars, draw_fit, pool_bands
from spinescore.core.reporting.correction_page import build_correction_page
from spinescore.domain import AgeCell
from spinescore.errors import CorrectionError
from spinescore.listener import Listener
from spinescore.run import run_study
from spinescore.shell.corrections import read_correction_file
from spinescore.shell.warehouse import open_warehouse
from tests.unit.verbs.made_up_scores import copy_made, make_database, make_people, make_study

RUNNER = CliRunner()
EVALUATED = """
[cohorts.V]
where = "kind = 'vfa'"
"""
WIDTH = 80


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    make_database(folder, make_people())
    make_study(folder)
    invoke("fit", folder / "study.toml", "--output", folder / "correction.json")
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    copy_made(made, tmp_path)
    make_study(tmp_path)
    return tmp_path


def invoke(*arguments: object) -> Result:
    return RUNNER.invoke(app, ["calibrate", *map(str, arguments)], catch_exceptions=True)


def test_fit_apply_and_show_say_what_they_did(folder: Path) -> None:
    study, file = folder / "study.toml", folder / "c.json"
    fitted = invoke("fit", study, "--output", file, "--cross-fit", 4)
    assert fitted.exit_code == 0
    assert f"Written: {file}" in fitted.stdout
    assert "(4 folds)" in fitted.stdout
    assert "its next run fits without them" in fitted.stdout
    spoken = json.loads(invoke("apply", file, study, "--json").stdout)
    assert spoken["changed"] is False
    assert [entry["flags"]["cross_fit"] for entry in spoken["fits"]] == [4, 4]
    applied = invoke("apply", file, "--database", folder / "c.duckdb")
    assert applied.stdout.startswith("calibrate  same")
    shown = invoke("show", file)
    assert "cross-fitted: 4 folds; after = out of fold" in shown.stdout
    by_study = json.loads(invoke("show", study, "--json").stdout)
    assert [entry["correction_id"] for entry in by_study["drawn"]] == [
        e["correction_id"] for e in spoken["fits"]
    ]


def test_usage_that_means_nothing_is_refused(folder: Path) -> None:
    study, file = folder / "study.toml", folder / "c.json"
    for arguments in (("apply", file), ("apply", file, study, "-d", folder / "c.duckdb")):
        assert invoke(*arguments).exit_code == 2
    assert invoke("fit", study, "--cross-fit", 3, "--same-cohort").exit_code == 2
    taken = invoke("fit", study, "--output", folder / "f.csv")
    assert isinstance(taken.exception, CorrectionError)
    assert (folder / "f.csv").read_text().startswith("pid,")


def test_what_is_drawn_fits_a_terminal_and_shows_every_age(made: Path) -> None:
    for correction in read_correction_file(made / "correction.json"):
        plot, bars = draw_fit(correction), draw_bars(correction)
        lines = [*describe_lines(correction), *plot, *bars]
        assert max(map(len, lines)) <= WIDTH
        assert all(line == line.rstrip() or "│" in line for line in plot)
        marked = {column for line in plot[1:] for column, mark in enumerate(line) if mark in "●○◉"}
        assert len(marked) == len(correction.profile)
        counted = [int(line.split()[1]) for line in bars[1:]]
        assert sum(counted) == correction.n_reference


def test_a_plot_puts_points_where_they_belong(made: Path) -> None:
    """A mean of +10 at the youngest and -10 at the oldest: top left and bottom right."""
    ends = (AgeCell(40, 40, 9, 10.0, 1.0, 0.0, 1.0), AgeCell(89, 89, 9, -10.0, 1.0, 0.0, 1.0))
    correction = read_correction_file(made / "correction.json")[0]
    lines = draw_fit(replace(correction, profile=ends))
    rows = [line for line in lines[1:] if "┤" in line or "│" in line]
    assert rows[0].startswith("      +10 ┤")
    assert "●" in rows[0][:25]
    assert "●" in rows[-1][-25:]
    flat = (AgeCell(40, 40, 9, 0.0, 0.0, 0.0, 0.0), AgeCell(89, 89, 9, 0.0, 0.0, 0.0, 0.0))
    assert sum("◉" in line for line in draw_fit(replace(correction, profile=flat))[1:]) == 1
    assert draw_fit(replace(correction, profile=())) == []
    assert draw_bars(replace(correction, profile=())) == []


def test_bands_have_the_mean_and_sd_of_their_subjects() -> None:
    """Of 1, 3 (first cell) and 5, 7, 9 (second): mean 5, SD sqrt(10)."""
    cells = (AgeCell(60, 60, 2, 2.0, 2**0.5, 0.0, 0.0), AgeCell(61, 64, 3, 7.0, 2.0, 0.0, 0.0))
    (band,) = pool_bands(cells)
    assert (band.first, band.last, band.n) == (60, 64, 5)
    assert (band.mean, band.sd) == (pytest.approx(5.0), pytest.approx(10**0.5))


def test_the_page_stands_alone_and_says_what_the_correction_is(made: Path, tmp_path: Path) -> None:
    page = tmp_path / "fit.html"
    shown = invoke("show", made / "correction.json", "--html", page)
    assert f"Written: {page}" in shown.stdout
    text = page.read_text(encoding="utf-8")
    assert "default-src 'none'" in text
    assert not re.search(r"(?:src|href)=[\"']?(?:https?:)?//", text)
    assert "SYNTHETIC DATA" in text
    for correction in read_correction_file(made / "correction.json"):
        assert correction.correction_id in text
        assert correction.reference_sha256 in text
    drawn = build_correction_page(read_correction_file(made / "correction.json"))
    assert len(drawn.figures()) == 4
    assert sum(len(table.rows) for table in drawn.tables()) == sum(
        len(c.profile) for c in read_correction_file(made / "correction.json")
    )


def test_nothing_to_show_is_said(folder: Path) -> None:
    make_study(folder, 'method = "cole"')
    shown = invoke("show", folder / "study.toml")
    assert "None that can be drawn is in force" in shown.stdout
    assert isinstance(
        invoke("show", folder / "study.toml", "--html", folder / "x.html").exception, CorrectionError
    )


def test_study_check_says_whom_a_file_is_of_and_what_is_wrong_with_one(folder: Path, made: Path) -> None:
    file = made / "correction.json"
    found = check_study(make_study(folder, f'file = "{file}"'))
    assert found.problems == []
    assert found.references == [(c.kind, str(file), c.n_reference) for c in read_correction_file(file)]
    assert [cohort.name for cohort in found.cohorts] == ["V"]
    found = check_study(make_study(folder, 'file = "f.csv"'))
    assert [problem.split(". ")[0] for problem in found.problems] == [f"{folder / 'f.csv'} is not JSON"]


def test_a_cross_fitted_study_runs_to_a_report_that_says_so_wherever_it_shows(folder: Path) -> None:
    study = make_study(folder, 'reference = { vfa = "V" }\ncross_fit = 5', cohorts=EVALUATED)
    summary = run_study(study, Listener())
    assert [stage.stage for stage in summary.stages] == ["outcomes", "calibrate", "analyze", "report"]
    assert not run_study(study, Listener()).changed
    with open_warehouse(study.study.database) as warehouse:
        results = warehouse.table("results")
    corrected = results.filter(results["predictor"].str.ends_with("_corrected").fill_null(value=False))
    assert corrected.height > 50
    assert corrected["flags"].list.contains("cross_fit_correction").all()
    text = html.unescape((study.study.output / "report.html").read_text(encoding="utf-8"))
    caution = "cross-fitted within the cohort it is judged on"
    assert text.count(caution) >= 8  # the first page, footnotes of tables, captions of figures
    assert (
        "cross-fitted on subjects who are analysed here: each is corrected by a fit on the other folds"
        in text
    )
    assert "cross-fitted in 5 folds" in text
    assert "reference subjects who are not analysed here" not in text

"""Sections of the families of results beyond the main ones: what they print, and when they are absent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields

import pytest

from spinescore.core.reporting.check_tables import concordance_table
from spinescore.core.reporting.competing_tables import fine_gray_table, restricted_mean_table
from spinescore.core.reporting.curve_section import curve_section
from spinescore.core.reporting.cutoff_section import cutoff_section
from spinescore.core.reporting.document import Cell, Figure, Report, Row, Section, Table
from spinescore.core.reporting.family_methods import FAMILIES, family_methods
from spinescore.core.reporting.material import Material, ResultTable
from spinescore.core.reporting.methods import limits_section, methods_section
from spinescore.core.reporting.multiplicity_section import multiplicity_section
from spinescore.core.reporting.prediction_section import prediction_section
from spinescore.core.reporting.prediction_tables import horizon_models_table
from spinescore.core.reporting.sections import build_report
from spinescore.core.reporting.sensitivity_section import sensitivity_section
from spinescore.core.reporting.subgroup_section import subgroup_section
from spinescore.core.reporting.survival_tables import incidence_table
from spinescore.domain import Result
from spinescore.shell.render import draw_charts, render_html
from tests.unit.reporting.charts import check_chart
from tests.unit.reporting.conftest import COHORTS, FRACTURE, PREVALENT, make_study
from tests.unit.reporting.families import HOSTILE_FAMILY, HOSTILE_MAKER, PAD, every_row, full_material, ratio

SECTIONS: tuple[Callable[[Material], Section], ...] = (
    curve_section,
    subgroup_section,
    prediction_section,
    cutoff_section,
    sensitivity_section,
    multiplicity_section,
)


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Material:
    return full_material(make_study(tmp_path_factory.mktemp("study") / "report"))


@pytest.fixture(scope="module")
def full_report(full: Material) -> Report:
    return build_report(full)


def table(section: Section, key: str) -> Table:
    return next(block for block in section.blocks if isinstance(block, Table) and block.key == key)


def named(found: Table | None, *start: str) -> Row:
    """Return the first row whose first cells read so."""
    assert found is not None
    return next(row for row in found.rows if tuple(cell.text for cell in row.cells)[: len(start)] == start)


def texts(row: Row) -> list[str]:
    return [cell.text.replace("\u00a0", " ") for cell in row.cells]


def only(material: Material, *rows: Result) -> Material:
    values = {f.name: getattr(material, f.name) for f in fields(material)}
    return Material(**values | {"results": ResultTable([*material.results, *rows])})


@pytest.mark.parametrize("make", SECTIONS)
def test_without_rows_there_is_no_section(make: Callable[[Material], Section], material: Material) -> None:
    assert make(material).blocks == ()


def test_all_sections_stand_in_the_report_in_order(full_report: Report, report: Report) -> None:
    keys = [section.key for section in full_report.sections]
    new = ["curve", "subgroups", "checks", "prediction", "cutoffs", "sensitivity", "multiplicity"]
    assert [key for key in keys if key in new] == new
    assert not set(new) - {"checks"} & {section.key for section in report.sections}
    blocks = [block.key for block in (*full_report.tables(), *full_report.figures())]
    assert len(set(blocks)) == len(blocks)


def test_the_spline_prints_its_tests_and_knots_and_draws_its_line(full: Material) -> None:
    section = curve_section(full)
    found = table(section, "spline")
    row = named(found, "Model 1")
    assert texts(row)[1:5] == ["25 / 120", "12.86", "3", "0.005"]
    assert texts(row)[5:] == ["3.57", "2", "0.17", "−7.1, −1.8, 1.9, 7.5"]
    refused = found.rows[-1]
    assert refused.cells[2] == Cell(text="–", notes=("not estimable: too few distinct values of PAD",))
    (figure,) = [block for block in section.blocks if isinstance(block, Figure)]
    drawn = [values for values in figure.spec["datasets"].values() if len(values) == 17]
    assert drawn[0][0]["y"] == pytest.approx(1.05**-8, rel=1e-4)


def test_subgroups_print_every_level_and_the_interaction(full: Material) -> None:
    section = subgroup_section(full)
    found = table(section, "subgroups")
    assert texts(named(found, "Sex"))[1] == "interaction p = 0.068"
    female = named(found, "Female").cells[1]
    assert (female.text, female.detail) == ("1.83 (1.58–2.14)", "12 / 60")
    assert named(found, "ACME").cells[1] == Cell(text="–", detail="2 / 9", notes=("not estimable: 2 events",))
    assert "DXA VFA" not in [row.cells[0].text for row in found.rows]  # one level says nothing of others
    (figure,) = [block for block in section.blocks if isinstance(block, Figure)]
    by_label = {
        line["label"]: line
        for values in figure.spec["datasets"].values()
        for line in values
        if "label" in line
    }
    assert by_label["Sex"]["p"] == "0.068"
    assert (by_label["Female"]["p"], by_label["Female"]["estimate"]) == ("", "1.83 (1.58–2.14)")


def test_predictions_in_subgroups_are_external_where_they_can_be(full: Material) -> None:
    keys = {"analysis": "calibration", "statistic": "o_e_ratio", "endpoint": FRACTURE, "model": "Model 1"}
    level = {**PAD, **keys, "subgroup": "sex=F", "horizon_years": 5.0, "n": 60, "events": 12}
    rows = [
        Result(cohort=COHORTS[0], validation="apparent", value=1.11, lower=0.9, upper=1.3, **level),  # type: ignore[arg-type]
        Result(cohort=COHORTS[1], validation="apparent", value=1.22, **level),  # type: ignore[arg-type]
        Result(cohort=COHORTS[1], validation="external", value=1.33, **level),  # type: ignore[arg-type]
    ]
    found = table(subgroup_section(only(full, *rows)), "subgroup-predictions")
    assert [row.cells[0].text.rpartition(": ")[2] for row in found.rows if row.kind == "group"] == [
        "Derivation, apparent",
        "External, external",
    ]
    assert [row.cells[5].text for row in found.rows if row.kind == "indent"] == ["1.11", "1.33"]
    assert found.rows[1].cells[5].detail == "0.90–1.30"


def test_predictions_print_the_rows_however_judged(full: Material) -> None:
    section = prediction_section(full)
    brier = table(section, "brier")
    heads = [row.cells[0].text for row in brier.rows if row.kind == "group"]
    assert [head.rpartition(" at ")[2] for head in heads[:3]] == [
        "2 years: Derivation",
        "5 years: Derivation",
        "2 years: External",
    ]
    at = next(i for i, row in enumerate(brier.rows) if row.cells[0].text.endswith("at 5 years: Derivation"))
    apparent, corrected = brier.rows[at + 1], brier.rows[at + 2]
    assert texts(apparent)[1:] == ["apparent", "0.156", "0.146", "−0.010", "2.6", "3.6", "1.0"]
    assert apparent.cells[2].detail == "0.106–0.206"
    assert texts(corrected)[1] == "optimism-corrected"
    slope = named(table(section, "calibration"), "Model 1 + PAD", "apparent")
    assert (slope.cells[2].text, slope.cells[6].text, slope.cells[4].text) == ("20.7", "0.93", "")
    benefit = table(section, "net-benefit")
    assert [column.label for column in benefit.columns[2:]] == ["5%", "10%"]
    assert texts(named(benefit, "By Model 1 + PAD"))[1:] == ["apparent", "4.66", "1.33"]
    assert not [row for row in benefit.rows if "2 years" in row.cells[0].text]
    areas = horizon_models_table(full)
    assert texts(named(areas, "Model 1", "external"))[2:4] == ["25 / 120", "0.614 (0.564–0.664)"]
    assert texts(named(table(section, "horizon-auc-ages"), "Spine age, raw"))[2] == "0.655"


def test_external_lines_are_drawn_where_a_cohort_has_them(full: Material) -> None:
    figures = {block.key: block for block in prediction_section(full).blocks if isinstance(block, Figure)}
    assert {key.partition("-")[0] for key in figures} == {"calibration", "decision"}
    for key, first in (("calibration", 0.2), ("decision", 0.2)):
        figure = next(figure for name, figure in figures.items() if name.startswith(key))
        starts = {
            values[0]["y"]
            for values in figure.spec["datasets"].values()
            if len(values) == 11 and values[0].get("rule") == "with PAD"
        }
        assert starts == {0.1, first}


def test_sensitivity_analyses_say_what_differs(full: Material) -> None:
    section = sensitivity_section(full)
    found = table(section, "sensitivity")
    first = [row.cells[0].text for row in found.rows if row.kind == "indent"]
    assert first[:8] == [
        "Main analysis",
        "Common cases",
        "Multiple imputation",
        "Robust errors",
        "Cluster-robust errors",
        "Landmark at 1 year",
        "Landmark at 9 years",
        "Fine and Gray",
    ]
    cluster = named(found, "Cluster-robust errors")
    assert cluster.cells[1].text.endswith("; clusters: ward (50)")
    assert texts(cluster)[2:] == ["25 / 120", "5.0", "1.71 (1.46–2.02)", "0.021"]
    assert "fewer than 40 clusters" in cluster.cells[4].notes[0]
    assert named(found, "Landmark at 9 years").cells[4].notes == ("not estimable: 1 events",)
    assert "fraction of missing information 0.13" in named(found, "Multiple imputation").cells[1].text
    assert texts(named(table(section, "missing-covariates"), "Model 1"))[1:] == ["120", "5", "sex 5"]


def test_a_binary_primary_endpoint_has_odds_ratios(full: Material) -> None:
    study = full.study.analysis
    assert study.primary is not None
    primary = study.primary.model_copy(update={"endpoint": PREVALENT})
    changed = full.study.model_copy(update={"analysis": study.model_copy(update={"primary": primary})})
    keys = {"analysis": "logistic", "statistic": "or_per_sd", "endpoint": PREVALENT, "cause": None}
    rows = [ratio(1.29, **keys), ratio(1.21, **keys, variant="firth")]
    values = {f.name: getattr(full, f.name) for f in fields(full)}
    results = ResultTable([*full.results, *rows])
    section = sensitivity_section(Material(**values | {"study": changed, "results": results}))
    found = table(section, "sensitivity")
    assert found.columns[4].label == "OR per SD (95% CI)"
    assert texts(named(found, "Firth's penalty"))[4] == "1.21 (0.96–1.52)"
    (figure,) = [block for block in section.blocks if isinstance(block, Figure)]
    assert "Odds ratio per SD" in str(figure.spec)


def test_families_print_plain_and_adjusted_p_and_name_the_primary(full: Material) -> None:
    found = table(multiplicity_section(full), "multiplicity")
    assert found.rows[0].cells[0].text == f"Family: {HOSTILE_FAMILY} (2 tests)"
    row = texts(found.rows[1])
    assert row[1:] == [
        "Derivation, Model 1 (primary)",
        "25 / 120",
        "1.74 (1.46–2.07)",
        "0.012",
        "0.025",
        "0.018",
    ]


def test_cut_offs_print_their_four_shares(full: Material) -> None:
    found = table(cutoff_section(full), "cutoffs")
    row = named(found, "PAD, corrected ≥ −5 years")
    assert texts(row)[1:] == ["30 / 120", "51.2", "61.2", "71.2", "81.2"]
    assert row.cells[2].detail == "43.7–58.5"


def test_competing_events_stand_beside_one_another(full: Material, material: Material) -> None:
    found = fine_gray_table(full)
    assert texts(named(found, full.endpoint_title(FRACTURE)))[3:] == [
        *("1.74 (1.46–2.07)", "0.012"),
        *("1.58 (1.33–1.89)", "0.021"),
    ]
    assert texts(named(found, "Death first"))[5] == "1.02 (0.77–1.33)"
    assert fine_gray_table(material) is None
    keys = {block.key for block in build_report(material).tables()}
    assert "competing" in keys
    assert "competing" not in {block.key for block in build_report(full).tables()}


def test_time_lost_and_standardised_rates_are_printed(full: Material, material: Material) -> None:
    found = restricted_mean_table(full)
    assert texts(named(found, "All"))[1:3] == ["9 / 40", "0.56 (0.44 to 0.69)"]
    assert texts(named(found, "T3 minus T1"))[2:] == ["0.49 (0.18 to 0.80)", "0.002"]
    assert restricted_mean_table(material) is None
    rates = incidence_table(full)
    assert rates.columns[5].label.startswith("Standardised rate")
    cell = named(rates, "T3 > 2.0 y").cells[5]
    assert cell.text == "66.0 (48.1–88.9)"
    assert "strata" in cell.notes[0]
    assert len(incidence_table(material).columns) == len(rates.columns) - 1


def test_every_concordance_is_shown_however_judged(full: Material) -> None:
    keys = {"endpoint": FRACTURE, "model": "Model 1", "n": 120, "events": 25, "analysis": "concordance"}
    rows = [
        Result(cohort=COHORTS[0], statistic="c", validation=how, method=method, value=value, **keys)  # type: ignore[arg-type]
        for how, method, value in (
            ("apparent", "harrell", 0.641),
            ("optimism_corrected", "harrell", 0.622),
            ("apparent", "uno", 0.633),
        )
    ]
    found = concordance_table(only(full, *rows))
    shown = [(texts(row)[1], texts(row)[3]) for row in found.rows if row.kind == "indent"][:3]
    assert shown == [
        ("Harrell's C, apparent", "0.641"),
        ("Harrell's C, optimism-corrected", "0.622"),
        ("Uno's C, apparent", "0.633"),
    ]


def test_methods_cite_what_was_run_and_limits_say_what_was_not(full: Material, material: Material) -> None:
    text, cited = family_methods(full, 11)
    numbers = [f"[{number}]" for number in range(11, 11 + len(cited))]
    assert all(number in text for number in numbers)
    assert "{" not in text
    assert any(reference.startswith("Holm S") for reference in cited)
    assert family_methods(material, 11) == ("", ())
    analyses = {family.analysis for family in FAMILIES} - {"", "concordance", "reclassification"}
    assert analyses <= {row.analysis for row in every_row()}
    limits = [str(block) for block in limits_section(full).blocks]
    assert not any("not imputed" in text or "corrected for optimism" in text for text in limits)
    plain = " ".join(str(block) for block in limits_section(material).blocks)
    assert "not imputed" in plain
    assert "not corrected for optimism" in plain
    assert "Holm" not in " ".join(str(block) for block in methods_section(material).blocks)


def test_every_chart_of_the_families_is_valid(full: Material) -> None:
    figures = [block for make in SECTIONS for block in make(full).blocks if isinstance(block, Figure)]
    assert len(figures) == 5
    for figure in figures:
        check_chart(figure)


def test_hostile_names_come_out_as_text(full_report: Report) -> None:
    page = render_html(full_report, draw_charts(full_report), "screen")
    assert "&lt;img src=x onerror=alert(3)&gt;" in page
    assert "<img src=x" not in page
    assert HOSTILE_MAKER not in page
    assert "&lt;/script&gt;&lt;script&gt;alert(&#39;maker&#39;)" in page

"""The section on repeated images: what it shows, and what it says where there is nothing to show."""

from __future__ import annotations

from dataclasses import fields

import polars as pl
import pytest

from spinescore.core.analysis import analyze
from spinescore.core.reporting.document import Figure, Paragraph, Report, Section, Table
from spinescore.core.reporting.material import Material, ResultTable
from spinescore.core.reporting.methods import methods_section
from spinescore.core.reporting.repeated_section import repeated_section
from spinescore.core.reporting.sections import build_report
from spinescore.core.reporting.theme import unchecked_charts
from spinescore.domain import as_row
from spinescore.shell.render import draw_charts, render_html
from tests.unit.reporting.conftest import make_material
from tests.unit.statistics.made_up_images import STUDY, make_clinic, make_images


def material_of(images: pl.DataFrame, **changes: object) -> Material:
    found = analyze([make_clinic(images)], STUDY, correction_method="beheshti", correction_flags={})
    curves = pl.DataFrame([as_row(point) for point in found.curves], infer_schema_length=None)
    parts: dict[str, object] = {"curves": curves, "points": found.points, "repeats": found.repeats}
    return make_material(STUDY, results=ResultTable(found.results), attrition=ATTRITION, **parts, **changes)


ATTRITION = pl.DataFrame(
    {
        "cohort": ["Clinic"],
        "position": [1],
        "step": ["files found"],
        "endpoint": pl.Series([None], dtype=pl.String),
        "reason": [""],
        "n_excluded": [0],
        "n_remaining": [10],
    }
)


@pytest.fixture(scope="module")
def clinic() -> Material:
    return material_of(pl.concat([make_images(), make_images(3000, kind="radiograph", seed=8)]))


@pytest.fixture(scope="module")
def section(clinic: Material) -> Section:
    with unchecked_charts():
        return repeated_section(clinic)


def table(section: Section, key: str) -> Table:
    return next(block for block in section.blocks if isinstance(block, Table) and block.key == key)


def figures(section: Section) -> dict[str, Figure]:
    return {block.key: block for block in section.blocks if isinstance(block, Figure)}


def test_tables_and_figures_show_every_kind(section: Section) -> None:
    for key, heads in (
        ("repeated-images-counts", ["Radiograph", "DXA VFA"]),
        ("measurement-error", ["Clinic: Radiograph", "Clinic: DXA VFA"]),
        ("change-per-year", ["Clinic: Radiograph", "Clinic: DXA VFA"]),
    ):
        first = [row.cells[0].text for row in table(section, key).rows]
        assert [text for text in first if text in heads] == heads
    assert set(figures(section)) == {"agreement", "change-per-year-distribution"}


def test_the_tables_print_what_was_computed(clinic: Material, section: Section) -> None:
    found = clinic.results.find(
        "Clinic", "repeated_images", "within_subject_sd", predictor="pad_raw", subgroup="kind=vfa"
    )
    assert found is not None
    assert found.value is not None
    rows = table(section, "measurement-error").rows
    start = [row.cells[0].text for row in rows].index("Clinic: DXA VFA")
    raw = next(row for row in rows[start:] if row.cells[0].text == "PAD, raw")
    assert raw.cells[3].text == f"{found.value:.2f}"
    share = clinic.results.find(
        "Clinic", "repeated_images", "share_beyond_sdc", predictor="pad_raw", subgroup="kind=vfa"
    )
    assert share is not None
    assert share.value is not None
    rows = table(section, "change-per-year").rows
    start = [row.cells[0].text for row in rows].index("Clinic: DXA VFA")
    assert rows[start + 1].cells[-1].text == f"{100 * share.value:.1f}"
    assert "neither corrected" in rows[start + 1].cells[2].notes[0]


def test_more_than_2000_pairs_are_drawn_as_cells(clinic: Material, section: Section) -> None:
    kinds = clinic.repeats["kind"].value_counts()
    assert max(kinds["count"]) > 2000 > min(kinds["count"])
    drawn = figures(section)["agreement"].spec["datasets"].values()
    assert max(len(rows) for rows in drawn) < 2000
    assert "shaded by the number" in figures(section)["agreement"].caption


def test_one_image_a_subject_is_one_honest_line() -> None:
    images = make_images(60, days=1, repeats=0)
    blocks = repeated_section(material_of(images)).blocks
    assert len(blocks) == 1
    assert isinstance(blocks[0], Paragraph)
    assert blocks[0].text.startswith("No subject of these cohorts has two images of one kind, so neither")


def test_copies_are_named_where_they_are_all_there_is() -> None:
    images = make_images(60, days=1, repeats=0)
    copies = images.with_columns(pl.col("sop_instance_uid") + ".copy")
    (block,) = repeated_section(material_of(pl.concat([images, copies]))).blocks
    assert isinstance(block, Paragraph)
    assert "(60 further images were copies of another of the same subject)" in block.text


def test_an_analysis_without_these_rows_has_no_section(material: Material, report: Report) -> None:
    assert repeated_section(material).blocks == ()
    assert "repeated-images" not in {section.key for section in report.sections}


def test_days_without_repeats_show_change_and_say_why_there_is_no_error() -> None:
    with unchecked_charts():
        section = repeated_section(
            material_of(make_images(200, repeats=0).unique(["subject_id", "study_date"]))
        )
    error = table(section, "measurement-error").rows[1]
    assert error.cells[3].text == "–"
    assert error.cells[3].notes == ("not estimable: no subjects with same-day repeats",)
    change = table(section, "change-per-year").rows[1]
    assert change.cells[2].text != "–"
    assert change.cells[-1].text == "–"
    assert set(figures(section)) == {"change-per-year-distribution"}


def test_methods_cite_what_was_done_only_where_it_was(clinic: Material, material: Material) -> None:
    def text(of: Material) -> str:
        blocks = methods_section(of).blocks
        return " ".join(str(getattr(block, f.name)) for block in blocks for f in fields(block))

    assert "Laird NM" in text(clinic)
    assert "fitted by REML [14]" in text(clinic)
    assert "Laird NM" not in text(material)
    assert "REML" not in text(material)


def test_the_page_holds_the_section_and_no_subject(clinic: Material) -> None:
    report = build_report(clinic)
    page = render_html(report, draw_charts(report), "screen")
    assert "Who has repeated images" in page
    assert 'id="repeated-images"' in page
    assert "vfa-1" not in page  # a subject's id

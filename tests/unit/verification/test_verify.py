"""`spinescore verify`: it can fail, says what differs, and writes the same numbers everywhere."""

from __future__ import annotations

import csv
import json
import math
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from pypdf import PdfReader
from typer.testing import CliRunner

import spinescore.verify as module
from spinescore.cli import app
from spinescore.core.reporting.document import Callout, Table
from spinescore.core.verification.case import Case, Comparison, Family, compare, compare_each, run_case
from spinescore.core.verification.document import (
    build_document,
    format_digits,
    format_small,
    format_tolerance,
)
from spinescore.core.verification.families import every_family
from spinescore.core.verification.verification import Verification, verification_json
from spinescore.shell.reference_files import read_references
from spinescore.verify import verify_statistics, write_verification

RUNNER = CliRunner()


def case_of(*comparisons: Comparison, key: str = "one") -> Case:
    return Case(
        key=key, title="A mean", convention="plain", call="mean(x)", source="roc", compare=lambda: comparisons
    )


def verification_of(*cases: Case) -> Verification:
    family = Family("some", "Some statistics", cases)
    outcomes = tuple(run_case(case) for case in cases)
    made_at = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
    return Verification([(family, outcomes)], read_references(), {"spinescore": "0"}, "a machine", made_at)


@pytest.mark.parametrize(
    ("ours", "theirs", "agrees"),
    [
        (1.0, 1.0, True),
        (1 + 0.9e-6, 1.0, True),
        (1 + 1.1e-6, 1.0, False),
        (-1.0, 1.0, False),
        (None, None, True),
        (None, 1.0, False),
        (1.0, None, False),
        (math.inf, 1.0, False),
        (1e-20, 2e-20, False),
        (1e-20, 0.0, True),
        ([1e-17, 1.0], [0.0, 1.0], True),
        ([1e-5, 1.0], [0.0, 1.0], False),
    ],
)
def test_numbers_agree_within_the_relative_tolerance_and_nowhere_else(
    ours: object, theirs: object, agrees: bool
) -> None:
    assert compare("x", ours, theirs, 1e-6).agrees is agrees


def test_the_number_furthest_from_rs_is_the_one_shown() -> None:
    found = compare("x", [1.0, 2.0 + 1e-9, 300.0], [1.0, 2.0, 300.0 + 1e-8])
    assert found.furthest == 1
    assert found.relative_differences[1] == pytest.approx(5e-10, rel=1e-3)


def test_sides_of_different_length_are_no_comparison() -> None:
    with pytest.raises(ValueError, match="2 numbers beside 1"):
        compare("x", [1.0, 2.0], [1.0])
    with pytest.raises(ValueError, match="zip"):
        list(compare_each("x", ("a", "b"), [1.0], [1.0]))


def test_a_case_that_cannot_be_computed_does_not_agree() -> None:
    def fail() -> list[Comparison]:
        raise np.linalg.LinAlgError("singular")

    outcome = run_case(replace(case_of(), compare=fail))
    assert outcome.problem == "LinAlgError: singular"
    assert not outcome.agrees
    found = verification_of(replace(case_of(), compare=fail))
    assert not found.agrees
    assert "1 of 1 cases could not be computed" in found.verdict
    (table,) = [t for t in build_document(found).tables() if t.key == "some"]
    assert table.footnotes == (("a", "LinAlgError: singular"),)


def test_a_difference_is_told_on_the_first_page_and_on_every_page() -> None:
    found = verification_of(case_of(compare("mean", 1.5, 1.0)), case_of(compare("mean", 1, 1), key="two"))
    report = build_document(found)
    assert report.banner == report.running_head == "DIFFERENCES FROM R"
    (callout,) = [b for b in report.sections[0].blocks if isinstance(b, Callout)]
    assert callout.items == ("A mean, mean: 1.500000000 where R has 1",)
    assert found.verdict == "1 of 2 statistics agree with R within the tolerance"


def test_what_agrees_has_no_banner() -> None:
    report = build_document(verification_of(case_of(compare("mean", 1.0, 1.0))))
    assert report.banner == ""
    assert not [b for b in report.sections[0].blocks if isinstance(b, Callout)]


def test_tables_hold_both_numbers_their_differences_and_the_tolerance() -> None:
    found = verification_of(case_of(compare("mean", 2.5 + 2**-40, 2.5)))
    (table,) = [b for b in build_document(found).sections[1].blocks if isinstance(b, Table)]
    head, row = table.rows
    assert (head.cells[0].text, head.cells[0].detail) == ("A mean", "Plain. R: mean(x)")
    texts = [cell.text for cell in row.cells]
    assert texts == ["mean", "2.500000000", "2.500000000", "9.1×10⁻¹³", "3.6×10⁻¹³", "10⁻⁹", "yes"]


def test_numbers_are_printed_with_ten_digits_and_differences_with_two() -> None:
    assert format_digits(-0.5) == "−0.5000000000"
    assert format_digits(600.0) == "600"
    assert format_digits(2.770966075e-123) == "2.770966×10⁻¹²³"
    assert format_small(0.0) == "0"
    assert format_tolerance(1e-6) == "10⁻⁶"
    assert format_small(math.inf) == "∞"


@cache
def this_machine() -> tuple[Verification, tuple[str, ...]]:
    begun: list[str] = []
    return verify_statistics(begun.append), tuple(begun)


def test_this_machine_agrees_with_every_case() -> None:
    found, begun = this_machine()
    assert found.agrees
    assert begun == tuple(family.title for family in every_family(found.references))
    assert {outcome.case.key for outcome in found.outcomes} == {
        case.key for family in every_family(found.references) for case in family.cases
    }
    report = build_document(found)
    printed = {row.cells[0].text for table in report.tables() for row in table.rows}
    assert {c.statistic for c in found.comparisons} <= printed


def test_page_pdf_json_and_csv_hold_the_same_numbers(tmp_path: Path) -> None:
    found = verification_of(case_of(compare("mean", [2.5, None], [2.5, None])), case_of(key="two"))
    files, warnings = write_verification(found, tmp_path / "out")
    assert warnings == ()
    assert [f.name for f in files] == [f"verification.{kind}" for kind in ("html", "pdf", "json", "csv")]
    page, pdf, stored, table = files
    assert json.loads(stored.read_text()) == json.loads(json.dumps(verification_json(found)))
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert [(row["position"], row["spinescore"], row["statistic_agrees"]) for row in rows] == [
        ("0", "2.5", "True"),
        ("1", "", "True"),
    ]
    assert found.verdict in page.read_text()
    assert pdf.read_bytes().startswith(b"%PDF")
    text = "".join(p.extract_text() for p in PdfReader(pdf).pages)
    assert "2.500000000" in text
    assert "R: mean(x)" in text


def test_the_command_prints_every_statistic_and_exits_with_0(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "verify_statistics", lambda: this_machine()[0])
    done = RUNNER.invoke(app, ["verify"], env={"COLUMNS": "118"})
    assert done.exit_code == 0, done.stdout
    assert "Efron's ties, no penalty\n  R: coxph(Surv(exit, status == 1) ~ pad" in done.stdout
    assert "statistics agree with R within the tolerance." in done.stdout
    assert max(len(line) for line in done.stdout.splitlines()) <= 118
    assert "NO" not in done.stdout.split()


def test_a_difference_ends_with_status_1_and_brief_shows_it_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong, right = case_of(compare("mean", 2.0, 1.0)), case_of(compare("median", 1.0, 1.0), key="two")
    family = Family("some", "Some statistics", (wrong, right))
    monkeypatch.setattr(module, "every_family", lambda references: (family,))
    done = RUNNER.invoke(app, ["verify", "--brief"])
    assert done.exit_code == 1
    assert "NO" in done.stdout.split()
    assert "median" not in done.stdout
    assert RUNNER.invoke(app, ["verify", "--quiet"]).stdout == ""
    spoken = json.loads(RUNNER.invoke(app, ["verify", "--json"]).stdout)
    assert spoken["agrees"] is False
    assert spoken["cases"][0]["statistics"][0]["spinescore"] == [2.0]

"""Which PatientID is whose; and ids that do not match are explained."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from spinescore.core.cohort.linkage import explain_mismatch, id_shapes, read_links
from spinescore.errors import TableError
from spinescore.shell.identity import Pseudonymiser, identifier_text
from spinescore.study import LinkageSection

SECTION = LinkageSection(file=Path("links.csv"), table_id="study_id", image_id="mrn", issuer="site")


def table(*rows: tuple[str | None, str | None, str | None]) -> pl.DataFrame:
    names = dict.fromkeys(("study_id", "mrn", "site"), pl.String)
    return pl.DataFrame(list(rows), schema=names, orient="row")


def test_several_patient_ids_are_one_subject_and_issuers_are_part_of_them() -> None:
    links = read_links(table(("1", "007", "H1"), ("1", "9", ""), ("2", "9", "H2")), SECTION, identifier_text)
    assert links.rows.rows() == [("H1\\007", "1"), ("9", "1"), ("H2\\9", "2")]
    assert links.warnings == ()


def test_the_tables_own_rules_for_ids_hold_for_its_ids_here() -> None:
    links = read_links(table(("1", "007", None)), SECTION, identifier_text, issuer="S", id_width=3)
    assert links.rows.rows() == [("007", "S\\001")]


def test_a_row_said_twice_is_said_once_and_warned_of() -> None:
    links = read_links(table(("1", "7", None), ("1", " 7", None)), SECTION, identifier_text)
    assert links.rows.height == 1
    assert "say again" in links.warnings[0]


def test_one_patient_id_for_two_subjects_is_refused_with_rows_and_everything_else() -> None:
    rows = table(("1", "7", None), ("2", "7", None), ("", "8", None), ("3", "", None))
    with pytest.raises(TableError) as caught:
        read_links(rows, SECTION, identifier_text)
    text = str(caught.value)
    assert text.startswith("links.csv has 3 problems:")
    assert "gives 1 PatientID(s) to several ids of `study_id` in 2 row(s): row 1, row 2" in text
    assert "column `study_id` is empty in 1 row(s): row 3" in text
    assert "column `mrn` is empty in 1 row(s): row 4" in text


def test_patient_ids_that_only_leading_zeros_part_are_one_where_the_database_says_so() -> None:
    rows = table(("1", "7", None), ("2", "007", None))
    assert read_links(rows, SECTION, Pseudonymiser(None)).rows.height == 2
    with pytest.raises(TableError, match="several ids"):
        read_links(rows, SECTION, Pseudonymiser(None, 3))


def test_a_missing_column_is_named_by_its_key() -> None:
    with pytest.raises(TableError, match=r"no column `mrn` \(linkage\.image_id; did you mean `mrm`"):
        read_links(table().rename({"mrn": "mrm"}), SECTION, identifier_text)


@pytest.mark.parametrize(
    ("ids", "known", "issuer", "n", "hint"),
    [
        (["0007", "0012"], ["7", "12"], None, 2, "leading zeros removed"),
        (["7", "12", "99"], ["00007", "00012"], None, 2, "id_width = 5"),
        (["ab1", "cd2"], ["AB1", "CD2"], None, 2, "in upper case"),
        (["12-34", "56 78"], ["1234", "5678"], None, 2, "without blanks and hyphens"),
        (["7.0"], ["7"], None, 1, "without what follows the last point"),
        (["7", "8"], ["7"], "H1", 1, "drop `issuer`"),
    ],
)
def test_ids_that_would_match_under_another_rule_say_so_with_counts(
    ids: list[str], known: list[str], issuer: str | None, n: int, hint: str
) -> None:
    key = b"k" * 32
    for identify in (identifier_text, Pseudonymiser(key)):
        subjects = pl.Series([identify(patient_id, None) for patient_id in known])
        found = explain_mismatch(pl.Series(ids), subjects, identify, issuer)
        assert found[0][0] == n
        assert hint in found[0][1]


def test_pseudonyms_in_place_of_ids_are_recognised() -> None:
    subjects = pl.Series([Pseudonymiser(b"k" * 32)("7", None)])
    ((n, hint),) = explain_mismatch(subjects, subjects, Pseudonymiser(b"k" * 32), None)
    assert (n, hint[:36]) == (1, "are subject ids of this database alr")


def test_ids_that_match_nothing_explain_nothing_and_show_no_id() -> None:
    ids = pl.Series(["AB-12", "CD-34", "é5"])
    assert explain_mismatch(ids, pl.Series(["x"]), identifier_text, None) == []
    assert id_shapes(ids) == "AA-99 (2), A9 (1)"

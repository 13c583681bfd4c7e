"""The default rules: what scanners and radiographers really write, and what becomes of it."""

from __future__ import annotations

import pickle
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spinescore.core.eligibility.rule_set import (
    FIELDS,
    LONGEST_KEPT,
    MOST_DECISIONS_KEPT,
    NO_RULE,
    REASONS,
    RuleSet,
)
from spinescore.core.eligibility.rule_tables import build_rule_set
from spinescore.core.eligibility.vocabulary import LONGEST_TEXT, fold, words_pattern
from spinescore.shell.indexing.rules import default_rules

CASES = Path(__file__).with_name("eligibility_cases.tsv")
RULES = default_rules()
LIMITS = {
    "min_side_pixels": 64,
    "max_side_pixels": 100,
    "max_pixels": 1000,
    "max_aspect_ratio": 8.0,
    "age_conflict_years": 1.5,
    "plausible_age_years": [0, 120],
}


def cases() -> list[tuple[str, dict[str, str]]]:
    """One case a line: what is expected, then field=text; the modality is DX unless it is said."""
    lines = CASES.read_text(encoding="utf-8").splitlines()
    rows = [line.split("\t") for line in lines if line and not line.startswith("#")]
    return [
        (expected, {"modality": "DX"} | dict(entry.split("=", 1) for entry in entries if entry))
        for expected, *entries in rows
    ]


def outcome(fields: dict[str, str], rules: RuleSet = RULES) -> str:
    decision = rules.decide(fields)
    return str(decision.kind or decision.reason)


def texts() -> st.SearchStrategy[dict[str, str]]:
    words = st.sampled_from(
        ["LAT", "AP", "L-Spine", "요추", "側面", "DXA", "Hologic", "LVA", "OBL", "CR", "OT", "chest", " "]
    )
    text = st.one_of(st.text(max_size=40), st.lists(words, max_size=5).map(" ".join))
    return st.dictionaries(st.sampled_from(FIELDS), text, max_size=8)


def test_the_cases_are_many_and_use_fields_that_exist() -> None:
    assert len(cases()) >= 300
    assert {name for _, fields in cases() for name in fields} <= set(FIELDS)
    assert {expected for expected, _ in cases()} <= {"radiograph", "vfa", *REASONS}


@pytest.mark.parametrize(("expected", "fields"), cases(), ids=[" ".join(f.values())[:70] for _, f in cases()])
def test_a_header_ends_as_a_radiographer_would_have_it(expected: str, fields: dict[str, str]) -> None:
    assert outcome(fields) == expected, RULES.decide(fields).rule


@pytest.mark.parametrize(
    "change", [str.upper, str.lower, lambda text: f" \t{text}\x00 ", lambda text: text.replace(" ", "_")]
)
def test_case_and_blanks_change_no_decision(change) -> None:
    for expected, fields in cases():
        assert outcome({name: change(text) for name, text in fields.items()}) == expected, fields


def test_every_rule_decides_some_case() -> None:
    """A rule that no case reaches is either dead or unproven."""
    used = {RULES.decide(fields).rule for _, fields in cases()}
    assert {rule.name for rule in RULES.rules} - used == set()


def test_every_rule_says_what_it_rests_on() -> None:
    assert {rule.source for rule in RULES.rules} == {"measured", "documentation", "standard"}
    assert all(rule.note for rule in RULES.rules if rule.kind == "vfa" and rule.source == "measured")


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(texts())
def test_any_header_gets_one_decision_and_its_explanation_agrees(fields: dict[str, str]) -> None:
    decision = RULES.decide(fields)
    assert (decision.kind is None) == (decision.reason is not None)
    steps = RULES.explain(fields)
    assert steps[-1].held
    assert steps[-1].rule.name == decision.rule
    assert not any(step.held for step in steps[:-1])


@settings(deadline=None)
@given(st.text(max_size=200))
def test_folding_is_stable(text: str) -> None:
    assert fold(fold(text)) == fold(text)
    assert len(fold(text)) <= LONGEST_TEXT


@pytest.mark.parametrize(
    ("word", "found", "not_found"),
    [
        ("lat", ["LAT", "l-spine lat.", "LAT1", "요추LAT"], ["plate", "bilateral", "lateral"]),
        ("lateral*", ["laterale", "LATERALIS"], ["bilateral"]),
        ("l spine", ["LSPINE", "L-Spine", "L/ SPINE", "l.spine"], ["tl spines", "l the spine"]),
        ("*wirbel", ["Lendenwirbel", "Wirbel"], ["Wirbelsäule"]),
        ("측면", ["요추측면", "측면상"], ["정면"]),
        ("ländrygg", ["Landrygg", "LÄNDRYGG"], []),
    ],
)
def test_words_are_found_whole_and_in_every_spelling(
    word: str, found: list[str], not_found: list[str]
) -> None:
    import re

    pattern = re.compile(words_pattern([word]), re.IGNORECASE)
    assert [text for text in found if not pattern.search(fold(text))] == []
    assert [text for text in not_found if pattern.search(fold(text))] == []


def test_a_pickled_rule_set_decides_alike_and_carries_no_decisions() -> None:
    RULES.decide({"modality": "CT"})
    copy = pickle.loads(pickle.dumps(RULES))
    assert copy == RULES
    assert hash(copy) == hash(RULES)
    assert not copy._kept
    assert all(copy.decide(fields) == RULES.decide(fields) for _, fields in cases())


def test_fields_name_what_a_header_must_be_asked_for() -> None:
    rules = build_rule_set(
        {
            "limits": LIMITS,
            "rule": [{"name": "a", "when": {"view": "x", "modality": "y"}, "reason": "modality"}],
        },
        "t",
    )
    assert rules.fields == ("modality", "view_position", "view_code")


def test_kept_decisions_are_bounded() -> None:
    rules = build_rule_set(
        {"limits": LIMITS, "rule": [{"name": "a", "when": {"modality": "y"}, "reason": "modality"}]}, "t"
    )
    for number in range(MOST_DECISIONS_KEPT + 10):
        rules.decide({"modality": str(number)})
    rules.decide({"modality": "z" * (LONGEST_KEPT + 1)})
    assert 0 < len(rules._kept) <= MOST_DECISIONS_KEPT
    assert max(map(len, (key[0] for key in rules._kept))) < LONGEST_KEPT


def test_without_any_rule_the_view_is_unknown() -> None:
    rules = build_rule_set({"limits": LIMITS}, "t")
    decision = rules.decide({"modality": "DX"})
    assert (decision.rule, decision.kind, decision.reason) == (NO_RULE, None, "view_unknown")


def test_an_explanation_says_what_was_found_where() -> None:
    steps = RULES.explain(
        {"modality": "DX", "view_position": "LL", "body_part": "L_Spine", "series_description": "Chest"}
    )
    last = steps[-1]
    assert last.rule.name == "described-other-part"
    found = {check.condition.field: check.found for check in last.checks if check.wanted}
    assert found == {"view_text": "chest"}
    assert last.checks[0].describe() == 'ok   when view_text has {other_part_words}: found "chest" in "chest"'
    assert any("fail" in check.describe() for step in steps[:-1] for check in step.checks)


def test_burned_in_regions_are_known_only_where_a_rule_knows_them() -> None:
    assert RULES.regions_to_blank({"burned_in": "NO"}) == ()
    assert RULES.regions_to_blank({"burned_in": "YES"}) is None
    assert RULES.regions_to_blank({}) is None


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "unit",
    [
        "a",
        "l spine ",
        "l / ",
        "lumbo",
        " l",
        "ap lat ",
        "columna ",
        "側",
        "é",
        "\x00",
        "\\",
        "LL\\",
        "1",
        "İ",
        "ﷺ",
    ],
)
def test_hostile_texts_take_no_more_than_a_moment(unit: str) -> None:
    """64 KB in every field: patterns see 1,024 characters and none of them backtracks without end."""
    text = (unit * 65536)[:65536]
    for modality in ("DX", "OT"):
        started = time.process_time()
        RULES.decide(
            dict.fromkeys(FIELDS, text) | {"modality": modality, "body_part": "", "anatomic_region": ""}
        )
        assert time.process_time() - started < 2.0

"""A user's rule file over the shipped one: what it changes, and how its mistakes are told."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from spinescore.core.eligibility.rule_tables import build_rule_set
from spinescore.errors import RulesError
from spinescore.shell.indexing.rules import default_rules, read_rules
from spinescore.shell.resources import resource

LATERAL = {"modality": "DX", "view_position": "LL", "body_part": "LSPINE"}
Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write_file(text: str) -> Path:
        path = tmp_path / "rules.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return write_file


def test_without_a_file_the_shipped_rules_hold() -> None:
    assert read_rules() is default_rules()
    assert default_rules().limits.plausible_age_years == (0, 120)
    assert default_rules().decide(LATERAL).kind == "radiograph"


def test_the_shipped_file_stands_the_thorough_reading_too() -> None:
    shipped = tomllib.loads(resource("data", "eligibility.toml").read_text(encoding="utf-8"))
    assert build_rule_set({}, "empty", shipped) == default_rules()


def test_own_rules_come_first_and_notes_do_not_change_the_id(write: Write) -> None:
    rule = '[[rule]]\nname = "no-dx"\nwhen = { modality = "^DX$" }\nreason = "local_no_dx"\nnote = "{}"\n'
    one, other = read_rules(write(rule.replace("{}", "a"))), read_rules(write(rule.replace("{}", "b")))
    assert one.decide(LATERAL).reason == "local_no_dx"
    assert one.rules_id == other.rules_id != default_rules().rules_id
    assert len(one.rules_id) == 16


def test_a_rule_can_be_placed_after_a_shipped_one(write: Write) -> None:
    text = '[[rule]]\nname = "mine"\nwhen = {{ body_part = "lspine" }}\nreason = "local_x"\n{} = "{}"\n'
    after = read_rules(write(text.format("after", "lateral-spine")))
    before = read_rules(write(text.format("before", "lateral-spine")))
    assert after.decide(LATERAL).kind == "radiograph"
    assert before.decide(LATERAL).rule == "mine"


def test_shipped_rules_can_be_disabled_and_replaced(write: Write) -> None:
    rules = read_rules(
        write(
            'disable = ["for-processing"]\n[[rule]]\nname = "for-processing"\nwhen = { modality = "zz" }\nreason = "modality"'
        )
    )
    raw = LATERAL | {"presentation_intent": "FOR PROCESSING"}
    assert default_rules().decide(raw).reason == "for_processing"
    assert rules.decide(raw).kind == "radiograph"


def test_vocabulary_is_added_to_or_replaced(write: Write) -> None:
    added = read_rules(
        write('[vocabulary]\nlateral_words = { add = ["zijkant"] }\nradiograph_modality = { add = ["dr"] }')
    )
    dutch = {"modality": "DR", "series_description": "LWK zijkant"}
    assert default_rules().decide(dutch).reason == "modality"
    assert added.decide(dutch).kind == "radiograph"
    assert added.decide(LATERAL).kind == "radiograph"
    replaced = read_rules(write('[vocabulary]\nlateral_words = ["zijkant"]'))
    assert replaced.decide({"modality": "DX", "series_description": "L-spine lat"}).kind is None


def test_limits_and_quality_are_overridden_one_by_one(write: Write) -> None:
    text = '[limits]\nmin_side_pixels = 200\n[quality]\nblurred = false\nlocal_dark = { measure = "contrast", below = 0.5 }'
    rules = read_rules(write(text))
    assert rules.limits.min_side_pixels == 200
    assert rules.limits.max_side_pixels == default_rules().limits.max_side_pixels
    assert "blurred" not in rules.quality
    assert rules.quality["local_dark"].below == 0.5
    assert rules.quality["saturated"] == default_rules().quality["saturated"]
    assert rules.rules_id != default_rules().rules_id


def test_a_file_can_stand_alone(write: Write) -> None:
    rules = read_rules(write('extends = "none"\n[[rule]]\nname = "all"\nkind = "radiograph"'))
    assert [rule.name for rule in rules.rules] == ["all"]
    assert rules.decide({"modality": "CT"}).kind == "radiograph"
    assert rules.limits == default_rules().limits


def test_regions_to_blank_come_from_the_file(write: Write) -> None:
    text = '[[blank]]\nname = "acme"\nwhen = { manufacturer = "^acme" }\nunit = "pixels"\nregions = [[0, 0, 300, 40]]'
    region = read_rules(write(text)).regions_to_blank({"manufacturer": "ACME", "burned_in": "YES"})
    assert region is not None
    assert (region[0].width, region[0].unit) == (300, "pixels")


def test_every_mistake_is_told_at_once(write: Write) -> None:
    text = """
surprise = 1
disable = ["frontal-veiw"]
[vocabulary]
lateral_word = "("
loop_a = "{loop_b}"
loop_b = "{loop_a}"
words_x = ["in*side"]
[limits]
min_side_pixels = -1
max_size = 2
[quality]
low_contrast = { measure = "contrasts", below = 1 }
clipped = { measure = "contrast" }
[[rule]]
name = "a"
when = { body_prat = "x", modality = "x(", series_description = "{latteral_words}", view_position = "a_b" }
kind = "radiograph"
reason = "modality"
[[rule]]
name = "a"
reason = "view_unknwon"
wen = {}
[[rule]]
reason = "modality"
[[rule]]
name = "c"
kind = "ct"
before = "nowhere"
when = { modality = 3, protocol_name = [] }
[[blank]]
name = "b"
regions = [[0, 0, 2, 1]]
"""
    with pytest.raises(RulesError) as caught:
        read_rules(write(text))
    told = str(caught.value)
    for part in (
        "unknown key 'surprise'",
        "no rule 'frontal-veiw' (did you mean 'frontal-view'?)",
        "'(' is no regular expression at character 1",
        "contains itself",
        "'words_x': neither",
        "min_side_pixels is a number above 0",
        "unknown key 'max_size'",
        "unknown measure 'contrasts' (did you mean 'contrast'?)",
        "as either below or above",
        "unknown field 'body_prat' (did you mean 'body_part'?)",
        "'x(' is no regular expression at character 2",
        "no vocabulary 'latteral_words' (did you mean 'lateral_words'?)",
        "underscores of headers",
        "either a kind or a reason",
        "two rules are called 'a'",
        "unknown reason 'view_unknwon' (did you mean 'view_unknown'?)",
        "unknown key 'wen' (did you mean 'when'?)",
        "a rule without a name",
        "kind is radiograph or vfa, not 'ct'",
        "before names no rule 'nowhere'",
        "a pattern is a text, not 3",
        "protocol_name is an empty list",
        "regions is a list",
    ):
        assert part in told, part
    assert caught.value.slug == "rules"
    assert len(caught.value.problems) >= 23


@pytest.mark.parametrize(
    ("content", "part"),
    [(b"[[rule", "is not TOML"), (b"a = '\xff'", "is not UTF-8"), (None, "cannot be read")],
)
def test_a_file_that_is_none_is_an_error_that_says_so(
    tmp_path: Path, content: bytes | None, part: str
) -> None:
    path = tmp_path / "rules.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(RulesError, match=part):
        read_rules(path)


@pytest.mark.parametrize(
    "text",
    [
        "rule = 1",
        "rule = [1]",
        "vocabulary = 1",
        "limits = 1",
        "quality = 1",
        "blank = 3",
        "disable = 1",
        'extends = "x"',
        '[[rule]]\nname = "a"\nwhen = 1\nreason = "modality"',
        '[[rule]]\nname = ["a"]\nkind = ["b"]\nsource = ["c"]',
        '[vocabulary]\nX = "a"',
        "[vocabulary]\nab = 1",
        "[quality]\nlow_contrast = 1",
        "[quality.clipped]\nmeasure = []\nbelow = true",
        "[limits]\nplausible_age_years = [1]",
        "[limits]\nmax_pixels = nan",
        '[[blank]]\nname = "x"\nregions = 1',
        '[[rule]]\nname = "no-rule"\nreason = "modality"',
        "[vocabulary]\nlateral_words = { add = 1 }",
        '[[rule]]\nname = "n"\nreason = "modality"\nwhen = { modality = "(?P<n>a)", view = ["(?P<n>{lateral_words})(?P<n>b)"] }',
    ],
)
def test_wrong_types_are_told_and_never_raise_anything_else(write: Write, text: str) -> None:
    with pytest.raises(RulesError):
        read_rules(write(text))


DOCUMENT = Path(__file__).parents[3] / "docs" / "eligibility.md"


def test_the_document_has_every_shipped_rule_and_what_it_decides() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    for rule in default_rules().rules:
        decides = f"**{rule.kind}**" if rule.kind else f"`{rule.reason}`"
        assert any(
            row.startswith(f"| `{rule.name}` |") and row.endswith(f"| {decides} | {rule.source} |")
            for row in rows
        ), rule.name


def test_the_document_s_example_is_a_file_that_works(write: Write) -> None:
    example = DOCUMENT.read_text(encoding="utf-8").split("```toml\n")[1].split("```")[0]
    rules = read_rules(write(example))
    bent = {"modality": "DX", "series_description": "L-spine lat flexion"}
    assert rules.decide(bent).reason == "local_flexion"
    assert rules.decide({"modality": "DR", "series_description": "LWK zijkant"}).kind == "radiograph"
    assert (
        rules.decide({"modality": "DX", "protocol_name": "Raum 7", "body_part": "SPINE"}).rule == "old-room"
    )

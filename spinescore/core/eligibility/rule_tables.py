"""Rule files, parsed from TOML, -> RuleSet; everything wrong with them is told at once.

A user's file extends the shipped one: both are laid together as tables first, then
read as one, so that what is right in one is right in the other.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import cast, get_args

from spinescore.core.eligibility.rule_layers import FILE_KEYS, Table, lay_over, nearest, table_of, tables_of
from spinescore.core.eligibility.rule_set import (
    FIELDS,
    JOINED_FIELDS,
    LOCAL_REASON,
    NO_RULE,
    REASONS,
    Blank,
    Condition,
    Limits,
    Region,
    Rule,
    RuleSet,
    Source,
    Threshold,
)
from spinescore.core.eligibility.vocabulary import REFERENCE, expand, fold_letters, words_pattern
from spinescore.domain import Kind
from spinescore.errors import RulesError

QUALITY_MEASURES = (
    "contrast",
    "clipped_low_share",
    "clipped_high_share",
    "saturated_share",
    "collimated_share",
    "sharpness",
    "spine_likeness",
)
RULE_KEYS = ("name", "when", "unless", "kind", "reason", "source", "note", "before", "after")
BLANK_KEYS = ("name", "when", "unless", "regions", "unit", "note")
FLAG = re.compile(r"[a-z][a-z0-9_]*")


def build_rule_set(table: Table, where: str, shipped: Table | None = None) -> RuleSet:
    """Return the rules that a parsed file declares.

    Parameters
    ----------
    table : mapping
        The file, as ``tomllib`` gives it.
    where : str
        Its name, for the error.
    shipped : mapping, optional
        The shipped file, which this one extends unless it says ``extends = "none"``.

    Raises
    ------
    RulesError
        Naming every problem.
    """
    reader = _Reader(thorough=shipped is not None)
    merged = lay_over(table, shipped, reader.problems) if shipped is not None else table
    reader.check_keys(merged, FILE_KEYS, "the file")
    reader.read_vocabulary(table_of(merged, "vocabulary", reader.problems))
    rules = tuple(reader.rule(rule) for rule in tables_of(merged, "rule", reader.problems))
    limits = reader.limits(table_of(merged, "limits", reader.problems))
    quality = reader.quality(table_of(merged, "quality", reader.problems))
    blank = tuple(reader.blank(entry) for entry in tables_of(merged, "blank", reader.problems))
    reader.check_names("rule", [rule.name for rule in rules])
    reader.check_names("blank", [entry.name for entry in blank])
    if reader.problems or limits is None:
        raise RulesError(where, reader.problems)
    return RuleSet(_content_id(rules, limits, quality, blank), rules, limits, quality, blank)


@dataclass
class _Reader:
    """Reads tables into values and notes what is wrong instead of stopping at it."""

    thorough: bool
    """Compile whole expressions too: half a second, saved on the shipped file, which tests compile."""
    problems: list[str] = field(default_factory=list)
    vocabulary: dict[str, str] = field(default_factory=dict)

    def check_keys(self, table: Table, known: Iterable[str], where: str) -> None:
        """Note every key that the format does not have."""
        known = tuple(known)
        self.problems += [
            f"{where}: unknown key {key!r}{nearest(key, known)}" for key in table if key not in known
        ]

    def check_names(self, what: str, names: list[str]) -> None:
        """Note every name used twice."""
        twice = sorted({name for name in names if name and names.count(name) > 1})
        self.problems += [
            f"two {what}s are called {name!r} (disable the shipped one first)" for name in twice
        ]

    def read_vocabulary(self, table: Table) -> None:
        """Keep named words and expressions for patterns to refer to."""
        for name, value in table.items():
            self.vocabulary[name] = self.words(name, value)
        for name, value in list(self.vocabulary.items()):
            if value and not self.regex(value, f"vocabulary {name!r}"):
                self.vocabulary[name] = ""  # told once, not again for every rule that refers to it

    def words(self, name: str, value: object) -> str:
        """Return one entry of the vocabulary as an expression; an empty one where it is none."""
        if not REFERENCE.fullmatch("{" + name + "}"):
            self.problems.append(f"vocabulary {name!r}: a name is two or more of a-z and _")
        elif isinstance(value, str):
            return value
        elif _is_words(value):
            return words_pattern(cast(list[str], value))
        else:
            self.problems.append(
                f"vocabulary {name!r}: neither an expression nor a list of words, with * only at their ends"
            )
        return ""

    def rule(self, table: Table) -> Rule:
        """Read one ``[[rule]]``."""
        name, where = self.name(table, "rule")
        self.check_keys(table, RULE_KEYS, where)
        kind, reason, source = table.get("kind"), table.get("reason"), table.get("source", "local")
        if (kind is None) == (reason is None):
            self.problems.append(f"{where}: give it either a kind or a reason")
        if kind is not None and kind not in get_args(Kind):
            self.problems.append(f"{where}: kind is {' or '.join(get_args(Kind))}, not {kind!r}")
        if reason is not None and not _is_reason(reason):
            near = nearest(str(reason), REASONS)
            self.problems.append(
                f"{where}: unknown reason {reason!r}{near}; codes of your own begin with local_"
            )
        if source not in get_args(Source):
            self.problems.append(f"{where}: source is one of {', '.join(get_args(Source))}, not {source!r}")
        when, unless = self.conditions(table, "when", where), self.conditions(table, "unless", where)
        note = str(table.get("note", ""))
        return Rule(name, when, unless, kind, reason, cast(Source, source), note)

    def blank(self, table: Table) -> Blank:
        """Read one ``[[blank]]``."""
        name, where = self.name(table, "blank")
        self.check_keys(table, BLANK_KEYS, where)
        unit = table.get("unit", "share")
        if unit not in ("share", "pixels"):
            self.problems.append(f"{where}: unit is share or pixels, not {unit!r}")
        corners = table.get("regions")
        if not isinstance(corners, list) or not all(_is_region(corner, unit) for corner in corners):
            self.problems.append(
                f"{where}: regions is a list of [left, top, width, height], none negative, shares up to 1"
            )
            corners = []
        regions = tuple(
            Region(float(left), float(top), float(width), float(height), unit)
            for left, top, width, height in corners
        )
        when, unless = self.conditions(table, "when", where), self.conditions(table, "unless", where)
        return Blank(name, when, unless, regions)

    def name(self, table: Table, what: str) -> tuple[str, str]:
        """Return the name of a rule, and how to speak of it in an error."""
        name = table.get("name")
        if isinstance(name, str) and name.strip() and name != NO_RULE:
            return name, f"{what} {name!r}"
        self.problems.append(f"a {what} without a name of its own: {dict(table)}")
        return "", f"a nameless {what}"

    def conditions(self, table: Table, key: str, where: str) -> tuple[Condition, ...]:
        """Read ``when`` or ``unless``: fields and the patterns to be found in them."""
        entries = table.get(key, {})
        if not isinstance(entries, Mapping):
            self.problems.append(f'{where}: {key} is a table like {{ body_part = "^lspine$" }}')
            return ()
        known = (*FIELDS, *JOINED_FIELDS)
        conditions = []
        for name, value in entries.items():
            if name not in known:
                self.problems.append(f"{where}: {key} has unknown field {name!r}{nearest(name, known)}")
            if value == []:
                self.problems.append(f"{where}: {key}.{name} is an empty list")
            for pattern in value if isinstance(value, list) else [value]:
                conditions.append(
                    Condition(name, str(pattern), self.regex(pattern, f"{where}: {key}.{name}"))
                )
        return tuple(conditions)

    def regex(self, pattern: object, where: str) -> str:
        """Return the pattern with its vocabulary put in, accents folded as they are in texts."""
        if not isinstance(pattern, str):
            self.problems.append(f"{where}: a pattern is a text, not {pattern!r}")
            return ""
        if "_" in REFERENCE.sub("", pattern):
            self.problems.append(
                f"{where}: underscores of headers are read as spaces, write a space for them"
            )
        if self.is_expression(pattern, where) and self.knows_words(pattern, where):
            return fold_letters(expand(pattern, self.vocabulary))
        return ""

    def is_expression(self, pattern: str, where: str) -> bool:
        """Note what a pattern that cannot be compiled has wrong, and where in it."""
        # A reference is replaced by a group of its own length: positions stay the user's.
        own = REFERENCE.sub(lambda match: "(?:" + "x" * (len(match.group()) - 4) + ")", pattern)
        try:
            re.compile(fold_letters(own), re.IGNORECASE)
        except (re.error, OverflowError) as error:
            place = getattr(error, "pos", None)
            at = "" if place is None else f" at character {place + 1}"
            self.problems.append(
                f"{where}: {pattern!r} is no regular expression{at}: {getattr(error, 'msg', error)}"
            )
            return False
        return True

    def knows_words(self, pattern: str, where: str) -> bool:
        """Note every ``{name}`` that the vocabulary does not have."""
        known = set(self.vocabulary)
        unknown = [name for name in REFERENCE.findall(pattern) if name not in known]
        self.problems += [f"{where}: no vocabulary {name!r}{nearest(name, known)}" for name in unknown]
        if unknown:
            return False
        try:
            whole = fold_letters(expand(pattern, self.vocabulary))
            if self.thorough:
                re.compile(whole, re.IGNORECASE)
        except re.error as error:
            self.problems.append(
                f"{where}: {pattern!r} with its vocabulary is no regular expression: {error.msg}"
            )
            return False
        except KeyError as error:
            self.problems.append(f"{where}: vocabulary {error.args[0]!r} is unknown or contains itself")
            return False
        return True

    def limits(self, table: Table) -> Limits | None:
        """Read ``[limits]``; every one must be there."""
        names = [entry.name for entry in fields(Limits)]
        self.check_keys(table, names, "limits")
        before = len(self.problems)
        self.problems += [f"limits: {name} is missing" for name in names if name not in table]
        ages = table.get("plausible_age_years")
        if not (
            isinstance(ages, list) and len(ages) == 2 and all(map(_is_number, ages)) and ages[0] < ages[1]
        ):
            self.problems.append("limits: plausible_age_years is [youngest, oldest]")
        for name in names:
            if name != "plausible_age_years" and not (
                _is_number(table.get(name, 1)) and table.get(name, 1) > 0
            ):
                self.problems.append(f"limits: {name} is a number above 0, not {table.get(name)!r}")
        if len(self.problems) > before:
            return None
        return Limits(**{**table, "plausible_age_years": tuple(ages or ())})

    def quality(self, table: Table) -> dict[str, Threshold]:
        """Read ``[quality]``: a flag, its measure and the bound that raises it; false switches it off."""
        thresholds: dict[str, Threshold] = {}
        for flag, entry in table.items():
            where = f"quality flag {flag!r}"
            if entry is False:
                continue
            if not FLAG.fullmatch(flag) or not isinstance(entry, Mapping):
                self.problems.append(
                    f'{where}: write flag = {{ measure = "contrast", below = 0.1 }}, or false'
                )
                continue
            self.check_keys(entry, ("measure", "below", "above"), where)
            measure, below, above = entry.get("measure"), entry.get("below"), entry.get("above")
            if measure not in QUALITY_MEASURES:
                self.problems.append(
                    f"{where}: unknown measure {measure!r}{nearest(str(measure), QUALITY_MEASURES)}"
                )
            if (below is None) == (above is None) or not _is_number(below if above is None else above):
                self.problems.append(f"{where}: give it a number as either below or above")
            thresholds[flag] = Threshold(str(measure), below, above)
        return thresholds


def _content_id(
    rules: tuple[Rule, ...], limits: Limits, quality: Mapping[str, Threshold], blank: tuple[Blank, ...]
) -> str:
    content = {
        "rules": [
            [rule.name, _canonical(rule.when), _canonical(rule.unless), rule.kind, rule.reason]
            for rule in rules
        ],
        "limits": {entry.name: getattr(limits, entry.name) for entry in fields(limits)},
        "quality": {flag: [entry.measure, entry.below, entry.above] for flag, entry in quality.items()},
        "blank": [
            [
                _canonical(b.when),
                _canonical(b.unless),
                [[r.left, r.top, r.width, r.height, r.unit] for r in b.regions],
            ]
            for b in blank
        ],
    }
    text = json.dumps(content, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _canonical(conditions: tuple[Condition, ...]) -> list[list[str]]:
    return sorted([condition.field, condition.regex] for condition in conditions)


def _is_words(value: object) -> bool:
    return isinstance(value, list) and all(
        isinstance(word, str) and word.strip("* ") and "*" not in word.strip("*") for word in value
    )


def _is_reason(reason: object) -> bool:
    return isinstance(reason, str) and (reason in REASONS or LOCAL_REASON.fullmatch(reason) is not None)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value == value


def _is_region(corner: object, unit: object) -> bool:
    if not (isinstance(corner, list) and len(corner) == 4 and all(map(_is_number, corner))):
        return False
    return all(value >= 0 and (unit != "share" or value <= 1) for value in corner)

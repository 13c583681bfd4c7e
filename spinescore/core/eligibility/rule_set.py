"""Which images are ours: rules tried in order; the first that holds decides.

Rules are data (``data/eligibility.toml`` and a user's own file, docs/eligibility.md). This
module holds them compiled, decides, and tells why. ``rule_tables.py`` builds them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from spinescore.core.eligibility.vocabulary import fold
from spinescore.domain import Kind

FIELDS = (
    "modality",
    "sop_class",
    "image_type",
    "presentation_intent",
    "view_position",
    "view_code",
    "body_part",
    "anatomic_region",
    "laterality",
    "patient_orientation",
    "protocol_name",
    "series_description",
    "study_description",
    "acquisition_description",
    "performed_procedure",
    "requested_procedure",
    "manufacturer",
    "manufacturer_model",
    "samples_per_pixel",
    "number_of_frames",
    "burned_in",
)
"""What a header is asked for; texts, empty where absent, several values joined by a backslash."""

VIEW_TEXT = ("series_description", "protocol_name", "acquisition_description")
STUDY_TEXT = ("study_description", "requested_procedure", "performed_procedure")
DEVICE = ("manufacturer", "manufacturer_model")
PART = ("body_part", "anatomic_region")
JOINED_FIELDS: Mapping[str, tuple[str, ...]] = {
    "view": ("view_position", "view_code"),
    "part": PART,
    "device": DEVICE,
    "view_text": VIEW_TEXT,
    "study_text": STUDY_TEXT,
    "any_text": (*STUDY_TEXT, *VIEW_TEXT),
    "image_text": (*VIEW_TEXT, *DEVICE),
    "image_and_part": (*VIEW_TEXT, *PART),
    "protocol_and_part": ("protocol_name", *PART),
    "any_text_and_part": (*PART, *STUDY_TEXT, *VIEW_TEXT),
}
"""Fields made of others, joined by `` | ``; docs/eligibility.md says what each is for."""

REASONS = (
    "not_an_image",
    "modality",
    "body_part",
    "view_not_lateral",
    "view_conflict",
    "view_unknown",
    "derived",
    "for_processing",
    "not_grayscale",
    "multiframe",
    "burned_in",
)
LOCAL_REASON = re.compile(r"local_[a-z0-9_]+")
"""A user's own reason codes begin so: a misspelt shipped one is then an error, not a new code."""

NO_RULE = "no-rule"
MOST_DECISIONS_KEPT = 32_768
LONGEST_KEPT = 2_048
"""Characters of a header's texts together; longer ones are decided anew, to bound memory."""

Source = Literal["measured", "documentation", "standard", "local"]


@dataclass(frozen=True, slots=True)
class Condition:
    """A regular expression to be found in one field, as written and with its vocabulary put in."""

    field: str
    pattern: str
    regex: str


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: where every ``when`` is found and no ``unless`` is, it decides.

    Parameters
    ----------
    name : str
        Stored with every decision it makes.
    when, unless : tuple of Condition
        An empty ``when`` always holds.
    kind : str or None
        The kind of image it lets in; None for a rule that excludes.
    reason : str or None
        The reason code of an exclusion.
    source : str
        What it rests on: ``measured`` on real files, a vendor's ``documentation``, the DICOM
        ``standard``, or ``local`` knowledge of a user.
    note : str
        Which files, documents or sections those were.
    """

    name: str
    when: tuple[Condition, ...] = ()
    unless: tuple[Condition, ...] = ()
    kind: Kind | None = None
    reason: str | None = None
    source: Source = "local"
    note: str = ""


@dataclass(frozen=True, slots=True)
class Decision:
    """What the rules say of one header: the rule that decided, and a kind or a reason."""

    rule: str
    kind: Kind | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class Check:
    """One condition looked at: what was to be found (or not, ``wanted`` False), where, and what was."""

    condition: Condition
    wanted: bool
    text: str
    found: str | None

    @property
    def passed(self) -> bool:
        """Tell whether it came out as the rule wants it."""
        return (self.found is not None) == self.wanted

    def describe(self) -> str:
        """Return it as a line of text."""
        outcome = f'found "{self.found}"' if self.found is not None else "not found"
        return (
            f"{'ok  ' if self.passed else 'fail'} {'when' if self.wanted else 'unless'} "
            f'{self.condition.field} has {self.condition.pattern}: {outcome} in "{self.text}"'
        )


@dataclass(frozen=True, slots=True)
class Step:
    """One rule tried on a header."""

    rule: Rule
    held: bool
    checks: tuple[Check, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds beyond which an image or an age is not believed."""

    min_side_pixels: int
    max_side_pixels: int
    max_pixels: int
    max_aspect_ratio: float
    age_conflict_years: float
    plausible_age_years: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Threshold:
    """A flag is raised where its measure of image quality lies below or above this."""

    measure: str
    below: float | None = None
    above: float | None = None


@dataclass(frozen=True, slots=True)
class Region:
    """A rectangle of an image: left, top, width, height; shares of the frame, or pixels."""

    left: float
    top: float
    width: float
    height: float
    unit: Literal["share", "pixels"]


@dataclass(frozen=True, slots=True)
class Blank:
    """Where images of a kind carry burned-in text; an empty ``regions`` says: nowhere."""

    name: str
    when: tuple[Condition, ...]
    unless: tuple[Condition, ...]
    regions: tuple[Region, ...]


Search = Callable[[str], re.Match[str] | None]


@dataclass(frozen=True)
class RuleSet:
    """Rules in their order, with the limits, quality thresholds and blanked regions that go with them.

    Parameters
    ----------
    rules_id : str
        16 hexadecimal digits of the SHA-256 of everything that decides; notes do not count.
    rules : tuple of Rule
        Tried in this order.
    quality : mapping of flag to Threshold
    blank : tuple of Blank
        Tried in this order when de-identified copies are written.

    Attributes
    ----------
    fields : tuple of str
        The fields of a header that any rule looks at.
    """

    rules_id: str
    rules: tuple[Rule, ...] = field(hash=False)
    limits: Limits = field(hash=False)
    quality: Mapping[str, Threshold] = field(hash=False)
    blank: tuple[Blank, ...] = field(hash=False)
    fields: tuple[str, ...] = field(init=False, compare=False)
    _places: tuple[tuple[str, str], ...] = field(init=False, compare=False, repr=False)
    _searches: dict[int, Search] = field(init=False, compare=False, repr=False)
    _compiled: list[tuple[Decision, list[int], list[int]]] = field(init=False, compare=False, repr=False)
    _kept: dict[tuple[str, ...], Decision] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        places: dict[tuple[str, str], int] = {}

        def place(condition: Condition) -> int:
            return places.setdefault((condition.field, condition.regex), len(places))

        compiled = [
            (
                Decision(rule.name, rule.kind, rule.reason),
                [place(condition) for condition in rule.when],
                [place(condition) for condition in rule.unless],
            )
            for rule in self.rules
        ]
        object.__setattr__(self, "fields", _raw_fields(name for name, _ in places))
        object.__setattr__(self, "_places", tuple(places))
        object.__setattr__(self, "_searches", {})
        object.__setattr__(self, "_compiled", compiled)
        object.__setattr__(self, "_kept", {})

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle what it was made of: workers compile for themselves and keep their own decisions."""
        return RuleSet, (self.rules_id, self.rules, self.limits, dict(self.quality), self.blank)

    def decide(self, fields: Mapping[str, str]) -> Decision:
        """Return the decision of the first rule that holds.

        Decisions are kept, by the texts they were made on: an archive repeats itself.

        Parameters
        ----------
        fields : mapping of field to text
            Of ``FIELDS``; one that is left out counts as empty.
        """
        key = tuple([fields.get(name, "") for name in self.fields])
        decision = self._kept.get(key)
        if decision is None:
            decision = self._decide(dict(zip(self.fields, key, strict=True)))
            if len(self._kept) >= MOST_DECISIONS_KEPT:
                self._kept.clear()
            if sum(map(len, key)) <= LONGEST_KEPT:
                self._kept[key] = decision
        return decision

    def explain(self, fields: Mapping[str, str]) -> tuple[Step, ...]:
        """Return every rule tried, the one that decided last, and what each condition found."""
        texts = _Texts(fields)
        steps = []
        for rule in self.rules:
            checks = _checks(rule.when, rule.unless, texts)
            steps.append(Step(rule, all(check.passed for check in checks), checks))
            if steps[-1].held:
                break
        return tuple(steps)

    def regions_to_blank(self, fields: Mapping[str, str]) -> tuple[Region, ...] | None:
        """Return where this image carries burned-in text; None if no blank rule knows it."""
        texts = _Texts(fields)
        for blank in self.blank:
            if all(check.passed for check in _checks(blank.when, blank.unless, texts)):
                return blank.regions
        return None

    def _decide(self, fields: Mapping[str, str]) -> Decision:
        texts = _Texts(fields)
        outcomes: list[bool | None] = [None] * len(self._places)

        def found(index: int) -> bool:
            outcome = outcomes[index]
            if outcome is None:
                text = texts[self._places[index][0]]
                outcome = outcomes[index] = self._search(index)(text) is not None
            return outcome

        for decision, when, unless in self._compiled:
            if all(map(found, when)) and not any(map(found, unless)):
                return decision
        return Decision(NO_RULE, None, "view_unknown")

    def _search(self, index: int) -> Search:
        """Compile when first needed: most files of an archive are decided by their modality alone."""
        search = self._searches.get(index)
        if search is None:
            search = self._searches[index] = re.compile(self._places[index][1], re.IGNORECASE).search
        return search


class _Texts(dict[str, str]):
    """The folded text of each field, made when first asked for."""

    def __init__(self, fields: Mapping[str, str]) -> None:
        super().__init__()
        self.fields = fields

    def __missing__(self, name: str) -> str:
        parts = JOINED_FIELDS.get(name)
        if parts is None:
            text = fold(self.fields.get(name, ""))
        else:
            text = " | ".join([self[part] for part in parts if self[part]])
        self[name] = text
        return text


def _raw_fields(names: Iterable[str]) -> tuple[str, ...]:
    used = {part for name in names for part in JOINED_FIELDS.get(name, (name,))}
    return tuple(name for name in FIELDS if name in used)


def _checks(when: tuple[Condition, ...], unless: tuple[Condition, ...], texts: _Texts) -> tuple[Check, ...]:
    return tuple(
        Check(condition, wanted, texts[condition.field], _found(condition.regex, texts[condition.field]))
        for conditions, wanted in ((when, True), (unless, False))
        for condition in conditions
    )


def _found(regex: str, text: str) -> str | None:
    match = re.search(regex, text, re.IGNORECASE)
    return match.group() if match else None

"""The table of what a de-identified copy may hold, parsed -> checked values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from pydicom.datadict import dictionary_VR, tag_for_keyword

Action = Literal["keep", "uid", "date", "time", "codes", "assign", "empty"]
Check = Literal["terms", "words", "numbers", "image_type", "maker", "model"]
EVERY_CLASS = "all"
KEYS = frozenset(
    ("keyword", "action", "check", "terms", "range", "codes", "modifiers", "empty_in", "dummy", "why")
)


@dataclass(frozen=True, slots=True)
class Code:
    """A code sequence item's value, coding scheme and meaning (PS3.3 table 8.8-1)."""

    value: str
    scheme: str
    meaning: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribute:
    """One attribute that a copy may hold.

    Parameters
    ----------
    keyword, vr, tag
        As in PS3.6; the VR a file gives is not believed.
    action : str
        Where its value comes from.
    check : str or None
        What a kept value is held to.
    terms : tuple of str
        The only values it may have.
    range : (float, float)
        Bounds of a number.
    codes : tuple of Code
        The only codes a sequence may hold.
    modifiers : mapping of keyword to tuple of Code
        Sequences of codes within its items.
    empty_in : frozenset of str
        Classes of image that hold it with no value rather than not at all.
    dummy : mapping of class to value
        What an image of that class gets in place of a value that is missing or unfit.
    why : str
        Why a copy holds it.
    """

    keyword: str
    vr: str
    tag: int
    action: Action
    check: Check | None
    terms: tuple[str, ...]
    range: tuple[float, float]
    codes: tuple[Code, ...]
    modifiers: Mapping[str, tuple[Code, ...]]
    empty_in: frozenset[str]
    dummy: Mapping[str, Any]
    why: str

    def dummy_for(self, image_class: str) -> Any:
        """Return what stands in for a missing value in a class of image, or None."""
        return self.dummy.get(image_class, self.dummy.get(EVERY_CLASS))

    def is_empty_in(self, image_class: str) -> bool:
        """Tell whether an image of that class holds it even without a value."""
        return not self.empty_in.isdisjoint((image_class, EVERY_CLASS))


@dataclass(frozen=True, slots=True)
class AttributeTable:
    """What a copy may hold.

    Parameters
    ----------
    version : int
        Written into each copy; raised whenever the table changes.
    classes : mapping of SOP class UID to name
        The classes of image whose required attributes the table knows.
    attributes : tuple of Attribute
        In order of tag.
    """

    version: int
    classes: Mapping[str, str]
    attributes: tuple[Attribute, ...]


def read_attribute_table(parsed: Mapping[str, Any]) -> AttributeTable:
    """Return the table that a parsed TOML file holds.

    Raises
    ------
    ValueError
        If an entry is not one: the packaged file is damaged.
    """
    codes = {
        name: tuple(Code(*code) for code in listed) for name, listed in dict(parsed.get("codes", {})).items()
    }
    classes = {uid: name for name, uids in parsed["classes"].items() for uid in uids}
    attributes = [_read_attribute(entry, codes) for entry in parsed["attribute"]]
    tags = [attribute.tag for attribute in attributes]
    if len(set(tags)) != len(tags):
        raise ValueError("an attribute stands in the table twice")
    ordered = sorted(attributes, key=lambda attribute: attribute.tag)
    return AttributeTable(int(parsed["version"]), classes, tuple(ordered))


def _read_attribute(entry: Mapping[str, Any], codes: Mapping[str, tuple[Code, ...]]) -> Attribute:
    keyword = str(entry.get("keyword", ""))
    tag, check = tag_for_keyword(keyword), entry.get("check")
    action: Any = entry.get("action")
    unknown = set(entry) - KEYS
    if tag is None or unknown or action not in get_args(Action) or not entry.get("why"):
        raise ValueError(f"{keyword}: not an attribute with an action and a reason ({', '.join(unknown)})")
    if (action == "keep") != (check in get_args(Check)):
        raise ValueError(f"{keyword}: what is kept, and nothing else, is checked")
    lowest, highest = entry.get("range", (0, 0))
    return Attribute(
        keyword=keyword,
        vr=dictionary_VR(tag),
        tag=tag,
        action=action,
        check=check,
        terms=tuple(entry.get("terms", ())),
        range=(float(lowest), float(highest)),
        codes=codes[entry["codes"]] if "codes" in entry else (),
        modifiers={name: codes[listed] for name, listed in entry.get("modifiers", {}).items()},
        empty_in=frozenset(entry.get("empty_in", ())),
        dummy=dict(entry.get("dummy", {})),
        why=str(entry["why"]),
    )

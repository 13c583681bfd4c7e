"""Values of an original -> the values a de-identified copy keeps: what passes its check, as we spell it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from pydicom.datadict import dictionary_has_tag, dictionary_VR, tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from spinescore.core.deidentification.attribute_table import Attribute
from spinescore.core.eligibility.vocabulary import fold
from spinescore.core.imaging.manufacturer import VENDORS, normalise_manufacturer, normalise_model
from spinescore.core.imaging.pixel_format import UNREADABLE

MOST_VALUES = 8
LONGEST_NUMBER = 16  # characters of a DS (PS3.5 6.2)
NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,2})?")
MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9 .,+/()&_-]{0,31}")
BETWEEN_WORDS = re.compile(r"[\W_]+")
SHORTEST_NAME = 3
KNOWN_MAKERS = frozenset(name for name, _ in VENDORS)
NAMING_TAGS = frozenset(
    tag_for_keyword(keyword)
    for keyword in (
        "PatientID",
        "OtherPatientIDs",
        "AccessionNumber",
        "InstitutionName",
        "InstitutionAddress",
        "InstitutionalDepartmentName",
        "StationName",
        "DeviceSerialNumber",
        "PatientAddress",
    )
)


def read_texts(source: Dataset, keyword: str) -> list[str]:
    """Return the values of an attribute as texts; none if it is empty, nested, too many or unreadable."""
    try:
        value = source.get(keyword)
    except UNREADABLE:
        return []
    if value is None or isinstance(value, bytes | Dataset):
        return []
    values = list(value) if isinstance(value, MultiValue | list) else [value]
    texts = [str(value).strip(" \0") for value in values[: MOST_VALUES + 1]]
    return texts if len(texts) <= MOST_VALUES and any(texts) else []


def known_maker(text: str) -> str | None:
    """Return the one name of a known maker; None for any other text.

    >>> known_maker("GE MEDICAL SYSTEMS, 3rd floor"), known_maker("Dr. Acme")
    ('GE', None)
    """
    name = normalise_manufacturer(text)
    return name if name in KNOWN_MAKERS else None


def known_model(maker: str, text: str, naming: frozenset[str]) -> str | None:
    """Return the model's name; None if its maker is unknown or it repeats a word that names someone.

    Parameters
    ----------
    maker, text : str
        As they stand.
    naming : frozenset of str
        As :func:`naming_words` gives it.
    """
    name = known_maker(maker)
    model = normalise_model(name, text)
    if name is None or model is None or MODEL.fullmatch(model) is None:
        return None
    words = set(BETWEEN_WORDS.split(model.casefold()))
    return None if words & naming else model


def naming_words(source: Dataset) -> frozenset[str]:
    """Return the words, casefolded, of the attributes that name a person, a place or a device."""
    words: set[str] = set()
    for tag in list(source.keys()):
        if tag not in NAMING_TAGS and not (dictionary_has_tag(tag) and dictionary_VR(tag) == "PN"):
            continue
        try:
            words.update(BETWEEN_WORDS.split(str(source[tag].value).casefold()))
        except UNREADABLE:
            continue
    return frozenset(word for word in words if len(word) >= SHORTEST_NAME)


def check_values(attribute: Attribute, texts: Sequence[str]) -> Sequence[Any]:
    """Return the values fit to be written; none if any of them is not."""
    if attribute.check == "numbers":
        numbers = [_number(text, attribute) for text in texts]
        return [] if None in numbers else numbers
    if attribute.check == "words":
        known = {_letters(term): term for term in attribute.terms}
        term = known.get(_letters(texts[0])) if len(texts) == 1 else None
        return [term] if term else []
    if attribute.check == "image_type":
        if len(texts) < 2 or not set(texts[:2]) <= {"ORIGINAL", "DERIVED", "PRIMARY", "SECONDARY"}:
            return []
        return [text if text in attribute.terms else "" for text in texts]
    return texts if set(texts) <= set(attribute.terms) else []


def _letters(text: str) -> str:
    return re.sub(r"[^a-z0-9]", "", fold(text))


def _number(text: str, attribute: Attribute) -> Any:
    """Return a number as its VR wants it; None if it is none or out of bounds."""
    if len(text) > LONGEST_NUMBER or NUMBER.fullmatch(text) is None:
        return None
    number = float(text)
    lowest, highest = attribute.range
    if not lowest <= number <= highest:
        return None
    if attribute.vr == "DS":
        return text
    return int(number) if number.is_integer() else None

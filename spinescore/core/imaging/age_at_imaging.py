"""Birth date, study date and PatientAge -> age at imaging, by one stated rule.

The age is (study date - birth date) / 365.25 wherever both are dates and the result is
plausible; else PatientAge. Where both exist and differ by more than the rules' limit
(1.5 years unless set otherwise), the first is kept and ``age_conflict`` raised.
"""

from __future__ import annotations

import re
from datetime import date
from functools import lru_cache

from spinescore.core.eligibility.rule_set import Limits
from spinescore.domain import DAYS_PER_YEAR

AGE_UNITS_PER_YEAR = {"Y": 1.0, "M": 12.0, "W": DAYS_PER_YEAR / 7, "D": DAYS_PER_YEAR}
AGE_STRING = re.compile(r"[0-9]{3}[DWMY]")
LOOSE_AGE_STRING = re.compile(r"([0-9]{1,3}) ?([DWMY])", re.IGNORECASE)
DATE = re.compile(r"([0-9]{4})([-.]?)([0-9]{2})\2([0-9]{2})")


@lru_cache(maxsize=4096)
def read_date(text: str) -> date | None:
    """Read a DA value (PS3.5 6.2): YYYYMMDD, the older YYYY.MM.DD, and YYYY-MM-DD.

    >>> read_date("20251123"), read_date("1931.02.30")
    (datetime.date(2025, 11, 23), None)
    """
    match = DATE.fullmatch(text)
    if match is None:
        return None
    try:
        return date(int(match[1]), int(match[3]), int(match[4]))
    except ValueError:
        return None


def read_age_string(text: str, flags: list[str]) -> float | None:
    """Read PatientAge (0010,1010), VR AS: nnnD, nnnW, nnnM or nnnY (PS3.5 6.2), in years.

    A number with fewer digits or a small letter is read and flagged; one without a unit is not read.

    >>> read_age_string("018M", [])
    1.5
    """
    if not text:
        return None
    if AGE_STRING.fullmatch(text) is None:
        flags.append("age_malformed")
    match = LOOSE_AGE_STRING.fullmatch(text)
    return None if match is None else int(match[1]) / AGE_UNITS_PER_YEAR[match[2].upper()]


def read_age(
    birth_text: str, study_date: date | None, age_text: str, limits: Limits, flags: list[str]
) -> float | None:
    """Return the age at imaging in years, or None; what is odd is appended to ``flags``.

    Parameters
    ----------
    birth_text : str
        PatientBirthDate (0010,0030).
    study_date : date or None
    age_text : str
        PatientAge (0010,1010).
    limits : Limits
        What is plausible, and from what difference two ages are in conflict.
    flags : list of str
        Gets ``birthdate_invalid``, ``birthdate_after_study``, ``age_malformed``,
        ``age_implausible``, ``age_conflict``, ``age_missing``.
    """
    computed = _age_by_dates(birth_text, study_date, flags)
    stated = read_age_string(age_text, flags)
    youngest, oldest = limits.plausible_age_years
    if computed is not None and stated is not None and abs(computed - stated) > limits.age_conflict_years:
        flags.append("age_conflict")
    candidates = [age for age in (computed, stated) if age is not None]
    plausible = [age for age in candidates if youngest <= age <= oldest]
    if len(plausible) < len(candidates):
        flags.append("age_implausible")
    if not candidates:
        flags.append("age_missing")
    return plausible[0] if plausible else None


def _age_by_dates(birth_text: str, study_date: date | None, flags: list[str]) -> float | None:
    birth = read_date(birth_text)
    if birth is None:
        if birth_text:
            flags.append("birthdate_invalid")
        return None
    if study_date is None:
        return None
    if birth > study_date:
        flags.append("birthdate_after_study")
        return None
    return (study_date - birth).days / DAYS_PER_YEAR

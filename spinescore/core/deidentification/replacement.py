"""Identifiers, dates and times -> what stands for them in de-identified copies, under a key.

Each use of the key has a label of its own, so that no replacement can be turned into a
subject's pseudonym or into another kind of replacement. Nothing is remembered: the same
key gives the same replacements, in any database and at any time.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass, field
from datetime import date, timedelta

LABEL = b"\0spinescore de-identified copies\0"  # patient ids hold no NUL
MOST_DAYS_BACK = 3650
SECONDS_PER_DAY = 86_400
STEEPEST_WARP = 2.0
TIME = re.compile(r"(\d{2})(?::?(\d{2})(?::?(\d{2})(?:\.(\d{1,6}))?)?)?")


@dataclass(frozen=True, slots=True)
class Replacements:
    """Replacements under one key."""

    key: bytes = field(repr=False)

    def uid(self, uid: str) -> str:
        """Return the UID that stands for another: ``2.25.`` and a UUID as a number (PS3.5 B.2)."""
        number = int.from_bytes(self._digest(b"uid", uid)[:16], "big")
        number = number & ~(0xF << 76) | 8 << 76  # version 8: made to a recipe of one's own
        number = number & ~(0b11 << 62) | 0b10 << 62  # the variant of RFC 9562
        return f"2.25.{number}"

    def days_back(self, subject_id: str) -> int:
        """Return how many days a subject's dates lie back, 1 to 3650."""
        return 1 + self._number(b"days", subject_id) % MOST_DAYS_BACK

    def shift_date(self, day: date, subject_id: str) -> date | None:
        """Return the date that stands for another of the same subject; intervals are the same.

        None where that would lie before the year 1.
        """
        try:
            return day - timedelta(days=self.days_back(subject_id))
        except OverflowError:
            return None

    def warp_time(self, microseconds: int, subject_id: str) -> int:
        """Return the time of day that stands for another; its order among the subject's is the same.

        A power of the share of the day gone by, its exponent between 1/2 and 2 by subject.

        Parameters
        ----------
        microseconds : int
            Since midnight.
        subject_id : str
            Whose image it is.
        """
        share = self._number(b"time", subject_id) / 2**64
        exponent = STEEPEST_WARP ** (2 * share - 1)
        whole = SECONDS_PER_DAY * 1_000_000
        return min(whole - 1, int(whole * (microseconds / whole) ** exponent))

    def mark(self, *facts: object) -> str:
        """Return 32 hexadecimal digits that change with any fact and give none away."""
        return self._digest(b"mark", "\0".join(map(repr, facts))).hex()[:32]

    def _number(self, purpose: bytes, text: str) -> int:
        return int.from_bytes(self._digest(purpose, text)[:8], "big")

    def _digest(self, purpose: bytes, text: str) -> bytes:
        message = LABEL + purpose + b"\0" + text.encode("utf-8", "surrogateescape")
        return hmac.new(self.key, message, hashlib.sha256).digest()


def read_time(text: str) -> int | None:
    """Read a TM value (PS3.5 6.2) as microseconds since midnight.

    >>> read_time("0930"), read_time("25")
    (34200000000, None)
    """
    match = TIME.fullmatch(text)
    if match is None:
        return None
    hours, minutes, seconds = (int(part or 0) for part in match.groups()[:3])
    if hours > 23 or minutes > 59 or seconds > 59:
        return None
    fraction = int((match[4] or "").ljust(6, "0"))
    return (hours * 3600 + minutes * 60 + seconds) * 1_000_000 + fraction


def write_time(microseconds: int) -> str:
    """Write microseconds since midnight as a TM value.

    >>> write_time(34200000000)
    '093000'
    """
    seconds, fraction = divmod(microseconds, 1_000_000)
    text = f"{seconds // 3600:02d}{seconds // 60 % 60:02d}{seconds % 60:02d}"
    return f"{text}.{fraction:06d}" if fraction else text

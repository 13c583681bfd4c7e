"""One hostile file, or whatever else lies in a folder, and what must become of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

Outcome = tuple[str, str | None]  # state and reason

INDEXED: Outcome = ("indexed", None)
NOT_DICOM: Outcome = ("excluded", "not_dicom")


def rejected(reason: str) -> Outcome:
    """Return the outcome of what is ours, but broken or unsafe."""
    return "rejected", reason


def excluded(reason: str) -> Outcome:
    """Return the outcome of what can be read and is not ours."""
    return "excluded", reason


@dataclass(frozen=True)
class Case:
    """What to put where, and what must become of it.

    Parameters
    ----------
    path : bytes
        Below the folder of all cases; any bytes a file system takes.
    outcome : (state, reason)
        Of this path.
    content : bytes or callable
        What the file holds, or what makes it, given its path.
    flags : set of str
        Of an indexed image; None: not looked at.
    others : mapping of location to (state, reason)
        What else this makes, as locations below the folder: members, files it refers to.
    is_source : bool
        Whether ``ingest`` is given it by name, beside the folder of all cases.
    """

    path: bytes
    outcome: Outcome
    content: bytes | Callable[[Path], None]
    flags: frozenset[str] | None = None
    others: Mapping[bytes, Outcome] = field(default_factory=dict)
    is_source: bool = False


def flagged(*flags: str) -> frozenset[str]:
    """Return flags as a set."""
    return frozenset(flags)

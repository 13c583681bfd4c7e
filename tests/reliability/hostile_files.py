"""All hostile cases together, and the folder they lie in."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.reliability import (
    hostile_elements,
    hostile_pixels,
    hostile_places,
    hostile_structure,
    hostile_values,
)
from tests.reliability.hostile_case import Case, Outcome


@dataclass(frozen=True)
class HostileFolder:
    """Cases, written.

    Parameters
    ----------
    sources : tuple of Path
        What to give to ``ingest``; the first is the folder of all.
    expected : mapping of location to (state, reason)
        Locations are relative to the folder.
    flags : mapping of location to set of str
        Of those indexed images whose flags matter.
    """

    sources: tuple[Path, ...]
    expected: dict[bytes, Outcome]
    flags: dict[bytes, frozenset[str]]

    def relative(self, location: bytes) -> bytes:
        """Return a location as ``expected`` names it."""
        return location[len(os.fsencode(self.sources[0])) + 1 :]


def all_cases() -> list[Case]:
    """Return every case; no two have a location in common."""
    modules = (hostile_structure, hostile_elements, hostile_values, hostile_pixels, hostile_places)
    return [case for module in modules for case in module.cases()]


def write_cases(cases: Sequence[Case], folder: Path) -> HostileFolder:
    """Write cases into a folder, in their order: links come after what they lead to."""
    sources, expected, flags = [folder], {}, {}
    for case in cases:
        path = Path(os.fsdecode(os.path.join(os.fsencode(folder), case.path)))
        path.parent.mkdir(parents=True, exist_ok=True)
        if callable(case.content):
            case.content(path)
        else:
            path.write_bytes(case.content)
        outcomes = {case.path: case.outcome, **case.others}
        assert not expected.keys() & outcomes.keys(), case.path
        expected.update(outcomes)
        if case.flags is not None:
            flags[case.path] = case.flags
        if case.is_source:
            sources.append(path)
    return HostileFolder(tuple(sources), expected, flags)

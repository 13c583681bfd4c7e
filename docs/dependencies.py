"""What spinescore needs at run time, as installed here: names, versions, licences; for the scripts beside."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata

from packaging.requirements import Requirement

ROOT_NAME = "spinescore"


@dataclass(frozen=True, slots=True)
class Package:
    """A distribution that is installed: name as registries compare it, version, licence, what it needs."""

    name: str
    version: str
    licence: str
    needs: tuple[str, ...]


def installed_closure(root: str = ROOT_NAME) -> list[Package]:
    """Return a distribution's requirements, theirs, and so on, by name; the root itself is left out."""
    found: dict[str, Package] = {}
    waiting = list(_requirements(root, frozenset()))
    asked: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        name, extras = waiting.pop()
        if (name, extras) in asked:
            continue
        asked.add((name, extras))
        needs = list(_requirements(name, extras))
        known = found[name].needs if name in found else ()
        described = metadata.metadata(name)
        found[name] = Package(
            name,
            metadata.version(name),
            licence_of(described),
            tuple(sorted({*known, *(n for n, _ in needs)})),
        )
        waiting += needs
    return [found[name] for name in sorted(found)]


def comparable(name: str) -> str:
    """Return a name as registries compare it.

    >>> comparable("SimpleITK"), comparable("typing_extensions")
    ('simpleitk', 'typing-extensions')
    """
    return re.sub(r"[-_.]+", "-", name).lower()


def _requirements(name: str, extras: frozenset[str]) -> Iterator[tuple[str, frozenset[str]]]:
    for text in metadata.requires(name) or ():
        requirement = Requirement(text)
        environments = [{"extra": extra} for extra in extras] or [{"extra": ""}]
        if requirement.marker is None or any(requirement.marker.evaluate(e) for e in environments):
            yield comparable(requirement.name), frozenset(requirement.extras)


def licence_of(described: metadata.PackageMetadata) -> str:
    """Return what a package says of its licence: expression, classifiers, or the first line of the text."""
    if expression := described.get("License-Expression"):
        return str(expression)
    classifiers = [
        line.rpartition("::")[2].strip()
        for line in described.get_all("Classifier", [])
        if line.startswith("License")
    ]
    named = [line for line in classifiers if line != "OSI Approved"]
    if named:
        return "; ".join(named)
    return (str(described.get("License") or "").strip().splitlines() or ["not stated"])[0][:60]

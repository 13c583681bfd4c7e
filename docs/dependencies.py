"""What spinescore needs at run time, as installed here: names, versions, licences; for the scripts beside."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

ROOT_NAME = "spinescore"
ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True)
class Package:
    """A distribution that is installed: name as registries compare it, version, licence, what it needs."""

    name: str
    version: str
    licence: str
    needs: tuple[str, ...]


def asked_for() -> list[str]:
    """Return what pyproject.toml asks for; the metadata of an editable installation may be older."""
    content = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return list(content["project"]["dependencies"])


def installed_closure() -> list[Package]:
    """Return spinescore's requirements, theirs, and so on, by name."""
    found: dict[str, Package] = {}
    waiting = list(_applying(asked_for(), frozenset()))
    asked: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        name, extras = waiting.pop()
        if (name, extras) in asked:
            continue
        asked.add((name, extras))
        needs = list(_applying(metadata.requires(name) or [], extras))
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


def _applying(texts: list[str], extras: frozenset[str]) -> Iterator[tuple[str, frozenset[str]]]:
    """Yield those of some requirements that apply here, with the extras they ask for."""
    environments = [{"extra": extra} for extra in extras] or [{"extra": ""}]
    for requirement in map(Requirement, texts):
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

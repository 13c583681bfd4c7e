"""A study file's content as rules look at it: what is sound of it, and what is there at all."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from spinescore.study.lines import Key
from spinescore.study.problems import Problem, suggestion


@dataclass(frozen=True, slots=True)
class Part:
    """One section: its path, the values that are of the right type, and all that is there."""

    path: Key
    values: Mapping[str, Any]
    given: Mapping[str, Any]

    def get(self, key: str, default: Any = None) -> Any:
        """Return a value; the default where it is absent or of the wrong type."""
        return self.values.get(key, default)

    def has(self, *keys: str) -> bool:
        """Tell whether all these keys are there, be their values right or wrong."""
        return all(key in self.given for key in keys)

    def problem(self, message: str, *inside: str | int) -> Problem:
        """Return a problem of the section, or of a key inside it."""
        return Problem((*self.path, *inside), message)

    def must_be_known(
        self, name: str | None, what: str, known: Collection[str], *inside: str | int
    ) -> Iterator[Problem]:
        """Yield a problem if a name is not known; ``inside`` is the key that gives it."""
        if name is not None and name not in known:
            yield self.problem(f"no {what} `{name}`; {suggestion(name, known)}", *inside)


@dataclass(frozen=True, slots=True)
class Settings:
    """The content of a study file; ``given`` has every key, ``sound`` those of the right type."""

    sound: Mapping[str, Any]
    given: Mapping[str, Any]

    def has(self, section: str) -> bool:
        """Tell whether a section is there."""
        return section in self.given

    def part(self, section: str) -> Part:
        """Return a section; an empty one where it is absent."""
        return Part((section,), _mapping(self.sound.get(section)), _mapping(self.given.get(section)))

    def names(self, section: str) -> list[str]:
        """Return the names under which a section is there, e.g. of the cohorts."""
        return list(_mapping(self.given.get(section)))

    def parts(self, section: str) -> Iterator[tuple[str, Part]]:
        """Yield each named section, e.g. each cohort."""
        sound = _mapping(self.sound.get(section))
        for name, given in _mapping(self.given.get(section)).items():
            if isinstance(given, Mapping):
                yield name, Part((section, name), _mapping(sound.get(name)), given)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}

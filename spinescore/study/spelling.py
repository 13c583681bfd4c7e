"""Keys that no section has: what was meant, and the file as it would be with that mended.

What follows from a misspelt key (that the right one is missing, say) is then not reported beside it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, get_args, get_origin

from spinescore.study.lines import Key
from spinescore.study.problems import Problem, nearest, suggestion
from spinescore.study.sections import Section

SURE = 0.7  # from this likeness on, a key is read as the one it resembles


class Place(NamedTuple):
    """What a key holds: a section, or sections by a name of the user's."""

    section: type[Section]
    named: bool


@dataclass(slots=True)
class Respelt:
    """A study file's content with misspelt keys replaced by what was meant.

    Attributes
    ----------
    root : type of Section
        What the file should be.
    content : dict
        The content; keys that resemble nothing are left out.
    originals : dict
        Where a path of the content stands in the file, for those that differ.
    problems : list of Problem
        One for each key that does not exist.
    """

    root: type[Section]
    content: dict[str, Any] = field(default_factory=dict)
    originals: dict[Key, Key] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def original(self, path: Key) -> Key:
        """Return a path of the content as it stands in the file."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.originals:
                return self.originals[path[:length]] + path[length:]
        return path

    def section(self, raw: Mapping[str, Any], place: Place, path: Key, original: Key) -> dict[str, Any]:
        """Return a section's content by the right keys; ``original`` is where it stands in the file."""
        inside = places(place.section)
        content: dict[str, Any] = {}
        for key, value in raw.items():
            name = key if place.named else self._right_key(key, raw, place.section, original)
            if name is None:
                continue
            below, above = (*path, name), (*original, key)
            if below != above and (key == name or name not in raw):
                self.originals[below] = above
            within = Place(place.section, named=False) if place.named else inside.get(name)
            if within is not None and isinstance(value, Mapping):
                value = {**content.get(name, {}), **self.section(value, within, below, above)}
            content[name] = value
        return content

    def _right_key(
        self, key: str, raw: Mapping[str, Any], section: type[Section], original: Key
    ) -> str | None:
        """Return the key that was meant, if that is sure enough; a key that does not exist is noted."""
        known = list(section.model_fields)
        if key in known:
            return key
        near = nearest(key, known, SURE)
        elsewhere = None if _same(key, near) else _elsewhere(key, self.root)
        what = "section" if not original and isinstance(raw[key], Mapping) else "key"
        message = f"no such {what}; {elsewhere or suggestion(key, known)}"
        self.problems.append(Problem((*original, key), message))
        if elsewhere or near is None:
            return None
        merges = (
            near in places(section) and isinstance(raw[key], Mapping) and isinstance(raw.get(near), Mapping)
        )
        return near if merges or near not in raw else None


def respell(raw: Mapping[str, Any], root: type[Section]) -> Respelt:
    """Replace misspelt keys all through a file's content, noting each."""
    respelt = Respelt(root)
    respelt.content = respelt.section(raw, Place(root, named=False), (), ())
    return respelt


def places(section: type[Section]) -> dict[str, Place]:
    """Return those keys of a section that hold sections."""
    found = {name: place_of(info.annotation) for name, info in section.model_fields.items()}
    return {name: place for name, place in found.items() if place is not None}


def place_of(annotation: Any) -> Place | None:
    """Return what section an annotation such as ``dict[str, CohortSection]`` leads to, if any."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return Place(annotation, named=False)
    for argument in get_args(annotation):
        inside = place_of(argument)
        if inside is not None:
            return Place(inside.section, named=get_origin(annotation) is dict)
    return None


def _same(key: str, near: str | None) -> bool:
    """Tell whether a key is another but for capitals and hyphens."""
    return near is not None and key.replace("-", "_").casefold() == near


def _elsewhere(key: str, root: type[Section]) -> str | None:
    """Say where a key belongs that stands in the wrong section."""
    homes = [header for header, section in _sections(root) if key in section.model_fields]
    return f"`{key}` belongs under {' or '.join(homes)}" if homes else None


def _sections(root: type[Section]) -> Iterator[tuple[str, type[Section]]]:
    for name, place in places(root).items():
        yield f"[{name}.NAME]" if place.named else f"[{name}]", place.section

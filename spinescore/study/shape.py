"""What pydantic finds wrong with single keys, in words for whoever wrote the file."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from spinescore.study.lines import Key
from spinescore.study.problems import Problem, nearest, one_of, spoken_value
from spinescore.study.sections import Section
from spinescore.study.spelling import Place, places

# Kinds of pydantic's errors -> what the key takes instead.
TAKES = {
    "string_type": "text in quotation marks",
    "path_type": "a path in quotation marks",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "tuple_type": 'a list in brackets, e.g. ["a", "b"] or [1, 2]',
    "dict_type": 'a table in braces, e.g. { a = "b" }',
    "date_type": "a date such as 2020-12-31",
    "date_parsing": "a date such as 2020-12-31",
    "date_from_datetime_parsing": "a date such as 2020-12-31",
    "date_from_datetime_inexact": "a date without a time, such as 2020-12-31",
    "finite_number": "a finite number",
}
BOUNDS = {
    "greater_than": ("gt", "more than"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "less than"),
    "less_than_equal": ("le", "at most"),
}


def shape_problems(content: Mapping[str, Any], root: type[Section]) -> tuple[list[Problem], dict[str, Any]]:
    """Return what single keys get wrong, and the content without those keys.

    Parameters
    ----------
    content : mapping
        A study file's content, without keys that do not exist.
    root : type of Section
        What it should be.
    """
    sound = copy.deepcopy(dict(content))
    try:
        root.model_validate_json(as_json(content), strict=True)
    except ValidationError as error:
        found: dict[Key, list[ErrorDetails]] = {}
        for item in error.errors(include_url=False):
            if item["loc"]:  # without a place it is about what keys say together
                found.setdefault(_resolved(item, content), []).append(item)
        problems = [_explain(path, items, content, root) for path, items in _innermost(found).items()]
        for path in found:
            _remove(sound, path)
        return problems, sound
    return [], sound


def as_json(content: Mapping[str, Any]) -> str:
    """Return the content of a TOML file as JSON; dates become text."""
    return json.dumps(content, default=_dated)


def _dated(value: object) -> str:
    assert isinstance(value, date | datetime | time)
    return value.isoformat()


def _resolved(item: ErrorDetails, content: Any) -> Key:
    """Return the path in the file of an error; what pydantic adds for branches of a type is left out."""
    path: list[int | str] = []
    for part in item["loc"]:
        if _holds(content, part):
            content = content[part]
        elif item["type"] != "missing" or part != item["loc"][-1]:
            continue
        path.append(part)
    return tuple(path)


def _holds(content: Any, part: int | str) -> bool:
    if isinstance(content, list):
        return isinstance(part, int) and part < len(content)
    return isinstance(content, Mapping) and part in content


def _innermost(found: Mapping[Key, list[ErrorDetails]]) -> dict[Key, list[ErrorDetails]]:
    """Leave out what is said of a value as a whole where an item inside it is what is wrong."""
    return {
        path: items
        for path, items in found.items()
        if not any(other != path and other[: len(path)] == path for other in found)
    }


def _explain(
    path: Key, items: Sequence[ErrorDetails], content: Mapping[str, Any], root: type[Section]
) -> Problem:
    first = items[0]
    if first["type"] == "missing":
        return Problem(path, _required(path, root))
    if first["type"] == "model_type" or (first["type"] == "dict_type" and len(path) == 1):
        return Problem(path, _no_section(path, root))
    if first["loc"][-1] == "[key]":
        return Problem(path, f"is none of {_choices(first, str(path[-1]))}")
    return Problem(path, _unfit(_at(content, path), items))


def _required(path: Key, root: type[Section]) -> str:
    place = _section_at(path, root)
    if place is not None:
        needed = [f"`{name}`" for name, info in place.section.model_fields.items() if info.is_required()]
        return f"the section [{path[-1]}] is missing; it needs {' and '.join(needed)}"
    above = _section_at(path[:-1], root)
    described = above.section.model_fields[str(path[-1])].description if above else None
    return f"required, and missing{f' ({described.rstrip(chr(46))})' if described else ''}"


def _no_section(path: Key, root: type[Section]) -> str:
    above = _section_at(path[:-1], root)
    if above and above.named and str(path[-1]) in above.section.model_fields:
        return f"a name is needed: put it under [{path[0]}.NAME], with a name of your own"
    place = _section_at(path, root)
    names = ", ".join(place.section.model_fields) if place and not place.named and len(path) > 1 else ""
    if names and not (above and above.named):
        return f"must be a table: {{ {names} }}"
    header = f"[{path[0]}.NAME]" if place and (place.named or len(path) > 1) else f"[{path[0]}]"
    return f"is a section: write `{header}` on a line of its own, and its keys below"


def _section_at(path: Key, root: type[Section]) -> Place | None:
    place: Place | None = Place(root, named=False)
    for part in path:
        if place is None:
            return None
        place = Place(place.section, named=False) if place.named else places(place.section).get(str(part))
    return place


def _unfit(value: Any, items: Sequence[ErrorDetails]) -> str:
    shown = spoken_value(value)
    types = {item["type"] for item in items}
    if types & set(BOUNDS):
        return (
            f"must be {' and '.join(_bound(item) for item in items if item['type'] in BOUNDS)}, not {shown}"
        )
    if types == {"value_error"} or types == {"assertion_error"}:
        return f"{items[0]['msg'].removeprefix('Value error, ')} (found {shown})"
    if "string_pattern_mismatch" in types:
        return "must not be empty"
    if "too_short" in types:
        counted = next(item["ctx"] for item in items if item["type"] == "too_short")
        n, least = counted["actual_length"], counted["min_length"]
        return f"needs at least {least} value{'s' if least > 1 else ''}, and has {n}"
    if types == {"literal_error"} and isinstance(value, str):
        return f"{shown} is none of {_choices(items[0], value)}"
    takes = list(dict.fromkeys(_takes(item) for item in items))
    return f"must be {one_of(takes)}, not {shown}{_quoted_instead(value, types)}"


def _takes(item: ErrorDetails) -> str:
    if item["type"] == "literal_error":
        return one_of(_allowed(item))
    return TAKES.get(item["type"], item["msg"].removeprefix("Input should be "))


def _bound(item: ErrorDetails) -> str:
    name, words = BOUNDS[item["type"]]
    return f"{words} {item['ctx'][name]:g}"


def _quoted_instead(value: Any, types: set[str]) -> str:
    """Say how a value is written that only lacks, or should not have, its quotation marks."""
    if isinstance(value, int | float) and not isinstance(value, bool) and "string_type" in types:
        return f'; write "{value}"'
    if isinstance(value, str) and types & {
        "int_type",
        "float_type",
        "bool_type",
        "int_parsing",
        "float_parsing",
    }:
        bare = value.strip().casefold()
        if re.fullmatch(r"[+-]?\d+(\.\d+)?|true|false", bare):
            return f"; write {bare} without quotation marks"
    return '; write ["..."]' if isinstance(value, str) and "tuple_type" in types else ""


def _choices(item: ErrorDetails, found: str) -> str:
    allowed = _allowed(item)
    near = nearest(found, [choice.strip('"') for choice in allowed])
    return one_of(allowed) + (f'; did you mean "{near}"?' if near else "")


def _allowed(item: ErrorDetails) -> list[str]:
    """Return what a literal may be, as it is written in the file."""
    return [
        json.dumps(choice[1:-1].encode().decode("unicode_escape")) if choice[0] == "'" else choice
        for choice in re.findall(r"'(?:\\.|[^'\\])*'|-?\d+", item["ctx"]["expected"])
    ]


def _at(content: Any, path: Key) -> Any:
    for part in path:
        content = content[part]
    return content


def _remove(content: Any, path: Key) -> None:
    """Take a key out; of a list, the whole list goes."""
    while path and isinstance(path[-1], int):
        path = path[:-1]
    for part in path[:-1]:
        if not isinstance(content, dict) or part not in content:
            return
        content = content[part]
    if path and isinstance(content, dict):
        content.pop(path[-1], None)

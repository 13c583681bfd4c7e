"""Every key that tomllib finds has a line, and that key stands on it."""

from __future__ import annotations

import json
import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spinescore.study.lines import Key, line_of, locate

AWKWARD = """# [not.a.section] = "x"
title = "a = [1, # no comment"   # [neither]
"quoted key" . 'other' = 1
numbers = [ # a list
  1, [2, 3], # ]
  { a = 1, b.c = "]}" },
]
text = \"\"\"
[fake]
key = 1 \\\"\"\" still
\"\"\"
raw = '''
fake = 2'''
day = 1979-05-27 07:32:00
[a.b]
c = { d = [ { e = 1 }, { e = 2 } ] }
["a b".'c.d']
e = true
[[people]]
name = "x"
[people.address]
street = "s"
[[people]]
name = "y"
[people.address]
street = "t"
[[people.cars]]
plate = "1"
[a]
z.y = 1
z.x = 2
"""


def paths(value: Any, path: Key = ()) -> list[Key]:
    if isinstance(value, dict):
        return [p for key, inside in value.items() for p in ((*path, key), *paths(inside, (*path, key)))]
    if isinstance(value, list):
        return [p for n, inside in enumerate(value) for p in ((*path, n), *paths(inside, (*path, n)))]
    return []


def test_awkward_toml_is_located_line_by_line() -> None:
    found = locate(AWKWARD)
    lines = {
        ("title",): 2,
        ("quoted key", "other"): 3,
        ("numbers", 1): 5,
        ("numbers", 1, 0): 5,
        ("numbers", 2, "b", "c"): 6,
        ("text",): 8,
        ("raw",): 12,
        ("a", "b"): 15,
        ("a", "b", "c", "d", 1, "e"): 16,
        ("a b", "c.d", "e"): 18,
        ("people", 1, "address", "street"): 26,
        ("people", 1, "cars", 0, "plate"): 28,
        ("a",): 29,
        ("a", "z", "x"): 31,
    }
    assert {path: found[path] for path in lines} == lines
    assert set(found) == set(paths(tomllib.loads(AWKWARD)))


def test_line_ends_of_windows_count_once() -> None:
    assert locate("a = 1\r\nb = 2\r\n")["b",] == 2


def test_a_path_that_is_not_there_has_the_line_of_what_would_hold_it() -> None:
    lines = locate("[a]\nb = 1\n")
    assert line_of(lines, ("a", "missing")) == 1
    assert line_of(lines, ("nothing", "at", "all")) == 1


@pytest.mark.parametrize("text", ["a = ", "[", "[[x", 'a = "', "= 1", "\x00", "a.b.", "{", "]]"])
def test_text_that_is_not_toml_ends_too(text: str) -> None:
    assert isinstance(locate(text), dict)


NAMES = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")) | st.sampled_from("]}#=\"'\\.\n\t"),
    min_size=1,
    max_size=6,
)
SCALARS = st.one_of(
    st.integers(-9, 9),
    st.booleans(),
    st.sampled_from(
        ['"]"', "'#'", '"""\n[x]\ny = 1"""', "'''\n}\n'''", "1979-05-27 07:32:00", "-inf", '"\\""']
    ).map(lambda text: ("raw", text)),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=6,
)
SECTIONS = st.dictionaries(NAMES, st.dictionaries(NAMES, VALUES, max_size=4), max_size=4)
GAPS = st.sampled_from(["", "# [x] = ]\n", "\n", "   \n\t# y = 1\n"])


def written(value: Any, breaks: bool) -> str:
    """Write a value as TOML; lists over several lines with comments if ``breaks``."""
    if isinstance(value, tuple):
        return str(value[1])
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "{" + ", ".join(f"{quoted(k)} = {written(v, False)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        separator, end = (",\n  # ]\n  ", " # x\n]") if breaks else (", ", "]")
        return "[" + separator.join(written(item, breaks) for item in value) + (end if value else "]")
    return str(value)


def quoted(name: str) -> str:
    return json.dumps(name, ensure_ascii=False).replace("\x7f", "\\u007f")


@given(SECTIONS, GAPS, st.booleans())
def test_every_key_of_any_file_stands_on_its_line(
    sections: dict[str, dict[str, Any]], gap: str, breaks: bool
) -> None:
    parts = []
    for name, content in sections.items():
        pairs = "".join(f"{gap}{quoted(key)} = {written(value, breaks)}\n" for key, value in content.items())
        parts.append(f"{gap}[{quoted(name)}]\n{pairs}")
    text = "".join(parts)
    content, lines = tomllib.loads(text), text.split("\n")
    found = locate(text)
    assert set(found) == set(paths(content))
    for path, line in found.items():
        if isinstance(path[-1], str):
            assert path[-1] in lines[line - 1] or quoted(path[-1]) in lines[line - 1]

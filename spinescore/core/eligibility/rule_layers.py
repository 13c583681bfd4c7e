"""A user's rule tables laid over the shipped ones, before anything is read from them."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

Table = Mapping[str, Any]

FILE_KEYS = ("extends", "disable", "vocabulary", "rule", "limits", "quality", "blank")


def lay_over(table: Table, shipped: Table, problems: list[str]) -> Table:
    """Return the user's tables over the shipped ones; the user's rules come first unless placed.

    Parameters
    ----------
    table, shipped : mapping
        Rule files as ``tomllib`` gives them.
    problems : list of str
        What is wrong is added to it.
    """
    extends = table.get("extends", "default")
    if extends not in ("default", "none"):
        problems.append(f'extends is "default" or "none", not {extends!r}')
    if extends == "none":
        return {**table, "limits": {**shipped["limits"], **table_of(table, "limits", problems)}}
    return {
        **{key: value for key, value in table.items() if key not in FILE_KEYS},
        "vocabulary": _merge_vocabulary(table_of(table, "vocabulary", problems), shipped["vocabulary"]),
        "rule": _place(tables_of(table, "rule", problems), _kept(table, shipped, problems), problems),
        "limits": {**shipped["limits"], **table_of(table, "limits", problems)},
        "quality": {**shipped["quality"], **table_of(table, "quality", problems)},
        "blank": [*tables_of(table, "blank", problems), *shipped["blank"]],
    }


def _kept(table: Table, shipped: Table, problems: list[str]) -> list[Table]:
    disabled = table.get("disable", [])
    known = [rule["name"] for rule in shipped["rule"]]
    if not isinstance(disabled, list):
        problems.append('disable is a list of rule names, like ["frontal-view"]')
        return list(shipped["rule"])
    for name in disabled:
        if name not in known:
            problems.append(f"disable: no rule {name!r}{nearest(str(name), known)}")
    return [rule for rule in shipped["rule"] if rule["name"] not in disabled]


def _merge_vocabulary(own: Table, shipped: Table) -> Table:
    """A user's entry replaces the shipped one, or with ``{ add = [...] }`` adds to its list."""
    merged = dict(shipped)
    for name, value in own.items():
        adds = isinstance(value, Mapping) and set(value) == {"add"} and isinstance(value["add"], list)
        extendable = isinstance(merged.get(name), list)
        merged[name] = [*merged[name], *value["add"]] if adds and extendable else value
    return merged


def _place(own: list[Table], shipped: list[Table], problems: list[str]) -> list[Table]:
    placed: list[Table] = [rule for rule in own if not {"before", "after"} & set(rule)] + shipped
    for rule in own:
        for key, offset in (("before", 0), ("after", 1)):
            if key not in rule:
                continue
            names = [str(entry.get("name")) for entry in placed]
            if rule[key] in names:
                placed.insert(names.index(rule[key]) + offset, rule)
            else:
                near = nearest(str(rule[key]), names)
                problems.append(f"rule {rule.get('name')!r}: {key} names no rule {rule[key]!r}{near}")
                placed.append(rule)  # to be read for its other mistakes
    return placed


def nearest(name: str, known: Iterable[str]) -> str:
    """Return " (did you mean ...?)" where a known name comes close, else nothing."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def table_of(table: Table, key: str, problems: list[str]) -> Table:
    """Return the table under a key, empty where there is none or something else."""
    value = table.get(key, {})
    if isinstance(value, Mapping):
        return value
    problems.append(f"{key} is a table: [{key}]")
    return {}


def tables_of(table: Table, key: str, problems: list[str]) -> list[Table]:
    """Return the list of tables under a key, empty where there is none or something else."""
    value = table.get(key, [])
    if isinstance(value, list) and all(isinstance(entry, Mapping) for entry in value):
        return value
    problems.append(f"{key} is a list of tables: [[{key}]]")
    return []

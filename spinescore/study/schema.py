"""The JSON Schema of a study file, by which editors complete and check it."""

from __future__ import annotations

from typing import Any

from spinescore.study.whole import Study

DIALECT = "https://json-schema.org/draft/2020-12/schema"
SCHEMA_FILE = "study.schema.json"
DIRECTIVE = f"#:schema ./{SCHEMA_FILE}"


def study_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a study file.

    It holds what single keys can get wrong; what keys say together only ``read_study`` knows.
    """
    drawn = Study.model_json_schema()
    described = {
        "$schema": DIALECT,
        "title": "spinescore study file",
        "description": "What a study is made of: images, follow-up table, cohorts, endpoints, models.",
    }
    return {**described, **{key: _plain(value) for key, value in drawn.items() if key not in described}}


def _plain(drawn: Any) -> Any:
    """Return a part of the schema without null, which TOML has not, and without titles made of names."""
    if isinstance(drawn, list):
        return [_plain(part) for part in drawn]
    if not isinstance(drawn, dict):
        return drawn
    plain = {
        key: {name: _plain(part) for name, part in value.items()}
        if key in ("properties", "$defs")
        else _plain(value)
        for key, value in drawn.items()
        if not (key == "title" and isinstance(value, str))
        and not (key == "default" and (value is None or isinstance(value, dict)))
    }
    branches = plain.get("anyOf")
    if branches is None or {"type": "null"} not in branches:
        return plain
    kept = [branch for branch in branches if branch != {"type": "null"}]
    rest = {key: value for key, value in plain.items() if key != "anyOf"}
    return {**kept[0], **rest} if len(kept) == 1 else {"anyOf": kept, **rest}

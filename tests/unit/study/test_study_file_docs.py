"""docs/study-file.md names every key there is."""

from __future__ import annotations

from pathlib import Path

from spinescore.study.schema import study_schema

DOCS = (Path(__file__).parents[3] / "docs" / "study-file.md").read_text(encoding="utf-8")


def test_every_key_of_the_schema_is_in_the_docs() -> None:
    definitions = study_schema()["$defs"]
    keys = {key for section in definitions.values() for key in section.get("properties", {})}
    assert len(keys) > 50
    missing = {key for key in keys if f"`{key}" not in DOCS and f" {key}" not in DOCS}
    assert missing == set()

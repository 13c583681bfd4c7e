"""The whole report as text, section by section, as it was last looked at.

After a change that is meant: ``SPINESCORE_WRITE_GOLDEN=1 pytest tests/unit/reporting/test_golden_report.py``,
and read the difference. Dates and versions are the material's own and fixed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from spinescore.core.reporting.document import Report, Section, Table
from spinescore.core.reporting.sections import build_report
from tests.unit.reporting.conftest import make_study
from tests.unit.reporting.families import full_material
from tests.unit.reporting.test_device_section import FINDINGS, QUALITY

GOLDEN = Path(__file__).parent / "golden"
WRITE = "SPINESCORE_WRITE_GOLDEN"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Report:
    material = full_material(make_study(tmp_path_factory.mktemp("study") / "report"))
    return build_report(replace(material, quality=QUALITY, findings=FINDINGS))


def lines(section: Section) -> Iterator[str]:
    """Yield what a section says: text, tables row by row, and of charts the words and how much is drawn."""
    yield f"# {section.title}" + (" (supplement)" if section.supplementary else "")
    for block in section.blocks:
        yield ""
        if isinstance(block, Table):
            yield from table_lines(block)
            continue
        yield f"[{block.kind}]"
        for name in (n for n in type(block).__dataclass_fields__ if n not in ("kind", "spec")):
            value = getattr(block, name)
            yield f"{name}: {value if isinstance(value, str | int) else json.dumps(value, default=plain, ensure_ascii=False)}"
        if hasattr(block, "spec"):
            drawn = sorted(len(rows) for rows in block.spec["datasets"].values())
            yield f"rows drawn: {drawn}"


def table_lines(table: Table) -> Iterator[str]:
    yield f"[table {table.number}] {table.title}"
    yield " | ".join(f"{c.spanner}: {c.label}" if c.spanner else c.label for c in table.columns)
    for row in table.rows:
        texts = [
            f"{c.text}{f' [{c.marks}]' if c.marks else ''}{f' ({c.detail})' if c.detail else ''}"
            for c in row.cells
        ]
        yield f"{'  ' if row.kind == 'indent' else ''}{' | '.join(texts)}"
    yield table.caption
    yield from (f"[{mark}] {note}" for mark, note in table.footnotes)


def plain(value: Any) -> Any:
    return {name: getattr(value, name) for name in type(value).__dataclass_fields__}


def text_of(section: Section) -> str:
    return "\n".join(line.rstrip() for line in lines(section)) + "\n"


def test_each_section_says_what_it_said(whole: Report) -> None:
    said = {section.key: text_of(section) for section in whole.sections}
    if os.environ.get(WRITE):
        GOLDEN.mkdir(exist_ok=True)
        for path in GOLDEN.glob("*.txt"):
            path.unlink()
        for key, text in said.items():
            (GOLDEN / f"{key}.txt").write_text(text, encoding="utf-8")
    written = {path.stem: path.read_text(encoding="utf-8") for path in GOLDEN.glob("*.txt")}
    assert set(said) == set(written)
    for key, text in said.items():
        assert text == written[key], f"{key}: read the difference; {WRITE}=1 if it is meant"


def test_a_change_of_one_digit_is_seen(whole: Report) -> None:
    section = next(s for s in whole.sections if s.key == "summary")
    blocks = tuple(replace(b, title=b.title + "1") if hasattr(b, "title") else b for b in section.blocks)
    assert text_of(replace(section, blocks=blocks)) != text_of(section)

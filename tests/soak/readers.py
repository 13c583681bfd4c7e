"""What must hold of each reader whatever it is given, and valid things to start from."""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from functools import cache
from pathlib import Path

from spinescore.core.eligibility.rule_set import RuleSet
from spinescore.core.imaging.header import HeaderReader
from spinescore.errors import StudyError, TableError
from spinescore.shell.archive.locations import Candidate
from spinescore.shell.identity import Pseudonymiser
from spinescore.shell.indexing.intake import read_candidate
from spinescore.shell.indexing.rules import default_rules
from spinescore.shell.tabular import find_table
from spinescore.study import TableLayout, read_study
from tests.soak.fuzz import READING_REASONS, Outcome, compare_readers
from tests.soak.mutations import originals

ROOT = Path(__file__).resolve().parents[2]
MOST_HEADER = 12_000
STATES = {state: {*reasons, None} for state, reasons in READING_REASONS.items()}


@cache
def _rules() -> RuleSet:
    return default_rules()


@cache
def _folder() -> Path:
    shared = Path("/dev/shm")
    return Path(tempfile.mkdtemp(dir=shared if shared.is_dir() else None))


def _file(name: str, content: bytes) -> Path:
    path = _folder() / f"{os.getpid()}-{name}"
    path.write_bytes(content)
    return path


@cache
def valid_headers() -> list[bytes]:
    """Return the files of every device and transfer syntax, cut behind the start of their pixels."""
    return [original.content[: original.pixels_start + MOST_HEADER] for original in originals()]


def check_header(content: bytes) -> None:
    """A header comes to a known state and reason, and the walker reads what pydicom reads."""
    path = _file("image.dcm", content)
    location = os.fsencode(path)
    reading = read_candidate(
        Candidate(location, len(content), 0), HeaderReader(_rules(), Pseudonymiser(None))
    )
    assert reading.reason in STATES[reading.state], (reading.state, reading.reason, reading.detail)
    outcome = Outcome(Counter(), [], 0.0, 0)
    compare_readers(location, outcome, indexed=reading.state == "indexed")
    assert outcome.disagreements == []


@cache
def valid_studies() -> list[str]:
    """Return the study files that lie in this repository."""
    found = [*ROOT.glob("spinescore/data/*study*.toml"), *ROOT.glob("examples/**/*.toml")]
    return [path.read_text(encoding="utf-8") for path in sorted(found)]


def study_words() -> list[str]:
    """Return the words of those files, and some that TOML takes for something."""
    words = {word for text in valid_studies() for word in text.replace("=", " = ").split()}
    return sorted(
        words | {"[", "]", "[[", "{", "}", "nan", "inf", "-1", "1e400", "1979-05-27", "0x", "true", "''"}
    )


def check_study(text: str) -> None:
    """A study file is read, or every problem is one line that says where."""
    path = _file("study.toml", text.encode("utf-8", "surrogatepass"))
    refusal = None
    try:
        read_study(path)
    except StudyError as error:
        refusal = error
    assert refusal is None or (refusal.message.startswith(str(path)) and refusal.next_step.strip())


def check_table(content: bytes, suffix: str) -> None:
    """A table is read into rows of named columns, or refused in one line."""
    path = _file(f"table{suffix}", content)
    refusal, found = "", None
    try:
        found = find_table(path, TableLayout())
    except TableError as error:
        refusal = str(error)
    assert "\n" not in refusal, refusal
    assert found is None or not found.rows.is_empty()
    assert found is None or all(found.rows.columns)


def read_damaged(case: tuple[bytes, str]) -> str:
    """Check a table in a process of its own, which a reader of C may end."""
    check_table(*case)
    return "held"

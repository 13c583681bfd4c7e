"""Hypothesis against the readers of headers, study files and tables, for SPINESCORE_SOAK_MINUTES each (3)."""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from spinescore.shell.workers import WorkerFailure, map_supervised
from tests.soak.edits import Edit, edited, headers, retyped
from tests.soak.readers import (
    check_header,
    check_study,
    check_table,
    read_damaged,
    study_words,
    valid_headers,
    valid_studies,
)
from tests.soak.valid_tables import write_tables
from tests.unit.shell.encoded_files import needs_encoders

MINUTES = float(os.environ.get("SPINESCORE_SOAK_MINUTES", "3"))
SEED = int(os.environ.get("SPINESCORE_SOAK_SEED", "20261128"))
PER_ROUND = 2000
CHUNK = 200
TIMEOUT_S = 30.0
MOST_MEMORY_BYTES = 4 << 30
DRAWING = settings(
    max_examples=PER_ROUND,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.generate, Phase.shrink],
)


def soak(name: str, strategy: SearchStrategy[Any], check: Callable[[Any], None]) -> int:
    """Draw and check in rounds of another seed each until the time is over; return how many were checked."""
    begun, n_checked = time.monotonic(), 0
    for number in range(1 << 30):

        @seed(SEED + number)
        @DRAWING
        @given(strategy)
        def round_(drawn: Any) -> None:
            nonlocal n_checked
            n_checked += 1
            check(drawn)

        round_()
        if time.monotonic() - begun > 60 * MINUTES:
            break
    minutes = (time.monotonic() - begun) / 60
    print(f"\n{name}: {n_checked:,} in {minutes:.1f} minutes, {number + 1} seeds from {SEED}")  # noqa: T201 - the soak's table
    return n_checked


@pytest.mark.timeout(0)
@needs_encoders
def test_every_header_has_a_state_and_both_readers_agree() -> None:
    assert soak("headers", st.one_of(edited(valid_headers()), headers()), check_header) >= PER_ROUND


@pytest.mark.timeout(0)
def test_every_study_file_is_read_or_refused_line_by_line() -> None:
    drawn = st.one_of(retyped(valid_studies(), study_words()), st.text(max_size=200))
    assert soak("study files", drawn, check_study) >= PER_ROUND


@pytest.mark.timeout(0)
def test_every_text_table_is_read_or_refused_in_a_line(tmp_path: Path) -> None:
    texts = [path.read_bytes() for path in write_tables(tmp_path) if path.suffix in (".csv", ".tsv")]
    drawn = st.tuples(st.one_of(edited(texts), st.binary(max_size=300)), st.sampled_from((".csv", ".tsv")))
    assert soak("text tables", drawn, lambda pair: check_table(*pair)) >= PER_ROUND


@pytest.mark.timeout(0)
def test_no_table_of_another_program_ends_its_reader(tmp_path: Path) -> None:
    """Readers written in C and Rust: what ends or hangs them ends a process of ours, which is counted."""
    every = [(path.read_bytes(), path.suffix) for path in write_tables(tmp_path)]
    valid = [(content, suffix) for content, suffix in every if suffix not in (".csv", ".tsv", ".xls")]
    rng, begun = random.Random(SEED), time.monotonic()
    outcomes: Counter[tuple[str, str]] = Counter()
    failures: list[tuple[str, str]] = []
    while time.monotonic() - begun < 60 * MINUTES:
        cases = [damage(*rng.choice(valid), rng) for _ in range(CHUNK)]
        for case, outcome in map_supervised(
            read_damaged, cases, workers=1, timeout_s=TIMEOUT_S, memory_limit_bytes=MOST_MEMORY_BYTES
        ):
            held = not isinstance(outcome, WorkerFailure)
            outcomes[case[1], "held" if held else outcome.reason] += 1
            if not held:
                failures.append((case[1], outcome.detail))
                keep(case, len(failures))
        old = damage(*next(table for table in every if table[1] == ".xls"), rng)
        check_table(*old)  # in a process of its own already, which no worker may start
        outcomes[".xls", "held"] += 1
    print(f"\nother tables: {outcomes.total():,} in {(time.monotonic() - begun) / 60:.1f} minutes")  # noqa: T201
    for (suffix, what), n in sorted(outcomes.items()):
        print(f"  {suffix:<10} {what:<16} {n:,}")  # noqa: T201
    assert failures == []


def damage(content: bytes, suffix: str, rng: random.Random) -> tuple[bytes, str]:
    """Return a table with one to six changes."""
    changed = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 6))):
        written = rng.choice(
            (b"\0", b"\xff", b"\xff\xff\xff\xff", b"\0\0\0\x80", rng.randbytes(rng.randrange(9)))
        )
        Edit(rng.random(), rng.choice((0, 1, len(written), 4, 200)), written).apply(changed)
    return bytes(changed), suffix


def keep(case: tuple[bytes, str], number: int) -> None:
    """Write what broke a reader where SPINESCORE_SOAK_KEEP says, to look at."""
    if folder := os.environ.get("SPINESCORE_SOAK_KEEP"):
        (Path(folder) / f"broken-{number}{case[1]}").write_bytes(case[0])

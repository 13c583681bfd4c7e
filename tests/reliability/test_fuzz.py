"""A few hundred damaged files through the real ingest; `make soak` takes thousands."""

from __future__ import annotations

from pathlib import Path

from tests.soak.fuzz import MOST_GROWTH_BYTES, ingest_mutants, write_mutants
from tests.soak.mutations import SEED, originals

N_MUTANTS = 306


def test_some_hundred_mutants_have_a_state_and_a_reason_each(tmp_path: Path) -> None:
    folder = tmp_path / "mutants"
    folder.mkdir()
    write_mutants(originals(), N_MUTANTS, folder, SEED + 1)
    outcome = ingest_mutants(folder, tmp_path / "cohort.duckdb")
    assert outcome.states.total() == N_MUTANTS
    assert outcome.strange == []
    assert outcome.disagreements == []
    assert outcome.grown_bytes < MOST_GROWTH_BYTES


def test_the_same_seed_makes_the_same_mutants(tmp_path: Path) -> None:
    known = originals()
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        write_mutants(known, 40, tmp_path / name, 7)
    assert [path.read_bytes() for path in sorted((tmp_path / "one").rglob("*.dcm"))] == [
        path.read_bytes() for path in sorted((tmp_path / "other").rglob("*.dcm"))
    ]

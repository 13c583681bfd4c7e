"""Ten thousand damaged files through the real ingest: each a state and a reason (`make soak`)."""

from __future__ import annotations

from pathlib import Path

from tests.soak.fuzz import MOST_GROWTH_BYTES, ingest_mutants, write_mutants
from tests.soak.mutations import SEED, originals

N_MUTANTS = 10_000


def test_ten_thousand_mutants_have_a_state_and_a_reason_each(tmp_path: Path) -> None:
    folder = tmp_path / "mutants"
    folder.mkdir()
    write_mutants(originals(), N_MUTANTS, folder, SEED)
    outcome = ingest_mutants(folder, tmp_path / "cohort.duckdb")
    print(f"\n{N_MUTANTS / outcome.wall_s:.0f} files/s, growth {outcome.grown_bytes >> 20} MiB")  # noqa: T201 - the soak's table
    for (state, reason), count in outcome.states.most_common():
        print(f"{count:6d}  {state} {reason or ''}")  # noqa: T201
    print(f"{outcome.n_walked} read by the walker, known differences {dict(outcome.allowed)}")  # noqa: T201
    assert outcome.states.total() == N_MUTANTS
    assert outcome.strange == []
    assert outcome.disagreements == []
    assert outcome.grown_bytes < MOST_GROWTH_BYTES

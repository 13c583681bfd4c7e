"""Every case that `spinescore verify` ships agrees with R, far closer than a user's machine must."""

from __future__ import annotations

from pathlib import Path

import pytest

from spinescore.core.verification.case import Case, run_case
from spinescore.core.verification.families import every_case
from spinescore.shell.reference_files import read_references

CASES = every_case(read_references())
STRICTER = 100
LESS_STRICT = dict.fromkeys(
    ("calibration-competing", "mixed-model", "mixed-model-singular"), 10
)  # R stops short
HERE = Path(__file__).parent


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.key)
def test_every_shipped_case_agrees(case: Case) -> None:
    outcome, stricter = run_case(case), LESS_STRICT.get(case.key, STRICTER)
    assert outcome.problem is None
    apart = [
        (c.statistic, c.ours[c.furthest], c.reference[c.furthest], c.relative_differences.max())
        for c in outcome.comparisons
        if c.relative_differences.max() > c.tolerance / stricter
    ]
    assert not apart
    assert outcome.agrees
    assert outcome.comparisons
    assert len({c.statistic for c in outcome.comparisons}) == len(outcome.comparisons)


def test_lines_are_compared_at_many_points_and_models_that_differ() -> None:
    cases = {case.key: case for case in CASES}
    for clock in ("plain", "late"):
        for model in ("short", "long"):
            line = run_case(cases[f"beta-over-time-{clock}-{model}"])
            assert min(len(c.reference) for c in line.comparisons) > 30
    performance = {c.statistic: c.reference[0] for c in run_case(cases["performance-alone"]).comparisons}
    gain = performance["with pad: c (harrell)"] - performance["without pad: c (harrell)"]
    assert gain > 0.03


def test_every_case_has_a_key_of_its_own_and_says_where_its_numbers_come_from() -> None:
    references = read_references()
    assert len({case.key for case in CASES}) == len(CASES)
    for case in CASES:
        assert case.title
        assert case.convention
        assert case.call
        assert case.source in references.numbers


def test_every_file_of_reference_numbers_is_compared_somewhere_and_has_its_script() -> None:
    references = read_references()
    elsewhere = set(references.numbers) - {case.source for case in CASES}
    assert [name for name in sorted(elsewhere) if not (HERE / f"test_{name}_against_r.py").exists()] == []
    for name, numbers in references.numbers.items():
        assert f"{name}.R" in references.hashes
        assert numbers["versions"]["R"].startswith("R version")

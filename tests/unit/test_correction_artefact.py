"""Corrections as files: what was written is read back whole, what was edited or cannot be is refused in a line."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spinescore.core.correction import (
    Reference,
    apply_correction,
    count_manufacturers,
    fit_correction,
    fold_of,
    profile_by_age,
    use_across_kinds,
)
from spinescore.core.correction_artefact import identify_correction, read_corrections, write_corrections
from spinescore.domain import Correction, CorrectionMethod
from spinescore.errors import CorrectionError

RNG = np.random.default_rng(8)
N = 300
AGES = RNG.uniform(40, 90, N)
SPINE_AGES = 20 + 0.7 * AGES + RNG.normal(0, 4, N)
SUBJECTS = [f"{i:016x}" for i in range(N)]
FOLDS = np.array([fold_of(subject, seed=3, n_folds=5) for subject in SUBJECTS])


def fit(method: CorrectionMethod = "beheshti", *, folds: bool = False, **changes: Any) -> Correction:
    crossed = {"cross_fit": 5, "folds": FOLDS, "fold_seed": 3, "subject_folds": FOLDS.tolist()}
    reference = Reference(
        cohort="VFA reference",
        sha256="a" * 64,
        kind="vfa",
        ages=AGES,
        spine_ages=SPINE_AGES,
        manufacturers=["GE"] * 200 + ["Hologic"] * 97 + ["Rare"] * 2 + [None],
        subjects=SUBJECTS,
        **(crossed if folds else {}),
    )
    scope: dict[str, Any] = {"kind": "vfa", "model_id": "m", "preprocessing_id": "p"}
    return fit_correction(
        method, reference, **(scope | {"fitted_on": "2026-01-02", "made_by": "spinescore 0.1.0"} | changes)
    )


@pytest.mark.parametrize("folds", [False, True])
@pytest.mark.parametrize("method", ["beheshti", "cole", "age-level"])
def test_what_is_written_is_read_back_to_the_last_bit(method: CorrectionMethod, folds: bool) -> None:
    written = fit(method, folds=folds)
    (read,) = read_corrections(write_corrections([written]), "c.json")
    assert read == written


@given(st.floats(-3, 3), st.floats(-50, 50), st.text(max_size=20))
def test_any_linear_correction_survives_the_file(slope: float, intercept: float, cohort: str) -> None:
    made = identify_correction(replace(fit(), slope=slope, intercept=intercept, reference_cohort=cohort))
    assert read_corrections(write_corrections([made]).encode(), "c.json") == (made,)


def test_the_id_is_of_the_content_and_not_of_the_day_or_the_program() -> None:
    assert fit().correction_id == fit(fitted_on="2030-01-01", made_by="other 9").correction_id
    others = [fit(model_id="n"), fit("cole"), fit(folds=True), use_across_kinds(fit(), "radiograph")]
    assert len({c.correction_id for c in [fit(), *others]}) == 5


def test_manufacturers_of_few_subjects_are_not_named() -> None:
    assert fit().manufacturers == (("GE", 200), ("Hologic", 97), ("other", 3))
    assert count_manufacturers([]) == ()


def test_the_profile_counts_everybody_once_and_pools_thin_years() -> None:
    profile = fit().profile
    assert sum(cell.n for cell in profile) == N
    assert min(cell.n for cell in profile) >= 5
    years = np.floor(AGES)
    for cell in profile:
        own = (years >= cell.first) & (years <= cell.last)
        assert cell.n == own.sum()
        assert cell.mean == pytest.approx((SPINE_AGES - AGES)[own].mean(), abs=1e-12)
        assert cell.sd == pytest.approx((SPINE_AGES - AGES)[own].std(ddof=1), abs=1e-12)
    corrected = apply_correction(fit(), AGES, SPINE_AGES) - AGES
    assert sum(c.n * c.mean_after for c in profile) / N == pytest.approx(corrected.mean(), abs=1e-12)


def test_years_at_both_ends_that_are_thin_join_their_neighbours() -> None:
    ages = np.array([40.5] * 2 + [41.5] * 6 + [60.5] * 7 + [61.5] * 3)
    cells = profile_by_age(ages, ages * 0, ages * 0)
    assert [(c.first, c.last, c.n) for c in cells] == [(40, 41, 8), (60, 61, 10)]


def edited(change: Callable[[dict[str, Any]], None], correction: Correction | None = None) -> str:
    document = json.loads(write_corrections([correction or fit()]))
    change(document)
    return json.dumps(document)


def entry(**changes: Any) -> Callable[[dict[str, Any]], None]:
    return lambda document: document["corrections"][0].update(changes)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "c.json is not JSON"),
        ("[1]", "c.json is no correction file"),
        ("{}", "c.json is no correction file"),
        (b"\xff\xfe", "c.json is not JSON"),
        (edited(lambda d: d.update(format_version=2)), "has format 2; this spinescore knows 1"),
        (edited(lambda d: d.update(corrections=[])), "corrections: list should have at least 1 item"),
        (edited(lambda d: d["corrections"][0].pop("slope")), r"corrections\.0\.slope: field required"),
        (edited(entry(slope=float("nan"))), r"corrections\.0\.slope: input should be a finite number"),
        (edited(entry(slope=float("-inf"))), r"corrections\.0\.slope: input should be a finite number"),
        (edited(entry(slope="0.1")), r"corrections\.0\.slope: input should be a valid number"),
        (edited(entry(more=1)), r"corrections\.0\.more: extra inputs are not permitted"),
        (edited(entry(kind="ct")), r"corrections\.0\.kind: input should be 'radiograph' or 'vfa'"),
        (edited(entry(slope=0.1)), "was altered: its id is not that of its content"),
        (edited(entry(kind="radiograph")), "was altered"),
        (edited(lambda d: d["corrections"].append(d["corrections"][0])), "two corrections for one kind"),
    ],
)
def test_what_is_no_whole_correction_is_refused_in_one_line(text: str | bytes, complaint: str) -> None:
    with pytest.raises(CorrectionError, match=complaint) as caught:
        read_corrections(text, "c.json")
    assert "\n" not in str(caught.value)
    assert caught.value.next_step


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"slope": None}, "lacks the coefficients of its method, beheshti"),
        ({"method": "age-level"}, "lacks the coefficients of its method, age-level"),
        ({"method": "cole", "slope": 0.0}, "lacks the coefficients of its method, cole"),
        ({"age_range": (60.0, 60.0)}, "no range of ages"),
        ({"cross_fit": 5}, "lacks some of its folds"),
    ],
)
def test_a_correction_that_cannot_be_is_refused_though_its_id_fits(
    changes: dict[str, Any], complaint: str
) -> None:
    wrong = identify_correction(replace(fit(), **changes))
    with pytest.raises(CorrectionError, match=complaint):
        read_corrections(write_corrections([wrong]), "c.json")


def test_corrections_of_several_models_are_no_one_file() -> None:
    of_radiographs = use_across_kinds(fit(model_id="n"), "radiograph")
    with pytest.raises(CorrectionError, match="mixes methods or models"):
        read_corrections(write_corrections([fit(), of_radiographs]), "c.json")

"""The shipped model on phantoms of a seed it never saw: it reads the spine, it does not only guess the age."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from spinescore.core.imaging.preprocessing import preprocess
from spinescore.core.network.age_distribution import expectation
from spinescore.core.phantom.person import CohortName, draw_people
from spinescore.core.phantom.radiograph import render
from spinescore.demo import DEMO_SEED
from spinescore.domain import Kind
from spinescore.shell.backends import open_backend
from spinescore.shell.bundles import Bundle, demo_bundle_path, load_bundle
from spinescore.shell.resources import resource

SEED = 31337
N = 160
Measured = tuple[NDArray[Any], NDArray[Any], NDArray[Any]]


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return load_bundle(demo_bundle_path())


@pytest.fixture(scope="module")
def score(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Callable[[Kind, CohortName], Measured]:
    """Return ages, gaps and raw spine ages of unseen phantoms of a kind."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPINESCORE_HOME", str(tmp_path_factory.mktemp("home")))
        backend = open_backend(bundle, device="cpu")

    def score_kind(kind: Kind, cohort: CohortName) -> Measured:
        people = draw_people(N, seed=SEED, cohort=cohort)
        images = []
        for person in people:
            rendered = render(person, kind=kind, seed=SEED)
            images.append(
                preprocess(rendered.pixels, kind=kind, photometric=rendered.photometric, spec=bundle.spec)
            )
        spine_ages = expectation(backend.predict(np.stack(images)[:, None]), bundle.first_age)
        ages = np.array([person.age_years for person in people])
        return ages, np.array([person.gap_years for person in people]), spine_ages

    return score_kind


def correlate_given_age(ages: NDArray[Any], gaps: NDArray[Any], spine_ages: NDArray[Any]) -> float:
    """Partial correlation of PAD with the latent gap given age."""
    design = np.column_stack([np.ones_like(ages), ages])

    def unexplained(y: NDArray[Any]) -> NDArray[Any]:
        return y - design @ np.linalg.lstsq(design, y, rcond=None)[0]

    return float(np.corrcoef(unexplained(spine_ages - ages), unexplained(gaps))[0, 1])


def test_it_reads_radiographs_it_never_saw(score: Callable[[Kind, CohortName], Measured]) -> None:
    ages, gaps, spine_ages = score("radiograph", "derivation")
    assert np.corrcoef(ages, spine_ages)[0, 1] >= 0.8
    assert np.abs(spine_ages - ages).mean() <= 6
    assert correlate_given_age(ages, gaps, spine_ages) >= 0.4


def test_it_reads_something_from_vfa_too(score: Callable[[Kind, CohortName], Measured]) -> None:
    ages, gaps, spine_ages = score("vfa", "vfa")
    assert np.corrcoef(ages, spine_ages)[0, 1] >= 0.5
    assert correlate_given_age(ages, gaps, spine_ages) >= 0.3


def test_neither_the_demo_nor_these_tests_use_a_training_seed(bundle: Bundle) -> None:
    seeds = set(bundle.manifest["training_seeds"])
    assert seeds
    assert not seeds & {SEED, DEMO_SEED}


def test_the_truth_shown_beside_the_demos_result_is_of_this_model(bundle: Bundle) -> None:
    truth = json.loads(resource("data", "demo-truth.json").read_text(encoding="utf-8"))
    assert truth["model_id"] == bundle.model_id
    assert truth["simulated_follow_ups"] >= 10**6

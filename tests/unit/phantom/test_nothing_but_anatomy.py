"""Nothing in a phantom's picture or header but its anatomy tells age, sex or group.

A learner (ridge regression, cross-fitted) is shown the pictures of many acquisitions of one and the
same spine, and their headers. It must do no better than on shuffled people; shown the people's own
spines it must do much better, so that the check can fail. A network does the same in tests/soak.
"""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from spinescore.core.phantom.acquisition import (
    RADIOGRAPH_DEVICES,
    VFA_DEVICES,
    draw_acquisition,
)
from spinescore.core.phantom.anatomy import build_spine
from spinescore.core.phantom.person import draw_people
from spinescore.core.phantom.radiograph import picture
from spinescore.core.phantom.randomness import open_generator

SEED, N_EACH, ROWS = 41, 75, 120
FOLDS, SHUFFLES = 8, 400
PENALTIES = (0.03, 0.3)  # of the kernel's mean eigenvalue
CHANCE = 0.01  # a p value below this would be a leak; six are looked at
TRAITS = ("age", "sex", "group")
# what this small learner finds in that few pictures of the anatomy; a network in tests/soak finds all
FOUND: dict = {"radiograph": (), "vfa": ("age", "sex")}


@pytest.fixture(scope="module")
def people():
    """Two groups of people: the derivation cohort and the older VFA cohort."""
    return [p for cohort in ("derivation", "vfa") for p in draw_people(N_EACH, seed=SEED, cohort=cohort)]


@pytest.fixture(scope="module")
def traits(people):
    columns = [(p.age_years, p.sex == "F", p.subject_id.startswith("VFA")) for p in people]
    return dict(zip(TRAITS, np.array(columns, float).T, strict=True))


def describe_header(acquisition):
    """What a header and a raster tell of how an image was taken."""
    devices = (*RADIOGRAPH_DEVICES, *VFA_DEVICES)
    return [
        *(float(acquisition.device == device) for device in devices),
        *(float(acquisition.body_part == part) for part in ("LSPINE", "TSPINE", "SPINE")),
        *(float(acquisition.view_position == view) for view in ("LL", "RL", "LATERAL", "LAT")),
        acquisition.columns / acquisition.rows,
        acquisition.spacing_mm,
        float(acquisition.facing_right),
    ]


def look_at(people, kind, spine=None):
    """Return what the learner sees: small pictures and headers, of one spine or of everybody's own."""
    seen = []
    for person in people:
        acquisition = draw_acquisition(person.subject_id, kind=kind, seed=SEED, height=ROWS)
        own = spine or build_spine(person, seed=SEED)
        rng = open_generator(SEED, person.subject_id, kind, "rendering")
        shown = picture(own, acquisition, kind=kind, rng=rng)
        bright = shown.pixels / float((1 << shown.bits_stored) - 1)
        bright = 1 - bright if shown.photometric == "MONOCHROME1" else bright
        small = Image.fromarray(bright.astype(np.float32)).resize((28, 56), Image.Resampling.BOX)
        pixels = np.asarray(small).ravel()
        seen.append(np.concatenate([(pixels - pixels.mean()) / 8, describe_header(acquisition)]))
    table = np.array(seen)
    return (table - table.mean(axis=0)) / (table.std(axis=0) + 0.02)


def fit_elsewhere(seen, penalty):
    """Return the matrix that turns values of all into predictions for each from the other folds."""
    n = len(seen)
    kernel = seen @ seen.T
    fold = np.random.default_rng(0).permutation(n) % FOLDS
    matrix = np.zeros((n, n))
    for k in range(FOLDS):
        inside, outside = np.flatnonzero(fold != k), np.flatnonzero(fold == k)
        held = kernel[np.ix_(inside, inside)]
        ridge = held + penalty * np.trace(held) / len(inside) * np.eye(len(inside))
        weights = np.linalg.solve(ridge, kernel[np.ix_(inside, outside)]).T
        centre = np.eye(len(inside)) - 1 / len(inside)
        matrix[np.ix_(outside, inside)] = weights @ centre + 1 / len(inside)
    return matrix


def correlate(matrix, values):
    """Return r of the cross-fitted predictions with the truth, for each column of ``values``."""
    predicted = matrix @ values
    centred = values - values.mean(axis=0)
    predicted = predicted - predicted.mean(axis=0)
    return (predicted * centred).sum(axis=0) / np.sqrt((predicted**2).sum(axis=0) * (centred**2).sum(axis=0))


def judge(seen, values):
    """Return the best penalty's r and its p value by shuffling people, each shuffle with its best penalty."""
    rng = np.random.default_rng(1)
    columns = np.column_stack([values, *(rng.permutation(values) for _ in range(SHUFFLES))])
    best = np.max([correlate(fit_elsewhere(seen, penalty), columns) for penalty in PENALTIES], axis=0)
    return best[0], np.mean(best >= best[0])


@pytest.fixture(scope="module")
def pictures(people):
    """Of each kind: pictures of one spine, and of everybody's own."""
    one = build_spine(people[3], seed=SEED)
    return {kind: (look_at(people, kind, one), look_at(people, kind)) for kind in FOUND}


@pytest.mark.parametrize("trait", TRAITS)
@pytest.mark.parametrize("kind", FOUND)
def test_pictures_of_one_spine_tell_nothing_of_whose_they_were(pictures, traits, kind, trait):
    _, p = judge(pictures[kind][0], traits[trait])
    assert p > CHANCE


@pytest.mark.parametrize(("kind", "trait"), [(kind, trait) for kind in FOUND for trait in FOUND[kind]])
def test_pictures_of_their_own_spines_tell(pictures, traits, kind, trait):
    _, p = judge(pictures[kind][1], traits[trait])
    assert p <= CHANCE


@pytest.mark.parametrize("trait", TRAITS)
def test_the_learner_finds_a_faint_mark_that_tells(pictures, traits, trait):
    """The check can fail: one value among the pixels that follows a trait loosely is found."""
    leak = (traits[trait] - traits[trait].mean()) / traits[trait].std()
    noisy = leak + np.random.default_rng(2).standard_normal(len(leak))
    _, p = judge(np.column_stack([pictures["vfa"][0], 6 * noisy]), traits[trait])
    assert p <= CHANCE

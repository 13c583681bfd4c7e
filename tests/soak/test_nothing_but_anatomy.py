"""A network fed everything outside the anatomy learns neither age nor sex nor group; fed the anatomy it does.

The heavy twin of tests/unit/phantom/test_nothing_but_anatomy.py: a convolutional network instead of a
ridge, and more people. Some twenty minutes on one core.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from spinescore.core.phantom.acquisition import draw_acquisition
from spinescore.core.phantom.anatomy import build_spine
from spinescore.core.phantom.person import draw_people
from spinescore.core.phantom.radiograph import picture
from spinescore.core.phantom.randomness import open_generator

SEED, N_EACH, ROWS, COLUMNS = 43, 700, 128, 64
TRAINED_SHARE, EPOCHS, BATCH = 0.7, 15, 32
# |r| between independent values of n people exceeds this with probability 0.0027
SIGMAS = 3.0


def look_at(people, kind, spine=None):
    """Return small pictures (n, 1, ROWS, COLUMNS) of one spine, or of everybody's own."""
    seen = []
    for person in people:
        acquisition = draw_acquisition(person.subject_id, kind=kind, seed=SEED, height=2 * ROWS)
        rng = open_generator(SEED, person.subject_id, kind, "rendering")
        shown = picture(spine or build_spine(person, seed=SEED), acquisition, kind=kind, rng=rng)
        bright = shown.pixels / float((1 << shown.bits_stored) - 1)
        bright = 1 - bright if shown.photometric == "MONOCHROME1" else bright
        small = Image.fromarray(bright.astype(np.float32)).resize((COLUMNS, ROWS), Image.Resampling.BOX)
        seen.append((np.asarray(small) - 0.5) * 2)
    return torch.tensor(np.array(seen))[:, None]


def build_network(outputs):
    layers = []
    for wide, wider in ((1, 16), (16, 32), (32, 48), (48, 64)):
        layers += [
            torch.nn.Conv2d(wide, wider, 3, padding=1),
            torch.nn.BatchNorm2d(wider),
            torch.nn.ReLU(),
            torch.nn.MaxPool2d(2),
        ]
    pool = torch.nn.AdaptiveAvgPool2d((4, 2))
    return torch.nn.Sequential(*layers, pool, torch.nn.Flatten(), torch.nn.Linear(64 * 8, outputs))


def learn(seen, traits):
    """Train on the first part of shuffled people; return r of prediction and truth in the rest, per trait."""
    torch.manual_seed(0)
    order = torch.tensor(np.random.default_rng(0).permutation(len(seen)))
    n_trained = int(TRAINED_SHARE * len(seen))
    trained, held = order[:n_trained], order[n_trained:]
    goal = torch.tensor((traits - traits.mean(axis=0)) / traits.std(axis=0)).float()
    network = build_network(goal.shape[1])
    optimiser = torch.optim.AdamW(network.parameters(), 2e-3, weight_decay=0.02)
    for _ in range(EPOCHS):
        network.train()
        for some in trained[torch.randperm(n_trained)].split(BATCH):
            loss = ((network(seen[some]) - goal[some]) ** 2).mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    network.eval()
    with torch.no_grad():
        predicted = torch.cat([network(seen[some]) for some in held.split(100)]).numpy()
    truth = goal[held].numpy()
    r = [np.corrcoef(predicted[:, k], truth[:, k])[0, 1] for k in range(truth.shape[1])]
    return np.array(r), len(held)


@pytest.mark.parametrize("kind", ["radiograph", "vfa"])
def test_a_network_learns_age_sex_and_group_from_anatomy_and_from_nothing_else(kind):
    people = [p for cohort in ("derivation", "vfa") for p in draw_people(N_EACH, seed=SEED, cohort=cohort)]
    traits = np.array([(p.age_years, p.sex == "F", p.subject_id.startswith("VFA")) for p in people], float)
    from_the_rest, n = learn(look_at(people, kind, build_spine(people[3], seed=SEED)), traits)
    from_anatomy, _ = learn(look_at(people, kind), traits)
    bound = SIGMAS / np.sqrt(n)
    assert np.abs(from_the_rest).max() < bound, from_the_rest
    assert from_anatomy.min() > bound, from_anatomy
    assert from_anatomy[0] > 0.7

"""What is read from an age distribution, and the loss, against sums written out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from spinescore.core.network.age_distribution import age_class, expectation, round_age, softmax, variance
from spinescore.core.network.loss import mean_variance_loss

LOGITS = arrays(np.float64, (3, 7), elements=st.floats(-30, 30))


@given(LOGITS)
def test_expectation_and_variance_are_the_sums_of_their_definition(logits: np.ndarray) -> None:
    p = softmax(logits)
    for i, (m, v) in enumerate(zip(expectation(p, 40), variance(p, 40), strict=True)):
        assert m == pytest.approx(sum((40 + j) * float(p[i, j]) for j in range(7)), abs=1e-6)
        assert v == pytest.approx(sum(float(p[i, j]) * (40 + j - m) ** 2 for j in range(7)), abs=1e-6)
        assert 40 - 1e-4 <= m <= 46 + 1e-4


def test_softmax_does_not_overflow() -> None:
    assert softmax(np.array([[1e4, 0.0]])).tolist() == [[1.0, 0.0]]


def test_halves_round_up() -> None:
    assert round_age(np.array([60.5, 61.5, 61.4999])).tolist() == [61, 62, 61]


def test_the_class_is_the_completed_year_within_the_classes() -> None:
    assert age_class(np.array([39.9, 40.0, 40.99, 100.5, 104.0]), 40, 61).tolist() == [0, 0, 0, 60, 60]


@given(LOGITS, arrays(np.float64, 3, elements=st.floats(40, 46.99)))
def test_the_loss_is_pans(logits: np.ndarray, ages: np.ndarray) -> None:
    parts = mean_variance_loss(
        torch.tensor(logits), torch.tensor(ages), first_age=40, mean_weight=0.2, variance_weight=0.05
    )
    exact = np.exp(logits - logits.max(1, keepdims=True))
    exact /= exact.sum(1, keepdims=True)
    m, v = expectation(exact, 40), variance(exact, 40)
    cross_entropy = -np.log(exact[np.arange(3), np.floor(ages).astype(int) - 40] + 1e-300).mean()
    mean, spread = ((m - ages) ** 2).sum() / 6, v.sum() / 3
    assert float(parts.cross_entropy) == pytest.approx(cross_entropy, rel=1e-3, abs=1e-3)
    assert float(parts.mean) == pytest.approx(mean, rel=1e-3, abs=1e-3)
    assert float(parts.variance) == pytest.approx(spread, rel=1e-3, abs=1e-3)
    total = cross_entropy + 0.2 * mean + 0.05 * spread
    assert float(parts.total) == pytest.approx(total, rel=1e-3, abs=1e-3)


def test_the_loss_falls_when_the_age_is_right_and_certain() -> None:
    age = torch.tensor([60.0])
    certain = torch.zeros(1, 61)
    certain[0, 20] = 20.0
    wrong = certain.roll(15, dims=1)
    losses = [
        float(mean_variance_loss(x, age, first_age=40).total) for x in (certain, torch.zeros(1, 61), wrong)
    ]
    assert losses[0] < 1e-3 < losses[1] < losses[2]

"""A model fitted once tells every model that is a line in it: equal to fitting each."""

from __future__ import annotations

import numpy as np
import pytest

from spinescore.core.statistics.cox import fit_cox
from spinescore.core.statistics.equivalent_fits import Fits, find_line, transform_fit
from spinescore.core.statistics.logistic import fit_logistic
from spinescore.core.statistics.times import make_follow_up

N = 800
RNG = np.random.default_rng(3)
AGE, MALE, GAP = RNG.normal(70, 8, N), (RNG.random(N) < 0.4).astype(float), RNG.normal(0, 4, N)
SPINE = 0.8 * AGE + 14 + GAP
OTHERS = np.column_stack([AGE, MALE])
TIMES = make_follow_up(
    np.zeros(N), np.ceil(RNG.exponential(20 * np.exp(-0.1 * GAP)) * 4) / 4, (RNG.random(N) < 0.5).astype(int)
)
EVENT = TIMES.status == 1
COLUMNS = {
    "pad_raw": SPINE - AGE,
    "beheshti": SPINE - (-0.2 * AGE + 14) - AGE,
    "cole": (SPINE - 14) / 0.8,
    "cole_pad": (SPINE - 14) / 0.8 - AGE,
}


@pytest.mark.parametrize("name", COLUMNS)
def test_a_line_in_another_column_has_the_fit_of_its_own(name: str) -> None:
    line = find_line(COLUMNS[name], SPINE, OTHERS)
    assert line is not None
    for fit in (lambda x: fit_cox(TIMES, EVENT, x), lambda x: fit_logistic(EVENT, x)):
        told = transform_fit(fit(np.column_stack([SPINE, OTHERS])), line)
        made = fit(np.column_stack([COLUMNS[name], OTHERS]))
        np.testing.assert_allclose(told.coefficients, made.coefficients, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(told.covariance, made.covariance, rtol=1e-8, atol=1e-12)
        assert told.log_likelihood == pytest.approx(made.log_likelihood, rel=1e-12)


def test_what_is_no_line_is_none() -> None:
    assert find_line(SPINE, RNG.normal(size=N), OTHERS) is None
    assert find_line(np.round(SPINE), SPINE, OTHERS) is None
    assert find_line(SPINE + 1e-7 * RNG.normal(size=N), SPINE, OTHERS) is None
    assert find_line(SPINE - AGE, SPINE, OTHERS[:, 1:]) is None, "without age a gap is no line in spine age"
    assert find_line(2 * AGE + 1, SPINE, OTHERS) is None, "a covariate again, nothing of the other"
    assert find_line(np.ones(N), SPINE, OTHERS) is None
    assert find_line(SPINE - AGE, SPINE, np.column_stack([OTHERS, AGE])) is None, "collinear covariates"


def test_nothing_is_fitted_twice_and_problems_are_not_handed_on() -> None:
    made: list[int] = []

    def fit(matrix: np.ndarray):
        made.append(matrix.shape[1])
        return fit_cox(TIMES, EVENT, matrix)

    fits, rows = Fits(), np.arange(N)
    for column in (SPINE, *COLUMNS.values(), SPINE):
        assert fits.get("cox", rows, column[:, None], OTHERS, fit).problem is None
    assert made == [3]
    fits.get("other", rows, SPINE[:, None], OTHERS, fit)
    fits.get("cox", rows, SPINE[:, None], OTHERS[:, :1], fit)
    fits.get("cox", rows, SPINE[:, None][:, :0], OTHERS, fit)
    assert made == [3, 3, 2, 2]
    assert fits.get("cox", rows, AGE[:, None], OTHERS, fit).problem == "collinear"
    assert fits.get("cox", rows, 2 * AGE[:, None], OTHERS, fit).problem == "collinear"
    assert fits.get("cox", rows, np.ones((N, 1)), OTHERS, fit).problem == "constant predictor"

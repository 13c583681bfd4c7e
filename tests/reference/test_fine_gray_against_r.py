"""Fine and Gray's model equals cmprsk::crr on heavily tied times (fine_gray.R made the numbers)."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from spinescore.core.statistics.fine_gray import fit_fine_gray
from spinescore.core.statistics.times import make_follow_up
from tests.reference.test_survival_against_r import COMPLETE, design

R = json.loads((Path(__file__).parent / "fine_gray.json").read_text())
SIX = [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("case", "n", "columns", "cause"),
    [("full", None, SIX, 1), ("other_cause", None, SIX, 2), ("single", None, [0], 1), ("few", 60, [0, 1], 1)],
)
def test_coefficients_errors_and_likelihoods_equal_those_of_crr(
    case: str, n: int | None, columns: list[int], cause: int
) -> None:
    data = COMPLETE.head(n) if n else COMPLETE
    follow_up = make_follow_up(np.zeros(data.height), data["exit"].to_numpy(), data["status"].to_numpy())
    fit = fit_fine_gray(follow_up, cause, design(data)[:, columns])
    assert fit.problem is None
    assert fit.n == R[case]["n"]
    np.testing.assert_allclose(fit.coefficients, R[case]["coef"], rtol=1e-7)
    np.testing.assert_allclose(np.sqrt(np.diag(fit.covariance)), R[case]["se"], rtol=1e-7)
    np.testing.assert_allclose([fit.log_likelihood_null, fit.log_likelihood], R[case]["loglik"], rtol=1e-10)


def test_without_competing_events_the_weights_are_one() -> None:
    """On untied times the fit is then Cox's own, its covariance the robust one."""
    from spinescore.core.statistics.cox import fit_cox

    rng = np.random.default_rng(3)
    x = rng.normal(size=(400, 2))
    exit_times, event = rng.exponential(np.exp(-0.5 * x[:, 0])), rng.random(400) < 0.7
    follow_up = make_follow_up(np.zeros(400), exit_times, event.astype(np.int64))
    ours = fit_fine_gray(follow_up, 1, x)
    np.testing.assert_allclose(ours.coefficients, fit_cox(follow_up, event, x).coefficients, rtol=1e-9)


def test_what_cannot_be_estimated_says_why() -> None:
    rng = np.random.default_rng(4)
    x, exit_times = rng.normal(size=(50, 1)), rng.exponential(size=50)
    late = make_follow_up(exit_times / 2, exit_times, np.ones(50, dtype=np.int64))
    assert "left truncation" in str(fit_fine_gray(late, 1, x).problem)
    censored = make_follow_up(np.zeros(50), exit_times, np.zeros(50, dtype=np.int64))
    assert fit_fine_gray(censored, 1, x).problem == "0 events"
    told = make_follow_up(np.zeros(50), exit_times, np.where(x[:, 0] > 0, 1, 2))
    assert fit_fine_gray(told, 1, (x > 0).astype(float)).problem == "separation"

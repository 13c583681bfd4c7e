"""Survival estimators equal R's to 1e-6 relative, closed forms to 1e-9 (survival.R made the numbers)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from spinescore.core.statistics.competing_risks import estimate_cumulative_incidence, gray_test
from spinescore.core.statistics.concordance import (
    compare_concordance,
    estimate_concordance,
    measure_concordance,
)
from spinescore.core.statistics.cox import CoxFit, compare_nested, fit_cox
from spinescore.core.statistics.incidence import estimate_rate
from spinescore.core.statistics.kaplan_meier import (
    estimate_survival,
    find_median,
    log_rank,
    reverse_follow_up,
)
from spinescore.core.statistics.proportional_hazards import (
    check_proportional_hazards,
    measure_residuals,
    transform_times,
)
from spinescore.core.statistics.times import FollowUp, make_follow_up

HERE = Path(__file__).parent
R = json.loads((HERE / "survival.json").read_text())
DATA = pl.read_csv(HERE / "cohort.csv", null_values="NA")
COMPLETE = DATA.filter(pl.col("bmi").is_not_null())
TERMS = {"pad": [0], "age": [1], "sex": [2], "bmi": [3], "region": [4, 5]}


def follow_up(data: pl.DataFrame, *, late: bool) -> FollowUp:
    entry = data["entry"].to_numpy() if late else np.zeros(len(data))
    return make_follow_up(entry, data["exit"].to_numpy(), data["status"].to_numpy())


def design(data: pl.DataFrame) -> np.ndarray:
    return data.select(
        "pad",
        "age",
        (pl.col("sex") == "M").cast(float),
        "bmi",
        (pl.col("region") == "north").cast(float).alias("n"),
        (pl.col("region") == "west").cast(float).alias("w"),
    ).to_numpy()


def fits(late: bool) -> tuple[CoxFit, CoxFit, FollowUp, np.ndarray]:
    times, x = follow_up(COMPLETE, late=late), design(COMPLETE)
    event = times.status == 1
    return fit_cox(times, event, x), fit_cox(times, event, x[:, 1:]), times, x


def close(ours: Any, theirs: Any, rtol: float) -> None:
    np.testing.assert_allclose(
        np.array(ours, dtype=float), np.array(theirs, dtype=float), rtol=rtol, atol=1e-14
    )


@pytest.mark.parametrize("kind", ["plain", "late"])
def test_cox_equals_coxph(kind: str) -> None:
    larger, smaller, *_ = fits(kind == "late")
    for fit, reference in ((larger, R["cox"][kind]), (smaller, R["cox"][f"{kind}_without"])):
        close(fit.coefficients, reference["coef"], 1e-8)
        close(np.sqrt(np.diag(fit.covariance)), reference["se"], 1e-8)
        close([fit.log_likelihood_null, fit.log_likelihood], reference["loglik"], 1e-11)
        assert (fit.n, fit.events) == (reference["n"], reference["events"])


def test_likelihood_ratio_equals_coxph() -> None:
    larger, smaller, *_ = fits(False)
    close(compare_nested(smaller, larger).value, R["cox"]["lr_plain"], 1e-9)


def test_competing_cause_equals_coxph() -> None:
    times = follow_up(DATA, late=False)
    fit = fit_cox(times, times.status == 2, DATA.select("pad", "age").to_numpy())
    close(fit.coefficients, R["cox"]["competing"]["coef"], 1e-8)
    close(np.sqrt(np.diag(fit.covariance)), R["cox"]["competing"]["se"], 1e-8)


@pytest.mark.parametrize("kind", ["plain", "late"])
def test_ph_test_equals_cox_zph(kind: str) -> None:
    fit, _, times, x = fits(kind == "late")
    residuals = measure_residuals(times, times.status == 1, x, fit)
    g = transform_times(times, times.status == 1, residuals.times, "km")
    tests = check_proportional_hazards(residuals, g, TERMS)
    found = [tests[name] for name in (*TERMS, "global")]
    close([t.value for t in found], R["zph"][kind]["chisq"], 1e-7)
    close([t.df for t in found], R["zph"][kind]["df"], 1e-12)
    close([t.p_value for t in found], R["zph"][kind]["p"], 1e-7)


@pytest.mark.parametrize("kind", ["plain", "late"])
def test_concordance_equals_survival(kind: str) -> None:
    larger, smaller, times, x = fits(kind == "late")
    event = times.status == 1
    with_pad = measure_concordance(times, event, x @ larger.coefficients)
    without = measure_concordance(times, event, x[:, 1:] @ smaller.coefficients)
    reference = R["concordance"][kind]
    close([with_pad.c, without.c], reference["c"], 1e-9)
    variance = np.array(reference["var"])
    close([estimate_concordance(c, 0.95).se for c in (with_pad, without)], np.sqrt(np.diag(variance)), 1e-9)
    contrast = variance[0, 0] + variance[1, 1] - 2 * variance[0, 1]
    close(compare_concordance(with_pad, without, 0.95).se, np.sqrt(contrast), 1e-8)


def test_single_predictor_concordance_with_tied_scores_equals_survival() -> None:
    times = follow_up(DATA, late=False)
    c = measure_concordance(times, times.status == 1, DATA["spine_age"].to_numpy())
    close(
        [c.c, (c.influence**2).sum()],
        [R["concordance"]["single"]["c"], R["concordance"]["single"]["var"]],
        1e-9,
    )


@pytest.mark.parametrize("kind", ["plain", "late"])
def test_kaplan_meier_equals_survfit(kind: str) -> None:
    curve, reference = estimate_survival(follow_up(DATA, late=kind == "late"), 0.95), R["km"][kind]
    rows = [curve.at(t) for t in reference["times"]]
    close(curve.values[rows], reference["surv"], 1e-9)
    close(curve.se[rows], reference["se"], 1e-9)
    close(curve.lower[rows], reference["lower"], 1e-9)
    close(curve.upper[rows], reference["upper"], 1e-9)


def test_medians_equal_survfit() -> None:
    times = follow_up(DATA, late=False)
    any_event = FollowUp(times.entry, times.exit, (times.status > 0).astype(int))
    four = make_follow_up(np.zeros(4), np.arange(1.0, 5.0), np.ones(4, dtype=int))
    cases = {"any_event": any_event, "reverse": reverse_follow_up(times), "flat": four}
    for name, case in cases.items():
        median, reference = find_median(estimate_survival(case, 0.95)), R["median"][name]
        for ours, key in ((median.value, 0), (median.lower, 1), (median.upper, 2)):
            assert ours == (None if reference[key] is None else pytest.approx(reference[key], rel=1e-9)), (
                name,
                key,
            )


def test_log_rank_equals_survdiff() -> None:
    found = log_rank(follow_up(DATA, late=False), DATA["group"].to_numpy(), 3)
    close([found.value, found.df], [R["logrank"]["chisq"], 2], 1e-9)


@pytest.mark.parametrize("kind", ["plain", "late"])
@pytest.mark.parametrize("cause", [1, 2])
def test_aalen_johansen_equals_survfit(kind: str, cause: int) -> None:
    curve = estimate_cumulative_incidence(follow_up(DATA, late=kind == "late"), cause, 0.95)
    reference = R["aj"][kind]
    rows = [curve.at(t) for t in reference["times"]]
    for ours, key in ((curve.values, "p"), (curve.se, "se"), (curve.lower, "lower"), (curve.upper, "upper")):
        close(ours[rows], [row[cause - 1] for row in reference[key]], 1e-9)


@pytest.mark.parametrize("cause", [1, 2])
def test_gray_equals_cuminc(cause: int) -> None:
    found = gray_test(follow_up(DATA, late=False), DATA["group"].to_numpy(), 3, cause)
    close([found.value, found.p_value], [R["gray"]["stat"][cause - 1], R["gray"]["p"][cause - 1]], 1e-9)


def test_poisson_interval_equals_poisson_test() -> None:
    rate = estimate_rate(17, 523.25, 0.95)
    close([rate.lower, rate.upper], R["poisson"], 1e-6)

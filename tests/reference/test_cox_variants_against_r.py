"""Robust, clustered and stratified Cox models equal R's on heavy ties (cox_variants.R made the numbers)."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from lifelines import CoxPHFitter

from spinescore.core.statistics.concordance import measure_concordance
from spinescore.core.statistics.cox import fit_cox
from spinescore.core.statistics.cox_residuals import robust_covariance, score_residuals
from spinescore.core.statistics.times import make_follow_up, stratify
from tests.reference.test_survival_against_r import COMPLETE, close, follow_up

R = json.loads((Path(__file__).parent / "cox_variants.json").read_text())
SITE = (COMPLETE["id"] % 17).to_numpy()
THREE = COMPLETE.select("pad", "age", (pl.col("sex") == "M").cast(float)).to_numpy()
STRATA = {
    "strata": (pl.col("sex") + pl.col("region")).rank("dense") - 1,
    "strata_late": pl.col("region").rank("dense") - 1,
    "strata_cluster": pl.col("region").rank("dense") - 1,
}


@pytest.mark.parametrize("case", ["robust", "robust_late", "cluster", "cluster_late"])
def test_robust_errors_equal_coxph(case: str) -> None:
    times = follow_up(COMPLETE, late=case.endswith("late"))
    event = times.status == 1
    fit = fit_cox(times, event, THREE)
    residuals = score_residuals(times, event, THREE, fit)
    np.testing.assert_allclose(residuals.sum(axis=0), 0, atol=1e-8)
    clusters = SITE if case.startswith("cluster") else None
    covariance = robust_covariance(residuals, fit.covariance, clusters)
    close(np.sqrt(np.diag(fit.covariance)), R[case]["naive_se"], 1e-8)
    close(np.sqrt(np.diag(covariance)), R[case]["se"], 1e-8)


@pytest.mark.parametrize("case", list(STRATA))
def test_stratified_models_equal_coxph(case: str) -> None:
    strata = COMPLETE.select(STRATA[case].cast(pl.Int64)).to_series().to_numpy()
    times = stratify(follow_up(COMPLETE, late=case.endswith("late")), strata)
    event, x = times.status == 1, THREE[:, :2]
    fit = fit_cox(times, event, x)
    close(fit.coefficients, R[case]["coef"], 1e-8)
    close([fit.log_likelihood_null, fit.log_likelihood], R[case]["loglik"], 1e-11)
    covariance = fit.covariance
    if case == "strata_cluster":
        covariance = robust_covariance(score_residuals(times, event, x, fit), covariance, SITE)
    close(np.sqrt(np.diag(covariance)), R[case]["se"], 1e-8)
    close(measure_concordance(times, event, x @ fit.coefficients).c, R[case]["c"], 1e-9)


def test_robust_errors_agree_with_lifelines_where_nothing_is_tied() -> None:
    rng = np.random.default_rng(5)
    x = rng.normal(size=(300, 2))
    exits, event = rng.exponential(np.exp(-0.4 * x[:, 0])), rng.random(300) < 0.6
    times = make_follow_up(np.zeros(300), exits, event.astype(np.int64))
    fit = fit_cox(times, event, x)
    ours = robust_covariance(score_residuals(times, event, x, fit), fit.covariance)
    frame = pl.DataFrame({"a": x[:, 0], "b": x[:, 1], "t": exits, "e": event}).to_pandas()
    theirs = CoxPHFitter().fit(frame, "t", "e", robust=True)
    np.testing.assert_allclose(np.sqrt(np.diag(ours)), theirs.standard_errors_.to_numpy(), rtol=1e-5)

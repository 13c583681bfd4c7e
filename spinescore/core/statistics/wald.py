"""Wald's test of several coefficients at once."""

from __future__ import annotations

import numpy as np
from scipy.stats import chi2

from spinescore.core.statistics.cox import CoxFit
from spinescore.core.statistics.estimate import Estimate


def measure_wald(fit: CoxFit, columns: list[int]) -> Estimate:
    """Test whether the coefficients of some columns are all 0.

    Source: Wald 1943. Limits: with large effects and few events likelihood ratio is the better test.
    """
    part = fit.coefficients[columns]
    statistic = float(part @ np.linalg.solve(fit.covariance[np.ix_(columns, columns)], part))
    df = len(columns)
    return Estimate(value=statistic, df=float(df), p_value=float(chi2.sf(statistic, df)))

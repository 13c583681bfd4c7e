"""Absolute risks by the product limit, which is not done here, are near (absolute_risk.R made the numbers)."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from spinescore.core.statistics.absolute_risk import fit_risk_model, predict_risk
from tests.reference.reference_cohort import COMPLETE, design, follow_up

R = json.loads((Path(__file__).parent / "absolute_risk.json").read_text())


def test_product_limit_is_somewhat_less_at_heavy_ties() -> None:
    """By design: the exponential convention, as ``predict(CSC, product.limit = FALSE)``."""
    four = design(COMPLETE)[:, :4]
    model = fit_risk_model(follow_up(COMPLETE, late=False), four).model
    excess = predict_risk(model, four[:40], R["horizons"]).T - np.array(R["risk"]["product_limit"])
    assert excess.min() > 0
    assert excess.max() < 0.02

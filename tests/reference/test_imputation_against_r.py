"""Rubin's rules equal mice's to rounding; imputation agrees with mice within Monte Carlo error (imputation.R)."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from spinescore.core.statistics.cox import fit_cox
from spinescore.core.statistics.imputation import ChainedEquations, Variable, accumulate_hazard
from spinescore.core.statistics.pooling import Pooled, estimate_pooled_ratio, joint_test, pool_fits
from tests.reference.reference_cohort import DATA, close, follow_up

R = json.loads((Path(__file__).parent / "imputation.json").read_text())
REGIONS, COLUMNS = ("east", "north", "west"), 6
TIMES = follow_up(DATA, late=False)
EVENT = TIMES.status == 1
COPIES = 60


def holes(name: str) -> np.ndarray:
    return np.isin(DATA["id"].to_numpy(), R[f"missing_{name}"])


def known() -> dict[str, np.ndarray]:
    """The covariates with their holes: sex M = 1, region coded in order."""
    sex = (DATA["sex"] == "M").to_numpy().astype(float)
    region = np.array([float(REGIONS.index(r)) for r in DATA["region"]])
    sex[holes("sex")], region[holes("region")] = np.nan, np.nan
    return {"sex": sex, "bmi": DATA["bmi"].fill_null(np.nan).to_numpy().copy(), "region": region}


def matrix(values: dict[str, np.ndarray]) -> np.ndarray:
    pad, age = (DATA[name].to_numpy() for name in ("pad", "age"))
    region = values["region"][:, None] == (1.0, 2.0)
    return np.column_stack([pad, age, values["sex"], values["bmi"], region])


def pooled_by_hand() -> Pooled:
    fits = R["cox"]
    return pool_fits(
        [np.array(c) for c in fits["coef"]], [np.array(v) for v in fits["vcov"]], fits["df_complete"]
    )


def test_rubins_rules_equal_mice_to_rounding() -> None:
    theirs, pooled = R["cox"], pooled_by_hand()
    columns = range(COLUMNS)
    close(pooled.coefficients, theirs["pooled"]["estimate"], 1e-12)
    close(np.diag(pooled.within), theirs["pooled"]["ubar"], 1e-12)
    close(np.diag(pooled.between), theirs["pooled"]["b"], 1e-9)
    close([pooled.df(i) for i in columns], theirs["pooled"]["df"], 1e-9)
    close([pooled.missing_information(i) for i in columns], theirs["pooled"]["fmi"], 1e-9)


def test_a_joint_test_of_one_coefficient_is_its_own_test() -> None:
    pooled = pooled_by_hand()
    found, alone = joint_test(pooled, [0]), estimate_pooled_ratio(pooled, 0, 1.0, 0.95)
    close([found.estimate.value], [R["cox"]["tests"]["pad"]["F.value"]], 1e-7)
    close([found.estimate.p_value], [alone.p_value], 1e-10)


def test_imputing_agrees_with_mice_within_monte_carlo_error() -> None:
    theirs = {name: np.array(v) for name, v in R["many"]["pooled"].items()}
    variables = [Variable(name, v, categorical=name != "bmi") for name, v in known().items()]
    outcome = [x for c in (1, 2) for x in (TIMES.status == c, accumulate_hazard(TIMES, c))]
    equations = ChainedEquations(variables, np.column_stack([DATA["pad"], DATA["age"], *outcome]))
    rng = np.random.default_rng(1)
    fits = [fit_cox(TIMES, EVENT, matrix(equations.draw(rng).values)) for _ in range(COPIES)]
    pooled = pool_fits([f.coefficients for f in fits], [f.covariance for f in fits], R["cox"]["df_complete"])
    between = np.diag(pooled.between)
    error = np.sqrt(between / COPIES + theirs["b"] / R["many"]["m"])
    assert (np.abs(pooled.coefficients - theirs["estimate"]) < 4 * error).all()
    ratio = between / theirs["b"]
    spread = np.sqrt(2 / (COPIES - 1) + 2 / (R["many"]["m"] - 1))
    assert (np.abs(np.log(ratio)) < 4 * spread).all()
    ours = [np.sqrt(pooled.variance(i)) for i in range(COLUMNS)]
    np.testing.assert_allclose(ours, theirs["std.error"], rtol=0.06)

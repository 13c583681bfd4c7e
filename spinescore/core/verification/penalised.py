"""Firth's penalised likelihood, and pooling of imputed copies."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import polars as pl

from spinescore.core.statistics.cox import fit_cox
from spinescore.core.statistics.estimate import FloatArray
from spinescore.core.statistics.firth import fit_firth_cox, fit_firth_logistic, profile_coefficient
from spinescore.core.statistics.imputation import accumulate_hazard
from spinescore.core.statistics.logistic import fit_logistic
from spinescore.core.statistics.pooling import Pooled, estimate_pooled_ratio, joint_test, pool_fits
from spinescore.core.verification.case import (
    ITERATED,
    Case,
    Comparison,
    compare,
    compare_coefficients,
    compare_each,
    compare_estimate,
)
from spinescore.core.verification.references import SIX, References, cases_of, follow_up_of

COLUMNS = {
    "cox_efron": ("Cox model, Efron's ties", ("pad", "age", "male")),
    "cox_breslow": ("Cox model, Breslow's ties (as coxphf)", ("pad", "age", "male")),
    "cox_late": ("Cox model, late entry", ("pad", "age")),
    "cox_one": ("Cox model, one column", ("pad",)),
    "cox_monotone": ("Cox model, monotone likelihood", ("rare", "age")),
    "logistic": ("logistic model", ("pad", "age", "male")),
    "logistic_separated": ("logistic model, quasi-separation", ("sure", "age")),
}
REGIONS = ("east", "north", "west")
TESTS = {
    "region": ("region", [4, 5], False),
    "region_large": ("region, large sample", [4, 5], True),
    "three": ("bmi and region", [3, 4, 5], False),
}


def firth_cases(references: References) -> Iterator[Case]:
    """Yield the cases of penalised models."""
    for name, (title, columns) in COLUMNS.items():
        yield Case(
            key=f"firth-{name.replace('_', '-')}",
            title=f"Firth's penalised {title}",
            convention="Jeffreys' prior on the whole model; profile-likelihood interval and test of the "
            "first column",
            call="an independent maximisation with numerical derivatives, subject by subject (firth.R)",
            source="firth",
            compare=partial(_firth, references, name, columns),
        )


def _firth(references: References, name: str, columns: tuple[str, ...]) -> Iterator[Comparison]:
    data = references.cohort.head(150).with_columns(
        (pl.col("sex") == "M").cast(float).alias("male"),
        ((pl.col("status") != 1) & (pl.col("pad") > 3)).cast(float).alias("rare"),
        ((pl.col("fracture") == 1) & (pl.col("age") > 75)).cast(float).alias("sure"),
    )
    theirs, design = references.numbers["firth"][name], data.select(columns).to_numpy()
    if name.startswith("cox"):
        times = follow_up_of(data, late=name == "cox_late")
        ties: Any = "breslow" if name == "cox_breslow" else "efron"
        fit, first = fit_firth_cox(times, np.asarray(times.status == 1), design, ties=ties), 0
    else:
        fit, first = fit_firth_logistic(cases_of(data), design), 1
    numbers = {key: np.atleast_1d(theirs[key])[first:] for key in ("coef", "se")}
    yield from compare_coefficients(columns, fit.coefficients, fit.covariance, numbers, "coefficient")
    reference = {"lower": theirs["lower"], "upper": theirs["upper"], "p_value": theirs["p"]}
    yield from compare_estimate(profile_coefficient(fit, 0, 0.95), reference, ITERATED, columns[0])


def imputation_cases(references: References) -> Iterator[Case]:
    """Yield the cases of missing data."""
    df = "Barnard and Rubin's degrees of freedom, complete-data df = events - p"
    for model, title, call in (("cox", "Cox models", "coxph"), ("logistic", "Logistic models", "glm")):
        yield Case(
            key=f"rubin-{model}",
            title=f"{title} of five imputed copies, pooled",
            convention=f"Rubin's rules on the log scale; {df}",
            call=f"summary(pool(as.mira({call}), dfcom = events - 6))",
            source="imputation",
            compare=partial(_rubin, references, model),
        )
    yield Case(
        key="joint-tests",
        title="Joint tests of several coefficients over imputations",
        convention="D1 with Reiter's degrees of freedom, or Li, Raghunathan and Rubin's in large samples",
        call='testModels(larger, smaller, method = "D1", df.com = events - 6)',
        source="imputation",
        compare=partial(_joint_tests, references),
    )
    yield Case(
        key="nelson-aalen",
        title="Nelson-Aalen cumulative hazard of each cause at the end of follow-up",
        convention="d / n at ties (mice::nelsonaalen has Efron's sum)",
        call="survfit(Surv(exit, event) ~ 1, ctype = 1)$cumhaz",
        source="imputation",
        compare=partial(_nelson_aalen, references),
    )


def _completed(references: References, copy: int) -> FloatArray:
    """Return the columns of a copy of the data that mice completed."""
    data, numbers = references.cohort, references.numbers["imputation"]
    sex = (data["sex"] == "M").to_numpy().astype(np.float64)
    region = np.array([float(REGIONS.index(r)) for r in data["region"]])
    bmi = data["bmi"].cast(pl.Float64).fill_null(np.nan).to_numpy().copy()
    ids, cells = data["id"].to_numpy(), {name: rows[copy] for name, rows in numbers["imputed"].items()}
    sex[np.isin(ids, numbers["missing_sex"])] = [float(level == "M") for level in cells["sex"]]
    region[np.isin(ids, numbers["missing_region"])] = [float(REGIONS.index(r)) for r in cells["region"]]
    bmi[np.isnan(bmi)] = [float(number) for number in cells["bmi"]]
    pad, age = (data[name].to_numpy() for name in ("pad", "age"))
    return np.column_stack([pad, age, sex, bmi, region == 1, region == 2])


def _pool(references: References, model: str) -> Pooled:
    times, case = follow_up_of(references.cohort), cases_of(references.cohort)
    designs = [_completed(references, copy) for copy in range(5)]
    event = np.asarray(times.status == 1)
    fits = [fit_cox(times, event, x) if model == "cox" else fit_logistic(case, x) for x in designs]
    df = float(references.numbers["imputation"][model]["df_complete"])
    return pool_fits([f.coefficients for f in fits], [f.covariance for f in fits], df)


def _rubin(references: References, model: str) -> Iterator[Comparison]:
    pooled = _pool(references, model)
    theirs = {
        k: v[model == "logistic" :] for k, v in references.numbers["imputation"][model]["pooled"].items()
    }
    columns = range(len(SIX))
    errors = [np.sqrt(pooled.variance(i)) for i in columns]
    yield from compare_each("coefficient", SIX, pooled.coefficients, theirs["estimate"], ITERATED)
    yield from compare_each("SE", SIX, errors, theirs["std.error"], ITERATED)
    yield compare("degrees of freedom (6)", [pooled.df(i) for i in columns], theirs["df"], ITERATED)
    shares = [pooled.missing_information(i) for i in columns]
    yield compare("fractions of missing information (6)", shares, theirs["fmi"], ITERATED)
    p_values = [estimate_pooled_ratio(pooled, i, 1.0, 0.95).p_value for i in columns]
    yield compare("p (6)", p_values, theirs["p.value"], ITERATED)


def _joint_tests(references: References) -> Iterator[Comparison]:
    numbers = references.numbers["imputation"]["cox"]
    fits = [np.array(c) for c in numbers["coef"]], [np.array(v) for v in numbers["vcov"]]
    for name, (words, columns, large) in TESTS.items():
        found = joint_test(pool_fits(*fits, np.inf if large else numbers["df_complete"]), columns)
        theirs = numbers["tests"][name]
        yield compare(f"{words}: F", found.estimate.value, theirs["F.value"])
        yield compare(f"{words}: denominator df", found.denominator_df, theirs["df2"])
        yield compare(f"{words}: p", found.estimate.p_value, theirs["P(>F)"])


def _nelson_aalen(references: References) -> Iterator[Comparison]:
    times, theirs = follow_up_of(references.cohort), references.numbers["imputation"]["nelson_aalen"]
    for cause in (1, 2):
        yield compare(f"cause {cause}, 600 subjects", accumulate_hazard(times, cause), theirs[cause - 1])

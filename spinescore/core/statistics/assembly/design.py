"""A model's covariates as columns of numbers, and the complete cases of model, predictor and outcome."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from spinescore.core.statistics.estimate import BoolArray, FloatArray, IntArray
from spinescore.errors import AnalysisError
from spinescore.study import Study


@dataclass(frozen=True, slots=True)
class Design:
    """Columns of a model over the cohort's subjects, each contiguous; NaN where a covariate is unknown.

    ``terms`` names each column (``age``, ``sex=M``), ``variables`` the covariate it comes from and
    ``references`` the level it is compared with (None for a continuous one).
    """

    matrix: FloatArray
    terms: tuple[str, ...]
    variables: tuple[str, ...]
    references: tuple[str | None, ...]

    def keep(self, columns: list[int]) -> Design:
        """Return the design with some columns only."""
        return Design(
            self.matrix.T[columns].T,
            tuple(self.terms[i] for i in columns),
            tuple(self.variables[i] for i in columns),
            tuple(self.references[i] for i in columns),
        )

    def without(self, *variables: str) -> Design:
        """Return the design without these covariates."""
        return self.keep([i for i, name in enumerate(self.variables) if name not in variables])

    def take(self, rows: IntArray) -> Design:
        """Return the design of some subjects."""
        return Design(self.matrix.T[:, rows].T, self.terms, self.variables, self.references)


@dataclass(frozen=True, slots=True)
class CompleteCases:
    """The subjects a model is fitted to: the predictors' columns first, then the covariates' that vary."""

    rows: IntArray
    predictors: FloatArray
    covariates: Design
    dropped: tuple[str, ...]

    @property
    def matrix(self) -> FloatArray:
        """Return all columns, predictors first."""
        return np.vstack([self.predictors.T, self.covariates.matrix.T]).T


def complete_cases(
    predictors: FloatArray, covariates: Design, among: BoolArray | None = None
) -> CompleteCases:
    """Keep the rows known throughout (or those of ``among``) and drop covariates that do not vary there."""
    complete = np.ones(len(predictors), dtype=bool) if among is None else among.copy()
    for column in (*predictors.T, *covariates.matrix.T):
        complete &= np.isfinite(column)
    rows = np.flatnonzero(complete)
    predictors = np.asarray(predictors.T[:, rows], order="C").T
    taken = covariates.take(rows)
    if len(rows) == 0:
        return CompleteCases(rows, predictors, taken, ())
    varies = np.array([bool((column != column[0]).any()) for column in taken.matrix.T], dtype=bool)
    dropped = tuple(taken.terms[i] for i in np.flatnonzero(~varies))
    kept = taken if varies.all() else taken.keep([int(i) for i in np.flatnonzero(varies)])
    return CompleteCases(rows, predictors, kept, dropped)


def read_numbers(subjects: pl.DataFrame, column: str) -> FloatArray:
    """Read a column as float64, null as NaN.

    Raises
    ------
    AnalysisError
        When the column is missing or holds text.
    """
    if column not in subjects.columns:
        raise AnalysisError(
            f"The cohort's table has no column `{column}`.", "Check [covariates] and [subjects]."
        )
    try:
        values = subjects[column].cast(pl.Float64).fill_null(np.nan).to_numpy()
    except pl.exceptions.PolarsError:
        raise AnalysisError(
            f"`{column}` holds values that are not numbers.", 'Declare it `type = "categorical"`.'
        ) from None
    return np.where(np.isfinite(values), values, np.nan)


def read_levels(subjects: pl.DataFrame, column: str) -> tuple[list[str], pl.Series]:
    """Read a column as text levels, whole numbers without decimals; returns sorted levels and the values."""
    if column not in subjects.columns:
        raise AnalysisError(
            f"The cohort's table has no column `{column}`.", "Check [covariates] and [subjects]."
        )
    values = subjects[column]
    if values.dtype.is_float():
        values = values.fill_nan(None)
        if (values.drop_nulls() % 1 == 0).all():
            values = values.cast(pl.Int64)
    text = values.cast(pl.String)
    return sorted(text.drop_nulls().unique().to_list()), text


def build_design(subjects: pl.DataFrame, study: Study, model_terms: tuple[str, ...]) -> Design:
    """Return a study model's covariates as columns: numbers as they are, categories against a reference."""
    parts = [_columns_of(subjects, study, name) for name in model_terms]
    return Design(
        np.vstack([np.empty((0, len(subjects))), *(part.matrix.T for part in parts)]).T,
        tuple(term for part in parts for term in part.terms),
        tuple(variable for part in parts for variable in part.variables),
        tuple(reference for part in parts for reference in part.references),
    )


def _columns_of(subjects: pl.DataFrame, study: Study, name: str) -> Design:
    if is_continuous(study, name):
        values = read_numbers(subjects, "age_years" if name == "age" else name)
        return Design(values[:, None], (name,), (name,), (None,))
    levels, text = read_levels(subjects, name)
    declared = study.covariates[name].reference if name in study.covariates else "F"
    reference = declared if declared in levels else next(iter(levels), None)
    others = [level for level in levels if level != reference] or [f"other than {reference}"]
    # a single level leaves one constant column, which is dropped and named where the model is fitted
    indicators = [(text == level).cast(pl.Float64).fill_null(np.nan).to_numpy() for level in others]
    k = len(others)
    terms = tuple(f"{name}={level}" for level in others)
    return Design(np.column_stack(indicators), terms, (name,) * k, (reference,) * k)


def is_continuous(study: Study, name: str) -> bool:
    """Whether a model term is a number: age, or a covariate declared so."""
    if name in study.covariates:
        return study.covariates[name].type == "continuous"
    return name != "sex"

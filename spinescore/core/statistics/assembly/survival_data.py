"""One survival endpoint of a cohort: follow-up in the subjects' order, and its models' complete cases."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl

from spinescore.core.statistics.assembly.design import CompleteCases, Design, complete_cases
from spinescore.core.statistics.assembly.rows import judge_events
from spinescore.core.statistics.assembly.setting import Predictor, Setting
from spinescore.core.statistics.cox import CoxFit, fit_cox
from spinescore.core.statistics.equivalent_fits import Fits
from spinescore.core.statistics.estimate import BoolArray, FloatArray, IntArray
from spinescore.core.statistics.fine_gray import fit_fine_gray
from spinescore.core.statistics.times import FollowUp, make_follow_up, stratify
from spinescore.errors import AnalysisError


@dataclass(frozen=True, slots=True)
class SurvivalData:
    """Follow-up of the subjects at risk, by end of follow-up; ``index`` says which row of the cohort each is.

    Whatever sorts them again finds them sorted: one sort serves every estimator of an endpoint. ``fits``
    remembers models by what they were fitted to.
    """

    setting: Setting
    endpoint: str
    index: IntArray
    follow_up: FollowUp
    common: BoolArray
    designs: dict[str, Design] = field(default_factory=dict, compare=False, repr=False)
    fits: Fits[CoxFit] = field(default_factory=Fits, compare=False, repr=False)

    @property
    def competing(self) -> str | None:
        """Return the competing endpoint's name."""
        return self.setting.study.endpoints[self.endpoint].competing

    @property
    def causes(self) -> dict[int, str]:
        """Return the name of each status that is an event."""
        return {1: self.endpoint} | ({2: self.competing} if self.competing else {})

    def keys(self, **more: Any) -> dict[str, Any]:
        """Return the keys every row of this endpoint has."""
        return {"cohort": self.setting.cohort.name, "endpoint": self.endpoint, **more}

    def values(self, predictor: Predictor) -> FloatArray:
        """Return a predictor over the subjects at risk."""
        return predictor.values[self.index]

    def group_index(self) -> IntArray:
        """Return the PAD group of each subject at risk; -1 where unknown."""
        return self.setting.groups.members[self.index]

    def complete(self, model: str, columns: FloatArray, sample: str, *, age: bool = True) -> CompleteCases:
        """Return the complete cases of a model and some predictor columns, in one of the two samples."""
        if model not in self.designs:
            self.designs[model] = self.setting.designs[model].take(self.index)
        design = self.designs[model] if age else self.designs[model].without("age")
        return complete_cases(columns, design, self.common if sample == "common_n" else None)


def read_survival(setting: Setting, endpoint: str) -> SurvivalData:
    """Line follow-up up with the cohort's subjects, once for all who ask.

    Raises
    ------
    AnalysisError
        When the cohort has no follow-up for the endpoint, a subject twice, or a code it should not have.
    """
    if endpoint not in setting.memo:
        setting.memo[endpoint] = _read(setting, endpoint)
    data: SurvivalData = setting.memo[endpoint]
    return data


def _read(setting: Setting, endpoint: str) -> SurvivalData:
    if endpoint not in setting.cohort.follow_up:
        raise AnalysisError(
            f"Cohort `{setting.cohort.name}` has no follow-up for `{endpoint}`.",
            "Check [endpoints] and [subjects].",
        )
    frame = setting.cohort.follow_up[endpoint]
    rows = setting.cohort.subjects.select("subject_id").with_row_index("row")
    frame = frame.join(rows, on="subject_id", how="inner", maintain_order="left")
    if frame["row"].n_unique() != len(frame):
        raise AnalysisError(
            f"Cohort `{setting.cohort.name}` has a subject twice for `{endpoint}`.",
            "Keep one outcome row each.",
        )
    entry, exit = (
        frame[c].cast(pl.Float64).fill_null(np.nan).to_numpy() for c in ("entry_years", "exit_years")
    )
    status = frame["status"].cast(pl.Int64).fill_null(-1).to_numpy()
    follow_up = make_follow_up(entry, exit, status)
    order = np.argsort(follow_up.exit, kind="stable")
    index = frame["row"].cast(pl.Int64).to_numpy()[order]
    return SurvivalData(setting, endpoint, index, follow_up.take(order), _common(setting, index))


def _common(setting: Setting, index: IntArray) -> BoolArray:
    ages = np.column_stack([setting.predictors["pad_raw"].values, setting.pad.values])
    known = np.asarray(np.isfinite(ages).all(axis=1))
    for design in setting.designs.values():
        known &= np.isfinite(design.matrix).all(axis=1)
    return np.asarray(known[index])


@dataclass(frozen=True, slots=True)
class ModelFit:
    """A model of follow-up with the subjects it was fitted to, or the reason it is not shown.

    ``strata`` numbers the baseline hazards from 0; None where there is one.
    """

    cases: CompleteCases
    fit: CoxFit
    follow_up: FollowUp
    event: BoolArray
    problem: str | None
    strata: IntArray | None = None

    @property
    def parameters(self) -> int:
        """Return the number of columns."""
        return len(self.fit.coefficients)

    @property
    def matrix(self) -> FloatArray:
        """Return the columns it was fitted to."""
        own = self.cases.matrix
        return own if own.shape[1] == self.parameters else self.cases.covariates.matrix

    @property
    def within(self) -> FollowUp:
        """Return the follow-up in which nobody is at risk with a subject of another stratum."""
        return self.follow_up if self.strata is None else stratify(self.follow_up, self.strata)


def fit_model(
    data: SurvivalData,
    cases: CompleteCases,
    cause: int,
    *,
    covariates_only: bool = False,
    start: FloatArray | None = None,
) -> ModelFit:
    """Fit the Cox model of one cause to complete cases, with or without the predictors; no model twice.

    ``start`` is where the search for the maximum begins, and nothing else.
    """
    follow_up = data.follow_up.take(cases.rows)
    event = np.asarray(follow_up.status == cause)
    predictors = cases.predictors[:, :0] if covariates_only else cases.predictors
    fit = data.fits.get(
        f"cox {cause}",
        cases.rows,
        predictors,
        cases.covariates.matrix,
        lambda matrix: fit_cox(follow_up, event, matrix, start),
    )
    return judge_fit(cases, fit, follow_up, event)


def fit_within(
    fits: Fits[CoxFit],
    cases: CompleteCases,
    follow_up: FollowUp,
    strata: IntArray | None = None,
    *,
    covariates_only: bool = False,
) -> ModelFit:
    """Fit the Cox model of the event to the complete cases' own follow-up, each stratum with its hazard.

    ``fits`` are those of the same follow-up and strata.
    """
    event = np.asarray(follow_up.status == 1)
    predictors = cases.predictors[:, :0] if covariates_only else cases.predictors
    within = follow_up if strata is None else stratify(follow_up, strata)
    fit = fits.get(
        "cox",
        cases.rows,
        predictors,
        cases.covariates.matrix,
        lambda matrix: fit_cox(within, event, matrix),
    )
    return judge_fit(cases, fit, follow_up, event, strata)


def fit_subdistribution(data: SurvivalData, cases: CompleteCases, cause: int) -> ModelFit:
    """Fit Fine and Gray's model of one cause to complete cases."""
    follow_up = data.follow_up.take(cases.rows)
    fit = data.fits.get(
        f"fine-gray {cause}",
        cases.rows,
        cases.predictors,
        cases.covariates.matrix,
        lambda matrix: fit_fine_gray(follow_up, cause, matrix),
    )
    return judge_fit(cases, fit, follow_up, np.asarray(follow_up.status == cause))


def judge_fit(
    cases: CompleteCases,
    fit: CoxFit,
    follow_up: FollowUp,
    event: BoolArray,
    strata: IntArray | None = None,
) -> ModelFit:
    """Say of a fitted model why it is not shown, if it is not."""
    problem = judge_events(int(event.sum()), len(fit.coefficients))
    if len(cases.rows) == 0:
        problem = "no subjects"
    return ModelFit(cases, fit, follow_up, event, problem or fit.problem, strata)


def model_variables(data: SurvivalData, model: str) -> tuple[str, ...]:
    """Return the covariates of a study model."""
    return data.setting.designs[model].variables

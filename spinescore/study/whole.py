"""A whole study file: its sections, and the names in them that must refer to something."""

from __future__ import annotations

import hashlib
import json

from pydantic import Field, model_validator

from spinescore.study.drift_section import DriftSection
from spinescore.study.report_section import ReportSection
from spinescore.study.rules import rule_problems
from spinescore.study.run_section import RunSection
from spinescore.study.sections import (
    AnalysisSection,
    CohortSection,
    CorrectionSection,
    CovariateSection,
    EndpointSection,
    ImagesSection,
    LinkageSection,
    ModelSection,
    Section,
    SplitSection,
    StudySection,
    SubjectsSection,
    Text,
    TrainSection,
)


class Study(Section):
    """A whole study file, validated; relative paths are resolved from its folder."""

    study: StudySection
    images: ImagesSection = ImagesSection()
    model: ModelSection = ModelSection()
    split: SplitSection = SplitSection()
    correction: CorrectionSection = CorrectionSection()
    subjects: SubjectsSection | None = None
    linkage: LinkageSection | None = None
    cohorts: dict[str, CohortSection] = Field(
        default_factory=dict,
        description="[cohorts.NAME]: who is analysed, and on whom corrections are fitted.",
    )
    endpoints: dict[str, EndpointSection] = Field(
        default_factory=dict,
        description="[endpoints.NAME]: what happens to the subjects, or is known of them.",
    )
    covariates: dict[str, CovariateSection] = Field(
        default_factory=dict, description="[covariates.NAME]: columns of the follow-up table used in models."
    )
    models: dict[str, tuple[Text, ...]] = Field(
        default_factory=dict, description='[models]: "Model 1" = ["age", "sex"], and so on, in order.'
    )
    analysis: AnalysisSection = AnalysisSection()
    report: ReportSection = ReportSection()
    run: RunSection = RunSection()
    drift: DriftSection | None = None
    train: TrainSection = TrainSection()

    @model_validator(mode="after")
    def keys_agree(self) -> Study:
        """Refuse what single keys cannot show, as ``read_study`` does with lines."""
        content = self.model_dump(mode="json", exclude_unset=True)
        problems = rule_problems(content, content)
        if problems:
            raise ValueError("; ".join(str(problem) for problem in problems))
        return self

    def survival_endpoints(self) -> dict[str, EndpointSection]:
        """Return the survival endpoints in the file's order."""
        return {name: e for name, e in self.endpoints.items() if e.type == "survival"}

    def binary_endpoints(self) -> dict[str, EndpointSection]:
        """Return the binary endpoints in the file's order."""
        return {name: e for name, e in self.endpoints.items() if e.type == "binary"}

    def analysis_cohorts(self) -> dict[str, CohortSection]:
        """Return the cohorts that are evaluated (not those a correction is fitted on)."""
        return {name: c for name, c in self.cohorts.items() if c.role == "analysis"}

    def fingerprint(self) -> str:
        """Return the SHA-256 of the settings, as hex; equal settings, equal fingerprint.

        The report's language and what [report], [run] and [drift] say are none of them, nor what a shareable
        one is rounded to, nor who may read it: no result changes.
        """
        left_out: dict[str, set[str] | bool] = {
            "study": {"language", "min_cell", "group"},
            "report": True,
            "run": True,
            "drift": True,
        }
        settings = self.model_dump(mode="json", exclude=left_out)
        canonical = json.dumps(settings, sort_keys=True)
        return hashlib.sha256(canonical.encode()).hexdigest()

"""study.toml -> Study: the only reader of study settings.

Every error is reported at once, each with its key, what was found and, for a
misspelt key, the nearest name that exists.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import tomllib
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from spinescore.errors import StudyError

MODEL_TERMS = frozenset({"age", "sex"})


class Section(BaseModel):
    """Base of every section: unknown keys are errors, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class StudySection(Section):
    """[study]: what it is called and where it lives."""

    title: str
    database: Path
    output: Path = Path("report")
    synthetic: bool = Field(default=False, description="The data are made up; every page says so.")


class ImagesSection(Section):
    """[images]: where DICOM files come from and which image stands for a subject."""

    sources: tuple[Path, ...] = ()
    rules: Path | None = Field(default=None, description="TOML file of eligibility rules of one's own.")
    kind: Literal["auto", "radiograph", "vfa"] = "auto"
    index_image: Literal["first", "last", "mean"] = "first"


class ModelSection(Section):
    """[model]: the bundle that scores the images (``demo`` is shipped), or ages computed elsewhere."""

    bundle: str = "demo"
    imported: str | None = Field(default=None, description="Name of ages read by `spinescore scores import`.")
    force_demo: bool = False
    device: Literal["auto", "cpu", "cuda"] = "auto"

    @model_validator(mode="after")
    def ages_have_one_source(self) -> ModelSection:
        """Refuse a bundle beside imported ages."""
        if self.imported is not None and "bundle" in self.model_fields_set:
            raise ValueError("`bundle` scores images and `imported` names ages of a table: keep one of them")
        return self


class SplitSection(Section):
    """[split]: the seeded share of each kind's subjects set aside as reference."""

    reference_fraction: Annotated[float, Field(ge=0, lt=1)] = 0.3
    seed: int = 20251125


class CorrectionSection(Section):
    """[correction]: which bias correction, and the cohort it is fitted on, per kind."""

    method: Literal["beheshti", "cole", "age-level", "none"] = "beheshti"
    reference: dict[Literal["radiograph", "vfa"], str] = Field(default_factory=dict)


class TableLayout(Section):
    """How a table's file is laid out; what is left out is detected where that is certain, else asked for."""

    format: Literal["csv", "tsv", "parquet", "excel", "sas", "xport", "stata", "spss"] | None = None
    delimiter: Literal[",", ";", "\t", "|"] | None = None
    encoding: str | None = Field(default=None, description="Of text, e.g. cp949; Unicode is recognised.")
    sheet: str | Annotated[int, Field(ge=1)] | None = Field(default=None, description="Name, or 1 for first.")
    header_row: Annotated[int, Field(ge=1)] = Field(default=1, description="Row of the column names.")
    value_labels: bool = Field(default=False, description="Read labels (Stata, SPSS) instead of codes.")

    @field_validator("encoding")
    @classmethod
    def encoding_exists(cls, encoding: str | None) -> str | None:
        """Refuse an encoding Python does not know."""
        try:
            if encoding is not None:
                "".encode(encoding)
        except LookupError:
            raise ValueError("no such encoding; e.g. utf-8, cp949, shift_jis, gb18030, cp1252") from None
        return encoding


DateForm = Literal["iso", "ymd", "dmy", "mdy", "sas", "excel"]


class SubjectsSection(TableLayout):
    """[subjects]: the follow-up table."""

    file: Path
    id: str
    issuer: str | None = Field(default=None, description="IssuerOfPatientID the ids belong to.")
    id_width: Annotated[int, Field(ge=1)] | None = Field(
        default=None, description="Ids of digits only get leading zeros to this length."
    )
    decimal: Literal[".", ","] | None = None
    dates: DateForm | dict[str, DateForm] | None = Field(
        default=None, description='How dates are written: one word, or { column = "dmy" }.'
    )
    rename: dict[str, str] = Field(default_factory=dict, description='{theirs = "ours"}')

    def date_form(self, column: str) -> DateForm | None:
        """Return how the dates of a column are declared to be written, if they are."""
        return self.dates.get(column) if isinstance(self.dates, dict) else self.dates


class CohortSection(Section):
    """[cohorts.NAME]: an SQL condition over images, scores and subjects."""

    where: str
    role: Literal["analysis", "reference"] = "analysis"
    title: str | None = None


class EndpointSection(Section):
    """[endpoints.NAME]: survival or binary."""

    type: Literal["survival", "binary"]
    title: str | None = None
    column: str | None = None
    event: str | None = None
    time: str | None = None
    unit: Literal["years", "months", "days"] = "years"
    event_date: str | None = None
    end_date: str | None = None
    entry: str | None = None
    codes: dict[str, Literal[0, 1]] | None = None
    competing: str | None = None
    day_zero: Literal["exclude", "keep"] = "exclude"
    exclude_where: str | None = None
    admin_censor_date: date | None = None
    time_origin: Literal["image"] | None = None

    @model_validator(mode="after")
    def columns_are_named(self) -> EndpointSection:
        """Refuse a type without the columns it needs."""
        if self.type == "binary" and self.column is None:
            raise ValueError('a binary endpoint needs `column = "..."`')
        if self.type == "survival" and not (
            (self.event and self.time) or (self.event_date and self.end_date)
        ):
            raise ValueError("a survival endpoint needs `event` and `time`, or `event_date` and `end_date`")
        if self.time and self.time_origin is None:
            raise ValueError(
                'durations need `time_origin = "image"`: say that they count from the date of the image'
            )
        return self


class CovariateSection(Section):
    """[covariates.NAME]: a column of the follow-up table used in models."""

    column: str
    type: Literal["continuous", "categorical"] = "continuous"
    reference: str | None = None
    title: str | None = None


class PrimarySection(Section):
    """The pre-declared primary estimate."""

    cohort: str | None = None
    endpoint: str
    model: str


class AnalysisSection(Section):
    """[analysis]: what is computed, and how finely."""

    primary: PrimarySection | None = None
    horizons_years: tuple[Annotated[float, Field(gt=0)], ...] = (5.0,)
    pad_groups: Literal["tertiles", "quartiles"] | tuple[float, ...] = "tertiles"
    age_bands: tuple[float, ...] = (40, 50, 60, 70, 80, 120)
    conf_level: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    seed: int = 20251125


class TrainSection(Section):
    """[train]: the network and how long it is trained."""

    backbone: str = "efficientnet-b4"
    height: Annotated[int, Field(ge=32)] = 1024
    width: Annotated[int, Field(ge=32)] = 512
    first_age: int = 40
    n_classes: Annotated[int, Field(ge=2)] = 61
    epochs: Annotated[int, Field(ge=1)] = 40
    batch_size: Annotated[int, Field(ge=2)] = 15
    learning_rate: Annotated[float, Field(gt=0)] = 1e-4
    seed: int = 0


class Study(Section):
    """A whole study file, validated; relative paths are resolved from its folder."""

    study: StudySection
    images: ImagesSection = ImagesSection()
    model: ModelSection = ModelSection()
    split: SplitSection = SplitSection()
    correction: CorrectionSection = CorrectionSection()
    subjects: SubjectsSection | None = None
    cohorts: dict[str, CohortSection] = Field(default_factory=dict)
    endpoints: dict[str, EndpointSection] = Field(default_factory=dict)
    covariates: dict[str, CovariateSection] = Field(default_factory=dict)
    models: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    analysis: AnalysisSection = AnalysisSection()
    train: TrainSection = TrainSection()

    @model_validator(mode="after")
    def names_refer(self) -> Study:
        """Refuse a name that points to nothing."""
        problems = list(_dangling_names(self))
        if problems:
            raise ValueError("; ".join(problems))
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
        """Return the SHA-256 of the settings, as hex; equal settings, equal fingerprint."""
        canonical = json.dumps(self.model_dump(mode="json"), sort_keys=True)
        return hashlib.sha256(canonical.encode()).hexdigest()


def read_study(path: Path) -> Study:
    """Read and validate a study file.

    Raises
    ------
    StudyError
        With every problem found, one per line.
    """
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise StudyError(
            f"No study file at {path}.", "Give the path of a study.toml; examples/ has one to copy."
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise StudyError(f"{path} is not valid TOML: {error}.", "Mend that line and run again.") from None
    try:
        study = Study.model_validate(raw)
    except ValidationError as error:
        lines = "\n".join(f"  {line}" for line in _explain(error))
        raise StudyError(f"{path} has {error.error_count()} problem(s):\n{lines}") from None
    return _resolve_paths(study, path.resolve().parent)


def _dangling_names(study: Study) -> list[str]:
    problems = []
    known_terms = MODEL_TERMS | set(study.covariates)

    def require(name: str | None, known: Any, where: str) -> None:
        if name is not None and name not in known:
            problems.append(f"{where} names `{name}`{_nearest(name, known)}")

    for model, terms in study.models.items():
        for term in terms:
            require(term, known_terms, f"models.{model}")
    for name, endpoint in study.endpoints.items():
        require(endpoint.competing, study.survival_endpoints(), f"endpoints.{name}.competing")
    for kind, cohort in study.correction.reference.items():
        require(cohort, study.cohorts, f"correction.reference.{kind}")
    if study.analysis.primary:
        require(study.analysis.primary.endpoint, study.endpoints, "analysis.primary.endpoint")
        require(study.analysis.primary.model, study.models, "analysis.primary.model")
        require(study.analysis.primary.cohort, study.cohorts, "analysis.primary.cohort")
    if study.endpoints and study.subjects is None:
        problems.append("endpoints are declared but there is no [subjects] table to take them from")
    if study.model.imported is not None and study.images.sources:
        problems.append("images.sources would never be scored: model.imported names ages of a table")
    return problems


def _explain(error: ValidationError) -> list[str]:
    lines = []
    for item in error.errors():
        key = ".".join(str(part) for part in item["loc"]) or "(whole file)"
        if item["type"] == "extra_forbidden":
            known = _known_keys(item["loc"])
            lines.append(f"{key}: no such key{_nearest(str(item['loc'][-1]), known)}")
        elif item["type"] == "missing":
            lines.append(f"{key}: required, and not there")
        else:
            message = item["msg"].removeprefix("Value error, ")
            found = item.get("input")
            shown = f" (found {found!r})" if isinstance(found, str | int | float | bool) else ""
            lines.append(f"{key}: {message}{shown}")
    return lines


def _known_keys(location: tuple[int | str, ...]) -> list[str]:
    fields: dict[str, type[Section]] = {
        "study": StudySection,
        "images": ImagesSection,
        "model": ModelSection,
        "split": SplitSection,
        "correction": CorrectionSection,
        "subjects": SubjectsSection,
        "cohorts": CohortSection,
        "endpoints": EndpointSection,
        "covariates": CovariateSection,
        "analysis": AnalysisSection,
        "train": TrainSection,
    }
    section = fields.get(str(location[0])) if len(location) > 1 else Study
    return list(section.model_fields) if section else []


def _nearest(name: str, known: Any) -> str:
    close = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.5)
    if close:
        return f"; did you mean `{close[0]}`?"
    return f"; known here: {', '.join(sorted(known)) or 'none'}"


def _resolve_paths(study: Study, folder: Path) -> Study:
    def resolve(path: Path) -> Path:
        return folder / path.expanduser()

    bundle = study.model.bundle
    update: dict[str, Any] = {
        "study": study.study.model_copy(
            update={"database": resolve(study.study.database), "output": resolve(study.study.output)}
        ),
        "images": study.images.model_copy(
            update={
                "sources": tuple(resolve(source) for source in study.images.sources),
                "rules": resolve(study.images.rules) if study.images.rules else None,
            }
        ),
        "model": study.model.model_copy(
            update={"bundle": bundle if bundle == "demo" else str(resolve(Path(bundle)))}
        ),
    }
    if study.subjects:
        update["subjects"] = study.subjects.model_copy(update={"file": resolve(study.subjects.file)})
    return study.model_copy(update=update)

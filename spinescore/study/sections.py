"""The sections of a study file: every key, its type and what it is for.

What one key alone can get wrong is said here; what keys say together is held to ``rules.py``.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

DEFAULT_SEED = 20251125


def _path_text(value: object) -> object:
    if not isinstance(value, str):
        return value
    if not value.strip():
        raise ValueError("must not be empty")
    if not value.isprintable():
        raise ValueError(
            "holds a control character: in double quotes `\\t` is a tab and `\\n` a new line; use '...'"
        )
    if value.startswith("~"):
        try:
            Path(value).expanduser()
        except RuntimeError:
            raise ValueError("there is no such home folder") from None
    return value


def _known_encoding(encoding: str) -> str:
    try:
        "".encode(encoding)
    except LookupError:
        raise ValueError("no such encoding; e.g. utf-8, cp949, shift_jis, gb18030, cp1252") from None
    return encoding


Text = Annotated[str, StringConstraints(pattern=r"\S")]
File = Annotated[Path, BeforeValidator(_path_text), Field(json_schema_extra={"pattern": r"\S"})]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]
EventCode = Annotated[int, Field(ge=0, le=1)]
Encoding = Annotated[Text, AfterValidator(_known_encoding)]
Share = Annotated[float, Field(gt=0, lt=1)]
PredictorName = Literal[
    "pad_raw", "pad_corrected", "spine_age_raw", "spine_age_corrected", "chronological_age"
]
Backbone = Literal[
    "efficientnet-b0",
    "efficientnet-b1",
    "efficientnet-b2",
    "efficientnet-b3",
    "efficientnet-b4",
    "efficientnet-b5",
    "efficientnet-b6",
    "efficientnet-b7",
    "efficientnet-b8",
    "efficientnet-l2",
]
DateForm = Literal["iso", "ymd", "dmy", "mdy", "sas", "excel"]


class Section(BaseModel):
    """Base of every section: unknown keys are errors, values never change, numbers are finite."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, allow_inf_nan=False)


class StudySection(Section):
    """[study]: what it is called and where it lives."""

    title: Text = Field(description="On the first page of the report.")
    database: File = Field(description="The DuckDB file of images and scores; made if it is missing.")
    output: File = Field(default=Path("report"), description="Folder of the report.")
    language: Literal["en", "ko"] = Field(default="en", description="The language of the report.")
    min_cell: Annotated[int, Field(ge=2)] = Field(
        default=5, description="What counts of a shareable report are rounded to (`report --shareable`)."
    )
    synthetic: bool = Field(default=False, description="The data are made up; every page says so.")
    group: Text | None = Field(
        default=None, description="A group of the machine's users that may read database and report (0640)."
    )


class ImagesSection(Section):
    """[images]: where DICOM files come from and which image stands for a subject."""

    sources: tuple[File, ...] = Field(
        default=(), description="Folders, archives, DICOMDIRs and files that `spinescore run` reads."
    )
    rules: File | None = Field(default=None, description="TOML file of eligibility rules of one's own.")
    kind: Literal["auto", "radiograph", "vfa"] = Field(
        default="auto", description="Use only images of this kind; auto: both."
    )
    index_image: Literal["first", "last", "mean"] = Field(
        default="first",
        description="The image that stands for a subject; mean: the average of the earliest day's.",
    )
    id_width: Count | None = Field(
        default=None,
        description="PatientIDs of digits only get leading zeros to this length; fixed with the database.",
    )


class ModelSection(Section):
    """[model]: the bundle that scores the images (``demo`` is shipped), or ages computed elsewhere."""

    bundle: Text = Field(default="demo", description="Folder or zip of a bundle; demo: the shipped one.")
    imported: Text | None = Field(
        default=None, description="Instead of `bundle`: the name of ages read by `spinescore scores import`."
    )
    force_demo: bool = Field(default=False, description="Let the demonstration model score real images.")
    device: Literal["auto", "cpu", "cuda"] = Field(default="auto", description="What computes the scores.")
    image_cache: File | None = Field(
        default=None,
        description="Folder to keep preprocessed images in: a second model that shares them decodes nothing.",
    )
    image_cache_gb: Positive = Field(default=100.0, description="What the image cache may take, 1e9 bytes.")
    engine: Literal["local", "ray"] = Field(
        default="local", description="What scores: this machine, or a Ray cluster."
    )
    ray_address: Text | None = Field(
        default=None,
        description="The cluster's head, HOST:PORT, or auto on one of its nodes; else a Ray of its own.",
    )
    ray_shards: File | None = Field(
        default=None,
        description="Folder all nodes see, for results until committed; else beside the database.",
    )


class SplitSection(Section):
    """[split]: the seeded share of each kind's subjects set aside as reference."""

    reference_fraction: Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.3, description="Share of each kind's subjects on whom the bias correction is fitted."
    )
    seed: int = Field(default=DEFAULT_SEED, description="Of the hash that sets them aside.")


class CorrectionSection(Section):
    """[correction]: which bias correction, fitted on a cohort per kind or read from a file."""

    method: Literal["beheshti", "cole", "age-level", "none"] = Field(
        default="beheshti", description="How the bias of the age gap with age is taken out."
    )
    reference: dict[Literal["radiograph", "vfa"], Text] = Field(
        default_factory=dict, description='Per kind of image a cohort: { vfa = "VFA reference" }.'
    )
    file: Text | None = Field(
        default=None,
        description="Instead of fitting: a file of `calibrate fit --output`; bundle: the model bundle's own.",
    )
    outside: Literal["flag", "refuse", "exclude"] = Field(
        default="flag", description="What becomes of subjects of ages that it was not fitted on."
    )
    across_kinds: bool = Field(
        default=False, description="Let a correction of one kind of image correct the other; flagged."
    )
    cross_fit: Annotated[int, Field(ge=2, le=100)] | None = Field(
        default=None,
        description="Folds of a fit on evaluated subjects: each is corrected by the others; flagged.",
    )
    same_cohort: bool = Field(
        default=False, description="Let it correct the very subjects it was fitted on; flagged."
    )


class TableLayout(Section):
    """How a table's file is laid out; what is left out is detected where that is certain, else asked for."""

    format: Literal["csv", "tsv", "parquet", "excel", "sas", "xport", "stata", "spss"] | None = Field(
        default=None, description="Known by the file's first bytes and its suffix if left out."
    )
    delimiter: Literal[",", ";", "\t", "|"] | None = Field(
        default=None, description="What separates the columns of text."
    )
    encoding: Encoding | None = Field(default=None, description="Of text, e.g. cp949; Unicode is recognised.")
    sheet: Text | Count | None = Field(default=None, description="Excel sheet: its name, or 1 for the first.")
    header_row: Count = Field(default=1, description="Row of the column names.")
    value_labels: bool = Field(default=False, description="Read labels (Stata, SPSS) instead of codes.")


class SubjectsSection(TableLayout):
    """[subjects]: the follow-up table."""

    file: File = Field(description="The table, one row per subject.")
    id: Text = Field(description="Column of the subjects' ids: DICOM's PatientID, or see [linkage].")
    issuer: Text | None = Field(default=None, description="IssuerOfPatientID the ids belong to.")
    id_width: Count | None = Field(
        default=None, description="Ids of digits only get leading zeros to this length."
    )
    sex: Text | None = Field(default=None, description="Column of sex, held against the images' own.")
    sex_codes: dict[str, Literal["F", "M"]] | None = Field(
        default=None, description='{ "1" = "M", "2" = "F" } where sex is not written F/M.'
    )
    birth_date: Text | None = Field(
        default=None, description="Column of birth dates, held against the images' ages."
    )
    age: Text | None = Field(
        default=None, description="Column of ages at imaging, years, held against the images' own."
    )
    decimal: Literal[".", ","] | None = Field(default=None, description="Mark in numbers written as text.")
    dates: DateForm | dict[str, DateForm] | None = Field(
        default=None, description='How dates are written: one word, or { column = "dmy" }.'
    )
    rename: dict[str, Text] = Field(default_factory=dict, description='New column names: {theirs = "ours"}.')

    def date_form(self, column: str) -> DateForm | None:
        """Return how the dates of a column are declared to be written, if they are."""
        return self.dates.get(column) if isinstance(self.dates, dict) else self.dates


class LinkageSection(TableLayout):
    """[linkage]: a table that says which PatientID each id of the follow-up table is."""

    file: File = Field(description="The table, one row per PatientID.")
    table_id: Text = Field(description="Column of the follow-up table's ids.")
    image_id: Text = Field(description="Column of the images' PatientIDs.")
    issuer: Text | None = Field(default=None, description="Column of the PatientIDs' issuers, if any.")


class CohortSection(Section):
    """[cohorts.NAME]: an SQL condition over images, scores and subjects."""

    where: Text = Field(description="SQL, e.g. kind = 'vfa' and split = 'test'.")
    min_age: Annotated[float, Field(ge=0)] | None = Field(
        default=None, description="Youngest age at the index image, years."
    )
    max_age: Positive | None = Field(
        default=None, description="Age at the index image that is already too old, years."
    )
    role: Literal["analysis", "reference"] = Field(
        default="analysis", description="reference: a correction is fitted on it, and it is not evaluated."
    )
    title: Text | None = Field(default=None, description="In the report, instead of the name.")


class EndpointSection(Section):
    """[endpoints.NAME]: survival or binary."""

    type: Literal["survival", "binary"] = Field(description="Followed up over time, or known once.")
    title: Text | None = Field(default=None, description="In the report, instead of the name.")
    column: Text | None = Field(default=None, description="binary: column of 0/1.")
    event: Text | None = Field(default=None, description="survival: column of 0/1, whether it happened.")
    time: Text | None = Field(default=None, description="survival: column of durations until event or end.")
    unit: Literal["years", "months", "days"] = Field(
        default="years", description="Of `time` and `entry`; a year has 365.25 days and 12 months."
    )
    event_date: Text | None = Field(
        default=None, description="survival: column of the event's day, empty where there was none."
    )
    end_date: Text | None = Field(
        default=None, description="survival: column of the last day known; beside `event`, of the event's."
    )
    entry: Text | None = Field(default=None, description="Column of delayed entry, in `unit`.")
    entry_date: Text | None = Field(
        default=None, description="Column of the day from which events were seen."
    )
    codes: dict[str, EventCode] | None = Field(
        default=None, description='What events are coded as: { "2" = 1, "1" = 0 }.'
    )
    competing: Text | None = Field(default=None, description="The survival endpoint that ends this risk.")
    day_zero: Literal["exclude", "keep"] = Field(
        default="exclude", description="Events and ends of follow-up on the day of the image."
    )
    exclude_where: Text | None = Field(
        default=None, description="An SQL condition; whoever fulfils it leaves this endpoint."
    )
    admin_censor_date: date | None = Field(
        default=None, description="Follow-up after this day does not count, e.g. 2020-12-31."
    )
    strata: tuple[Text, ...] = Field(
        default=(),
        description="survival: each level has its own baseline hazard, as a sensitivity analysis.",
    )
    cluster: Text | None = Field(
        default=None,
        description="survival: categorical covariate whose levels' subjects depend on each other.",
    )
    before_image: Literal["refuse", "exclude"] = Field(
        default="refuse", description="What becomes of subjects whose event is dated before the image."
    )
    time_origin: Text | None = Field(
        default=None, description='What durations count from: "image", or a column of dates.'
    )


class CovariateSection(Section):
    """[covariates.NAME]: a column of the follow-up table used in models."""

    column: Text = Field(description="Column of the follow-up table.")
    type: Literal["continuous", "categorical"] = Field(
        default="continuous", description="A number, or levels."
    )
    reference: Text | None = Field(
        default=None, description="categorical: the level others are compared with, as in the table."
    )
    title: Text | None = Field(default=None, description="In the report, instead of the name; with its unit.")


class PrimarySection(Section):
    """The pre-declared primary estimate."""

    cohort: Text | None = Field(default=None, description="Name of a cohort.")
    endpoint: Text = Field(description="Name of an endpoint.")
    model: Text = Field(description="Name of a model.")


class FamilySection(Section):
    """[analysis.families.NAME]: main estimates whose p values are adjusted together; left out: all."""

    cohorts: tuple[Text, ...] | None = Field(default=None, description="Names of cohorts; all if left out.")
    endpoints: tuple[Text, ...] | None = Field(
        default=None, description="Names of endpoints; all if left out."
    )
    models: tuple[Text, ...] | None = Field(default=None, description="Names of models; all if left out.")


class AnalysisSection(Section):
    """[analysis]: what is computed, and how finely."""

    primary: PrimarySection | None = Field(
        default=None, description="The one estimate declared beforehand: { cohort, endpoint, model }."
    )
    horizons_years: tuple[Positive, ...] = Field(
        default=(5.0,), min_length=1, description="When survival and incidence are read off, years."
    )
    tau_years: Positive | None = Field(
        default=None, description="Where restricted means and Uno's C end, years; the largest horizon."
    )
    pad_groups: Literal["tertiles", "quartiles"] | Annotated[tuple[float, ...], Field(min_length=1)] = Field(
        default="tertiles", description="Groups of the age gap; or cuts in years, e.g. [-5, 5]."
    )
    age_bands: tuple[float, ...] = Field(
        default=(40, 50, 60, 70, 80, 120), min_length=2, description="Lower bounds, and the last upper one."
    )
    subgroups: tuple[Text, ...] = Field(
        default=("sex", "age_band", "kind", "manufacturer"),
        description="In whose levels the model with the age gap is fitted too; or categorical covariates.",
    )
    knots: Annotated[int, Field(ge=3, le=7)] = Field(
        default=4, description="Of restricted cubic splines, placed by Harrell's quantiles."
    )
    landmark_years: tuple[Positive, ...] = Field(
        default=(),
        description="Sensitivity analyses in which follow-up restarts there, for whoever is left.",
    )
    firth: bool = Field(default=False, description="Add Firth's penalised estimate where events are few.")
    cutoffs: dict[PredictorName, Annotated[tuple[float, ...], Field(min_length=1)]] = Field(
        default_factory=dict,
        description="Where sensitivity and specificity are read off: { pad_corrected = [5] }, years.",
    )
    thresholds: tuple[Share, Share] = Field(
        default=(0.01, 0.5), description="Lowest and highest risk at which one would act (net benefit)."
    )
    bootstraps: Annotated[int, Field(ge=0)] = Field(
        default=200, description="Samples from which models' optimism is estimated; 0: none."
    )
    imputations: Annotated[int, Field(ge=0)] = Field(
        default=0, description="Copies of the data with missing covariates imputed, 20 or more; 0: none."
    )
    reclassification: bool = Field(
        default=False, description="Add the IDI and the continuous NRI, as secondary measures without p."
    )
    families: dict[str, FamilySection] = Field(
        default_factory=dict, description="Whose p values are adjusted together (Holm, Benjamini-Hochberg)."
    )
    use_rounded: bool = Field(
        default=False,
        description="Use spine ages rounded to whole years, as the VERTE-X-Aging study did, not the means.",
    )
    repeat_min_years: Positive = Field(
        default=0.5, description="Shortest time between images from which a change per year is computed."
    )
    conf_level: Annotated[float, Field(gt=0.5, lt=1)] = Field(
        default=0.95, description="Of confidence intervals."
    )
    seed: int = Field(default=DEFAULT_SEED, description="Of everything that is drawn at random.")


class TrainSection(Section):
    """[train]: the network, on whom, how long and on what it is trained."""

    backbone: Backbone = Field(
        default="efficientnet-b4", description="The network, efficientnet-b0 to -b8 or -l2."
    )
    height: Annotated[int, Field(ge=32)] = Field(default=1024, description="Rows of its input, pixels.")
    width: Annotated[int, Field(ge=32)] = Field(default=512, description="Columns of its input, pixels.")
    first_age: int = Field(default=40, description="The youngest age it can tell, years.")
    n_classes: Annotated[int, Field(ge=2)] = Field(default=61, description="How many ages it tells apart.")
    initial_bundle: Text | None = Field(
        default=None, description="A bundle whose weights to begin with (fine-tuning); random ones otherwise."
    )
    share: Share = Field(
        default=0.8, description="Of subjects that train and validate, three to one; the others test."
    )
    epochs: Count = Field(default=40, description="How often it sees every image, at most.")
    patience: Count | None = Field(
        default=10, description="Epochs without a lower validation MAE after which training stops."
    )
    batch_size: Annotated[int, Field(ge=2)] = Field(
        default=15, description="Images per step, over all devices together."
    )
    accumulate: Count = Field(default=1, description="Steps whose gradients make one change of weights.")
    learning_rate: Positive = Field(
        default=1e-4, description="Adam's highest; warmed up, then lowered along a cosine."
    )
    weight_decay: NotNegative = Field(default=1e-4, description="Adam's.")
    mean_weight: NotNegative = Field(default=0.2, description="Of the mean loss.")
    variance_weight: NotNegative = Field(default=0.05, description="Of the variance loss.")
    rotation_deg: NotNegative = Field(
        default=4.0, description="Largest random rotation of a training image, degrees."
    )
    scaling: Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.08, description="Largest random change of its size, as a share."
    )
    noise: NotNegative = Field(
        default=0.03, description="Largest standard deviation of noise added to it, of its whole range."
    )
    precision: Literal["32", "bf16", "16"] = Field(
        default="32", description="Mixed precision: bf16, or 16 on a GPU."
    )
    accelerator: Literal["auto", "cpu", "gpu"] = Field(
        default="auto", description="auto: a GPU if there is one."
    )
    devices: Count = Field(default=1, description="GPUs, or processes on a CPU.")
    strategy: Literal["auto", "ddp"] = Field(
        default="auto", description="How several devices share the work."
    )
    workers: Annotated[int, Field(ge=0)] = Field(default=0, description="Processes that read images ahead.")
    seed: int = Field(default=0, description="Of everything that is drawn at random.")

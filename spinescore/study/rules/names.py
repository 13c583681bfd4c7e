"""Names that a user gives: not taken already, and told apart by more than capitals."""

from __future__ import annotations

from collections.abc import Iterator

from spinescore.study.problems import Problem
from spinescore.study.rules.parts import Settings

MODEL_TERMS = frozenset({"age", "sex"})
LEVELS_OF_IMAGES = ("sex", "age_band", "kind", "manufacturer")
# Columns of the table that conditions see (sql/cohort/scored_images.sql, and what is added to it).
IMAGE_COLUMNS = frozenset(
    {
        "sop_instance_uid",
        "study_instance_uid",
        "subject_id",
        "image_subject_id",
        "kind",
        "sex",
        "age_years",
        "study_date",
        "study_time",
        "modality",
        "manufacturer",
        "manufacturer_model",
        "view_position",
        "body_part",
        "protocol_name",
        "rows",
        "columns",
        "bits_stored",
        "synthetic",
        "spine_age_raw",
        "spine_age_rounded",
        "spine_age_sd",
        "age_share",
        "spine_age_corrected",
        "corrected_per_year",
        "correction_flags",
        "pixel_sha256",
        "flags",
        "subject_flags",
        "table_sex",
        "table_age_years",
        "sex_from_table",
        "age_from_table",
        "split",
        "linked",
        "pad_raw",
        "pad_corrected",
    }
)
NAMED = ("cohorts", "endpoints", "covariates", "models")


def name_problems(settings: Settings) -> Iterator[Problem]:
    """Yield names that are taken, empty, or differ from another only by capitals."""
    for section in NAMED:
        first_of: dict[str, str] = {}
        for name in settings.names(section):
            folded = name.strip().casefold()
            if not folded:
                yield Problem((section, name), "a name must not be empty")
            if folded in first_of:
                yield Problem(
                    (section, name),
                    f"differs from `{first_of[folded]}` only by capitals or blanks; give it another name",
                )
            first_of.setdefault(folded, name)
    yield from _taken(settings)


def _taken(settings: Settings) -> Iterator[Problem]:
    for name in settings.names("covariates"):
        if name.casefold() in MODEL_TERMS:
            yield Problem(
                ("covariates", name),
                f"in models `{name.casefold()}` is that of the images; "
                f"give this another name, e.g. `{name}_in_table`",
            )
        elif name.casefold() in IMAGE_COLUMNS:
            yield Problem(
                ("covariates", name),
                f"the images have a column of that name; give this another name, e.g. `{name}_in_table`",
            )
    covariates = {name.casefold() for name in settings.names("covariates")}
    for name, endpoint in settings.parts("endpoints"):
        if endpoint.get("type") == "binary" and name.casefold() in covariates | IMAGE_COLUMNS | MODEL_TERMS:
            yield endpoint.problem(
                f"a covariate or a column of the images has that name; "
                f'give the endpoint another, e.g. "{name} (outcome)"'
            )

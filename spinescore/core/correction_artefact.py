"""A correction as a file that travels: JSON of what was fitted, on whom, and what it may be used for.

The id is the SHA-256 of the content without day and program: the same fit has the same id wherever it is
made, and a file that was edited does not bear its own.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from spinescore.domain import AgeCell, AgeLevel, Correction, FoldFit
from spinescore.errors import CorrectionError

FORMAT = "spinescore correction"
FORMAT_VERSION = 1
ID_LENGTH = 16
NOT_OF_THE_CONTENT = ("correction_id", "fitted_on", "made_by")
FIT_AGAIN = "Get the file again from where it came from, or fit anew: `spinescore calibrate fit STUDY.toml`."
NAMES_A_CORRECTION = "Name a file that `spinescore calibrate fit --output` wrote."

Id = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
Count = Annotated[int, Field(ge=0)]
ImageKind = Literal["radiograph", "vfa"]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, strict=True)


class _Level(_Part):
    age: Count
    mean: float
    sd: float
    n: Count


class _Cell(_Part):
    first: Count
    last: Count
    n: Count
    mean: float
    sd: float
    mean_after: float
    sd_after: float


class _Manufacturer(_Part):
    name: str
    n: Count


class _Fold(_Part):
    fold: Count
    slope: float | None
    intercept: float | None
    levels: list[_Level]
    n: Count
    age_min: float
    age_max: float


class _Reference(_Part):
    cohort: str
    sha256: str
    n: Count
    age_min: float
    age_max: float
    manufacturers: list[_Manufacturer]
    subjects: list[Id]
    subject_folds: list[Count]


class _Flags(_Part):
    same_cohort: bool
    cross_fit: Annotated[int, Field(ge=2)] | None
    across_kinds: bool
    n_trained_on: Count
    synthetic: bool


class _Entry(_Part):
    correction_id: Id
    method: Literal["beheshti", "cole", "age-level"]
    kind: ImageKind
    fitted_kind: ImageKind
    model_id: str
    preprocessing_id: str
    slope: float | None
    intercept: float | None
    levels: list[_Level]
    ages: list[_Cell]
    reference: _Reference
    flags: _Flags
    fold_seed: int | None
    folds: list[_Fold]
    fitted_on: str
    made_by: str


class _File(_Part):
    format: Literal["spinescore correction"]
    format_version: Literal[1]
    corrections: Annotated[list[_Entry], Field(min_length=1)]


def write_corrections(corrections: Iterable[Correction]) -> str:
    """Return corrections, one per kind of image, as the text of a file."""
    entries = correction_entries(corrections)
    document = {"format": FORMAT, "format_version": FORMAT_VERSION, "corrections": entries}
    return json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def correction_entries(corrections: Iterable[Correction]) -> list[dict[str, Any]]:
    """Return corrections as a file holds them, ready for JSON."""
    return [_entry(correction) for correction in corrections]


def read_corrections(text: str | bytes, where: str) -> tuple[Correction, ...]:
    """Return the corrections of a file, once everything in it holds.

    Parameters
    ----------
    text : str or bytes
        The file's content.
    where : str
        Its name, for messages.

    Raises
    ------
    CorrectionError
        If it is no correction file, of a newer format, altered, or says what cannot be.
    """
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        raise CorrectionError(f"{where} is not JSON.", NAMES_A_CORRECTION) from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise CorrectionError(f"{where} is no correction file.", NAMES_A_CORRECTION)
    version = content.get("format_version")
    if isinstance(version, int) and version > FORMAT_VERSION:
        raise CorrectionError(
            f"{where} has format {version}; this spinescore knows {FORMAT_VERSION}.", "Upgrade spinescore."
        )
    try:
        file = _File.model_validate_json(text)
    except ValidationError as error:
        raise CorrectionError(f"{where}: {_first_problem(error)}.", FIT_AGAIN) from None
    corrections = tuple(_correction(entry) for entry in file.corrections)
    for correction in corrections:
        problem = _contradiction(correction)
        if problem:
            raise CorrectionError(f"{where}: {problem}.", FIT_AGAIN)
    _refuse_mixture(corrections, where)
    return corrections


def identify_correction(correction: Correction) -> Correction:
    """Return the correction with the id that its content gives."""
    entry = {key: value for key, value in _entry(correction).items() if key not in NOT_OF_THE_CONTENT}
    canonical = json.dumps(entry, sort_keys=True, separators=(",", ":"))
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    return replace(correction, correction_id=digest[:ID_LENGTH])


def _entry(c: Correction) -> dict[str, Any]:
    return {
        "correction_id": c.correction_id,
        "method": c.method,
        "kind": c.kind,
        "fitted_kind": c.fitted_kind,
        "model_id": c.model_id,
        "preprocessing_id": c.preprocessing_id,
        "slope": c.slope,
        "intercept": c.intercept,
        "levels": [level._asdict() for level in c.levels],
        "ages": [cell._asdict() for cell in c.profile],
        "reference": {
            "cohort": c.reference_cohort,
            "sha256": c.reference_sha256,
            "n": c.n_reference,
            "age_min": c.age_range[0],
            "age_max": c.age_range[1],
            "manufacturers": [{"name": name, "n": n} for name, n in c.manufacturers],
            "subjects": list(c.subjects),
            "subject_folds": list(c.subject_folds),
        },
        "flags": {
            "same_cohort": c.same_cohort,
            "cross_fit": c.cross_fit,
            "across_kinds": c.across_kinds,
            "n_trained_on": c.n_trained_on,
            "synthetic": c.synthetic,
        },
        "fold_seed": c.fold_seed,
        "folds": [
            {
                "fold": fit.fold,
                "slope": fit.slope,
                "intercept": fit.intercept,
                "levels": [level._asdict() for level in fit.levels],
                "n": fit.n_reference,
                "age_min": fit.age_range[0],
                "age_max": fit.age_range[1],
            }
            for fit in c.folds
        ],
        "fitted_on": c.fitted_on,
        "made_by": c.made_by,
    }


def _correction(entry: _Entry) -> Correction:
    reference = entry.reference
    return Correction(
        correction_id=entry.correction_id,
        method=entry.method,
        kind=entry.kind,
        fitted_kind=entry.fitted_kind,
        model_id=entry.model_id,
        preprocessing_id=entry.preprocessing_id,
        slope=entry.slope,
        intercept=entry.intercept,
        levels=_levels(entry.levels),
        n_reference=reference.n,
        reference_cohort=reference.cohort,
        reference_sha256=reference.sha256,
        age_range=(reference.age_min, reference.age_max),
        profile=tuple(AgeCell(**cell.model_dump()) for cell in entry.ages),
        manufacturers=tuple((m.name, m.n) for m in reference.manufacturers),
        subjects=tuple(reference.subjects),
        subject_folds=tuple(reference.subject_folds),
        cross_fit=entry.flags.cross_fit,
        fold_seed=entry.fold_seed,
        folds=tuple(
            FoldFit(
                fold=fit.fold,
                slope=fit.slope,
                intercept=fit.intercept,
                levels=_levels(fit.levels),
                n_reference=fit.n,
                age_range=(fit.age_min, fit.age_max),
            )
            for fit in entry.folds
        ),
        same_cohort=entry.flags.same_cohort,
        n_trained_on=entry.flags.n_trained_on,
        synthetic=entry.flags.synthetic,
        fitted_on=entry.fitted_on,
        made_by=entry.made_by,
    )


def _levels(levels: list[_Level]) -> tuple[AgeLevel, ...]:
    return tuple(AgeLevel(**level.model_dump()) for level in levels)


def _first_problem(error: ValidationError) -> str:
    found = error.errors()[0]
    place = ".".join(str(part) for part in found["loc"]) or "the file"
    return f"{place}: {found['msg'][:1].lower()}{found['msg'][1:]}"


def _contradiction(c: Correction) -> str:
    """Return what cannot be, or an empty text; the id comes first, since it tells of any edit."""
    if identify_correction(c).correction_id != c.correction_id:
        return f"correction {c.correction_id} was altered: its id is not that of its content"
    fits: tuple[Correction | FoldFit, ...] = (c, *c.folds)
    for fit in fits:
        consecutive = [level.age - fit.levels[0].age for level in fit.levels] == list(range(len(fit.levels)))
        linear = fit.slope is not None and fit.intercept is not None and not fit.levels
        whole = bool(fit.levels) and consecutive if c.method == "age-level" else linear
        if not whole or (c.method == "cole" and fit.slope == 0):
            return f"correction {c.correction_id} lacks the coefficients of its method, {c.method}"
        if fit.age_range[0] >= fit.age_range[1]:
            return f"correction {c.correction_id} was fitted on no range of ages"
    whole_folds = len(c.folds) == (c.cross_fit or 0) and len(c.subject_folds) in (
        {len(c.subjects)} if c.cross_fit else {0}
    )
    return "" if whole_folds else f"correction {c.correction_id} lacks some of its folds"


def _refuse_mixture(corrections: tuple[Correction, ...], where: str) -> None:
    kinds = [c.kind for c in corrections]
    if len(set(kinds)) < len(kinds):
        raise CorrectionError(f"{where} holds two corrections for one kind of image.", FIT_AGAIN)
    if len({(c.method, c.model_id, c.preprocessing_id) for c in corrections}) > 1:
        raise CorrectionError(f"{where} mixes methods or models.", FIT_AGAIN)

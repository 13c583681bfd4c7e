"""A DICOM header -> Radiograph, or the reason why it is left out."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Any

from pydicom.dataset import Dataset
from pydicom.errors import BytesLengthException

from spinescore.core.imaging.eligibility import decide
from spinescore.domain import DAYS_PER_YEAR, Radiograph, State

Pseudonymise = Callable[[str, str | None], str]

UID = re.compile(r"^(?!.*\.\.)(?!.*\.0\d)[0-9](\.?[0-9])*$")
AGE_UNITS_PER_YEAR = {"Y": 1.0, "M": 12.0, "W": DAYS_PER_YEAR / 7, "D": DAYS_PER_YEAR}
VIEW_DESCRIPTIONS = ("SeriesDescription", "ProtocolName", "AcquisitionDeviceProcessingDescription")
PLAUSIBLE_AGE_YEARS = (0.0, 120.0)
AGE_CONFLICT_YEARS = 1.5
MIN_SIDE_PIXELS = 64
MAX_SIDE_PIXELS = 32768


@dataclass(frozen=True, slots=True)
class Reading:
    """What a header came to: an image with flags, or a state with a reason."""

    state: State
    reason: str | None = None
    detail: str | None = None
    flags: tuple[str, ...] = ()
    radiograph: Radiograph | None = None


def read_header(dataset: Dataset, transfer_syntax: str, pseudonymise: Pseudonymise) -> Reading:
    """Turn a dataset (pixels not needed) into a Radiograph or the reason it is not one.

    Parameters
    ----------
    dataset : pydicom.Dataset
        The header.
    transfer_syntax : str
        UID from the file meta information.
    pseudonymise : callable
        ``(patient_id, issuer) -> subject_id``.
    """
    try:
        return _read(dataset, transfer_syntax, pseudonymise)
    except (
        ValueError,
        TypeError,
        KeyError,
        AttributeError,
        BytesLengthException,
        NotImplementedError,
    ) as error:
        return Reading("rejected", "malformed", f"{type(error).__name__}: {error}")


def _read(dataset: Dataset, transfer_syntax: str, pseudonymise: Pseudonymise) -> Reading:
    if _text(dataset, "SOPClassUID") == "1.2.840.10008.1.3.10":
        return Reading("excluded", "dicomdir")
    if "Rows" not in dataset or "Columns" not in dataset:
        return Reading("excluded", "not_an_image", "no Rows or Columns")
    header = _eligibility_fields(dataset)
    decision = decide(header)
    if decision.kind is None:
        return Reading("excluded", decision.reason, f"rule {decision.rule}")
    problem = _structural_problem(dataset)
    if problem:
        return problem
    flags: list[str] = []
    age = _age_years(dataset, flags)
    study_date = _date(_text(dataset, "StudyDate"))
    if study_date is None:
        flags.append("studydate_missing")
    patient_id = _text(dataset, "PatientID")
    if not patient_id:
        flags.append("patientid_missing")
    if _text(dataset, "BurnedInAnnotation") == "YES":
        flags.append("burned_in")
    radiograph = Radiograph(
        sop_instance_uid=_text(dataset, "SOPInstanceUID"),
        study_instance_uid=_text(dataset, "StudyInstanceUID") or None,
        series_instance_uid=_text(dataset, "SeriesInstanceUID") or None,
        subject_id=pseudonymise(patient_id, _text(dataset, "IssuerOfPatientID") or None)
        if patient_id
        else None,
        kind=decision.kind,
        age_years=age,
        sex=_sex(dataset),
        study_date=study_date,
        study_time=_text(dataset, "StudyTime") or None,
        modality=header["modality"] or None,
        manufacturer=_text(dataset, "Manufacturer") or None,
        manufacturer_model=_text(dataset, "ManufacturerModelName") or None,
        view_position=header["view_position"] or None,
        body_part=header["body_part"] or None,
        protocol_name=header["protocol_name"] or None,
        photometric=_text(dataset, "PhotometricInterpretation"),
        transfer_syntax=transfer_syntax,
        rows=int(dataset.Rows),
        columns=int(dataset.Columns),
        bits_stored=int(dataset.BitsStored),
        spacing_mm=_spacing_mm(dataset, flags),
        synthetic=_text(dataset, "SyntheticData") == "YES",
        eligibility_rule=decision.rule,
    )
    return Reading("indexed", flags=tuple(flags), radiograph=radiograph)


def _eligibility_fields(dataset: Dataset) -> dict[str, str]:
    view_text = " | ".join(_text(dataset, keyword) for keyword in VIEW_DESCRIPTIONS)
    return {
        "modality": _text(dataset, "Modality"),
        "image_type": "\\".join(_texts(dataset, "ImageType")),
        "view_position": _text(dataset, "ViewPosition"),
        "body_part": _text(dataset, "BodyPartExamined"),
        "protocol_name": _text(dataset, "ProtocolName"),
        "view_text": view_text,
        "any_text": f"{_text(dataset, 'StudyDescription')} | {view_text}",
    }


def _structural_problem(dataset: Dataset) -> Reading | None:
    uid = _text(dataset, "SOPInstanceUID")
    rows, columns, bits = int(dataset.Rows), int(dataset.Columns), int(dataset.get("BitsStored") or 0)
    frames = int(dataset.get("NumberOfFrames") or 1)
    checks: tuple[tuple[bool, State, str, str], ...] = (
        (not uid, "rejected", "uid_missing", "SOPInstanceUID is empty"),
        (not (UID.match(uid) and len(uid) <= 64), "rejected", "uid_invalid", "SOPInstanceUID is not a UID"),
        (
            int(dataset.get("SamplesPerPixel") or 1) != 1,
            "excluded",
            "not_grayscale",
            "several samples per pixel",
        ),
        (frames != 1, "excluded", "multiframe", f"{frames} frames"),
        (
            _text(dataset, "PhotometricInterpretation") not in {"MONOCHROME1", "MONOCHROME2"},
            "rejected",
            "photometric",
            _text(dataset, "PhotometricInterpretation") or "empty",
        ),
        (not 1 <= bits <= 16, "rejected", "bit_depth", f"{bits} bits stored"),
        (min(rows, columns) < MIN_SIDE_PIXELS, "rejected", "too_small", f"{rows} x {columns}"),
        (max(rows, columns) > MAX_SIDE_PIXELS, "rejected", "dimensions", f"{rows} x {columns}"),
    )
    for failed, state, reason, detail in checks:
        if failed:
            return Reading(state, reason, detail)
    return None


def _age_years(dataset: Dataset, flags: list[str]) -> float | None:
    """Age at imaging: from birth and study date; PatientAge only where those are not to be had."""
    birth, study = _date(_text(dataset, "PatientBirthDate")), _date(_text(dataset, "StudyDate"))
    stated = _stated_age(_text(dataset, "PatientAge"), flags)
    if birth is None and _text(dataset, "PatientBirthDate"):
        flags.append("birthdate_invalid")
    computed = (study - birth).days / DAYS_PER_YEAR if birth and study else None
    if computed is not None and computed < 0:
        flags.append("birthdate_after_study")
        computed = None
    age = computed if computed is not None else stated
    if computed is not None and stated is not None and abs(computed - stated) > AGE_CONFLICT_YEARS:
        flags.append("age_conflict")
    if age is None:
        flags.append("age_missing")
        return None
    if not PLAUSIBLE_AGE_YEARS[0] <= age <= PLAUSIBLE_AGE_YEARS[1]:
        flags.append("age_implausible")
        return None
    return age


def _stated_age(text: str, flags: list[str]) -> float | None:
    """PatientAge (0010,1010), VR AS: nnnD, nnnW, nnnM or nnnY (PS3.5 6.2)."""
    if not text:
        return None
    match = re.fullmatch(r"(\d{3})([DWMY])", text)
    if match is None:
        flags.append("age_malformed")
        return None
    return int(match.group(1)) / AGE_UNITS_PER_YEAR[match.group(2)]


def _date(text: str) -> date | None:
    """DA (PS3.5 6.2): YYYYMMDD; the ACR-NEMA form YYYY.MM.DD is read too."""
    match = re.fullmatch(r"(\d{4})\.?(\d{2})\.?(\d{2})", text)
    if match is None:
        return None
    try:
        return date(*(int(part) for part in match.groups()))
    except ValueError:
        return None


def _sex(dataset: Dataset) -> Any:
    sex = _text(dataset, "PatientSex").upper()
    return sex if sex in {"F", "M"} else None


def _spacing_mm(dataset: Dataset, flags: list[str]) -> float | None:
    for keyword in ("PixelSpacing", "ImagerPixelSpacing"):
        values = _texts(dataset, keyword)
        if not values:
            continue
        try:
            spacing = float(values[0])
        except ValueError:
            spacing = -1.0
        if 0.01 <= spacing <= 10:
            return spacing
        flags.append("spacing_invalid")
    return None


def _texts(dataset: Dataset, keyword: str) -> list[str]:
    value = dataset.get(keyword)
    if value is None:
        return []
    values = [value] if isinstance(value, str | bytes | int | float) else list(value)
    return [str(item).strip() for item in values]


def _text(dataset: Dataset, keyword: str) -> str:
    value = dataset.get(keyword)
    return "" if value is None else str(value).strip().strip("\0").strip()

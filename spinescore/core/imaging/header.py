"""The elements of a DICOM header -> Radiograph, or the reason why it is left out."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from spinescore.core.eligibility.rule_set import FIELDS, Decision, RuleSet
from spinescore.core.imaging.age_at_imaging import read_age, read_date
from spinescore.core.imaging.character_set import decode_text
from spinescore.core.imaging.element_walker import (
    ANATOMIC_REGION,
    CODE_TAGS,
    MEDIA_STORAGE_CLASS,
    MEDIA_STORAGE_INSTANCE,
    NUMBER_TAGS,
    TEXT_TAGS,
    VIEW_CODE,
)
from spinescore.core.imaging.manufacturer import normalise_manufacturer, normalise_model
from spinescore.core.imaging.pixel_format import spoken_photometric
from spinescore.domain import Radiograph, State

Pseudonymise = Callable[[str, str | None], str]
Elements = Mapping[int, bytes]  # tag -> value as stored, little endian

UID = re.compile(r"(?!.*\.\.)(?!.*\.0\d)[0-9](\.?[0-9])*")
MAX_UID_LENGTH = 64
MEDIA_DIRECTORY = b"1.2.840.10008.1.3.10"
RADIOGRAPH_CLASSES = b"1.2.840.10008.5.1.4.1.1.1.", b"1.2.840.10008.5.1.4.1.1.7."  # CR, DX, secondary capture
TAG = {keyword: tag for tags in (TEXT_TAGS, NUMBER_TAGS, CODE_TAGS) for tag, keyword in tags.items()}
CHARACTER_SET, SOP_CLASS, SOP_INSTANCE = 0x00080005, 0x00080016, 0x00080018
ROWS, COLUMNS = 0x00280010, 0x00280011
WHOLE_TEXTS = frozenset({"PatientID", "IssuerOfPatientID", "SOPInstanceUID"})  # cut, they would be others'

FIELD_TAGS: dict[str, int] = {
    "modality": TAG["Modality"],
    "sop_class": SOP_CLASS,
    "image_type": TAG["ImageType"],
    "presentation_intent": TAG["PresentationIntentType"],
    "view_position": TAG["ViewPosition"],
    "view_code": VIEW_CODE,
    "body_part": TAG["BodyPartExamined"],
    "anatomic_region": ANATOMIC_REGION,
    "laterality": TAG["ImageLaterality"],
    "patient_orientation": TAG["PatientOrientation"],
    "protocol_name": TAG["ProtocolName"],
    "series_description": TAG["SeriesDescription"],
    "study_description": TAG["StudyDescription"],
    "acquisition_description": TAG["AcquisitionDeviceProcessingDescription"],
    "performed_procedure": TAG["PerformedProcedureStepDescription"],
    "requested_procedure": TAG["RequestedProcedureDescription"],
    "manufacturer": TAG["Manufacturer"],
    "manufacturer_model": TAG["ManufacturerModelName"],
    "samples_per_pixel": TAG["SamplesPerPixel"],
    "number_of_frames": TAG["NumberOfFrames"],
    "burned_in": TAG["BurnedInAnnotation"],
}
"""Which element each field of the eligibility rules is read from."""

# what the decision rests on, as it stands in the file: decisions are kept under these bytes
DECIDING_TAGS = (CHARACTER_SET, *(FIELD_TAGS[name] for name in FIELDS), TAG["Laterality"])
MOST_HEADERS_KEPT = 65_536
LONGEST_TEXT_BYTES = 4_096  # of a description; PS3.5 6.2 allows 64 characters: a file may hold gigabytes
FRONTAL_ROW_DIRECTIONS, LATERAL_ROW_DIRECTIONS = frozenset("LR"), frozenset("AP")


@dataclass(frozen=True, slots=True)
class Reading:
    """What a path came to: an image with flags, or a state with a reason.

    Parameters
    ----------
    state : str
    reason : str or None
        Reason code; None for an indexed image.
    detail : str or None
        What was found, in words.
    flags : tuple of str
        Of an indexed image.
    radiograph : Radiograph or None
        The image, where it is indexed.
    rule : str or None
        The eligibility rule that decided, where one did.
    fields : tuple of str or None
        What the rules were shown, in the order of ``FIELDS``.
    """

    state: State
    reason: str | None = None
    detail: str | None = None
    flags: tuple[str, ...] = ()
    radiograph: Radiograph | None = None
    rule: str | None = None
    fields: tuple[str, ...] | None = None


class HeaderReader:
    """Reads headers under one set of rules; keeps decisions, since an archive repeats itself.

    Parameters
    ----------
    rules : RuleSet
        Which images are ours, and the limits.
    pseudonymise : callable
        ``(patient_id, issuer) -> subject_id``.
    """

    def __init__(self, rules: RuleSet, pseudonymise: Pseudonymise) -> None:
        self.rules = rules
        self.pseudonymise = pseudonymise
        self._kept: dict[tuple[bytes, ...], tuple[tuple[str, ...], Decision]] = {}

    def decide(self, elements: Elements) -> Reading | tuple[tuple[str, ...], Decision]:
        """Return why the file is not eligible, or the fields and the decision that let it in."""
        if _sop_class(elements) == MEDIA_DIRECTORY:
            return Reading("excluded", "dicomdir")
        if ROWS not in elements or COLUMNS not in elements:
            return _without_frame(elements)
        fields, decision = self._decision(elements)
        if decision.kind is None:
            return Reading("excluded", decision.reason, rule=decision.rule, fields=fields)
        return fields, decision

    def _decision(self, elements: Elements) -> tuple[tuple[str, ...], Decision]:
        key = tuple([elements.get(tag, b"") for tag in DECIDING_TAGS])
        answer = self._kept.get(key)
        if answer is None:
            fields = eligibility_fields(elements)
            answer = tuple(fields.values()), self.rules.decide(fields)
            if len(self._kept) >= MOST_HEADERS_KEPT:
                self._kept.clear()
            if sum(map(len, key)) <= LONGEST_TEXT_BYTES:
                self._kept[key] = answer
        return answer

    def read(
        self, elements: Elements, transfer_syntax: str, fields: tuple[str, ...], decision: Decision
    ) -> Reading:
        """Turn the elements of an eligible image into a Radiograph, or why it is broken.

        Parameters
        ----------
        elements : mapping of tag to bytes
            Values as stored, numbers little endian.
        transfer_syntax : str
            UID from the file meta information.
        fields, decision
            As :meth:`decide` gave them.
        """
        header = _Header(elements)
        problem = _structural_problem(header, self.rules)
        if problem:
            state, reason, detail = problem
            return Reading(state, reason, detail, rule=decision.rule, fields=fields)
        radiograph = self._radiograph(header, transfer_syntax, decision)
        return Reading(
            "indexed",
            flags=tuple(dict.fromkeys(header.flags)),
            radiograph=radiograph,
            rule=decision.rule,
            fields=fields,
        )

    def _radiograph(self, header: _Header, transfer_syntax: str, decision: Decision) -> Radiograph:
        assert decision.kind is not None
        text, flags = header.text, header.flags
        study_date = _study_date(header)
        age_years = read_age(
            text("PatientBirthDate"), study_date, text("PatientAge"), self.rules.limits, flags
        )
        manufacturer, model = text("Manufacturer"), text("ManufacturerModelName")
        spacing_mm, spacing_source = _spacing(header)
        _flag_frame(header, decision.kind)
        return Radiograph(
            sop_instance_uid=text("SOPInstanceUID"),
            study_instance_uid=_other_uid(header, "StudyInstanceUID"),
            series_instance_uid=_other_uid(header, "SeriesInstanceUID"),
            subject_id=self._subject_id(header),
            kind=decision.kind,
            age_years=age_years,
            sex=_sex(text("PatientSex")),
            study_date=study_date,
            study_time=text("StudyTime") or None,
            modality=text("Modality") or None,
            manufacturer=normalise_manufacturer(manufacturer),
            manufacturer_raw=manufacturer or None,
            manufacturer_model=normalise_model(manufacturer, model),
            manufacturer_model_raw=model or None,
            software_versions=text("SoftwareVersions") or None,
            view_position=text("ViewPosition") or None,
            body_part=text("BodyPartExamined") or None,
            protocol_name=text("ProtocolName") or None,
            laterality=_laterality(header),
            photometric=text("PhotometricInterpretation"),
            transfer_syntax=transfer_syntax,
            rows=header.number("Rows"),
            columns=header.number("Columns"),
            bits_stored=header.number("BitsStored"),
            spacing_mm=spacing_mm,
            spacing_source=spacing_source,
            kvp=_measure(text("KVP")),
            exposure_mas=_exposure_mas(header),
            exposure_time_ms=_measure(text("ExposureTime")),
            tube_current_ma=_measure(text("XRayTubeCurrent")),
            source_detector_distance_mm=_measure(text("DistanceSourceToDetector")),
            exposure_index=_measure(text("ExposureIndex")),
            synthetic=text("SyntheticData") == "YES",
            eligibility_rule=decision.rule,
        )

    def _subject_id(self, header: _Header) -> str | None:
        patient_id = header.text("PatientID")
        if not patient_id:
            header.flags.append("patientid_missing")
            return None
        return self.pseudonymise(patient_id, header.text("IssuerOfPatientID") or None)


class _Header:
    """Elements as text and numbers; decoding raises flags."""

    def __init__(self, elements: Elements) -> None:
        self.elements = elements
        self.flags: list[str] = []
        self._character_set = elements.get(CHARACTER_SET, b"")

    def text(self, keyword: str) -> str:
        """Return a value as text, without padding; several values joined by a backslash."""
        value = self.elements.get(TAG[keyword], b"")
        if not value:
            return ""
        if len(value) > LONGEST_TEXT_BYTES and keyword not in WHOLE_TEXTS:
            value = value[:LONGEST_TEXT_BYTES]
        text, flag = decode_text(value, self._character_set)
        if flag:
            self.flags.append(flag)
        return text

    def number(self, keyword: str) -> int:
        """Return an unsigned short; 0 where it is missing or malformed."""
        value = self.elements.get(TAG[keyword], b"")
        return int.from_bytes(value, "little") if len(value) == 2 else 0

    def numbers_are_plain(self) -> bool:
        """Tell whether every number that is there is one unsigned short."""
        return all(len(self.elements.get(tag, b"..")) == 2 for tag in NUMBER_TAGS)


def eligibility_fields(elements: Elements) -> dict[str, str]:
    """Return what the eligibility rules are asked about, by field name in the order of ``FIELDS``."""
    character_set = elements.get(CHARACTER_SET, b"")
    fields: dict[str, str] = {}
    for name in FIELDS:
        tag = FIELD_TAGS[name]
        value = elements.get(tag, b"")
        if tag in NUMBER_TAGS:
            fields[name] = str(int.from_bytes(value, "little")) if len(value) == 2 else ""
        else:
            fields[name] = decode_text(value[:LONGEST_TEXT_BYTES], character_set)[0]
    fields["laterality"] = fields["laterality"] or decode_text(elements.get(TAG["Laterality"], b""))[0]
    return fields


def _without_frame(elements: Elements) -> Reading:
    """Return what a header without Rows or Columns comes to: no image, or a broken one."""
    sop_class = _sop_class(elements)
    if not sop_class:
        return Reading("rejected", "malformed", "neither a SOP Class UID nor Rows and Columns")
    if (sop_class + b".").startswith(RADIOGRAPH_CLASSES):
        return Reading("rejected", "malformed", "a radiograph's storage class without Rows or Columns")
    return Reading("excluded", "not_an_image", "no Rows or Columns")


def _sop_class(elements: Elements) -> bytes:
    """Return the SOP class; a directory of media has it in its file meta information alone (PS3.10 8.6)."""
    return (elements.get(SOP_CLASS) or elements.get(MEDIA_STORAGE_CLASS, b"")).strip(b" \0")


def _structural_problem(header: _Header, rules: RuleSet) -> tuple[State, str, str] | None:
    text, number, limits = header.text, header.number, rules.limits
    uid, photometric = text("SOPInstanceUID"), text("PhotometricInterpretation")
    rows, columns = number("Rows"), number("Columns")
    bits = f"{number('BitsStored')} bits stored in {number('BitsAllocated')}"
    frames = text("NumberOfFrames") or "1"
    size = f"{rows} x {columns}"
    short, long = sorted((rows, columns))
    checks: tuple[tuple[bool, State, str, str], ...] = (
        (not header.numbers_are_plain(), "rejected", "malformed", "Rows, Columns or bits are not one number"),
        (not uid, "rejected", "uid_missing", "SOPInstanceUID is empty"),
        (bool(uid) and not is_uid(uid), "rejected", "uid_invalid", "SOPInstanceUID is not a UID"),
        (number("SamplesPerPixel") > 1, "excluded", "not_grayscale", "several samples per pixel"),
        (not frames.isdecimal(), "rejected", "malformed", "NumberOfFrames is not a number"),
        (frames.isdecimal() and int(frames[:9]) != 1, "excluded", "multiframe", f"{frames[:9]} frames"),
        (
            photometric not in {"MONOCHROME1", "MONOCHROME2"},
            "rejected",
            "photometric",
            spoken_photometric(photometric),
        ),
        (number("BitsAllocated") not in (8, 16), "rejected", "bit_depth", bits),
        (not 1 <= number("BitsStored") <= number("BitsAllocated"), "rejected", "bit_depth", bits),
        (short < limits.min_side_pixels, "rejected", "too_small", size),
        (long > limits.max_side_pixels or rows * columns > limits.max_pixels, "rejected", "dimensions", size),
        (long > limits.max_aspect_ratio * short, "rejected", "aspect_ratio", size),
    )
    for failed, state, reason, detail in checks:
        if failed:
            return state, reason, detail
    return None


def is_uid(text: str) -> bool:
    """Tell whether a text is a unique identifier (PS3.5 9.1).

    >>> is_uid("1.2.840.10008"), is_uid("1..2"), is_uid("../etc")
    (True, False, False)
    """
    return len(text) <= MAX_UID_LENGTH and UID.fullmatch(text) is not None


def _other_uid(header: _Header, keyword: str) -> str | None:
    """Return a study's or series' UID; None and a flag where it is none."""
    uid = header.text(keyword)
    if not uid:
        return None
    if not is_uid(uid):
        header.flags.append("uid_invalid")
        return None
    return uid


def _study_date(header: _Header) -> Any:
    """Return StudyDate, else the first of the acquisition's, content's and series' dates, flagged."""
    study_date = read_date(header.text("StudyDate"))
    if study_date is not None:
        return study_date
    header.flags.append("studydate_missing")
    dates = (read_date(header.text(k)) for k in ("AcquisitionDate", "ContentDate", "SeriesDate"))
    return next((date for date in dates if date is not None), None)


def _sex(text: str) -> Any:
    sex = text.upper()
    return sex if sex in {"F", "M"} else None


def _laterality(header: _Header) -> str | None:
    laterality = (header.text("ImageLaterality") or header.text("Laterality")).upper()
    return laterality if laterality in {"L", "R", "U", "B"} else None


def _spacing(header: _Header) -> tuple[float | None, str | None]:
    """Return row spacing (mm per pixel) and the element it is from; at the patient before the detector."""
    for keyword in ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing"):
        text = header.text(keyword)
        if not text:
            continue
        spacing = _measure(text)
        if spacing is not None and 0.01 <= spacing <= 10:
            return spacing, keyword
        header.flags.append("spacing_invalid")
    return None, None


def _exposure_mas(header: _Header) -> float | None:
    """Return Exposure (mAs), else ExposureInuAs / 1000 (PS3.3 C.8.7.1.1.4)."""
    whole = _measure(header.text("Exposure"))
    fine = _measure(header.text("ExposureInuAs"))
    return whole if whole is not None else fine / 1000 if fine is not None else None


@lru_cache(maxsize=4096)
def _measure(text: str) -> float | None:
    """Return the first value of a DS or IS (PS3.5 6.2); None unless it is a finite number."""
    first = text.split("\\")[0].strip()
    if re.fullmatch(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,2})?", first) is None:
        return None
    return float(first)


def _flag_frame(header: _Header, kind: str) -> None:
    """Flag what is odd about the frame and its declarations; nothing here decides."""
    flags = header.flags
    if header.text("BurnedInAnnotation") == "YES":
        flags.append("burned_in")
    if header.number("Columns") > header.number("Rows"):
        flags.append("landscape")
    row_direction = header.text("PatientOrientation")[:1]
    if kind == "radiograph" and row_direction and row_direction not in LATERAL_ROW_DIRECTIONS:
        flags.append("orientation")
    announced = header.elements.get(MEDIA_STORAGE_INSTANCE, b"").strip(b" \0")
    if announced and announced != header.elements.get(SOP_INSTANCE, b"").strip(b" \0"):
        flags.append("uid_mismatch")

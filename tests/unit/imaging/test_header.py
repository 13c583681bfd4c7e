"""What a header is read as: age, sex, dates, and headers that are broken."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from spinescore.core.imaging.header import Reading, read_header

EXPLICIT = "1.2.840.10008.1.2.1"


def lateral(**changes: Any) -> Dataset:
    dataset = Dataset()
    dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.1"
    dataset.SOPInstanceUID = "1.2.3"
    dataset.Modality, dataset.ViewPosition, dataset.BodyPartExamined = "CR", "LL", "LSPINE"
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.Rows, dataset.Columns, dataset.BitsStored, dataset.BitsAllocated = 800, 600, 12, 16
    dataset.PatientID, dataset.PatientSex = "007", "F"
    dataset.PatientBirthDate, dataset.StudyDate = "19500101", "20150101"
    for keyword, value in changes.items():
        setattr(dataset, keyword, value)
    return dataset


def read(**changes: Any) -> Reading:
    return read_header(lateral(**changes), EXPLICIT, lambda patient_id, issuer: f"{issuer}/{patient_id}")


def test_age_is_counted_in_days_not_in_completed_years() -> None:
    image = read().radiograph
    assert image is not None
    assert image.age_years == pytest.approx(23741 / 365.25)


@pytest.mark.parametrize(("text", "years"), [("065Y", 65), ("780M", 65), ("003D", 3 / 365.25)])
def test_a_stated_age_counts_where_there_is_no_birth_date(text: str, years: float) -> None:
    image = read(PatientBirthDate="", PatientAge=text).radiograph
    assert image is not None
    assert image.age_years == pytest.approx(years)


@pytest.mark.parametrize(
    ("changes", "flag"),
    [
        ({"PatientBirthDate": ""}, "age_missing"),
        ({"PatientBirthDate": "20200101"}, "birthdate_after_study"),
        ({"PatientBirthDate": "18000101"}, "age_implausible"),
        ({"PatientAge": "080Y"}, "age_conflict"),
        ({"PatientID": ""}, "patientid_missing"),
        ({"BurnedInAnnotation": "YES"}, "burned_in"),
        ({"PixelSpacing": [0, 0]}, "spacing_invalid"),
    ],
)
def test_what_is_odd_is_flagged_and_the_image_kept(changes: dict[str, Any], flag: str) -> None:
    reading = read(**changes)
    assert reading.state == "indexed"
    assert flag in reading.flags


def test_a_missing_patient_id_is_null_and_never_linked() -> None:
    image = read(PatientID=" ").radiograph
    assert image is not None
    assert image.subject_id is None


@pytest.mark.parametrize(
    ("changes", "state", "reason"),
    [
        ({"SOPInstanceUID": ""}, "rejected", "uid_missing"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "rejected", "photometric"),
        ({"SamplesPerPixel": 3}, "excluded", "not_grayscale"),
        ({"NumberOfFrames": 12}, "excluded", "multiframe"),
        ({"BitsStored": 32}, "rejected", "bit_depth"),
        ({"Rows": 10}, "rejected", "too_small"),
        ({"Rows": 65535}, "rejected", "dimensions"),
    ],
)
def test_what_cannot_be_used_has_its_reason(changes: dict[str, Any], state: str, reason: str) -> None:
    reading = read(**changes)
    assert (reading.state, reading.reason) == (state, reason)


@given(st.text(max_size=16))
def test_no_patient_age_breaks_the_reading(text: str) -> None:
    dataset = lateral(PatientBirthDate="")
    dataset.add_new(0x00101010, "LO", text)
    assert read_header(dataset, EXPLICIT, lambda a, _: a).state in {"indexed", "rejected"}

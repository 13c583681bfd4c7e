"""What a header is read as: identity, age, sex, dates, exposure, and headers that are broken."""

from __future__ import annotations

import io
import warnings
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from spinescore.core.imaging.age_at_imaging import read_date
from spinescore.core.imaging.element_walker import AFTER_WANTED, FIRST_WINDOW, ElementWalker
from spinescore.core.imaging.header import HeaderReader, Reading, is_uid
from spinescore.domain import Radiograph
from spinescore.shell.indexing.rules import default_rules


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


def written(dataset: Dataset) -> bytes:
    file = FileDataset("", dataset, file_meta=FileMetaDataset(), preamble=b"\0" * 128)
    file.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    file.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        file.save_as(buffer)
    return buffer.getvalue()


def read_bytes(content: bytes) -> Reading:
    walker = ElementWalker(lambda offset, length: content[offset : offset + length], len(content))
    walker.begin(content[:FIRST_WINDOW])
    walker.walk(content[:FIRST_WINDOW], 0, AFTER_WANTED)
    reader = HeaderReader(default_rules(), lambda patient_id, issuer: f"{issuer}/{patient_id}")
    decided = reader.decide(walker.found)
    if isinstance(decided, Reading):
        return decided
    return reader.read(walker.found, walker.transfer_syntax, *decided)


def read(**changes: Any) -> Reading:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return read_bytes(written(lateral(**changes)))


def image(**changes: Any) -> Radiograph:
    found = read(**changes).radiograph
    assert found is not None
    return found


def test_age_is_counted_in_days_not_in_completed_years() -> None:
    assert image().age_years == pytest.approx(23741 / 365.25)


@pytest.mark.parametrize(
    ("text", "years"),
    [("065Y", 65), ("780M", 65), ("003D", 3 / 365.25), ("104W", 728 / 365.25), ("65Y", 65), ("065y", 65)],
)
def test_a_stated_age_counts_where_there_is_no_birth_date(text: str, years: float) -> None:
    assert image(PatientBirthDate="", PatientAge=text).age_years == pytest.approx(years)


@pytest.mark.parametrize(
    ("birth", "stated", "years", "flags"),
    [
        ("19500101", "080Y", 65, {"age_conflict"}),  # dates win, and the conflict is named
        ("19500101", "064Y", 65, set()),  # completed years may lag
        ("18000101", "065Y", 65, {"age_implausible", "age_conflict"}),  # the plausible one wins
        ("20200101", "065Y", 65, {"birthdate_after_study"}),
        ("19500230", "065Y", 65, {"birthdate_invalid"}),
        ("19500230", "65", None, {"birthdate_invalid", "age_malformed", "age_missing"}),  # no unit: not read
        ("", "999Y", None, {"age_implausible"}),
        ("", "", None, {"age_missing"}),
    ],
)
def test_two_sources_of_age_are_settled_by_the_stated_rule(
    birth: str, stated: str, years: float | None, flags: set[str]
) -> None:
    reading = read(PatientBirthDate=birth, PatientAge=stated)
    assert reading.radiograph is not None
    found = reading.radiograph.age_years
    assert (found if found is None else round(found)) == years
    assert {flag for flag in reading.flags if "age" in flag or "birth" in flag} == flags


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("20150131", date(2015, 1, 31)),
        ("2015.01.31", date(2015, 1, 31)),
        ("2015-01-31", date(2015, 1, 31)),
        ("2015.0131", None),
        ("20150231", None),
        ("00000000", None),
        ("31012015", None),
        ("201501", None),
    ],
)
def test_a_date_is_read_in_its_legal_forms_and_never_guessed(text: str, day: date | None) -> None:
    assert read_date(text) == day


def test_without_a_study_date_the_acquisition_dates_the_image_and_a_flag_says_so() -> None:
    reading = read(StudyDate="", AcquisitionDate="20140101")
    assert reading.radiograph is not None
    assert reading.radiograph.study_date == date(2014, 1, 1)
    assert reading.radiograph.age_years == pytest.approx(64, abs=0.01)
    assert "studydate_missing" in reading.flags


@pytest.mark.parametrize(
    ("changes", "flag"),
    [
        ({"PatientID": ""}, "patientid_missing"),
        ({"BurnedInAnnotation": "YES"}, "burned_in"),
        ({"PixelSpacing": [0, 0]}, "spacing_invalid"),
        ({"Columns": 900}, "landscape"),
        ({"PatientOrientation": ["L", "F"]}, "orientation"),
        ({"SOPInstanceUID": "1.2.4"}, "uid_mismatch"),
        ({"StudyInstanceUID": "../../etc/passwd"}, "uid_invalid"),
    ],
)
def test_what_is_odd_is_flagged_and_the_image_kept(changes: dict[str, Any], flag: str) -> None:
    reading = read(**changes)
    assert reading.state == "indexed"
    assert flag in reading.flags


def test_a_plain_image_has_no_flag() -> None:
    assert read(PatientOrientation=["A", "F"], PixelSpacing=[0.15, 0.15]).flags == ()


def test_identifiers_are_verbatim_and_their_issuer_is_part_of_them() -> None:
    assert image(PatientID=" 007 ", IssuerOfPatientID="KR").subject_id == "KR/007"


def test_a_missing_patient_id_is_null_and_never_linked() -> None:
    assert image(PatientID=" ").subject_id is None


@pytest.mark.parametrize(
    ("changes", "spacing", "source"),
    [
        ({"PixelSpacing": [0.15, 0.2]}, 0.15, "PixelSpacing"),
        ({"ImagerPixelSpacing": [0.14, 0.14]}, 0.14, "ImagerPixelSpacing"),
        ({"PixelSpacing": [0, 0], "ImagerPixelSpacing": [0.14, 0.14]}, 0.14, "ImagerPixelSpacing"),
        ({}, None, None),
    ],
)
def test_spacing_is_at_the_patient_before_the_detector_or_null(
    changes: dict[str, Any], spacing: float | None, source: str | None
) -> None:
    found = image(**changes)
    assert (found.spacing_mm, found.spacing_source) == (spacing, source)


def test_exposure_is_in_named_units() -> None:
    found = image(KVP="85", ExposureInuAs="12500", ExposureTime="100", XRayTubeCurrent="125")
    assert (found.kvp, found.exposure_mas) == (85, 12.5)
    assert (found.exposure_time_ms, found.tube_current_ma) == (100, 125)
    dataset = lateral()
    dataset.add_new(0x00180060, "LO", "high")  # not a number, under a text's value representation
    wordy = read_bytes(written(dataset)).radiograph
    assert wordy is not None
    assert wordy.kvp is None


def test_makers_have_one_name_and_their_own_spelling_is_kept() -> None:
    found = image(Manufacturer="GE MEDICAL SYSTEMS Lunar")
    assert found.manufacturer_raw == "GE MEDICAL SYSTEMS Lunar"
    assert found.manufacturer == image(Manufacturer="GE Healthcare").manufacturer


def test_laterality_is_a_defined_term_or_null() -> None:
    assert image(ImageLaterality="L").laterality == "L"
    assert image(Laterality="R").laterality == "R"
    assert image(ImageLaterality="X").laterality is None


@pytest.mark.parametrize(
    ("changes", "state", "reason"),
    [
        ({"SOPInstanceUID": ""}, "rejected", "uid_missing"),
        ({"SOPInstanceUID": "1.2.x"}, "rejected", "uid_invalid"),
        ({"SOPInstanceUID": "1." + "2" * 70}, "rejected", "uid_invalid"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "rejected", "photometric"),
        ({"BitsStored": 32}, "rejected", "bit_depth"),
        ({"BitsAllocated": 32}, "rejected", "bit_depth"),
        ({"Rows": 10}, "rejected", "too_small"),
        ({"Rows": 65535}, "rejected", "dimensions"),
        ({"Rows": 30000, "Columns": 100}, "rejected", "aspect_ratio"),
        ({"Rows": [800, 800]}, "rejected", "malformed"),
        ({"NumberOfFrames": 12}, "excluded", "multiframe"),
        ({"SamplesPerPixel": 3}, "excluded", "not_grayscale"),
        ({"Modality": "CT"}, "excluded", "modality"),
    ],
)
def test_what_cannot_be_used_has_its_reason(changes: dict[str, Any], state: str, reason: str) -> None:
    reading = read(**changes)
    assert (reading.state, reading.reason) == (state, reason)


@given(st.text(max_size=16))
def test_no_patient_age_breaks_the_reading(text: str) -> None:
    dataset = lateral(PatientBirthDate="")
    dataset.add_new(0x00101010, "LO", text)
    assert read_bytes(written(dataset)).state in {"indexed", "rejected"}


@given(st.text(max_size=80))
def test_a_uid_is_never_a_path_or_a_blank(text: str) -> None:
    if is_uid(text):
        assert set(text) <= set("0123456789.")
        assert ".." not in text
        assert 1 <= len(text) <= 64

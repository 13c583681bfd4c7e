"""Nothing outside the table survives, what is kept is checked, replacements are consistent."""

from __future__ import annotations

import io
import re
import struct
import warnings
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.datadict import DicomDictionary
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import UID, ExplicitVRLittleEndian

from spinescore.core.deidentification.attribute_table import read_attribute_table
from spinescore.core.deidentification.basic_profile import Identity, age_string, deidentify, restate_view
from spinescore.core.deidentification.codestream_text import blank_texts
from spinescore.core.deidentification.copied_pixels import blank_regions, unused_bits_are_clean
from spinescore.core.deidentification.replacement import Replacements, read_time, write_time
from spinescore.core.eligibility.rule_set import Region
from spinescore.core.imaging.pixel_format import PixelFormat
from spinescore.errors import CopyRefusedError
from spinescore.shell.copies.deidentified_copies import attribute_table

KEY = bytes(range(32))
REPLACEMENTS = Replacements(KEY)
SUBJECT = "0123456789abcdef0123456789abcdef"
IDENTITY = Identity(
    subject_id=SUBJECT,
    study_uid=REPLACEMENTS.uid("1.2.1"),
    series_uid=REPLACEMENTS.uid("1.2.2"),
    instance_uid=REPLACEMENTS.uid("1.2.3"),
    age_years=71.2,
)
CR, DX = "1.2.840.10008.5.1.4.1.1.1", "1.2.840.10008.5.1.4.1.1.1.1"
TABLE = attribute_table()
ALLOWED = {attribute.tag for attribute in TABLE.attributes}
ALLOWED_WITHIN = {"CodeValue", "CodingSchemeDesignator", "CodeMeaning"}
TEXT_VRS = ("LO", "SH", "ST", "LT", "UT", "UC", "PN", "CS", "AE", "UR")
SECRET = "Zq7Kowalski"


def header(**values: Any) -> Dataset:
    source = Dataset()
    source.SOPClassUID = UID(CR)
    source.SOPInstanceUID, source.StudyInstanceUID, source.SeriesInstanceUID = "1.2.3", "1.2.1", "1.2.2"
    source.Modality, source.StudyDate, source.StudyTime = "CR", "20190412", "101500"
    source.PatientName, source.PatientID, source.PatientBirthDate = "Kowalski^Jan", "48151623", "19480101"
    source.PatientSex, source.BodyPartExamined, source.ViewPosition = "M", "LSPINE", "LL"
    source.Rows, source.Columns, source.PixelRepresentation = 100, 90, 0
    for keyword, value in values.items():
        setattr(source, keyword, value)
    return source


def copied(source: Dataset, **options: Any) -> Any:
    return deidentify(source, TABLE, REPLACEMENTS, IDENTITY, **options)


def as_bytes(copy: Any) -> bytes:
    copy.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    buffer = io.BytesIO()
    copy.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def test_the_documentation_names_every_attribute_of_the_table_and_no_other() -> None:
    text = (Path(__file__).parents[3] / "docs" / "deidentification.md").read_text(encoding="utf-8")
    named = set(re.findall(r"^\| `(\w+)`", text, re.MULTILINE))
    assert named == {attribute.keyword for attribute in TABLE.attributes}


def test_every_attribute_has_a_reason_and_every_check_something_to_hold_a_value_to() -> None:
    for attribute in TABLE.attributes:
        assert attribute.why
        assert attribute.check not in ("terms", "words", "image_type") or attribute.terms
        assert attribute.check != "numbers" or attribute.range[0] <= attribute.range[1]
        assert (attribute.action == "codes") == bool(attribute.codes)


@pytest.mark.parametrize(
    "entry",
    [
        {"keyword": "NoSuchThing", "action": "empty", "why": "x"},
        {"keyword": "PatientID", "action": "remove", "why": "x"},
        {"keyword": "PatientID", "action": "keep", "why": "x"},
        {"keyword": "PatientID", "action": "empty", "check": "terms", "why": "x"},
        {"keyword": "PatientID", "action": "empty"},
        {"keyword": "PatientID", "action": "empty", "why": "x", "wy": "y"},
    ],
)
def test_a_damaged_table_is_an_error(entry: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=entry["keyword"]):
        read_attribute_table({"version": 1, "classes": {}, "attribute": [entry]})


def test_an_attribute_named_twice_is_an_error() -> None:
    entry = {"keyword": "PatientID", "action": "assign", "why": "x"}
    with pytest.raises(ValueError, match="twice"):
        read_attribute_table({"version": 1, "classes": {}, "attribute": [entry, entry]})


ELEMENTS = [
    (tag, entry[0]) for tag, entry in DicomDictionary.items() if entry[0] in TEXT_VRS and tag >> 16 > 2
]


@settings(max_examples=60)
@given(st.data())
def test_no_text_of_any_attribute_reaches_a_copy(data: st.DataObject) -> None:
    source = header()
    secret = data.draw(st.from_regex(r"[A-Z][a-z]{3}[0-9][A-Z][a-z]{4}", fullmatch=True))
    chosen = data.draw(st.lists(st.sampled_from(ELEMENTS), min_size=1, max_size=40))
    inner = Dataset()
    for tag, vr in chosen:
        target = data.draw(st.sampled_from([source, inner]))
        if tag != 0x00080016:
            target.add_new(tag, vr, secret.upper() if vr in ("CS", "AE") else secret)
    keyword = data.draw(
        st.sampled_from(["RequestAttributesSequence", "ViewCodeSequence", "OriginalAttributesSequence"])
    )
    setattr(source, keyword, Sequence([inner]))
    source.add_new((data.draw(st.integers(0x09, 0xFFF)) * 2 + 1) << 16 | 0x10, "LO", secret)
    content = as_bytes(copied(source)).lower()
    assert secret.encode().lower() not in content


def test_only_what_the_table_names_is_in_a_copy_whatever_the_original_holds() -> None:
    source = header()
    for tag, (vr, *_) in DicomDictionary.items():
        if tag not in source and tag >> 16 > 2 and vr in TEXT_VRS:
            source.add_new(tag, vr, SECRET.upper() if vr in ("CS", "AE") else SECRET)
    source.add_new(0x60003000, "OW", SECRET.encode() + b"\0")
    source.add_new(0x50003000, "OW", SECRET.encode() + b"\0")
    source.add_new(0x60000022, "LO", SECRET)
    source.add_new(0x00091001, "UN", SECRET.encode() + b"\0")
    source.add_new(0x00230101, "LO", SECRET)
    source.add_new(0xFFFCFFFC, "OB", SECRET.encode() + b"\0")
    copy = copied(source)
    assert {int(element.tag) for element in copy} <= ALLOWED
    assert SECRET.lower().encode() not in as_bytes(copy).lower()


def test_code_sequences_hold_known_codes_in_our_own_words_and_nothing_else() -> None:
    view, modifier, region = Dataset(), Dataset(), Dataset()
    view.CodeValue, view.CodingSchemeDesignator, view.CodeMeaning = "399173006", "SCT", SECRET
    view.CodingSchemeVersion = view.LongCodeValue = SECRET
    modifier.CodeValue, modifier.CodingSchemeDesignator, modifier.CodeMeaning = SECRET, "SCT", SECRET
    view.ViewModifierCodeSequence = [modifier]
    view.add_new(0x00091001, "LO", SECRET)
    region.CodeValue, region.CodingSchemeDesignator, region.CodeMeaning = SECRET, "99LOCAL", SECRET
    copy = copied(header(ViewCodeSequence=[view], AnatomicRegionSequence=[region]))
    (item,) = copy.ViewCodeSequence
    assert (item.CodeValue, item.CodeMeaning) == ("399173006", "left lateral")
    assert {element.keyword for element in item} == ALLOWED_WITHIN | {"ViewModifierCodeSequence"}
    assert len(item.ViewModifierCodeSequence) == 0
    assert "AnatomicRegionSequence" not in copy
    assert SECRET.encode() not in as_bytes(copy)


def test_a_dx_image_gets_what_its_class_asks_for() -> None:
    copy = copied(header(SOPClassUID=UID(DX), BitsStored=12))
    assert copy.AnatomicRegionSequence[0].CodeValue == "421060004"
    assert copy.ViewCodeSequence[0].CodeValue == "399067008"
    assert len(copy.AcquisitionContextSequence) == 0
    assert (copy.ImageLaterality, float(copy.RescaleSlope), copy["DetectorType"].is_empty) == ("U", 1, True)
    assert (float(copy.WindowCenter), float(copy.WindowWidth)) == (2048, 4096)
    assert list(copy.ImageType) == ["DERIVED", "PRIMARY", ""]


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("PatientSex", "KOWALSKI"),
        ("ViewPosition", "KOWALSKI"),
        ("BodyPartExamined", "KOWALSKI"),
        ("ProtocolName", "LVA Kowalski"),
        ("ImageType", ["ORIGINAL", "KOWALSKI"]),
        ("Manufacturer", "Kowalski Clinic"),
        ("KVP", "19480101"),
        ("PixelSpacing", ["48151623", "0.1"]),
        ("PatientOrientation", ["JAN", "F"]),
        ("WindowCenter", ["1"] * 9),
        ("StudyDate", "48151623"),
        ("StudyTime", "481516"),
        ("RescaleType", "KOWALSKI"),
    ],
)
def test_a_value_that_its_attribute_does_not_have_stays_behind(keyword: str, value: Any) -> None:
    source = header()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom's, of values that do not fit
        setattr(source, keyword, value)
    assert not copied(source).get(keyword)


def test_maker_and_model_are_kept_in_known_words_unless_they_name_someone() -> None:
    kept = copied(header(Manufacturer="GE MEDICAL SYSTEMS, Room 7", ManufacturerModelName="Lunar iDXA"))
    assert (kept.Manufacturer, kept.ManufacturerModelName) == ("GE", "Lunar iDXA")
    named = copied(header(Manufacturer="GE MEDICAL SYSTEMS", ManufacturerModelName="iDXA Dr Kowalski"))
    assert "ManufacturerModelName" not in named
    unknown = copied(header(Manufacturer="Acme", ManufacturerModelName="Raymaker 2"))
    assert unknown["Manufacturer"].is_empty
    assert "ManufacturerModelName" not in unknown


def test_the_identity_is_the_pseudonym_and_the_copy_says_so() -> None:
    copy = copied(header())
    assert (copy.PatientID, str(copy.PatientName)) == (SUBJECT, SUBJECT)
    assert copy["PatientBirthDate"].is_empty
    assert (copy.PatientIdentityRemoved, copy.PatientAge, copy.PatientSex) == ("YES", "071Y", "M")
    assert copy.SOPInstanceUID == copy.file_meta.MediaStorageSOPInstanceUID == IDENTITY.instance_uid


@pytest.mark.parametrize(
    ("options", "protocol", "codes"),
    [
        ({"dates": "shift"}, "", ["113100", "113107", "113108"]),
        ({"dates": "keep"}, "", ["113100", "113106", "113108"]),
        ({"blanked": True, "burned_in": "NO"}, "", ["113100", "113101", "113107", "113108"]),
        ({}, "LVA", ["113100", "113105", "113107", "113108"]),
    ],
)
def test_the_options_that_were_applied_are_declared_and_no_others(
    options: dict[str, Any], protocol: str, codes: list[str]
) -> None:
    copy = copied(header(ProtocolName=protocol), **options)
    assert [item.CodeValue for item in copy.DeidentificationMethodCodeSequence] == codes
    modified = "UNMODIFIED" if options.get("dates") == "keep" else "MODIFIED"
    assert copy.LongitudinalTemporalInformationModified == modified
    assert copy.get("BurnedInAnnotation") == options.get("burned_in")


def test_a_class_that_is_no_standard_storage_is_refused() -> None:
    with pytest.raises(CopyRefusedError) as refused:
        copied(header(SOPClassUID=UID("1.2.3.48151623")))
    assert refused.value.reason == "sop_class"


def test_a_copy_of_an_unknown_view_says_what_the_rules_knew() -> None:
    radiograph, vfa = (copied(header(ViewPosition="", BodyPartExamined="")) for _ in range(2))
    restate_view(radiograph, "radiograph")
    restate_view(vfa, "vfa")
    assert (radiograph.ViewPosition, radiograph.BodyPartExamined) == ("LATERAL", "SPINE")
    assert vfa.ProtocolName == "VFA lateral"
    assert vfa.DeidentificationMethodCodeSequence[-1].CodeValue == "113105"


@given(st.floats(0, 130))
def test_ages_are_completed_years_and_one_class_from_90(age_years: float) -> None:
    assert age_string(age_years) == f"{min(int(age_years), 90):03d}Y"


@pytest.mark.parametrize("age_years", [None, -0.5, float("nan"), float("inf")])
def test_no_age_is_written_where_there_is_none(age_years: float | None) -> None:
    assert age_string(age_years) is None


DAYS = st.dates(date(1950, 1, 1), date(2030, 12, 31))
SUBJECTS = st.from_regex(r"[0-9a-f]{32}", fullmatch=True)


@given(SUBJECTS, DAYS, DAYS)
def test_shifting_keeps_order_and_intervals_of_a_subject(subject: str, first: date, second: date) -> None:
    shifted = [REPLACEMENTS.shift_date(day, subject) for day in (first, second)]
    assert None not in shifted
    assert shifted[1] - shifted[0] == second - first  # type: ignore[operator]
    assert timedelta(1) <= first - shifted[0] <= timedelta(3650)  # type: ignore[operator]


def test_subjects_are_shifted_by_different_days_and_a_date_too_early_is_dropped() -> None:
    assert len({REPLACEMENTS.days_back(f"{n:032x}") for n in range(400)}) > 350
    assert REPLACEMENTS.shift_date(date(1, 1, 1), SUBJECT) is None


@given(SUBJECTS, st.integers(0, 86_399), st.integers(0, 86_399))
def test_times_of_day_change_but_not_their_order(subject: str, first: int, second: int) -> None:
    early, late = sorted((first, second))
    warped = [REPLACEMENTS.warp_time(seconds * 1_000_000, subject) for seconds in (early, late)]
    assert 0 <= warped[0] <= warped[1] < 86_400_000_000
    assert (warped[0] < warped[1]) == (early < late)
    assert read_time(write_time(warped[1])) == warped[1]


@given(st.text(max_size=70), st.text(max_size=70))
def test_uids_are_valid_repeatable_and_bound_to_the_key(one: str, other: str) -> None:
    uid = REPLACEMENTS.uid(one)
    assert UID(uid).is_valid
    assert len(uid) <= 64
    assert Replacements(KEY).uid(one) == uid
    assert (REPLACEMENTS.uid(other) == uid) == (one == other)
    assert Replacements(bytes(32)).uid(one) != uid


def test_no_replacement_is_another_use_of_the_key() -> None:
    import hashlib
    import hmac

    plain = int.from_bytes(hmac.new(KEY, b"1.2.3", hashlib.sha256).digest()[:16], "big")
    assert REPLACEMENTS.uid("1.2.3") != f"2.25.{plain}"
    assert REPLACEMENTS.mark("1.2.3")[:16] != f"{plain:032x}"[:16]


def pixel_format(
    photometric: str, *, stored: int = 12, high_bit: int | None = None, signed: bool = False
) -> PixelFormat:
    return PixelFormat(80, 100, 16, stored, stored - 1 if high_bit is None else high_bit, signed, photometric)


@pytest.mark.parametrize(
    ("photometric", "signed", "black"),
    [
        ("MONOCHROME1", False, 4095),
        ("MONOCHROME2", False, 0),
        ("MONOCHROME1", True, 2047),
        ("MONOCHROME2", True, -2048),
    ],
)
def test_regions_become_black_and_everything_else_stays(photometric: str, signed: bool, black: int) -> None:
    stored = np.random.default_rng(1).integers(1, 2000, (80, 100)).astype(np.int16 if signed else np.uint16)
    regions = (
        Region(0.1, 0.5, 0.2, 0.25, "share"),
        Region(90, 70, 500, 500, "pixels"),
        Region(-5, -5, 8, 7, "pixels"),
    )
    blanked = blank_regions(stored, regions, pixel_format(photometric, signed=signed))
    inside = np.zeros(stored.shape, bool)
    inside[40:60, 10:30] = inside[70:, 90:] = inside[:2, :3] = True
    assert (blanked[inside] == black).all()
    assert np.array_equal(blanked[~inside], stored[~inside])


def test_bits_outside_the_stored_ones_are_clean_if_zero_or_a_sign() -> None:
    cells = np.array([[0x0FFF, 0x0001]], np.uint16)
    unsigned, signed = pixel_format("MONOCHROME2"), pixel_format("MONOCHROME2", signed=True)
    assert unused_bits_are_clean(cells, unsigned, 16)
    assert not unused_bits_are_clean(cells | np.uint16(0x1000), unsigned, 16)
    assert unused_bits_are_clean(np.array([[0xFFFF, 0x0001]], np.uint16), signed, 16)
    assert not unused_bits_are_clean(np.array([[0xFFFF, 0xF001]], np.uint16), signed, 16)
    high = pixel_format("MONOCHROME2", high_bit=15)
    assert unused_bits_are_clean(np.array([[0xFFF0]], np.uint16), high, 16)
    assert not unused_bits_are_clean(np.array([[0xFFF1]], np.uint16), high, 16)


def segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def test_texts_in_a_jpeg_are_blanked_and_its_coded_data_is_not() -> None:
    scan = segment(0xDA, b"\x01\x01\0\0\x3f\0") + b"ab\xff\0cd\xff\xd0ef"
    jfif = segment(0xE0, b"JFIF\0\1\1\0\0\1\0\1\0\0")
    frame = jfif.join([b"\xff\xd8", segment(0xE1, b"Exif" + SECRET.encode())])
    frame += segment(0xFE, SECRET.encode()) + scan + segment(0xFE, SECRET.encode()) + scan
    frame += b"\xff\xd9" + SECRET.encode()
    blanked = blank_texts(frame, n_pixels=1)
    assert len(blanked) == len(frame)
    assert SECRET.encode() not in blanked
    assert b"Exif" not in blanked
    assert jfif in blanked
    assert blanked.count(scan) == 2


def test_texts_in_a_jpeg_2000_are_blanked_its_maker_is_not_and_boxes_are_left_out() -> None:
    maker, secret = b"\0\1Created by OpenJPEG version 2.5.0", b"\0\1" + SECRET.encode()
    packets = b"\xff\x7fcoded"
    part_header = segment(0x64, secret) + b"\xff\x93"
    part = struct.pack(">BBHHIBB", 0xFF, 0x90, 10, 0, 12 + len(part_header) + len(packets), 0, 1)
    stream = b"\xff\x4f" + segment(0x51, bytes(38)) + segment(0x64, maker) + segment(0x64, secret)
    stream += segment(0x7E, SECRET.encode()) + part + part_header + packets + b"\xff\xd9"
    boxes = b"\0\0\0\x0cjP  \r\n\x87\n" + struct.pack(">I", 8 + len(SECRET)) + b"xml " + SECRET.encode()
    bare = blank_texts(stream + SECRET.encode(), n_pixels=1)
    assert len(bare) == len(stream) + len(SECRET)
    assert blank_texts(boxes + stream, n_pixels=1) == bare[: len(stream)]
    assert SECRET.encode() not in bare
    assert maker in bare
    assert packets in bare


def test_what_lies_between_and_behind_rle_segments_is_blanked() -> None:
    first, second = b"\x02abc\xfdz", b"\xf9y"  # 3 literal and 4 repeated bytes; 8 repeated
    starts = 64 + 11, 64 + 11 + len(first) + 11
    frame = struct.pack("<3I", 2, *starts) + SECRET.encode().ljust(52, b"s") + SECRET.encode()
    frame += first + SECRET.encode() + second + SECRET.encode()
    blanked = blank_texts(frame, n_pixels=7)
    assert len(blanked) == len(frame)
    assert SECRET.encode() not in blanked
    assert b"s" not in blanked
    assert blanked[starts[0] : starts[0] + len(first)] == first
    assert blanked[starts[1] : starts[1] + len(second)] == second


def test_an_implicit_file_gives_its_values_no_say_about_their_kind() -> None:
    source = header()
    source.add_new("KVP", "LO", SECRET)
    source.add_new("Exposure", "UT", "12")
    source.add_new("ViewCodeSequence", "LO", SECRET)
    copy = pydicom.dcmread(io.BytesIO(as_bytes(copied(source))))
    assert "KVP" not in copy
    assert "ViewCodeSequence" not in copy
    assert (copy["Exposure"].VR, copy.Exposure) == ("IS", 12)

"""A copy carries nothing that identifies and the pixels that were meant, or there is none."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.datadict import DicomDictionary
from pydicom.dataset import Dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from spinescore.errors import CopyRefusedError, DecodingError
from spinescore.shell.copies.deidentified_copies import (
    attribute_table,
)
from spinescore.shell.copies.deidentified_files import build_copy, make_copy
from spinescore.shell.pixels.decoding import decode
from tests.unit.shell.deidentified_cases import (
    how,
    item,
    rules_with,
    write_phantom,
)
from tests.unit.shell.encoded_files import (
    LOSSLESS,
    LOSSY,
    frame_of,
    needs_encoders,
    smooth_pixels,
    write_frame,
    write_native,
)

SECRET = "Zq7Kowalski"


PLANTED = {
    **dict.fromkeys(("LO", "SH", "ST", "LT", "UT", "UC", "PN", "UR"), SECRET),
    **dict.fromkeys(("CS", "AE"), SECRET.upper()),
    "AS": "048Y",
    "DA": "19480121",
    "DT": "19480121113355",
    "TM": "113355.481516",
    "DS": "48151623.5",
    "IS": "48151623",
    "UI": "1.2.48151623",
    "UL": 0x5A715A72,
    "SL": 0x5A715A72,
    "US": 0x7A73,
    "SS": 0x7A73,
    "UV": 0x5A715A725A715A72,
    "SV": 0x5A715A725A715A72,
    "FL": 48151.623,
    "FD": 48151.623,
    "AT": 0x7A737A73,
    **dict.fromkeys(("OB", "UN"), SECRET.encode() + b"\0"),
    **dict.fromkeys(("OW", "OL", "OF", "OD", "OV"), SECRET.encode().ljust(16, b"\0")),
}
SECRETS = (
    SECRET.lower().encode(),
    b"19480121",
    b"113355",
    b"48151623",
    struct.pack("<I", 0x5A715A72).lower(),
    struct.pack("<H", 0x7A73) * 2,
    struct.pack("<d", 48151.623).lower(),
    struct.pack("<f", 48151.623).lower(),
)
NEEDED = (
    "SOPClassUID",
    "Modality",
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "NumberOfFrames",
    "PixelData",
    "BurnedInAnnotation",
    "ModalityLUTSequence",
    "RescaleSlope",
    "RescaleIntercept",
    "SpecificCharacterSet",
    "RecognizableVisualFeatures",
    "FloatPixelData",
    "DoubleFloatPixelData",
    "ExtendedOffsetTable",
    "ExtendedOffsetTableLengths",
    "PixelPaddingValue",
    "PixelPaddingRangeLimit",
)


def plant(target: Dataset) -> None:
    """Put a secret into every attribute of the dictionary that the pixels do not need."""
    for tag, (vr, _, _, _, keyword) in DicomDictionary.items():
        vr = "US" if vr == "US or SS" else "OB" if vr.startswith("OB or") else vr
        if tag >> 16 > 2 and tag >> 16 not in (0xFFFE, 0x7FE0) and keyword not in NEEDED and vr in PLANTED:
            target.add_new(tag, vr, PLANTED[vr])


@pytest.mark.parametrize(
    "syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian]
)
def test_no_planted_secret_is_anywhere_in_the_copys_bytes(tmp_path: Path, syntax: str) -> None:
    image = pydicom.dcmread(write_native(tmp_path / "native.dcm", smooth_pixels(12, (97, 71)), 12))
    image.BurnedInAnnotation, image.Modality = "NO", "OT"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # values that do not fit, by intent
        plant(image)
        inner, innermost = Dataset(), Dataset()
        plant(inner)
        plant(innermost)
        inner.OriginalAttributesSequence = [innermost]
        for keyword in (
            "RequestAttributesSequence",
            "AnatomicRegionSequence",
            "VOILUTSequence",
            "ViewCodeSequence",
        ):
            setattr(image, keyword, [inner])
        for group in (0x6000, 0x601E, 0x5000):
            image.add_new(group << 16 | 0x22, "LO", SECRET)
            image.add_new(group << 16 | 0x3000, "OW", SECRET.encode() + b"\0")
        image.add_new(0x00090010, "LO", SECRET)
        image.add_new(0x00091001, "UN", SECRET.encode() + b"\0")
        image.add_new(0x00093002, "SQ", [inner])
        image.add_new(0x00220FFE, "LO", SECRET)  # an even tag the standard does not have
        image.add_new(0xFFFCFFFC, "OB", SECRET.encode() + b"\0")
        image.PixelData = image.PixelData + SECRET.encode() + b"\0"
        image.file_meta.TransferSyntaxUID = syntax
        image.file_meta.SourceApplicationEntityTitle = SECRET
        image.file_meta.ImplementationVersionName = SECRET
        image.file_meta.PrivateInformationCreatorUID = "1.2.48151623"
        image.file_meta.PrivateInformation = SECRET.encode() + b"\0"
        image.preamble = SECRET.encode().ljust(128, b"\0")
        image.save_as(tmp_path / "planted.dcm", enforce_file_format=True)
    content, pixels, _ = build_copy(item(tmp_path / "planted.dcm"), how(tmp_path))
    assert pixels == "passed"
    (tmp_path / "copy.dcm").write_bytes(content)
    copy = pydicom.dcmread(tmp_path / "copy.dcm")
    bare = Dataset({element.tag: element for element in copy if element.keyword != "PixelData"})
    bare.file_meta = copy.file_meta
    bare.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    bare.save_as(tmp_path / "bare.dcm", enforce_file_format=True)
    everywhere = content.lower() + copy.PixelData.lower() + (tmp_path / "bare.dcm").read_bytes().lower()
    assert [secret for secret in SECRETS[:1] if secret in everywhere] == []
    assert [secret for secret in SECRETS if secret in (tmp_path / "bare.dcm").read_bytes().lower()] == []
    assert content[:128] == bytes(128)
    allowed = {attribute.tag for attribute in attribute_table().attributes}
    assert {int(element.tag) for element in copy} <= allowed
    assert np.array_equal(decode(tmp_path / "copy.dcm").stored, smooth_pixels(12, (97, 71)))


NATIVE = (ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian)


@pytest.mark.parametrize("bits", [8, 12, 16])
@pytest.mark.parametrize("syntax", NATIVE)
def test_uncompressed_pixels_pass_bit_for_bit(tmp_path: Path, syntax: str, bits: int) -> None:
    image = pydicom.dcmread(
        write_native(tmp_path / "native.dcm", smooth_pixels(bits), bits, BurnedInAnnotation="NO")
    )
    image.file_meta.TransferSyntaxUID = syntax
    if syntax == ExplicitVRBigEndian:
        image.PixelData = np.frombuffer(image.PixelData, "<u2").byteswap().tobytes()
    write_as(image, tmp_path / "a.dcm")
    original = pydicom.dcmread(tmp_path / "a.dcm")
    copy = copy_of(tmp_path / "a.dcm", tmp_path)
    assert copy.PixelData == original.PixelData
    assert copy.file_meta.TransferSyntaxUID == syntax
    assert copy["PixelData"].VR == original["PixelData"].VR
    assert decode(tmp_path / "copy.dcm").pixel_sha256 == decode(tmp_path / "a.dcm").pixel_sha256


@needs_encoders
@pytest.mark.parametrize("name", [*LOSSLESS, *LOSSY])
def test_pixels_of_every_transfer_syntax_pass_bit_for_bit(tmp_path: Path, name: str) -> None:
    encode = LOSSLESS[name] if name in LOSSLESS else LOSSY[name][0]
    encode(
        write_native(tmp_path / "native.dcm", smooth_pixels(12), 12, BurnedInAnnotation="NO"),
        tmp_path / "a.dcm",
    )
    original, copy = pydicom.dcmread(tmp_path / "a.dcm"), copy_of(tmp_path / "a.dcm", tmp_path)
    assert copy.file_meta.TransferSyntaxUID == original.file_meta.TransferSyntaxUID
    if "JP2" in name:
        assert frame_of(tmp_path / "copy.dcm").rstrip(b"\0") in frame_of(tmp_path / "a.dcm")
    else:
        assert copy.PixelData == original.PixelData
    assert decode(tmp_path / "copy.dcm").pixel_sha256 == decode(tmp_path / "a.dcm").pixel_sha256


def write_as(image: Dataset, path: Path) -> None:
    """Write a data set in the transfer syntax its meta information names, whatever it was read from."""
    fresh = Dataset()
    fresh.update({element.tag: element for element in image})
    fresh.file_meta = image.file_meta
    pydicom.dcmwrite(path, fresh, enforce_file_format=True)


def copy_of(path: Path, tmp_path: Path, **changes: Any) -> Any:
    content, _, _ = build_copy(item(path), how(tmp_path, **changes))
    (tmp_path / "copy.dcm").write_bytes(content)
    return pydicom.dcmread(tmp_path / "copy.dcm")


@needs_encoders
@pytest.mark.parametrize(
    "name", ["RLE, dcmtk", "JPEG lossless SV1, dcmtk", "JPEG-LS, dcmtk", "JPEG 2000, openjpeg"]
)
def test_a_text_within_compressed_pixels_does_not_pass(tmp_path: Path, name: str) -> None:
    LOSSLESS[name](write_native(tmp_path / "native.dcm", smooth_pixels(12), 12), tmp_path / "a.dcm")
    frame, like = frame_of(tmp_path / "a.dcm"), pydicom.dcmread(tmp_path / "a.dcm")
    text, behind = SECRET.encode() + b".", b""
    if name.startswith("RLE"):  # behind the first segment, where no decoder looks
        (second,) = struct.unpack("<I", frame[8:12])
        frame = frame[:8] + struct.pack("<I", second + len(text)) + frame[12:second] + text + frame[second:]
    else:
        jpeg_2000 = name.startswith("JPEG 2")
        start = 4 + int.from_bytes(frame[4:6], "big") if jpeg_2000 else 2
        comment = struct.pack(">HH", 0xFF64 if jpeg_2000 else 0xFFFE, 4 + len(text)) + b"\0\1" + text
        frame, behind = frame[:start] + comment + frame[start:], text
    cut = len(frame) // 4 * 2
    rest = frame[cut:] + b"\0" * (len(frame) % 2) + behind
    syntax = like.file_meta.TransferSyntaxUID
    write_frame(tmp_path / "b.dcm", like, syntax, frame[:cut], rest, BurnedInAnnotation="NO")
    assert SECRET.encode() in (tmp_path / "b.dcm").read_bytes()
    copy = copy_of(tmp_path / "b.dcm", tmp_path)
    assert SECRET.encode() not in (tmp_path / "copy.dcm").read_bytes()
    assert len(copy.PixelData) == len(pydicom.dcmread(tmp_path / "b.dcm").PixelData)
    assert np.array_equal(decode(tmp_path / "copy.dcm").stored, smooth_pixels(12))


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ExplicitVRBigEndian])
def test_an_overlay_in_the_unused_bits_does_not_pass(tmp_path: Path, syntax: str) -> None:
    pixels = smooth_pixels(12)
    overlaid = pixels | np.where(pixels > 2000, 0x8000, 0).astype(np.uint16)
    write_native(tmp_path / "a.dcm", overlaid, 12, BurnedInAnnotation="NO")
    if syntax == ExplicitVRBigEndian:
        image = pydicom.dcmread(tmp_path / "a.dcm")
        image.file_meta.TransferSyntaxUID = syntax
        image.PixelData = overlaid.astype(">u2").tobytes()
        write_as(image, tmp_path / "a.dcm")
    copy = copy_of(tmp_path / "a.dcm", tmp_path)
    assert np.array_equal(np.frombuffer(copy.PixelData, "<u2").reshape(pixels.shape), pixels)
    assert copy.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian


# --- burned-in text


def refusal(path: Path, tmp_path: Path, **changes: Any) -> str | None:
    try:
        build_copy(item(path), how(tmp_path, **changes))
    except (CopyRefusedError, DecodingError) as refused:
        return refused.reason
    return None


CR, SC = "1.2.840.10008.5.1.4.1.1.1", "1.2.840.10008.5.1.4.1.1.7"
KNOWN_CLEAN = "[[blank]]\nname = 'clean'\nwhen = { manufacturer = '^acme' }\nregions = []\n"
KNOWN_TEXT = "[[blank]]\nname = 'text'\nwhen = { manufacturer = '^acme' }\nunit = 'pixels'\nregions = [[0, 0, 20, 10]]\n"


@pytest.mark.parametrize(
    ("sop_class", "stated", "visible", "rules", "refused", "blanked"),
    [
        (CR, "NO", "", "", False, False),
        (CR, "", "", "", False, False),
        (CR, "YES", "", "", True, True),
        (CR, "PERHAPS", "", "", True, True),
        (CR, "NO", "YES", "", True, True),
        (SC, "NO", "", "", False, False),
        (SC, "", "", "", True, True),
        (SC, "", "", KNOWN_CLEAN, False, False),
        (SC, "", "", KNOWN_TEXT, True, False),
        (CR, "", "", KNOWN_TEXT, True, False),
        (CR, "NO", "", KNOWN_TEXT, True, False),
        (CR, "YES", "", KNOWN_TEXT, True, False),
        (CR, "YES", "", KNOWN_CLEAN, True, False),
        (CR, "NO", "YES", KNOWN_TEXT, True, False),
    ],
)
def test_who_is_refused_for_burned_in_text(
    tmp_path: Path, sop_class: str, stated: str, visible: str, rules: str, refused: bool, blanked: bool
) -> None:
    """By what the header says, the rules know, and the export is told to do."""
    path = write_native(
        tmp_path / "a.dcm",
        smooth_pixels(12),
        12,
        SOPClassUID=sop_class,
        BurnedInAnnotation=stated,
        RecognizableVisualFeatures=visible,
        Manufacturer="ACME",
    )
    known = rules_with(tmp_path, rules)
    assert (refusal(path, tmp_path, rules=known) == "burned_in") == refused
    assert (refusal(path, tmp_path, rules=known, burned_in="blank") == "burned_in") == blanked


def test_only_what_is_known_is_said_of_burned_in_text(tmp_path: Path) -> None:
    native = write_native(tmp_path / "a.dcm", smooth_pixels(12), 12, SOPClassUID=CR)
    assert "BurnedInAnnotation" not in copy_of(native, tmp_path)
    stated = write_native(tmp_path / "b.dcm", smooth_pixels(12), 12, SOPClassUID=CR, BurnedInAnnotation="NO")
    assert copy_of(stated, tmp_path).BurnedInAnnotation == "NO"


@needs_encoders
@pytest.mark.parametrize("name", ["native", "JPEG-LS, dcmtk", "RLE, dcmtk", "JPEG 2000, openjpeg lossy"])
@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_a_blanked_region_is_black_and_the_rest_is_as_it_was(
    tmp_path: Path, photometric: str, name: str
) -> None:
    pixels = np.clip(smooth_pixels(12), 1, 4094)
    path = write_native(
        tmp_path / "a.dcm",
        pixels,
        12,
        SOPClassUID=CR,
        BurnedInAnnotation="YES",
        Manufacturer="ACME",
        PhotometricInterpretation=photometric,
    )
    if name != "native":
        encode = LOSSY["JPEG 2000, openjpeg"][0] if name.endswith("lossy") else LOSSLESS[name]
        encode(path, tmp_path / "coded.dcm")
        path = tmp_path / "coded.dcm"
    before = decode(path).stored
    copy = copy_of(path, tmp_path, rules=rules_with(tmp_path, KNOWN_TEXT), burned_in="blank")
    after = decode(tmp_path / "copy.dcm")
    assert (after.stored[:10, :20] == (4095 if photometric == "MONOCHROME1" else 0)).all()
    outside = np.ones(before.shape, bool)
    outside[:10, :20] = False
    assert np.array_equal(after.stored[outside], before[outside])
    assert after.photometric == photometric
    assert (copy.BurnedInAnnotation, copy.file_meta.TransferSyntaxUID) == ("NO", ExplicitVRLittleEndian)
    assert "113101" in [code.CodeValue for code in copy.DeidentificationMethodCodeSequence]
    assert (copy.get("LossyImageCompression") == "01") == name.endswith("lossy")


# --- what else is refused


def modality_table() -> Dataset:
    table = Dataset()
    table.add_new("LUTDescriptor", "US", [4096, 0, 16])
    table.ModalityLUTType = "US"
    table.add_new("LUTData", "OW", np.arange(4096, dtype="<u2").tobytes())
    return table


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"SOPClassUID": "1.2.3"}, "sop_class"),
        ({"ModalityLUTSequence": [modality_table()]}, "modality_lut"),
        ({"PixelData": b"\0" * 40}, "pixel_length"),
        ({"PixelData": b"\0" * 2 * 96 * 80}, "constant_image"),
        ({"BitsAllocated": 32}, "bit_depth"),
    ],
)
def test_what_cannot_be_copied_has_its_reason(tmp_path: Path, changes: dict[str, Any], reason: str) -> None:
    path = write_native(tmp_path / "a.dcm", smooth_pixels(12), 12, BurnedInAnnotation="NO", **changes)
    outcome = make_copy(item(path), settings=how(tmp_path / "out"))
    assert (outcome.state, outcome.reason) == ("refused", reason)
    assert not (tmp_path / "out").exists()


def test_a_file_that_is_no_dicom_any_more_is_malformed(tmp_path: Path) -> None:
    path = tmp_path / "a.dcm"
    path.write_bytes(b"\0" * 128 + b"DICM" + os.urandom(400))
    assert make_copy(item(path), settings=how(tmp_path / "out")).state == "refused"


def test_the_view_that_only_a_description_told_is_said_in_standard_words(tmp_path: Path) -> None:
    path = write_phantom(
        tmp_path / "a.dcm",
        0,
        ViewPosition="",
        BodyPartExamined="",
        SeriesDescription="Kowalski LWS seitlich",
        StudyDescription="LWS",
    )
    content, _, kind = build_copy(item(path), how(tmp_path))
    assert kind == "radiograph"
    assert b"Kowalski" not in content


def test_a_rescale_that_cannot_be_kept_is_refused(tmp_path: Path) -> None:
    """Without it the stored values would be the same and their meaning another."""
    path = write_native(
        tmp_path / "a.dcm",
        smooth_pixels(12),
        12,
        BurnedInAnnotation="NO",
        RescaleSlope="1",
        RescaleIntercept="200000",
    )
    assert refusal(path, tmp_path) == "verification"


@needs_encoders
def test_an_overlay_in_the_unused_bits_of_a_compressed_frame_does_not_pass(tmp_path: Path) -> None:
    pixels = smooth_pixels(12)
    overlaid = pixels | np.where(pixels > 2000, 0x8000, 0).astype(np.uint16)
    LOSSLESS["RLE, dcmtk"](
        write_native(tmp_path / "a.dcm", overlaid, 12, BurnedInAnnotation="NO"), tmp_path / "b.dcm"
    )
    copy = copy_of(tmp_path / "b.dcm", tmp_path)
    assert copy.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert np.array_equal(np.frombuffer(copy.PixelData, "<u2").reshape(pixels.shape), pixels)


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dicom3tools is not installed")
def test_dciodvfy_finds_no_error_in_the_copy_of_a_bare_fluoroscopy_image(tmp_path: Path) -> None:
    """What the class asks for is there although the original lacks most of it."""
    path = write_native(
        tmp_path / "a.dcm",
        smooth_pixels(12),
        12,
        SOPClassUID="1.2.840.10008.5.1.4.1.1.12.2",
        Modality="RF",
        SeriesDescription="L spine lateral",
    )
    copy_of(path, tmp_path)
    done = subprocess.run(["dciodvfy", tmp_path / "copy.dcm"], capture_output=True, text=True, check=False)
    said = (done.stdout + done.stderr).splitlines()
    assert [line for line in said if "Error" in line] == []
    assert any("XRFImage" in line for line in said)

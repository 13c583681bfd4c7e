"""Two files of one SOP instance: what they differ in is told rightly, and without any header's value."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.uid import JPEG2000

from spinescore.shell.pixels.duplicates import compare_instances
from spinescore.shell.workers import map_supervised
from tests.unit.shell.encoded_files import (
    LOSSLESS,
    LOSSY,
    LOSSY_8_BIT,
    by,
    needs_encoders,
    smooth_pixels,
    write_native,
)

pytestmark = needs_encoders
PIXELS = smooth_pixels(12, (128, 112))


def pair(first: Path, second: Path) -> tuple[str, str]:
    """Compare both ways round; the reason must be the same."""
    reason, detail = compare_instances(os.fsencode(first), os.fsencode(second))
    assert compare_instances(os.fsencode(second), os.fsencode(first))[0] == reason
    return reason, detail


def compare_pair(locations: tuple[bytes, bytes]) -> tuple[str, str]:
    return compare_instances(*locations)


@pytest.fixture
def original(tmp_path: Path) -> Path:
    return write_native(tmp_path / "original.dcm", PIXELS, 12, PatientName="Doe^Jane")


def alter(original: Path, **changes: object) -> Path:
    d = pydicom.dcmread(original)
    for name, value in changes.items():
        setattr(d, name, value)
    path = original.with_name("altered.dcm")
    d.save_as(path)
    return path


def test_the_same_bytes_are_identical_even_from_an_archive(original: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.dcm"
    copy.write_bytes(original.read_bytes())
    assert pair(original, copy) == ("identical", "")
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(original, "image.dcm")
    member = os.fsencode(tmp_path / "a.zip") + b"\0image.dcm"
    assert compare_instances(os.fsencode(original), member) == ("identical", "")


def test_identical_files_need_not_be_dicom(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).write_bytes(b"no image")
    assert pair(tmp_path / "a", tmp_path / "b") == ("identical", "")


def test_attributes_that_differ_are_named_and_their_values_are_not(original: Path) -> None:
    reason, detail = pair(original, alter(original, PatientName="Roe^Richard", StudyDescription="X"))
    assert reason == "header_differs"
    assert detail == "StudyDescription, PatientName"


def test_more_than_a_few_attributes_are_counted(original: Path) -> None:
    changes = {"PatientID": "1", "StudyID": "1", "AccessionNumber": "1", "KVP": "1", "Modality": "CR"}
    reason, detail = pair(original, alter(original, PatientName="X^Y", InstitutionName="Z", **changes))
    assert reason == "header_differs"
    assert detail.endswith(" and 2 more")


def test_a_private_attribute_is_named_by_its_tag(original: Path) -> None:
    d = pydicom.dcmread(original)
    d.private_block(0x0019, "ACME", create=True).add_new(1, "LO", "secret")
    d.save_as(original.with_name("altered.dcm"))
    reason, detail = pair(original, original.with_name("altered.dcm"))
    assert (reason, "secret" in detail, "(0019,1001)" in detail) == ("header_differs", False, True)


@pytest.mark.parametrize("name", ["implicit, dcmtk", "big endian, dcmtk", "deflated, dcmtk"])
def test_another_way_of_writing_it_uncompressed_differs_in_the_header_at_most(
    original: Path, tmp_path: Path, name: str
) -> None:
    LOSSLESS[name](original, tmp_path / "rewritten.dcm")
    assert pair(original, tmp_path / "rewritten.dcm") == ("header_differs", "only in how the file is written")


@pytest.mark.parametrize("name", ["RLE, dcmtk", "JPEG-LS, gdcm", "JPEG 2000, openjpeg"])
def test_lossless_compression_is_recompressed(original: Path, tmp_path: Path, name: str) -> None:
    LOSSLESS[name](original, tmp_path / "coded.dcm")
    reason, detail = pair(original, tmp_path / "coded.dcm")
    assert reason == "recompressed"
    assert "same stored values" in detail


@pytest.mark.parametrize("name", [*LOSSY, *LOSSY_8_BIT])
def test_lossy_compression_is_recompressed_and_says_by_how_much(tmp_path: Path, name: str) -> None:
    bits = 8 if name in LOSSY_8_BIT else 12
    original = write_native(tmp_path / "original.dcm", smooth_pixels(bits, (128, 112)), bits)
    {**LOSSY, **LOSSY_8_BIT}[name][0](original, tmp_path / "coded.dcm")
    reason, detail = pair(original, tmp_path / "coded.dcm")
    assert reason == "recompressed"
    assert "lossy" in detail
    assert "largest difference" in detail


def test_lossy_compression_to_fewer_bits_is_recompressed(original: Path, tmp_path: Path) -> None:
    by("dcmcjpeg", "+eb")(original, tmp_path / "coded.dcm")
    reason, detail = pair(original, tmp_path / "coded.dcm")
    assert (reason, "values scaled" in detail) == ("recompressed", True)


def test_a_spot_that_one_lossy_file_has_alone_is_a_conflict(original: Path, tmp_path: Path) -> None:
    marked = PIXELS.copy()
    marked[20:52, 20:52] = 4095
    LOSSY["JPEG 2000, openjpeg"][0](write_native(tmp_path / "m.dcm", marked, 12), tmp_path / "coded.dcm")
    assert pydicom.dcmread(tmp_path / "coded.dcm").file_meta.TransferSyntaxUID == JPEG2000
    assert pair(original, tmp_path / "coded.dcm")[0] == "content_conflict"


def test_one_pixel_that_differs_without_loss_is_a_conflict(original: Path, tmp_path: Path) -> None:
    other = PIXELS.copy()
    other[5, 5] ^= 1
    reason, detail = pair(original, write_native(tmp_path / "other.dcm", other, 12))
    assert (reason, "of the pixels differ" in detail) == ("content_conflict", True)


def test_images_of_two_sizes_are_a_conflict(original: Path, tmp_path: Path) -> None:
    other = write_native(tmp_path / "other.dcm", smooth_pixels(12, (130, 112)), 12)
    assert pair(original, other)[0] == "content_conflict"


@pytest.mark.parametrize(
    "changes",
    [{"PhotometricInterpretation": "MONOCHROME1"}, {"RescaleSlope": "-1", "RescaleIntercept": "4095"}],
)
def test_the_same_values_shown_in_the_other_polarity_are_a_conflict(
    original: Path, changes: dict[str, str]
) -> None:
    reason, detail = pair(original, alter(original, **changes))
    assert (reason, "opposite polarity" in detail) == ("content_conflict", True)


def test_a_file_that_cannot_be_decoded_is_a_conflict_and_says_why(original: Path, tmp_path: Path) -> None:
    (tmp_path / "cut.dcm").write_bytes(original.read_bytes()[:-500])
    reason, detail = pair(original, tmp_path / "cut.dcm")
    assert (reason, detail) == ("content_conflict", "the second cannot be decoded: truncated")


def test_it_runs_in_a_supervised_worker_under_a_memory_limit(original: Path, tmp_path: Path) -> None:
    by("dcmcjpeg", "+e1")(original, tmp_path / "coded.dcm")
    places = os.fsencode(original), os.fsencode(tmp_path / "coded.dcm")
    answers = list(
        map_supervised(compare_pair, [places], workers=1, timeout_s=60, memory_limit_bytes=4 << 30)
    )
    assert [answer[0] for _, answer in answers] == ["recompressed"]


def test_noise_of_two_exposures_is_a_conflict(tmp_path: Path) -> None:
    """The same person again, not the same image: lossy coding does not excuse it."""
    first = write_native(tmp_path / "a.dcm", smooth_pixels(12, (128, 112)), 12)
    moved = np.roll(smooth_pixels(12, (128, 112), seed=1), 6, axis=0)
    LOSSY["JPEG 2000, openjpeg"][0](write_native(tmp_path / "b.dcm", moved, 12), tmp_path / "c.dcm")
    assert pair(first, tmp_path / "c.dcm")[0] == "content_conflict"

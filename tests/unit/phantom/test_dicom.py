"""Datasets: valid for dciodvfy, lossless, marked as synthetic, and identified without repetition."""

from __future__ import annotations

import io
import shutil
import subprocess

import numpy as np
import pydicom
import pytest

from spinescore.core.phantom.acquisition import RADIOGRAPH_DEVICES, VFA_DEVICES
from spinescore.core.phantom.dicom import dataset
from spinescore.core.phantom.person import draw_people
from spinescore.core.phantom.radiograph import render

HEIGHT = 300
# Debian's dicom3tools (2022) predates SyntheticData (0008,001C), which entered the standard in 2024
UNKNOWN_TO_VALIDATOR = "not a recognized standard attribute - (0x0008,0x001c)"


def collect(kind, cohort):
    """One image of every device and view."""
    seen = {}
    for person in draw_people(80, seed=31, cohort=cohort):
        rendered = render(person, kind=kind, seed=31, height=HEIGHT)
        key = (rendered.device, rendered.acquisition.view_position, rendered.acquisition.body_part)
        if key not in seen:
            seen[key] = (person, rendered, dataset(rendered, person, seed=31))
    return seen


@pytest.fixture(scope="module")
def images():
    found = {**collect("radiograph", "derivation"), **collect("vfa", "vfa")}
    assert {device for device, *_ in found} == {*RADIOGRAPH_DEVICES, *VFA_DEVICES}
    return list(found.values())


def save(image):
    buffer = io.BytesIO()
    image.save_as(buffer, enforce_file_format=True)
    buffer.seek(0)
    return buffer


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dicom3tools is not installed")
def test_dciodvfy_finds_no_error(images, tmp_path):
    for person, rendered, image in images:
        path = tmp_path / f"{person.subject_id}.dcm"
        path.write_bytes(save(image).getvalue())
        done = subprocess.run(["dciodvfy", path], capture_output=True, text=True, check=False)
        said = (done.stdout + done.stderr).splitlines()
        errors = [line for line in said if "Error" in line and UNKNOWN_TO_VALIDATOR not in line]
        assert errors == [], rendered.device.model
        assert any(name in line for line in said for name in ("CRImage", "DXImage", "SCImage"))


def test_the_file_gives_back_the_pixels_exactly(images):
    syntaxes = set()
    for _, rendered, image in images:
        read = pydicom.dcmread(save(image))
        syntaxes.add(read.file_meta.TransferSyntaxUID.name)
        assert np.array_equal(read.pixel_array, rendered.pixels)
        assert read.BitsStored == rendered.bits_stored
        assert read.PhotometricInterpretation == rendered.photometric
    assert len(syntaxes) == 5


def test_the_header_says_who_and_that_it_is_a_phantom(images):
    for person, rendered, image in images:
        read = pydicom.dcmread(save(image))
        assert (read.SyntheticData, list(read.ImageType[:2])) == ("YES", ["ORIGINAL", "PRIMARY"])
        assert read.PatientID == person.subject_id
        assert str(read.PatientName).startswith("PHANTOM^")
        assert read.PatientAge == f"{int(person.age_years):03d}Y"
        assert read.PatientSex == person.sex
        assert read.StudyDate == person.study_date.strftime("%Y%m%d")
        assert read.PatientBirthDate == person.birth_date.strftime("%Y%m%d")
        assert read.Manufacturer == rendered.device.manufacturer


def test_the_densitometer_names_the_view_in_the_protocol_only(images):
    lva = [image for _, _, image in images if image.get("ProtocolName") == "LVA"]
    assert lva
    for image in lva:
        assert (image.Modality, image.ViewPosition, image.BodyPartExamined) == ("CR", "", "")
        assert (image.StudyDescription, image.SeriesDescription) == ("DXA Exam", "DXA Images")


def test_identifiers_are_valid_unique_and_reproducible(images):
    keywords = ("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID")
    uids = [image[k].value for _, _, image in images for k in keywords]
    assert len(set(uids)) == len(uids)
    assert all(uid.is_valid and uid.startswith("2.25.") for uid in uids)
    person, rendered, image = images[0]
    assert save(dataset(rendered, person, seed=31)).getvalue() == save(image).getvalue()
    assert dataset(rendered, person, seed=32).SOPInstanceUID != image.SOPInstanceUID

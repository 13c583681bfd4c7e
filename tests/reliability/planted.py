"""Phantoms whose headers, and a follow-up table whose columns, hold identifiers that stand nowhere else."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pydicom
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items

from spinescore.core.phantom.followup import draw_follow_up
from spinescore.core.phantom.person import draw_people
from spinescore.shell.phantom_files import PhantomImage, write_phantom
from tests.reliability.conftest import Offline

SEED, HEIGHT = 20_261_129, 200

BIRTH_DAY = "19310229"  # no such day, and in no other form: whoever repeats it has copied it
MARK = (
    "QZX"  # begins everything planted; three letters that no text of ours, and hardly base64, holds in a row
)


def mark(what: str, number: int) -> str:
    """Return an identifier that is found wherever it stands."""
    return f"{MARK}{what}{number:04d}"


def plant(source: Path, target: Path, number: int) -> None:
    """Write a phantom's file with identifiers wherever DICOM has a place for one."""
    image = pydicom.dcmread(source)
    image.PatientID, image.IssuerOfPatientID = mark("PID", number), ""
    image.PatientName = f"{mark('SURNAME', number)}^{mark('GIVEN', number)}"
    image.OtherPatientNames = mark("OTHERNAME", number)
    image.PatientMotherBirthName = mark("MOTHER", number)
    image.AccessionNumber, image.StudyID = f"{MARK}A{number:04d}", f"{MARK}S{number:04d}"
    image.PatientAddress, image.PatientTelephoneNumbers = mark("STREET", number), mark("PHONE", number)
    image.PatientComments, image.ImageComments = mark("COMMENT", number), mark("IMAGECOMMENT", number)
    image.ReferringPhysicianName, image.OperatorsName = mark("REFERRER", number), mark("OPERATOR", number)
    image.InstitutionName, image.StationName = mark("HOSPITAL", number), f"{MARK}ST{number:04d}"
    image.DeviceSerialNumber = mark("SERIAL", number)
    other = Dataset()
    other.PatientID = mark("OTHERPID", number)
    image.OtherPatientIDsSequence = Items([other])
    request = Dataset()
    request.RequestedProcedureID, request.ScheduledProcedureStepDescription = (
        f"{MARK}R{number:04d}",
        mark("STEP", number),
    )
    image.RequestAttributesSequence = Items([request])
    block = image.private_block(0x0011, f"{MARK} CREATOR", create=True)
    block.add_new(0x01, "LO", mark("PRIVATE", number))
    image.file_meta.SourceApplicationEntityTitle = f"{MARK}AET{number:04d}"
    image.file_meta.PrivateInformationCreatorUID = "1.2.3"
    image.file_meta.PrivateInformation = mark("METAPRIVATE", number).encode() + b"\0"
    image.preamble = mark("PREAMBLE", number).encode().ljust(128, b"\0")
    image.save_as(target, enforce_file_format=True)


def plant_damaged(source: Path, folder: Path) -> None:
    """Write files in which a name stands where a number, a date or a code belongs, or the file ends.

    Not what eligibility rules are asked about: that is kept as it is written (docs/ingest.md).
    """
    texts = {
        "RescaleSlope": "DS", "PixelSpacing": "DS", "PatientAge": "AS", "StudyDate": "DA", "PatientBirthDate": "DA", "PatientSex": "CS", "Rows": "US", "BitsAllocated": "US", "SpecificCharacterSet": "CS",
        "PhotometricInterpretation": "CS", "KVP": "DS", "PixelPaddingValue": "US",
    }  # fmt: skip
    for number, (keyword, vr) in enumerate(texts.items(), start=5000):
        image = pydicom.dcmread(source)
        image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = f"2.25.{number}"
        image.PatientID = mark("PID", number)
        value = f"{mark(keyword[:6].upper(), number)}"
        setattr(image, keyword, None)
        image[keyword].VR = "LO"
        image[keyword].value = value
        target = folder / f"{keyword}.dcm"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image.save_as(target, enforce_file_format=True)
        content = target.read_bytes().replace(
            b"LO" + bytes([len(value), 0]), vr.encode() + bytes([len(value), 0])
        )
        target.write_bytes(content)
    whole = (folder / "KVP.dcm").read_bytes()
    (folder / "cut.dcm").write_bytes(whole[: whole.index(MARK.encode()) + 5])


@dataclass(frozen=True)
class Planted:
    """A folder whose images and table hold what was planted, and what was said in reading them."""

    offline: Offline
    said: list[str]

    @property
    def folder(self) -> Path:
        return self.offline.folder


def plant_archive(folder: Path, n_subjects: int, study: str) -> None:
    """Write radiographs (some damaged), their follow-up table and a study file, all with what is planted."""
    (folder / "archive").mkdir()
    people = draw_people(n_subjects, seed=SEED, cohort="derivation")
    numbers = {person.subject_id: number for number, person in enumerate(people)}
    source = folder / "phantom.dcm"
    for person in people:
        number = numbers[person.subject_id]
        write_phantom(PhantomImage(person, "radiograph", HEIGHT, source), seed=SEED)
        plant(source, folder / "archive" / f"{number:04d}.dcm", number)
    plant_damaged(source, folder / "archive")
    source.unlink()
    plant_table(draw_follow_up(people, seed=SEED), folder / "follow-up.csv", numbers)
    (folder / "study.toml").write_text(study)


def plant_table(follow_up: pl.DataFrame, target: Path, numbers: Mapping[str, int]) -> None:
    """Write a follow-up table under planted ids, with columns nobody declared."""
    subjects = [numbers[subject_id] for subject_id in follow_up["subject_id"]]
    columns = {"name": "SURNAME", "address": "STREET", "insurance": "INSURANCE"}
    follow_up.with_columns(
        pl.Series("subject_id", [mark("PID", number) for number in subjects]),
        *(pl.Series(name, [mark(what, number) for number in subjects]) for name, what in columns.items()),
        pl.lit(BIRTH_DAY).alias("born"),
    ).write_csv(target)


def planted_in(texts: Sequence[str]) -> list[str]:
    """Return what was planted and stands in one of these texts, each with what is about it."""
    found = []
    for text in texts:
        for needle in (MARK, BIRTH_DAY, "1931-02-29"):
            at = text.casefold().find(needle.casefold())
            if at >= 0:
                found.append(text[max(0, at - 60) : at + 60])
    return found

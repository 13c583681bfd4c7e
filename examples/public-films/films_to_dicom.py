"""Write digitised films (raw, TIFF, JPEG, PNG) as DICOM files that `spinescore ingest` takes.

    python films_to_dicom.py FILMS OUT --collection NAME --names REGEX [--people CSV] [--raw ROWSxCOLUMNS]

REGEX is matched against each file's name and has the group `id`; with the groups `age` and `sex` too, no
table is needed. Files whose name does not match, or whose person is unknown, are listed and left out.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import re
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import UID, ComputedRadiographyImageStorage, ExplicitVRLittleEndian

SOME_LEFT_OUT = 3


@dataclass(frozen=True, slots=True)
class Subject:
    """Whose film it is: id as the collection has it, age in completed years, sex."""

    subject_id: str
    age_years: int
    sex: str


@dataclass(frozen=True, slots=True)
class Layout:
    """How a raw file is laid out: rows, columns and byte order of its 16-bit pixels."""

    rows: int
    columns: int
    byte_order: str

    @property
    def n_bytes(self) -> int:
        """Length of the pixels, bytes."""
        return self.rows * self.columns * 2


def read_people(path: Path, id_column: str, age_column: str, sex_column: str) -> dict[str, Subject]:
    """Return the people of a CSV table by id, leading zeros dropped; rows without an age are left out."""
    people = {}
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row[age_column].strip():
                sex = {"1": "M", "2": "F"}.get(row[sex_column].strip(), row[sex_column].strip().upper()[:1])
                key = _plain(row[id_column])
                people[key] = Subject(key, int(float(row[age_column])), sex)
    return people


def identify(name: str, names: re.Pattern[str], people: dict[str, Subject] | None) -> Subject | str:
    """Return whose film a file is, or why that is not known."""
    match = names.fullmatch(name)
    if match is None:
        return "name does not match"
    key = _plain(match["id"])
    if people is not None:
        return people.get(key, f"{key} is not in the table of people, or has no age there")
    return Subject(key, int(match["age"]), match["sex"].upper())


def read_film(path: Path, layout: Layout | None) -> NDArray[np.uint16] | NDArray[np.uint8]:
    """Return a film's pixels (rows, columns)."""
    if layout is not None:
        content = path.read_bytes()
        if len(content) < layout.n_bytes:
            raise ValueError(f"{len(content)} bytes, fewer than the {layout.n_bytes} of its layout")
        order = ">u2" if layout.byte_order == "big" else "<u2"
        # a header, where there is one, comes first
        pixels = np.frombuffer(content[-layout.n_bytes :], order).reshape(layout.rows, layout.columns)
        return pixels.astype(np.uint16)
    with Image.open(path) as image:
        if image.mode.startswith("I;16"):
            return np.asarray(image).astype(np.uint16)
        return np.asarray(image.convert("L"))


def write_film(
    pixels: NDArray[np.uint16] | NDArray[np.uint8], subject: Subject, path: Path, options: argparse.Namespace
) -> None:
    """Write one film as a Computed Radiography image (PS3.3 A.2)."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = ComputedRadiographyImageStorage
    meta.MediaStorageSOPInstanceUID = _uid(options.collection, path.stem)
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    image.SOPClassUID, image.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    image.StudyInstanceUID = _uid(options.collection, subject.subject_id, "study")
    image.SeriesInstanceUID = _uid(options.collection, path.stem, "series")
    image.PatientID, image.PatientName, image.PatientBirthDate = subject.subject_id, "", ""
    image.PatientSex, image.PatientAge = subject.sex, f"{subject.age_years:03d}Y"
    image.StudyDate, image.StudyTime, image.StudyID, image.AccessionNumber = options.study_date, "", "", ""
    image.SeriesNumber, image.InstanceNumber, image.ReferringPhysicianName = None, None, ""
    image.Modality, image.Manufacturer = "CR", options.collection
    image.BodyPartExamined, image.ViewPosition, image.PatientOrientation = options.body_part, "LL", ""
    image.ImageType = ["ORIGINAL", "PRIMARY"]
    image.SamplesPerPixel = 1
    image.PhotometricInterpretation = "MONOCHROME1" if options.bone_is_dark else "MONOCHROME2"
    image.Rows, image.Columns = pixels.shape
    image.BitsAllocated = 8 * pixels.itemsize
    image.BitsStored = options.bits if pixels.itemsize == 2 else 8
    image.HighBit, image.PixelRepresentation = image.BitsStored - 1, 0
    if options.spacing_mm:
        image.ImagerPixelSpacing = [options.spacing_mm, options.spacing_mm]
    content = pixels.tobytes()
    image.PixelData = content + b"\0" * (len(content) % 2)
    image.save_as(path, enforce_file_format=True)


def convert(options: argparse.Namespace) -> list[tuple[str, str]]:
    """Write every film of a folder; return the names and reasons of those left out."""
    names = re.compile(options.names)
    needed = {"id"} if options.people else {"id", "age", "sex"}
    if not needed <= set(names.groupindex):
        missing = ", ".join(sorted(needed - set(names.groupindex)))
        raise SystemExit(f"error: --names lacks {missing}; without --people it needs id, age and sex.")
    people = read_people(options.people, *options.people_columns) if options.people else None
    if options.out.exists() and any(options.out.iterdir()):
        raise SystemExit(f"error: {options.out} is not empty. Name a new folder.")
    options.out.mkdir(parents=True, exist_ok=True)
    left_out = []
    for path in sorted(p for p in options.films.rglob("*") if p.is_file()):
        subject = identify(path.name, names, people)
        if isinstance(subject, str):
            left_out.append((path.name, subject))
            continue
        try:
            pixels = read_film(path, options.raw)
        except (OSError, ValueError) as error:
            left_out.append((path.name, str(error)))
            continue
        write_film(pixels, subject, options.out / f"{path.stem}.dcm", options)
    return left_out


def parse_layout(text: str) -> Layout:
    """Return the layout that ``ROWSxCOLUMNS`` or ``ROWSxCOLUMNS:little`` means."""
    match = re.fullmatch(r"(\d+)x(\d+)(?::(big|little))?", text)
    if match is None:
        raise argparse.ArgumentTypeError("say ROWSxCOLUMNS, e.g. 2487x2048, or 2487x2048:little")
    return Layout(int(match[1]), int(match[2]), match[3] or "big")


def _plain(subject_id: str) -> str:
    return subject_id.strip().lstrip("0") or "0"


def _uid(*parts: str) -> UID:
    digest = hashlib.sha256("/".join(("public films", *parts)).encode()).digest()
    return UID(f"2.25.{int.from_bytes(digest[:16], 'big') | 1 << 120}")


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Return the options of a command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("films", type=Path, metavar="FILMS", help="folder of films; folders in it too")
    parser.add_argument("out", type=Path, metavar="OUT", help="folder for the DICOM files; new or empty")
    parser.add_argument("--collection", required=True, help="its name; stands as the manufacturer")
    parser.add_argument("--names", required=True, metavar="REGEX", help="what whole file names look like")
    parser.add_argument("--people", type=Path, metavar="CSV", help="table of ages and sexes by id")
    parser.add_argument(
        "--people-columns", nargs=3, metavar=("ID", "AGE", "SEX"), default=["id", "age", "sex"]
    )
    parser.add_argument("--raw", type=parse_layout, metavar="ROWSxCOLUMNS[:little]", help="16-bit raw pixels")
    parser.add_argument("--bits", type=int, default=12, help="bits stored of 16-bit pixels")
    parser.add_argument("--body-part", default="LSPINE")
    parser.add_argument("--bone-is-dark", action="store_true", help="films digitised as negatives")
    parser.add_argument("--spacing-mm", type=float)
    parser.add_argument("--study-date", default="", help="YYYYMMDD for all; none if left out")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Convert, say what was left out, and return the exit status."""
    options = parse(arguments)
    left_out = convert(options)
    for name, reason in left_out:
        print(f"left out: {name}: {reason}", file=sys.stderr)
    print(f"{len(list(options.out.iterdir()))} films in {options.out}, {len(left_out)} left out")
    return SOME_LEFT_OUT if left_out else 0


if __name__ == "__main__":
    sys.exit(main())

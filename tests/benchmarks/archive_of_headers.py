"""An archive such as a hospital's: mostly other modalities, a few per cent lateral spines; for the benchmarks.

Headers are real data sets written by pydicom; the pixels behind them are a hole in the file, so that a hundred
thousand files of half a megabyte take little disk.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    ComputedRadiographyImageStorage,
    CTImageStorage,
    ExplicitVRLittleEndian,
    MRImageStorage,
)

FILES_PER_FOLDER = 500
SHARE_OF_SPINES = 0.05


def _template(modality: str, rng: np.random.Generator) -> Dataset:
    """Return a header of some eighty elements, with a private block and a nested sequence."""
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 100"
    ds.ImageType = ["ORIGINAL", "PRIMARY"]
    ds.SOPClassUID = {"CT": CTImageStorage, "MR": MRImageStorage}.get(
        modality, ComputedRadiographyImageStorage
    )
    ds.SOPInstanceUID = "2.25." + "7" * 38
    ds.StudyDate, ds.SeriesDate, ds.AcquisitionDate, ds.ContentDate = ("20240131",) * 4
    ds.StudyTime = ds.SeriesTime = ds.AcquisitionTime = ds.ContentTime = "101112"
    ds.AccessionNumber, ds.Modality, ds.Manufacturer = "A0012345", modality, "SOME MAKER Healthcare"
    ds.InstitutionName, ds.InstitutionAddress = "SYNTHETIC HOSPITAL", "1 Made Up Road"
    ds.ReferringPhysicianName, ds.StationName = "SYNTHETIC^DOCTOR", "STATION1"
    ds.StudyDescription, ds.SeriesDescription = "SYNTHETIC STUDY", "SYNTHETIC SERIES"
    ds.PerformingPhysicianName, ds.OperatorsName, ds.ManufacturerModelName = "A^B", "C^D", "Model 5"
    reference = Dataset()
    reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = CTImageStorage, "2.25.123456789"
    ds.ReferencedStudySequence = Sequence([reference])
    ds["ReferencedStudySequence"].is_undefined_length = True
    ds.PatientName, ds.PatientID, ds.PatientBirthDate = "SYNTHETIC^PERSON", "0000000", "19500601"
    ds.PatientSex, ds.PatientAge, ds.PatientWeight, ds.PatientComments = "F", "073Y", "70", "synthetic"
    ds.BodyPartExamined, ds.KVP, ds.DeviceSerialNumber = "ABDOMEN", "120", "12345"
    ds.SoftwareVersions, ds.ProtocolName = "VA10", "SYNTHETIC PROTOCOL"
    ds.ExposureTime, ds.XRayTubeCurrent, ds.Exposure = "500", "200", "100"
    ds.PatientPosition, ds.ViewPosition = "HFS", ""
    ds.StudyInstanceUID, ds.SeriesInstanceUID = "2.25." + "1" * 38, "2.25." + "2" * 38
    ds.StudyID, ds.SeriesNumber, ds.AcquisitionNumber, ds.InstanceNumber = "1", "2", "3", "4"
    ds.ImagePositionPatient, ds.ImageOrientationPatient = ["0", "0", "0"], ["1", "0", "0", "0", "1", "0"]
    ds.FrameOfReferenceUID, ds.SliceLocation = "2.25.99", "12.5"
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.Rows = ds.Columns = 512
    ds.PixelSpacing = ["0.5", "0.5"]
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
    ds.WindowCenter, ds.WindowWidth, ds.RescaleIntercept, ds.RescaleSlope = "40", "400", "0", "1"
    ds.add_new(0x00290010, "LO", "SYNTHETIC MAKER HEADER")
    ds.add_new(0x00291010, "OB", rng.bytes(1500))
    ds.add_new(0x00291020, "OB", rng.bytes(1500))
    if modality == "CR":
        ds.Rows, ds.Columns = 800, 640
        ds.ViewPosition, ds.BodyPartExamined, ds.ProtocolName = "LL", "LSPINE", "L-Spine lateral"
    return ds


def _written(ds: Dataset) -> bytes:
    file = FileDataset("", ds, file_meta=FileMetaDataset(), preamble=b"\0" * 128)
    file.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    file.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID
    file.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    buffer = io.BytesIO()
    file.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def make_archive(
    folder: Path, n_files: int, *, share_of_spines: float = SHARE_OF_SPINES, seed: int = 1
) -> None:
    """Write ``n_files`` files under ``folder``: CT, MR, lateral spines and some that are not DICOM."""
    rng = np.random.default_rng(seed)
    patterns = {}
    for modality in ("CT", "MR", "CR"):
        ds = _template(modality, rng)
        pixels = ds.Rows * ds.Columns * 2
        patterns[modality] = (
            _written(ds) + b"\xe0\x7f\x10\x00OW\0\0" + pixels.to_bytes(4, "little"),
            pixels,
        )
    for number in range(n_files):
        place = folder / f"{number // FILES_PER_FOLDER:05d}"
        place.mkdir(parents=True, exist_ok=True)
        path = place / f"IM{number:07d}"
        draw = rng.random()
        if draw < 0.02:
            path.write_bytes(b"not DICOM" * 50)
            continue
        modality = "CR" if draw < 0.02 + share_of_spines else "CT" if draw < 0.7 else "MR"
        header, pixels = patterns[modality]
        own = header.replace(b"2.25." + b"7" * 38, b"2.25." + f"1{number:037d}".encode())
        own = own.replace(b"0000000 ", f"{number // 4:07d} ".encode())
        with path.open("wb") as file:
            file.write(own)
            file.truncate(len(own) + pixels)

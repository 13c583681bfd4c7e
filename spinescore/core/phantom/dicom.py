"""From a rendered phantom to a DICOM dataset that a validator accepts.

Three storage classes: Computed Radiography (PS3.3 A.2), Digital X-Ray for
Presentation (A.26) and Secondary Capture (A.8). Only public attributes, every
unique identifier derived from the seed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import jpeg_ls
import numpy as np
from openjpeg.utils import encode_pixel_data as encode_jpeg_2000
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    UID,
    ComputedRadiographyImageStorage,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
    SecondaryCaptureImageStorage,
)
from rle.utils import encode_pixel_data as encode_rle

from spinescore.core.phantom.acquisition import Storage
from spinescore.core.phantom.person import Person
from spinescore.core.phantom.radiograph import Rendered
from spinescore.core.phantom.randomness import open_generator

STORAGE_CLASS: dict[Storage, UID] = {
    "cr": ComputedRadiographyImageStorage,
    "dx": DigitalXRayImageStorageForPresentation,
    "sc": SecondaryCaptureImageStorage,
}
TRANSFER_SYNTAX = {
    "implicit": ImplicitVRLittleEndian,
    "explicit": ExplicitVRLittleEndian,
    "rle": RLELossless,
    "jpeg_ls": JPEGLSLossless,
    "jpeg_2000": JPEG2000Lossless,
}
# named encoders, not pydicom's plugins, so that an installed extra never changes the bytes
ENCODERS: dict[str, Callable[..., bytes | bytearray]] = {
    "rle": encode_rle,
    "jpeg_ls": jpeg_ls.encode_pixel_data,
    "jpeg_2000": encode_jpeg_2000,
}
IMPLEMENTATION_UID = UID("2.25.302417731450146013211459377016452611857")
SPINE = ("421060004", "SCT", "Vertebral column")
LATERAL = {"LL": ("399173006", "SCT", "left lateral"), "RL": ("399198007", "SCT", "right lateral")}


@dataclass(frozen=True, slots=True)
class Moment:
    """When an image was taken, as DICOM writes it."""

    day: str
    time: str


def dataset(rendered: Rendered, person: Person, *, seed: int) -> FileDataset:
    """Build the DICOM dataset of one rendered image, compressed as its device does, ready for ``save_as``.

    Parameters
    ----------
    rendered : Rendered
        Pixels and how they were taken.
    person : Person
        Whose header it is: identifier, birth date, sex, age in completed years.
    seed : int
        The cohort's seed; with subject and kind it decides all identifiers.

    Returns
    -------
    pydicom.dataset.FileDataset
        With file meta information; ``SyntheticData`` (0008,001C) is YES.
    """
    uid = _name_uids(person.subject_id, rendered.kind, seed)
    image = FileDataset("", {}, file_meta=_describe_file(rendered, uid("instance")), preamble=b"\0" * 128)
    rng = open_generator(seed, person.subject_id, rendered.kind, "header")
    seconds = int(rng.integers(8 * 3600, 18 * 3600))
    moment = Moment(
        person.study_date.strftime("%Y%m%d"),
        f"{seconds // 3600:02d}{seconds // 60 % 60:02d}{seconds % 60:02d}",
    )
    _describe_patient(image, person)
    _describe_study(image, rendered, moment, uid)
    _describe_equipment(image, rendered)
    _describe_image(image, rendered, moment, uid)
    {"cr": _describe_cr, "dx": _describe_dx, "sc": _describe_sc}[rendered.device.storage](image, rendered)
    _store_pixels(image, rendered)
    return image


def _name_uids(subject_id: str, kind: str, seed: int) -> Callable[[str], UID]:
    def name(entity: str) -> UID:
        """Derive a UUID-style identifier (PS3.5 B.2) from what it names."""
        digest = hashlib.sha256(f"spinescore phantom/{seed}/{subject_id}/{kind}/{entity}".encode()).digest()
        return UID(f"2.25.{int.from_bytes(digest[:16], 'big') | 1 << 120}")

    return name


def _describe_file(rendered: Rendered, instance: UID) -> FileMetaDataset:
    meta = FileMetaDataset()
    meta.FileMetaInformationVersion = b"\0\1"
    meta.MediaStorageSOPClassUID = STORAGE_CLASS[rendered.device.storage]
    meta.MediaStorageSOPInstanceUID = instance
    meta.TransferSyntaxUID = TRANSFER_SYNTAX[rendered.device.transfer_syntax]
    meta.ImplementationClassUID = IMPLEMENTATION_UID
    meta.ImplementationVersionName = "SPINESCORE"
    return meta


def _describe_patient(image: FileDataset, person: Person) -> None:
    """Patient and Patient Study modules (PS3.3 C.7.1.1, C.7.2.2)."""
    image.SpecificCharacterSet = "ISO_IR 100"
    image.PatientName = f"PHANTOM^{person.subject_id}"
    image.PatientID = person.subject_id
    image.PatientBirthDate = person.birth_date.strftime("%Y%m%d")
    image.PatientSex = person.sex
    image.PatientAge = f"{int(person.age_years):03d}Y"


def _describe_study(
    image: FileDataset, rendered: Rendered, moment: Moment, uid: Callable[[str], UID]
) -> None:
    """General Study and General Series modules (C.7.2.1, C.7.3.1)."""
    device = rendered.device
    image.StudyInstanceUID = uid("study")
    image.StudyDate = image.SeriesDate = moment.day
    image.StudyTime = image.SeriesTime = moment.time
    image.ReferringPhysicianName = ""
    image.StudyID = "1"
    image.AccessionNumber = hashlib.sha256(uid("study").encode()).hexdigest()[:12].upper()
    image.StudyDescription = device.study_description
    image.Modality = device.modality
    image.SeriesInstanceUID = uid("series")
    image.SeriesNumber = 1
    image.SeriesDescription = device.series_description
    if device.protocol_name:
        image.ProtocolName = device.protocol_name


def _describe_equipment(image: FileDataset, rendered: Rendered) -> None:
    """General Equipment module (C.7.5.1)."""
    image.Manufacturer = rendered.device.manufacturer
    image.InstitutionName = "Phantom Hospital"
    image.ManufacturerModelName = rendered.device.model
    image.DeviceSerialNumber = "0"
    image.SoftwareVersions = "phantom"


def _describe_image(
    image: FileDataset, rendered: Rendered, moment: Moment, uid: Callable[[str], UID]
) -> None:
    """General Image and SOP Common modules (C.7.6.1, C.12.1)."""
    image.SOPClassUID = STORAGE_CLASS[rendered.device.storage]
    image.SOPInstanceUID = uid("instance")
    image.SyntheticData = "YES"
    image.InstanceNumber = 1
    image.ImageType = ["ORIGINAL", "PRIMARY"]
    image.AcquisitionDate = image.ContentDate = moment.day
    image.AcquisitionTime = image.ContentTime = moment.time
    front = "P" if rendered.acquisition.facing_right else "A"
    image.PatientOrientation = [{"A": "P", "P": "A"}[front], "F"]
    image.BurnedInAnnotation = "YES"
    image.LossyImageCompression = "00"
    image.ImageComments = "PHANTOM - procedurally generated, not a patient"


def _describe_cr(image: FileDataset, rendered: Rendered) -> None:
    """CR Series and CR Image modules (C.8.1.1, C.8.1.2)."""
    image.BodyPartExamined = rendered.acquisition.body_part
    image.ViewPosition = rendered.acquisition.view_position
    if not rendered.acquisition.body_part:
        image.Laterality = ""
    if rendered.kind == "radiograph":
        spacing = f"{rendered.spacing_mm:.5f}"
        image.ImagerPixelSpacing = [spacing, spacing]
        image.KVP = "85"
        image.PlateType = "phantom plate"
        _describe_window(image, rendered)


def _describe_dx(image: FileDataset, rendered: Rendered) -> None:
    """DX series, anatomy, image, detector and positioning modules (C.8.11.1 to C.8.11.5)."""
    spacing = f"{rendered.spacing_mm:.5f}"
    image.ImageType = ["ORIGINAL", "PRIMARY", ""]
    image.PresentationIntentType = "FOR PRESENTATION"
    image.BodyPartExamined = rendered.acquisition.body_part
    image.AnatomicRegionSequence = [_code(SPINE)]
    image.ImageLaterality = "U"
    image.PixelIntensityRelationship = "LOG"
    image.PixelIntensityRelationshipSign = 1 if rendered.photometric == "MONOCHROME1" else -1
    image.RescaleIntercept, image.RescaleSlope, image.RescaleType = "0", "1", "US"
    image.PresentationLUTShape = "INVERSE" if rendered.photometric == "MONOCHROME1" else "IDENTITY"
    image.DetectorType = "SCINTILLATOR"
    image.ImagerPixelSpacing = [spacing, spacing]
    image.KVP = "85"
    image.PositionerType = ""
    image.ViewPosition = rendered.acquisition.view_position
    view = LATERAL.get(rendered.acquisition.view_position, ("399067008", "SCT", "lateral projection"))
    image.ViewCodeSequence = [_code(view)]
    image.ViewCodeSequence[0].ViewModifierCodeSequence = []
    image.AcquisitionContextSequence = []
    _describe_window(image, rendered)


def _describe_sc(image: FileDataset, rendered: Rendered) -> None:
    """SC Equipment module (C.8.6.1)."""
    image.ConversionType = "DI"
    image.BodyPartExamined = rendered.acquisition.body_part


def _describe_window(image: FileDataset, rendered: Rendered) -> None:
    """Give the VOI window (C.11.2) of the whole value range."""
    full = 1 << rendered.bits_stored
    image.WindowCenter, image.WindowWidth = str(full // 2), str(full)


def _code(code: tuple[str, str, str]) -> Dataset:
    """Return a code sequence item (PS3.3 table 8.8-1)."""
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code
    return item


def _store_pixels(image: FileDataset, rendered: Rendered) -> None:
    """Image Pixel module (C.7.6.3), in the device's transfer syntax."""
    pixels = rendered.pixels
    image.SamplesPerPixel = 1
    image.PhotometricInterpretation = rendered.photometric
    image.Rows, image.Columns = pixels.shape
    image.BitsAllocated = pixels.dtype.itemsize * 8
    image.BitsStored = rendered.bits_stored
    image.HighBit = rendered.bits_stored - 1
    image.PixelRepresentation = 0
    syntax = rendered.device.transfer_syntax
    stored = np.ascontiguousarray(pixels).astype(pixels.dtype.newbyteorder("<")).tobytes()
    if syntax in ENCODERS:
        image.PixelData = encapsulate([_encode(image, stored, syntax)])
        image["PixelData"].VR = "OB"
        image["PixelData"].is_undefined_length = True
        return
    image.PixelData = stored + b"\0" * (len(stored) % 2)
    image["PixelData"].VR = "OB" if pixels.dtype.itemsize == 1 and syntax == "explicit" else "OW"


def _encode(image: FileDataset, stored: bytes, syntax: str) -> bytes:
    """Compress one frame of little endian bytes without loss."""
    return bytes(
        ENCODERS[syntax](
            stored,
            rows=image.Rows,
            columns=image.Columns,
            samples_per_pixel=1,
            bits_allocated=image.BitsAllocated,
            bits_stored=image.BitsStored,
            pixel_representation=0,
            photometric_interpretation=image.PhotometricInterpretation,
            **({"byteorder": "<"} if syntax == "rle" else {}),
        )
    )

"""A data set -> a new one by PS3.15's Basic Application Level Confidentiality Profile.

What a copy may hold is a table (``data/deidentification.toml``); everything else, known or
unknown, public or private, stays behind. A value is kept only if it passes its check,
and is written as the check understood it, under the VR of PS3.6, so nothing rides along.
"""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.multival import MultiValue
from pydicom.uid import UID

from spinescore.core.deidentification.attribute_table import Attribute, AttributeTable, Code
from spinescore.core.deidentification.kept_values import (
    check_values,
    known_maker,
    known_model,
    naming_words,
    read_texts,
)
from spinescore.core.deidentification.replacement import Replacements, read_time, write_time
from spinescore.core.imaging.age_at_imaging import read_date
from spinescore.core.imaging.pixel_format import UNREADABLE
from spinescore.domain import Kind
from spinescore.errors import CopyRefusedError

Dates = Literal["shift", "keep"]
IMPLEMENTATION_UID = UID("2.25.302417731450146013211459377016452611858")
STORAGE_CLASS = re.compile(r"1\.2\.840\.10008\.5\.1\.4\.1\.1\.[0-9]+(\.[0-9]+){0,3}")
OLDEST_AGE_YEARS = 90
# PS3.16 CID 7050; the options are applied or not, see `applied_options`
PROFILE = Code("113100", "DCM", "Basic Application Confidentiality Profile")
CLEAN_PIXELS = Code("113101", "DCM", "Clean Pixel Data Option")
CLEAN_DESCRIPTORS = Code("113105", "DCM", "Clean Descriptors Option")
FULL_DATES = Code("113106", "DCM", "Retain Longitudinal Temporal Information Full Dates Option")
MODIFIED_DATES = Code("113107", "DCM", "Retain Longitudinal Temporal Information Modified Dates Option")
PATIENT_CHARACTERISTICS = Code("113108", "DCM", "Retain Patient Characteristics Option")


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who and what a copy says it is; all of it pseudonyms but the age.

    Parameters
    ----------
    subject_id : str
    study_uid, series_uid, instance_uid : str
        Replacements.
    age_years : float or None
        At imaging.
    """

    subject_id: str
    study_uid: str
    series_uid: str
    instance_uid: str
    age_years: float | None


def deidentify(
    source: Dataset,
    table: AttributeTable,
    replacements: Replacements,
    identity: Identity,
    *,
    dates: Dates = "shift",
    blanked: bool = False,
    burned_in: Literal["NO"] | None = None,
) -> FileDataset:
    """Return the de-identified header of an image, without its pixels.

    Parameters
    ----------
    source : Dataset
        The original; not changed.
    table : AttributeTable
        What the copy may hold.
    replacements : Replacements
        Of UIDs, dates and times.
    identity : Identity
        Who and what the copy says it is.
    dates : {"shift", "keep"}
        Shift a subject's dates by one number of days, or keep them.
    blanked : bool
        Whether burned-in text is blanked in the pixels that will be put in.
    burned_in : {"NO"} or None
        What the copy says of burned-in text.

    Returns
    -------
    FileDataset
        With file meta information that names no transfer syntax yet.

    Raises
    ------
    CopyRefusedError
        ``sop_class`` if the original is not a standard storage class, ``malformed`` if it cannot be read.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # values that do not fit their VR are dropped, not discussed
        try:
            sop_class = str(source.get("SOPClassUID", ""))
            if STORAGE_CLASS.fullmatch(sop_class) is None:
                raise CopyRefusedError("sop_class", "SOP Class UID is not a standard storage class")
            maker = _Maker(source, table.classes.get(sop_class, ""), replacements, identity, dates)
            copy = FileDataset("", {}, file_meta=_file_meta(sop_class, identity), preamble=b"\0" * 128)
            for attribute in table.attributes:
                maker.copy(attribute, copy)
            _complete_window(copy, maker.image_class)
            _drop_needless_laterality(copy)
            _assign(copy, table, sop_class, identity, burned_in, shifted=dates == "shift")
        except UNREADABLE as error:
            raise CopyRefusedError("malformed", type(error).__name__) from error
    declare_options(copy, shifted=dates == "shift", blanked=blanked)
    return copy


def restate_view(copy: Dataset, kind: Kind) -> None:
    """Say in standard terms what the eligibility rules had read out of texts that stayed behind.

    A radiograph is let in as a lateral of the spine, a VFA by its protocol: that much is no secret,
    and without it the copy would be of an unknown view.
    """
    if kind == "vfa":
        copy.ProtocolName = "VFA lateral"
    else:
        copy.ViewPosition = "LATERAL"
        if not copy.get("BodyPartExamined"):
            copy.BodyPartExamined = "SPINE"
            _drop_needless_laterality(copy)
    codes = copy.DeidentificationMethodCodeSequence
    if CLEAN_DESCRIPTORS.value not in [item.CodeValue for item in codes]:
        codes.append(_code_item(CLEAN_DESCRIPTORS))


def declare_options(copy: Dataset, *, shifted: bool, blanked: bool) -> None:
    """Write which options of the profile were applied (PS3.15 E.3, PS3.16 CID 7050).

    Not claimed: Retain Device Identity, since serial numbers and station names are gone (maker
    and model are not in Table E.1-1); Clean Graphics, since overlays and curves are gone.
    """
    options = [
        PROFILE,
        *([CLEAN_PIXELS] if blanked else []),
        *([CLEAN_DESCRIPTORS] if copy.get("ProtocolName") else []),
        MODIFIED_DATES if shifted else FULL_DATES,
        PATIENT_CHARACTERISTICS,
    ]
    copy.DeidentificationMethodCodeSequence = [_code_item(code) for code in options]


def age_string(age_years: float | None) -> str | None:
    """Return PatientAge in completed years; 90 and over is one class, below 0 none.

    >>> age_string(89.99), age_string(90.0), age_string(103.2), age_string(0.5), age_string(None)
    ('089Y', '090Y', '090Y', '000Y', None)
    """
    if age_years is None or not math.isfinite(age_years) or age_years < 0:
        return None
    return f"{min(int(age_years), OLDEST_AGE_YEARS):03d}Y"


def _assign(
    copy: FileDataset,
    table: AttributeTable,
    sop_class: str,
    identity: Identity,
    burned_in: Literal["NO"] | None,
    *,
    shifted: bool,
) -> None:
    copy.SOPClassUID, copy.SOPInstanceUID = UID(sop_class), UID(identity.instance_uid)
    copy.StudyInstanceUID, copy.SeriesInstanceUID = UID(identity.study_uid), UID(identity.series_uid)
    copy.PatientID = copy.PatientName = identity.subject_id
    age = age_string(identity.age_years)
    if age is not None:
        copy.PatientAge = age
    copy.PatientIdentityRemoved = "YES"
    copy.DeidentificationMethod = f"spinescore: PS3.15 Basic Profile, table {table.version}"
    copy.LongitudinalTemporalInformationModified = "MODIFIED" if shifted else "UNMODIFIED"
    if "FrameOfReferenceUID" in copy:
        copy.PositionReferenceIndicator = ""
    if burned_in is not None:
        copy.BurnedInAnnotation = burned_in


def _file_meta(sop_class: str, identity: Identity) -> FileMetaDataset:
    meta = FileMetaDataset()
    meta.FileMetaInformationVersion = b"\0\1"
    meta.MediaStorageSOPClassUID = UID(sop_class)
    meta.MediaStorageSOPInstanceUID = UID(identity.instance_uid)
    meta.ImplementationClassUID = IMPLEMENTATION_UID
    meta.ImplementationVersionName = "SPINESCORE"
    return meta


def _complete_window(copy: Dataset, image_class: str) -> None:
    """Keep window centre and width together; a DX image without any gets the whole range (C.11.8)."""
    centres, widths = copy.get("WindowCenter"), copy.get("WindowWidth")
    if centres is not None and widths is not None and _multiplicity(centres) == _multiplicity(widths):
        return
    for keyword in ("WindowCenter", "WindowWidth", "VOILUTFunction"):
        if keyword in copy:
            delattr(copy, keyword)
    if image_class == "dx" and copy.get("BitsStored"):
        copy.WindowCenter, copy.WindowWidth = str(1 << (copy.BitsStored - 1)), str(1 << copy.BitsStored)


def _drop_needless_laterality(copy: Dataset) -> None:
    """Leave out an empty Laterality where the body part is known: a spine has no other side (C.7.3.1)."""
    if copy.get("BodyPartExamined") and "Laterality" in copy and not copy.Laterality:
        del copy.Laterality


def _multiplicity(value: object) -> int:
    return len(value) if isinstance(value, MultiValue) else 1


def _code_item(code: Code) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code.value, code.scheme, code.meaning
    return item


class _Maker:
    """Makes the attributes of one copy from its original."""

    def __init__(
        self, source: Dataset, image_class: str, replacements: Replacements, identity: Identity, dates: Dates
    ) -> None:
        self.source, self.image_class = source, image_class
        self._replacements, self._subject_id, self._dates = replacements, identity.subject_id, dates

    def copy(self, attribute: Attribute, copy: Dataset) -> None:
        """Put the attribute into the copy, if it belongs there."""
        if attribute.action == "assign":
            return
        if attribute.action == "codes":
            self._copy_codes(attribute, copy)
            return
        values: Sequence[Any] = self._values(attribute)
        if not values and (dummy := attribute.dummy_for(self.image_class)) is not None:
            values = dummy if isinstance(dummy, list) else [dummy]
        if not values and not attribute.is_empty_in(self.image_class):
            return
        vr = attribute.vr
        if vr == "US or SS":
            vr = "SS" if self._signed() else "US"
            values = [value for value in values if _fits(value, vr)]
            if not values:
                return
        if vr == "SQ":
            copy.add_new(attribute.tag, vr, [])
        else:
            copy.add_new(attribute.tag, vr, _value(values))

    def _signed(self) -> bool:
        return self._texts("PixelRepresentation") == ["1"]

    def _values(self, attribute: Attribute) -> Sequence[Any]:
        """Return the values fit to be written; none where any is not."""
        if attribute.action == "empty":
            return []
        texts = self._texts(attribute.keyword)
        if not texts:
            return []
        if attribute.action == "uid":
            return [self._replacements.uid(texts[0])]
        if attribute.action in ("date", "time"):
            value = self._date(texts[0]) if attribute.action == "date" else self._time(texts[0])
            return [value] if value else []
        if attribute.check == "maker":
            return [name] if (name := known_maker(texts[0])) else []
        if attribute.check == "model":
            return self._model(texts[0])
        return check_values(attribute, texts)

    def _texts(self, keyword: str) -> list[str]:
        return read_texts(self.source, keyword)

    def _model(self, text: str) -> list[str]:
        makers = self._texts("Manufacturer")
        model = known_model(makers[0] if makers else "", text, naming_words(self.source))
        return [model] if model else []

    def _date(self, text: str) -> str | None:
        day = read_date(text)
        if day is not None and self._dates == "shift":
            day = self._replacements.shift_date(day, self._subject_id)
        return None if day is None else f"{day.year:04d}{day.month:02d}{day.day:02d}"

    def _time(self, text: str) -> str | None:
        microseconds = read_time(text)
        if microseconds is not None and self._dates == "shift":
            microseconds = self._replacements.warp_time(microseconds, self._subject_id)
        return None if microseconds is None else write_time(microseconds)

    def _copy_codes(self, attribute: Attribute, copy: Dataset) -> None:
        items = []
        for item in self._items(self.source, attribute.keyword):
            code = _known_code(item, attribute.codes)
            if code is not None:
                items.append(self._code_item(code, item, attribute))
        dummy = attribute.dummy_for(self.image_class)
        if not items and dummy is not None:
            items = [self._code_item(Code(*dummy), Dataset(), attribute)]
        if items:
            copy.add_new(attribute.tag, "SQ", items[:1])  # both sequences hold one item (PS3.3 C.8.11.5)

    def _code_item(self, code: Code, original: Dataset, attribute: Attribute) -> Dataset:
        item = _code_item(code)
        for keyword, codes in attribute.modifiers.items():
            found = [_known_code(part, codes) for part in self._items(original, keyword)]
            known = [_code_item(modifier) for modifier in found if modifier is not None]
            if known or keyword == "ViewModifierCodeSequence":  # Type 2: there, if empty
                setattr(item, keyword, known)
        return item

    def _items(self, dataset: Dataset, keyword: str) -> list[Dataset]:
        try:
            items = dataset.get(keyword) or ()
            return [item for item in items if isinstance(item, Dataset)]
        except UNREADABLE:
            return []


def _known_code(item: Dataset, codes: Sequence[Code]) -> Code | None:
    try:
        value, scheme = str(item.get("CodeValue", "")), str(item.get("CodingSchemeDesignator", ""))
    except UNREADABLE:
        return None
    known = {(code.value, code.scheme): code for code in codes}
    return known.get((value.strip(), {"SNM3": "SRT", "99SDM": "SRT"}.get(scheme.strip(), scheme.strip())))


def _fits(value: Any, vr: str) -> bool:
    lowest, highest = (-32768, 32767) if vr == "SS" else (0, 65535)
    return lowest <= int(value) <= highest


def _value(values: Sequence[Any]) -> Any:
    return None if not values else values[0] if len(values) == 1 else list(values)

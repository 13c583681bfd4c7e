"""An indexed image -> its de-identified copy on disk; worker processes import this and little else.

Every copy is read back before it is written: its pixels must be those that were meant.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import os
import stat
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pydicom
from pydicom.dataset import FileDataset
from pydicom.uid import UID

from spinescore.core.deidentification.attribute_table import AttributeTable
from spinescore.core.deidentification.basic_profile import Dates, Identity, deidentify, restate_view
from spinescore.core.deidentification.copied_pixels import (
    blank_regions,
    coded_bits,
    join_fragments,
    native_cells,
    put_compressed,
    put_native,
    put_stored,
    unused_bits_are_clean,
)
from spinescore.core.deidentification.replacement import Replacements
from spinescore.core.eligibility.rule_set import Region, RuleSet
from spinescore.core.imaging.header import eligibility_fields
from spinescore.core.imaging.pixel_format import UNREADABLE, PixelFormat, hash_pixels, read_pixel_format
from spinescore.domain import Kind
from spinescore.errors import CopyRefusedError, DecodingError
from spinescore.shell.archive.locations import open_location, stat_location
from spinescore.shell.indexing.intake import elements_of
from spinescore.shell.pixels.decoding import Decoded, decode, read_dataset
from spinescore.shell.pixels.frame_decoders import LOSSY, decode_frame

BurnedIn = Literal["refuse", "blank"]
CopyState = Literal["written", "unchanged", "refused", "stopped"]
# classes whose devices write exposures; any other may be a screen with a name on it
ACQUIRED = ("cr", "dx", "xrf", "xa")


@dataclass(frozen=True, slots=True)
class CopySettings:
    """What is the same for every copy of an export."""

    folder: Path
    table: AttributeTable
    replacements: Replacements
    rules: RuleSet
    dates: Dates
    burned_in: BurnedIn


@dataclass(frozen=True, slots=True)
class CopyItem:
    """One image to copy: where it is, what it was when indexed, who and what its copy says it is."""

    identity: Identity
    kind: Kind
    path_bytes: bytes
    size_bytes: int
    modified_ns: int


@dataclass(frozen=True, slots=True)
class CopyOutcome:
    """What became of one image.

    Parameters
    ----------
    state : {"written", "unchanged", "refused", "stopped"}
        Stopped: the target folder takes no more.
    reason : str
        Reason code of a refusal; what the system said, of a stop.
    pixels : str
        ``passed``, ``blanked`` or ``rewritten``.
    kind : str
        What the rules take the copy for; empty if it is not eligible by its own header.
    sha256 : str
        Of the copy.
    size_bytes : int
        Of the copy.
    """

    state: CopyState
    reason: str = ""
    pixels: str = ""
    kind: str = ""
    sha256: str = ""
    size_bytes: int = 0


def make_copy(item: CopyItem, *, settings: CopySettings) -> CopyOutcome:
    """Copy one image; one that cannot be copied is a reason, not an exception.

    Reasons, beside those of ``decoding.decode``: ``missing``, ``changed`` (since it was indexed),
    ``permission``, ``unreadable``, ``burned_in``, ``modality_lut``, ``sop_class``, ``target_differs``
    (another file is there already), ``verification`` (the copy did not read back as meant).
    """
    try:
        content, pixels, kind = build_copy(item, settings)
    except FileNotFoundError:
        return CopyOutcome("refused", "missing")
    except PermissionError:
        return CopyOutcome("refused", "permission")
    except (DecodingError, CopyRefusedError) as error:
        return CopyOutcome("refused", error.reason)
    except OSError:
        return CopyOutcome("refused", "unreadable")
    except MemoryError:
        return CopyOutcome("refused", "decode_failed")
    try:
        state = write_once(copy_path(settings.folder, item.identity), content, below=settings.folder)
    except OSError as error:
        return CopyOutcome("stopped", str(error.strerror or error))
    if state == "refused":
        return CopyOutcome("refused", "target_differs")
    return CopyOutcome(state, "", pixels, kind, hashlib.sha256(content).hexdigest(), len(content))


def copy_path(folder: Path, identity: Identity) -> Path:
    """Return where the copy lies: by subject, study and image, all pseudonyms."""
    return folder / identity.subject_id / identity.study_uid / f"{identity.instance_uid}.dcm"


def build_copy(item: CopyItem, settings: CopySettings) -> tuple[bytes, str, str]:
    """Return the copy's bytes, what was done with the pixels, and what the rules take it for.

    Raises
    ------
    DecodingError, CopyRefusedError
        With the reason why there is no copy.
    OSError
        If the original cannot be read.
    """
    if stat_location(item.path_bytes) != (item.size_bytes, item.modified_ns):
        raise CopyRefusedError("changed", "the file changed since it was indexed")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what pydicom repairs or doubts is no concern of a batch run
        try:
            return _build(item, settings)
        except UNREADABLE as error:
            raise CopyRefusedError("malformed", type(error).__name__) from error


def _build(item: CopyItem, settings: CopySettings) -> tuple[bytes, str, str]:
    with open_location(item.path_bytes) as handle:
        source, syntax = read_dataset(handle)
        handle.seek(0)
        decoded = decode(handle)
    regions = _regions(source, settings)
    if source.get("ModalityLUTSequence"):
        raise CopyRefusedError("modality_lut", "a copy holds no tables, and pixels need this one")
    copy = deidentify(
        source,
        settings.table,
        settings.replacements,
        item.identity,
        dates=settings.dates,
        blanked=bool(regions),
        burned_in="NO" if regions is not None else None,
    )
    pixels, expected = _put_pixels(copy, source, syntax, decoded, regions or ())
    content, decided = _say_view(copy, item.kind, settings.rules)
    _verify(content, source, expected)
    return content, pixels, decided or ""


def _regions(source: FileDataset, settings: CopySettings) -> tuple[Region, ...] | None:
    """Return what must be blanked; () if the image is known to be clean, None if nothing is known."""
    fields = eligibility_fields(elements_of(source))
    regions = settings.rules.regions_to_blank(fields)
    stated = fields["burned_in"].upper()
    declared = stated not in ("NO", "")
    visible = str(source.get("RecognizableVisualFeatures", "")).upper() == "YES"
    acquired = settings.table.classes.get(fields["sop_class"]) in ACQUIRED
    unknown = regions is None and (declared or visible or (stated == "" and not acquired))
    untouchable = settings.burned_in == "refuse" and (declared or bool(regions))
    if unknown or untouchable or (visible and (settings.burned_in == "refuse" or not regions)):
        raise CopyRefusedError("burned_in", "it carries, or may carry, burned-in text or a likeness")
    return () if regions is None and stated == "NO" else regions


def _put_pixels(
    copy: FileDataset, source: FileDataset, syntax: UID, decoded: Decoded, regions: Sequence[Region]
) -> tuple[str, str]:
    """Put the pixels in; return what was done and the SHA-256 of the stored values meant."""
    format_ = read_pixel_format(source)
    if regions or not _may_pass(source, syntax, format_):
        stored = blank_regions(decoded.stored, regions, format_)
        put_stored(copy, stored, format_)
        if syntax in LOSSY:
            copy.LossyImageCompression = "01"
        return "blanked" if regions else "rewritten", hash_pixels(stored)
    if syntax.is_encapsulated:
        put_compressed(copy, source, syntax, format_)
    else:
        put_native(copy, source, syntax, format_)
    return "passed", decoded.pixel_sha256


def _may_pass(source: FileDataset, syntax: UID, format_: PixelFormat) -> bool:
    """Tell whether the pixels hold nothing else in the bits that are not theirs (overlays, texts)."""
    content = source["PixelData"].value
    if syntax.is_encapsulated:
        if syntax in LOSSY or format_.stored == format_.allocated:
            return True
        frame = b"".join(join_fragments(content))
        if coded_bits(frame, format_) <= format_.high_bit:
            return True  # it has no room for more
        cells, _ = decode_frame(frame, syntax, format_)
        return unused_bits_are_clean(cells, format_, coded_bits(frame, format_))
    if not syntax.is_little_endian and format_.allocated == 8 and format_.n_pixels % 2:
        return False  # the last pixel shares a swapped word with what is no pixel
    return unused_bits_are_clean(native_cells(content, syntax, format_), format_, format_.allocated)


def _say_view(copy: FileDataset, kind: Kind, rules: RuleSet) -> tuple[bytes, str | None]:
    """Return the copy's bytes and what the rules take it for, said in standard words if need be."""
    content = serialise(copy)
    decided = _kind_of(content, rules)
    if decided != kind:
        restate_view(copy, kind)
        content = serialise(copy)
        decided = _kind_of(content, rules)
    return content, decided


def _verify(content: bytes, source: FileDataset, expected: str) -> None:
    """Read the copy back: the same bytes of pixels under the same description, or equal when decoded."""
    copy, syntax = read_dataset(io.BytesIO(content))
    if _rescale(copy) != _rescale(source):
        raise CopyRefusedError("verification", "the rescale of the original cannot be kept")
    same = (
        copy.PixelData == source.PixelData
        and syntax == source.file_meta.TransferSyntaxUID
        and read_pixel_format(copy) == read_pixel_format(source)
    )
    if same:
        return
    try:
        found = decode(io.BytesIO(content)).pixel_sha256
    except DecodingError as error:
        raise CopyRefusedError("verification", f"the copy does not decode: {error.reason}") from error
    if found != expected:
        raise CopyRefusedError("verification", "the copy's pixels are not those meant")


def _rescale(dataset: FileDataset) -> tuple[float, float]:
    slope, intercept = dataset.get("RescaleSlope"), dataset.get("RescaleIntercept")
    return 1.0 if slope is None else float(slope), 0.0 if intercept is None else float(intercept)


def serialise(copy: FileDataset) -> bytes:
    """Return a data set as the bytes of a DICOM file."""
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, copy, enforce_file_format=True)  # save_as refuses big endian
    return buffer.getvalue()


def _kind_of(content: bytes, rules: RuleSet) -> str | None:
    header = pydicom.dcmread(io.BytesIO(content), stop_before_pixels=True)
    return rules.decide(eligibility_fields(elements_of(header))).kind


def write_once(path: Path, content: bytes, *, below: Path) -> CopyState:
    """Write a file whole or not at all, 0600 in folders of 0700; never over another file.

    Returns
    -------
    str
        ``unchanged`` if it is there already, ``refused`` if something else is.

    Raises
    ------
    OSError
        If the folder takes no file.
    """
    _make_folders(path.parent, below)
    try:
        there = path.lstat()
    except FileNotFoundError:
        write_whole(path, content)
        return "written"
    if not stat.S_ISREG(there.st_mode) or there.st_size != len(content):
        return "refused"
    return "unchanged" if path.read_bytes() == content else "refused"


def write_whole(path: Path, content: bytes) -> None:
    """Write a file under another name, then give it its own; what was there is replaced."""
    partial = path.with_name(f".{path.name}.partial")
    partial.unlink(missing_ok=True)  # of a run that was killed
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as handle:
            handle.write(content)
            handle.flush()
            os.fsync(handle.fileno())
        partial.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        raise


def _make_folders(folder: Path, below: Path) -> None:
    """Make the folders between ``below`` and ``folder``; a link among them leads elsewhere."""
    missing = folder.relative_to(below).parts
    for depth in range(1, len(missing) + 1):
        step = below.joinpath(*missing[:depth])
        with contextlib.suppress(FileExistsError):
            step.mkdir(mode=0o700)
        if not stat.S_ISDIR(step.lstat().st_mode):
            raise OSError(errno.ENOTDIR, "Something else is where a folder belongs", str(step))

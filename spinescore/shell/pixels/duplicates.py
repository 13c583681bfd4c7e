"""Two files that claim to be the same SOP instance -> in what they differ.

Belongs in ``workers.map_supervised``: it decodes.
"""

from __future__ import annotations

import warnings
from typing import Any, BinaryIO

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.datadict import keyword_for_tag
from pydicom.tag import BaseTag
from pydicom.uid import UID

from spinescore.core.imaging.pixel_format import UNREADABLE
from spinescore.errors import DecodingError
from spinescore.shell.archive.locations import open_location, stat_location
from spinescore.shell.pixels.decoding import Decoded, decode, read_dataset
from spinescore.shell.pixels.frame_decoders import LOSSY

BLOCK_BYTES = 1 << 20
MOST_NAMED = 5
PIXEL_GROUP = 0x7FE0
# Measured on phantoms: lossy copies (JPEG down to quality 30, JPEG 2000 up to 60:1) correlate at 0.986 or
# more and their blocks differ by 2.3% at most; images of two people correlate at 0.77 at most.
LEAST_CORRELATION = 0.97
BLOCK_SIDE_PIXELS = 16
MOST_BLOCK_DIFFERENCE = 0.05  # of the range between the 1st and 99th percentile; an altered spot is more
FINEST_SAMPLE_PIXELS = 1 << 18

Answer = tuple[str, str]


def compare_instances(first: bytes, second: bytes) -> Answer:
    """Say how the second file of one SOP instance relates to the first.

    Parameters
    ----------
    first, second : bytes
        Locations; exchanged, they give the same reason.

    Returns
    -------
    reason : {"identical", "header_differs", "recompressed", "content_conflict"}
        Same bytes; same stored values in the same kind of coding; same stored values in another
        coding, or as close as lossy coding leaves them; anything else, undecodable files included.
    detail : str
        What was compared, never a header's value: attributes are named by keyword.

    Raises
    ------
    OSError
        If either cannot be read any more.
    """
    if _same_bytes(first, second):
        return "identical", ""
    decoded = []
    for location, name in ((first, "first"), (second, "second")):
        try:
            with open_location(location) as handle:
                decoded.append(decode(handle))
        except DecodingError as error:
            return "content_conflict", f"the {name} cannot be decoded: {error.reason}"
    return _compare_pixels(first, second, *decoded)


def _same_bytes(first: bytes, second: bytes) -> bool:
    if stat_location(first)[0] != stat_location(second)[0]:
        return False
    with open_location(first) as one, open_location(second) as other:
        while True:
            block = _read_block(one)
            if block != _read_block(other):
                return False
            if not block:
                return True


def _read_block(handle: BinaryIO) -> bytes:
    return handle.read(BLOCK_BYTES)


def _compare_pixels(first: bytes, second: bytes, one: Decoded, other: Decoded) -> Answer:
    if one.stored.shape != other.stored.shape:
        sizes = " and ".join(f"{d.stored.shape[0]} x {d.stored.shape[1]}" for d in (one, other))
        return "content_conflict", f"images of {sizes} pixels"
    if _brightens(one) != _brightens(other):
        return "content_conflict", "the two are shown in opposite polarity"
    syntaxes = f"{UID(one.transfer_syntax).name} and {UID(other.transfer_syntax).name}"
    if one.pixel_sha256 == other.pixel_sha256:
        if _coding(one) != _coding(other):
            return "recompressed", f"{syntaxes}, the same stored values"
        return "header_differs", _name_differences(first, second)
    if _is_lossy(first, one) or _is_lossy(second, other):
        return _compare_lossy(one, other, syntaxes)
    return "content_conflict", f"{_share_differing(one, other)} of the pixels differ"


def _brightens(decoded: Decoded) -> bool:
    """Tell whether a larger stored value is shown brighter."""
    darkest, brightest = decoded.stored.argmin(), decoded.stored.argmax()
    rises = bool(decoded.pixels.flat[darkest] < decoded.pixels.flat[brightest])
    return rises == (decoded.photometric == "MONOCHROME2")


def _coding(decoded: Decoded) -> str:
    syntax = UID(decoded.transfer_syntax)
    return str(syntax) if syntax.is_encapsulated else "uncompressed"


def _is_lossy(location: bytes, decoded: Decoded) -> bool:
    """Tell whether the coding is lossy, or was once (PS3.3 C.7.6.1.1.5)."""
    if decoded.transfer_syntax in LOSSY:
        return True
    return str(_read_header(location).get("LossyImageCompression", "")) == "01"


def _compare_lossy(one: Decoded, other: Decoded, syntaxes: str) -> Answer:
    """Compare values that coding may have changed, and scaled (12 bits become 8)."""
    step = max(1, int((one.stored.size / FINEST_SAMPLE_PIXELS) ** 0.5))
    sample = np.stack([d.stored[::step, ::step].ravel().astype(np.float64) for d in (one, other)])
    correlation = float(np.asarray(np.corrcoef(sample))[0, 1])
    same_scale = one.stored.dtype == other.stored.dtype
    worst = int(np.abs(one.stored.astype(np.int32) - other.stored).max())
    largest = f"largest difference {worst}" if same_scale else "values scaled"
    block = _largest_block_difference(one.stored, other.stored, sample)
    found = f"{syntaxes}, lossy: correlation {correlation:.4f}, {largest}, of a block {block:.1%}"
    close = correlation >= LEAST_CORRELATION and block <= MOST_BLOCK_DIFFERENCE
    return ("recompressed" if close else "content_conflict"), found


def _largest_block_difference(one: NDArray[Any], other: NDArray[Any], sample: NDArray[np.float64]) -> float:
    """Return the largest difference between means of blocks, as a share of the first's range.

    Coding noise averages out within a block; a mark or a mask that one file has alone does not.
    """
    means = sample.mean(axis=1)
    first, second = sample - means[:, None]
    slope = float((first * second).sum() / max((second * second).sum(), 1.0))
    intercept = float(means[0] - slope * means[1])
    low, high = np.quantile(sample[0], 0.01), np.quantile(sample[0], 0.99)
    difference = _block_means(one) - (_block_means(other) * slope + intercept)
    return float(np.abs(difference).max() / max(high - low, 1.0))


def _block_means(stored: NDArray[Any]) -> NDArray[np.float64]:
    rows, columns = (side // BLOCK_SIDE_PIXELS for side in stored.shape)
    whole = stored[: rows * BLOCK_SIDE_PIXELS, : columns * BLOCK_SIDE_PIXELS]
    by_block = whole.reshape(rows, BLOCK_SIDE_PIXELS, columns, BLOCK_SIDE_PIXELS)
    return np.asarray(by_block.mean(axis=(1, 3), dtype=np.float64))


def _share_differing(one: Decoded, other: Decoded) -> str:
    return f"{np.mean(one.stored != other.stored):.2%}"


def _name_differences(first: bytes, second: bytes) -> str:
    one, other = _read_header(first), _read_header(second)
    tags = sorted({*one.keys(), *other.keys()})
    differing = [_name(tag) for tag in tags if tag.group != PIXEL_GROUP and not _equal(one, other, tag)]
    if not differing:
        return "only in how the file is written"
    rest = f" and {len(differing) - MOST_NAMED} more" if len(differing) > MOST_NAMED else ""
    return ", ".join(differing[:MOST_NAMED]) + rest


def _read_header(location: bytes) -> pydicom.Dataset:
    with warnings.catch_warnings(), open_location(location) as handle:
        warnings.simplefilter("ignore")
        return read_dataset(handle)[0]


def _equal(one: pydicom.Dataset, other: pydicom.Dataset, tag: BaseTag) -> bool:
    if tag not in one or tag not in other:
        return False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return bool(one[tag].value == other[tag].value)
    except UNREADABLE:
        return False


def _name(tag: BaseTag) -> str:
    return keyword_for_tag(tag) or f"({tag.group:04X},{tag.element:04X})"

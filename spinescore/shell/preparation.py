"""An indexed file -> the image a network takes; worker processes import this and little else."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spinescore.core.eligibility.rule_set import Threshold
from spinescore.core.imaging.perturbation import Perturbation, perturb
from spinescore.core.imaging.preprocessing import PreprocessingSpec, preprocess
from spinescore.core.imaging.raw_image import RawImage
from spinescore.domain import Kind
from spinescore.errors import DecodingError
from spinescore.shell.archive.locations import open_location, stat_location
from spinescore.shell.input_cache import InputCache, hash_input
from spinescore.shell.pixels.decoding import Decoded, decode
from spinescore.shell.pixels.pixel_check import PixelFacts, facts_of


@dataclass(frozen=True, slots=True)
class PendingImage:
    """One image to score: where it is and what it was when indexed.

    Parameters
    ----------
    scored_input_sha256 : str or None
        Of the network's input when the image was scored before its file was touched.
    kept_input_sha256, kept_pixel_sha256 : str or None
        Of what another model of the same preprocessing took from the same file.
    has_facts : bool
        Whether facts about these pixels are in the database already.
    keep : bool
        Whether its input is to be kept in the cache.
    """

    sop_instance_uid: str
    kind: Kind
    path_bytes: bytes
    size_bytes: int
    modified_ns: int
    scored_input_sha256: str | None = None
    kept_input_sha256: str | None = None
    kept_pixel_sha256: str | None = None
    has_facts: bool = False
    keep: bool = False


@dataclass(frozen=True, slots=True)
class Prepared:
    """An image as the network takes it with what was measured on the way, or why there is none.

    Parameters
    ----------
    image : ndarray of float32, shape (H, W), or None
        In [0, 1].
    pixel_sha256, input_sha256 : str
        Of the stored pixels and of ``image``.
    facts : PixelFacts or None
        If they were asked for.
    reason, detail : str
        Why there is no image.
    decode_s, quality_s, preprocess_s : float or None
        Wall clock of each stage, seconds; None where it was spared.
    raw : RawImage or None
        In the place of ``image`` and its hash, where the network's device preprocesses.
    """

    image: NDArray[np.float32] | None
    pixel_sha256: str = ""
    input_sha256: str = ""
    facts: PixelFacts | None = None
    reason: str = ""
    detail: str = ""
    decode_s: float | None = None
    quality_s: float | None = None
    preprocess_s: float | None = None
    raw: RawImage | None = None


def prepare_image(
    image: PendingImage,
    *,
    spec: PreprocessingSpec,
    thresholds: Mapping[str, Threshold],
    leave_raw: bool = False,
) -> Prepared:
    """Decode, measure and preprocess one file; a file that cannot be is a reason, not an exception.

    With ``leave_raw`` the pixels come back decoded, for a device that preprocesses.
    """
    started = time.perf_counter()
    try:
        decoded = _decode_unchanged(image)
        decoded_at = time.perf_counter()
        facts = None if image.has_facts else facts_of(decoded, image, thresholds=thresholds)
        measured_at = time.perf_counter()
        raw = RawImage(decoded.pixels, image.kind, decoded.photometric, decoded.padding_value)
        ready = None if leave_raw else raw.preprocess(spec)
    except (DecodingError, OSError) as error:
        reason, detail = _explain(error)
        return Prepared(None, reason=reason, detail=detail)
    return Prepared(
        ready,
        decoded.pixel_sha256,
        "" if ready is None else hash_input(ready),
        facts,
        decode_s=decoded_at - started,
        quality_s=None if facts is None else measured_at - decoded_at,
        preprocess_s=None if ready is None else time.perf_counter() - measured_at,
        raw=raw if ready is None else None,
    )


def read_kept(image: PendingImage, cache: InputCache) -> Prepared | None:
    """Return an image's input from the cache, if it is there and the file is as it was when indexed."""
    if image.kept_input_sha256 is None:
        return None
    try:
        unchanged = stat_location(image.path_bytes) == (image.size_bytes, image.modified_ns)
    except (DecodingError, OSError):
        return None
    ready = cache.read(image.kept_input_sha256) if unchanged else None
    if ready is None:
        return None
    return Prepared(ready, image.kept_pixel_sha256 or "", image.kept_input_sha256)


def prepare_perturbed(
    image: PendingImage, *, spec: PreprocessingSpec, changes: Sequence[Perturbation], seed: int
) -> NDArray[np.float32] | str:
    """Return the image unchanged and changed in every way, (1 + changes, H, W), or why it cannot be had."""
    try:
        decoded = _decode_unchanged(image)
        versions = [(decoded.pixels, decoded.padding_value)]
        versions += [
            perturb(decoded.pixels, change, padding_value=decoded.padding_value, seed=seed)
            for change in changes
        ]
        ready = [
            preprocess(
                pixels,
                kind=image.kind,
                photometric=decoded.photometric,
                spec=spec,
                padding_value=padding,
            )
            for pixels, padding in versions
        ]
    except (DecodingError, OSError) as error:
        return _explain(error)[0]
    return np.stack(ready)


def _decode_unchanged(image: PendingImage) -> Decoded:
    """Decode a file that is as it was when indexed."""
    if stat_location(image.path_bytes) != (image.size_bytes, image.modified_ns):
        raise DecodingError("changed", "the file changed since ingest; ingest it again")
    with open_location(image.path_bytes) as handle:
        return decode(handle)


def _explain(error: DecodingError | OSError) -> tuple[str, str]:
    """Return the reason code and detail of a file that cannot be prepared."""
    if isinstance(error, DecodingError):
        return error.reason, error.message
    if isinstance(error, FileNotFoundError):
        return "missing", "the file is no longer there; ingest again"
    return "unreadable", str(error.strerror)

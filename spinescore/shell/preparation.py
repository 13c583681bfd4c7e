"""An indexed file -> the image a network takes; worker processes import this and little else."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spinescore.core.eligibility.rule_set import Threshold
from spinescore.core.imaging.preprocessing import PreprocessingSpec, preprocess
from spinescore.domain import Kind
from spinescore.errors import DecodingError
from spinescore.shell.archive.locations import open_location, stat_location
from spinescore.shell.pixels.decoding import decode
from spinescore.shell.pixels.pixel_check import PixelFacts, facts_of


@dataclass(frozen=True, slots=True)
class PendingImage:
    """One image to score: where it is and what it was when indexed.

    Parameters
    ----------
    scored_input_sha256 : str or None
        Of the network's input when the image was scored before its file was touched.
    has_facts : bool
        Whether facts about these pixels are in the database already.
    """

    sop_instance_uid: str
    kind: Kind
    path_bytes: bytes
    size_bytes: int
    modified_ns: int
    scored_input_sha256: str | None = None
    has_facts: bool = False


@dataclass(frozen=True, slots=True)
class Prepared:
    """An image (H, W) as the network takes it with what was measured on the way, or why there is none."""

    image: NDArray[np.float32] | None
    pixel_sha256: str = ""
    input_sha256: str = ""
    facts: PixelFacts | None = None
    reason: str = ""
    detail: str = ""


def prepare_image(
    image: PendingImage, *, spec: PreprocessingSpec, thresholds: Mapping[str, Threshold]
) -> Prepared:
    """Decode, measure and preprocess one file; a file that cannot be is a reason, not an exception."""
    try:
        if stat_location(image.path_bytes) != (image.size_bytes, image.modified_ns):
            return Prepared(None, reason="changed", detail="the file changed since ingest; ingest it again")
        with open_location(image.path_bytes) as handle:
            decoded = decode(handle)
        facts = None if image.has_facts else facts_of(decoded, image, thresholds=thresholds)
        ready: NDArray[Any] = preprocess(
            decoded.pixels,
            kind=image.kind,
            photometric=decoded.photometric,
            spec=spec,
            padding_value=decoded.padding_value,
        )
    except FileNotFoundError:
        return Prepared(None, reason="missing", detail="the file is no longer there; ingest again")
    except DecodingError as error:
        return Prepared(None, reason=error.reason, detail=error.message)
    except OSError as error:
        return Prepared(None, reason="unreadable", detail=str(error.strerror))
    input_sha256 = hashlib.sha256(np.ascontiguousarray(ready).data).hexdigest()
    return Prepared(ready, decoded.pixel_sha256, input_sha256, facts)

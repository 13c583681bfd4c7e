"""An indexed file -> the image a network takes; worker processes import this and little else."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spinescore.core.imaging.preprocessing import PreprocessingSpec, preprocess
from spinescore.domain import Kind
from spinescore.errors import DecodingError
from spinescore.shell.decoding import decode


@dataclass(frozen=True, slots=True)
class PendingImage:
    """One image to score: where it is and what it was when indexed."""

    sop_instance_uid: str
    kind: Kind
    path_bytes: bytes
    size_bytes: int
    modified_ns: int


@dataclass(frozen=True, slots=True)
class Prepared:
    """An image (H, W) as the network takes it, or the reason why there is none."""

    image: NDArray[np.float32] | None
    pixel_sha256: str = ""
    reason: str = ""
    detail: str = ""


def prepare_image(image: PendingImage, *, spec: PreprocessingSpec) -> Prepared:
    """Decode and preprocess one file; a file that cannot be is a reason, not an exception."""
    try:
        status = os.stat(image.path_bytes)
        if (status.st_size, status.st_mtime_ns) != (image.size_bytes, image.modified_ns):
            return Prepared(None, reason="changed", detail="the file changed since ingest; ingest it again")
        decoded = decode(os.fsdecode(image.path_bytes))
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
    return Prepared(ready, decoded.pixel_sha256)

"""An indexed image -> facts about its pixels; worker processes import this and little else.

Decoders of damaged files abort, hang or bloat: ``check_pixels`` belongs in ``workers.map_supervised``
with a time and memory limit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Protocol

from spinescore.core.eligibility.rule_set import Threshold
from spinescore.core.imaging.quality import measure_quality, quality_flags
from spinescore.errors import DecodingError
from spinescore.shell.archive.locations import open_location, stat_location
from spinescore.shell.pixels.decoding import Decoded, decode


class IndexedFile(Protocol):
    """What a fact is filed under: the image, and its file as it was when indexed."""

    @property
    def sop_instance_uid(self) -> str:
        """The image."""

    @property
    def size_bytes(self) -> int:
        """Size of its file."""

    @property
    def modified_ns(self) -> int:
        """Time its file was last changed."""


@dataclass(frozen=True, slots=True)
class PixelItem:
    """One image to look at: where it is and what it was when indexed."""

    sop_instance_uid: str
    path_bytes: bytes
    size_bytes: int
    modified_ns: int


@dataclass(frozen=True, slots=True)
class PixelFacts:
    """A row of ``pixel_facts``: the measures are null where there is a reason why.

    Parameters
    ----------
    sop_instance_uid, size_bytes, modified_ns
        The image, and its file as it was when decoded.
    pixel_sha256 : str or None
        Of size and stored values, whatever the transfer syntax.
    contrast ... spine_likeness : float or None
        As ``quality.QualityMeasures``.
    flags : tuple of str
        By the thresholds of the rules.
    reason, detail : str or None
        Why it could not be decoded.
    """

    sop_instance_uid: str
    size_bytes: int
    modified_ns: int
    pixel_sha256: str | None = None
    contrast: float | None = None
    clipped_low_share: float | None = None
    clipped_high_share: float | None = None
    saturated_share: float | None = None
    collimated_share: float | None = None
    sharpness: float | None = None
    spine_likeness: float | None = None
    flags: tuple[str, ...] = ()
    reason: str | None = None
    detail: str | None = None

    @classmethod
    def failed(cls, item: IndexedFile, reason: str, detail: str) -> PixelFacts:
        """Return the facts of an image that could not be decoded."""
        return cls(item.sop_instance_uid, item.size_bytes, item.modified_ns, reason=reason, detail=detail)


def check_pixels(item: PixelItem, *, thresholds: Mapping[str, Threshold]) -> PixelFacts:
    """Decode one indexed image and measure it; a file that cannot be is a reason, not an exception.

    Beside the reasons of ``decoding.decode``: ``missing``, ``changed`` (since it was indexed),
    ``permission``, ``unreadable``.
    """
    try:
        if stat_location(item.path_bytes) != (item.size_bytes, item.modified_ns):
            return PixelFacts.failed(item, "changed", "the file changed since ingest; ingest it again")
        with open_location(item.path_bytes) as handle:
            decoded = decode(handle)
        return facts_of(decoded, item, thresholds=thresholds)
    except FileNotFoundError:
        return PixelFacts.failed(item, "missing", "the file is no longer there; ingest again")
    except PermissionError as error:
        return PixelFacts.failed(item, "permission", str(error.strerror))
    except DecodingError as error:
        return PixelFacts.failed(item, error.reason, error.message)
    except OSError as error:
        return PixelFacts.failed(item, "unreadable", str(error.strerror or error))
    except MemoryError:
        return PixelFacts.failed(item, "decode_failed", "the image needs more memory than a worker may have")


def facts_of(decoded: Decoded, item: IndexedFile, *, thresholds: Mapping[str, Threshold]) -> PixelFacts:
    """Measure an image that is decoded already.

    Parameters
    ----------
    decoded : Decoded
        Its pixels.
    item : IndexedFile
        What to file the facts under.
    thresholds : mapping of flag to Threshold
        ``RuleSet.quality``.
    """
    measures = measure_quality(
        decoded.pixels, photometric=decoded.photometric, padding_value=decoded.padding_value
    )
    return PixelFacts(
        item.sop_instance_uid,
        item.size_bytes,
        item.modified_ns,
        decoded.pixel_sha256,
        **asdict(measures),
        flags=quality_flags(measures, thresholds),
    )

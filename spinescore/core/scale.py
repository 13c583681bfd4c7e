"""What a number of images needs: hours, cores beside a GPU, bytes to move and to keep, and what bounds it.

Every stage is taken at its measured rate and all overlap, so the slowest decides; nothing is added for
starting, waiting or an uneven end. On processors alone, preparing and the network share the same cores and
their times add.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Stage = Literal["prepare", "forward", "read", "commit"]
INPUT_BYTES = 4  # of float32, as an image goes into the network
KEPT_BYTES = 1  # of an image kept prepared: 8 bits a pixel


@dataclass(frozen=True, slots=True, kw_only=True)
class StageRates:
    """What one image costs, measured.

    Parameters
    ----------
    decode_s, quality_s, preprocess_s : float
        Seconds of one core: reading and decoding, measuring the quality, bringing to the canvas.
    forward_core_s : float or None
        Seconds of one core in the network, where processors run it.
    forward_gpu_s : float or None
        Seconds of one GPU in the network.
    commit_s : float
        Seconds of the one process that writes the database.
    image_bytes, database_bytes : float
        Of a file as it lies in the archive; of all rows about one image.
    canvas_pixels : int
        Height times width of the network's input.
    """

    decode_s: float
    quality_s: float
    preprocess_s: float
    forward_core_s: float | None = None
    forward_gpu_s: float | None = None
    commit_s: float = 0.0
    image_bytes: float
    database_bytes: float
    canvas_pixels: int

    @property
    def prepare_s(self) -> float:
        """Seconds of one core until the network can have the image."""
        return self.decode_s + self.quality_s + self.preprocess_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Machines:
    """What there is to compute with.

    Parameters
    ----------
    cores : int
        Of all nodes together.
    gpus : int
        Of all nodes together; 0 for processors alone.
    read_bytes_per_s : float or None
        What the storage of the images gives to all nodes together; None leaves reading out of the account.
    """

    cores: int
    gpus: int = 0
    read_bytes_per_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """What a number of images needs on some machines.

    Parameters
    ----------
    seconds : mapping of stage to float
        How long each stage alone would take.
    total_s : float
        How long all of it takes, overlapped.
    bottleneck : str
        The stage that decides.
    rescoring_s : float
        How long another model takes where the prepared images were kept.
    cores_per_gpu : float or None
        Cores that prepare images as fast as one GPU takes them.
    read_bytes, to_gpu_bytes, database_bytes, kept_bytes : float
        Read from the archive; moved to GPUs; the database; all images kept prepared.
    """

    seconds: Mapping[Stage, float]
    total_s: float
    bottleneck: Stage
    rescoring_s: float
    cores_per_gpu: float | None
    read_bytes: float
    to_gpu_bytes: float
    database_bytes: float
    kept_bytes: float

    @property
    def cores_wanted(self) -> int | None:
        """Whole cores per GPU."""
        return None if self.cores_per_gpu is None else math.ceil(round(self.cores_per_gpu, 9))


def assess_need(n_images: float, rates: StageRates, machines: Machines) -> Need:
    """Return what scoring ``n_images`` images needs.

    Raises
    ------
    ValueError
        If the rate of the network is not known for what is to run it.

    >>> rates = StageRates(decode_s=0.1, quality_s=0, preprocess_s=0.1, forward_gpu_s=0.01,
    ...     image_bytes=1e7, database_bytes=5e3, canvas_pixels=524288)
    >>> need = assess_need(1e6, rates, Machines(cores=16, gpus=1))
    >>> need.total_s, need.bottleneck, need.cores_wanted
    (12500.0, 'prepare', 20)
    """
    forward_s = rates.forward_gpu_s if machines.gpus else rates.forward_core_s
    if forward_s is None:
        raise ValueError("the network's rate is not known")
    seconds: dict[Stage, float] = {
        "prepare": n_images * rates.prepare_s / machines.cores,
        "forward": n_images * forward_s / (machines.gpus or machines.cores),
        "commit": n_images * rates.commit_s,
    }
    if machines.read_bytes_per_s is not None:
        seconds["read"] = n_images * rates.image_bytes / machines.read_bytes_per_s
    total_s, bottleneck = _slowest(seconds, shared=not machines.gpus)
    return Need(
        seconds=seconds,
        total_s=total_s,
        bottleneck=bottleneck,
        rescoring_s=max(seconds["forward"], seconds["commit"]),
        cores_per_gpu=rates.prepare_s / forward_s if machines.gpus else None,
        read_bytes=n_images * rates.image_bytes,
        to_gpu_bytes=n_images * rates.canvas_pixels * INPUT_BYTES * bool(machines.gpus),
        database_bytes=n_images * rates.database_bytes,
        kept_bytes=n_images * rates.canvas_pixels * KEPT_BYTES,
    )


def _slowest(seconds: Mapping[Stage, float], *, shared: bool) -> tuple[float, Stage]:
    """Return how long all stages take, overlapped, and which of them decides.

    Preparing and the network take turns where they share cores; of the two the longer is then named.
    """
    prepare_s, forward_s = seconds["prepare"], seconds["forward"]
    together_s = prepare_s + forward_s if shared else max(prepare_s, forward_s)
    candidates: list[tuple[float, Stage]] = [
        (together_s, "forward" if forward_s > prepare_s else "prepare"),
        (seconds.get("read", 0.0), "read"),
        (seconds["commit"], "commit"),
    ]
    return max(candidates, key=lambda candidate: candidate[0])

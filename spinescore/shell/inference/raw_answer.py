"""What a backend that prepares images itself says of each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from spinescore.core.imaging.preprocessing import FloatImage, PreprocessingSpec
from spinescore.core.imaging.raw_image import RawImage
from spinescore.core.network.age_distribution import softmax
from spinescore.errors import DecodingError
from spinescore.shell.input_cache import hash_input


@dataclass(frozen=True, slots=True)
class RawAnswer:
    """What became of a raw image.

    Parameters
    ----------
    distribution : ndarray of float32, shape (K,), or None
        Probabilities of the ages.
    input_sha256 : str
        Of the canvas the network saw: the same wherever it was made.
    reason, detail : str
        Why there is no distribution, as preprocessing says it.
    """

    distribution: NDArray[np.float32] | None = None
    input_sha256: str = ""
    reason: str = ""
    detail: str = ""


def soften(logits: NDArray[np.float32], temperature: np.float32) -> NDArray[np.float32]:
    """Return the probabilities (N, K) of logits."""
    return softmax(logits / temperature)


def prepare_or_refuse(raw: RawImage, spec: PreprocessingSpec) -> tuple[FloatImage | None, RawAnswer]:
    """Return the canvas made on the host with its hash, or none and why."""
    try:
        canvas = raw.preprocess(spec)
    except DecodingError as error:
        return None, RawAnswer(reason=error.reason, detail=error.message)
    return canvas, RawAnswer(input_sha256=hash_input(canvas))


def answer_on_host(
    images: Sequence[RawImage],
    spec: PreprocessingSpec,
    predict: Callable[[NDArray[np.float32]], NDArray[np.float32]],
) -> list[RawAnswer]:
    """Prepare raw images on the host and let a backend that takes prepared ones answer."""
    prepared = [prepare_or_refuse(raw, spec) for raw in images]
    ready = [canvas for canvas, _ in prepared if canvas is not None]
    distributions = iter(predict(np.stack(ready)[:, None]) if ready else ())
    return [
        answer if canvas is None else replace(answer, distribution=next(distributions))
        for canvas, answer in prepared
    ]

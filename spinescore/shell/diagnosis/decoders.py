"""Does every decoder decode? One small image of ours in each transfer syntax, in a process of its own."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spinescore.core.diagnosis.finding import Finding, judge
from spinescore.shell.pixels.decoding import decode
from spinescore.shell.pixels.frame_decoders import LOSSY
from spinescore.shell.resources import resource
from spinescore.shell.workers import DECODER_MEMORY_BYTES, WorkerFailure, map_supervised

TIMEOUT_S = 60.0
MOST_OFF = 0.02  # of the range of values; the coders of the samples lose up to 0.011 of it (JPEG 2000)
NATIVE = "1.2.840.10008.1.2.1"
REPAIR = "Install spinescore again; images of this transfer syntax are rejected until then."

Sample = Mapping[str, Any]


def look_at_decoders() -> Iterator[Finding]:
    """Decode every sample and hold it against the image that was coded."""
    known = samples()
    for sample, outcome in map_supervised(
        decode_sample, known, workers=1, timeout_s=TIMEOUT_S, memory_limit_bytes=DECODER_MEMORY_BYTES
    ):
        yield judge_decoded(sample, outcome)


@cache
def samples() -> tuple[Sample, ...]:
    """Return the samples: name, bits, transfer syntax, file in base64."""
    content = resource("data", "codec-samples.json").read_text(encoding="utf-8")
    return tuple(json.loads(content))


def decode_sample(sample: Sample) -> NDArray[Any]:
    """Return the stored values of a sample."""
    return decode(io.BytesIO(base64.b64decode(sample["file"]))).stored


def judge_decoded(sample: Sample, outcome: NDArray[Any] | WorkerFailure) -> Finding:
    """Hold what came out of a decoder against the image itself: equal, or near where coding loses."""
    name = f"{sample['name']} ({sample['syntax']})"
    if isinstance(outcome, WorkerFailure):
        return judge("decoders", name, f"{outcome.reason}: {outcome.detail}", fail=REPAIR)
    truth = decode_sample(_native(sample["bits"]))
    if outcome.shape != truth.shape:
        return judge("decoders", name, f"an image of {outcome.shape}, not {truth.shape}", fail=REPAIR)
    off = int(np.abs(outcome.astype(np.int64) - truth.astype(np.int64)).max())
    most = int(MOST_OFF * 2 ** sample["bits"]) if sample["syntax"] in LOSSY else 0
    found = f"decoded, at most {off} off" if most else "decoded, every value as it was"
    return judge(
        "decoders", name, found if off <= most else f"values {off} off", fail="" if off <= most else REPAIR
    )


def _native(bits: int) -> Sample:
    return next(sample for sample in samples() if (sample["bits"], sample["syntax"]) == (bits, NATIVE))

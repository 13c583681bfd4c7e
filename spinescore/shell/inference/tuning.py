"""What a user may say about how a network runs; imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass

MOST_MOVED_YEARS = 0.05


@dataclass(frozen=True, slots=True)
class Tuning:
    """How to run a network on its device.

    Parameters
    ----------
    batch_size : int, optional
        Images at once on each device; if left out, 4 on the CPU and on CUDA what was found by trying.
    precision : {"fp32", "fp16", "bf16", "auto"}
        Reduced ones only if they move no probe's age by more than the limit.
    precision_limit_years : float
    preprocess_on_device : bool
        Send decoded pixels up and preprocess there, where the backend can.
    """

    batch_size: int | None = None
    precision: str = "fp32"
    precision_limit_years: float = MOST_MOVED_YEARS
    preprocess_on_device: bool = False

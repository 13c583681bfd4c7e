"""How the time of training splits, and by what it is bound."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

PARTS = ("data", "forward", "backward", "validation")
NAMES: Mapping[str, str] = {
    "data": "reading and changing images",
    "forward": "forward",
    "backward": "backward and step",
    "validation": "validation and saving",
}
DATA_BOUND = 0.4


@dataclass(frozen=True, slots=True)
class TrainingTimes:
    """Seconds per part of all epochs, and the images that were trained on in them."""

    seconds: Mapping[str, float]
    n_images: int

    @property
    def total_s(self) -> float:
        """Seconds together."""
        return sum(self.seconds.values())

    @property
    def shares(self) -> dict[str, float]:
        """Each part's share of the whole."""
        return {part: s / self.total_s if self.total_s else 0.0 for part, s in self.seconds.items()}

    @property
    def images_per_second(self) -> float:
        """Images trained on per second, validation included."""
        return self.n_images / self.total_s if self.total_s else 0.0

    def describe(self) -> str:
        """Return the split in a line, and what training is bound by.

        >>> TrainingTimes({"data": 1.0, "backward": 9.0}, 50).describe()
        'reading and changing images 10%, backward and step 90%; bound by computing; 5.0 images/s'
        """
        split = ", ".join(f"{NAMES[part]} {share:.0%}" for part, share in self.shares.items())
        bound = "by reading images" if self.shares["data"] > DATA_BOUND else "by computing"
        return f"{split}; bound {bound}; {self.images_per_second:,.1f} images/s"


def sum_times(history: Sequence[Mapping[str, Any]]) -> TrainingTimes:
    """Return the times of finished epochs, as ``metrics.jsonl`` has them."""
    seconds = {part: sum(line["seconds_of"][part] for line in history) for part in PARTS}
    return TrainingTimes(seconds, sum(line["images"] for line in history))

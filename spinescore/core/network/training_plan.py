"""Which images make which step of which epoch: a function of stages, seed and epoch, and so a run resumes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Positions = NDArray[np.int64]
WARM_UP = 0.05
FINAL_RATE = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Epochs at one image size and one learning-rate cycle.

    Parameters
    ----------
    epochs : int
        Number of epochs.
    shrink : int
        Images are averaged over blocks of this side first: 2 trains at half the canvas.
    batch_size : int
        Images per step, over all devices together.
    learning_rate : float
        Adam's highest; warmed up, then lowered along a cosine.
    images_per_epoch : int, optional
        A random subset per epoch; all if left out.
    mean_weight, variance_weight : float
        l1 and l2 of the loss. From scratch the variance term is best left out at first: it narrows
        the distribution before there is anything to be sure of, and learning stalls.
    """

    epochs: int
    shrink: int = 1
    batch_size: int = 16
    learning_rate: float = 1e-3
    images_per_epoch: int | None = None
    mean_weight: float = 0.2
    variance_weight: float = 0.05

    def count_images(self, available: int) -> int:
        """Return how many images an epoch takes of those there are."""
        return min(available, self.images_per_epoch or available)


@dataclass(frozen=True, slots=True)
class EpochPlan:
    """One epoch.

    Parameters
    ----------
    stage : Stage
        What it belongs to.
    batches : tuple of ndarray
        Positions in the training part, step by step; each position at most once.
    rates : tuple of float
        The learning rate of each step.
    """

    stage: Stage
    batches: tuple[Positions, ...]
    rates: tuple[float, ...]

    @property
    def n_images(self) -> int:
        """Images of the epoch."""
        return sum(batch.size for batch in self.batches)


@dataclass(frozen=True, slots=True, kw_only=True)
class Progressed:
    """How far a run is after a step.

    Parameters
    ----------
    epoch, n_epochs : int
        Counted from 0 over all stages; at most so many.
    step, n_steps : int
        Steps of the epoch done, and how many it has.
    n_images : int
        Of the step.
    work_before, work_done : float
        Share of the whole run done before and after it, an image counted by its pixels.
    """

    epoch: int
    n_epochs: int
    step: int
    n_steps: int
    n_images: int
    work_before: float
    work_done: float


def measure_progress(
    stages: Sequence[Stage], epoch: int, step: int, batches: Sequence[Positions], n_images: int
) -> Progressed:
    """Return how far a run is once ``step`` of an epoch's batches are done."""
    epochs = list_epochs(stages)
    work = [stage.count_images(n_images) / stage.shrink**2 for stage, _ in epochs]
    each = work[epoch] / sum(work) / len(batches)
    before = sum(work[:epoch]) / sum(work) + (step - 1) * each
    return Progressed(
        epoch=epoch,
        n_epochs=len(epochs),
        step=step,
        n_steps=len(batches),
        n_images=batches[step - 1].size,
        work_before=before,
        work_done=before + each,
    )


def list_epochs(stages: Sequence[Stage]) -> list[tuple[Stage, int]]:
    """Return each epoch's stage and its number within the stage.

    >>> [number for _, number in list_epochs([Stage(epochs=2), Stage(epochs=1)])]
    [0, 1, 0]
    """
    return [(stage, number) for stage in stages for number in range(stage.epochs)]


def plan_epoch(stages: Sequence[Stage], epoch: int, n_images: int, *, seed: int, smallest: int) -> EpochPlan:
    """Draw the steps of an epoch.

    Parameters
    ----------
    stages : sequence of Stage
        The whole run.
    epoch : int
        Counted over all stages.
    n_images : int
        Size of the training part.
    seed : int
        With the epoch it decides the order.
    smallest : int
        Number of devices; a last batch that could not give each of them an image joins the one before.
    """
    stage, number = list_epochs(stages)[epoch]
    order = np.random.default_rng([seed, epoch]).permutation(n_images)[: stage.count_images(n_images)]
    batches = [np.sort(order[at : at + stage.batch_size]) for at in range(0, order.size, stage.batch_size)]
    if len(batches) > 1 and batches[-1].size < smallest:
        batches[-2:] = [np.sort(np.concatenate(batches[-2:]))]
    n_steps = len(batches)
    shares = [(number * n_steps + step) / (stage.epochs * n_steps) for step in range(n_steps)]
    rates = tuple(stage.learning_rate * shape_rate(share) for share in shares)
    return EpochPlan(stage, tuple(batches), rates)


def share_batch(batch: Positions, rank: int, n_devices: int) -> Positions:
    """Return the part of a batch that one of several devices computes.

    >>> [share_batch(np.arange(5), rank, 2).tolist() for rank in (0, 1)]
    [[0, 2, 4], [1, 3]]
    """
    return batch[rank::n_devices]


def shape_rate(share: float) -> float:
    """Return the learning rate's factor at a share of a stage: a linear warm-up, then half a cosine.

    >>> shape_rate(0.05), round(shape_rate(1.0), 9)
    (1.0, 0.01)
    """
    if share < WARM_UP:
        return (share + 1e-3) / (WARM_UP + 1e-3)
    along = (share - WARM_UP) / (1 - WARM_UP)
    return FINAL_RATE + (1 - FINAL_RATE) * 0.5 * (1 + math.cos(math.pi * along))


def mix_seed(*numbers: int) -> int:
    """Return a seed for torch that is a function of several numbers."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> np.uint64(1))

"""The spine age network as Lightning trains it; killed at any moment, it goes on as if it had not been.

Every random draw is a function of (seed, epoch, step, device), so a checkpoint needs no generator's state to
resume exactly: weights, optimiser and position are enough.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from lightning.pytorch import LightningModule
from safetensors.torch import save_file
from torch import Tensor
from torch.utils.data import DataLoader

from spinescore.core.network.accuracy import measure_by_kind
from spinescore.core.network.age_distribution import expectation, softmax
from spinescore.core.network.architecture import SpineAgeNetwork
from spinescore.core.network.augmentation import Augmentation, augment
from spinescore.core.network.loss import MeanVarianceLoss, mean_variance_loss
from spinescore.core.network.training_plan import (
    EpochPlan,
    Progressed,
    Stage,
    list_epochs,
    measure_progress,
    mix_seed,
    plan_epoch,
    share_batch,
)
from spinescore.errors import TrainingError
from spinescore.shell.training.batches import Batch, Batches, PartImages, make_loader, scale_images
from spinescore.shell.training.position import BEST, CHECKPOINT, LOSSES, SUMS, TIMES, Position

EVALUATION_BATCH = 32
Listen = Callable[[str, Any], None]


class InterruptedTraining(Exception):  # noqa: N818 - no error: someone asked for it
    """Training was asked to stop, and has left a checkpoint."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What the loop needs of a request, and can be sent to another process."""

    work: Path
    run: str
    stages: tuple[Stage, ...]
    seed: int
    augmentation: Augmentation
    first_age: int
    weight_decay: float
    accumulate: int
    patience: int | None
    workers: int
    n_devices: int
    checkpoint_every_s: float


class SpineAgeTraining(LightningModule):
    """Loss, optimiser, loaders, what is measured of an epoch, and when to stop."""

    def __init__(
        self,
        network: SpineAgeNetwork,
        recipe: Recipe,
        training: PartImages,
        validation: tuple[PartImages, pl.DataFrame],
        position: Position,
        listen: Listen,
    ) -> None:
        super().__init__()
        self.network = network
        self.recipe = recipe
        self.training_images = training
        self.validation_images, self.validation_table = validation
        self.position = position
        self.first_epoch = position.epoch
        self.listen = listen
        self.stop_requested = False
        self._plan: EpochPlan | None = None
        self._answers: list[tuple[Tensor, Tensor]] = []
        self._validated: dict[str, Any] = {}
        self._mark = self._saved = self._epoch_began = time.monotonic()
        self._seconds_before = 0.0

    # -- data

    def train_dataloader(self) -> DataLoader[Batch]:
        """Return the steps of the epoch that are still to do."""
        epoch = self.first_epoch + self.trainer.current_epoch
        if epoch != self.position.epoch:
            self.position.begin_epoch(epoch)
        self._plan = plan_epoch(
            self.recipe.stages,
            epoch,
            self.training_images.rows.size,
            seed=self.recipe.seed,
            smallest=self.trainer.world_size,
        )
        mine = [share_batch(b, self.trainer.global_rank, self.trainer.world_size) for b in self._plan.batches]
        return self._load(Batches(self.training_images, mine, self.position.step), self.recipe.workers)

    def val_dataloader(self) -> DataLoader[Batch]:
        """Return this device's share of the validation part."""
        mine = np.arange(self.validation_images.rows.size)[
            self.trainer.global_rank :: self.trainer.world_size
        ]
        chunks = [mine[at : at + EVALUATION_BATCH] for at in range(0, mine.size, EVALUATION_BATCH)]
        return self._load(Batches(self.validation_images, chunks), 0)

    def _load(self, batches: Batches, workers: int) -> DataLoader[Batch]:
        return make_loader(batches, workers=workers, pin_memory=self.device.type == "cuda")

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Scale the images and, in training, change them, on the device they are on."""
        del dataloader_idx
        images = scale_images(batch.images, self.plan.stage.shrink)
        if self.trainer.training:
            draw = (self.recipe.seed, self.position.epoch, batch.step, self.trainer.global_rank)
            torch.manual_seed(mix_seed(*(draw if self.trainer.global_rank else draw[:3])))
            images = augment(images, self.recipe.augmentation)
        return Batch(
            images.contiguous(memory_format=torch.channels_last), batch.ages, batch.positions, batch.step
        )

    @property
    def plan(self) -> EpochPlan:
        """The epoch at hand."""
        assert self._plan is not None
        return self._plan

    # -- steps

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return Adam, as the study used it."""
        return torch.optim.Adam(
            self.network.parameters(),
            lr=self.recipe.stages[0].learning_rate,
            weight_decay=self.recipe.weight_decay,
        )

    def on_train_epoch_start(self) -> None:
        """Start the clocks."""
        self._seconds_before = sum(self.position.times_s)
        self._epoch_began = self._mark = time.monotonic()

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Set the step's learning rate."""
        del batch_idx
        for group in self.trainer.optimizers[0].param_groups:
            group["lr"] = self.plan.rates[batch.step]
        self._clock("data")

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the loss of a batch."""
        del batch_idx
        loss = self._measure_loss(self.network(batch.images), batch.ages)
        found = (loss.total, loss.cross_entropy, loss.mean, loss.variance, loss.absolute_error)
        parts = torch.stack(found).detach().tolist()
        if not np.isfinite(parts[0]):
            raise TrainingError("The loss is no longer a number.", "Lower the learning rate and start anew.")
        n = batch.ages.shape[0]
        self.position.sums = [a + n * b for a, b in zip(self.position.sums, parts, strict=True)]
        self.position.n_images += n
        self._clock("forward")
        return loss.total

    def on_train_batch_end(self, outputs: Any, batch: Batch, batch_idx: int) -> None:
        """Say how far training is; leave a checkpoint when it is time, at a step that changed the weights."""
        del outputs, batch_idx
        self._clock("backward")
        self.position.step = batch.step + 1
        self.listen("step", self._progress())
        whole = self.position.step % self.recipe.accumulate == 0
        if whole and self.position.step < len(self.plan.batches) and self._time_to_save():
            self._save()
            if self.stop_requested:
                raise InterruptedTraining

    def _progress(self) -> Progressed:
        position, n = self.position, self.training_images.rows.size
        return measure_progress(self.recipe.stages, position.epoch, position.step, self.plan.batches, n)

    def _time_to_save(self) -> bool:
        due = self.stop_requested or time.monotonic() - self._saved > self.recipe.checkpoint_every_s
        if self.trainer.world_size == 1:
            return due
        return self.trainer.strategy.reduce_boolean_decision(due, all=False)

    def _measure_loss(self, logits: Tensor, ages: Tensor) -> MeanVarianceLoss:
        with torch.autocast(logits.device.type, enabled=False):  # sums over ages need float32
            return mean_variance_loss(
                logits,
                ages,
                first_age=self.recipe.first_age,
                mean_weight=self.plan.stage.mean_weight,
                variance_weight=self.plan.stage.variance_weight,
            )

    def _clock(self, part: str) -> None:
        """Add the time since the last call to one part of the step's."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        now = time.monotonic()
        self.position.times_s[TIMES.index(part)] += now - self._mark
        self._mark = now

    # -- validation

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Keep the answers to a batch, computed as scoring computes them: in float32."""
        del batch_idx
        with torch.autocast(batch.images.device.type, enabled=False):
            self._answers.append((batch.positions, self.network(batch.images).float()))

    def on_validation_epoch_end(self) -> None:
        """Measure loss and accuracy of the whole part, whichever device computed what."""
        logits = self._gather_answers()
        ages = torch.from_numpy(self.validation_images.ages)
        loss = self._measure_loss(logits, ages)
        spine_age = expectation(softmax(logits.numpy()), self.recipe.first_age)
        losses = (loss.total, loss.cross_entropy, loss.mean, loss.variance)
        self._validated = {
            "validation": measure_by_kind(self.validation_table, spine_age),
            "validation_loss": dict(zip(LOSSES, map(float, losses), strict=True)),
        }

    def _gather_answers(self) -> Tensor:
        """Return the logits (N, K) of the validation part in its order, on the CPU."""
        n, world = self.validation_images.rows.size, self.trainer.world_size
        places = torch.cat([where for where, _ in self._answers]).to(self.device)
        logits = torch.cat([answer for _, answer in self._answers])
        self._answers = []
        if world > 1:
            short = -(-n // world) - places.numel()
            places = torch.cat([places, places[:1].expand(short)])
            logits = torch.cat([logits, logits[:1].expand(short, -1)])
            places, logits = _gather(places), _gather(logits)
        ordered = logits.new_empty(n, logits.shape[1])
        ordered[places] = logits
        return ordered.cpu()

    # -- epochs

    def on_train_epoch_end(self) -> None:
        """Keep the best weights, write what was measured, save, and decide whether to go on."""
        position, plan = self.position, self.plan
        self._share_sums()
        line = self._describe_epoch()
        score = [float(plan.stage.shrink), line["validation"]["all"]["mae_years"]]
        if score < position.best:
            position.best, position.best_epoch = score, position.epoch
            if self.trainer.is_global_zero:
                self._keep_best()
        position.history.append(line)
        position.stopped = self._is_patience_over()
        position.begin_epoch(position.epoch + 1)
        self._save()
        self.listen("epoch", line)
        if position.stopped:
            self.trainer.should_stop = True
        elif self.stop_requested:
            raise InterruptedTraining

    def _describe_epoch(self) -> dict[str, Any]:
        position, plan = self.position, self.plan
        n = max(1, position.n_images)
        steps = dict(zip(TIMES, position.times_s, strict=True))
        seconds = self._seconds_before + time.monotonic() - self._epoch_began
        return {
            "epoch": position.epoch,
            "shrink": plan.stage.shrink,
            "images": position.n_images,
            "learning_rate": plan.rates[-1],
            "seconds": round(seconds, 1),
            "seconds_of": {part: round(s, 2) for part, s in steps.items()}
            | {"validation": round(max(0.0, seconds - sum(steps.values())), 2)},
            "train": dict(zip(SUMS, [total / n for total in position.sums], strict=True)),
            **self._validated,
        }

    def _is_patience_over(self) -> bool:
        """Whether the last stage has brought nothing better for too long."""
        position, patience = self.position, self.recipe.patience
        epochs = list_epochs(self.recipe.stages)
        stage, number = epochs[position.epoch]
        if patience is None or stage is not epochs[-1][0] or position.best_epoch is None:
            return False
        waited = position.epoch - max(position.best_epoch, position.epoch - number)
        return waited >= patience

    def _share_sums(self) -> None:
        """Let the first device hold the sums of all."""
        if self.trainer.world_size == 1:
            return
        position = self.position
        sums = torch.tensor([*position.sums, position.n_images], dtype=torch.float64, device=self.device)
        total = self.trainer.strategy.reduce(sums, reduce_op="sum").tolist()
        mine = total if self.trainer.is_global_zero else [0.0] * len(total)
        position.sums, position.n_images = mine[:-1], int(mine[-1])

    def _keep_best(self) -> None:
        unfinished = self.recipe.work / f"{BEST}.part"
        save_file(
            {n: t.detach().cpu().contiguous() for n, t in self.network.state_dict().items()}, unfinished
        )
        unfinished.replace(self.recipe.work / BEST)

    # -- checkpoints

    def _save(self) -> None:
        self._share_sums()
        self.trainer.save_checkpoint(self.recipe.work / CHECKPOINT, weights_only=False)
        self._saved = self._mark = time.monotonic()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add where the run is, in place of Lightning's own counters."""
        checkpoint.pop("loops", None)
        checkpoint |= {"run": self.recipe.run, "position": self.position.to_text()}


def _gather(mine: Tensor) -> Tensor:
    """Return the rows of all devices' tensors, which are of one shape."""
    found = [torch.empty_like(mine) for _ in range(torch.distributed.get_world_size())]
    torch.distributed.all_gather(found, mine.contiguous())
    return torch.cat(found)

"""Train a spine age network from preprocessed images; killed at any moment, it goes on as if it had not been.

Every random draw is a function of (seed, epoch, step), so a checkpoint needs no generator's
state to resume exactly: weights, optimiser and position are enough.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional

from spinescore.core.imaging.preprocessing import PreprocessingSpec
from spinescore.core.network.age_distribution import age_class, expectation, softmax
from spinescore.core.network.architecture import SpineAgeNetwork
from spinescore.core.network.augmentation import Augmentation, augment
from spinescore.core.network.loss import mean_variance_loss
from spinescore.errors import TrainingError
from spinescore.shell.bundles import BundleDescription, write_bundle
from spinescore.shell.image_cache import ImageCache

CHECKPOINT = "checkpoint.safetensors"
METRICS = "metrics.jsonl"
BATCH_NORM_MOMENTUM = 0.05  # the backbone's 0.01 lags behind when an epoch has few steps
GRADIENT_NORM = 20.0  # the mean loss grows with the square of the error: tame the first steps
WARM_UP = 0.05
FINAL_RATE = 0.01
EVALUATION_BATCH = 32
PARTS = ("train", "validation", "test")


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
        Images per step.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRequest:
    """What to train, on what, how, and where to leave it.

    Parameters
    ----------
    cache : ImageCache
        Preprocessed images with ``subject_id, kind, age_years``.
    work, output : Path
        Working folder (checkpoint, metrics) and the bundle's folder.
    description : BundleDescription
        What the manifest will say; backbone and classes are read from here, metrics filled in here.
    model_card : callable
        Finished description -> Markdown.
    stages : tuple of Stage
        In order.
    split : (float, float, float)
        Shares of subjects for training, validation and test.
    seed : int
        Decides split, order, augmentation and initial weights.
    augmentation : Augmentation
        Strength.
    bf16 : bool
        Autocast to bfloat16 (pays only where the processor has it).
    checkpoint_every_s : float
        Seconds between checkpoints.
    """

    cache: ImageCache
    work: Path
    output: Path
    description: BundleDescription
    model_card: Callable[[BundleDescription], str]
    stages: tuple[Stage, ...]
    split: tuple[float, float, float] = (0.6, 0.2, 0.2)
    seed: int = 0
    augmentation: Augmentation = field(default_factory=Augmentation)
    bf16: bool = False
    checkpoint_every_s: float = 120.0


@dataclass(slots=True)
class _Position:
    """Where a run is: the epoch and step to do next, the epoch's sums, the best so far."""

    epoch: int = 0
    step: int = 0
    sums: list[float] = field(default_factory=lambda: [0.0] * 4)
    best: list[float] = field(default_factory=lambda: [math.inf, math.inf])


@dataclass(slots=True)
class _Run:
    """A run's parts that change."""

    request: TrainingRequest
    parts: dict[str, pl.DataFrame]
    network: SpineAgeNetwork
    optimiser: torch.optim.Adam
    position: _Position


def train(request: TrainingRequest, *, announce: Callable[[dict[str, Any]], None] = lambda _: None) -> Path:
    """Train, or go on training, and return the bundle's folder.

    After every epoch a line of metrics joins ``work/metrics.jsonl`` and the bundle is written
    if the validation error is the lowest of the finest stage so far.

    Raises
    ------
    TrainingError
        If the working folder belongs to another run, or a part of the split is empty.
    """
    run = _open_run(request)
    for epoch, stage in list(_epochs(request.stages))[run.position.epoch :]:
        started = time.monotonic()
        _train_epoch(run, epoch, stage)
        predicted = _predict(run.network, run.parts["validation"], request, stage.shrink)
        metrics = measure_accuracy(run.parts["validation"], predicted)
        steps = max(1, math.ceil(_epoch_size(run, stage) / stage.batch_size))
        line = {
            "epoch": epoch,
            "shrink": stage.shrink,
            "seconds": round(time.monotonic() - started, 1),
            "train": dict(zip(LOSSES, [s / steps for s in run.position.sums], strict=True)),
            "validation": metrics,
        }
        score = [float(stage.shrink), metrics["all"]["mae_years"]]
        if score < run.position.best:
            run.position.best = score
            line["test"] = _write(run, stage.shrink)
        run.position = _Position(epoch=epoch + 1, best=run.position.best)
        _save_checkpoint(run)
        with (request.work / METRICS).open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(line) + "\n")
        announce(line)
    return request.output


LOSSES = ("total", "cross_entropy", "mean", "variance")


def split_subjects(
    table: pl.DataFrame, shares: tuple[float, float, float], seed: int
) -> dict[str, pl.DataFrame]:
    """Split by subject: all images of a subject fall into one part, whoever else is there.

    >>> parts = split_subjects(pl.DataFrame({"subject_id": ["a", "a", "b"]}), (1.0, 0.0, 0.0), 0)
    >>> parts["train"].height
    3
    """
    bounds = np.cumsum(shares) / sum(shares)
    drawn = {s: _draw_subject(s, seed) for s in table["subject_id"].unique()}
    part = [int(np.searchsorted(bounds[:2], drawn[s], side="right")) for s in table["subject_id"]]
    return {name: table.filter(pl.Series(part) == i) for i, name in enumerate(PARTS)}


def _draw_subject(subject_id: str, seed: int) -> float:
    digest = hashlib.sha256(f"{seed} {subject_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def measure_accuracy(table: pl.DataFrame, spine_age: NDArray[np.float64]) -> dict[str, dict[str, float]]:
    """Return n, MAE, r and slope of raw spine age on age, over all images and by kind."""
    measured = {"all": _accuracy(table["age_years"].to_numpy(), spine_age)}
    for kind in sorted(table["kind"].unique()):
        of_kind = (table["kind"] == kind).to_numpy()
        measured[kind] = _accuracy(table["age_years"].to_numpy()[of_kind], spine_age[of_kind])
    return measured


def _accuracy(age: NDArray[np.float64], spine_age: NDArray[np.float64]) -> dict[str, float]:
    measured = {"n": float(age.size), "mae_years": float(np.abs(spine_age - age).mean())}
    if age.size > 2 and np.ptp(age) > 0 and np.ptp(spine_age) > 0:
        measured["r"] = float(np.corrcoef(age, spine_age)[0, 1])
        measured["slope"] = float(np.polyfit(age, spine_age, 1)[0])
    return {key: round(value, 4) for key, value in measured.items()}


def _epochs(stages: tuple[Stage, ...]) -> Iterator[tuple[int, Stage]]:
    return enumerate(stage for stage in stages for _ in range(stage.epochs))


def _epoch_size(run: _Run, stage: Stage) -> int:
    available = run.parts["train"].height
    return min(available, stage.images_per_epoch or available)


def _open_run(request: TrainingRequest) -> _Run:
    """Split, build the network, and load the checkpoint if there is one."""
    description = request.description
    last_age = description.first_age + description.n_classes
    usable = request.cache.table.filter(
        pl.col("age_years").is_between(description.first_age, last_age, "left")
    )
    parts = split_subjects(usable, request.split, request.seed)
    empty = [name for name, part in parts.items() if part.is_empty()]
    if empty:
        raise TrainingError(f"No image falls into the part {empty[0]}.", "Train on more subjects.")
    torch.manual_seed(request.seed)
    network = SpineAgeNetwork(description.backbone, description.n_classes)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = BATCH_NORM_MOMENTUM
    _start_from_prior(network, parts["train"]["age_years"].to_numpy(), description)
    network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimiser = torch.optim.Adam(network.parameters(), lr=request.stages[0].learning_rate)
    run = _Run(request, parts, network, optimiser, _Position())
    request.work.mkdir(parents=True, exist_ok=True)
    if (request.work / CHECKPOINT).exists():
        _load_checkpoint(run)
    return run


@torch.no_grad()
def _start_from_prior(
    network: SpineAgeNetwork, ages: NDArray[np.float64], description: BundleDescription
) -> None:
    """Let the untrained network answer with the ages' own distribution: that much it need not learn."""
    classes = age_class(ages, description.first_age, description.n_classes)
    counts = np.bincount(classes, minlength=description.n_classes) + 1.0
    network.fclayer2.bias.copy_(torch.from_numpy(np.log(counts / counts.sum())))


def _train_epoch(run: _Run, epoch: int, stage: Stage) -> None:
    """Do the steps of an epoch that are still to do."""
    request, position = run.request, run.position
    size = _epoch_size(run, stage)
    order = np.random.default_rng([request.seed, epoch]).permutation(run.parts["train"].height)[:size]
    starts = range(0, size, stage.batch_size)
    done_before = sum(1 for e, s in _epochs(request.stages) if e < epoch and s is stage) * len(starts)
    saved = time.monotonic()
    run.network.train()
    for step in range(position.step, len(starts)):
        share = (done_before + step) / (stage.epochs * len(starts))
        for group in run.optimiser.param_groups:
            group["lr"] = stage.learning_rate * _rate(share)
        torch.manual_seed(_mix(request.seed, epoch, step))
        batch = run.parts["train"][np.sort(order[starts[step] : starts[step] + stage.batch_size])]
        losses = _train_step(run, batch, stage)
        position.sums = [a + b for a, b in zip(position.sums, losses, strict=True)]
        position.step = step + 1
        if time.monotonic() - saved > request.checkpoint_every_s:
            _save_checkpoint(run)
            saved = time.monotonic()


def _rate(share: float) -> float:
    """Return the learning rate's factor: a linear warm-up, then half a cosine."""
    if share < WARM_UP:
        return (share + 1e-3) / (WARM_UP + 1e-3)
    along = (share - WARM_UP) / (1 - WARM_UP)
    return FINAL_RATE + (1 - FINAL_RATE) * 0.5 * (1 + math.cos(math.pi * along))


def _mix(*numbers: int) -> int:
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> np.uint64(1))


def _train_step(run: _Run, batch: pl.DataFrame, stage: Stage) -> list[float]:
    request = run.request
    images = augment(_load_images(request.cache, batch, stage.shrink), request.augmentation)
    ages = torch.tensor(batch["age_years"].to_numpy(), dtype=torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=request.bf16):
        logits = run.network(images.contiguous(memory_format=torch.channels_last))
    loss = mean_variance_loss(
        logits,
        ages,
        first_age=request.description.first_age,
        mean_weight=stage.mean_weight,
        variance_weight=stage.variance_weight,
    )
    if not torch.isfinite(loss.total):
        raise TrainingError("The loss is no longer a number.", "Lower the learning rate and start anew.")
    run.optimiser.zero_grad(set_to_none=True)
    loss.total.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(run.network.parameters(), GRADIENT_NORM)
    run.optimiser.step()
    return [float(x.detach()) for x in (loss.total, loss.cross_entropy, loss.mean, loss.variance)]


def _load_images(cache: ImageCache, batch: pl.DataFrame, shrink: int) -> Tensor:
    """Return images (N, 1, H / shrink, W / shrink) in [0, 1]."""
    images = torch.from_numpy(np.asarray(cache.images[batch["row"].to_numpy()])).float()[:, None] / 255
    return functional.avg_pool2d(images, shrink) if shrink > 1 else images


@torch.no_grad()
def _predict(
    network: SpineAgeNetwork, table: pl.DataFrame, request: TrainingRequest, shrink: int
) -> NDArray[np.float64]:
    """Return the spine age of every image of a table, years."""
    network.eval()
    logits = [
        network(_load_images(request.cache, batch, shrink).contiguous(memory_format=torch.channels_last))
        for batch in table.iter_slices(EVALUATION_BATCH)
    ]
    return expectation(softmax(torch.cat(logits).numpy()), request.description.first_age)


def _write(run: _Run, shrink: int) -> dict[str, Any]:
    """Write the bundle with what it achieves on the test part; return that."""
    request, test = run.request, run.parts["test"]
    achieved = measure_accuracy(test, _predict(run.network, test, request, shrink))
    trained = run.parts["train"]["age_years"]
    description = replace(
        request.description,
        metrics={"test": achieved},
        age_range=(float(trained.min()), float(trained.max())),  # type: ignore[arg-type]
    )
    spec: PreprocessingSpec = request.cache.spec
    write_bundle(
        request.output,
        description,
        replace(spec, height=spec.height // shrink, width=spec.width // shrink),
        {name: tensor.contiguous().numpy() for name, tensor in run.network.state_dict().items()},
        training_subjects=run.parts["train"]["subject_id"].unique(),
        model_card=request.model_card(description),
    )
    return achieved


def _identify(request: TrainingRequest) -> str:
    """Return what must be the same for a run to go on: data, split, stages and loss."""
    settings = {
        "images": request.cache.table.select("subject_id", "kind", "age_years").hash_rows(seed=0).sum(),
        "preprocessing_id": request.cache.spec.preprocessing_id,
        "stages": [asdict(stage) for stage in request.stages],
        "rest": [request.split, request.seed, request.bf16],
        "augmentation": asdict(request.augmentation),
        "network": [
            request.description.backbone,
            request.description.first_age,
            request.description.n_classes,
        ],
    }
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


def _save_checkpoint(run: _Run) -> None:
    """Write weights, Adam's moments and the position, whole or not at all."""
    tensors = {f"network/{name}": t.contiguous() for name, t in run.network.state_dict().items()}
    for number, moments in run.optimiser.state_dict()["state"].items():
        tensors |= {f"adam/{number}/{name}": t.contiguous() for name, t in moments.items()}
    position = {"run": _identify(run.request), "position": json.dumps(asdict(run.position))}
    unfinished = run.request.work / f"{CHECKPOINT}.part"
    save_file(tensors, unfinished, metadata=position)
    unfinished.replace(run.request.work / CHECKPOINT)


def _load_checkpoint(run: _Run) -> None:
    path = run.request.work / CHECKPOINT
    with safe_open(path, framework="pt") as stored:
        metadata = stored.metadata()
        tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118 - not a dict
    if metadata["run"] != _identify(run.request):
        raise TrainingError(
            f"{path} belongs to a run with other images or settings.",
            "Name another working folder, or delete the checkpoint.",
        )
    run.network.load_state_dict(
        {n.removeprefix("network/"): t for n, t in tensors.items() if n.startswith("network/")}
    )
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith("adam/"):
            _, number, moment = name.split("/")
            state.setdefault(int(number), {})[moment] = tensor
    run.optimiser.load_state_dict(run.optimiser.state_dict() | {"state": state})
    run.position = _Position(**json.loads(metadata["position"]))

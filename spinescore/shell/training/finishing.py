"""The best weights -> a bundle: measured, recalibrated and corrected on the validation part, then tested."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file

from spinescore.core.network.accuracy import measure_by_kind
from spinescore.core.network.age_distribution import expectation, softmax
from spinescore.core.network.architecture import SpineAgeNetwork
from spinescore.shell.bundles import write_bundle
from spinescore.shell.training.batches import Batches, PartImages, scale_images
from spinescore.shell.training.lightning_module import EVALUATION_BATCH
from spinescore.shell.training.position import BEST, Position
from spinescore.shell.training.request import TrainingRequest


def write_trained_bundle(
    request: TrainingRequest, parts: dict[str, pl.DataFrame], position: Position
) -> Path:
    """Write the bundle of the best epoch; the test part is looked at here for the first time."""
    weights = load_file(request.work / BEST)
    shrink = int(position.best[0])
    network = SpineAgeNetwork(request.description.backbone, request.description.n_classes)
    network.load_state_dict(weights)
    achieved = measure_by_kind(parts["test"], _predict(network, request, parts["test"], shrink))
    trained = parts["train"]["age_years"]
    description = replace(
        request.description,
        metrics={"test": achieved},
        age_range=(float(trained.min()), float(trained.max())),  # type: ignore[arg-type]
    )
    spec = request.cache.spec
    write_bundle(
        request.output,
        description,
        replace(spec, height=spec.height // shrink, width=spec.width // shrink),
        {name: tensor.numpy() for name, tensor in weights.items()},
        training_subjects=parts["train"]["subject_id"].unique(),
        validation_subjects=parts["validation"]["subject_id"].unique(),
        initial=request.initial,
        model_card=request.model_card(description),
    )
    return request.output


@torch.no_grad()
def _predict(
    network: SpineAgeNetwork, request: TrainingRequest, part: pl.DataFrame, shrink: int
) -> NDArray[np.float64]:
    network = network.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    images = PartImages.of(request.cache, part)
    rows = np.arange(part.height)
    batches = Batches(
        images, [rows[at : at + EVALUATION_BATCH] for at in range(0, rows.size, EVALUATION_BATCH)]
    )
    logits = [
        network(scale_images(batches[i].images, shrink).contiguous(memory_format=torch.channels_last))
        for i in range(len(batches))
    ]
    return expectation(softmax(torch.cat(logits).numpy()), request.description.first_age)

"""Lightning checkpoints as safetensors and JSON: no pickle is written, and none is ever read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch.plugins.io import CheckpointIO
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from spinescore.errors import TrainingError

CONTENT = "content"  # the metadata entry with all that is no tensor
TENSOR, PAIRS, TUPLE = "$tensor", "$pairs", "$tuple"


class SafetensorsIO(CheckpointIO):
    """Write what Lightning keeps of a run as one safetensors file, whole or not at all."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None
    ) -> None:
        """Write a checkpoint; ``storage_options`` is Lightning's and has no meaning here."""
        del storage_options
        tensors: dict[str, Tensor] = {}
        content = json.dumps(_flatten(checkpoint, tensors))
        unfinished = Path(f"{path}.part")
        save_file(tensors, unfinished, metadata={CONTENT: content})
        unfinished.replace(path)

    def load_checkpoint(
        self, path: Any, map_location: Any | None = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Return a checkpoint; nothing but numbers and text can come out of it.

        Raises
        ------
        TrainingError
            If the file is none of ours, whatever code it may hold.
        """
        del map_location, weights_only
        try:
            with safe_open(path, framework="pt") as stored:
                content = json.loads((stored.metadata() or {})[CONTENT])
                tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118 - not a dict
            return dict(_restore(content, tensors))
        except (SafetensorError, KeyError, ValueError) as error:
            raise _refusal(path) from error

    def remove_checkpoint(self, path: Any) -> None:
        """Delete a checkpoint."""
        Path(path).unlink(missing_ok=True)


def read_entries(path: Path) -> dict[str, Any]:
    """Return a checkpoint's entries that are text or numbers; no tensor is read.

    Raises
    ------
    TrainingError
        If the file is none of ours.
    """
    try:
        with safe_open(path, framework="pt") as stored:
            entries = json.loads((stored.metadata() or {})[CONTENT])[PAIRS]
        return {key: value for key, value in entries if not isinstance(value, dict)}
    except (SafetensorError, KeyError, ValueError) as error:
        raise _refusal(path) from error


def _refusal(path: Any) -> TrainingError:
    return TrainingError(
        f"{path} is not a checkpoint that spinescore wrote, or it is damaged; nothing in it was run.",
        "Name another working folder, or delete the file to begin anew.",
    )


def _flatten(value: Any, tensors: dict[str, Tensor]) -> Any:
    """Return a value as JSON can hold it, its tensors moved to ``tensors``."""
    if isinstance(value, Tensor):
        name = str(len(tensors))
        tensors[name] = value.detach().to("cpu", copy=True).contiguous()
        return {TENSOR: name}
    if isinstance(value, Mapping):
        return {PAIRS: [[key, _flatten(inner, tensors)] for key, inner in value.items()]}
    if isinstance(value, tuple):
        return {TUPLE: [_flatten(inner, tensors) for inner in value]}
    if isinstance(value, list):
        return [_flatten(inner, tensors) for inner in value]
    if value is None or isinstance(value, str | int | float | bool):
        return value
    raise TypeError(f"a checkpoint cannot hold {type(value)}")


def _restore(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    if isinstance(value, list):
        return [_restore(inner, tensors) for inner in value]
    if not isinstance(value, dict):
        return value
    [(form, inner)] = value.items()
    if form == TENSOR:
        return tensors[inner]
    restored = [_restore(item, tensors) for item in inner]
    return tuple(restored) if form == TUPLE else {key: item for key, item in restored}

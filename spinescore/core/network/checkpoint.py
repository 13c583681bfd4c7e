"""A VERTE-X checkpoint's tensors -> ours (METHOD.md, Network).

``efficientnet_pytorch`` and MONAI's ``EfficientNetBN`` compute the same network and name its
state alike, but for one thing: MONAI counts the stage a block is in before the block.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor

from spinescore.core.network.architecture import SpineAgeNetwork
from spinescore.errors import CheckpointError

STEM = "model._conv_stem.weight"
HEAD = "model._conv_head.weight"
LAST_WEIGHT = "fclayer2.weight"
STAGE_OF_BLOCK = re.compile(r"^(model\._blocks)\.\d+\.")  # in our names, not in theirs
BLOCK = re.compile(r"^model\._blocks\.(\d+)\.")
ENVELOPES = ("state_dict", "model_state_dict", "model_state", "model", "network", "net")
FEWEST_AGES, OLDEST_AGE = 10, 130
EXACT_IN_FLOAT32 = (torch.float32, torch.float16, torch.bfloat16)
SHOWN = 4
BACKBONES: Mapping[str, tuple[int, int, int]] = MappingProxyType(
    {  # stem channels, head channels, blocks
        "efficientnet-b0": (32, 1280, 16),
        "efficientnet-b1": (32, 1280, 23),
        "efficientnet-b2": (32, 1408, 23),
        "efficientnet-b3": (40, 1536, 26),
        "efficientnet-b4": (48, 1792, 32),
        "efficientnet-b5": (48, 2048, 39),
        "efficientnet-b6": (56, 2304, 45),
        "efficientnet-b7": (64, 2560, 55),
    }
)
PASS_THE_NETWORK = (
    "Pass the state dict of a VERTE-X spine age network (`torch.save(network.state_dict(), ...)`)."
)
ASK_ITS_AUTHORS = "Ask whoever made the checkpoint for the file as it was saved."
State = dict[str, Tensor]


@dataclass(frozen=True, slots=True)
class ConvertedCheckpoint:
    """A checkpoint as a one-channel ``SpineAgeNetwork`` holds it.

    Parameters
    ----------
    weights : dict of str to Tensor
        Loads strictly into ``SpineAgeNetwork(backbone, n_classes, in_channels=1)``.
    backbone : str
        As its tensors say.
    n_classes : int
        K, one class per year of age.
    input_channels : int
        Channels of the stem before folding, 3 or 1.
    stored_as : str
        The tensors' own floating types, e.g. ``float32``.
    """

    weights: State
    backbone: str
    n_classes: int
    input_channels: int
    stored_as: str


def convert_checkpoint(
    content: object, *, backbone: str | None = None, first_age: int = 40
) -> ConvertedCheckpoint:
    """Return the one-channel network of what a checkpoint file held.

    Parameters
    ----------
    content : object
        A state dict, or a dict that holds one under ``state_dict``, ``model`` or the like; with or
        without a prefix before all its names (``module.`` of data-parallel training).
    backbone : str, optional
        What it should be, ``efficientnet-b0`` ... ``efficientnet-b7``; recognised if left out.
    first_age : int
        Age of the first class, years.

    Raises
    ------
    CheckpointError
        If it is anything but a spine age network with finite weights; ``reason`` is a code.
    """
    state = extract_state(content)
    n_classes = _count_ages(state, first_age)
    backbone = _settle_backbone(state, backbone)
    renamed = rename_state(state, backbone)
    return ConvertedCheckpoint(
        weights=fold_stem(renamed),
        backbone=backbone,
        n_classes=n_classes,
        input_channels=renamed[STEM].shape[1],
        stored_as=", ".join(sorted({_name_type(t) for t in state.values() if t.is_floating_point()})),
    )


def extract_state(content: object) -> State:
    """Return the named tensors of a checkpoint's content, the prefix common to all names left out.

    Raises
    ------
    CheckpointError
        If there is no state dict (``no_state``), it holds something else than tensors
        (``not_tensors``), or it is of another network (``other_network``).
    """
    state = _open_envelope(content)
    tensors = {n: v for n, v in state.items() if isinstance(v, Tensor) and _is_plain(n, v)}
    others = [str(name) for name in state if name not in tensors]
    if others:
        raise CheckpointError(
            "not_tensors",
            f"The checkpoint's state holds other things than tensors: {_list(others)}.",
            PASS_THE_NETWORK,
        )
    ends = [name for name in tensors if name == LAST_WEIGHT or name.endswith(f".{LAST_WEIGHT}")]
    prefix = ends[0].removesuffix(LAST_WEIGHT) if ends else ""
    stripped = {name.removeprefix(prefix): tensor.detach() for name, tensor in tensors.items()}
    if LAST_WEIGHT not in stripped or len(stripped) != len(tensors):
        raise CheckpointError(
            "other_network",
            f"The checkpoint has no {LAST_WEIGHT}; it begins with {_list(map(str, state))}.",
            PASS_THE_NETWORK,
        )
    return stripped


def recognise_backbone(state: Mapping[str, Tensor]) -> str | None:
    """Return the EfficientNet a state is of, by stem, head and number of blocks; None if it is none."""
    if not {STEM, HEAD} <= set(state) or not state[STEM].ndim or not state[HEAD].ndim:
        return None
    blocks = {found[1] for found in map(BLOCK.match, state) if found}
    shape = (state[STEM].shape[0], state[HEAD].shape[0], len(blocks))
    return next((name for name, known in BACKBONES.items() if known == shape), None)


def rename_state(state: Mapping[str, Tensor], backbone: str) -> State:
    """Return a checkpoint's tensors under our names, every one of them the network's, in float32.

    The stem is left as it is; the result loads strictly into
    ``SpineAgeNetwork(backbone, n_classes, in_channels)`` with as many channels as the stem has.

    Raises
    ------
    CheckpointError
        ``missing_keys``, ``extra_keys``, ``shape``, ``dtype``, ``not_finite`` or
        ``negative_variance``, with the first few names.
    """
    stem = state.get(STEM)
    channels = 1 if stem is not None and stem.ndim == 4 and stem.shape[1] == 1 else 3
    with torch.device("meta"):  # shapes only: no memory, no initialisation
        expected = SpineAgeNetwork(backbone, _head_size(state), in_channels=channels).state_dict()
    names = {ours: STAGE_OF_BLOCK.sub(r"\1.", ours) for ours in expected}
    hint = f"Is it a {backbone} as `efficientnet_pytorch` names its parts?"
    _refuse("missing_keys", "lacks", (n for n in names.values() if n not in state), hint)
    known = set(names.values())
    _refuse("extra_keys", f"has what {backbone} has not:", (n for n in state if n not in known), hint)
    pairs = {names[ours]: (state[names[ours]], wanted) for ours, wanted in expected.items()}
    _refuse(
        "shape",
        "has tensors of the wrong shape:",
        (f"{n} {_size(t)} instead of {_size(w)}" for n, (t, w) in pairs.items() if t.shape != w.shape),
        hint,
    )
    for reason, complaint, is_wrong in CONTENT_CHECKS:
        _refuse(reason, complaint, (n for n, (t, w) in pairs.items() if is_wrong(n, t, w)), ASK_ITS_AUTHORS)
    return {ours: state[names[ours]].to(wanted.dtype).contiguous() for ours, wanted in expected.items()}


def fold_stem(state: Mapping[str, Tensor]) -> State:
    """Return a state whose stem takes one channel and sees what it saw in three equal ones.

    The study repeats the grey image three times and normalises no channel for itself, so the
    sum of the kernel over its input channels gives the same output. Sums are made in
    double precision and rounded once.

    Raises
    ------
    CheckpointError
        ``not_finite`` if a sum leaves the range of float32.
    """
    folded = state[STEM].double().sum(dim=1, keepdim=True).to(state[STEM].dtype)
    if not bool(folded.isfinite().all()):
        raise CheckpointError(
            "not_finite", f"The sum of {STEM} over its channels overflows.", ASK_ITS_AUTHORS
        )
    return {name: folded if name == STEM else tensor for name, tensor in state.items()}


def _open_envelope(content: object) -> Mapping[str, object]:
    """Return the innermost state dict: trainers keep it beside epoch and optimiser."""
    for _ in ENVELOPES:
        if not isinstance(content, Mapping):
            break
        inner = next((content[n] for n in ENVELOPES if isinstance(content.get(n), Mapping)), None)
        if inner is None:
            break
        content = inner
    if not isinstance(content, Mapping) or not any(isinstance(v, Tensor) for v in content.values()):
        found = type(content).__name__
        raise CheckpointError("no_state", f"The file holds no state dict but a {found}.", PASS_THE_NETWORK)
    return content


def _count_ages(state: Mapping[str, Tensor], first_age: int) -> int:
    """Return K of the last layer, if that many years of age can be meant."""
    n_classes = _head_size(state)
    if n_classes < FEWEST_AGES:
        raise CheckpointError(
            "no_age_distribution",
            f"The checkpoint's last layer gives {n_classes} number{'s' * (n_classes != 1)}, "
            "not a distribution over years of age.",
            "A spine age network has one output per year of age; this one was made for something else.",
        )
    if first_age + n_classes - 1 > OLDEST_AGE:
        raise CheckpointError(
            "no_age_distribution",
            f"The checkpoint's {n_classes} outputs from age {first_age} would reach "
            f"age {first_age + n_classes - 1}.",
            "Name the age of its first class with --first-age, or pass a spine age network.",
        )
    return n_classes


def _head_size(state: Mapping[str, Tensor]) -> int:
    """Return the outputs of the last layer; a scalar in its place counts as one."""
    weight = state[LAST_WEIGHT]
    return int(weight.shape[0]) if weight.ndim else 1


def _settle_backbone(state: Mapping[str, Tensor], asked: str | None) -> str:
    found = recognise_backbone(state)
    known = ", ".join(BACKBONES)
    if asked is not None and asked not in BACKBONES:
        raise CheckpointError("unknown_backbone", f"There is no backbone {asked!r}.", f"Choose from {known}.")
    if asked is not None and found is not None and found != asked:
        raise CheckpointError(
            "other_backbone",
            f"The checkpoint's tensors are those of {found}, not of {asked}.",
            f"Leave --backbone out, or say `--backbone {found}`.",
        )
    settled = asked or found
    if settled is None:
        raise CheckpointError(
            "unknown_backbone",
            f"The checkpoint is of no EfficientNet known here; it begins with {_list(state)}.",
            f"Only {known} can be imported; --backbone NAME lists what is missing of one.",
        )
    return settled


def _refuse(reason: str, complaint: str, names: Iterable[str], next_step: str) -> None:
    """Raise if there are any names; the first few are shown."""
    wrong = list(names)
    if wrong:
        raise CheckpointError(reason, f"The checkpoint {complaint} {_list(wrong)}.", next_step)


def _has_other_type(_: str, tensor: Tensor, wanted: Tensor) -> bool:
    if wanted.is_floating_point():
        return tensor.dtype not in EXACT_IN_FLOAT32
    return tensor.dtype != wanted.dtype


def _has_no_number(_: str, tensor: Tensor, __: Tensor) -> bool:
    return not bool(tensor.isfinite().all())


def _has_negative_variance(name: str, tensor: Tensor, _: Tensor) -> bool:
    return name.endswith("running_var") and bool((tensor < 0).any())


CONTENT_CHECKS: tuple[tuple[str, str, Callable[[str, Tensor, Tensor], bool]], ...] = (
    ("dtype", "has tensors of a type that float32 does not hold exactly:", _has_other_type),
    ("not_finite", "has weights that are infinite or not a number:", _has_no_number),
    ("negative_variance", "has negative variances:", _has_negative_variance),
)


def _is_plain(name: object, value: Tensor) -> bool:
    """Tell a dense tensor with its numbers in memory from sparse, quantised and empty-handed ones."""
    return (
        isinstance(name, str)
        and value.layout == torch.strided
        and value.device.type == "cpu"
        and not value.is_quantized
    )


def _name_type(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _size(tensor: Tensor) -> str:
    return " x ".join(map(str, tensor.shape)) or "a single number"


def _list(names: Iterable[str]) -> str:
    shown = list(names)
    more = f" and {len(shown) - SHOWN} more" if len(shown) > SHOWN else ""
    return ", ".join(shown[:SHOWN]) + more

"""A VERTE-X checkpoint becomes the same network on one channel, or is refused with the reason."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from spinescore.core.network.architecture import SpineAgeNetwork
from spinescore.core.network.checkpoint import (
    BACKBONES,
    convert_checkpoint,
    extract_state,
    fold_stem,
    recognise_backbone,
    rename_state,
)
from spinescore.errors import CheckpointError
from tests.unit.network.study_network import build_study_network, draw_grey_images

STEM = "model._conv_stem.weight"
State = dict[str, Tensor]


@pytest.fixture(scope="module")
def theirs() -> State:
    return build_study_network("efficientnet-b0", n_classes=55).state_dict()


def refusal(content: object, **how: object) -> CheckpointError:
    with pytest.raises(CheckpointError) as caught:
        convert_checkpoint(content, **how)  # type: ignore[arg-type]
    assert caught.value.next_step
    return caught.value


@pytest.mark.parametrize("backbone", ["efficientnet-b0", "efficientnet-b4"])
def test_before_folding_the_network_is_theirs_bit_for_bit(backbone: str) -> None:
    """Their memory-efficient swish is x * sigmoid(x), ours torch's SiLU: theirs is set to SiLU as for export."""
    study = build_study_network(backbone)
    ours = SpineAgeNetwork(backbone, 61, in_channels=3).eval()
    ours.load_state_dict(rename_state(extract_state(study.state_dict()), backbone))
    images = draw_grey_images(2, 160, 96).repeat(1, 3, 1, 1)
    study.model.set_swish(memory_efficient=False)
    with torch.no_grad():
        assert torch.equal(ours(images), study(images))


def test_one_channel_computes_what_three_equal_ones_did() -> None:
    """In double precision and with kernels whose sums float32 holds, nothing is left but the order of adding."""
    study = build_study_network("efficientnet-b0", n_classes=55)
    study.model._conv_stem.weight.data = study.model._conv_stem.weight.data.half().float()
    study.model.set_swish(memory_efficient=False)
    ours = SpineAgeNetwork("efficientnet-b0", 55).eval()
    ours.load_state_dict(convert_checkpoint(study.state_dict()).weights)
    grey = draw_grey_images(2, 160, 96).double()
    with torch.no_grad():
        difference = ours.double()(grey) - study.double()(grey.repeat(1, 3, 1, 1))
    assert float(difference.abs().max()) < 1e-12


def test_a_fold_is_the_sum_of_the_channels_rounded_once() -> None:
    stem = torch.tensor([1e8, 1.0, -1e8]).reshape(1, 3, 1, 1)
    assert float(fold_stem({STEM: stem})[STEM]) == 1.0


def test_what_was_found_is_said(theirs: State) -> None:
    converted = convert_checkpoint(theirs)
    assert (converted.backbone, converted.n_classes) == ("efficientnet-b0", 55)
    assert (converted.input_channels, converted.stored_as) == (3, "float32")


@pytest.mark.parametrize(
    "wrap",
    [
        lambda s: {f"module.{n}": t for n, t in s.items()},
        lambda s: {"epoch": 7, "state_dict": s, "optimizer": {"param_groups": [{"lr": 1e-4}]}},
        lambda s: {"model": {f"module.module.{n}": t for n, t in s.items()}},
        lambda s: {"model": {"state_dict": {f"network.{n}": t for n, t in s.items()}}},
        lambda s: {n: torch.nn.Parameter(t) if t.is_floating_point() else t for n, t in s.items()},
        lambda s: dict(reversed(s.items())),
    ],
    ids=["data-parallel", "beside-the-optimiser", "doubly-prefixed", "two-envelopes", "parameters", "order"],
)
def test_wrappings_are_taken_off(theirs: State, wrap: Callable[[State], object]) -> None:
    plain, wrapped = convert_checkpoint(theirs), convert_checkpoint(wrap(theirs))
    assert list(wrapped.weights) == list(plain.weights)
    assert all(torch.equal(tensor, plain.weights[name]) for name, tensor in wrapped.weights.items())
    assert not any(tensor.requires_grad for tensor in wrapped.weights.values())


def test_half_precision_is_widened_exactly(theirs: State) -> None:
    half = {n: t.half() if t.is_floating_point() else t for n, t in theirs.items()}
    converted = convert_checkpoint(half)
    assert converted.stored_as == "float16"
    assert torch.equal(converted.weights["fclayer1.weight"], half["fclayer1.weight"].float())


def test_a_stem_of_one_channel_is_left_as_it_is(theirs: State) -> None:
    converted = convert_checkpoint({**theirs, STEM: theirs[STEM][:, :1]})
    assert converted.input_channels == 1
    assert torch.equal(converted.weights[STEM], theirs[STEM][:, :1])


def test_every_backbone_is_known_by_its_shape() -> None:
    for name, shape in BACKBONES.items():
        with torch.device("meta"):
            state = SpineAgeNetwork(name, 61, in_channels=3).state_dict()
        flat = {
            n if "_blocks." not in n else "model._blocks." + n.split(".", 3)[3]: t for n, t in state.items()
        }
        assert recognise_backbone(flat) == name
        assert len(set(BACKBONES.values())) == len(BACKBONES)
        assert shape[0] == flat[STEM].shape[0]


def test_another_backbone_than_was_said_is_refused(theirs: State) -> None:
    error = refusal(theirs, backbone="efficientnet-b4")
    assert error.reason == "other_backbone"
    assert "those of efficientnet-b0" in error.message
    assert refusal(theirs, backbone="resnet18").reason == "unknown_backbone"
    assert refusal({"conv1.weight": torch.zeros(1), "fclayer2.weight": torch.zeros(61, 100)}).reason == (
        "unknown_backbone"
    )


@pytest.mark.parametrize(("outputs", "found"), [(1, "gives 1 number,"), (2, "gives 2 numbers,")])
def test_a_head_that_is_no_age_distribution_is_refused(theirs: State, outputs: int, found: str) -> None:
    """The group's fracture models have the same names and one output."""
    head = {n: theirs[n][:outputs] for n in ("fclayer2.weight", "fclayer2.bias")}
    error = refusal({**theirs, **head})
    assert error.reason == "no_age_distribution"
    assert found in error.message


def test_ages_no_one_reaches_are_refused(theirs: State) -> None:
    assert "age 144" in refusal(theirs, first_age=90).message


def test_missing_and_extra_tensors_are_named_the_first_few(theirs: State) -> None:
    lacking = {n: t for n, t in theirs.items() if "_blocks.3." not in n or n.endswith("_bn2.bias")}
    error = refusal(lacking)
    assert error.reason == "missing_keys"
    assert "model._blocks.3._expand_conv.weight" in error.message
    assert error.message.endswith("more.")
    error = refusal({**theirs, "fclayer3.weight": torch.zeros(2)})
    assert (error.reason, "fclayer3.weight" in error.message) == ("extra_keys", True)


def test_a_wrong_shape_is_named_with_both_shapes(theirs: State) -> None:
    error = refusal({**theirs, "fclayer1.weight": torch.zeros(50, 100)})
    assert error.reason == "shape"
    assert "fclayer1.weight 50 x 100 instead of 100 x 100" in error.message
    assert refusal({**theirs, STEM: theirs[STEM][:, :2]}).reason == "shape"
    assert refusal({**theirs, "fclayer2.bias": torch.tensor(0.0)}).reason == "shape"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_weights_that_are_no_numbers_are_refused(theirs: State, value: float) -> None:
    spoilt = theirs["fclayer1.bias"].clone()
    spoilt[3] = value
    error = refusal({**theirs, "fclayer1.bias": spoilt})
    assert (error.reason, "fclayer1.bias" in error.message) == ("not_finite", True)


def test_weights_whose_fold_overflows_are_refused(theirs: State) -> None:
    assert refusal({**theirs, STEM: torch.full_like(theirs[STEM], 3e38)}).reason == "not_finite"


def test_a_negative_variance_is_refused(theirs: State) -> None:
    name = "model._bn0.running_var"
    assert refusal({**theirs, name: -theirs[name]}).reason == "negative_variance"


def test_types_float32_cannot_hold_are_refused(theirs: State) -> None:
    bias = theirs["fclayer1.bias"]
    for other in (bias.double(), bias.int(), bias.to(torch.complex64)):
        assert refusal({**theirs, "fclayer1.bias": other}).reason == "dtype"


def test_what_holds_no_network_is_refused(theirs: State) -> None:
    for content in ([1, 2], {}, {"epoch": 3}, torch.zeros(3), {"state_dict": {}}, None):
        assert refusal(content).reason == "no_state"
    assert refusal({"weight": torch.zeros(1)}).reason == "other_network"
    for intruder in ("text", torch.zeros(2).to_sparse(), torch.zeros(2, device="meta")):
        assert refusal({**theirs, "fclayer1.bias": intruder}).reason == "not_tensors"

"""How a torch network is run: plainly, or as a CUDA graph where that was measured to be faster."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from spinescore.errors import describe_fault
from spinescore.shell.inference.lane import Forward, device_library, on_device
from spinescore.shell.inference.precision import Precision

DTYPES = {"fp16": torch.float16, "bf16": torch.bfloat16}
PLAIN = "plain"
WORTH_IT = 1.03
AGREEMENT = 1e-3  # logits; a thousandth of a year is far more
N_WARM_UPS = 3
N_TIMED = 3


@dataclass(frozen=True, slots=True)
class Chosen:
    """The way to run a network that was chosen.

    Parameters
    ----------
    name : str
        ``plain``, or that of another way.
    forward : callable
    why : str
        What was measured.
    """

    name: str
    forward: Forward
    why: str


def run_plainly(network: Callable[[Tensor], Tensor], device: torch.device, precision: Precision) -> Forward:
    """Return the network's forward pass in a precision, under autocast where that is not fp32."""
    if precision == "fp32":
        return network

    def forward(images: Tensor) -> Tensor:
        with torch.autocast(device.type, DTYPES[precision], cache_enabled=False):
            return network(images)

    return forward


def record_graph(forward: Forward, example: Tensor) -> Forward:
    """Return a forward pass that replays a CUDA graph; batches below half of the example run plainly.

    Smaller batches are filled up, so that the graph's shape stays.
    """
    images = example.clone(memory_format=torch.channels_last)
    warm = device_library(example.device).Stream()
    warm.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(warm):
        for _ in range(N_WARM_UPS):
            forward(images)
    torch.cuda.current_stream().wait_stream(warm)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        logits = forward(images)

    def replay(batch: Tensor) -> Tensor:
        n = len(batch)
        if 2 * n < len(images) or n > len(images):
            return forward(batch)
        images[:n].copy_(batch)
        graph.replay()
        return logits[:n].clone()

    return replay


def choose_forward(
    ways: Mapping[str, Callable[[], Forward]],
    example: Tensor,
    *,
    clock: Callable[[], float] = time.perf_counter,
) -> Chosen:
    """Return the fastest way to run an example batch; what fails or answers otherwise is left aside.

    Parameters
    ----------
    ways : mapping of str to callable
        Each makes a forward pass; the first is the plain one, and the measure of the others.
    example : Tensor
        Images (N, 1, H, W) on the device.

    Raises
    ------
    Exception
        What the plain way raises.
    """
    (name, make), *others = ways.items()
    forward = make()
    expected = forward(example)
    fastest = Chosen(name, forward, "")
    plain_s = least_s = time_forward(forward, example, clock=clock)
    remarks = []
    for name, make in others:
        try:
            forward = make()
            off = float((forward(example) - expected).abs().max())
            seconds = time_forward(forward, example, clock=clock)
        except Exception as error:  # noqa: BLE001 - whatever an alternative meets, the plain way works
            remarks.append(f"{name} does not work here ({describe_fault(error)})")
            continue
        if not off <= AGREEMENT:
            remarks.append(f"{name} answers otherwise ({off:.2g})")
            continue
        remarks.append(f"{name} {plain_s / seconds:.2f} times as fast as {PLAIN}")
        if seconds * WORTH_IT < least_s:
            fastest, least_s = Chosen(name, forward, ""), seconds
    return Chosen(fastest.name, fastest.forward, ", ".join(remarks))


def time_forward(
    forward: Forward, images: Tensor, *, clock: Callable[[], float] = time.perf_counter
) -> float:
    """Return the least seconds of three passes after one that is not counted."""
    library = device_library(images.device)
    seconds = []
    with on_device(images.device), torch.inference_mode():
        for _ in range(N_TIMED + 1):
            began = clock()
            forward(images)
            library.synchronize(images.device)
            seconds.append(clock() - began)
    return min(seconds[1:])


def free_memory(device: torch.device) -> tuple[int, int]:
    """Return the free and all bytes of a CUDA device."""
    with on_device(device):
        free, total = torch.cuda.mem_get_info()
    return int(free), int(total)

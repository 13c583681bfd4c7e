"""What must hold on a GPU; the same code runs here on the CPU, and on CUDA where a device is."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from spinescore.core.imaging.raw_image import RawImage
from spinescore.core.network.age_distribution import expectation
from spinescore.errors import DecodingError, DeviceError, DeviceMemoryError
from spinescore.shell import backends
from spinescore.shell.backends import RawBackend, count_cuda
from spinescore.shell.bundles import Bundle
from spinescore.shell.inference.batch_size import find_batch_size
from spinescore.shell.inference.cache_place import recall, remember
from spinescore.shell.inference.device_team import DeviceTeam
from spinescore.shell.inference.forward import choose_forward
from spinescore.shell.inference.precision import years_moved
from spinescore.shell.inference.torch_backend import TorchBackend
from spinescore.shell.inference.torch_network import build_network
from spinescore.shell.inference.tuning import Tuning
from spinescore.shell.input_cache import hash_input
from tests.unit.untrained_bundle import SPEC, draw_images, write_untrained

N_CUDA, ABSENT = count_cuda()
on_cuda = pytest.mark.skipif(not N_CUDA, reason=f"no CUDA device: {ABSENT}")
DEVICES = ["cpu", pytest.param("cuda", marks=on_cuda)]
IMAGES = draw_images(7, 4)


class Faulty(torch.nn.Module):
    """A network that raises an error whenever a batch is larger than it may be."""

    def __init__(self, network: torch.nn.Module, most: int, error: Exception) -> None:
        super().__init__()
        self.network, self.most, self.error = network, most, error
        self.sizes: list[int] = []

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.sizes.append(len(images))
        if len(images) > self.most:
            raise self.error
        return self.network(images)


def faulty(most: int, error: Exception | None = None) -> Any:
    """Return what builds a network with little memory."""
    raised = error or torch.OutOfMemoryError("CUDA out of memory. Injected.")
    return lambda bundle: Faulty(build_network(bundle), most, raised)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return write_untrained(tmp_path_factory.mktemp("bundle") / "untrained")


@pytest.fixture(scope="module")
def expected(bundle: Bundle) -> np.ndarray:
    """What one image at a time gives on the CPU."""
    return TorchBackend(bundle, "cpu", 1).predict(IMAGES)


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPINESCORE_HOME", str(tmp_path))


def agree(found: np.ndarray, expected: np.ndarray) -> bool:
    """Tell whether ages are within a thousandth of a year, each image's with its own."""
    apart = np.abs(expectation(found, 40) - expectation(expected, 40))
    return found.shape == expected.shape and bool(apart.max() < 1e-3)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("batch_size", [1, 3, 16])
def test_fp32_ages_are_the_cpus_whatever_the_batch(
    device: str, batch_size: int, bundle: Bundle, expected: np.ndarray
) -> None:
    assert np.ptp(expectation(expected, 40)) > 0.1
    assert agree(TorchBackend(bundle, device, batch_size).predict(IMAGES), expected)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("most", [1, 2, 3])
def test_out_of_memory_halves_the_batch_and_loses_no_image(
    device: str, most: int, bundle: Bundle, expected: np.ndarray
) -> None:
    said: list[str] = []
    backend = TorchBackend(bundle, device, 8, announce=said.append, build=faulty(most))
    assert agree(backend.predict(IMAGES), expected)
    assert backend.batch_size == {1: 1, 2: 2, 3: 2}[most]
    halvings = [line for line in said if "out of memory" in line]
    assert halvings[0].endswith("out of memory at 8 images at once, going on with 4")
    assert len(halvings) == {1: 3, 2: 2, 3: 2}[most]


@pytest.mark.parametrize("device", DEVICES)
def test_the_ceiling_is_kept_within_the_run_and_for_the_next(device: str, bundle: Bundle) -> None:
    backend = TorchBackend(bundle, device, build=faulty(2))
    backend.predict(IMAGES)
    sizes = backend._network.sizes
    n_tried = len(sizes)
    backend.predict(IMAGES)
    assert max(sizes[n_tried:]) <= 2
    said: list[str] = []
    later = TorchBackend(bundle, device, announce=said.append, build=faulty(2))
    later.predict(IMAGES)
    assert later.batch_size == 2
    assert not [line for line in said if "out of memory" in line]


def test_a_size_that_was_named_is_not_remembered_as_found(bundle: Bundle) -> None:
    TorchBackend(bundle, "cpu", 8, build=faulty(2)).predict(IMAGES)
    assert TorchBackend(bundle, "cpu").batch_size == 4


@pytest.mark.parametrize("device", DEVICES)
def test_a_device_without_room_for_one_image_says_so(device: str, bundle: Bundle) -> None:
    with pytest.raises(DeviceMemoryError, match="too little free memory for one image"):
        TorchBackend(bundle, device, 4, build=faulty(0)).predict(IMAGES)


@pytest.mark.parametrize("device", DEVICES)
def test_another_fault_of_the_device_is_one_clear_error(device: str, bundle: Bundle) -> None:
    fault = RuntimeError("CUDA error: an illegal memory access was encountered\nmore lines")
    with pytest.raises(DeviceError) as raised:
        TorchBackend(bundle, device, 4, build=faulty(0, fault)).predict(IMAGES)
    assert not isinstance(raised.value, DeviceMemoryError)
    assert raised.value.message.endswith("CUDA error: an illegal memory access was encountered.")
    assert "--device cpu" in raised.value.next_step


def make_team(members: list[TorchBackend], bundle: Bundle, said: list[str]) -> DeviceTeam:
    return DeviceTeam(
        members,
        spec=bundle.spec,
        temperature=np.float32(bundle.temperature),
        open_behind=lambda: TorchBackend(bundle, "cpu", 2),
        announce=said.append,
    )


def test_without_memory_the_cpu_goes_on_with_every_image(bundle: Bundle, expected: np.ndarray) -> None:
    """A member that always runs out of memory; that it is the CPU itself here changes nothing of the way."""
    said: list[str] = []
    member = TorchBackend(bundle, "cpu", 2, announce=said.append, build=faulty(0))
    member.device, member.precision = "cuda", "fp16"
    team = make_team([member], bundle, said)
    assert (team.device, team.precision) == ("cuda", "fp16")
    assert agree(team.predict(IMAGES), expected)
    assert (team.device, team.precision, team.batch_images) == ("cpu", "fp32", 8)
    assert [line.split(":")[0] for line in said] == [
        "the CPU",
        "the CPU has too little free memory for one image. 0 left.",
        f"going on with torch {torch.__version__} on the CPU, fp32, 2 at once",
    ]
    assert agree(team.predict(IMAGES[:3]), expected[:3])
    assert len(said) == 3


def test_several_devices_share_the_images_and_keep_their_order(bundle: Bundle, expected: np.ndarray) -> None:
    images = np.concatenate([IMAGES] * 4)
    together = threading.Barrier(3)

    class Waiting(torch.nn.Module):
        """Lets no device begin before all have images."""

        def __init__(self, network: torch.nn.Module) -> None:
            super().__init__()
            self.network, self.begun = network, False

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            if not self.begun:
                together.wait(60)
                self.begun = True
            return self.network(images)

    members = [TorchBackend(bundle, "cpu", 2, build=lambda b: Waiting(build_network(b))) for _ in range(3)]
    team = make_team(members, bundle, [])
    assert team.batch_images == sum(member.batch_images for member in members)
    assert agree(team.predict(images), np.concatenate([expected] * 4))


def test_a_device_that_runs_out_leaves_its_images_to_the_others(bundle: Bundle, expected: np.ndarray) -> None:
    said: list[str] = []
    small = TorchBackend(bundle, "cpu", 2, build=faulty(0))
    team = make_team([small, TorchBackend(bundle, "cpu", 2)], bundle, said)
    assert agree(team.predict(IMAGES), expected)
    assert said in ([], ["the CPU has too little free memory for one image. 1 left."])
    assert agree(make_team([small], bundle, said).predict(IMAGES), expected)


def test_devices_without_room_are_left_out_at_the_start(
    bundle: Bundle, expected: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three devices are opened as CUDA's are, one after another; the second has no room."""
    monkeypatch.setattr(backends, "draw_probes", lambda spec: IMAGES)
    opened: list[str] = []

    class Crowded(TorchBackend):
        def __init__(self, bundle: Bundle, device: str, *args: Any, **options: Any) -> None:
            opened.append(device)
            if len(opened) == 2:
                raise DeviceMemoryError("One has too little memory.")
            super().__init__(bundle, device, *args, **options)

    monkeypatch.setattr("spinescore.shell.inference.torch_backend.TorchBackend", Crowded)
    said: list[str] = []
    team = backends._open_on_cuda(bundle, ["cpu"] * 3, Tuning(batch_size=2), said.append)
    assert said == ["One has too little memory. Going on without it."]
    assert team.description.count("torch") == 2
    assert agree(team.predict(IMAGES), expected)


@pytest.mark.parametrize("device", DEVICES)
def test_reduced_precision_is_measured_against_fp32_on_the_device(
    device: str, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The untrained network's logits are small differences of large numbers: bf16 moves its ages by decades."""
    monkeypatch.setattr(backends, "draw_probes", lambda spec: IMAGES)
    exact = TorchBackend(bundle, device, 2).predict(IMAGES)
    reduced = TorchBackend(bundle, device, 2, precision="bf16").predict(IMAGES)
    moved = years_moved(exact, reduced, 40)
    assert 0.05 < moved < 60
    for limit, taken in ((moved * 1.5, "bf16"), (moved / 1.5, "fp32")):
        said: list[str] = []
        tuning = Tuning(2, precision="bf16", precision_limit_years=limit)
        team = backends._open_on_cuda(bundle, [device], tuning, said.append)
        assert team.precision == taken
        assert said[0].startswith(f"bf16 moves the ages of 8 phantoms by up to {moved:.3f} years")


@pytest.mark.skipif(N_CUDA < 2, reason=f"{N_CUDA} CUDA devices")
def test_all_cuda_devices_answer_alike(bundle: Bundle, expected: np.ndarray) -> None:
    members = [TorchBackend(bundle, f"cuda:{n}", 2) for n in range(N_CUDA)]
    assert agree(make_team(members, bundle, []).predict(IMAGES), expected)


def draw_raw_images() -> list[RawImage]:
    """Return decoded images of many kinds; the fourth holds one value, the last two the host prepares."""
    rng = np.random.default_rng(6)
    coarse = np.kron(rng.random((40, 30)), np.ones((8, 8)))
    twelve = (coarse * 4000).astype(np.uint16)
    return [
        RawImage(twelve, "radiograph", "MONOCHROME2"),
        RawImage(twelve.astype(np.int16) - 1000, "vfa", "MONOCHROME1", -1000),
        RawImage((coarse * 255).astype(np.uint8), "radiograph", "MONOCHROME1", (0, 5)),
        RawImage(np.full((50, 60), 7, np.uint16), "vfa", "MONOCHROME2"),
        RawImage(twelve.astype(np.int32) * 3 - 70_000, "vfa", "MONOCHROME2"),
        RawImage(coarse, "radiograph", "MONOCHROME2"),
        RawImage(np.full((50, 60), 0.5), "vfa", "MONOCHROME2"),
    ]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("batch_size", [1, 3])
def test_raw_images_are_prepared_on_the_device_to_the_same_bits(
    device: str, batch_size: int, bundle: Bundle
) -> None:
    raw = draw_raw_images()
    backend = TorchBackend(bundle, device, batch_size)
    assert isinstance(backend, RawBackend)
    answers = backend.predict_raw(raw)
    ready = [image.preprocess(SPEC) for n, image in enumerate(raw) if n not in (3, 6)]
    usable = [answer for answer in answers if answer.distribution is not None]
    assert [answer.input_sha256 for answer in usable] == [hash_input(canvas) for canvas in ready]
    distributions = np.array([answer.distribution for answer in usable])
    assert agree(distributions, TorchBackend(bundle, "cpu", 1).predict(np.stack(ready)[:, None]))
    for n in (3, 6):
        with pytest.raises(DecodingError) as refusal:
            raw[n].preprocess(SPEC)
        assert (answers[n].reason, answers[n].detail) == (refusal.value.reason, refusal.value.message)


@pytest.mark.parametrize("device", DEVICES)
def test_raw_images_survive_too_little_memory(device: str, bundle: Bundle) -> None:
    whole = TorchBackend(bundle, device, 2).predict_raw(draw_raw_images())
    halved = TorchBackend(bundle, device, 4, build=faulty(2)).predict_raw(draw_raw_images())
    said: list[str] = []
    behind = make_team([TorchBackend(bundle, device, 2, build=faulty(0))], bundle, said).predict_raw(
        draw_raw_images()
    )
    for answers in (halved, behind):
        assert [a.input_sha256 for a in answers] == [a.input_sha256 for a in whole]
        assert [a.reason for a in answers] == [a.reason for a in whole]
    assert said[-1].startswith("going on with torch")


def test_a_batch_grows_while_it_pays_and_fits() -> None:
    assert find_batch_size(lambda size: 1.0) == 256
    assert find_batch_size(lambda size: float(size)) == 1
    assert find_batch_size(lambda size: max(size / 32, 1.0)) == 32

    def fits_up_to_20(size: int) -> float:
        if size > 20:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return 1.0

    assert find_batch_size(fits_up_to_20) == 16
    with pytest.raises(ValueError, match="not memory"):
        find_batch_size(lambda size: 1.0 if size < 4 else _raise(ValueError("not memory")))


def _raise(error: Exception) -> float:
    raise error


@pytest.mark.parametrize("device", DEVICES)
def test_the_fastest_way_is_taken_and_one_that_fails_or_differs_is_not(device: str) -> None:
    ticks = iter(range(10_000))
    now = 0.0

    def clock() -> float:
        next(ticks)
        return now

    def takes(seconds: float, add: float = 0.0) -> Any:
        def forward(images: torch.Tensor) -> torch.Tensor:
            nonlocal now
            now += seconds
            return images.mean(dim=(1, 2, 3)) + add

        return forward

    example = torch.rand(2, 1, 4, 4, device=device)
    ways = {
        "plain": lambda: takes(2.0),
        "broken": lambda: _raise(RuntimeError("no")),
        "wrong": lambda: takes(0.1, add=1.0),
        "graph": lambda: takes(1.0),
        "same": lambda: takes(1.99),
    }
    chosen = choose_forward(ways, example, clock=clock)
    assert chosen.name == "graph"
    assert "broken does not work here" in chosen.why
    assert "wrong answers otherwise (1)" in chosen.why
    assert "graph 2.00 times as fast as plain" in chosen.why
    assert (
        choose_forward({"plain": lambda: takes(1.0), "same": lambda: takes(0.99)}, example, clock=clock).name
        == "plain"
    )


def test_measurements_are_kept_few_and_a_damaged_file_of_them_is_none(tmp_path: Path) -> None:
    for n in range(70):
        remember(f"key {n}", n)
    assert recall("key 69") == 69
    assert recall("key 5") is None
    (tmp_path / "cache" / "measured.json").write_text("{torn")
    assert recall("key 69") is None
    remember("key", 1)
    assert recall("key") == 1

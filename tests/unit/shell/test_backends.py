"""OpenVINO and torch read the same ages; the cache is whole or made again; what runs where is said."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from spinescore.core.network.age_distribution import expectation
from spinescore.errors import BundleError, DeviceError, DeviceMemoryError
from spinescore.shell import backends
from spinescore.shell.backends import open_backend
from spinescore.shell.bundles import Bundle, load_bundle
from spinescore.shell.inference import openvino_backend
from spinescore.shell.inference.network_cache import MOST_KEPT, find_network, network_folder, store_network
from spinescore.shell.inference.openvino_backend import OpenVinoBackend, import_openvino
from spinescore.shell.inference.torch_backend import TorchBackend
from spinescore.shell.inference.tuning import Tuning
from tests.unit.untrained_bundle import IMAGES, write_untrained

SCORE = """
import sys
from pathlib import Path
import numpy as np
from spinescore.shell.backends import open_backend
from spinescore.shell.bundles import load_bundle
said = []
backend = open_backend(load_bundle(Path(sys.argv[1])), device="cpu", announce=said.append)
assert "converted before" in backend.description, backend.description
assert not said, said
p = backend.predict(np.zeros((2, 1, 128, 64), np.float32))
assert p.shape == (2, 61) and abs(p.sum() - 2) < 1e-4
print(sorted({"torch", "monai", "openvino_telemetry"} & {m for m, v in sys.modules.items() if v is not None}))
"""


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return write_untrained(tmp_path_factory.mktemp("bundle") / "untrained")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(autouse=True)
def _one_cache(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPINESCORE_HOME", str(home))


def form_of(bundle: Bundle) -> Path:
    """Return the folder of the one converted form of a bundle."""
    (folder,) = (Path(os.environ["SPINESCORE_HOME"]) / "cache" / "networks").glob(f"{bundle.model_id}-*")
    return folder


@pytest.fixture
def _converted_fast(bundle: Bundle, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Convert by reading what was converted before: tracing takes seconds, and one test does it."""
    OpenVinoBackend(bundle)
    content = {path.name: path.read_bytes() for path in form_of(bundle).iterdir()}
    core = import_openvino().Core()
    monkeypatch.setattr(
        openvino_backend,
        "_convert",
        lambda *_: core.read_model(model=content["network.xml"], weights=content["network.bin"]),
    )


def test_openvino_and_torch_agree_to_a_thousandth_of_a_year(bundle: Bundle) -> None:
    by_openvino = OpenVinoBackend(bundle, batch_size=2).predict(IMAGES)
    by_torch = TorchBackend(bundle, "cpu", batch_size=3).predict(IMAGES)
    ages = expectation(by_openvino, 40)
    assert by_openvino.shape == (5, 61)
    assert np.ptp(ages) > 0.01
    assert np.abs(ages - expectation(by_torch, 40)).max() < 1e-3


def test_the_batch_size_does_not_matter(bundle: Bundle) -> None:
    one, many = (
        open_backend(bundle, device="cpu", tuning=Tuning(batch_size=n)).predict(IMAGES) for n in (1, 5)
    )
    assert np.abs(one - many).max() < 1e-5


def test_scoring_from_the_cache_imports_neither_torch_nor_monai(bundle: Bundle) -> None:
    OpenVinoBackend(bundle, batch_size=2)
    done = subprocess.run(
        [sys.executable, "-c", SCORE, str(bundle.path)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


@pytest.mark.usefixtures("_converted_fast")
def test_conversion_is_announced_once_and_paid_once(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPINESCORE_HOME", str(tmp_path))
    said: list[str] = []
    first, second = (OpenVinoBackend(bundle, announce=said.append) for _ in range(2))
    assert len(said) == 1
    assert said[0].startswith("converting tiny once")
    assert first.description.endswith("converted now")
    assert second.description.endswith("converted before")
    np.testing.assert_array_equal(first.predict(IMAGES), second.predict(IMAGES))


@pytest.mark.usefixtures("_converted_fast")
def test_two_that_convert_at_once_convert_once(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPINESCORE_HOME", str(tmp_path))
    said: list[str] = []
    opened: list[OpenVinoBackend] = []
    threads = [
        threading.Thread(target=lambda: opened.append(OpenVinoBackend(bundle, announce=said.append)))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(line.split(" ")[0] for line in said) == ["another", "converting"]
    assert sorted(backend.description.split(", ")[-1] for backend in opened) == [
        "converted before",
        "converted now",
    ]


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("network.bin", b""),
        ("network.bin", b"\0" * 100),
        ("network.xml", b"<net"),
        ("network.xml", None),
        ("sha256.json", b"[]"),
    ],
    ids=["no-weights", "other-weights", "torn", "missing", "no-hashes"],
)
@pytest.mark.usefixtures("_converted_fast")
def test_a_damaged_network_is_noticed_and_made_again(
    bundle: Bundle, file: str, content: bytes | None
) -> None:
    before = OpenVinoBackend(bundle).predict(IMAGES)
    damaged = form_of(bundle) / file
    damaged.unlink()
    if content is not None:
        damaged.write_bytes(content)
    said: list[str] = []
    again = OpenVinoBackend(bundle, announce=said.append)
    assert "is damaged: converting" in said[0]
    np.testing.assert_array_equal(again.predict(IMAGES), before)
    assert find_network(form_of(bundle)) is not None


@pytest.mark.usefixtures("_converted_fast")
def test_a_cache_that_cannot_be_written_is_done_without(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("SPINESCORE_HOME", str(tmp_path / "file"))
    backend = OpenVinoBackend(bundle)
    assert backend.predict(IMAGES).shape == (5, 61)
    assert (tmp_path / "file").read_text() == "in the way"


def make_form(model_id: str, version: str, age_s: float = 0) -> Path:
    """Store a converted network of a few bytes, used some time ago."""

    def save(path: Path) -> None:
        path.write_bytes(b"model")
        path.with_suffix(".bin").write_bytes(b"weights")

    folder = network_folder(model_id, version)
    store_network(folder, save)
    os.utime(folder, (1e9 - age_s, 1e9 - age_s))
    return folder


def test_older_forms_of_a_model_go_and_few_models_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPINESCORE_HOME", str(tmp_path))
    (tmp_path / "cache").mkdir()
    for name in ("0123456789abcdef-1.xml", "0123456789abcdef-1.bin", "measured.json"):
        (tmp_path / "cache" / name).touch()
    half_made = tmp_path / "cache" / "networks" / ".making-gone"
    half_made.mkdir(parents=True)
    os.utime(half_made, (1e9, 1e9))
    others = [make_form(f"{n:016x}", "1.0", age_s=n) for n in range(6)]
    make_form("f" * 16, "1.0")
    newest = make_form("f" * 16, "2.0")
    networks = {path.name for path in newest.parent.iterdir() if path.is_dir()}
    assert networks == {newest.name, *(path.name for path in others[: MOST_KEPT - 1])}
    assert [path.name for path in (tmp_path / "cache").iterdir() if path.is_file()] == ["measured.json"]


def test_a_network_that_is_used_counts_as_new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPINESCORE_HOME", str(tmp_path))
    old = make_form("0" * 16, "1.0", age_s=100)
    assert find_network(old) is not None
    assert old.stat().st_mtime > 1e9


def with_cuda(n_devices: int, absent: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "count_cuda", lambda: (n_devices, absent))


def test_auto_says_what_it_takes_and_why(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    with_cuda(0, "an NVIDIA driver is here, but this torch was built for the CPU", monkeypatch)
    taken = open_backend(bundle)
    assert "on the CPU (an NVIDIA driver is here, but" in taken.description
    assert "(" not in open_backend(bundle, device="cpu").description


@pytest.mark.parametrize(
    ("device", "n_devices", "message"),
    [
        ("cuda", 0, "CUDA was asked for, but none. Use `--device cpu`."),
        ("cuda:0", 0, "CUDA was asked for, but none"),
        ("cuda:2", 2, "there are 2, from cuda:0"),
        ("gpu", 2, "Choose auto, cpu, cuda or cuda:0"),
        ("cuda:x", 2, "Choose auto, cpu, cuda or cuda:0"),
    ],
)
def test_a_device_that_is_not_there_is_an_error_with_a_way_out(
    device: str, n_devices: int, message: str, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_cuda(n_devices, "" if n_devices else "none", monkeypatch)
    with pytest.raises(DeviceError) as raised:
        open_backend(bundle, device=device)
    assert message in str(raised.value)


@pytest.mark.parametrize(
    ("device", "taken"),
    [("auto", ["cuda:0", "cuda:1"]), ("cuda", ["cuda:0", "cuda:1"]), ("cuda:1", ["cuda:1"])],
)
def test_every_cuda_device_is_taken_unless_one_is_named(
    device: str, taken: list[str], bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_cuda(2, "", monkeypatch)
    asked: list[list[str]] = []

    def refuse(bundle: Bundle, places: list[str], *rest: object) -> None:
        asked.append(places)
        raise DeviceMemoryError("One has too little memory.")

    monkeypatch.setattr(backends, "_open_on_cuda", refuse)
    said: list[str] = []
    backend = open_backend(bundle, device=device, announce=said.append)
    assert asked == [taken]
    assert backend.device == "cpu"
    assert said[0] == "One has too little memory. Going on with the CPU."


def test_without_openvino_torch_runs_on_the_cpu_and_says_what_that_costs(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backends.importlib.util, "find_spec", lambda _: None)
    said: list[str] = []
    backend = open_backend(bundle, device="cpu", tuning=Tuning(precision="bf16"), announce=said.append)
    assert isinstance(backend, TorchBackend)
    assert said == [
        "OpenVINO is not installed: torch on the CPU, several times slower",
        "this device does not calculate in bf16: fp32",
    ]
    assert backend.precision == "fp32"


@pytest.mark.parametrize(("limit_years", "taken"), [(1e9, "bf16"), (0.0, "fp32")])
def test_reduced_precision_on_the_cpu_is_measured_on_the_bundle(
    limit_years: float, taken: str, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A processor without bf16 runs the hint in fp32: the ages move by nothing, so the measurement is faked."""
    monkeypatch.setattr("spinescore.shell.inference.openvino_backend.reduced_precisions", lambda: ["bf16"])
    monkeypatch.setattr(backends, "years_moved", lambda exact, reduced, first_age: 0.5)
    monkeypatch.setattr(backends, "draw_probes", lambda spec: IMAGES)
    said: list[str] = []
    tuning = Tuning(precision="bf16", precision_limit_years=limit_years)
    backend = open_backend(bundle, device="cpu", tuning=tuning, announce=said.append)
    assert backend.precision == taken
    assert said[0].startswith("bf16 moves the ages of 8 phantoms by up to 0.500 years")
    measured = json.loads((Path(os.environ["SPINESCORE_HOME"]) / "cache" / "measured.json").read_text())
    assert [value for key, value in measured.items() if key.startswith("moved|")] == [0.5]


def test_weights_of_another_network_are_refused(bundle: Bundle) -> None:
    stranger = replace(
        load_bundle(bundle.path), manifest=bundle.manifest | {"n_classes": 60}, model_id="other"
    )
    with pytest.raises(BundleError, match="do not fit"):
        TorchBackend(stranger, "cpu", 1)

"""The whole of `score` with preprocessing on the network's device: the scores of the default way."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from pydicom.uid import ExplicitVRLittleEndian

from spinescore.core.imaging.raw_image import RawImage
from spinescore.core.phantom.dicom import dataset
from spinescore.core.phantom.person import draw_people
from spinescore.core.phantom.radiograph import render
from spinescore.errors import DeviceError
from spinescore.ingest import IngestRequest, ingest
from spinescore.score import CacheRequest, ScoreRequest, score
from spinescore.shell import backends
from spinescore.shell.backends import Backend, count_cuda
from spinescore.shell.bundles import Bundle
from spinescore.shell.inference.device_team import DeviceTeam
from spinescore.shell.inference.raw_answer import RawAnswer
from spinescore.shell.inference.torch_backend import TorchBackend
from spinescore.shell.inference.torch_network import build_network
from spinescore.shell.inference.tuning import Tuning
from spinescore.shell.pipeline import infer
from spinescore.shell.preparation import PendingImage, Prepared
from spinescore.shell.warehouse import open_warehouse
from tests.unit.untrained_bundle import write_untrained

N_CUDA, ABSENT = count_cuda()
DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not N_CUDA, reason=f"no CUDA device: {ABSENT}")),
]
N = 3
Scored = tuple[pl.DataFrame, pl.DataFrame]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return write_untrained(tmp_path_factory.mktemp("bundle") / "untrained")


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Radiographs of phantoms, one of them with nothing but padding and one value in it."""
    folder = tmp_path_factory.mktemp("images")
    for number, who in enumerate(draw_people(N, seed=5, cohort="derivation")):
        file = dataset(render(who, kind="radiograph", seed=5, height=300), who, seed=5)
        if number == N - 1:
            pixels = np.where(np.arange(file.Rows * file.Columns) % 2, 7, 9).astype(np.uint16)
            file.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
            file.PixelData = pixels.tobytes()
            file["PixelData"].is_undefined_length = False
            file.PixelPaddingValue = 9
        file.save_as(folder / f"{number}.dcm", enforce_file_format=True)
    return folder


@pytest.fixture(scope="module")
def ingested(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    database = tmp_path_factory.mktemp("database") / "a.duckdb"
    with open_warehouse(database, create=True) as warehouse:
        ingest(warehouse, IngestRequest([images], workers=1))
    return database


@pytest.fixture(scope="module")
def expected(bundle: Bundle, ingested: Path, tmp_path_factory: pytest.TempPathFactory) -> Scored:
    """What the default way on the CPU gives."""
    database = tmp_path_factory.mktemp("expected") / "a.duckdb"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backends.importlib.util, "find_spec", lambda _: None)
        return score_copy(ingested, database, ask(bundle, "cpu", Tuning()), [])


@pytest.fixture(autouse=True)
def _torch_everywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPINESCORE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(backends.importlib.util, "find_spec", lambda _: None)  # OpenVINO is not installed


def ask(bundle: Bundle, device: str, tuning: Tuning, cache: CacheRequest | None = None) -> ScoreRequest:
    return ScoreRequest(bundle, device=device, force_demo=True, workers=1, tuning=tuning, cache=cache)


def score_copy(ingested: Path, database: Path, request: ScoreRequest, said: list[str]) -> Scored:
    """Score a copy of the database, and return scores and failures."""
    if not database.exists():
        shutil.copy(ingested, database)
    with open_warehouse(database) as warehouse:
        score(warehouse, request, announce=said.append)
        scores = warehouse.table("scores").sort("sop_instance_uid")
        failures = warehouse.table("score_failures").select("sop_instance_uid", "reason", "detail")
    return scores, failures


@pytest.mark.parametrize("device", DEVICES)
def test_raw_pixels_give_the_same_scores_and_failures(
    device: str, bundle: Bundle, ingested: Path, expected: Scored, tmp_path: Path
) -> None:
    scores, failures = expected
    tuning = Tuning(batch_size=2, preprocess_on_device=True)
    raw, raw_failures = score_copy(ingested, tmp_path / "b.duckdb", ask(bundle, device, tuning), [])
    assert (scores.height, failures["reason"].to_list()) == (N - 1, ["constant_image"])
    same = ("sop_instance_uid", "input_sha256", "pixel_sha256", "precision")
    assert raw.select(same).equals(scores.select(same))
    assert raw_failures.equals(failures)
    assert (raw["spine_age"] - scores["spine_age"]).abs().max() < 1e-3
    assert scores["preprocess_s"].null_count() == 0
    assert raw["preprocess_s"].null_count() == N - 1
    assert raw["device"].unique().to_list() == [device]


class Seen:
    """A backend that answers as a device does that saw one input before."""

    device, precision, description, batch_images = "cuda", "fp32", "", 4

    def predict(self, images: np.ndarray) -> np.ndarray:
        raise AssertionError("nothing was prepared here")

    def predict_raw(self, images: list[RawImage]) -> list[RawAnswer]:
        return [RawAnswer(np.ones(61, np.float32) / 61, f"input {n}") for n in range(len(images))]


def test_an_input_that_was_scored_before_is_known_though_the_device_made_it() -> None:
    raw = RawImage(np.eye(4, dtype=np.uint8), "vfa", "MONOCHROME2")
    pending = [PendingImage(str(n), "vfa", b"", 0, 0, scored_input_sha256="input 1") for n in range(3)]
    batch = [(image, Prepared(None, raw=raw)) for image in pending]
    batch.insert(1, (pending[0], Prepared(None, reason="changed", detail="")))
    outcomes = list(infer(batch, Seen()))
    assert [outcome.prepared.input_sha256 for outcome in outcomes] == ["input 0", "", "input 1", "input 2"]
    assert [outcome.distribution is None for outcome in outcomes] == [False, True, True, False]
    assert [outcome.failed for outcome in outcomes] == [False, True, False, False]
    assert all(outcome.prepared.raw is None for outcome in outcomes)


def test_a_cache_keeps_preprocessing_from_the_device_and_that_is_said(
    bundle: Bundle, ingested: Path, tmp_path: Path
) -> None:
    said: list[str] = []
    cache = CacheRequest(tmp_path / "cache", 1 << 30)
    request = ask(bundle, "cpu", Tuning(preprocess_on_device=True), cache)
    scores, _ = score_copy(ingested, tmp_path / "a.duckdb", request, said)
    assert "preprocessing stays with the decoding processes: the image cache keeps prepared images" in said
    assert scores["preprocess_s"].null_count() == 0


class Fails(torch.nn.Module):
    """A network that fails from its second batch on."""

    def __init__(self, network: torch.nn.Module, error: Exception) -> None:
        super().__init__()
        self.network, self.error, self.n_calls = network, error, 0

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.n_calls += 1
        if self.n_calls > 1:
            raise self.error
        return self.network(images)


def fail_after_one(error: Exception, batch_size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `score` run on a device that fails."""

    def open_failing(bundle: Bundle, *, announce: object, **_: object) -> Backend:
        member = TorchBackend(bundle, "cpu", batch_size, build=lambda b: Fails(build_network(b), error))
        member.device = "cuda"
        return DeviceTeam(
            [member],
            spec=bundle.spec,
            temperature=np.float32(bundle.temperature),
            open_behind=lambda: TorchBackend(bundle, "cpu"),
            announce=announce,
        )

    monkeypatch.setattr(backends, "open_backend", open_failing)


def test_memory_that_runs_out_in_mid_run_costs_no_image_and_each_score_says_where_it_is_from(
    bundle: Bundle, ingested: Path, expected: Scored, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_after_one(torch.OutOfMemoryError("CUDA out of memory. Injected."), 1, monkeypatch)
    said: list[str] = []
    scores, _ = score_copy(ingested, tmp_path / "b.duckdb", ask(bundle, "cuda", Tuning()), said)
    assert scores["input_sha256"].equals(expected[0]["input_sha256"])
    assert (scores["spine_age"] - expected[0]["spine_age"]).abs().max() < 1e-3
    assert scores["device"].unique().to_list() == ["cpu"]  # a call's scores are of one device
    assert any(line.startswith("going on with torch") for line in said)


def test_a_device_that_breaks_ends_the_run_with_one_line(
    bundle: Bundle, ingested: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_after_one(RuntimeError("CUDA error: unspecified launch failure"), 1, monkeypatch)
    with pytest.raises(DeviceError, match="unspecified launch failure"):
        score_copy(ingested, tmp_path / "a.duckdb", ask(bundle, "cuda", Tuning()), [])
    with open_warehouse(tmp_path / "a.duckdb") as warehouse:
        assert warehouse.table("runs").sort("run_id")["outcome"].to_list()[-1] == "failed"

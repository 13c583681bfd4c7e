"""What runs on a cluster's nodes, run here without one; and what is asked of a cluster before it is joined."""

from __future__ import annotations

import os
import socket
from dataclasses import fields, replace
from pathlib import Path

import pyarrow as pa
import pytest

from spinescore import __version__
from spinescore.core.phantom.dicom import dataset
from spinescore.core.phantom.person import draw_people
from spinescore.core.phantom.radiograph import render
from spinescore.errors import EngineError
from spinescore.shell.bundles import demo_bundle_path, load_bundle
from spinescore.shell.preparation import PendingImage
from spinescore.shell.ray_cluster import RayCluster, find_places
from spinescore.shell.ray_nodes import (
    CALL_COLUMNS,
    NodeWork,
    ShardScorer,
    as_call,
    images_of,
    look_at_node,
)
from spinescore.shell.shards import read_shard
from tests.unit.shell.crashing_decoder import prepare


@pytest.fixture(scope="module")
def converted_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("converted")


@pytest.fixture(autouse=True)
def _one_home(converted_once: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPINESCORE_HOME", str(converted_once))


@pytest.fixture
def work(tmp_path: Path) -> NodeWork:
    shards = tmp_path / "shards"
    shards.mkdir(mode=0o700)
    model_id = load_bundle(demo_bundle_path()).model_id
    return NodeWork(bundle="demo", model_id=model_id, device="cpu", workers=1, shards=str(shards))


@pytest.fixture
def image(tmp_path: Path) -> PendingImage:
    (who,) = draw_people(1, seed=5, cohort="derivation")
    path = tmp_path / "a.dcm"
    dataset(render(who, kind="radiograph", seed=5, height=200), who, seed=5).save_as(
        path, enforce_file_format=True
    )
    status = path.stat()
    return PendingImage("1.2", "radiograph", os.fsencode(path), status.st_size, status.st_mtime_ns)


def test_a_call_is_its_images(image: PendingImage) -> None:
    images = [image, replace(image, path_bytes=b"/\xff\0a", scored_input_sha256="x", has_facts=True)]
    assert images_of(as_call(images)) == images
    left_here = {field.name for field in fields(PendingImage)} - set(CALL_COLUMNS.names)
    assert left_here <= {"kept_input_sha256", "kept_pixel_sha256", "keep"}  # of this machine's cache


def test_a_decoder_that_crashes_in_an_actor_costs_only_its_image(work: NodeWork, image: PendingImage) -> None:
    images = [replace(image, sop_instance_uid=name) for name in ("first", "crashes", "last")]
    scorer = ShardScorer(work, prepare)
    (answer,) = scorer(pa.table({"call": [as_call(images)]})).to_pylist()
    assert answer["fault"] == ""
    rows = {r["sop_instance_uid"]: r for s in answer["shards"] for r in read_shard(Path(work.shards) / s)}
    assert {uid: row["reason"] for uid, row in rows.items()} == {
        "first": "",
        "crashes": "decoder_crashed",
        "last": "",
    }
    assert rows["first"]["distribution"] == rows["last"]["distribution"]


def test_an_actor_that_cannot_write_says_so_and_goes_on(work: NodeWork, image: PendingImage) -> None:
    scorer = ShardScorer(replace(work, shards=f"{work.shards}/gone"), prepare)
    (answer,) = scorer(pa.table({"call": [as_call([image])]})).to_pylist()
    assert answer["shards"] == []
    assert answer["fault"].startswith(f"{socket.gethostname()}: FileNotFoundError")


def test_a_node_that_can_score_says_with_what(work: NodeWork, image: PendingImage) -> None:
    answer = look_at_node(work, __version__, image)
    assert (answer["device"], answer["precision"]) == ("cpu", "fp32")
    assert "problem" not in answer
    assert list(Path(work.shards).iterdir()) == []


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"bundle": "/nowhere/bundle"}, "/nowhere/bundle"),
        ({"model_id": "0" * 16}, "is another model there"),
        ({"shards": "/nowhere/shards"}, "does not see the results' folder /nowhere/shards"),
    ],
)
def test_a_node_that_lacks_something_says_what(
    change: dict[str, str], problem: str, work: NodeWork, image: PendingImage
) -> None:
    assert problem in look_at_node(replace(work, **change), __version__, image)["problem"]  # type: ignore[arg-type]


def test_a_node_that_sees_other_images_or_is_of_another_version_says_so(
    work: NodeWork, image: PendingImage
) -> None:
    def problem(version: str, seen: PendingImage) -> str:
        return look_at_node(work, version, seen)["problem"]

    assert problem(__version__, replace(image, path_bytes=b"/nowhere")) == "it does not see the images"
    assert "another file" in problem(__version__, replace(image, size_bytes=1))
    assert problem("0", image) == f"it has spinescore {__version__}, this machine 0"


@pytest.mark.parametrize(
    ("nodes", "device", "workers", "placed"),
    [
        ([{"CPU": 8}, {"CPU": 8}], "cpu", 0, (2, 8, 0)),
        ([{"CPU": 8}, {"CPU": 20}], "cpu", 0, (3, 8, 0)),
        ([{"CPU": 8}, {"CPU": 20}], "cpu", 5, (5, 5, 0)),
        ([{}, {"CPU": 0}, {"CPU": 4}], "cpu", 0, (1, 4, 0)),  # a head that computes nothing
        ([{"CPU": 16, "GPU": 4}, {"CPU": 64}], "cuda", 0, (4, 4, 1)),
        ([{"CPU": 16, "GPU": 4}, {"CPU": 32, "GPU": 2}], "cuda", 0, (6, 4, 1)),
        ([{"CPU": 16, "GPU": 4}, {"CPU": 32, "GPU": 2}], "cuda", 8, (4, 8, 1)),
    ],
)
def test_an_actor_has_a_gpu_or_a_nodes_processors(
    nodes: list[dict[str, float]], device: str, workers: int, placed: tuple[int, int, int]
) -> None:
    places = find_places(nodes, device=device, workers=workers)
    assert (places.actors, places.cpus, places.gpus) == placed


@pytest.mark.parametrize(
    ("nodes", "device", "workers", "wanted"),
    [
        ([], "cpu", 0, "1 processors"),
        ([{"CPU": 2}], "cpu", 3, "3 processors"),
        ([{"CPU": 2}], "cuda", 0, "1 processors and a GPU"),
    ],
)
def test_a_cluster_without_room_is_an_error_that_says_what_was_wanted(
    nodes: list[dict[str, float]], device: str, workers: int, wanted: str
) -> None:
    with pytest.raises(EngineError, match=wanted):
        find_places(nodes, device=device, workers=workers)


@pytest.mark.parametrize("address", ["head", "head:", ":6379", "ray://head:10001", "head:x"])
def test_what_is_no_address_is_an_error_before_anything_is_tried(address: str) -> None:
    with pytest.raises(EngineError, match="is not the address of a Ray cluster"):
        RayCluster(address)


def test_an_address_where_nothing_listens_is_an_error_at_once() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
        with pytest.raises(EngineError, match="No Ray cluster answers at"):
            RayCluster(address)


def test_without_ray_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(EngineError, match="not installed") as caught:
        RayCluster(None)
    assert caught.value.next_step == "Run: pip install 'spinescore[ray]'"

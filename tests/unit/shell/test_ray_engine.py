"""How rounds go on and end, on a made-up cluster; a real one is in tests/soak/test_ray_cluster.py."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spinescore.errors import EngineError
from spinescore.shell import ray_engine
from spinescore.shell.bundles import demo_bundle_path, load_bundle
from spinescore.shell.engines import ClusterRequest, EngineRequest
from spinescore.shell.pipeline import Outcome
from spinescore.shell.preparation import PendingImage, Prepared
from spinescore.shell.ray_cluster import Places, Round
from spinescore.shell.ray_engine import RayEngine
from spinescore.shell.ray_nodes import NodeWork, images_of
from spinescore.shell.shards import write_shard

IMAGES = [PendingImage(str(n), "vfa", b"/a", 10, 1) for n in range(20)]


class MadeUpCluster:
    """Deals calls out to its nodes in turn; a node of which ``faults`` says something fails so."""

    def __init__(self, faults: Mapping[str, str]) -> None:
        self.faults = faults
        self.left_out: list[set[str]] = []

    def nodes(self) -> list[dict[str, Any]]:
        return [{"NodeID": node, "Alive": True, "Resources": {"CPU": 2.0}} for node in self.faults]

    def look(self, nodes: Sequence[Any], work: NodeWork, sample: object) -> list[dict[str, str]]:
        return [{"host": "h", "description": "d", "device": "cpu", "precision": "fp32"} for _ in nodes]

    def score(
        self,
        calls: Sequence[bytes],
        work: NodeWork,
        prepare: object,
        places: Places,
        *,
        without: Collection[str],
    ) -> Round:
        self.left_out.append(set(without))
        going = Round()
        for call, node in zip(calls, cycle(sorted(set(self.faults) - set(without))), strict=False):
            if self.faults[node]:
                going.note({"shards": [], "fault": self.faults[node], "node": node})
            else:
                done = [
                    Outcome(image, Prepared(None, "p", "i"), np.ones(3, np.float32), 0.1)
                    for image in images_of(call)
                ]
                going.note({"shards": [write_shard(Path(work.shards), done).name], "fault": "", "node": node})
        going.done.set()
        return going

    def close(self) -> None:
        """Nothing is open."""


def start(
    folder: Path, monkeypatch: pytest.MonkeyPatch, cluster: MadeUpCluster, said: list[str]
) -> RayEngine:
    monkeypatch.setattr(ray_engine, "RayCluster", lambda address: cluster)
    request = EngineRequest(
        bundle=load_bundle(demo_bundle_path()),
        device="auto",
        workers=0,
        database=folder / "a.duckdb",
        images=IMAGES,
        thresholds={},
    )
    return RayEngine(request, ClusterRequest(), said.append)


def score_all(engine: RayEngine) -> Iterator[str]:
    for outcome in engine.predict(IMAGES, lambda image: Prepared(None)):
        engine.committed([outcome])
        yield outcome.image.sop_instance_uid


def test_a_node_that_brings_only_faults_is_named_and_gets_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster, said = MadeUpCluster({"a": "", "b": "b: no memory", "c": ""}), []
    with start(tmp_path, monkeypatch, cluster, said) as engine:
        assert sorted(score_all(engine)) == sorted(image.sop_instance_uid for image in IMAGES)
    assert engine.description == "Ray: 3 actors of 2 processors on 3 nodes; d"
    assert said == ["left out from now on: b: no memory"]
    assert engine.warnings == ("a node of the Ray cluster was left out after b: no memory",)
    assert cluster.left_out == [set(), {"b"}]
    assert list(tmp_path.iterdir()) == []


def test_a_run_of_which_every_node_fails_ends_with_what_they_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster, said = MadeUpCluster({"a": "a: no memory", "b": "b: no memory"}), []
    with (
        start(tmp_path, monkeypatch, cluster, said) as engine,
        pytest.raises(EngineError, match=r"20 images came back from no node .*no memory"),
    ):
        list(score_all(engine))
    assert len(said) == 2
    assert len(cluster.left_out) == 1

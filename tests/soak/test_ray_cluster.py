"""A cohort scored on a real Ray cluster of two nodes: a node is lost, a driver is killed, no score is.

Not among the tests of CI: ray would have to be installed there, and starting nodes and drivers took three to seven
minutes on two cores shared with much other work.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest

from spinescore.core.phantom.dicom import dataset
from spinescore.core.phantom.person import draw_people
from spinescore.core.phantom.radiograph import render
from spinescore.ingest import IngestRequest, ingest
from spinescore.score import ScoreRequest, score
from spinescore.shell.bundles import demo_bundle_path, load_bundle
from spinescore.shell.warehouse import open_warehouse

N_IMAGES = 40
OUTCOME = "sop_instance_uid, kind, device, precision, spine_age, spine_age_sd, age_distribution, pixel_sha256, input_sha256"
NO_WORKERS = """
import os
import sys

if "--multiprocessing-fork" in sys.orig_argv:
    os._exit(1)
"""
NODE = {"num_cpus": 1, "object_store_memory": 80 << 20, "include_dashboard": False}


@dataclass(frozen=True)
class Site:
    """An indexed cohort, how the local engine scores it, and a cluster."""

    indexed: Path
    scored: Path
    cluster: Any
    home: Path

    def start(self, database: Path, *options: str) -> subprocess.Popen[str]:
        """Start scoring on the cluster in a process of its own."""
        command = ["score", "-d", str(database), "--engine", "ray", "--ray-address", self.cluster.address]
        return subprocess.Popen(
            [sys.executable, "-m", "spinescore", *command, *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"SPINESCORE_HOME": str(self.home)},
        )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    cluster_utils = pytest.importorskip("ray.cluster_utils", reason="pip install 'spinescore[ray]'")
    folder = tmp_path_factory.mktemp("site")
    (folder / "in").mkdir()
    for number, who in enumerate(draw_people(N_IMAGES, seed=5, cohort="derivation")):
        image = dataset(render(who, kind="radiograph", seed=5, height=300), who, seed=5)
        image.save_as(folder / "in" / f"{number}.dcm", enforce_file_format=True)
    home = folder / "home"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPINESCORE_HOME", str(home))
        with open_warehouse(folder / "indexed.duckdb", create=True) as warehouse:
            ingest(warehouse, IngestRequest([folder / "in"], workers=1))
        shutil.copy(folder / "indexed.duckdb", folder / "scored.duckdb")
        with open_warehouse(folder / "scored.duckdb") as warehouse:
            score(warehouse, ScoreRequest(load_bundle(demo_bundle_path()), device="cpu", workers=1))
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_worker_niceness", "0")  # 15 by default: on a busy machine the nodes would starve
        cluster = cluster_utils.Cluster(initialize_head=True, head_node_args=NODE)
        yield Site(folder / "indexed.duckdb", folder / "scored.duckdb", cluster, home)
        cluster.shutdown()


def outcomes(database: Path) -> pl.DataFrame:
    with duckdb.connect(str(database), read_only=True) as connection:
        return connection.sql(f"select {OUTCOME} from scores order by sop_instance_uid").pl()


def wait_for_shards(database: Path, n: int, process: subprocess.Popen[str]) -> list[Path]:
    folder = database.with_name(f"{database.name}.shards")
    while len(shards := list(folder.glob("*/*.parquet"))) < n:
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    return shards


def test_a_node_lost_in_mid_run_changes_no_score(site: Site, database: Path) -> None:
    shutil.copy(site.indexed, database)
    second = site.cluster.add_node(**NODE)
    with site.start(database, "--json") as process:
        wait_for_shards(database, 2, process)
        site.cluster.remove_node(second, allow_graceful=False)
        said, errors = process.communicate()
    assert process.returncode == 0, errors
    assert json.loads(said)["new"] == N_IMAGES
    assert outcomes(database).equals(outcomes(site.scored))
    assert not database.with_name(f"{database.name}.shards").exists()


def test_a_node_where_nothing_works_is_left_out(site: Site, database: Path, tmp_path: Path) -> None:
    shutil.copy(site.indexed, database)
    (tmp_path / "sitecustomize.py").write_text(NO_WORKERS)  # every decoding process on that node ends at once
    broken = site.cluster.add_node(**NODE, env_vars={"PYTHONPATH": str(tmp_path)})
    with site.start(database) as process:
        said, errors = process.communicate()
    site.cluster.remove_node(broken)
    assert process.returncode == 0, errors
    assert said.count("left out from now on") == 1, said
    assert "Worker processes cannot start" in said
    assert outcomes(database).equals(outcomes(site.scored))


def test_a_killed_driver_commits_first_what_the_nodes_had_done(site: Site, database: Path) -> None:
    shutil.copy(site.indexed, database)
    with site.start(database) as process:
        wait_for_shards(database, 2, process)
        process.send_signal(signal.SIGKILL)
    folder = database.with_name(f"{database.name}.shards")
    assert folder.stat().st_mode & 0o777 == 0o700
    kept = list(folder.glob("*/*.parquet"))
    assert {shard.stat().st_mode & 0o777 for shard in kept} == {0o600}
    times = {
        r["sop_instance_uid"]: r["forward_s"] for s in kept for r in pl.read_parquet(s).iter_rows(named=True)
    }
    with site.start(database) as process:
        _, errors = process.communicate()
    assert process.returncode == 0, errors
    assert outcomes(database).equals(outcomes(site.scored))
    with duckdb.connect(str(database), read_only=True) as connection:
        stored = dict(connection.sql("select sop_instance_uid, forward_s from scores").fetchall())
    assert 0 < len(times) < N_IMAGES
    assert {uid: stored[uid] for uid in times} == pytest.approx(times, rel=1e-6)  # stored as float32
    assert not folder.exists()

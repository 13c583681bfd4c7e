"""Scoring on a Ray cluster: calls go out in rounds, shards come back, the caller commits them.

What a dead worker or a lost node leaves undone goes out again in the next round, to the nodes that are
there then.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from spinescore import __version__
from spinescore.errors import EngineError
from spinescore.shell.archive.locations import stat_location
from spinescore.shell.backends import Device
from spinescore.shell.bundles import demo_bundle_path
from spinescore.shell.engines import ClusterRequest, EngineRequest, Prepare
from spinescore.shell.pipeline import Outcome
from spinescore.shell.preparation import PendingImage
from spinescore.shell.ray_cluster import Places, RayCluster, Round, find_places
from spinescore.shell.ray_nodes import NodeWork, as_call
from spinescore.shell.shard_inbox import ShardInbox
from spinescore.shell.shards import folder_name

POLL_S = 0.5
CALL_IMAGES = 2048  # an actor's workers start once a call; results are kept every 128 images all the same
CALLS_PER_ACTOR = 4  # so that no node waits long for another's last call
MOST_IDLE_ROUNDS = 3


class RayEngine:
    """A cluster whose nodes were looked at; see ``engines.Engine``.

    Parameters
    ----------
    request : EngineRequest
    cluster : ClusterRequest
    announce : callable
        Called with one line for each node that is left out of the rest of a run.

    Raises
    ------
    EngineError
        If there is no cluster, or a node cannot do what the others do; each such node is named.
    """

    takes_raw = False

    def __init__(
        self,
        request: EngineRequest,
        cluster: ClusterRequest,
        announce: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._request, self._announce = request, announce
        self._left_out: set[str] = set()
        self.warnings: tuple[str, ...] = ()
        self._base = _shards_of(request.database, cluster.shards)
        self._folder = self._base
        self._cluster = RayCluster(cluster.address)
        try:
            self._base.mkdir(parents=True, exist_ok=True, mode=0o700)
            device = self._choose_device()
            self._work = NodeWork(
                bundle=_name_of(request.bundle.path),
                model_id=request.bundle.model_id,
                device=device,
                workers=self._find_places(device).cpus,
                shards=str(self._base),
            )
            self.device: Device = device
            self.description, self.precision = self._look()
            self._folder = self._base / self._key()
            self._folder.mkdir(exist_ok=True, mode=0o700)
        except BaseException:
            self.__exit__()
            raise
        self._work = replace(self._work, shards=str(self._folder))
        self._inbox = ShardInbox(self._folder, [])

    def __enter__(self) -> RayEngine:
        return self

    def __exit__(self, *_: object) -> None:
        self._cluster.close()
        for folder in (self._folder, self._base):
            with contextlib.suppress(OSError):  # not empty: what was not committed is for the next run
                folder.rmdir()

    def predict(self, images: Sequence[PendingImage], prepare: Prepare) -> Iterator[Outcome]:
        """Yield what an earlier run left, then score the rest in rounds until nothing is left.

        Raises
        ------
        EngineError
            If rounds get nowhere.
        """
        inbox = self._inbox = ShardInbox(self._folder, images)
        yield from inbox.take_left_over()
        n_idle = 0
        while n_before := len(inbox.waiting):
            going = self._start(list(inbox.waiting), prepare)
            while not going.done.wait(POLL_S):
                yield from inbox.take()
            yield from inbox.take(going.shards)
            n_left = len(inbox.waiting)
            n_idle = n_idle + 1 if n_left == n_before else 0
            useless = going.useless()
            self._leave_out(useless)
            without_place = bool(going.faults) and not useless
            if n_left and (not self._nodes() or (n_idle and without_place) or n_idle == MOST_IDLE_ROUNDS):
                raise _stuck(n_left, going)

    def _leave_out(self, nodes: Mapping[str, str]) -> None:
        """Give nodes no more calls in this run: a node that fails at once would take one after the other."""
        for node, fault in nodes.items():
            self._left_out.add(node)
            self.warnings = (*self.warnings, f"a node of the Ray cluster was left out after {fault}")
            self._announce(f"left out from now on: {fault}")

    def committed(self, outcomes: Sequence[Outcome]) -> None:
        """Have the shards deleted of which every outcome is in the database."""
        self._inbox.committed(outcomes)

    def _start(self, images: Sequence[PendingImage], prepare: Prepare) -> Round:
        places = self._find_places(self.device)
        size = min(CALL_IMAGES, math.ceil(len(images) / (places.actors * CALLS_PER_ACTOR)))
        calls = [as_call(images[start : start + size]) for start in range(0, len(images), size)]
        return self._cluster.score(calls, self._work, prepare, places, without=self._left_out)

    def _nodes(self) -> list[Mapping[str, Any]]:
        return [node for node in self._cluster.nodes() if node["NodeID"] not in self._left_out]

    def _choose_device(self) -> Device:
        match self._request.device:
            case "cpu" | "cuda" as device:
                return device
            case "auto":
                has_gpu = any(_resources(node).get("GPU") for node in self._nodes())
                return "cuda" if has_gpu else "cpu"
            case other:
                raise EngineError(
                    f"A Ray cluster gives out its GPUs itself: {other!r} cannot be named.",
                    "Choose auto, cpu or cuda.",
                )

    def _find_places(self, device: str) -> Places:
        resources = [_resources(node) for node in self._nodes()]
        return find_places(resources, device=device, workers=self._request.workers)

    def _look(self) -> tuple[str, str]:
        """Look at every node that may get an actor; return what they run, and the precision of all."""
        gpus = int(self.device == "cuda")
        nodes = [
            node
            for node in self._nodes()
            if _resources(node).get("CPU", 0) >= self._work.workers and _resources(node).get("GPU", 0) >= gpus
        ]
        answers = self._cluster.look(nodes, self._work, _sample(self._request.images))
        if problems := sorted(f"{a['host']}: {a['problem']}" for a in answers if "problem" in a):
            raise EngineError(
                f"Not every node of the Ray cluster can score. {'; '.join(problems)}.",
                "Mend it or take it out of the cluster; docs/scale.md says what all nodes must share.",
            )
        kinds = {(answer["device"], answer["precision"]) for answer in answers}
        if len(kinds) > 1:
            raise EngineError(
                f"The nodes would score differently: {sorted(kinds)}.", "Name one with --device."
            )
        places = self._find_places(self.device)
        backends = ", ".join(sorted({answer["description"] for answer in answers}))
        return (
            f"Ray: {_counted(places.actors, 'actor')} of {_counted(places.cpus, 'processor')} "
            f"on {_counted(len(nodes), 'node')}; {backends}",
            kinds.pop()[1],
        )

    def _key(self) -> str:
        """Return the name of the folder for all that gives these outcomes."""
        return folder_name(
            model_id=self._request.bundle.model_id,
            preprocessing_id=self._request.bundle.spec.preprocessing_id,
            version=__version__,
            device=self.device,
            precision=self.precision,
            thresholds={flag: asdict(t) for flag, t in self._request.thresholds.items()},
        )


def _stuck(n_images: int, going: Round) -> EngineError:
    said = going.faults[0] if going.faults else "the workers died or never started; Ray's logs say more"
    return EngineError(
        f"{n_images:,} images came back from no node of the Ray cluster ({said}).",
        "What is done is kept: mend that, then run the same command to go on.",
    )


def _shards_of(database: Path, parent: Path | None) -> Path:
    """Return a database's folder for shards: beside it, or in a folder that several may share."""
    absolute = database.resolve()
    if parent is None:
        return absolute.with_name(f"{absolute.name}.shards")
    digest = hashlib.sha256(str(absolute).encode("utf-8", "surrogateescape")).hexdigest()
    return parent.resolve() / f"{absolute.name}-{digest[:8]}.shards"


def _name_of(bundle: Path) -> str:
    """Return what a node finds a bundle by; the shipped one lies where spinescore is installed there."""
    return "demo" if bundle.resolve() == demo_bundle_path() else str(bundle.resolve())


def _sample(images: Sequence[PendingImage]) -> PendingImage | None:
    """Return the first image that this machine sees as it was indexed, for the nodes to look at."""
    for image in images:
        with contextlib.suppress(OSError):
            if stat_location(image.path_bytes) == (image.size_bytes, image.modified_ns):
                return image
    return None


def _counted(n: int, what: str) -> str:
    return f"{n:,} {what}{'s' * (n != 1)}"


def _resources(node: Any) -> dict[str, float]:
    resources: dict[str, float] = node["Resources"]
    return resources

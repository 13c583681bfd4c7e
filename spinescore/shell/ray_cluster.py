"""A Ray cluster: connect to it, look at its nodes, have calls scored on them; the only user of ray."""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
import signal
import socket
import threading
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from spinescore import __version__
from spinescore.errors import EngineError, describe_fault
from spinescore.shell.engines import Prepare
from spinescore.shell.preparation import PendingImage
from spinescore.shell.ray_nodes import NodeWork, ShardScorer, look_at_node

CONNECT_S = 5.0
NODE_ANSWER_S = 300.0  # loading and converting a network, over a slow file system
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_AUTO_CONNECT": "0",  # else a thread that comes late connects anew after the end
    "RAY_BACKEND_LOG_LEVEL": "fatal",
}
OWN = "local"
FOUND = "auto"
SHARE_OF_A_GPU = 0.01  # enough to see it, whoever else is on it


@dataclass(frozen=True, slots=True)
class Places:
    """Where actors can be: how many, and the processors and GPUs each takes."""

    actors: int
    cpus: int
    gpus: int


@dataclass(slots=True)
class Round:
    """One pass over calls, filled as answers come.

    Parameters
    ----------
    done : Event
        Set when no more will come.
    shards : list of str
        Names of the files written, by calls that ended.
    faults : list of str
        What prevented calls, as far as anyone could say.
    useful : set of str
        Ids of the nodes that wrote files.
    failing : dict of str to str
        Of nodes that did not do all of a call, by id, the last fault.
    """

    done: threading.Event = field(default_factory=threading.Event)
    shards: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    useful: set[str] = field(default_factory=set)
    failing: dict[str, str] = field(default_factory=dict)

    def note(self, answer: Mapping[str, Any]) -> None:
        """Take one call's answer: its ``shards``, ``fault`` and ``node``."""
        self.shards.extend(answer["shards"])
        if answer["shards"]:
            self.useful.add(answer["node"])
        if answer["fault"]:
            self.faults.append(answer["fault"])
            self.failing[answer["node"]] = answer["fault"]

    def useless(self) -> dict[str, str]:
        """Return the nodes that brought nothing but faults, with the last of each."""
        return {node: fault for node, fault in self.failing.items() if node not in self.useful}


def find_places(nodes: Sequence[Mapping[str, float]], *, device: str, workers: int) -> Places:
    """Place actors on nodes: one per GPU, or one per node's processors.

    Parameters
    ----------
    nodes : sequence of mapping
        Each living node's resources; ``CPU`` and ``GPU`` count.
    device : {"cpu", "cuda"}
    workers : int
        Processors an actor takes; 0 for as many as the smallest node has (per GPU).

    Raises
    ------
    EngineError
        If no node has room for one.

    >>> find_places([{"CPU": 8}, {"CPU": 32}], device="cpu", workers=0)
    Places(actors=5, cpus=8, gpus=0)
    """
    gpus = int(device == "cuda")
    counts = [(int(node.get("CPU", 0)), int(node.get("GPU", 0)) if gpus else 1) for node in nodes]
    shares = [n_cpus // n for n_cpus, n in counts if n and n_cpus >= n]
    size = workers or min(shares, default=1)
    actors = sum(min(n_cpus // size, n_gpus if gpus else n_cpus) for n_cpus, n_gpus in counts)
    if not actors:
        wanted = f"{size} processors" + (" and a GPU" if gpus else "")
        raise EngineError(
            f"No node of the Ray cluster has {wanted} for an actor.",
            "Name fewer processors with --workers, or add nodes.",
        )
    return Places(actors, size, gpus)


class RayCluster:
    """A connection to a cluster; close it, and what runs for it ends.

    Parameters
    ----------
    address : str or None
        As in ``ClusterRequest``.

    Raises
    ------
    EngineError
        If ray is not installed or no cluster answers there.
    """

    def __init__(self, address: str | None) -> None:
        if address is not None and address != FOUND:
            _reach(address)
        self._ray = _import_ray()
        before = signal.getsignal(signal.SIGTERM)  # ray takes it for itself
        previous_umask = os.umask(0o077)  # ray may write its token into the home folder
        try:
            with _standard_error_closed():
                self._ray.init(
                    address=address or OWN,
                    include_dashboard=False,
                    log_to_driver=False,
                    configure_logging=False,
                )
        except Exception as error:  # noqa: BLE001 - ConnectionError, RuntimeError, ValueError and others of ray's
            fault = describe_fault(error).rstrip(".")
            raise EngineError(
                f"The Ray cluster at {address or 'this machine'} cannot be joined: {fault}.",
                "Is this machine one of its nodes (`ray status` tells), with the same Python, ray and token?",
            ) from None
        finally:
            os.umask(previous_umask)
            if threading.current_thread() is threading.main_thread():
                signal.signal(signal.SIGTERM, before)

    def close(self) -> None:
        """Leave the cluster; actors of this connection end."""
        self._ray.shutdown()

    def nodes(self) -> list[Mapping[str, Any]]:
        """Return the living nodes: ``NodeID``, ``NodeManagerHostname``, ``Resources`` ..."""
        return [node for node in self._ray.nodes() if node["Alive"]]

    def look(
        self, nodes: Sequence[Mapping[str, Any]], work: NodeWork, sample: PendingImage | None
    ) -> list[Any]:
        """Return what ``look_at_node`` says of each node, all at once; no answer is a problem."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        remote = self._ray.remote(look_at_node)
        asked = {
            remote.options(
                num_cpus=0,
                num_gpus=SHARE_OF_A_GPU if work.device == "cuda" else 0,
                max_retries=0,
                scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False),
            ).remote(work, __version__, sample): node["NodeManagerHostname"]
            for node in nodes
        }
        answered, _ = self._ray.wait(list(asked), num_returns=len(asked), timeout=NODE_ANSWER_S)
        return [self._answer(reference, host, reference in answered) for reference, host in asked.items()]

    def _answer(self, reference: Any, host: str, answered: bool) -> dict[str, str]:
        if not answered:
            return {"host": host, "problem": f"it gave no answer within {NODE_ANSWER_S:g} s"}
        try:
            answer: dict[str, str] = self._ray.get(reference)
        except Exception as error:  # noqa: BLE001 - whatever ray raises of a node, and what the node raised
            cause = getattr(error, "cause", None) or error
            return {"host": host, "problem": describe_fault(cause)}
        return answer

    def score(
        self,
        calls: Sequence[bytes],
        work: NodeWork,
        prepare: Prepare,
        places: Places,
        *,
        without: Collection[str] = (),
    ) -> Round:
        """Start to score calls in actors, on no node of these ids; the round fills in a thread of its own."""
        from ray.data import ActorPoolStrategy, DataContext, from_items

        context = DataContext.get_current()
        context.enable_progress_bars = False
        context.max_errored_blocks = -1  # a call that is lost goes out again, from whoever asked
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="`ray_remote_args` is deprecated")  # to go in 2.64
            rows = from_items([{"call": call} for call in calls], override_num_blocks=len(calls))
            answers = rows.map_batches(
                _NamingScorer,
                batch_size=None,
                batch_format="pyarrow",
                fn_constructor_kwargs={"work": work, "prepare": prepare},
                compute=ActorPoolStrategy(
                    size=min(places.actors, len(calls)), max_tasks_in_flight_per_actor=1
                ),
                num_cpus=places.cpus,
                num_gpus=places.gpus,
                label_selector={"ray.io/node-id": f"!in({', '.join(sorted(without))})"} if without else None,
                max_restarts=-1,
                max_task_retries=0,  # a call bound to an actor whose node is gone would wait for ever
            )
        going = Round()
        threading.Thread(target=_fill, args=(going, answers), name="ray-round", daemon=True).start()
        return going


class _NamingScorer(ShardScorer):
    """An actor whose answers name the node it is on."""

    def __call__(self, calls: pa.Table) -> pa.Table:
        import ray

        answer = super().__call__(calls)
        return answer.append_column("node", pa.array([ray.get_runtime_context().get_node_id()]))


def _fill(going: Round, answers: Any) -> None:
    """Have the calls scored, and note what they answer."""
    try:
        for answer in answers.iter_rows():
            going.note(answer)
    except Exception as error:  # noqa: BLE001 - raised by whoever looks at the round, if that got nowhere
        going.faults.append(describe_fault(getattr(error, "cause", None) or error))
    finally:
        going.done.set()


@contextlib.contextmanager
def _standard_error_closed() -> Iterator[None]:
    """Keep what Ray's C++ side says of its own log level off the terminal."""
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _reach(address: str) -> None:
    """Look whether anything listens at an address; Ray itself would try for minutes."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or "/" in address:
        raise EngineError(
            f"{address} is not the address of a Ray cluster.",
            "Write HOST:PORT of its head (usually port 6379), or `auto` on one of its nodes.",
        )
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_S).close()
    except (OSError, OverflowError):
        raise EngineError(
            f"No Ray cluster answers at {address}.",
            "Start one with `ray start --head` on its first node, or leave --ray-address out.",
        ) from None


def _import_ray() -> Any:
    """Import ray, silent towards its makers and the terminal.

    Raises
    ------
    EngineError
        If it is not installed.
    """
    if importlib.util.find_spec("ray") is None:
        raise EngineError(
            "`--engine ray` needs ray, which is not installed.", "Run: pip install 'spinescore[ray]'"
        )
    os.environ.update(QUIET)
    import ray
    import ray.data

    for name in ("ray", "ray.data"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    ray._private.worker._worker_logs_enabled = False  # else news of lost nodes goes to standard output
    return ray

"""What runs on the nodes of a Ray cluster: a look at each before the work, and the actors that score.

The nodes import this module by name, so spinescore is installed on each; it does not import ray itself.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from spinescore import __version__
from spinescore.errors import SpineScoreError, describe_fault
from spinescore.shell.archive.locations import stat_location
from spinescore.shell.backends import Backend, open_backend
from spinescore.shell.bundles import Bundle, find_bundle
from spinescore.shell.engines import Prepare
from spinescore.shell.pipeline import in_chunks, predict
from spinescore.shell.preparation import PendingImage
from spinescore.shell.shards import write_shard

SHARD_IMAGES = 128
CALL_COLUMNS = pa.schema(
    [
        ("sop_instance_uid", pa.string()),
        ("kind", pa.string()),
        ("path_bytes", pa.binary()),
        ("size_bytes", pa.int64()),
        ("modified_ns", pa.int64()),
        ("scored_input_sha256", pa.string()),
        ("has_facts", pa.bool_()),
    ]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeWork:
    """What every node does, and with what; all of it must be the same on each.

    Parameters
    ----------
    bundle : str
        Path of the model bundle, as every node sees it.
    model_id : str
        What its content must hash to.
    device : {"cpu", "cuda"}
    workers : int
        Decoding processes beside each actor.
    shards : str
        The folder for results, as every node sees it.
    """

    bundle: str
    model_id: str
    device: str
    workers: int
    shards: str


def look_at_node(work: NodeWork, version: str, sample: PendingImage | None) -> dict[str, str]:
    """Try on a node all that scoring needs there, the loading of the network included.

    Returns
    -------
    dict
        ``host``, and either ``problem`` or the backend's ``description``, ``device`` and ``precision``.
    """
    host = {"host": socket.gethostname()}
    try:
        bundle = _same_bundle(work)
        if version != __version__:
            return host | {"problem": f"it has spinescore {__version__}, this machine {version}"}
        if sample is not None and stat_location(sample.path_bytes) != (sample.size_bytes, sample.modified_ns):
            return host | {"problem": "it sees another file in the place of an image"}
        write_shard(Path(work.shards), []).unlink()
        backend = open_backend(bundle, device=work.device)
    except SpineScoreError as error:
        return host | {"problem": error.message}
    except FileNotFoundError:
        missing = "the images" if Path(work.shards).is_dir() else f"the results' folder {work.shards}"
        return host | {"problem": f"it does not see {missing}"}
    except OSError as error:
        return host | {"problem": describe_fault(error)}
    return host | {
        "description": backend.description,
        "device": backend.device,
        "precision": backend.precision,
    }


def as_call(images: Sequence[PendingImage]) -> bytes:
    """Return images as one call to an actor: a stream of Arrow."""
    columns = [[getattr(image, name) for image in images] for name in CALL_COLUMNS.names]
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, CALL_COLUMNS) as stream:
        stream.write_table(pa.table(columns, schema=CALL_COLUMNS))
    return bytes(sink.getvalue())


def images_of(call: bytes) -> list[PendingImage]:
    """Return the images of a call."""
    with pa.ipc.open_stream(call) as stream:
        return [PendingImage(**row) for row in stream.read_all().to_pylist()]


class ShardScorer:
    """An actor: one loaded network, and for each call the same pipeline as the local engine's."""

    def __init__(self, work: NodeWork, prepare: Prepare) -> None:
        self._work, self._prepare = work, prepare
        self._backend: Backend | None = None

    def __call__(self, calls: pa.Table) -> pa.Table:
        """Score the images of calls into shards of 128; return the shards' names, and what prevented others.

        A fault is a value: an exception's text would go to Ray's logs.
        """
        written: list[str] = []
        fault = ""
        try:
            if self._backend is None:  # here, for what fails here is said of this node
                self._backend = open_backend(_same_bundle(self._work), device=self._work.device)
            for call in calls["call"].to_pylist():
                written.extend(self._score(images_of(call), self._backend))
        except Exception as error:  # noqa: BLE001 - whatever it is, the driver hears of it
            described = error.message if isinstance(error, SpineScoreError) else describe_fault(error)
            fault = f"{socket.gethostname()}: {described}"
        return pa.table({"fault": [fault], "shards": pa.array([written], pa.list_(pa.string()))})

    def _score(self, images: list[PendingImage], backend: Backend) -> Iterator[str]:
        outcomes = predict(images, backend, self._prepare, workers=self._work.workers)
        for chunk in in_chunks(outcomes, SHARD_IMAGES):
            yield write_shard(Path(self._work.shards), chunk).name


def _same_bundle(work: NodeWork) -> Bundle:
    """Load the bundle, which must be the one the driver has."""
    bundle = find_bundle(work.bundle)
    if bundle.model_id != work.model_id:
        raise SpineScoreError(f"{work.bundle} is another model there ({bundle.model_id})")
    return bundle

"""What docs/scale.md reckons with: seconds of a core to prepare an image, seconds and bytes to commit one.

    python tests/benchmarks/bench_scale.py [IMAGES]

Phantoms in full size as five kinds of devices write them, to the study's canvas of 1024 x 512; the network's time is in
bench_pipeline.py and bench_inference.py. Committing is what the driver of a Ray cluster does alone: read shards of 128
outcomes, write them in one transaction each, into a database of 20,000 images. All by the processor's own clock, one
thread, so that other work on the machine counts little.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"

import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from spinescore.core.imaging.preprocessing import PreprocessingSpec
from spinescore.core.phantom.dicom import dataset
from spinescore.core.phantom.person import draw_people
from spinescore.core.phantom.radiograph import render
from spinescore.ingest import IngestRequest, ingest
from spinescore.score import _commit
from spinescore.shell.bundles import demo_bundle_path, load_bundle
from spinescore.shell.engines import LocalEngine
from spinescore.shell.indexing.remembered_rules import known_thresholds
from spinescore.shell.pipeline import Outcome
from spinescore.shell.pixels.pixel_check import facts_of
from spinescore.shell.preparation import PendingImage, Prepared, decode, open_location, preprocess
from spinescore.shell.ray_nodes import SHARD_IMAGES
from spinescore.shell.shards import outcome_of, read_shard, write_shard
from spinescore.shell.warehouse import Warehouse, open_warehouse
from tests.benchmarks.bench_second_run import fill

SEED = 11
COMMITTED = 20_000


def pending(warehouse: Warehouse, model_id: str, preprocessing_id: str) -> list[PendingImage]:
    """Return what a model would score."""
    rows = warehouse.fetch("score/pending", retry=False, model_id=model_id, preprocessing_id=preprocessing_id)
    return [PendingImage(*row) for row in rows.drop("synthetic").iter_rows()]


def time_preparing(folder: Path, n: int) -> Iterator[tuple[float, float, float, int]]:
    """Yield seconds of decoding, quality and preprocessing, and the bytes of the file, image by image."""
    for number, person in enumerate(draw_people(n, seed=SEED, cohort="derivation")):
        rendered = render(person, kind="radiograph", seed=SEED)
        dataset(rendered, person, seed=SEED).save_as(folder / f"{number}.dcm", enforce_file_format=True)
    with open_warehouse(folder / "bench.duckdb", create=True) as warehouse:
        ingest(warehouse, IngestRequest([folder], workers=1))
        images, thresholds = pending(warehouse, "none", "none"), known_thresholds(warehouse)
    for again in (False, True):  # the first time loads libraries and the files
        for image in images:
            started = time.process_time()
            with open_location(image.path_bytes) as handle:
                decoded = decode(handle)
            decoded_at = time.process_time()
            facts_of(decoded, image, thresholds=thresholds)
            measured_at = time.process_time()
            preprocess(
                decoded.pixels,
                kind=image.kind,
                photometric=decoded.photometric,
                spec=PreprocessingSpec(),
                padding_value=decoded.padding_value,
            )
            ended = time.process_time()
            if again:
                yield decoded_at - started, measured_at - decoded_at, ended - measured_at, image.size_bytes


def make_up(image: PendingImage, n_classes: int, rng: np.random.Generator) -> Outcome:
    """Return an outcome whose every value is drawn, so that no two compress into one."""
    decode_s, quality_s, preprocess_s, forward_s = (float(s) for s in rng.random(4))
    prepared = Prepared(
        None,
        rng.bytes(32).hex(),
        rng.bytes(32).hex(),
        decode_s=decode_s,
        quality_s=quality_s,
        preprocess_s=preprocess_s,
    )
    return Outcome(image, prepared, rng.dirichlet(np.ones(n_classes)).astype(np.float32), forward_s)


def time_committing(folder: Path) -> tuple[float, float, float]:
    """Return processor seconds an image, and bytes an image of the database and of a shard."""
    database, bundle = folder / "many.duckdb", load_bundle(demo_bundle_path())
    fill(database, folder / "in", COMMITTED)
    other = replace(bundle, model_id="another")
    with open_warehouse(database) as warehouse:
        before = database.stat().st_size
        images = pending(warehouse, other.model_id, bundle.spec.preprocessing_id)
        rng = np.random.default_rng(SEED)
        made = [make_up(image, bundle.n_classes, rng) for image in images]
        chunks = [made[start : start + SHARD_IMAGES] for start in range(0, len(made), SHARD_IMAGES)]
        shards = [write_shard(folder, chunk) for chunk in chunks]
        known = {image.sop_instance_uid: image for image in images}
        engine = LocalEngine(_NoNetwork(), 1)
        began = time.process_time()
        for shard in shards:
            batch = [outcome_of(row, known[row["sop_instance_uid"]]) for row in read_shard(shard)]
            _commit(warehouse, batch, other, engine, 1)
        taken = time.process_time() - began
        warehouse.checkpoint()
    grown = database.stat().st_size - before
    print(
        f"a database of {COMMITTED:,} images with one model's scores: {before / COMMITTED / 1e3:.2f} kB an image"
    )
    return taken / len(images), grown / len(images), sum(s.stat().st_size for s in shards) / len(images)


class _NoNetwork:
    description, device, precision = "none", "cpu", "fp32"


if __name__ == "__main__":
    n_images = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    with tempfile.TemporaryDirectory() as place:
        rows = list(time_preparing(Path(place), n_images))
    names = ("decoding", "quality", "preprocessing")
    for name, values in zip(names, list(zip(*rows, strict=True))[:3], strict=True):
        print(
            f"{name:<14} {statistics.mean(values):.4f} s of a core (median {statistics.median(values):.4f})"
        )
    print(f"file           {statistics.mean(row[3] for row in rows) / 1e6:.2f} MB")
    with tempfile.TemporaryDirectory() as place:
        (Path(place) / "in").mkdir()
        commit_s, row_bytes, shard_bytes = time_committing(Path(place))
    print(
        f"committing     {commit_s * 1e3:.3f} ms; a model's scores {row_bytes / 1e3:.2f} kB, a shard {shard_bytes / 1e3:.2f} kB an image"
    )

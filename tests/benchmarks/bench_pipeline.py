"""Scoring from file to database: the limit of each stage alone, the pipeline, and the plain way, side by side.

    python tests/benchmarks/bench_pipeline.py [IMAGES]

An untrained EfficientNet-B4 at 1024 x 512 on phantoms as five kinds of devices write them (100 unless told otherwise).
The plain way is how a study's own code does it: one process, pydicom and OpenCV, eager fp32 torch, 15 at a time. The
limit is what the stages cost one after the other: decoding, measuring quality and preprocessing on every core, then the
network on all of them. Ours is `spinescore score` from the start of its process to its end, with the network converted
before. Last, a second model over the same images, from the cache of preprocessed images.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import torch

from spinescore.core.eligibility.rule_set import Threshold
from spinescore.core.imaging.preprocessing import PreprocessingSpec
from spinescore.core.network.age_distribution import expectation
from spinescore.core.phantom.dicom import dataset
from spinescore.core.phantom.person import draw_people
from spinescore.core.phantom.radiograph import render
from spinescore.ingest import IngestRequest, ingest
from spinescore.shell.backends import open_backend
from spinescore.shell.bundles import Bundle
from spinescore.shell.indexing.remembered_rules import known_thresholds
from spinescore.shell.inference.torch_network import build_network
from spinescore.shell.preparation import PendingImage, prepare_image
from spinescore.shell.warehouse import Warehouse, open_warehouse
from tests.benchmarks.bench_inference import write_untrained
from tests.benchmarks.bench_preprocessing import compose_with_opencv

SEED = 11
PLAIN_BATCH = 15
PLAIN_IMAGES = 30
CORES = len(os.sched_getaffinity(0))


def write_images(folder: Path, n: int) -> None:
    """Write phantoms, each in its device's size, depth and transfer syntax."""
    for number, person in enumerate(draw_people(n, seed=SEED, cohort="derivation")):
        rendered = render(person, kind="radiograph", seed=SEED)
        dataset(rendered, person, seed=SEED).save_as(folder / f"{number}.dcm", enforce_file_format=True)


def score_plainly(files: Sequence[Path], bundle: Bundle) -> float:
    """Return seconds per image of reading, OpenCV's steps and eager torch, in one process."""
    network = build_network(bundle)
    began = time.perf_counter()
    for start in range(0, len(files), PLAIN_BATCH):
        batch = []
        for path in files[start : start + PLAIN_BATCH]:
            image = pydicom.dcmread(path)
            pixels = image.pixel_array
            if image.PhotometricInterpretation == "MONOCHROME1":
                pixels = pixels.max() - pixels
            batch.append(compose_with_opencv(pixels, bundle.spec))
        with torch.inference_mode():
            logits = network(torch.from_numpy(np.stack(batch)[:, None]))
        expectation(torch.softmax(logits, 1).numpy(), bundle.first_age)
    return (time.perf_counter() - began) / len(files)


def pending_images(warehouse: Warehouse, bundle: Bundle) -> list[PendingImage]:
    """Return what the pipeline would score."""
    rows = warehouse.fetch(
        "score/pending",
        retry=False,
        model_id=bundle.model_id,
        preprocessing_id=bundle.spec.preprocessing_id,
    )
    return [PendingImage(*row) for row in rows.drop("synthetic").iter_rows()]


def score_as_users_do(database: Path, bundle: Bundle) -> None:
    """Run the command; a call from here would have every decoding process import torch, as this script does."""
    options = ["-d", str(database), "-m", str(bundle.path), "--device", "cpu", "-q"]
    cache = ["--image-cache", str(database.with_name("cache"))]
    subprocess.run([sys.executable, "-m", "spinescore", "score", *options, *cache], check=True)


def stage_limits(
    images: Sequence[PendingImage], bundle: Bundle, thresholds: Mapping[str, Threshold]
) -> dict[str, float]:
    """Return seconds per image of each stage alone: on one core, and the network on all."""
    prepare = partial(prepare_image, spec=bundle.spec, thresholds=thresholds)
    prepared = [prepare(image) for image in images]
    limits = {
        "decode": statistics.fmean(p.decode_s or 0 for p in prepared),
        "quality": statistics.fmean(p.quality_s or 0 for p in prepared),
        "preprocess": statistics.fmean(p.preprocess_s or 0 for p in prepared),
    }
    inputs = np.stack([p.image for p in prepared if p.image is not None])[:, None]
    backend = open_backend(bundle, device="cpu")
    backend.predict(inputs[:4])
    limits["forward"] = _seconds(lambda: backend.predict(inputs)) / len(inputs)
    return limits


def _seconds(run: Callable[[], Any]) -> float:
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def compare(folder: Path, n: int) -> None:
    """Print every way's seconds per image and what share of the limit the pipeline reaches."""
    images = folder / "images"
    images.mkdir()
    write_images(images, n)
    spec = replace(PreprocessingSpec(), height=1024, width=512, eight_bit=True)
    bundle = write_untrained(folder / "b4", spec)
    again = write_untrained(folder / "another", spec, seed=1)
    open_backend(bundle, device="cpu")
    open_backend(again, device="cpu")  # both converted before anything is timed
    torch.set_num_threads(CORES)
    database = folder / "bench.duckdb"
    with open_warehouse(database, create=True) as warehouse:
        ingest(warehouse, IngestRequest([images]))
        waiting = pending_images(warehouse, bundle)
        thresholds = known_thresholds(warehouse)
    before = stage_limits(waiting[: n // 2], bundle, thresholds)
    ours = _seconds(lambda: score_as_users_do(database, bundle)) / n
    after = stage_limits(waiting[n // 2 :], bundle, thresholds)
    cached = _seconds(lambda: score_as_users_do(database, again)) / n
    plain = score_plainly(sorted(images.iterdir())[:PLAIN_IMAGES], bundle)
    limits = {stage: (before[stage] + after[stage]) / 2 for stage in before}
    limit = (
        sum(seconds / CORES for stage, seconds in limits.items() if stage != "forward") + limits["forward"]
    )
    print(
        f"{n} phantoms, EfficientNet-B4 (untrained) at 1024 x 512, fp32, {CORES} cores; milliseconds an image\n"
    )
    for stage, seconds in limits.items():
        where = "all cores" if stage == "forward" else "one core"
        print(f"{stage + ' alone, ' + where:<40} {1000 * seconds:>9.1f}")
    print(f"{'limit: the stages one after the other':<40} {1000 * limit:>9.1f}")
    print(f"{'pipeline, file to database':<40} {1000 * ours:>9.1f}   {limit / ours:.0%} of the limit's rate")
    print(
        f"{'second model, from the cache':<40} {1000 * cached:>9.1f}   {limits['forward'] / cached:.0%} of forward's"
    )
    print(
        f"{'plain: pydicom, OpenCV, eager torch':<40} {1000 * plain:>9.1f}   {plain / ours:.1f} times the pipeline"
    )


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place, suppress(KeyboardInterrupt):
        os.environ["SPINESCORE_HOME"] = place
        compare(Path(place), int(sys.argv[1]) if len(sys.argv) > 1 else 100)

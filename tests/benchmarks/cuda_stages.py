"""The parts of bench_cuda.py, apart from it: a decoding process imports the script that is run, and need not torch."""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from spinescore.core.imaging.preprocessing import PreprocessingSpec
from spinescore.core.imaging.raw_image import RawImage
from spinescore.core.network.age_distribution import expectation
from spinescore.core.phantom.dicom import dataset
from spinescore.core.phantom.person import draw_people
from spinescore.core.phantom.radiograph import render
from spinescore.ingest import IngestRequest, ingest
from spinescore.score import ScoreRequest, score
from spinescore.shell import backends
from spinescore.shell.backends import open_backend
from spinescore.shell.bundles import Bundle
from spinescore.shell.inference.calls import PreparedCall, RawCall
from spinescore.shell.inference.lane import Slot, device_library
from spinescore.shell.inference.torch_backend import TorchBackend
from spinescore.shell.inference.tuning import Tuning
from spinescore.shell.preparation import PendingImage, prepare_image
from spinescore.shell.warehouse import open_warehouse
from spinescore.shell.workers import map_supervised

N_FILES = 6  # drawn once, then counted again and again
SETTLE_S = 2.0


def measure(bundle: Bundle, folder: Path, options: argparse.Namespace) -> None:
    """Print the limit of each stage, the whole, and the fraction."""
    if options.device == "cpu":  # the whole is to run what the stages ran, as if OpenVINO were not installed
        backends.importlib.util.find_spec = lambda _: None
    rates = measure_stages(bundle, write_files(folder / "images", options.rows), options)
    for name, images_per_s in rates.items():
        print(f"{name:<52} {images_per_s:>9.2f} images/s")
    for where in ("host", "device"):
        whole = end_to_end(bundle, folder, options, on_device=where == "device")
        print(f"{f'score, end to end, preprocessing on the {where}':<52} {whole:>9.2f} images/s")
        print(
            f"    {whole / rates['forward']:.0%} of the forward's limit; the slowest stage: {slowest(rates, where)}"
        )


def measure_stages(
    bundle: Bundle, pending: list[PendingImage], options: argparse.Namespace
) -> dict[str, float]:
    """Return the images per second of each stage alone."""
    raw = [decoded(image) for image in pending]
    ready = np.stack([image.preprocess(bundle.spec) for image in raw])[:, None]
    backend = TorchBackend(bundle, "cpu" if options.device == "cpu" else "cuda:0", announce=print)
    print(backend.description)
    compare_with_cpu(backend, bundle, ready)
    n = backend.batch_images
    prepared_call = PreparedCall(repeat(ready, n))
    raw_call = RawCall(repeat_list(raw, n), bundle.spec)
    return {
        "decoding and preprocessing, handed over": workers_rate(pending, bundle, options, raw=False),
        "decoding, raw pixels handed over": workers_rate(pending, bundle, options, raw=True),
        "prepared images up": up_rate(backend, bundle, prepared_call),
        "raw images up, preprocessed there": up_rate(backend, bundle, raw_call),
        "forward": forward_rate(backend),
        "up, forward and down overlapped, prepared": rate(lambda: backend.predict(prepared_call.images), n),
        "up, forward and down overlapped, raw": rate(lambda: backend.predict_raw(raw_call.images), n),
    }


def slowest(rates: dict[str, float], where: str) -> str:
    """Return the stage that allows least."""
    of_the_other_way = {"host": "raw", "device": "prepar"}[where]
    stages = [name for name in rates if "overlapped" not in name and of_the_other_way not in name]
    stages += ["raw images up, preprocessed there"] if where == "device" else []
    return min(stages, key=lambda name: rates[name])


def write_files(folder: Path, rows: int) -> list[PendingImage]:
    """Draw phantoms as large as radiographs are."""
    folder.mkdir()
    pending = []
    for number, who in enumerate(draw_people(N_FILES, seed=5, cohort="derivation")):
        path = folder / f"{number}.dcm"
        drawn = dataset(render(who, kind="radiograph", seed=5, height=rows), who, seed=5)
        drawn.save_as(path, enforce_file_format=True)
        stat = path.stat()
        uid = str(drawn.SOPInstanceUID)
        pending.append(
            PendingImage(uid, "radiograph", os.fsencode(path), stat.st_size, stat.st_mtime_ns, has_facts=True)
        )
    return pending


def decoded(image: PendingImage) -> RawImage:
    """Return the decoded pixels of a file."""
    raw = prepare_image(image, spec=PreprocessingSpec(), thresholds={}, leave_raw=True).raw
    assert raw is not None
    return raw


def repeat(images: np.ndarray, n: int) -> np.ndarray:
    """Return n images."""
    return images[np.arange(n) % len(images)]


def repeat_list(images: Sequence[Any], n: int) -> list[Any]:
    """Return n images."""
    return [images[i % len(images)] for i in range(n)]


def rate(run: Callable[[], Any], n_images: int) -> float:
    """Return images per second over at least two seconds, after one run that is not counted."""
    run()
    began, rounds = time.perf_counter(), 0
    while rounds == 0 or time.perf_counter() - began < SETTLE_S:
        run()
        rounds += 1
    return rounds * n_images / (time.perf_counter() - began)


def workers_rate(
    pending: list[PendingImage], bundle: Bundle, options: argparse.Namespace, *, raw: bool
) -> float:
    """Return what the decoding processes bring to the driver, the network left out; start-up is not counted."""
    prepare = partial(prepare_image, spec=bundle.spec, thresholds={}, leave_raw=raw)
    images = repeat_list(pending, options.images)
    answers = map_supervised(prepare, images, workers=options.workers, timeout_s=60)
    for _ in range(options.workers):
        next(answers)
    began = time.perf_counter()
    n_more = sum(1 for _ in answers)
    return n_more / (time.perf_counter() - began)


def up_rate(backend: TorchBackend, bundle: Bundle, call: Any) -> float:
    """Return images per second that reach the device, prepared."""
    import torch

    spec = bundle.spec
    slot = Slot((backend.batch_size, spec.height, spec.width), backend._place)
    n = call.n_images
    parts = [range(start, start + backend.batch_size) for start in range(0, n, backend.batch_size)]

    def send() -> None:
        with torch.inference_mode():
            for part in parts:
                call.fill(slot, part)
                device_library(backend._place).synchronize(backend._place)

    return rate(send, n)


def forward_rate(backend: TorchBackend) -> float:
    """Return images per second of the forward pass alone, from images on the device."""
    return backend.batch_size / backend._time_batch(backend.batch_size)


def compare_with_cpu(backend: TorchBackend, bundle: Bundle, ready: np.ndarray) -> None:
    """Print how far the ages are from the processor's."""
    ages = [
        expectation(b.predict(ready[:2]), bundle.first_age)
        for b in (backend, open_backend(bundle, device="cpu"))
    ]
    print(f"fp32 ages {np.abs(ages[0] - ages[1]).max():.6f} years from the processor's at most")


def end_to_end(bundle: Bundle, folder: Path, options: argparse.Namespace, *, on_device: bool) -> float:
    """Return the images per second of `score`, from files to database; opening the network is not counted."""
    database = folder / f"{on_device}.duckdb"
    copies = folder / f"copies {on_device}"
    copies.mkdir()
    for number, path in enumerate(repeat_list(sorted((folder / "images").iterdir()), options.images)):
        copy_with_another_uid(path, copies / f"{number}.dcm", number)
    opened: list[float] = []
    with open_warehouse(database, create=True) as warehouse:
        ingest(warehouse, IngestRequest([copies], workers=options.workers))
        request = ScoreRequest(
            bundle,
            device=options.device,
            force_demo=True,
            workers=options.workers,
            tuning=Tuning(preprocess_on_device=on_device),
        )
        score(
            warehouse,
            request,
            announce=lambda line: opened.append(time.perf_counter()),
        )
        n_scored = warehouse.table("scores").height
    return n_scored / (time.perf_counter() - opened[-1])


def copy_with_another_uid(source: Path, target: Path, number: int) -> None:
    """Write a file again as another image of the same pixels."""
    import pydicom

    file = pydicom.dcmread(source)
    file.SOPInstanceUID = file.file_meta.MediaStorageSOPInstanceUID = f"{file.SOPInstanceUID}.{number}"[-64:]
    file.save_as(target, enforce_file_format=True)

"""Images not yet scored -> scores: decode and preprocess in workers, infer in true batches, commit."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from spinescore.core.network.age_distribution import expectation, round_age, variance
from spinescore.domain import StageSummary
from spinescore.errors import IntendedUseError
from spinescore.shell.bundles import Bundle
from spinescore.shell.inference.tuning import Tuning
from spinescore.shell.warehouse import Warehouse

if TYPE_CHECKING:  # a run that finds nothing new needs none of these
    from spinescore.shell.engines import ClusterRequest, Engine
    from spinescore.shell.kept_inputs import KeptInputs
    from spinescore.shell.pipeline import Outcome
    from spinescore.shell.preparation import PendingImage

COMMIT_IMAGES = 128
COMMIT_S = 15.0
BYTES_OF_GB = 1_000_000_000


@dataclass(frozen=True, slots=True)
class CacheRequest:
    """Where networks' inputs are kept, and how many bytes they may take."""

    folder: Path
    limit_bytes: int


@dataclass(frozen=True, slots=True)
class ScoreRequest:
    """How to score: with which bundle, where, and under which policy."""

    bundle: Bundle
    device: str = "auto"
    force_demo: bool = False
    retry: bool = False
    workers: int = 0  # 0: one per core
    cluster: ClusterRequest | None = None  # None: this machine
    cache: CacheRequest | None = None  # of this machine
    tuning: Tuning = field(default_factory=Tuning)  # of this machine's backend


def score(
    warehouse: Warehouse,
    request: ScoreRequest,
    *,
    announce: Callable[[str], None] = lambda _: None,
    progress: Callable[[int, int], None] = lambda *_: None,
) -> StageSummary:
    """Score every indexed image the model has not scored yet, 128 per transaction or what 15 s bring.

    Parameters
    ----------
    warehouse : Warehouse
        The database.
    request : ScoreRequest
        Bundle, device and policy.
    announce : callable
        Called with one line about the device chosen.
    progress : callable
        Called with (images finished since the last call, images in all).

    Raises
    ------
    IntendedUseError
        If a demonstration model is asked to score anything but phantoms.
    """
    bundle = request.bundle
    key = {"model_id": bundle.model_id, "preprocessing_id": bundle.spec.preprocessing_id}
    pending = warehouse.fetch("score/pending", retry=request.retry, **key)
    _refuse_misuse(bundle, pending, force=request.force_demo)
    if pending.is_empty():
        return _summary(warehouse, key, n_new=0, n_failed=0)
    n_failed, warnings = _score_pending(warehouse, request, pending, announce, progress)
    return _summary(warehouse, key, n_new=pending.height, n_failed=n_failed, warnings=warnings)


def _score_pending(
    warehouse: Warehouse,
    request: ScoreRequest,
    pending: pl.DataFrame,
    announce: Callable[[str], None],
    progress: Callable[[int, int], None],
) -> tuple[int, tuple[str, ...]]:
    """Score images; return how many failed, and what the engine warns of."""
    from spinescore.shell.indexing.remembered_rules import known_thresholds
    from spinescore.shell.pixels.pixel_facts import flag_images
    from spinescore.shell.preparation import PendingImage, prepare_image

    bundle = request.bundle
    images = [PendingImage(*row) for row in pending.drop("synthetic").iter_rows()]
    with (
        _open_engine(warehouse, request, images, announce) as engine,
        warehouse.run(
            "score", {"device": engine.device, "bundle": bundle.name}, model_id=bundle.model_id
        ) as run,
    ):
        announce(engine.description)
        _store_model(warehouse, bundle, run.run_id)

        def commit(batch: list[Outcome]) -> None:
            _commit(warehouse, batch, bundle, engine, run.run_id)
            engine.committed(batch)
            n_failed = sum(outcome.failed for outcome in batch)
            run.add(scored=len(batch) - n_failed, failed=n_failed)
            progress(len(batch), len(images))

        prepare = partial(
            prepare_image,
            spec=bundle.spec,
            thresholds=known_thresholds(warehouse),
            leave_raw=engine.takes_raw,
        )
        _commit_as_they_come(engine.predict(images, prepare), commit, clock=time.monotonic)
        flag_images(warehouse)
        run.outcome = "partial" if run.counts["failed"] else "done"
    return run.counts["failed"], engine.warnings


def _open_engine(
    warehouse: Warehouse,
    request: ScoreRequest,
    images: Sequence[PendingImage],
    announce: Callable[[str], None],
) -> Engine:
    from spinescore.shell.engines import EngineRequest
    from spinescore.shell.indexing.remembered_rules import known_thresholds

    if request.cluster is None:
        return _open_local_engine(request, images, announce)
    from spinescore.shell.ray_engine import RayEngine

    return RayEngine(
        EngineRequest(
            bundle=request.bundle,
            device=request.device,
            workers=request.workers,
            database=warehouse.path,
            images=images,
            thresholds=known_thresholds(warehouse),
        ),
        request.cluster,
        announce,
    )


def _open_local_engine(
    request: ScoreRequest, images: Sequence[PendingImage], announce: Callable[[str], None]
) -> Engine:
    from spinescore.shell.backends import RawBackend, open_backend
    from spinescore.shell.engines import LocalEngine

    tuning = request.tuning
    backend = open_backend(request.bundle, device=request.device, tuning=tuning, announce=announce)
    takes_raw = tuning.preprocess_on_device and request.cache is None and isinstance(backend, RawBackend)
    if tuning.preprocess_on_device and not takes_raw:
        why = "the image cache keeps prepared images" if request.cache else "OpenVINO takes prepared images"
        announce(f"preprocessing stays with the decoding processes: {why}")
    kept = None if request.cache is None else _plan_cache(request.bundle, request.cache, images)
    return LocalEngine(backend, request.workers or os.cpu_count() or 1, kept, takes_raw=takes_raw)


def _plan_cache(bundle: Bundle, cache: CacheRequest, images: Sequence[PendingImage]) -> KeptInputs:
    from spinescore.shell.input_cache import InputCache
    from spinescore.shell.kept_inputs import plan_kept_inputs

    return plan_kept_inputs(InputCache(cache.folder, bundle.spec, cache.limit_bytes), images)


def _refuse_misuse(bundle: Bundle, pending: pl.DataFrame, *, force: bool) -> None:
    real = int((~pending["synthetic"]).sum())
    if bundle.demonstration and real and not force:
        raise IntendedUseError(
            f"{real} of {pending.height} images are not phantoms, and the model `{bundle.name}` is for "
            "demonstration only: it was trained on drawings and knows nothing of patients.",
            "Name a bundle trained on radiographs with --model, or insist with --force-demo-on-real-images.",
        )


def _commit_as_they_come(
    outcomes: Iterable[Outcome], commit: Callable[[list[Outcome]], None], *, clock: Callable[[], float]
) -> None:
    """Commit 128 outcomes at a time, or what has come in 15 s; what came before an interruption is kept."""
    waiting: list[Outcome] = []

    def commit_waiting() -> None:
        if batch := waiting.copy():
            waiting.clear()
            commit(batch)

    began = clock()
    try:
        for outcome in outcomes:
            waiting.append(outcome)
            if len(waiting) >= COMMIT_IMAGES or clock() - began >= COMMIT_S:
                commit_waiting()
                began = clock()
    finally:
        commit_waiting()


def _commit(
    warehouse: Warehouse, batch: Sequence[Outcome], bundle: Bundle, engine: Engine, run_id: int
) -> None:
    """Write some outcomes in one transaction."""
    shared = {"model_id": bundle.model_id, "preprocessing_id": bundle.spec.preprocessing_id, "run_id": run_id}
    scores, failures, touched = [], [], []
    facts = [o.prepared.facts for o in batch if o.prepared.facts is not None]
    for outcome in batch:
        image, prepared = outcome.image, outcome.prepared
        row = shared | {
            "sop_instance_uid": image.sop_instance_uid,
            "size_bytes": image.size_bytes,
            "modified_ns": image.modified_ns,
        }
        if outcome.failed:
            failures.append(row | {"reason": prepared.reason, "detail": prepared.detail})
        elif outcome.distribution is None:
            touched.append(row)
        else:
            kind = {
                "kind": image.kind,
                "device": outcome.device or engine.device,
                "precision": outcome.precision or engine.precision,
            }
            scores.append(row | kind | _traces(outcome) | _age(outcome.distribution, bundle.first_age))
    keys = pl.DataFrame([{k: r[k] for k in KEY} for r in scores + failures], KEY_COLUMNS)
    with warehouse.transaction():
        for table in ("scores", "score_failures", "corrected_scores"):
            warehouse.delete(table, keys)
        if facts:
            from spinescore.shell.pixels.pixel_facts import store_pixel_facts

            store_pixel_facts(warehouse, facts, run_id)
        if touched:
            warehouse.execute("score/touch", incoming=pl.DataFrame(touched))
        if scores:
            warehouse.append("scores", pl.DataFrame(scores))
        if failures:
            warehouse.append("score_failures", pl.DataFrame(failures))


KEY = ("sop_instance_uid", "model_id", "preprocessing_id")
KEY_COLUMNS = dict.fromkeys(KEY, pl.String)


def _traces(outcome: Outcome) -> dict[str, Any]:
    """Return what the score was made from and how long each stage took."""
    prepared = outcome.prepared
    return {
        "pixel_sha256": prepared.pixel_sha256,
        "input_sha256": prepared.input_sha256,
        "decode_s": prepared.decode_s,
        "quality_s": prepared.quality_s,
        "preprocess_s": prepared.preprocess_s,
        "forward_s": outcome.forward_s,
    }


def _age(distribution: np.ndarray[Any, Any], first_age: int) -> dict[str, Any]:
    mean = float(expectation(distribution[None], first_age)[0])
    return {
        "spine_age": mean,
        "spine_age_rounded": int(round_age(np.array([mean]))[0]),
        "spine_age_sd": float(np.sqrt(variance(distribution[None], first_age)[0])),
        "age_distribution": distribution.astype(np.float32).tolist(),
    }


def _store_model(warehouse: Warehouse, bundle: Bundle, run_id: int) -> None:
    if not warehouse.fetch("score/known_model", model_id=bundle.model_id).is_empty():
        return
    row = {
        "model_id": bundle.model_id,
        "name": bundle.name,
        "version": bundle.version,
        "manifest": json.dumps(bundle.manifest, sort_keys=True),
        "run_id": run_id,
    }
    warehouse.append("models", pl.DataFrame([row]))


def _summary(
    warehouse: Warehouse,
    key: dict[str, str],
    *,
    n_new: int,
    n_failed: int,
    warnings: tuple[str, ...] = (),
) -> StageSummary:
    scored, failed = warehouse.fetch("score/counts", **key).row(0)
    message = f"{n_new - n_failed:,} scored, {n_failed:,} failed" if n_new else "nothing new to score"
    return StageSummary(
        "score",
        changed=bool(n_new),
        message=f"{message} ({scored:,} scores, {failed:,} failures of this model in all)",
        counts={"new": n_new, "failed": n_failed, "scored_total": scored, "failed_total": failed},
        partial=bool(failed),
        warnings=warnings,
    )

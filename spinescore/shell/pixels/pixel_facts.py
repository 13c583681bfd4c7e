"""Decoded images -> facts about their pixels in the database, and the flags that follow from them."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from itertools import islice

import polars as pl

from spinescore.core.eligibility.rule_set import RuleSet
from spinescore.shell.pixels.pixel_check import PixelFacts, PixelItem, check_pixels
from spinescore.shell.warehouse import Warehouse
from spinescore.shell.workers import DECODER_MEMORY_BYTES, WorkerFailure, map_supervised

CHECK_TIMEOUT_S = 60.0
NOT_OURS = ("multiframe", "not_grayscale")  # readable: what a header would have excluded, found in the pixels
COMMIT_IMAGES = 128
Progress = Callable[[int, int], None]
NOT_THE_PIXELS_FAULT = ("missing", "changed", "unreadable", "permission")


def check_new_pixels(
    warehouse: Warehouse,
    rules: RuleSet,
    run_id: int,
    *,
    workers: int = 0,
    progress: Progress = lambda *_: None,
) -> int:
    """Decode every indexed image whose pixels were not looked at as its file is now.

    An image that cannot be decoded leaves the index; its path is rejected with the reason.

    Returns
    -------
    int
        Images looked at.
    """
    items = [PixelItem(*row) for row in warehouse.fetch("ingest/unchecked_images").iter_rows()]
    if not items:
        return 0
    answers = map_supervised(
        partial(check_pixels, thresholds=rules.quality),
        items,
        workers=min(len(items), workers or os.cpu_count() or 1),
        timeout_s=CHECK_TIMEOUT_S,
        memory_limit_bytes=DECODER_MEMORY_BYTES,
    )
    facts = (_facts(item, answer) for item, answer in answers)
    while group := list(islice(facts, COMMIT_IMAGES)):
        with warehouse.transaction():
            store_pixel_facts(warehouse, group, run_id)
            _reject(warehouse, [fact for fact in group if fact.reason is not None], run_id)
        progress(len(group), len(items))
    return len(items)


def _facts(item: PixelItem, answer: PixelFacts | WorkerFailure) -> PixelFacts:
    if isinstance(answer, WorkerFailure):
        return PixelFacts.failed(item, answer.reason, answer.detail)
    return answer


def store_pixel_facts(warehouse: Warehouse, facts: Sequence[PixelFacts], run_id: int) -> None:
    """Replace what is known of these images' pixels; within the caller's transaction."""
    rows = [asdict(fact) | {"flags": list(fact.flags), "run_id": run_id} for fact in facts]
    frame = pl.DataFrame(rows, schema_overrides={"flags": pl.List(pl.String)}, infer_schema_length=None)
    warehouse.delete("pixel_facts", frame.select("sop_instance_uid"))
    warehouse.append("pixel_facts", frame)


def _reject(warehouse: Warehouse, failed: Sequence[PixelFacts], run_id: int) -> None:
    at_fault = [fact for fact in failed if fact.reason not in NOT_THE_PIXELS_FAULT]
    if not at_fault:
        return
    rows = [
        (
            fact.sop_instance_uid,
            "excluded" if fact.reason in NOT_OURS else "rejected",
            fact.reason,
            fact.detail,
        )
        for fact in at_fault
    ]
    incoming = pl.DataFrame(rows, ["sop_instance_uid", "state", "reason", "detail"], orient="row")
    warehouse.execute("ingest/reject_images", incoming=incoming, run_id=run_id)
    warehouse.delete("images", incoming.select("sop_instance_uid"))


def flag_images(warehouse: Warehouse) -> None:
    """Bring the flags up to date that rest on several images at once.

    ``study_two_patients``: the study holds images of another subject. ``pixels_seen_before``: the
    same pixels stand under another subject (leakage between train and test).
    """
    for flag in ("study_two_patients", "pixels_seen_before"):
        flagged = warehouse.fetch(f"ingest/{flag}")
        warehouse.execute("ingest/set_flag", incoming=flagged, flag=flag)
        warehouse.execute("ingest/clear_flag", incoming=flagged, flag=flag)

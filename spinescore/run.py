"""The whole path for one study: ingest, score, calibrate, analyze, report; only what changed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from spinescore.calibrate import calibrate
from spinescore.domain import StageSummary
from spinescore.errors import StudyError
from spinescore.ingest import IngestRequest, ingest
from spinescore.listener import Listener, told_elsewhere
from spinescore.outcomes import import_outcomes
from spinescore.report import render_report, share_report
from spinescore.score import BYTES_OF_GB, CacheRequest, ScoreRequest, score
from spinescore.shell.bundles import CORRECTION, Bundle, find_bundle
from spinescore.shell.cohorts import IMPORTED, ModelKey, imported_key
from spinescore.shell.indexing.rules import read_rules
from spinescore.shell.sharing import shared_with_group
from spinescore.shell.warehouse import Warehouse, open_warehouse
from spinescore.study import Study

if TYPE_CHECKING:
    from spinescore.shell.engines import ClusterRequest


@dataclass(slots=True)
class RunSummary:
    """What a run did, stage by stage."""

    stages: list[StageSummary] = field(default_factory=list)

    @property
    def changed(self) -> bool:
        """Whether any stage had something to do."""
        return any(stage.changed for stage in self.stages)

    @property
    def partial(self) -> bool:
        """Whether some images could not be scored."""
        return any(stage.partial for stage in self.stages)


def run_study(study: Study, listener: Listener) -> RunSummary:
    """Do all a study file asks for, each stage only if its inputs changed.

    Raises
    ------
    SpineScoreError
        From the stage that failed; the stages before it keep what they did.
    """
    with (
        shared_with_group(study),
        open_warehouse(study.study.database, create=study.model.imported is None) as warehouse,
    ):
        return run_stages(warehouse, study, listener)


def run_stages(warehouse: Warehouse, study: Study, listener: Listener) -> RunSummary:
    """Do what :func:`run_study` does in a database that is open."""
    summary = RunSummary()
    if study.model.imported is not None:
        _report(warehouse, study, model_key(warehouse, study), listener, summary)
        return summary
    _finish(summary, listener, ingest_sources(warehouse, study, listener))
    bundle = study_bundle(study)
    listener.stage("score")
    scored = score(
        warehouse,
        ScoreRequest(
            bundle,
            study.model.device,
            study.model.force_demo,
            cluster=_cluster_request(study),
            cache=_cache_request(study),
        ),
        announce=listener.announce,
        progress=listener.advance,
    )
    _finish(summary, listener, scored)
    _report(warehouse, study, bundle_key(bundle), listener, summary)
    return summary


def _cluster_request(study: Study) -> ClusterRequest | None:
    if study.model.engine == "local":
        return None
    from spinescore.shell.engines import ClusterRequest

    return ClusterRequest(study.model.ray_address, study.model.ray_shards)


def _cache_request(study: Study) -> CacheRequest | None:
    folder, gigabytes = study.model.image_cache, study.model.image_cache_gb
    return None if folder is None else CacheRequest(folder, int(gigabytes * BYTES_OF_GB))


def report_study(study: Study, listener: Listener) -> RunSummary:
    """Bring outcomes, corrections, results and report up to date from the scores in the database."""
    summary = RunSummary()
    with _reporting(study, listener) as (warehouse, told):
        _report(warehouse, study, model_key(warehouse, study), told, summary)
    return summary


def ingest_sources(warehouse: Warehouse, study: Study, listener: Listener) -> StageSummary:
    """Ingest the study's sources and sum up as a stage."""
    if not study.images.sources:
        raise StudyError(
            "The study file names no image sources.", 'Add `sources = ["FOLDER"]` under [images].'
        )
    listener.stage("ingest")
    request = IngestRequest(
        study.images.sources, id_width=study.images.id_width, rules=read_rules(study.images.rules)
    )
    summary = ingest(warehouse, request, progress=listener.advance)
    counts = dict(summary.states.group_by("state").agg(pl.col("n").sum()).iter_rows())
    parts = ", ".join(f"{n:,} {state}" for state, n in sorted(counts.items()))
    changed = summary.n_read > 0 or summary.n_gone > 0
    message = f"{summary.n_read:,} new or changed of {summary.n_seen:,} files ({parts})"
    return StageSummary(
        "ingest",
        changed,
        message if changed else f"nothing new ({parts})",
        counts,
        partial=summary.has_rejects,
    )


def study_bundle(study: Study) -> Bundle:
    """Load the study's model bundle; ``demo`` names the shipped one."""
    return find_bundle(study.model.bundle)


def bundle_key(bundle: Bundle) -> ModelKey:
    """Return the key that the bundle's scores carry."""
    own = partial(bundle.read_file, CORRECTION) if CORRECTION in bundle.manifest["files"] else None
    return ModelKey(
        bundle.model_id, bundle.spec.preprocessing_id, bundle.trained_on, own, bundle.validated_on
    )


def model_key(warehouse: Warehouse, study: Study) -> ModelKey:
    """Return the key of the scores that a study is about: its bundle's, or those imported under a name.

    Raises
    ------
    StudyError
        If nothing was imported under that name.
    BundleError
        If the bundle is missing or altered.
    """
    name = study.model.imported
    if name is None:
        return bundle_key(study_bundle(study))
    key = imported_key(name)
    models = warehouse.fetch("scores/models", imported=IMPORTED)
    if key.model_id not in models["model_id"]:
        known = ", ".join(f"`{known}`" for known in models.filter("is_imported")["name"]) or "none"
        raise StudyError(
            f"model.imported: no ages were imported as `{name}` into {warehouse.path} (there: {known}).",
            f'Run `spinescore scores import TABLE --name "{name}"` first.',
        )
    return key


def _report(
    warehouse: Warehouse, study: Study, key: ModelKey, listener: Listener, summary: RunSummary
) -> None:
    from spinescore.analyze import analyze  # it takes a second to import, which a report alone does not need

    if study.subjects is not None:
        listener.stage("outcomes")
        _finish(summary, listener, import_outcomes(warehouse, study))
    listener.stage("calibrate")
    _finish(summary, listener, calibrate(warehouse, study, key))
    if study.drift is not None:
        from spinescore.drift import assess_drift  # as analyze

        listener.stage("drift")
        _finish(summary, listener, assess_drift(warehouse, study, key, study.drift))
    listener.stage("analyze")
    _finish(summary, listener, analyze(warehouse, study, key, announce=listener.announce))
    listener.stage("report")
    _finish(summary, listener, render_report(warehouse, study, key))


def _finish(summary: RunSummary, listener: Listener, stage: StageSummary) -> None:
    summary.stages.append(stage)
    listener.done(stage)


def share_study(study: Study, listener: Listener, *, against: Path | None = None) -> RunSummary:
    """Render the stored results as a report that can be shared, computing nothing.

    Raises
    ------
    DisclosureError
        If a person could be told from it; nothing is published then.
    """
    summary = RunSummary()
    with _reporting(study, listener) as (warehouse, told):
        told.stage("report")
        stage = share_report(warehouse, study, model_key(warehouse, study), against=against)
        _finish(summary, told, stage)
    return summary


def render_study(study: Study, listener: Listener) -> RunSummary:
    """Render the stored results again, computing nothing."""
    summary = RunSummary()
    with _reporting(study, listener) as (warehouse, told):
        told.stage("report")
        _finish(summary, told, render_report(warehouse, study, model_key(warehouse, study), force=True))
    return summary


@contextmanager
def _reporting(study: Study, listener: Listener) -> Iterator[tuple[Warehouse, Listener]]:
    """Open a study's database, and tell the other terminals too what is done in it."""
    with (
        shared_with_group(study),
        open_warehouse(study.study.database) as warehouse,
        told_elsewhere(listener, warehouse, "spinescore report", study.study.title) as told,
    ):
        yield warehouse, told

"""score, status: what the database holds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from spinescore.cli.archive import ListFile, ListState, list_files, show_states
from spinescore.cli.console import (
    CORRECTION_COLUMNS,
    EXIT_PARTIAL,
    Database,
    Json,
    Output,
    Quiet,
    Snapshot,
    correction_rows,
)
from spinescore.cli.history import show_runs


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command()(score)
    app.command()(status)


def score(
    database: Database,
    model: Annotated[
        str, typer.Option("--model", "-m", help="Bundle folder or zip; `demo` is the shipped one.")
    ] = "demo",
    device: Annotated[
        str, typer.Option(help="auto, cpu, cuda (every GPU) or cuda:0 (that one); see docs/devices.md.")
    ] = "auto",
    batch_size: Annotated[
        int | None,
        typer.Option(min=1, help="Images at once on a device; found by trying on a GPU, 4 on the processor."),
    ] = None,
    precision: Annotated[
        Literal["fp32", "fp16", "bf16", "auto"],
        typer.Option(help="A reduced one is tried on the model, and refused where it moves ages too far."),
    ] = "fp32",
    precision_limit: Annotated[
        float, typer.Option(min=0, metavar="YEARS", help="How far reduced precision may move an age.")
    ] = 0.05,
    preprocess: Annotated[
        Literal["host", "device"],
        typer.Option(help="Where images are preprocessed: in the decoding processes, or on the GPU."),
    ] = "host",
    force_demo: Annotated[
        bool,
        typer.Option("--force-demo-on-real-images", help="Let the demonstration model score real images."),
    ] = False,
    retry: Annotated[bool, typer.Option("--retry", help="Try images again that failed before.")] = False,
    workers: Annotated[int, typer.Option(min=0, help="Decoding processes; 0 is one per core.")] = 0,
    image_cache: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Keep preprocessed images there: another model with the same preprocessing decodes nothing.",
        ),
    ] = None,
    image_cache_gb: Annotated[
        float, typer.Option(min=0, metavar="GB", help="What the image cache may take.")
    ] = 100.0,
    engine: Annotated[
        Literal["local", "ray"], typer.Option(help="This machine, or a Ray cluster (docs/scale.md).")
    ] = "local",
    ray_address: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT",
            envvar="RAY_ADDRESS",
            show_envvar=True,
            help="Ray: the cluster's head, or auto on one of its nodes; a Ray of its own if left out.",
        ),
    ] = None,
    ray_shards: Annotated[
        Path | None,
        typer.Option(
            "--ray-shards",
            metavar="DIR",
            help="Ray: a folder all nodes see, for results until committed; beside the database if left out.",
        ),
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Estimate the spine age of every indexed image that the model has not scored yet."""
    from spinescore.listener import told_elsewhere
    from spinescore.score import BYTES_OF_GB, CacheRequest, ScoreRequest
    from spinescore.score import score as score_images
    from spinescore.shell.bundles import find_bundle
    from spinescore.shell.inference.tuning import Tuning
    from spinescore.shell.warehouse import open_warehouse

    output = Output(as_json, quiet)
    if ray_shards is not None and engine != "ray":
        raise typer.BadParameter("it goes with --engine ray", param_hint="--ray-shards")
    bundle = find_bundle(model)
    tuning = Tuning(batch_size, precision, precision_limit, preprocess == "device")
    cluster = None
    if engine == "ray":
        from spinescore.shell.engines import ClusterRequest

        if tuning != Tuning():
            raise typer.BadParameter(
                "--batch-size, --precision and --preprocess are of the local engine", param_hint="--engine"
            )
        if image_cache is not None:
            raise typer.BadParameter("it is of the local engine", param_hint="--image-cache")
        cluster = ClusterRequest(ray_address, ray_shards)
    cache = None if image_cache is None else CacheRequest(image_cache, int(image_cache_gb * BYTES_OF_GB))
    request = ScoreRequest(bundle, device, force_demo, retry, workers, cluster, cache, tuning)
    with open_warehouse(database) as warehouse:
        with (
            output.listening() as heard,
            told_elsewhere(heard, warehouse, "spinescore score") as listener,
        ):
            listener.stage("score")
            stage = score_images(warehouse, request, announce=listener.announce, progress=listener.advance)
            listener.done(stage)
        failures = warehouse.fetch(
            "score/failures", model_id=bundle.model_id, preprocessing_id=bundle.spec.preprocessing_id
        )
    if not failures.is_empty():
        output.table("Images without a score", failures.columns, failures.head(20).rows())
    output.emit(
        {
            "model_id": bundle.model_id,
            **stage.counts,
            "warnings": stage.warnings,
            "failures": failures.to_dicts(),
        }
    )
    if stage.partial:
        raise typer.Exit(EXIT_PARTIAL)


def status(
    database: Database,
    list_state: ListState = None,
    list_to: ListFile = None,
    snapshot: Snapshot = False,
    as_json: Json = False,
) -> None:
    """Show what the database holds, and how far a run is that holds it.

    Files by state, flags, scores by model, corrections, the last runs. While a run holds the database they
    are read from its snapshot.
    """
    from spinescore.errors import DatabaseLockedError
    from spinescore.shell.run_status import read_status
    from spinescore.shell.snapshots import open_to_read

    output = Output(as_json)
    going = read_status(database)
    progress = {"run": going.as_document()} if going else {}
    if going is not None and going.state != "ended":
        output.say(going.line())
    try:
        reading = open_to_read(database, snapshot=snapshot)
    except DatabaseLockedError:
        if going is None or going.state != "running":
            raise
        output.say("There is no snapshot yet to read the database from.")
        output.emit(progress)
        return
    with reading.warehouse as warehouse:
        states = warehouse.fetch("ingest/states")
        flags = warehouse.fetch("ingest/flags")
        models = warehouse.fetch("score/by_model")
        corrections = warehouse.fetch("calibrate/list")
        history = warehouse.fetch("run/list").tail(8)
        output.remark(reading.note)
        show_states(output, states, flags, database)
        listed = list_files(warehouse, output, list_state, list_to)
    output.table("Scores", models.columns, models.rows())
    output.table("Corrections, newest first", CORRECTION_COLUMNS, correction_rows(corrections))
    show_runs(output, history)
    output.emit(
        {
            "files": states.to_dicts(),
            "flags": flags.to_dicts(),
            "scores": models.to_dicts(),
            "corrections": corrections.to_dicts(),
            "runs": history.to_dicts(),
            **progress,
            **listed,
        }
    )
